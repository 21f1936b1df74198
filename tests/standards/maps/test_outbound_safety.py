"""FHIR → v2: nobody who gets a message may do what is not so. States, negations, notes, texts, times and numbers."""

from __future__ import annotations

import base64
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from healthsync.errors import InvalidInput
from healthsync.standards.hl7v2 import Message
from healthsync.standards.maps.outbound import Content, build, references_of, untellable

from .outbound_pairs import HEADER, RESOURCES, ROOTS, concept, number, ref
from .round_trips import again

TERMS = "http://terminology.hl7.org/CodeSystem"


def sent(message_type: str, changed: str = "UPDATE", others: dict[str, Any] | None = None, **changes: Any) -> Message:
    """The message about the golden resource of its type with these changes; None takes an element away."""
    kind = {"SIU": "SIU^S12", "MDM": "MDM^T02", "ADT": "ADT^A01"}.get(message_type[:3], message_type)
    root = {name: value for name, value in (RESOURCES[ROOTS[kind]] | changes).items() if value is not None}
    return Message.parse(build(message_type, Content(root, RESOURCES | (others or {}), changed), HEADER))


def status_of(kind: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": f"{TERMS}/{kind}", "code": code}]}


# --- orders ---


@pytest.mark.parametrize("message_type", ["ORM^O01", "OML^O21"])
@pytest.mark.parametrize(
    "changes",
    [
        {"doNotPerform": True},
        {"intent": "proposal"},
        {"intent": "plan"},
        {"intent": "option"},
        {"intent": "directive"},
        {"modifierExtension": [{"url": "https://example.org/not", "valueBoolean": True}]},
    ],
    ids=str,
)
def test_what_is_not_ordered_is_no_order(message_type, changes):
    with pytest.raises(InvalidInput, match=r"cannot|is none"):
        sent(message_type, **changes)


@pytest.mark.parametrize("status", ["draft", "unknown", "completed", "revoked", "entered-in-error", "on-hold"])
@pytest.mark.parametrize("changed", ["INSERT", "UPDATE"])
def test_only_an_active_order_is_to_be_carried_out(status, changed):
    message = sent("ORM^O01", changed, status=status)
    assert message.get("ORC-1") in ("SC", "CA", "HD") and message.get("ORC-5") not in ("IP", "RP")
    assert message.get("ORC-9") == "", "when it was ordered is not when it was cancelled"


def test_a_time_at_which_an_order_is_due_is_not_the_time_at_which_its_specimen_was_taken():
    message = sent("ORM^O01", "INSERT", specimen=None)
    assert (message.get("OBR-6"), message.get("OBR-7")) == ("20260506080000+0000", "")


@pytest.mark.parametrize(
    ("timing", "fields"),
    [
        ({"code": {"coding": [{"system": f"{TERMS}/v3-GTSAbbreviation", "code": "BID"}]}}, {3: "BID"}),
        ({"repeat": {"frequency": 1, "period": 6, "periodUnit": "h", "count": 4}}, {3: "Q6H", 14: "4"}),
        ({"repeat": {"frequency": 2, "period": 1, "periodUnit": "d"}}, {3: "BID"}),
        (
            {"repeat": {"timeOfDay": ["08:00:00"], "frequency": 1, "period": 1, "periodUnit": "d"}},
            {3: "QD", 4: "080000"},
        ),
        (
            {"repeat": {"boundsDuration": {"value": Decimal(4), "code": "d", "system": "http://unitsofmeasure.org"}}},
            {6: "4"},
        ),
    ],
    ids=str,
)
def test_how_often_an_order_is_due_is_said_as_a_repeat_pattern(timing, fields):
    tq1 = sent("OML^O21", "INSERT", occurrenceDateTime=None, occurrenceTiming=timing).all("TQ1")[0]
    assert {field: tq1.get(field) for field in fields} == fields


def test_a_modifier_that_only_its_author_understands_keeps_the_message_back_wherever_it_stands():
    modifier = [{"url": "https://example.org/opposite", "valueBoolean": True}]
    part = RESOURCES["Observation/bp"]["component"][0] | {"modifierExtension": modifier}
    with pytest.raises(InvalidInput, match="modifier extension"):
        sent("ORU^R01", others={"Observation/bp": RESOURCES["Observation/bp"] | {"component": [part]}})


# --- results ---


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("registered", "I"), ("preliminary", "P"), ("partial", "A"), ("final", "F"), ("amended", "C"), ("corrected", "C"),
        ("appended", "C"), ("cancelled", "X"), ("entered-in-error", "X"), ("unknown", "R"),
    ],
)  # fmt: skip
def test_a_report_says_how_far_it_may_be_relied_on(status, code):
    assert sent("ORU^R01", status=status).get("OBR-25") == code


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("registered", "I"), ("preliminary", "P"), ("final", "F"), ("amended", "C"), ("corrected", "C"),
        ("cancelled", "X"), ("entered-in-error", "W"), ("unknown", "R"),
    ],
)  # fmt: skip
def test_a_result_says_how_far_it_may_be_relied_on(status, code):
    observation = RESOURCES["Observation/obs"] | {"status": status}
    assert sent("ORU^R01", others={"Observation/obs": observation}).all("OBX")[0].get(11) == code


