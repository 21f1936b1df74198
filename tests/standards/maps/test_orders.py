"""ORM, OML, OMG, OMP and the order of a result: what is wanted, by whom, when, and what became of it."""

from __future__ import annotations

from typing import Any

import pytest

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import validate
from healthsync.standards.maps import Conversion, merged

from .golden_pairs import converted

PATIENT = "PID|1||P1^^^ZHOSP^MR||Wick^Ora^^^^^L||19520416|F"


def message(event: str, *segments: str) -> Conversion:
    head = rf"MSH|^~\&|ZHIS|ZHOSP|ZHUB|ZHIE|20240301120000+0000||{event}|K1|P|2.5.1"
    conversion = converted("\n".join([head, PATIENT, *segments]))
    for mapped in conversion.resources:
        assert validate.structure(mapped.resource) == [], mapped.type
    return conversion


def of_type(conversion: Conversion, resource_type: str) -> list[dict[str, Any]]:
    return [mapped.resource for mapped in conversion.resources if mapped.type == resource_type]


def only(conversion: Conversion, resource_type: str) -> dict[str, Any]:
    (found,) = of_type(conversion, resource_type)
    return found


def stored(*conversions: Conversion) -> dict[str, dict[str, Any]]:
    """What a store holds after these messages."""
    resources: dict[str, dict[str, Any]] = {}
    for conversion in conversions:
        for mapped in conversion.resources:
            resources[mapped.reference] = merged(resources.get(mapped.reference), mapped)
            assert validate.structure(resources[mapped.reference]) == [], mapped.type
    return resources


def order(control: str, status: str = "", number: str = "PO1") -> list[str]:
    return [f"ORC|{control}|{number}^EHR|||{status}", f"OBR|1|{number}^EHR||GLU^Glucose^L"]


@pytest.mark.parametrize(
    ("control", "status", "told"),
    [
        ("NW", "", "active"), ("CA", "", "revoked"), ("DC", "", "revoked"), ("HD", "", "on-hold"), ("RL", "", "active"),
        ("XO", "", "active"), ("RP", "", "revoked"), ("RO", "", "active"), ("SC", "CM", "completed"),
        ("SC", "HD", "on-hold"), ("SC", "ER", "entered-in-error"), ("SC", "", "unknown"), ("UC", "", "active"),
        ("NW", "IP", "active"), ("??", "??", "unknown"),
    ],
)  # fmt: skip
def test_the_status_of_an_order_is_that_of_orc_5_else_of_its_control_code(control: str, status: str, told: str) -> None:
    assert only(message("ORM^O01", *order(control, status)), "ServiceRequest")["status"] == told


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        (["NW"], ["CA"], "revoked"),
        (["CA"], ["NW"], "revoked"),
        (["SC", "CM"], ["NW"], "completed"),
        (["NW"], ["SC"], "active"),
        (["HD"], ["RL"], "active"),
    ],
)
def test_events_of_one_order_meet_in_one_resource_and_a_late_one_undoes_nothing(
    first: list[str], second: list[str], status: str
) -> None:
    resources = stored(message("ORM^O01", *order(*first)), message("ORM^O01", *order(*second)))
    (found,) = [r for r in resources.values() if r["resourceType"] == "ServiceRequest"]
    assert found["status"] == status


def test_a_cancellation_without_its_test_keeps_what_was_ordered() -> None:
    resources = stored(message("ORM^O01", *order("NW")), message("ORM^O01", "ORC|CA|PO1^EHR"))
    (found,) = [r for r in resources.values() if r["resourceType"] == "ServiceRequest"]
    assert (found["status"], found["code"]["coding"][0]["code"]) == ("revoked", "GLU")


def test_a_result_fulfils_the_order_and_changes_nothing_in_it() -> None:
    ordered = message("OML^O21^OML_O21", "ORC|NW|PO1^EHR||||||||||77^Arzt", "OBR|1|PO1^EHR||PANEL^Panel^L")
    result = message(
        "ORU^R01^ORU_R01", "ORC|RE|PO1^EHR|F1^LAB||CM", "OBR|1|PO1^EHR|F1^LAB|GLU^Glucose^L|||||||||||||||||||||F",
        "OBX|1|NM|GLU^Glucose^L||93||||||F",
    )  # fmt: skip
    resources = stored(ordered, result)
    (found,) = [r for r in resources.values() if r["resourceType"] == "ServiceRequest"]
    assert found["code"]["coding"][0]["code"] == "PANEL"
    assert found["status"] == "completed"
    assert {number["value"] for number in found["identifier"]} == {"PO1", "F1"}
    report = only(result, "DiagnosticReport")
    assert report["basedOn"] == [{"reference": f"ServiceRequest/{found['id']}"}]


def test_two_tests_under_one_order_number_are_two_orders() -> None:
    conversion = message(
        "OML^O21", "ORC|NW|PO1^EHR", "OBR|1|PO1^EHR||A^Alpha^L", "ORC|NW|PO1^EHR", "OBR|2|PO1^EHR||B^Beta^L"
    )
    codes = [found["code"]["coding"][0]["code"] for found in of_type(conversion, "ServiceRequest")]
    assert codes == ["A", "B"]


