"""OMP, RDE, RDS, RAS, VXU: what was ordered, dispensed, given, refused."""

from __future__ import annotations

from decimal import Decimal

import pytest

from healthsync.standards.maps import Conversion

from .golden_pairs import converted
from .test_orders import message, of_type, only, stored

RXO = "RXO|161^Acetaminophen^RXNORM|500||mg^^UCUM"


@pytest.mark.parametrize(
    ("control", "status", "told"),
    [
        ("NW", "", "active"), ("CA", "", "cancelled"), ("DC", "", "stopped"), ("HD", "", "on-hold"),
        ("RL", "", "active"), ("RP", "", "stopped"), ("SC", "CM", "completed"), ("SC", "ER", "entered-in-error"),
        ("OC", "", "cancelled"), ("SC", "", "unknown"),
    ],
)  # fmt: skip
def test_the_status_of_a_medication_request_is_one_of_fhirs(control: str, status: str, told: str) -> None:
    found = only(message("OMP^O09", f"ORC|{control}|M1^EHR|||{status}", RXO), "MedicationRequest")
    assert found["status"] == told


def test_a_dose_is_one_amount_or_a_range_with_its_unit() -> None:
    one = only(message("OMP^O09", "ORC|NW|M1^EHR", RXO), "MedicationRequest")["dosageInstruction"][0]
    assert one["doseAndRate"][0]["doseQuantity"]["value"] == Decimal(500)
    assert one["doseAndRate"][0]["doseQuantity"]["code"] == "mg"
    two = only(message("OMP^O09", "ORC|NW|M1^EHR", "RXO|^Drug|500|1000|mg"), "MedicationRequest")
    assert set(two["dosageInstruction"][0]["doseAndRate"][0]["doseRange"]) == {"low", "high"}


def test_what_the_pharmacy_encoded_stands_before_what_was_asked_for() -> None:
    conversion = message(
        "RDE^O11^RDE_O11", "ORC|NW|M1^EHR|R1^PH", "RXO|A^Asked^L|1||mg|||||G||10||5",
        "RXE|^^^20240301100000+0000|B^Encoded^NDC|2||mg|||||20||3", "RXR|PO^Oral^HL70162",
    )  # fmt: skip
    found = only(conversion, "MedicationRequest")
    assert found["medicationCodeableConcept"]["coding"][0]["system"] == "http://hl7.org/fhir/sid/ndc"
    assert found["dispenseRequest"] == {"numberOfRepeatsAllowed": 3, "quantity": {"value": Decimal(20)}}
    (dosage,) = found["dosageInstruction"]
    assert dosage["doseAndRate"][0]["doseQuantity"]["value"] == Decimal(2)
    assert {"timing", "route"} <= dosage.keys()


def test_a_compound_has_its_components() -> None:
    conversion = message(
        "RDE^O11",
        "ORC|NW|M1^EHR",
        "RXE||MIX^Mixture^L|1||L",
        "RXC|B|NS^Saline^L|1000|mL",
        "RXC|A|KCL^Potassium^L|20|meq",
    )
    medication = only(conversion, "Medication")
    assert [part["isActive"] for part in medication["ingredient"]] == [False, True]
    request = only(conversion, "MedicationRequest")
    assert request["medicationReference"] == {"reference": f"Medication/{medication['id']}"}
    assert "medicationCodeableConcept" not in request


@pytest.mark.parametrize("event", ["RDE^O11", "OMP^O09"])
def test_a_cancellation_without_its_medicine_keeps_the_medicine(event: str) -> None:
    compound = ["RXE||MIX^Mixture^L|1||L", "RXC|B|NS^Saline^L|1000|mL"] if event == "RDE^O11" else [RXO]
    resources = stored(message(event, "ORC|NW|M1^EHR", *compound), message(event, "ORC|CA|M1^EHR"))
    (found,) = [r for r in resources.values() if r["resourceType"] == "MedicationRequest"]
    assert found["status"] == "cancelled"
    assert ("medicationReference" in found) is (event == "RDE^O11")
    assert found.get("medicationCodeableConcept", {}).get("coding", [{}])[0].get("code") != "UNK"


def test_two_medicines_under_one_number_are_two_orders() -> None:
    conversion = message("ORM^O01", "ORC|NW|1000", "RXO|A^Alpha^L", "ORC|NW|1000", "RXO|B^Beta^L|5||mg")
    assert len(of_type(conversion, "MedicationRequest")) == 2


def test_what_is_dispensed_and_given_names_its_order() -> None:
    dispensed = message("RDS^O13", "ORC|RE|M1^EHR", "RXD|1|161^Acetaminophen^RXNORM|20240301|20|TAB")
    given = message("RAS^O17", "ORC|RE|M1^EHR", "RXA|0|1|20240301100000+0000||161^Acetaminophen^RXNORM|500|mg")
    by_number = {"system": "urn:healthsync:authority:EHR", "value": "M1"}
    prescription = only(dispensed, "MedicationDispense")["authorizingPrescription"][0]
    assert {name: prescription["identifier"][name] for name in by_number} == by_number
    assert only(given, "MedicationAdministration")["request"]["identifier"]["value"] == "M1"
    beside = message("RDS^O13", "ORC|RE|M1^EHR", "RXE||161^A^RXNORM|5||mg", "RXD|1|161^A^RXNORM|20240301|20|TAB")
    request = only(beside, "MedicationRequest")
    assert only(beside, "MedicationDispense")["authorizingPrescription"] == [
        {"reference": f"MedicationRequest/{request['id']}"}
    ]