@pytest.mark.parametrize(
    ("status", "reason", "code"),
    [("final", "error", "X"), ("corrected", "masked", "X"), ("preliminary", "temp-unknown", "P"), ("unknown", "not-asked", "N")],
)  # fmt: skip
def test_a_result_without_a_value_is_not_told_as_a_result(status, reason, code):
    absent = {"status": status, "dataAbsentReason": status_of("data-absent-reason", reason), "valueQuantity": None}
    observation = {name: value for name, value in (RESOURCES["Observation/obs"] | absent).items() if value is not None}
    obx = sent("ORU^R01", others={"Observation/obs": observation}).all("OBX")[0]
    assert (obx.get(5), obx.get(11)) == ("", code)


def test_a_withdrawn_report_withdraws_each_of_its_results():
    form = {"contentType": "application/pdf", "data": "JVBERi0="}
    message = sent("ORU^R01", status="entered-in-error", presentedForm=[form])
    assert [obx.get(11) for obx in message.all("OBX")] == ["W"] * 4


def test_notes_stand_behind_the_result_that_they_are_about():
    other = RESOURCES["Observation/obs"] | {"id": "two", "code": concept("4544-3", "Hct"), "note": [{"text": "second"}]}
    results = [ref("Observation/obs"), ref("Observation/two")]
    message = sent("ORU^R01", others={"Observation/two": other}, result=results)
    told = [segment for segment in message.segments if segment.name in ("OBX", "NTE")]
    assert [(s.name, s.get(1), s.get(3)) for s in told] == [
        ("OBX", "1", "718-7"), ("NTE", "1", "checked\ntwice"), ("OBX", "2", "4544-3"), ("NTE", "1", "second"),
    ]  # fmt: skip


def test_a_report_s_own_document_is_sent_once_beside_its_results():
    form = {"contentType": "application/pdf", "url": "Binary/b1", "title": "Report"}
    binary = {"resourceType": "Binary", "id": "b1", "contentType": "application/pdf", "data": "JVBERi0="}
    seen = {
        "resourceType": "Observation", "id": "pic", "status": "final", "code": concept("PDF", "Report"),
        "extension": [{"url": "http://hl7.org/fhir/5.0/StructureDefinition/extension-Observation.value", "valueAttachment": form}],
    }  # fmt: skip
    along = {"Binary/b1": binary, "Observation/pic": seen}
    for results in ([], [ref("Observation/pic")]):
        message = sent("ORU^R01", others=along, presentedForm=[form], result=results)
        assert [(obx.get(2), obx.get(5, 1, 5)) for obx in message.all("OBX")] == [("ED", "JVBERi0=")]


def test_a_performer_who_is_only_a_name_is_a_person():
    observation = RESOURCES["Observation/obs"] | {"performer": [{"display": "Okafor, Ada"}]}
    obx = sent("ORU^R01", others={"Observation/obs": observation}).all("OBX")[0]
    assert (obx.get(16, 1, 2), obx.get(15), obx.get(23)) == ("Okafor", "", "")


