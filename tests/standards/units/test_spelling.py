"""Units as messages write them, and the UCUM code that is meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.standards import ucum
from healthsync.standards.units import ucum_code, ucum_codes

WRITTEN = {
    "mg/dL": "mg/dL mg/dl MG/DL Mg/dL mgs/dL mg% mg/100mL",
    "g/dL": "g/dL gm/dL GM/DL G/DL g% gm/dl",
    "ng/mL": "ng/mL NG/ML ng/ml ngm/mL ng/cc",
    "ug/dL": "mcg/dL ug/dl µg/dL μg/dL MCG/DL",
    "mg/mL": "MG/ML mg/ml mg/cc",
    "umol/L": "umol/l µmol/L UMOL/L micromol/L",
    "10*3/uL": "10*3/uL 10^3/uL x10^3/uL X10E3/UL 10E3/uL 10+3/ul x10(3)/mcL 10**3/uL K/uL K/mcL k/mm3 thou/mm3 TH/UL thousand/uL",
    "10*6/uL": "M/uL 10E6/uL mil/uL million/mm3 x10*6/uL",
    "10*9/L": "10^9/L 10*9/l 10E9/L Gpt/l giga/L",
    "10*12/L": "10*12/L 10^12/l Tpt/L T/L",
    "mm[Hg]": "mmHg mm(hg) MMHG mm[Hg] torr mm_hg",
    "/min": "bpm BPM /min 1/min",
    "[degF]": "degF F °F fahrenheit [degF]",
    "Cel": "degC C °C ℃ ºC celsius CEL Cel",
    "meq/L": "mEq/L MEQ/L meq/l mval/L",
    "m[IU]/L": "mIU/L MIU/L m[IU]/L mIU/l",
    "u[IU]/mL": "uIU/mL UIU/ML mcIU/mL",
    "mm/h": "mm/hr MM/HR mm/h mm/hour",
    "mL/min/{1.73_m2}": "mL/min/1.73m2 ml/min/1.73m^2 mL/min/1.73m²",
    "[lb_av]": "lb lbs LB pounds [lb_av]",
    "[in_i]": "in inch inches IN",
    "[ft_i]": "ft feet FT",
    "mosm/kg": "mOsm/kg mosm/kg mOsmol/kg",
    "kg/m2": "kg/m2 kg/m^2 KG/M2 kg/m²",
    "/[HPF]": "/hpf /HPF #/hpf",
    "[pH]": "pH PH",
    "mg/(24.h)": "mg/24h mg/24hr mg/(24.hr)",
    "a": "yr years",
    "%": "% %O2 percent",
    "fL": "fL fl FL",
}


@pytest.mark.parametrize(("code", "texts"), WRITTEN.items())
def test_a_unit_is_understood_in_every_form_that_is_in_use(code: str, texts: str) -> None:
    assert {text: ucum_code(text) for text in texts.split()} == dict.fromkeys(texts.split(), code)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("mm Hg", "mm[Hg]"),
        ("breaths per minute", "{breaths}/min"),
        ("mL/min/1.73 sq m", "mL/min/{1.73_m2}"),
        ("  mg/dL  ", "mg/dL"),
        ("mg/g creat", "mg/g"),
        ("mg/24 hours", "mg/(24.h)"),
    ],
)
def test_blanks_do_not_matter(text: str, code: str) -> None:
    assert ucum_code(text) == code


def test_what_is_written_for_two_units_is_not_decided_without_the_measurement() -> None:
    assert ucum_codes("mU/L") == ("mU/L", "m[IU]/L")
    assert ucum_codes("G/L") == ("10*9/L", "g/L")
    assert ucum_codes("IU/L") == ("[IU]/L", "U/L")
    assert ucum_code("mU/L") is None


@pytest.mark.parametrize("text", ["", " ", "nonsense", "see comment", "mg/dL/", "m" * 65, "ratio of 5", "NEG", "\x00"])
def test_what_is_no_unit_is_none(text: str) -> None:
    assert ucum_codes(text) == ()


@pytest.mark.parametrize("text", ["mS", "MBq", "kPa", "ms", "mmol/mol", "{score}", "[arb'U]"])
def test_ucum_stays_ucum(text: str) -> None:
    assert ucum_codes(text) == (text,)


@given(st.text(max_size=70))
def test_whatever_is_written_the_answer_is_valid_ucum_or_nothing(text: str) -> None:
    assert all(ucum.is_valid(code) for code in ucum_codes(text))


@given(st.sampled_from([code for code in WRITTEN if ucum_codes(code) == (code,)]))
def test_a_code_that_was_understood_is_understood_as_itself(code: str) -> None:
    assert ucum_code(ucum_code(code) or "") == code
