"""FHIR → v2: golden messages, versions, escaping, and what is left when a message is read again."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from healthsync.errors import HealthSyncError, InvalidInput, NotSupported
from healthsync.standards.hl7v2 import Message, split_batch
from healthsync.standards.maps import convert
from healthsync.standards.maps.outbound import (
    Content,
    build,
    known_types,
    missing,
    references_of,
    require_version,
)
from healthsync.standards.maps.outbound.tables import VERSIONS

from .golden_pairs import GOLDEN, context
from .outbound_pairs import HEADER, RESOURCES, ROOTS, content, file_of, written
from .round_trips import again, contents, facts

RECEIVED = sorted(GOLDEN.glob("*.hl7"))
SENDABLE = [path for path in RECEIVED if path.stem.split("_")[1] in ("a01", "a03", "a08", "a28", "a31", "r01")]
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp", "Cn", "Co")), min_size=1, max_size=12)
NUMBERS = st.text("ABCdef0123456789-|^~\\&", min_size=1, max_size=10).filter(lambda text: text.strip() == text)


@pytest.mark.parametrize("message_type", ROOTS)
def test_a_message_is_written_as_the_golden_one(message_type):
    assert written(message_type) == file_of(message_type).read_text(encoding="utf-8")


@pytest.mark.parametrize("message_type", known_types())
def test_every_message_type_is_written_in_every_version_that_has_it(message_type):
    root = ROOTS.get(message_type) or ROOTS["SIU^S12" if message_type.startswith("SIU") else "ADT^A01"]
    if message_type == "ADT^A31":
        root = "Patient/pat"
    about = Content(RESOURCES[root], RESOURCES, retired=RESOURCES["Patient/old"])
    for version in VERSIONS:
        header = replace(HEADER, version=version)
        try:
            require_version(message_type, version)
        except InvalidInput:
            with pytest.raises(InvalidInput, match="choose another version"):
                build(message_type, about, header)
            continue
        message = Message.parse(build(message_type, about, header))
        assert (message.version, f"{message.message_code}^{message.trigger}") == (version, message_type)
        assert message.structure == ("" if version == "2.3" else message.structure) and message.control_id
        assert len(message.control_id) <= 20, "§2.15.9.10: 20 characters before v2.7"


def test_old_versions_get_their_own_data_types():
    old, new = written("ORU^R01", replace(HEADER, version="2.3")), written("ORU^R01", replace(HEADER, version="2.8"))
    assert "SPM|" not in old and "SPM|" in new
    assert "+1 617 555 0100^PRN^CP" in old and "+1 617 555 0100^PRN^CP^^" not in old, "XTN.12 came with v2.5"
    assert "|^PRN^CP^^^^^^^^^+1 617 555 0100" in new, "XTN.1 went with v2.7"
    coded = {"valueCodeableConcept": {"coding": [{"system": "http://snomed.info/sct", "code": "1"}], "text": "one"}}
    for version, kind in (("2.4", "CE"), ("2.5.1", "CWE")):
        observation = {
            "resourceType": "Observation",
            "id": "o",
            "status": "final",
            "subject": {"reference": "Patient/pat"},
        }
        raw = build("ORU^R01", Content(observation | coded, RESOURCES), replace(HEADER, version=version))
        assert Message.parse(raw).get("OBX-2") == kind
    order = written("ORM^O01", replace(HEADER, version="2.3"))
    assert "TQ1|" not in order and "^^^20260506080000+0000^^S" in order


def test_a_single_result_goes_out_under_an_order_of_its_own():
    observation = RESOURCES["Observation/obs"] | {"subject": {"reference": "Patient/pat"}}
    message = Message.parse(build("ORU^R01", Content(observation, RESOURCES), HEADER))
    assert [s.name for s in message.segments] == ["MSH", "PID", "PD1", "NK1", "ORC", "OBR", "OBX", "NTE"]
    assert message.get("OBR-4") == message.get("OBX-3") == "718-7"


def test_results_that_share_a_code_are_numbered_so_that_none_replaces_another():
    twins = {f"Observation/{n}": RESOURCES["Observation/obs"] | {"id": str(n)} for n in (1, 2)}
    report = RESOURCES["DiagnosticReport/rep"] | {"result": [{"reference": name} for name in twins]}
    message = Message.parse(build("ORU^R01", Content(report, RESOURCES | twins), HEADER))
    assert [obx.get(4) for obx in message.all("OBX")] == ["1", "2"]


@pytest.mark.parametrize(
    ("changes", "path", "value"),
    [
        ({"status": "cancelled"}, "SCH-6", "S15"),
        ({"status": "cancelled"}, "SCH-25", "Cancelled"),
        ({"status": "noshow"}, "SCH-6", "S26"),
    ],
)
def test_an_appointment_tells_what_became_of_it(changes, path, value):
    assert Message.parse(written("SIU^S12", **changes).replace("\n", "\r").encode()).get(path) == value


@pytest.mark.parametrize(
    ("status", "control"),
    [
        ("active", "NW"),
        ("on-hold", "HD"),
        ("revoked", "CA"),
        ("entered-in-error", "CA"),
        ("draft", "SC"),
        ("unknown", "SC"),
    ],
)
def test_an_order_tells_what_is_to_be_done_with_it(status, control):
    assert f"\nORC|{control}|" in written("ORM^O01", status=status)


def test_a_document_in_a_binary_is_sent_with_its_content():
    attachment = {"contentType": "application/pdf", "url": "Binary/b1"}
    document = RESOURCES["DocumentReference/doc1"] | {"content": [{"attachment": attachment}]}
    assert ("Binary", "b1") in references_of(document)
    binary = {"Binary/b1": {"resourceType": "Binary", "id": "b1", "contentType": "application/pdf", "data": "AAAA"}}
    message = Message.parse(build("MDM^T02", Content(document, RESOURCES | binary), HEADER))
    assert (message.get("OBX-2"), message.get("OBX-5.5")) == ("ED", "AAAA")
    message = Message.parse(build("MDM^T02", Content(document, RESOURCES), HEADER))
    assert (message.get("OBX-2"), message.get("OBX-5")) == ("RP", "Binary/b1")


def test_what_cannot_be_written_is_refused_with_the_reason():
    with pytest.raises(NotSupported, match="there are ADT"):
        build("ZZZ^Z01", content("ADT^A01"), HEADER)
    with pytest.raises(InvalidInput, match="is about Appointment"):
        build("SIU^S12", content("ADT^A01"), HEADER)
    with pytest.raises(InvalidInput, match="given up"):
        build("ADT^A40", content("ADT^A28"), HEADER)
    with pytest.raises(InvalidInput, match="no version"):
        build("ADT^A28", content("ADT^A28"), replace(HEADER, version="3.0"))
    assert "names none" in str(missing("SIU^S12", Content({"resourceType": "Appointment"})))


def test_a_message_is_written_in_the_character_set_that_the_partner_reads():
    raw = build("ADT^A28", content("ADT^A28"), replace(HEADER, character_encoding="8859/1"))
    assert "Søn".encode("latin-1") in raw and Message.parse(raw).get("MSH-18") == "8859/1"
    with pytest.raises(InvalidInput, match="lacks a character"):
        build("ADT^A28", content("ADT^A28"), replace(HEADER, character_encoding="ASCII"))


@settings(max_examples=150, deadline=None)
@given(family=TEXTS, given_=TEXTS, number=NUMBERS, line=TEXTS, phone=TEXTS)
def test_no_text_of_a_patient_is_lost_or_changes_the_shape_of_the_message(family, given_, number, line, phone):
    patient = {
        "resourceType": "Patient", "id": "p", "name": [{"family": family, "given": [given_]}],
        "identifier": [{"system": "urn:oid:1.2.3", "value": number}],
        "address": [{"line": [line], "city": family}], "telecom": [{"system": "phone", "use": "home", "value": phone}],
    }  # fmt: skip
    raw = build("ADT^A28", Content(patient), HEADER)
    assert [s.name for s in Message.parse(raw).segments] == ["MSH", "EVN", "PID", "PV1"]
    (read,) = [m.resource for m in again("ADT^A28", Content(patient)).resources if m.type == "Patient"]
    assert read["name"] == patient["name"] and read["identifier"] == patient["identifier"]
    assert read["address"] == patient["address"]
    assert read["telecom"][0]["value"] == phone


@pytest.mark.parametrize("file", SENDABLE, ids=lambda path: path.stem)
def test_what_a_message_made_comes_back_from_the_message_about_it(file):
    """But for what v2 says otherwise: the message itself (Provenance) and its sender, who is now the hub."""
    message = Message.parse(file.read_text(encoding="utf-8").strip().replace("\n", "\r").encode())
    conversion = convert(message, context())
    for message_type, told in contents(message, conversion):
        before, after = _of(told, told.all()), _of(told, [m.resource for m in again(message_type, told).resources])
        lost = [fact for fact in (before - after) if not fact.startswith(_NOT_CARRIED)]
        assert lost == []


_NOT_CARRIED = (
    "Organization.", "RelatedPerson.", "Practitioner.", "DiagnosticReport.specimen", "Observation.specimen", "Patient.telecom.use",
    "Specimen.", "ServiceRequest.", "DiagnosticReport.basedOn", "Observation.basedOn", "Device.", "DeviceMetric.", "Observation.device",
    "Observation.hasMember", "Observation.derivedFrom", "DocumentReference.", "Binary.", "DiagnosticReport.presentedForm",
    "Observation.valueSampledData", "Observation.extension.valueAttachment", "Observation.extension.url",
)  # fmt: skip
"""Specimens are named by the set id of their message; who stands in another report of it is not sent with this one. The order
behind a report, its devices, parents and documents come in since the maps of orders and documents, and do not go out yet."""


def test_a_second_round_changes_nothing_any_more():
    for file in RECEIVED:
        message = Message.parse(file.read_text(encoding="utf-8").strip().replace("\n", "\r").encode())
        for message_type, told in contents(message, convert(message, context())):
            once = again(message_type, told)
            _, first = next(iter(_same(message_type, once)))
            _, second = next(iter(_same(message_type, again(message_type, first))))
            assert _of(first, first.all()) == _of(second, second.all()), file.stem


def _same(message_type, conversion):
    code, _, trigger = message_type.partition("^")
    header = Message.parse(f"MSH|^~\\&|a|b|c|d|2024||{code}^{trigger}|1|P|2.5.1\r".encode())
    return contents(header, conversion)


def _of(told, resources) -> Counter[str]:
    results = {entry["reference"] for entry in told.root.get("result", ())}
    of_a_report = told.root["resourceType"] == "DiagnosticReport"
    return facts(
        [
            r
            for r in resources
            if r["resourceType"] not in ("Provenance", "Organization")
            and not (of_a_report and r["resourceType"] == "Observation" and results and _other(r, told, results))
            and not (of_a_report and r["resourceType"] == "DiagnosticReport" and r["code"] != told.root["code"])
        ]
    )


def _other(observation, told, results) -> bool:
    return f"Observation/{observation['id']}" in told.others and f"Observation/{observation['id']}" not in results


@pytest.mark.shared
def test_what_strangers_messages_made_is_carried_to_86_of_100_values(shared_data: Path):
    total = lost = 0
    for path in sorted((shared_data / "hl7v2").rglob("*.hl7")):
        for part in split_batch(path.read_bytes()):
            try:
                message = Message.parse(part)
                conversion = convert(message, context())
            except HealthSyncError:
                continue
            for message_type, told in contents(message, conversion) if not conversion.merges else ():
                before = _of(told, told.all())
                after = _of(told, [m.resource for m in again(message_type, told).resources])
                total += before.total()
                lost += (before - after).total()
    assert total > 9000
    assert lost / total < 0.14  # a second name of one number, places of interpreters and software are not written back
