"""A service on a real database, and the code system that the tests ask about."""

from __future__ import annotations

from typing import Any

import pytest

from healthsync.domains.terminology import TerminologyService
from healthsync.infrastructure.clock import SystemClock

from . import menagerie


@pytest.fixture
def service() -> TerminologyService:
    """The service under test."""
    return TerminologyService(SystemClock())


@pytest.fixture
def animals() -> dict[str, Any]:
    """The animals as a CodeSystem."""
    return menagerie.animals()
