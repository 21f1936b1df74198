"""UCUM: the functional suite of its makers, exactness, and what is no unit."""

import json
import subprocess
import sys
import time
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from defusedxml import ElementTree
from hypothesis import given
from hypothesis import strategies as st

from healthsync.standards import ucum
from healthsync.standards.ucum.table import table

SUITE_PASSES = 573
"""Cases of the functional suite (Ucum-java 2025-11-14) that pass; there are no others."""

LINEAR = [
    "mg/dL",
    "g/L",
    "ug/mL",
    "/min",
    "{beats}/min",
    "mm[Hg]",
    "kPa",
    "[lb_av]",
    "kg",
    "[in_i]",
    "cm",
    "%",
    "mmol/L",
]
TEMPERATURES = ["Cel", "[degF]", "K", "mK", "[degRe]"]
values = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=6)


def _as_stated(value: Decimal | None, stated: str) -> bool:
    """Equal in the digits that the expectation states."""
    expected = Decimal(stated)
    digits = len(expected.as_tuple().digits)
    return value is not None and Context(prec=digits, rounding=ROUND_HALF_UP).plus(value) == expected


@pytest.mark.shared
def test_the_functional_suite_of_ucum_passes_whole(shared_data: Path) -> None:
    suite = ElementTree.parse(shared_data / "ucum" / "UcumFunctionalTests.xml").getroot()
    right = [ucum.is_valid(c.get("unit")) == (c.get("valid") == "true") for c in suite.find("validation")]
    right += [ucum.describe(c.get("unit")) == c.get("display") for c in suite.find("displayNameGeneration")]
    right += [
        _as_stated(ucum.convert(Decimal(c.get("value")), c.get("srcUnit"), c.get("dstUnit")), c.get("outcome"))
        for c in suite.find("conversion")
    ]
    for section, sign, calculate in (("multiplication", ".", Decimal.__mul__), ("division", "/", Decimal.__truediv__)):
        for c in suite.find(section):
            result = calculate(Decimal(c.get("v1")), Decimal(c.get("v2")))
            unit = f"({c.get('u1')}){sign}({c.get('u2')})"
            right.append(_as_stated(ucum.convert(result, unit, c.get("uRes") or "1"), c.get("vRes")))
    assert (sum(right), len(right)) == (SUITE_PASSES, SUITE_PASSES)


@pytest.mark.parametrize(
    ("value", "code", "expected", "unit"),
    [
        ("3.7", "g/dL", "37000", "g.m-3"),
        ("100", "mg/dL", "1000", "g.m-3"),
        ("60", "/min", "1", "s-1"),
        ("72", "{beats}/min", "1.2", "s-1"),
        ("37.0", "Cel", "310.15", "K"),
        ("32", "[degF]", "273.15", "K"),
        ("1500", "mCel", "274.65", "K"),
        ("120", "mm[Hg]", "15998640", "g.m-1.s-2"),
        ("4", "10*3/uL", "4E12", "m-3"),
        ("5", "%", "0.05", "1"),
        ("7", "{score}", "7", "1"),
        ("2", "k[iU]/L", "2E6", "[iU].m-3"),
        ("2", "k[IU]/L", "2E6", "[iU].m-3"),
        ("7.35", "[pH]", "7.35", "[pH]"),
        ("30", "dB", "3", "B"),
    ],
)
def test_a_value_is_brought_to_base_units(value: str, code: str, expected: str, unit: str) -> None:
    assert ucum.canonical(Decimal(value), code) == (Decimal(expected), unit)


@pytest.mark.parametrize(
    "code",
    [
        "",
        "bpm",
        "mmHg",
        "mg/dl/",
        "10+3/ul",
        "m(",
        "m)",
        "(m",
        "µg",
        "Mg/Dl",
        "{a}m",
        "g/12h",
        " m",
        "m g",
        "m{a",
        "km km",
    ]
    + [
        "m-",
        "m999",
        "0.m",
        "m/0",
        "Cel/min",
        "[pH].m",
        "Cel2",
        "." * 3,
        "Ym99.Ym99.Ym99.Ym99",
        "(" * 5000,
        "m." * 5000 + "m",
    ],
)
def test_what_is_no_unit_or_has_no_linear_conversion_has_no_canonical_value(code: str) -> None:
    assert ucum.canonical(Decimal(1), code) is None
    assert ucum.canonical_factor(code) is None
    assert not ucum.comparable(code, code)
    assert ucum.convert(Decimal(1), code, code) is None


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "sNaN"])
def test_what_is_no_finite_number_has_no_canonical_value(value: str) -> None:
    assert ucum.canonical(Decimal(value), "Cel") is None