# --- the patient and the visit ---


@pytest.mark.parametrize(
    "changes",
    [
        {"verificationStatus": status_of("allergyintolerance-verification", "refuted")},
        {"verificationStatus": status_of("allergyintolerance-verification", "entered-in-error")},
        {"clinicalStatus": status_of("allergyintolerance-clinical", "resolved")},
        {"clinicalStatus": status_of("allergyintolerance-clinical", "inactive")},
    ],
    ids=str,
)
def test_an_allergy_that_the_patient_has_not_is_left_out(changes):
    allergy = {
        "resourceType": "AllergyIntolerance",
        "id": "a",
        "patient": ref("Patient/pat"),
        "code": concept("1", "nuts"),
    }
    assert len(sent("ADT^A08", others={"AllergyIntolerance/a": allergy}).all("AL1")) == 1
    assert not sent("ADT^A08", others={"AllergyIntolerance/a": allergy | changes}).all("AL1")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, [("W", "")]),
        ({"verificationStatus": status_of("condition-ver-status", "confirmed")}, [("F", "")]),
        ({"verificationStatus": status_of("condition-ver-status", "refuted")}, []),
        ({"verificationStatus": status_of("condition-ver-status", "entered-in-error")}, [("W", "D")]),
        ({"clinicalStatus": status_of("condition-clinical", "resolved")}, []),
    ],
    ids=str,
)
def test_a_diagnosis_that_was_ruled_out_is_left_out_and_an_error_taken_back(changes, told):
    condition = {
        "resourceType": "Condition",
        "id": "c",
        "subject": ref("Patient/pat"),
        "code": concept("I10", "x"),
    } | changes
    dg1 = sent("ADT^A08", others={"Condition/c": condition}).all("DG1")
    assert [(each.get(6), each.get(21)) for each in dg1] == told


def test_a_diagnosis_of_the_visit_that_is_over_is_still_one_of_the_visit():
    over = {"clinicalStatus": status_of("condition-clinical", "resolved")}
    condition = {
        "resourceType": "Condition",
        "id": "c",
        "subject": ref("Patient/pat"),
        "code": concept("I10", "x"),
    } | over
    diagnoses = [{"condition": ref("Condition/c"), "rank": 1}]
    assert sent("ADT^A08", others={"Condition/c": condition}, diagnosis=diagnoses).all("DG1")[0].get(15) == "1"


@pytest.mark.parametrize("message_type", ["ADT^A01", "ADT^A03", "ADT^A04", "ADT^A08"])
@pytest.mark.parametrize("status", ["cancelled", "entered-in-error"])
def test_a_visit_that_there_is_not_is_not_told(message_type, status):
    with pytest.raises(InvalidInput, match=f"whose status is {status}"):
        sent(message_type, status=status)
    visit = RESOURCES["Encounter/enc"] | {"status": "entered-in-error"}
    assert not sent("ORU^R01", others={"Encounter/enc": visit}).all("PV1")


@pytest.mark.parametrize(
    ("message_type", "status"),
    [("ADT^A01", "planned"), ("ADT^A04", "planned"), ("ADT^A03", "in-progress"), ("ADT^A03", "onleave")],
)
def test_nobody_is_admitted_before_he_comes_or_discharged_while_he_is_there(message_type, status):
    with pytest.raises(InvalidInput, match=f"whose status is {status}"):
        sent(message_type, status=status)
    assert sent("ADT^A08", status=status).get("PV1-19") == "V9"


