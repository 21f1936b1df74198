"""A unit term reduced to base units: a rational factor, their powers and, for temperatures, an offset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from healthsync.standards.ucum.grammar import Factor, Term, Unit, parse
from healthsync.standards.ucum.table import Atom

MAX_BITS = 8192
"""Largest factor that is computed, in bits of numerator or denominator (about 2,400 digits)."""

_OFFSETS = {"Cel": Fraction("273.15"), "degF": Fraction("459.67") * 5 / 9, "degRe": Fraction("273.15")}
"""What is added, in kelvin, after the scale is applied (UCUM §22, table of temperature units)."""


@dataclass(frozen=True, slots=True)
class Reduction:
    """A value in this unit is `value * factor + offset` in `unit`, the canonical expression."""

    factor: Fraction
    unit: str
    offset: Fraction = Fraction(0)


class _NoReduction(Exception):
    """A special unit stands in a product, or the factor is zero or beyond every use."""


@dataclass(frozen=True, slots=True)
class _Product:
    factor: Fraction
    powers: Mapping[str, int]


@lru_cache(maxsize=10_000)
def reduction(code: str) -> Reduction | None:
    """The reduction of a code; None when it is no UCUM code or cannot be reduced."""
    term = parse(code)
    if term is None:
        return None
    try:
        special = _special(term)
        if special is not None:
            return special
        product = _term(term)
    except _NoReduction:
        return None
    return Reduction(product.factor, _expression(product.powers))


def _special(term: Term) -> Reduction | None:
    """§21: a special unit stands alone, with a prefix at most."""
    if len(term.parts) != 1:
        return None
    divides, unit = term.parts[0]
    if divides or not isinstance(unit, Unit) or unit.atom.function is None or unit.exponent != 1:
        return None
    scale = unit.prefix.factor if unit.prefix else Fraction(1)
    offset = _OFFSETS.get(unit.atom.function)
    if offset is None:
        return Reduction(scale, unit.atom.code)
    definition = _definition(unit.atom)
    return Reduction(scale * definition.factor, _expression(definition.powers), offset)


def _term(term: Term) -> _Product:
    factor, powers = Fraction(1), Counter[str]()
    for divides, part in term.parts:
        product = _part(part)
        sign = -1 if divides else 1
        factor = _bounded(factor * product.factor**sign)
        for base, power in product.powers.items():
            powers[base] += sign * power
    return _Product(factor, powers)


def _part(part: Factor | Unit | Term) -> _Product:
    if isinstance(part, Factor):
        if part.value == 0:
            raise _NoReduction
        return _Product(Fraction(part.value), {})
    return _unit(part) if isinstance(part, Unit) else _term(part)


def _unit(unit: Unit) -> _Product:
    if unit.atom.function is not None:
        raise _NoReduction
    atom = _definition(unit.atom)
    factor = atom.factor * (unit.prefix.factor if unit.prefix else 1)
    return _Product(
        _bounded(factor) ** unit.exponent, {base: power * unit.exponent for base, power in atom.powers.items()}
    )


def _definition(atom: Atom) -> _Product:
    """What one of this unit is in base units. An arbitrary unit is its own base, unless it renames another."""
    if atom.unit is None or (atom.is_arbitrary and atom.unit == "1"):
        return _Product(Fraction(1), {atom.code: 1})
    term = parse(atom.unit)
    assert term is not None
    product = _term(term)
    return _Product(atom.magnitude * product.factor, product.powers)


def _bounded(factor: Fraction) -> Fraction:
    if max(factor.numerator.bit_length(), factor.denominator.bit_length()) > MAX_BITS:
        raise _NoReduction
    return factor


def _expression(powers: Mapping[str, int]) -> str:
    """`g.m-3`: base units in the order of the alphabet, `1` for the unity."""
    parts = [base if power == 1 else f"{base}{power}" for base, power in sorted(powers.items()) if power]
    return ".".join(parts) or "1"
