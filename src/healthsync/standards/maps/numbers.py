"""HL7 v2 numbers (NM) as FHIR decimals.

NM allows a leading sign, leading zeros and an open point (`+065.88`, `.5`, `5.`: v2.5.1 §2.A.47); FHIR does not, and
keeps the digits behind the point because they say how exact a result is.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache

_NM = re.compile(
    r"\s*(?P<comparator><=|>=|<|>|=|≤|≥)?\s*(?P<sign>[+-]?)(?P<whole>\d*)(?:\.(?P<part>\d*))?\s*", re.ASCII
)
_COMPARATORS = {None: "", "=": "", "≤": "<=", "≥": ">="}


def decimal(text: str) -> Decimal | None:
    """The number, with exactly the digits that were sent; None when this is no plain number."""
    number = compared(text)
    return number[1] if number and not number[0] else None


def compared(text: str) -> tuple[str, Decimal] | None:
    """Comparator (`<`, `<=`, `>`, `>=` or empty) and number. `<5` is no legal NM, but frequent and meant so."""
    return _short(text) if len(text) <= _RECURRING else _read(text)


_RECURRING = 10
"""Characters of numbers that recur."""


def _read(text: str) -> tuple[str, Decimal] | None:
    match = _NM.fullmatch(text)
    if not match or not (match["whole"] or match["part"]):
        return None
    whole = match["whole"].lstrip("0") or "0"
    part = f".{match['part']}" if match["part"] else ""
    sign = "-" if match["sign"] == "-" else ""
    comparator = _COMPARATORS.get(match["comparator"], match["comparator"])
    return comparator or "", Decimal(f"{sign}{whole}{part}")


_short = lru_cache(4_096)(_read)

LARGEST = 2**31 - 1
"""FHIR integers have 32 bits."""


def unsigned_int(text: str) -> int | None:
    """A whole number from zero up."""
    number = decimal(text)
    return int(number) if number is not None and 0 <= number <= LARGEST and number == int(number) else None


def positive_int(text: str) -> int | None:
    """A whole number above zero."""
    return unsigned_int(text) or None