@pytest.mark.parametrize("message_type", ["ADT^A08", "ADT^A28", "ADT^A31"])
def test_a_patient_that_was_given_up_does_not_come_back(message_type):
    given_up = RESOURCES["Patient/old"] | {
        "active": False, "link": [{"other": ref("Patient/pat"), "type": "replaced-by"}],
    }  # fmt: skip
    with pytest.raises(InvalidInput, match="given up"):
        build(message_type, Content(given_up), HEADER)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"deceasedBoolean": True}, ("", "Y")),
        ({"deceasedBoolean": False}, ("", "N")),
        ({"deceasedDateTime": "2026-05-01"}, ("20260501", "Y")),
    ],
    ids=str,
)
def test_a_death_is_told(changes, told):
    patient = RESOURCES["Patient/pat"] | changes
    message = Message.parse(build("ADT^A31", Content(patient), HEADER))
    assert (message.get("PID-29"), message.get("PID-30")) == told


def test_a_patient_or_a_visit_without_a_number_is_sent_under_the_number_that_the_hub_gave():
    patient = RESOURCES["Patient/pat"] | {"identifier": [{"system": "urn:x"}], "name": None}
    message = sent("ADT^A01", others={"Patient/pat": {k: v for k, v in patient.items() if v}}, identifier=None)
    assert (message.get("PID-3"), message.get("PID-3.4"), message.get("PID-3.5")) == ("pat", "HUB", "RI")
    assert (message.get("PID-5.7"), message.get("PV1-19"), message.get("PV1-19.5")) == ("U", "enc", "VN")


# --- appointments, vaccines, documents, charges ---


@pytest.mark.parametrize("message_type", ["SIU^S15", "SIU^S26"])
@pytest.mark.parametrize("status", ["booked", "pending", "arrived", "fulfilled"])
def test_an_appointment_that_takes_place_is_not_called_off(message_type, status):
    with pytest.raises(InvalidInput, match=f"whose status is {status}"):
        sent(message_type, status=status)


@pytest.mark.parametrize("status", ["cancelled", "noshow", "entered-in-error"])
def test_an_appointment_that_does_not_take_place_is_not_booked(status):
    for message_type in ("SIU^S12", "SIU^S13", "SIU^S14"):
        with pytest.raises(InvalidInput, match=f"whose status is {status}"):
            sent(message_type, status=status)
    message_type, filler = ("SIU^S26", "Noshow") if status == "noshow" else ("SIU^S15", "")
    message = sent(message_type, status=status)
    assert message.get("SCH-6") == message_type[-3:]
    assert message.get("SCH-25") in (filler or ("Cancelled", "Deleted"))


@pytest.mark.parametrize(
    ("status", "told"),
    [("accepted", "Booked"), ("declined", "Cancelled"), ("tentative", "Pending"), ("needs-action", "Pending")],
)
def test_who_has_declined_is_not_booked(status, told):
    coming = [{"status": status, "actor": ref("Practitioner/doc")}, {"status": "accepted", "actor": ref("Patient/pat")}]
    assert sent("SIU^S12", participant=coming).all("AIP")[0].get(12) == told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"status": "completed"}, ("CP", "U", "0.5")),
        ({"status": "not-done"}, ("NA", "U", "999")),
        ({"status": "not-done", "statusReason": status_of("v3-ActReason", "PATOBJ")}, ("RE", "U", "999")),
        ({"status": "not-done", "statusReason": status_of("v3-ActReason", "OSTOCK")}, ("NA", "U", "999")),
        ({"status": "entered-in-error"}, ("CP", "D", "0.5")),
    ],
    ids=str,
)
def test_a_vaccine_that_was_not_given_is_not_told_as_given(changes, told):
    message = sent("VXU^V04", **changes)
    assert (message.get("RXA-20"), message.get("RXA-21")) == told[:2]
    assert message.get("RXA-6") == told[2]


def test_a_withdrawn_document_is_cancelled_and_not_sent_once_more():
    with pytest.raises(InvalidInput, match="whose status is current"):
        sent("MDM^T11")
    with pytest.raises(InvalidInput, match="whose status is entered-in-error"):
        sent("MDM^T02", status="entered-in-error")
    message = sent("MDM^T11", status="entered-in-error")
    assert (message.get("TXA-19"), message.get("TXA-12"), message.all("OBX")) == ("CA", "DOC-1", [])


