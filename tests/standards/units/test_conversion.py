"""Measurements in another unit: by UCUM, molar mass, valence and equation, with the digits that are known."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.standards import ucum
from healthsync.standards.logical_tables import LogicalTables
from healthsync.standards.units import agree, convert, measurand_of, measurands, ucum_codes
from healthsync.standards.units.measurands import molar_mass

AMA = [
    ("2345-7", "mg/dL", "mmol/L", "0.0555"),
    ("2160-0", "mg/dL", "umol/L", "88.4"),
    ("2093-3", "mg/dL", "mmol/L", "0.0259"),
    ("2085-9", "mg/dL", "mmol/L", "0.0259"),
    ("13457-7", "mg/dL", "mmol/L", "0.0259"),
    ("2571-8", "mg/dL", "mmol/L", "0.0113"),
    ("1975-2", "mg/dL", "umol/L", "17.104"),
    ("3094-0", "mg/dL", "mmol/L", "0.357"),
    ("17861-6", "mg/dL", "mmol/L", "0.25"),
    ("19123-9", "mg/dL", "mmol/L", "0.411"),
    ("2777-1", "mg/dL", "mmol/L", "0.323"),
    ("3084-1", "mg/dL", "umol/L", "59.485"),
    ("2498-4", "ug/dL", "umol/L", "0.179"),
    ("14118-4", "mg/dL", "mmol/L", "0.111"),
    ("718-7", "g/dL", "mmol/L", "0.621"),
    ("1989-3", "ng/mL", "nmol/L", "2.496"),
    ("2143-6", "ug/dL", "nmol/L", "27.588"),
    ("2986-8", "ng/dL", "nmol/L", "0.0347"),
    ("2132-9", "pg/mL", "pmol/L", "0.7378"),
    ("2284-8", "ng/mL", "nmol/L", "2.266"),
    ("3024-7", "ng/dL", "pmol/L", "12.871"),
    ("3053-6", "ng/dL", "nmol/L", "0.01536"),
    ("2243-4", "pg/mL", "pmol/L", "3.671"),
    ("2839-9", "ng/mL", "nmol/L", "3.18"),
    ("10535-3", "ng/mL", "nmol/L", "1.281"),
    ("3968-5", "ug/mL", "umol/L", "3.964"),
    ("5640-8", "mg/dL", "mmol/L", "0.2171"),
    ("3298-7", "ug/mL", "umol/L", "6.614"),
]
"""Factors from conventional to SI units: AMA Manual of Style, 11th ed., table 17.5-1."""


@pytest.mark.parametrize(("loinc", "conventional", "si", "factor"), AMA)
def test_molar_masses_agree_with_the_table_that_laboratories_use(
    loinc: str, conventional: str, si: str, factor: str
) -> None:
    measurand = measurands()[loinc]
    there = convert(Decimal(1), conventional, measurand, si)
    assert there is not None
    assert abs(there.exact / Decimal(factor) - 1) < Decimal("0.006")
    back = convert(there.exact, si, measurand, conventional)
    assert back is not None and abs(back.exact - 1) < Decimal("1e-35")


@pytest.mark.parametrize(
    ("loinc", "value", "unit", "expected", "target"),
    [
        ("2345-7", "5.5", "mmol/L", "99.1", "mg/dL"),
        ("14749-6", "5.5", "mmol/L", "99.1", "mg/dL"),
        ("8310-5", "98.6", "[degF]", "37.0", "Cel"),
        ("8310-5", "100", "[degF]", "37.8", "Cel"),
        ("8302-2", "6", "[ft_i]", "183", "cm"),
        ("8302-2", "70", "[in_i]", "178", "cm"),
        ("29463-7", "180", "[lb_av]", "81.6", "kg"),
        ("8867-4", "72", "{beats}/min", "72", "/min"),
        ("8480-6", "16.0", "kPa", "120", "mm[Hg]"),
        ("6690-2", "4.5", "10*3/uL", "4500", "/uL"),
        ("6690-2", "4.52", "10*9/L", "4520", "/uL"),
        ("718-7", "74", "g/L", "7.4", "g/dL"),
        ("4544-3", "0.45", "1", "45", "%"),
        ("2951-2", "140", "meq/L", "140", "mmol/L"),
        ("17861-6", "5.0", "meq/L", "10.0", "mg/dL"),
        ("19123-9", "2.0", "meq/L", "2.43", "mg/dL"),
        ("59261-8", "48", "mmol/mol", "6.54", "%"),
        ("9318-7", "3", "mg/mmol", "26.5", "mg/g"),
        ("3016-3", "2.5", "u[IU]/mL", "2.5", "m[IU]/L"),
        ("1742-6", "0.67", "ukat/L", "40.2", "U/L"),
        ("2345-7", "100", "mg/dL", "100", "mg/dL"),
    ],
)
def test_a_measurement_in_its_canonical_unit_has_the_digits_that_were_measured(
    loinc: str, value: str, unit: str, expected: str, target: str
) -> None:
    found = convert(Decimal(value), unit, measurands()[loinc])
    assert found is not None
    assert (str(found.value), found.unit) == (expected, target)


@pytest.mark.parametrize(
    ("loinc", "unit"),
    [
        ("6690-2", "mmol/L"),  # UCUM counts a mole as a number
        ("3016-3", "nmol/L"),  # international units are of a preparation
        ("3016-3", "mU/L"),
        ("2777-1", "meq/L"),  # no valence
        ("2345-7", "meq/L"),
        ("4548-4", "mmol/L"),
        ("8302-2", "kg"),
        ("2692-2", "mmol/kg"),  # how many particles a mole gives is not known
        ("8310-5", "nonsense"),
    ],
)
def test_there_is_no_way_between_units_of_different_kinds(loinc: str, unit: str) -> None:
    assert convert(Decimal(5), unit, measurands()[loinc]) is None


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1E+400", "1E-400"])
def test_what_is_no_reasonable_number_is_not_converted(value: str) -> None:
    assert convert(Decimal(value), "mmol/L", measurands()["2345-7"]) is None


def test_six_feet_are_183_centimetres_and_not_600() -> None:
    height = measurands()["8302-2"]
    assert agree(Decimal(6), "[ft_i]", Decimal(183), "cm", height) is True
    assert agree(Decimal(6), "[ft_i]", Decimal(600), "cm", height) is False
    assert agree(Decimal(6), "[ft_i]", Decimal(80), "kg", height) is None
    assert height.is_plausible(Decimal(183))
    assert not height.is_plausible(Decimal(600))


@given(st.sampled_from(AMA), st.decimals(min_value="0.01", max_value=10000, places=2))
def test_rounding_keeps_three_digits_and_never_more_than_half_of_the_third_is_lost(case: tuple, value: Decimal) -> None:
    loinc, conventional, si, _ = case
    found = convert(value, conventional, measurands()[loinc], si)
    assert found is not None
    assert abs(found.value - found.exact) <= abs(found.exact) * Decimal("0.00501")


def test_a_unit_as_a_hundred_spellings_leads_to_one_value() -> None:
    glucose = measurands()["2345-7"]
    values = {convert(Decimal(99), ucum_codes(text)[0], glucose).exact for text in ("mg/dL", "MG/DL", "mg/dl", "mg%")}
    assert values == {Decimal(99)}


def test_every_measurand_has_a_valid_unit_that_leads_to_itself_and_a_range() -> None:
    for code, measurand in measurands().items():
        assert measurand_of(code) is measurand
        assert ucum.is_valid(measurand.unit), measurand.name
        assert measurand.plausible is not None and measurand.plausible[0] < measurand.plausible[1]
        assert _has_right_check_digit(code), code
        for unit in measurand.equations:
            assert convert(Decimal(50), unit, measurand) is not None


def test_no_loinc_code_stands_for_two_measurands() -> None:
    listed = [code for measurand in set(measurands().values()) for code in measurand.loinc]
    assert len(listed) == len(set(listed)) == len(measurands())


def test_canonical_units_are_those_of_the_logical_tables() -> None:
    tables = LogicalTables.load()
    for name in ("vitals", "lab_results"):
        for column in tables.table(name).columns.values():
            codes = [part.rpartition("|")[2] for part in (column.select or "").partition("code=")[2].split(",")]
            for code in codes if column.unit else ():
                measurand = measurand_of(code)
                assert measurand is None or measurand.unit == column.unit, (name, column.name, code)


def test_a_molar_mass_is_the_sum_of_atomic_weights() -> None:
    assert molar_mass("C6H12O6") == Decimal("180.156")
    assert molar_mass("Ca") == Decimal("40.078")


def _has_right_check_digit(code: str) -> bool:
    """LOINC: modulus 10 (Users' Guide, appendix C)."""
    number, _, digit = code.partition("-")
    doubled = int(number[::-2][::-1]) * 2
    total = sum(map(int, number[-2::-2][::-1] + str(doubled)))
    return (10 - total % 10) % 10 == int(digit)