@pytest.mark.parametrize(
    ("completion", "action", "told"),
    [("CP", "A", "completed"), ("PA", "A", "completed"), ("RE", "A", "not-done"), ("NA", "A", "not-done"),
     ("", "", "completed"), ("CP", "D", "entered-in-error")],
)  # fmt: skip
def test_the_status_of_what_was_given_is_its_completion(completion: str, action: str, told: str) -> None:
    rxa = f"RXA|0|1|20240301||08^HepB^CVX|0.5|mL^^UCUM|||||||||||||{completion}|{action}"
    assert only(message("RAS^O17", "ORC|RE|M1^EHR", rxa), "MedicationAdministration")["status"] == told
    assert only(message("VXU^V04", "ORC|RE|M1^EHR|F1^EHR", rxa), "Immunization")["status"] == told


def test_a_dose_sent_again_with_a_correction_is_the_same_dose() -> None:
    first = message("VXU^V04", "ORC|RE||F1^EHR", "RXA|0|1|20240301||08^HepB^CVX|0.5|mL||||||||LOTA|||||CP|A")
    second = message("VXU^V04", "ORC|RE||F1^EHR", "RXA|0|1|20240302||08^HepB^CVX|0.5|mL||||||||LOTB|||||CP|U")
    (dose,) = [r for r in stored(first, second).values() if r["resourceType"] == "Immunization"]
    assert (dose["occurrenceDateTime"], dose["lotNumber"]) == ("2024-03-02", "LOTB")


def test_a_dose_that_was_refused_and_given_later_has_no_reason_why_not() -> None:
    refused = message("VXU^V04", "ORC|RE||F1^EHR", "RXA|0|1|20240301||08^HepB^CVX|999||||||||||||00^No^NIP002||RE|A")
    given = message("VXU^V04", "ORC|RE||F1^EHR", "RXA|0|1|20240302||08^HepB^CVX|0.5|mL|||||||||||||CP|U")
    (dose,) = [r for r in stored(refused, given).values() if r["resourceType"] == "Immunization"]
    assert (dose["status"], "statusReason" in dose) == ("completed", False)
    (dose,) = [r for r in stored(given, refused).values() if r["resourceType"] == "Immunization"]
    assert (dose["status"], "doseQuantity" in dose) == ("not-done", False)


def test_a_dose_that_was_taken_back_is_not_told_again_by_what_was_sent_before() -> None:
    def dose(at: str, action: str, kind: str) -> Conversion:
        rxa = f"RXA|0|1|20240301||08^HepB^CVX|0.5|mL|||||||||||||CP|{action}"
        pid = "PID|1||P1^^^ZHOSP^MR||Wick^Ora||19520416|F"
        return converted("\n".join([f"MSH|^~\\&|EHR|Z|HUB|HIE|{at}||{kind}|{at}|P|2.5.1", pid, "ORC|RE|M1|F1", rxa]))

    for kind, name in (("VXU^V04", "Immunization"), ("RAS^O17", "MedicationAdministration")):
        deleted, before, after = (
            dose(at, action, kind) for at, action in (("20240302", "D"), ("20240301", "A"), ("20240303", "A"))
        )
        for messages, status in (((deleted, before), "entered-in-error"), ((deleted, after), "completed")):
            (told,) = [r for r in stored(*messages).values() if r["resourceType"] == name]
            assert told["status"] == status


def test_an_amount_of_999_is_not_known() -> None:
    dose = only(message("VXU^V04", "ORC|RE||F1^EHR", "RXA|0|1|20240301||08^HepB^CVX|999"), "Immunization")
    assert "doseQuantity" not in dose


def test_observations_about_a_dose_are_told_by_it_and_others_stand_beside_it() -> None:
    conversion = message(
        "VXU^V04", "ORC|RE||F1^EHR", "RXA|0|1|20240301||08^HepB^CVX|0.5",
        "OBX|1|CE|64994-7^Eligibility^LN|1|V02^VFC^HL70064||||||F",
        "OBX|2|CE|69764-9^Document^LN|2|X^Sheet A^L||||||F", "OBX|3|TS|29769-7^Presented^LN|2|20240301||||||F",
        "OBX|4|TS|29768-9^Published^LN|3|20230101||||||F", "OBX|5|NM|30973-2^Dose^LN|4|2||||||F",
        "OBX|6|NM|8310-5^Temperature^LN|5|37|Cel^^UCUM|||||F",
    )  # fmt: skip
    dose = only(conversion, "Immunization")
    assert dose["programEligibility"][0]["coding"][0]["code"] == "V02"
    assert dose["education"] == [
        {"documentType": "Sheet A", "presentationDate": "2024-03-01"},
        {"documentType": "Vaccine Information Statement", "publicationDate": "2023-01-01"},
    ]
    assert dose["protocolApplied"] == [{"doseNumberPositiveInt": 2}]
    assert only(conversion, "Observation")["code"]["coding"][0]["code"] == "8310-5"


def test_a_group_without_a_dose_keeps_its_forecast_and_makes_no_immunization() -> None:
    conversion = message(
        "VXU^V04", "ORC|RE||9999^EHR", "RXA|0|1|20240301||998^None^CVX|999", "OBX|1|TS|30980-7^Due^LN|1|20240501||||||F"
    )
    assert of_type(conversion, "Immunization") == []
    assert only(conversion, "Observation")["valueDateTime"] == "2024-05-01"
