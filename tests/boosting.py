"""The library that learns, as far as it can be loaded here: it needs libgomp of the system, which slim images lack."""

from __future__ import annotations

from typing import Any

import pytest

lightgbm: Any
try:
    import lightgbm
except (ImportError, OSError):
    lightgbm = None

needs_boosting = pytest.mark.skipif(lightgbm is None, reason="LightGBM or the system's libgomp1 is not installed")