def test_what_is_said_around_an_order_hangs_on_it() -> None:
    conversion = message(
        "OML^O21", "ORC|NW|PO1^EHR", "TQ1|1||BID||||20240301100000+0000||A", "NTE|1||Before the test",
        "OBR|1|PO1^EHR||GLU^Glucose^L||||||||||||||||||||||||||||||", "NTE|1||About it", "DG1|1||E11^Diabetes^I10|||W",
        "OBX|1|ST|FAST^Fasting^L||Y||||||F", "NTE|1||About the answer", "SPM|1|S1&EHR||BLD^Blood^HL70487",
    )  # fmt: skip
    found = only(conversion, "ServiceRequest")
    assert [note["text"] for note in found["note"]] == ["Before the test", "About it"]
    assert found["priority"] == "asap"
    assert found["occurrenceTiming"]["repeat"]["frequency"] == 2
    assert found["reasonReference"] == [{"reference": f"Condition/{only(conversion, 'Condition')['id']}"}]
    assert found["supportingInfo"] == [{"reference": f"Observation/{only(conversion, 'Observation')['id']}"}]
    assert found["specimen"] == [{"reference": f"Specimen/{only(conversion, 'Specimen')['id']}"}]
    assert [note["text"] for note in only(conversion, "Observation")["note"]] == ["About the answer"]
    assert of_type(conversion, "DiagnosticReport") == []


def test_specimen_centred_orders_share_their_specimen() -> None:
    conversion = message(
        "OML^O33^OML_O33", "SPM|1|S1&EHR||BLD^Blood^HL70487", "ORC|NW|PO1^EHR", "OBR|1|PO1^EHR||A^Alpha^L",
        "ORC|NW|PO2^EHR", "OBR|1|PO2^EHR||B^Beta^L",
    )  # fmt: skip
    specimen = {"reference": f"Specimen/{only(conversion, 'Specimen')['id']}"}
    assert [found["specimen"] for found in of_type(conversion, "ServiceRequest")] == [[specimen], [specimen]]


@pytest.mark.parametrize(
    ("pattern", "repeat"),
    [
        ("BID", {"frequency": 2, "period": 1, "periodUnit": "d"}),
        ("Q6H", {"frequency": 1, "period": 6, "periodUnit": "h"}),
        ("Q2W", {"frequency": 1, "period": 2, "periodUnit": "wk"}),
        ("QOD", {"frequency": 1, "period": 2, "periodUnit": "d"}),
        ("Q0H", None), ("every now and then", None), ("PRN", None),
    ],
)  # fmt: skip
def test_a_repeat_pattern_becomes_numbers_where_it_has_some_and_text_otherwise(
    pattern: str, repeat: dict[str, Any] | None
) -> None:
    timing = only(
        message("OML^O21", "ORC|NW|PO1^EHR", f"TQ1|1||{pattern}", "OBR|1|PO1^EHR||A^Alpha^L"), "ServiceRequest"
    )
    assert timing["occurrenceTiming"].get("repeat") == repeat
    assert timing["occurrenceTiming"]["code"]["text"] == pattern


def test_an_order_that_replaces_another_refers_to_it() -> None:
    conversion = message(
        "ORM^O01", "ORC|RP|PO1^EHR", "OBR|1|PO1^EHR||A^Alpha^L", "ORC|RO|PO2^EHR", "OBR|1|PO2^EHR||A^Alpha^L"
    )
    old, new = of_type(conversion, "ServiceRequest")
    assert new["replaces"] == [{"reference": f"ServiceRequest/{old['id']}"}]


def test_the_specimen_of_obr_15_is_told_once_also_where_spm_repeats_it() -> None:
    obr = "OBR|1|PO1^EHR||A^Alpha^L|||20240301080000+0000||||||||BLD^EDTA&With EDTA&HL70371^drawn twice"
    alone = only(message("OML^O21", "ORC|NW|PO1^EHR", obr), "Specimen")
    assert alone["type"]["coding"][0]["code"] == "BLD"
    assert alone["note"] == [{"text": "drawn twice"}]
    both = message("OML^O21", "ORC|NW|PO1^EHR", obr, "SPM|1|S1&EHR||SER^Serum^HL70487")
    assert only(both, "Specimen")["type"]["coding"][0]["code"] == "SER"
    assert only(both, "Specimen")["note"] == [{"text": "drawn twice"}]


@pytest.mark.parametrize("event", ["ORR^O02", "ORL^O22^ORL_O22", "ACK^O01", "RRE^O12"])
def test_an_answer_is_refused_with_a_sentence_that_says_it_is_one(event: str) -> None:
    with pytest.raises(InvalidInput, match="answers a message") as refusal:
        message(event, *order("OK"))
    assert refusal.value.code == "not-supported"


def test_a_diet_is_a_nutrition_order() -> None:
    conversion = message(
        "OMD^O03", "ORC|NW|D1^EHR||||||||||77^Arzt", "ODS|S||FS^Fibre^L", "ORC|NW|D2^EHR", "ODS|P||VEG^Vegetarian^L"
    )
    supplement, preference = of_type(conversion, "NutritionOrder")
    assert supplement["supplement"][0]["type"]["coding"][0]["code"] == "FS"
    assert preference["foodPreferenceModifier"][0]["coding"][0]["code"] == "VEG"
    assert supplement["dateTime"] == "2024-03-01T12:00:00+00:00"
