"""SRM: an appointment that is asked for. RGV: a medicine that is to be given. PV1, XTN, NDL: what is told beside."""

from __future__ import annotations

from typing import Any

import pytest

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import validate
from healthsync.standards.maps import Conversion

from .golden_pairs import converted

REQUEST = """MSH|^~\\&|GP|PRACTICE|||20240301||SRM^{trigger}^SRM_S01|1|P|2.5.1
ARQ|A77^GP||||||CHECKUP^Routine|ROUTINE^^HL70276|30|min|20240310^20240320|||||||||||||O5^GP
PID|1||7^^^A^MR||Doe^Jo
RGS|1|A
AIS|1|A|ECHO^Echocardiography^L
AIP|1|A|4711^Marsh^Helen
"""
GIVE = """MSH|^~\\&|RX|BENCH|||20240301||RGV^O15^RGV_O15|2|P|2.5.1
PID|1||7^^^A^MR||Doe^Jo
ORC|RE|P1^EHR|F1^RX
RXG|1|||RX11289^Amoxicillin 500mg^L|500||mg^^UCUM||^with food|||||||||||||J18.9^Pneumonia^I10
TQ1|1||||||202403011200
RXR|PO^Oral^HL70162
RXG|2|||RX11289^Amoxicillin 500mg^L|500||mg^^UCUM
TQ1|1||||||202403012000
"""


def all_of(conversion: Conversion, kind: str) -> list[dict[str, Any]]:
    return [mapped.resource for mapped in conversion.resources if mapped.type == kind]


def test_a_requested_appointment_is_proposed_and_has_no_time_but_a_wish() -> None:
    told = converted(REQUEST.format(trigger="S01"))
    (asked,) = all_of(told, "Appointment")
    assert asked["status"] == "proposed" and "start" not in asked
    assert asked["requestedPeriod"] == [{"start": "2024-03-10", "end": "2024-03-20"}]
    assert asked["minutesDuration"] == 30 and asked["basedOn"][0]["identifier"]["value"] == "O5"
    statuses = {entry["actor"]["reference"].partition("/")[0]: entry["status"] for entry in asked["participant"]}
    assert statuses == {"Patient": "accepted", "Practitioner": "needs-action"}
    assert validate.structure(asked) == [] and told.unmapped == {} and told.issues == []


def test_a_request_that_arrives_late_takes_back_no_booking() -> None:
    told = converted(REQUEST.format(trigger="S01"))
    (asked,) = [mapped for mapped in told.resources if mapped.type == "Appointment"]
    assert asked.unless["status"] == ("*",)


@pytest.mark.parametrize("trigger", ["S02", "S04", "S11"])
def test_a_request_to_change_an_appointment_is_refused_with_a_sentence(trigger: str) -> None:
    with pytest.raises(InvalidInput, match="tells nothing that has happened"):
        converted(REQUEST.format(trigger=trigger))


def test_the_answer_to_a_request_is_refused_as_an_answer() -> None:
    with pytest.raises(InvalidInput, match=r"SRR\^S01 answers a message"):
        converted("MSH|^~\\&|A|B|||20240301||SRR^S01|1|P|2.5.1\nMSA|AA|9\nPID|1||7")


def test_each_giving_that_is_arranged_is_an_instance_of_its_order_not_something_done() -> None:
    told = converted(GIVE)
    first, second = all_of(told, "MedicationRequest")
    assert not all_of(told, "MedicationAdministration") and not all_of(told, "MedicationDispense")
    assert {first["intent"], second["intent"]} == {"instance-order"} and first["status"] == "active"
    assert first["basedOn"][0]["identifier"]["value"] == "P1" and first["id"] != second["id"]
    (dosage,) = first["dosageInstruction"]
    assert dosage["doseAndRate"][0]["doseQuantity"]["code"] == "mg" and dosage["route"]["coding"][0]["code"] == "PO"
    assert (
        "timing" in dosage
        and "timing" in second["dosageInstruction"][0]
        and "route" not in second["dosageInstruction"][0]
    )
    assert first["note"] == [{"text": "with food"}] and first["reasonCode"][0]["coding"][0]["code"] == "J18.9"
    assert told.unmapped == {} and all(validate.structure(mapped.resource) == [] for mapped in told.resources)


