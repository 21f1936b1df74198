"""The canonical quantity stands beside what was sent, which stays as it is."""

from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from healthsync.standards.fhir import validate
from healthsync.standards.units import TRANSLATION, canonical_quantities, canonical_quantity, measurands

UCUM = "http://unitsofmeasure.org"


def observation(loinc: str | None, value: str, unit: str | None = None, **more: Any) -> dict[str, Any]:
    coding = {"system": "http://loinc.org", "code": loinc} if loinc else {"system": "urn:x", "code": "LOCAL"}
    quantity = {"value": Decimal(value), **({"unit": unit} if unit else {}), **more}
    return {"resourceType": "Observation", "status": "final", "code": {"coding": [coding]}, "valueQuantity": quantity}


def beside(resource: dict[str, Any]) -> tuple[str, str] | None:
    for extension in resource["valueQuantity"].get("extension", ()):
        assert extension["url"] == TRANSLATION
        return str(extension["valueQuantity"]["value"]), extension["valueQuantity"]["code"]
    return None


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (observation("8302-2", "6", "ft"), ("183", "cm")),
        (observation("8310-5", "98.6", "F"), ("37.0", "Cel")),
        (observation("2345-7", "5.5", "mmol/L"), ("99.1", "mg/dL")),
        (observation("2345-7", "99", "mg/dl"), ("99", "mg/dL")),
        (observation("3016-3", "2.5", "mU/L"), ("2.5", "m[IU]/L")),
        (observation("3016-3", "2.5", "mU/L", system=UCUM, code="mU/L"), ("2.5", "m[IU]/L")),
        (observation("777-3", "250", "G/L"), ("250000", "/uL")),
        (observation("1751-7", "42", "G/L"), ("4.2", "g/dL")),
        (observation("2345-7", "99", "mg/dL", system=UCUM, code="mg/dL"), None),
        (observation("2160-0", "1.0", "milligrams", system="urn:x", code="MG/DL"), ("1.0", "mg/dL")),
        (observation(None, "88", "µmol/L"), ("88", "umol/L")),
        (observation(None, "88", "umol/L", system=UCUM, code="umol/L"), None),
        (observation(None, "5", "mU/L"), None),
        (observation(None, "5"), None),
    ],
)
def test_the_canonical_quantity_is_added_where_it_says_something_new(
    sent: dict[str, Any], expected: tuple[str, str] | None
) -> None:
    before = deepcopy(sent)
    result, issues = canonical_quantities(sent)
    assert (beside(result), issues, sent) == (expected, (), before)
    assert {k: v for k, v in result["valueQuantity"].items() if k != "extension"} == before["valueQuantity"]
    assert list(validate.structure(result)) == []


@pytest.mark.parametrize(
    ("sent", "issue"),
    [
        (observation("8302-2", "600", "cm"), "implausible-quantity"),
        (observation("8302-2", "6", "cm"), "implausible-quantity"),
        (observation("8310-5", "98.6", "Cel", system=UCUM, code="Cel"), "implausible-quantity"),
        (observation("2345-7", "99", "kg"), "unit-does-not-fit"),
        (observation("6690-2", "5", "mmol/L"), "unit-does-not-fit"),
        (observation("2345-7", "99", "see note"), "unit-unknown"),
        (observation(None, "99", "see note"), "unit-unknown"),
        (observation("2345-7", "99"), "unit-missing"),
        (
            observation(
                "8302-2",
                "6",
                "ft",
                extension=[{"url": TRANSLATION, "valueQuantity": {"value": Decimal(600), "unit": "cm"}}],
            ),
            "conversion-disagrees",
        ),
    ],
)
def test_what_is_wrong_with_a_unit_is_told_and_the_value_is_kept(sent: dict[str, Any], issue: str) -> None:
    result, issues = canonical_quantities(sent)
    assert issues == (issue,)
    assert result["valueQuantity"]["value"] == sent["valueQuantity"]["value"]


@pytest.mark.parametrize("loinc", ["6301-6", "2744-1"])
def test_a_ratio_needs_no_unit(loinc: str) -> None:
    assert canonical_quantities(observation(loinc, "7.2" if loinc == "2744-1" else "1.1"))[1] == ()


def test_components_have_canonical_quantities_of_their_own() -> None:
    part = {"code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]},
            "valueQuantity": {"value": Decimal("16.0"), "unit": "kPa"}}  # fmt: skip
    panel = {"resourceType": "Observation", "code": {"text": "blood pressure"}, "component": [part, {"code": {}}]}
    result, issues = canonical_quantities(panel)
    assert (beside(result["component"][0]), result["component"][1], issues) == (("120", "mm[Hg]"), {"code": {}}, ())


def test_a_comparator_stays_in_every_unit() -> None:
    result, _ = canonical_quantities(observation("2345-7", "2.0", "mmol/L", comparator="<"))
    assert result["valueQuantity"]["extension"][0]["valueQuantity"]["comparator"] == "<"


def test_a_stored_quantity_answers_the_value_in_which_it_is_compared() -> None:
    result, _ = canonical_quantities(observation("2345-7", "5.5", "mmol/L"))
    assert canonical_quantity(result["valueQuantity"]) == (Decimal("99.1"), "mg/dL")
    assert canonical_quantity({"value": Decimal(5), "system": UCUM, "code": "kg"}) == (Decimal(5), "kg")
    assert canonical_quantity({"value": Decimal(5), "unit": "kg"}) is None


@example("18262-6", Decimal(260), "MOL/L")
@given(
    st.sampled_from(sorted(measurands())),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**7), max_value=10**7),
    st.one_of(st.text(max_size=12), st.sampled_from(["mg/dL", "mmol/L", "K/uL", "F", "%", "meq/L", "ft"])),
)
def test_doing_it_twice_adds_nothing_and_no_value_is_ever_changed(loinc: str, value: Decimal, unit: str) -> None:
    sent = observation(loinc, str(value), unit or None)
    once, issues = canonical_quantities(sent)
    assert canonical_quantities(once) == (once, issues)
    assert once["valueQuantity"]["value"] == Decimal(str(value))