def test_a_factor_is_a_decimal_where_one_can_hold_it() -> None:
    assert ucum.canonical_factor("mg/dL") == (Decimal(10), "g.m-3")
    assert ucum.canonical_factor("/min") == (Fraction(1, 60), "s-1")
    assert ucum.canonical_factor("Cel") is None


def test_arbitrary_units_and_functions_are_comparable_with_themselves_only() -> None:
    assert ucum.comparable("m[iU]/L", "[IU]/mL")
    assert ucum.comparable("dB[SPL]", "B[SPL]")
    assert not ucum.comparable("[iU]", "[arb'U]")
    assert not ucum.comparable("[iU]", "1")
    assert not ucum.comparable("dB[SPL]", "dB")
    assert not ucum.comparable("[pH]", "mol/L")


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        ("98.6", "[degF]", "Cel", "37"),
        ("-40", "Cel", "[degF]", "-40"),
        ("0", "K", "Cel", "-273.15"),
        ("1", "d", "h", "24"),
    ],
)
def test_conversion_is_exact(value: str, source: str, target: str, expected: str) -> None:
    assert ucum.convert(Decimal(value), source, target) == Decimal(expected)


@given(values, st.sampled_from(LINEAR))
def test_canonical_values_agree_with_rational_arithmetic(value: Decimal, code: str) -> None:
    result, factor = ucum.canonical(value, code), ucum.canonical_factor(code)
    assert result is not None and factor is not None and result[1] == factor[1]
    exact = Fraction(value) * Fraction(factor[0])
    assert abs(Fraction(result[0]) - exact) <= abs(exact) * Fraction(1, 10 ** (ucum.PRECISION - 1))


@given(values, st.sampled_from([*LINEAR, *TEMPERATURES]), st.sampled_from([*LINEAR, *TEMPERATURES]))
def test_there_and_back_again(value: Decimal, one: str, other: str) -> None:
    there = ucum.convert(value, one, other)
    assert (there is not None) == ucum.comparable(one, other)
    if there is not None:
        back = ucum.convert(there, other, one)
        assert back is not None and abs(back - value) < Decimal("1e-25")


@given(
    values,
    st.sampled_from([("mg/dL", "mg/L", 10), ("/min", "/h", 60), ("kg", "g", 1000), ("a", "d", Decimal("365.25"))]),
)
def test_equal_quantities_have_equal_canonical_values(value: Decimal, units: tuple[str, str, Decimal]) -> None:
    bigger, smaller, times = units
    assert ucum.canonical(value, bigger) == ucum.canonical(value * times, smaller)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40))
def test_any_text_is_answered(code: str) -> None:
    assert (ucum.describe(code) is not None) == (ucum.is_valid(code) or not code)
    ucum.canonical(Decimal(1), code)


def test_every_unit_of_the_table_is_a_valid_code_and_can_be_reduced() -> None:
    known = table()
    assert len(known.atoms) == 312
    assert [code for code in known.atoms if ucum.canonical(Decimal(1), code) is None] == []


def test_the_table_is_read_only_when_a_unit_is_first_asked_for() -> None:
    program = (
        "import json, sys, time; started = time.perf_counter();"
        "from healthsync.standards import ucum; imported = time.perf_counter() - started;"
        "from healthsync.standards.ucum.table import table;"
        "print(json.dumps([imported, table.cache_info().currsize]))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert json.loads(answer.stdout)[1] == 0


def test_a_code_seen_for_the_first_time_costs_less_than_five_milliseconds() -> None:
    ucum.canonical(Decimal(1), "m")
    codes = [f"m{i}.kg/(s2.mol{i})" for i in range(2, 52)]
    started = time.process_time()
    for code in codes:
        assert ucum.canonical(Decimal(1), code) is not None
    assert (time.process_time() - started) / len(codes) < 0.005
