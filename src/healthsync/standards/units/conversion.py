"""A value in another unit of the same measurement: by UCUM, by molar mass, by valence, by an equation.

Exact until the end; then rounded to what the value that was measured can say (`rounded`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from functools import lru_cache

from healthsync.standards import ucum
from healthsync.standards.units.measurands import Measurand

SIGNIFICANT_DIGITS = 3
"""A converted value has as many at least: 6 ft are 183 cm, not 200."""

_CONTEXT = Context(prec=ucum.PRECISION, rounding=ROUND_HALF_EVEN)
_EXACT = Context(prec=1000, rounding=ROUND_HALF_EVEN)
_ANNOTATION = re.compile(r"\{[^}]*\}")
_HALF_A_DECADE = Decimal("3.1623")
_NOTHING = Fraction(0)


@dataclass(frozen=True, slots=True)
class Converted:
    """A value in another unit: `exact` as far as `ucum.PRECISION` goes, `value` with the digits that are known."""

    exact: Decimal
    value: Decimal
    unit: str


@dataclass(frozen=True, slots=True)
class _Way:
    """(value * times + plus) / by; `decade` is the power of ten nearest to times / by."""

    times: Decimal
    plus: Decimal
    by: Decimal
    decade: int

    @classmethod
    def linear(cls, times: Fraction, plus: Fraction = _NOTHING) -> _Way:
        by = times.denominator * plus.denominator
        return cls(Decimal((times * by).numerator), Decimal((plus * by).numerator), Decimal(by), _decade(times))

    def of(self, value: Decimal) -> Decimal:
        product = _EXACT.add(_EXACT.multiply(value, self.times), self.plus)
        return _CONTEXT.divide(product, self.by)


def convert(value: Decimal, unit: str, measurand: Measurand, target: str | None = None) -> Converted | None:
    """The value of a measurement in `target`, or in its canonical unit.

    `unit` and `target` are UCUM codes. None when no way leads from one to the other: a count is no amount of substance,
    an international unit is of one preparation, and without molar mass or valence mass, moles and equivalents stay
    apart. None too for what is no finite number of reasonable size.
    """
    target = target or measurand.unit
    if unit == target:
        return Converted(value, value, target) if value.is_finite() else None
    way = _way(measurand, unit, target)
    if way is None or not value.is_finite() or abs(value.adjusted()) > ucum.PRECISION:
        return None
    exact = way.of(value)
    return Converted(exact, rounded(exact, value, way.decade), target)


def agree(value: Decimal, unit: str, other: Decimal, other_unit: str, measurand: Measurand) -> bool | None:
    """Whether two statements of one measurement are equal within their digits: 6 ft and 183 cm, not 6 ft and 600 cm.

    None when they cannot be compared.
    """
    there = convert(value, unit, measurand, other_unit)
    if there is None:
        return None
    tolerance = _resolution(other) + abs(there.exact - (convert(value + _resolution(value), unit, measurand, other_unit)
                                                        or there).exact) / 2  # fmt: skip
    return other == there.value or abs(there.exact - other) <= tolerance  # 10100000 does not show its rounding


def rounded(exact: Decimal, measured: Decimal, decade: int) -> Decimal:
    """The converted value with the digits that the measured one knows, `SIGNIFICANT_DIGITS` at least.

    The last digit measured, times `decade` (the power of ten nearest to the factor), is the last one that is known:
    98.6 [degF] are 37.0 Cel. Zeros behind it are not written (74 g/L are 7.4 g/dL, not 7.40), nor is an exponent.
    """
    step = max(_exponent(measured) + decade, -2 * ucum.PRECISION)
    least = exact.adjusted() - SIGNIFICANT_DIGITS + 1 if exact else step
    result = exact.quantize(_place(min(step, least)), context=_EXACT)
    return result.quantize(_place(min(_exponent(result.normalize(_EXACT)), step, 0)), context=_EXACT)


def _exponent(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


@lru_cache(maxsize=256)
def _place(exponent: int) -> Decimal:
    return Decimal((0, (1,), exponent))


def _resolution(value: Decimal) -> Decimal:
    return _place(_exponent(value))


def _decade(size: Fraction) -> int:
    """The exponent of the power of ten nearest to `size`, by ratio."""
    number = _CONTEXT.divide(Decimal(abs(size).numerator), Decimal(size.denominator))
    mantissa = number.scaleb(-number.adjusted())
    return number.adjusted() + (mantissa >= _HALF_A_DECADE)


@lru_cache(maxsize=4096)
def _way(measurand: Measurand, unit: str, target: str) -> _Way | None:
    if by_equation := _equation(measurand, unit, target):
        return by_equation
    if _bare(unit) in measurand.equations or _bare(target) in measurand.equations:
        return None  # comparable by UCUM, but another thing: mmol/mol of hemoglobin A1c is no percentage
    source, destination = ucum.substance(unit), ucum.substance(target)
    if source is None or destination is None:
        return None
    if source == destination:
        line = _line(unit, target)
        return None if line is None else _Way.linear(*line)
    return _by_amount(measurand, unit, source, target, destination)


def _bare(unit: str) -> str:
    return _ANNOTATION.sub("", unit)


def _equation(measurand: Measurand, unit: str, target: str) -> _Way | None:
    if target == measurand.unit and (found := measurand.equations.get(_bare(unit))):
        return _Way.linear(Fraction(found[0]), Fraction(found[1]))
    if unit == measurand.unit and (found := measurand.equations.get(_bare(target))):
        return _Way.linear(1 / Fraction(found[0]), -Fraction(found[1]) / Fraction(found[0]))
    return None


def _line(unit: str, target: str) -> tuple[Fraction, Fraction] | None:
    """(times, plus) by UCUM alone."""
    zero, one = ucum.convert(Decimal(0), unit, target), ucum.convert(Decimal(1), unit, target)
    if zero is None or one is None:
        return None
    source, destination = ucum.canonical_factor(unit), ucum.canonical_factor(target)
    if source and destination:
        return Fraction(source[0]) / Fraction(destination[0]), _NOTHING
    return Fraction(one) - Fraction(zero), Fraction(zero)


def _by_amount(
    measurand: Measurand, unit: str, source: Mapping[str, int], target: str, destination: Mapping[str, int]
) -> _Way | None:
    """Equivalents to moles by the valence, moles to mass by the molar mass."""
    equivalents = source.get("eq", 0) - destination.get("eq", 0)
    moles = source.get("mol", 0) - destination.get("mol", 0) + equivalents
    if source.get("osm", 0) != destination.get("osm", 0):
        return None  # how many particles a mole gives is not known
    factor = Fraction(1)
    if equivalents:
        if measurand.valence is None:
            return None
        factor /= Fraction(measurand.valence) ** equivalents
    if moles:
        if measurand.molar_mass is None or abs(moles) > 1:
            return None
        factor *= Fraction(measurand.molar_mass) ** moles
        unit = f"({unit}).g/mol" if moles > 0 else f"({unit}).mol/g"
    line = _line(unit, target)
    return None if line is None or line[1] else _Way.linear(line[0] * factor)
