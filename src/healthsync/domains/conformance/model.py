"""Nouns of conformance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class LoadedPackage:
    """A FHIR package that is loaded. `counts` tells how many resources of each type it brought."""

    name: str
    version: str
    loaded_at: datetime
    dependencies: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