def test_what_takes_the_place_of_a_document_names_it():
    before = RESOURCES["DocumentReference/doc1"] | {"id": "doc0", "masterIdentifier": number("DOC-0")}
    relation = [{"code": "replaces", "target": ref("DocumentReference/doc0")}]
    changed = RESOURCES["DocumentReference/doc1"] | {"relatesTo": relation}
    assert ("DocumentReference", "doc0") in references_of(changed)
    assert sent("MDM^T10", others={"DocumentReference/doc0": before}, relatesTo=relation).get("TXA-13") == "DOC-0"


@pytest.mark.parametrize(("status", "code"), [("preliminary", "P"), ("final", "F"), ("amended", "C")])
def test_the_content_of_a_document_is_as_final_as_the_document(status, code):
    assert sent("MDM^T02", docStatus=status).get("OBX-11") == code


@pytest.mark.parametrize("text", ["two\nlines", "a|b^c&d~e\\f", "Søn"])
def test_a_text_document_is_sent_as_text(text):
    data = base64.b64encode(text.encode()).decode()
    told = [{"attachment": {"contentType": "text/plain; charset=utf-8", "data": data}}]
    message = sent("MDM^T02", content=told)
    assert (message.get("OBX-2"), message.get("OBX-5")) == ("TX", text)


@pytest.mark.parametrize(
    ("status", "amount", "code"),
    [
        ("billable", Decimal(120), "CG"), ("billed", Decimal(120), "CG"), ("billable", Decimal(-120), "CD"),
        ("aborted", Decimal(120), "CD"), ("not-billable", Decimal(120), "CD"), ("entered-in-error", Decimal(120), "CD"),
    ],
)  # fmt: skip
def test_a_charge_that_is_taken_back_is_a_credit(status, amount, code):
    message = sent("DFT^P03", status=status, priceOverride={"value": amount, "currency": "USD"})
    assert (message.get("FT1-6"), message.get("FT1-11")) == (code, "120")


@pytest.mark.parametrize(("status", "changed"), [("planned", "UPDATE"), ("unknown", "UPDATE"), ("aborted", "INSERT")])
def test_what_was_never_charged_is_neither_charged_nor_credited(status, changed):
    with pytest.raises(InvalidInput, match=f"ChargeItem whose status is {status}"):
        sent("DFT^P03", changed, status=status)


# --- fields that must be there ---


@pytest.mark.parametrize(
    ("message_type", "changes", "told"),
    [
        ("ORU^R01", {"code": {}}, "ORU.R01 needs OBR-4, and DiagnosticReport"),
        ("ORM^O01", {"code": {}}, "ORM.O01 needs OBR-4, and ServiceRequest"),
        ("DFT^P03", {"occurrenceDateTime": None}, "DFT.P03 needs FT1-4, and ChargeItem"),
        (
            "VXU^V04",
            {"occurrenceDateTime": None, "occurrenceString": "long ago", "recorded": "2026-05-06"},
            "VXU.V04 needs RXA-3, and Immunization",
        ),
    ],
)
def test_a_message_that_lacks_a_required_field_is_refused_with_a_sentence(message_type, changes, told):
    with pytest.raises(InvalidInput, match=told):
        sent(message_type, **changes)


def test_why_nothing_is_sent_is_known_before_anything_is_read():
    assert untellable("SIU^S12", RESOURCES["Appointment/app"]) is None
    assert "cancelled" in str(untellable("SIU^S12", RESOURCES["Appointment/app"] | {"status": "cancelled"}))


# --- texts, times and numbers ---

_ANY = st.text(
    st.characters(exclude_categories=("Cs", "Cn", "Co", "Cc", "Zl", "Zp")) | st.sampled_from("|^~\\&#\n.,-0")
)
_TEXT = _ANY.map(str.strip).filter(lambda text: bool(text) and text != '""')


@settings(max_examples=60)
@given(text=_TEXT, note=_TEXT)
def test_any_text_of_a_result_or_a_note_arrives_as_it_was(text, note):
    observation = {
        "resourceType": "Observation", "id": "o", "status": "final", "code": concept("1-8", "what"),
        "subject": ref("Patient/pat"), "valueString": text, "note": [{"text": note}],
    }  # fmt: skip
    told = again("ORU^R01", Content(observation, RESOURCES))
    (read,) = [m.resource for m in told.resources if m.type == "Observation"]
    assert (read["valueString"], read["note"]) == (text, [{"text": note}])


