"""Values from one unit to another. Exact to the last step, which rounds once."""

from __future__ import annotations

from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from functools import lru_cache

from healthsync.standards.ucum.reduction import Reduction, reduction

PRECISION = 40
"""Significant digits of a result that no decimal fraction can hold, such as 1/60."""

_EXACT = Context(prec=1000, rounding=ROUND_HALF_EVEN, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])
_ROUNDED = Context(prec=PRECISION, rounding=ROUND_HALF_EVEN, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])

_ONE, _ZERO = Decimal(1), Decimal(0)

_Linear = tuple[Decimal, Decimal, Decimal]
"""(times, plus, by): a value becomes (value * times + plus) / by."""


def canonical(value: Decimal, code: str) -> tuple[Decimal, str] | None:
    """The value in base units and the canonical expression, as (Decimal("37000"), "g.m-3") for 3.7 g/dL.

    None when the code is no UCUM unit, when it has no linear way to base units, or when the value is no finite number.
    """
    known = _to_base(code)
    if known is None:
        return None
    result = _apply(value, known[0])
    return None if result is None else (result, known[1])


@lru_cache(maxsize=10_000)
def canonical_factor(code: str) -> tuple[Decimal | Fraction, str] | None:
    """The factor to base units (Decimal where one can hold it) and the canonical expression.

    None for what has no factor alone: codes that are no UCUM unit, and temperatures with an offset (`Cel`, `[degF]`).
    """
    unit = reduction(code)
    if unit is None or unit.offset:
        return None
    times, _, by = _linear(unit.factor, Fraction(0))
    return (times, unit.unit) if by == 1 else (unit.factor, unit.unit)


def comparable(a: str, b: str) -> bool:
    """Whether the two codes measure the same kind of thing, so that their values can be compared."""
    one, other = reduction(a), reduction(b)
    return one is not None and other is not None and one.unit == other.unit


def convert(value: Decimal, from_code: str, to_code: str) -> Decimal | None:
    """The value in another unit; None when the two are not comparable."""
    between = _between(from_code, to_code)
    return None if between is None else _apply(value, between)


@lru_cache(maxsize=10_000)
def _to_base(code: str) -> tuple[_Linear, str] | None:
    unit = reduction(code)
    return None if unit is None else (_linear(unit.factor, unit.offset), unit.unit)


@lru_cache(maxsize=10_000)
def _between(from_code: str, to_code: str) -> _Linear | None:
    if not comparable(from_code, to_code):
        return None
    source, target = _known(from_code), _known(to_code)
    return _linear(source.factor / target.factor, (source.offset - target.offset) / target.factor)


def _known(code: str) -> Reduction:
    unit = reduction(code)
    assert unit is not None
    return unit


def _linear(factor: Fraction, offset: Fraction) -> _Linear:
    """As three decimals, so that a conversion is a multiplication, and a division only where it must be."""
    by = factor.denominator * offset.denominator
    times, plus = factor * by, offset * by
    scale = _terminating(by)
    if scale is not None:
        return (
            _EXACT.scaleb(times.numerator * scale[0], -scale[1]),
            _EXACT.scaleb(plus.numerator * scale[0], -scale[1]),
            _ONE,
        )
    return Decimal(times.numerator), Decimal(plus.numerator), Decimal(by)


def _terminating(denominator: int) -> tuple[int, int] | None:
    """(m, e) with 1/denominator = m / 10^e; None when no decimal fraction is equal to it."""
    twos = (denominator & -denominator).bit_length() - 1
    odd, fives = denominator >> twos, 0
    while odd % 5 == 0:
        odd, fives = odd // 5, fives + 1
    if odd != 1:
        return None
    exponent = max(twos, fives)
    return 2 ** (exponent - twos) * 5 ** (exponent - fives), exponent


def _apply(value: Decimal, linear: _Linear) -> Decimal | None:
    times, plus, by = linear
    result = _EXACT.multiply(value, times)
    if plus:
        result = _EXACT.add(result, plus)
    if by != _ONE:
        result = _ROUNDED.divide(result, by)
    return result if result.is_finite() else None
