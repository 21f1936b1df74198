"""The helpers of requirements-integration-hub.md, "Healthcare Interoperability", with its own examples."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.errors import InvalidInput
from healthsync.standards.fhir.validate import examine
from healthsync.standards.hl7v2 import Message
from healthsync.standards.interop import (
    create_eye_exam_observation,
    create_fhir_bundle,
    create_hl7_adt,
    describe_hl7,
    extract_patient_from_hl7,
    from_fhir_patient,
    to_fhir_patient,
)

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
JOHN = {
    "id": "patient-123",
    "firstName": "John",
    "lastName": "Doe",
    "dateOfBirth": "1980-05-15",
    "gender": "male",
    "email": "john.doe@example.com",
    "phone": "555-1234",
    "mrn": "MRN-12345",
}
REGISTERED = {
    "id": "patient-123",
    "mrn": "MRN-12345",
    "firstName": "John",
    "lastName": "Doe",
    "dateOfBirth": "1980-05-15",
    "gender": "male",
    "phone": "555-1234",
    "address": "123 Main St",
}


def adt(patient, event="A04", **more):
    return create_hl7_adt(patient, event, at=AT, control_id="C1", **more)


def test_the_patient_of_the_requirements_becomes_a_valid_fhir_patient():
    patient = to_fhir_patient(JOHN)
    assert [issue for issue in examine(patient) if issue.is_error] == []
    assert patient["name"] == [{"use": "official", "family": "Doe", "given": ["John"]}]
    assert patient["identifier"][0]["value"] == "MRN-12345"
    assert patient["identifier"][0]["type"]["coding"][0]["code"] == "MR"
    assert {(point["system"], point["value"]) for point in patient["telecom"]} == {
        ("phone", "555-1234"),
        ("email", "john.doe@example.com"),
    }
    assert (patient["id"], patient["gender"], patient["birthDate"]) == ("patient-123", "male", "1980-05-15")


def test_the_fhir_patient_becomes_the_record_again():
    assert from_fhir_patient(to_fhir_patient(JOHN)) == JOHN


def test_names_with_underscores_say_the_same():
    record = {"first_name": "John", "last_name": "Doe", "date_of_birth": date(1980, 5, 15), "mrn": 12345}
    assert from_fhir_patient(to_fhir_patient(record)) == {
        "firstName": "John",
        "lastName": "Doe",
        "dateOfBirth": "1980-05-15",
        "mrn": "12345",
    }


def test_what_else_a_row_of_a_database_holds_is_passed_over():
    assert to_fhir_patient({**JOHN, "createdAt": datetime.now(UTC), "notes": object()}) == to_fhir_patient(JOHN)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dateOfBirth", "1980-02-30"),
        ("dateOfBirth", "15/05/1980"),
        ("dateOfBirth", 19800515),
        ("gender", "masculine"),
        ("id", "patient 123"),
        ("firstName", ["John"]),
        ("mrn", True),
        ("address", 7),
        ("address", {"city": {}}),
    ],
)
def test_a_field_that_cannot_be_read_is_named_and_its_value_is_not(field, value):
    with pytest.raises(InvalidInput) as refused:
        to_fhir_patient({**JOHN, field: value})
    assert refused.value.expression == field
    assert str(value) not in str(refused.value)


@pytest.mark.parametrize("empty", [{}, {"email": "a@example.com"}, {"firstName": " ", "mrn": None}])
def test_a_record_that_tells_of_nobody_is_refused(empty):
    with pytest.raises(InvalidInput, match="at least one of"):
        to_fhir_patient(empty)


def test_the_official_name_and_the_medical_record_number_are_taken_from_several():
    patient = {
        "resourceType": "Patient",
        "name": [{"use": "old", "family": "Roe"}, {"use": "official", "family": "Doe", "given": ["Jane", "Ann", "B"]}],
        "identifier": [
            {"value": "SSN-1"},
            {"system": "urn:oid:1.2", "value": "M-1", "type": {"coding": [{"code": "MR"}]}},
        ],
        "address": [{"line": ["1 Main St"], "city": "Holbrook"}],
    }
    assert from_fhir_patient(patient) == {
        "mrn": "M-1",
        "mrnSystem": "urn:oid:1.2",
        "firstName": "Jane",
        "middleName": "Ann B",
        "lastName": "Doe",
        "address": {"line": "1 Main St", "city": "Holbrook"},
    }


@pytest.mark.parametrize("broken", [{}, {"resourceType": "Observation"}])
def test_what_is_no_patient_is_refused(broken):
    with pytest.raises(InvalidInput, match="no FHIR Patient"):
        from_fhir_patient(broken)


@given(
    st.recursive(
        st.none() | st.text() | st.integers(), lambda x: st.lists(x) | st.dictionaries(st.text(), x), max_leaves=20
    )
)
def test_from_fhir_patient_survives_any_json(value):
    names = ("name", "identifier", "telecom", "address", "birthDate")
    from_fhir_patient({"resourceType": "Patient", **dict.fromkeys(names, value)})


def test_the_eye_exam_of_the_requirements_becomes_a_valid_observation():
    exam = {"type": "visual_acuity", "value": "20/20", "eye": "right", "date": AT, "notes": "Normal visual acuity"}
    observation = create_eye_exam_observation("patient-123", exam)
    assert [issue for issue in examine(observation) if issue.is_error] == []
    assert observation["code"]["coding"][0]["code"] == "363983007"
    assert observation["bodySite"]["coding"][0]["code"] == "18944008"
    assert observation["valueString"] == "20/20"
    assert observation["effectiveDateTime"] == "2026-03-01T12:00:00+00:00"
    assert observation["note"] == [{"text": "Normal visual acuity"}]
    assert observation["subject"] == {"reference": "Patient/patient-123"}


def test_a_pressure_is_a_quantity_in_millimetres_of_mercury():
    observation = create_eye_exam_observation("p", {"type": "intraocular_pressure", "value": 17.50, "eye": "OS"})
    assert observation["valueQuantity"]["value"] == Decimal("17.5")
    assert observation["valueQuantity"]["code"] == "mm[Hg]"
    assert [issue for issue in examine(observation) if issue.is_error] == []


def test_an_examination_without_a_code_is_told_by_its_name():
    assert create_eye_exam_observation("p", {"type": "cover_test", "value": "orthophoric"})["code"] == {
        "text": "Cover test"
    }


@pytest.mark.parametrize(
    ("given_date", "shown"),
    [
        ("2026-03-01", "2026-03-01"),
        ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z"),
        (datetime(2026, 3, 1, 9, tzinfo=timezone(timedelta(hours=2))), "2026-03-01T09:00:00+02:00"),
        ("2026-03-01T12:00:00", "2026-03-01"),  # a FHIR time has an offset
        (date(2026, 3, 1), "2026-03-01"),
    ],
)
def test_the_date_of_an_exam_is_written_as_fhir_writes_it(given_date, shown):
    exam = {"type": "visual_acuity", "value": "20/20", "date": given_date}
    observation = create_eye_exam_observation("p", exam)
    assert observation["effectiveDateTime"] == shown
    assert [issue for issue in examine(observation) if issue.is_error] == []


@pytest.mark.parametrize(
    ("field", "value"), [("eye", "third"), ("type", ""), ("value", None), ("value", float("nan")), ("date", "soon")]
)
def test_an_exam_that_cannot_be_read_is_refused(field, value):
    with pytest.raises(InvalidInput) as refused:
        create_eye_exam_observation("p", {"type": "visual_acuity", "value": "20/20", field: value})
    assert refused.value.expression == field


def test_a_transaction_stores_what_has_an_id_under_it_and_the_rest_anew():
    bundle = create_fhir_bundle(
        [to_fhir_patient(JOHN), {"resourceType": "Basic", "code": {"text": "x"}}], "transaction"
    )
    assert [entry["request"] for entry in bundle["entry"]] == [
        {"method": "PUT", "url": "Patient/patient-123"},
        {"method": "POST", "url": "Basic"},
    ]
    assert bundle["entry"][1]["fullUrl"].startswith("urn:uuid:")
    assert [issue for issue in examine(bundle) if issue.is_error] == []


def test_a_collection_asks_for_nothing():
    assert "request" not in create_fhir_bundle([to_fhir_patient(JOHN)], "collection")["entry"][0]


def test_another_kind_of_bundle_is_refused():
    with pytest.raises(InvalidInput, match="transaction, batch or collection"):
        create_fhir_bundle([], "history")  # type: ignore[arg-type]


def test_the_adt_of_the_requirements_is_a_registration():
    message = Message.parse(adt(REGISTERED, "A04").encode())
    assert (message.message_code, message.trigger, message.structure) == ("ADT", "A04", "ADT_A01")
    assert message.get("PID-3.1") == "MRN-12345"
    assert message.get("PID-3[2].5") == "PI"
    assert (message.get("PID-5.1"), message.get("PID-5.2")) == ("Doe", "John")
    assert (message.get("PID-7"), message.get("PID-8"), message.get("PID-13")) == ("19800515", "M", "555-1234")
    assert message.get("EVN-2") == "20260301120000+0000"
    assert message.get("PV1-2") == "O"


def test_the_patient_comes_out_of_the_message_as_it_went_in():
    assert extract_patient_from_hl7(adt(REGISTERED)) == REGISTERED
    full = {**JOHN, "middleName": "Q", "address": {"line": "1 Main St", "city": "Holbrook", "postalCode": "02343"}}
    assert extract_patient_from_hl7(adt(full)) == full


_words = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=12)


@given(_words, _words, _words)
def test_no_character_of_a_name_breaks_a_message(first, last, mrn):
    if '""' in (first, last, mrn):
        return
    read = extract_patient_from_hl7(adt({"firstName": first, "lastName": last, "mrn": mrn}))
    assert (read.get("firstName"), read.get("lastName"), read.get("mrn")) == (first, last, mrn)


def test_an_event_that_needs_more_than_a_record_is_refused_by_name():
    with pytest.raises(InvalidInput, match="A04"):
        adt(REGISTERED, "A40")


def test_a_message_of_another_sender_is_read_as_well_as_it_tells():
    message = (
        'MSH|^~\\&|A|B|||20240101||ADT^A08|1|P|2.3\rPID|1|OLD-9|||Doe^Jane^""||198005151200|F|||1 Main St^^Holbrook^MA'
        "||^PRN^PH^^^617^5550100~jane@example.org^NET"
    )
    assert extract_patient_from_hl7(message) == {
        "mrn": "OLD-9",
        "firstName": "Jane",
        "lastName": "Doe",
        "dateOfBirth": "1980-05-15",
        "gender": "female",
        "email": "jane@example.org",
        "phone": "617-5550100",
        "address": {"line": "1 Main St", "city": "Holbrook", "state": "MA"},
    }


@pytest.mark.parametrize("text", ["", "PID|1||1", "hello"])
def test_what_is_no_message_is_refused(text):
    with pytest.raises(InvalidInput):
        extract_patient_from_hl7(text)


def test_a_message_without_a_patient_is_refused_for_its_patient_and_still_described():
    message = "MSH|^~\\&|A|B|||20240101||QBP^Q11|1|P|2.5\rQPD|Q11^x^y|7~8&9"
    with pytest.raises(InvalidInput, match="no PID"):
        extract_patient_from_hl7(message)
    described = describe_hl7(message)
    assert (described["messageType"], described["patient"]) == ("QBP^Q11", None)
    assert described["segments"][1] == {"name": "QPD", "fields": {"1": ["Q11", "x", "y"], "2": ["7", ["8", "9"]]}}