def test_a_giving_that_is_cancelled_is_cancelled() -> None:
    (first, _) = all_of(converted(GIVE.replace("ORC|RE", "ORC|CA")), "MedicationRequest")
    assert first["status"] == "cancelled"


ADMISSION = """MSH|^~\\&|ADT|BENCH|||20240301||ADT^A01|1|P|2.5.1
PID|1||7^^^A^MR||Doe^Jo||||||||{phone}
PV1|1|I|{place}||||4711^Marsh^Helen^^^^^^BENCH|4711^Marsh^H^^^^^^BENCH~4711^Marsh^Helen^^^Dr^^^BENCH|||||||||||9^^^A^ACSN
"""


@pytest.mark.parametrize(
    ("sent", "told", "beside"),
    [
        ("^PRS^CP^jo@example.org^1^555^1234567^^^^^+1 555 1234567", "+1 555 1234567", {"PID-13.4": 1}),
        ("^PRN^PH^jo@example.org^1^555^1234567", "+1 555 1234567", {"PID-13.4": 1}),
        ("5551234^PRN^Internet^jo@example.org", "jo@example.org", {}),
        ("^NET^^jo@example.org", "jo@example.org", {}),
    ],
)
def test_a_telephone_number_is_not_lost_beside_an_address_on_the_net(
    sent: str, told: str, beside: dict[str, int]
) -> None:
    found = converted(ADMISSION.format(phone=sent, place=""))
    assert [each["value"] for each in all_of(found, "Patient")[0]["telecom"]] == [told]
    assert found.unmapped == beside


def test_a_number_with_several_names_keeps_the_names_that_say_something_of_their_own() -> None:
    (doctor,) = all_of(converted(ADMISSION.format(phone="", place="")), "Practitioner")
    assert doctor["name"] == [
        {"family": "Marsh", "given": ["H"]},
        {"family": "Marsh", "given": ["Helen"], "prefix": ["Dr"]},
    ]


def test_the_visit_number_is_one_beside_the_type_that_was_sent() -> None:
    (visit,) = all_of(converted(ADMISSION.format(phone="", place="")), "Encounter")
    kind = visit["identifier"][0]["type"]
    assert [coding["code"] for coding in kind["coding"]] == ["ACSN", "VN"] and kind["text"] == "visit number"


def test_a_place_that_is_only_described_is_the_place_of_that_name() -> None:
    first, again = (converted(ADMISSION.format(phone="", place="^^^^^^^^Behind the garden")) for _ in range(2))
    (place,) = all_of(first, "Location")
    assert place["name"] == "Behind the garden" and place == all_of(again, "Location")[0]
    assert validate.structure(place) == []


def test_the_comprehensive_number_and_the_state_of_a_place_are_told() -> None:
    sent = "3WEST^312^A^BENCH^active^N^^^^4712&REG^REG"
    told = converted(ADMISSION.format(phone="", place=sent))
    *levels, place = all_of(told, "Location")
    assert place["status"] == "active" and not any("status" in level for level in levels)
    assert [number["value"] for number in place["identifier"]] == ["3WEST/312/A", "A", "4712"]
    assigner = next(each for each in all_of(told, "Organization") if each["name"] == "REG")
    assert place["identifier"][-1]["assigner"]["reference"] == f"Organization/{assigner['id']}"


def test_a_comprehensive_number_without_an_authority_of_its_own_is_one_of_the_authority_inside_it() -> None:
    told = converted(ADMISSION.format(phone="", place="3WEST^^^BENCH^^^^^^4712&REG&1.2.3&ISO"))
    number = all_of(told, "Location")[-1]["identifier"][-1]
    (assigner,) = [each for each in all_of(told, "Organization") if each["name"] == "REG"]
    assert number["system"] == "urn:oid:1.2.3" and number["assigner"]["reference"].endswith(assigner["id"])
    assert {(each.get("system"), each["value"]) for each in assigner["identifier"]} == {
        ("urn:ietf:rfc:3986", "urn:oid:1.2.3"), (None, "REG")
    }  # fmt: skip
    assert assigner["identifier"][0]["type"]["coding"][0]["code"] == "ISO"


