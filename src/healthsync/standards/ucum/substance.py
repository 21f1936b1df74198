"""How much of a unit is amount of substance.

UCUM counts a mole as a number, so that mmol/L and /L are comparable to it; who converts measurements must know the
difference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache

from healthsync.standards.ucum.grammar import Factor, Term, Unit, parse

SUBSTANCES = ("mol", "eq", "osm")
"""Moles, equivalents (moles of charge) and osmoles (moles of particles): all of them 6.02214076 × 10²³ (UCUM §30)."""


@lru_cache(maxsize=10_000)
def substance(code: str) -> Mapping[str, int] | None:
    """The powers of `mol`, `eq` and `osm` in a unit: {"eq": 1} for meq/L, {} for /uL; None when it is no UCUM code."""
    term = parse(code)
    if term is None:
        return None
    return {name: power for name, power in _of_term(term).items() if power}


def _of_term(term: Term) -> Counter[str]:
    powers = Counter[str]()
    for divides, part in term.parts:
        for name, power in _of_part(part).items():
            powers[name] += -power if divides else power
    return powers


def _of_part(part: Factor | Unit | Term) -> Counter[str]:
    if isinstance(part, Factor):
        return Counter()
    if isinstance(part, Term):
        return _of_term(part)
    if part.atom.code in SUBSTANCES:
        return Counter({part.atom.code: part.exponent})
    inner = parse(part.atom.unit) if part.atom.unit and part.atom.function is None else None
    return Counter({name: power * part.exponent for name, power in _of_term(inner).items()}) if inner else Counter()
