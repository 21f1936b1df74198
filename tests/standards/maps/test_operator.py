"""An operator's mapping over ours, through the dictionary of logical tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from healthsync.errors import InvalidInput
from healthsync.standards.logical_tables import LogicalTables
from healthsync.standards.maps import load_operator_mapping

from .golden_pairs import converted

A01 = "\n".join(
    [
        r"MSH|^~\&|ADM|GENERAL|HUB|HIE|20240301081500+0100||ADT^A01^ADT_A01|K1|P|2.5.1",
        "PID|1||7^^^ZHOSP||Smith^Ann||19800101|F|||||||||||||||local alias",
    ]
)


def mapping(segment: str, table: str, *fields: tuple[str, str], message_type: str = "ADT^A01") -> dict[str, Any]:
    lines = [{"hl7": hl7, "db": db} for hl7, db in fields]
    entry = {
        "message_type": message_type,
        "mapping": [{"hl7_segment": segment, "target_table": table, "fields": lines}],
    }
    return {"hl7_processing": {"inbound": [entry]}}


def patient(document: dict[str, Any], text: str = A01) -> dict[str, Any]:
    operator = load_operator_mapping(document, LogicalTables.load())
    return converted(text, operator=operator).resources[0].resource


def test_a_number_that_the_operator_calls_mrn_is_one_where_no_type_was_sent() -> None:
    found = patient(mapping("PID", "patients", ("PID.3", "mrn")))
    assert found["identifier"][0]["type"]["coding"][0]["code"] == "MR"
    assert found["identifier"][0]["system"] == "urn:healthsync:authority:ZHOSP"


def test_what_the_operator_does_not_map_stays_as_it_is() -> None:
    ours, theirs = converted(A01).resources[0].resource, patient(mapping("PID", "patients", ("PID.5", "name")))
    assert ours == theirs


def test_a_field_goes_where_the_operator_says() -> None:
    found = patient(mapping("PID", "patients", ("PID-23", "city"), ("PID.7", "death_date")))
    assert found["address"] == [{"city": "local alias"}]
    assert found["deceasedDateTime"] == "1980-01-01"
    assert "birthDate" not in found


def test_the_mapping_is_that_of_its_message_type_only() -> None:
    document = mapping("PID", "patients", ("PID.7", "death_date"), message_type="ADT^A08")
    assert patient(document)["birthDate"] == "1980-01-01"
    assert "birthDate" not in patient(document, A01.replace("A01", "A08"))


def test_results_that_the_operator_files_under_lab_results_are_laboratory_results() -> None:
    document = mapping("OBX", "lab_results", ("OBX.3", "test_code"), ("OBX.5", "result_value"), message_type="ORU^R01")
    operator = load_operator_mapping(document, LogicalTables.load())
    text = A01.replace("ADT^A01^ADT_A01", "ORU^R01^ORU_R01") + "\nOBR|1||F1|PN^Panel^L\nOBX|1|NM|T^Item^L||5||||||F"
    for context, told in (({}, False), ({"operator": operator}, True)):
        observation = next(m.resource for m in converted(text, **context).resources if m.type == "Observation")
        assert ("category" in observation) is told
        assert observation["valueQuantity"]["value"] == 5


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (mapping("PID", "patient", ("PID.3", "mrn")), "patients"),
        (mapping("PID", "patients", ("PID.3", "mnr")), "mrn"),
        (mapping("PID", "patients", ("OBX.3", "mrn")), "PID.3"),
        (mapping("PID", "patients", ("third", "mrn")), "PID.3"),
        (mapping("ZZZ", "patients", ("ZZZ.3", "mrn")), "PID"),
        (mapping("PID", "patients", ("PID.3", "room")), "Encounter"),
        (mapping("PID", "patients", ("PID.7", "age")), "computed"),
        (mapping("OBX", "lab_results", ("OBX.3", "wbc")), "Quantity"),
        ({"inbound": [{"mapping": []}]}, "message_type"),
    ],
)
def test_a_mapping_that_cannot_work_is_refused_when_it_is_loaded(document: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        load_operator_mapping(document, LogicalTables.load())


@pytest.mark.shared
def test_the_mapping_file_of_the_requirements_loads_as_it_stands(shared_data: Path) -> None:
    document = yaml.safe_load(
        (shared_data.parent / "spec" / "config" / "hl7_processing.yaml").read_text(encoding="utf-8")
    )
    operator = load_operator_mapping(document, LogicalTables.load())
    assert set(operator.by_type) == {"ADT^A01", "ORU^R01"}