def test_each_level_of_a_place_is_a_place_and_part_of_the_one_around_it() -> None:
    told = all_of(converted(ADMISSION.format(phone="", place="3WEST&9.1&ISO^312^A^BENCH^^^North^2")), "Location")
    assert [place["physicalType"]["coding"][0]["code"] for place in told] == ["si", "bu", "lvl", "wa", "ro", "bd"]
    assert [place["identifier"][-1]["value"] for place in told] == ["BENCH", "North", "2", "9.1", "312", "A"]
    assert [place.get("partOf") for place in told] == [
        None, *({"reference": f"Location/{place['id']}"} for place in told[:-1])
    ]  # fmt: skip
    assert all(validate.structure(place) == [] for place in told)


def test_a_bed_is_one_place_in_all_messages_and_its_ward_is_the_one_that_others_name() -> None:
    def ids(place: str) -> list[str]:
        return [each["id"] for each in all_of(converted(ADMISSION.format(phone="", place=place)), "Location")]

    bed, other = ids("3WEST^312^A^BENCH"), ids("3WEST^312^B^BENCH^active")
    assert bed == ids("3WEST^312^A^BENCH") and bed[:-1] == other[:-1] and bed[-1] != other[-1]
    assert ids("3WEST^^^BENCH") == bed[:2]
    assert not set(ids("3WEST^312^A^OTHER")) & set(bed)


def test_a_bed_of_no_room_is_not_a_room() -> None:
    place = all_of(converted(ADMISSION.format(phone="", place="ICU^^2^BENCH")), "Location")[-1]
    assert place["identifier"][0]["value"] == "ICU//2" and place["physicalType"]["coding"][0]["code"] == "bd"


RESULT = """MSH|^~\\&|LAB|BENCH|||20240301||ORU^R01|1|P|2.5.1
SFT|Vendor|1.2|Product|bin|about it|20200101
PID|1||7^^^A^MR
OBR|1||9|2345-7^Glucose^LN|||20240301|||||||||||||||202403011200|||F|||||||{interpreter}
OBX|1|SN|2345-7^Glucose^LN||{value}|mg/dL|||||F
"""


def test_an_interpreter_with_a_place_has_a_practitioner_role_there() -> None:
    with_place = converted(RESULT.format(interpreter="71&Doe&Jane^20240101^^WARD^12^A^HOSP^active^^B2^F3", value="^5"))
    (role,) = all_of(with_place, "PractitionerRole")
    assert role["period"] == {"start": "2024-01-01"} and role["location"] and role["practitioner"]
    (report,) = all_of(with_place, "DiagnosticReport")
    assert report["resultsInterpreter"] == [role["practitioner"]]
    alone = converted(RESULT.format(interpreter="71&Doe&Jane", value="^5"))
    assert not all_of(alone, "PractitionerRole")
    assert all_of(alone, "DiagnosticReport")[0]["resultsInterpreter"][0]["reference"].startswith("Practitioner/")


def test_the_software_that_wrote_a_message_is_a_device_of_its_provenance() -> None:
    told = converted(RESULT.format(interpreter="", value="^5"))
    (software,) = all_of(told, "Device")
    assert software["version"] == [{"value": "1.2"}] and software["deviceName"][0]["name"] == "Product"
    agents = all_of(told, "Provenance")[0]["agent"]
    assert agents[-1]["who"] == {"reference": f"Device/{software['id']}"}
    assert agents[-1]["type"]["coding"][0]["code"] == "assembler"
    assert validate.structure(software) == []


@pytest.mark.parametrize(
    ("sent", "element", "reported"),
    [
        ('"^1^:^3', "valueRatio", True),
        ("-^1^-^3", "valueRange", True),
        ("^1^-^3", "valueRange", False),
        ("≥^5", "valueQuantity", False),
        (">^1^.^3", "valueString", False),
        ("?^1", "valueString", False),
    ],
)
def test_a_comparator_that_is_none_is_kept_as_it_was_written_and_reported(
    sent: str, element: str, reported: bool
) -> None:
    told = converted(RESULT.format(interpreter="", value=sent))
    (seen,) = all_of(told, "Observation")
    assert element in seen
    assert (("comparator-unknown", "OBX-5") in {(issue.code, issue.path) for issue in told.issues}) is reported
    assert ("extension" in seen[element]) is reported if isinstance(seen[element], dict) else not reported