def test_a_text_that_is_too_long_for_one_repetition_is_cut_at_its_lines_and_reads_the_same():
    text = "\n".join("a line of a long report " * 40 for _ in range(200)).replace(" \n", "\n").strip()
    observation = {
        "resourceType": "Observation", "id": "o", "status": "final", "code": concept("1-8", "what"),
        "subject": ref("Patient/pat"), "valueString": text, "note": [{"text": text}],
    }  # fmt: skip
    content = Content(observation, RESOURCES)
    message = Message.parse(build("ORU^R01", content, HEADER))
    repetitions = [*message.all("OBX")[0].field(5).repetitions, *message.all("NTE")[0].field(3).repetitions]
    assert len(repetitions) > 4 and all(len(repetition.text) <= 65536 for repetition in repetitions)
    (read,) = [m.resource for m in again("ORU^R01", content).resources if m.type == "Observation"]
    assert (read["valueString"], read["note"]) == (text, [{"text": text}])


@pytest.mark.parametrize(
    "when",
    [
        "2026",
        "2026-05",
        "2026-05-06",
        "2026-05-06T07:08:09+02:00",
        "2026-05-06T07:08:09.123-05:30",
        "2026-05-06T07:08:09Z",
    ],
)
def test_times_keep_their_precision_and_their_zone(when):
    observation = RESOURCES["Observation/obs"] | {"subject": ref("Patient/pat"), "effectiveDateTime": when}
    told = again("ORU^R01", Content(observation, RESOURCES))
    (read,) = [m.resource["effectiveDateTime"] for m in told.resources if m.type == "Observation"]
    assert read == when.replace("Z", "+00:00")


@pytest.mark.parametrize("charset", ["UNICODE UTF-8", "8859/1"])
def test_a_name_arrives_in_the_character_set_that_the_message_names(charset):
    raw = build("ADT^A31", Content(RESOURCES["Patient/pat"]), replace(HEADER, character_encoding=charset))
    message = Message.parse(raw)
    assert (message.get("MSH-18"), message.get("PID-5.1")) == (charset, "O'Hara & Søn")


@pytest.mark.parametrize("dimensions", [1, 2])
def test_samples_go_out_behind_the_definition_of_their_channel(dimensions):
    samples = {
        "origin": {"value": Decimal(0), "unit": "mV", "system": "http://unitsofmeasure.org", "code": "mV"},
        "period": Decimal(4), "factor": Decimal("0.5"), "lowerLimit": Decimal(-10), "upperLimit": Decimal(10),
        "dimensions": dimensions, "data": "1 2 E 4",
    }  # fmt: skip
    observation = {
        "resourceType": "Observation", "id": "o", "status": "final", "code": concept("131328", "ECG"),
        "subject": ref("Patient/pat"), "valueSampledData": samples,
    }  # fmt: skip
    told = again("ORU^R01", Content(observation, RESOURCES))
    (read,) = [m.resource for m in told.resources if m.type == "Observation"]
    assert read["valueSampledData"] == samples


def test_both_numbers_of_a_specimen_are_told():
    specimen = RESOURCES["Specimen/spm"] | {"identifier": [number("F-1", "FGN"), number("P-1", "PGN")]}
    message = sent("ORU^R01", others={"Specimen/spm": specimen})
    assert (message.all("SPM")[0].get(2), message.all("SPM")[0].get(2, 1, 2)) == ("P-1", "F-1")


def test_a_place_is_told_by_its_name_where_its_numbers_do_not_say_it():
    assert sent("ADT^A01").get("PV1-3.9") == "Room 12"
    derived = RESOURCES["Location/loc"] | {"name": "NEO 12 A"}
    assert sent("ADT^A01", others={"Location/loc": derived}).get("PV1-3.9") == ""
