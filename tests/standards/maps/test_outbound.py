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
from .round_trips import again, carried, contents, losses

RECEIVED = sorted(GOLDEN.glob("*.hl7"))
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp", "Cn", "Co")), min_size=1, max_size=12)
NUMBERS = st.text("ABCdef0123456789-|^~\\&", min_size=1, max_size=10).filter(lambda text: text.strip() == text)


@pytest.mark.parametrize("message_type", ROOTS)
def test_a_message_is_written_as_the_golden_one(message_type):
    assert written(message_type) == file_of(message_type).read_text(encoding="utf-8")


@pytest.mark.parametrize("message_type", known_types())
def test_every_message_type_is_written_in_every_version_that_has_it(message_type):
    root = ROOTS.get(message_type) or next(of for name, of in ROOTS.items() if name[:3] == message_type[:3])
    if message_type == "ADT^A31":
        root = "Patient/pat"
    status = {"ADT^A03": "finished", "SIU^S15": "cancelled", "SIU^S26": "noshow", "MDM^T11": "entered-in-error"}
    changes = {"status": status[message_type]} if message_type in status else {}
    about = Content(RESOURCES[root] | changes, RESOURCES, retired=RESOURCES["Patient/old"])
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
    assert "|^PRS^CP^^^^^^^^^+1 617 555 0100" in new, "XTN.1 went with v2.7"
    coded = {"valueCodeableConcept": {"coding": [{"system": "http://snomed.info/sct", "code": "1"}], "text": "one"}}
    for version, kind in (("2.4", "CE"), ("2.5.1", "CWE")):
        observation = {
            "resourceType": "Observation",
            "id": "o",
            "status": "final",
            "code": {"text": "what it is"},
            "subject": {"reference": "Patient/pat"},
        }
        raw = build("ORU^R01", Content(observation | coded, RESOURCES), replace(HEADER, version=version))
        assert Message.parse(raw).get("OBX-2") == kind
    order = written("ORM^O01", replace(HEADER, version="2.3"))
    assert "TQ1|" not in order and "^^^20260506080000+0000^^S" in order


def test_a_place_keeps_its_state_and_the_number_beside_its_path():
    place = {
        "resourceType": "Location", "id": "bed", "mode": "instance", "name": "4N 12 A", "status": "suspended",
        "identifier": [{"system": "urn:oid:2.4.4", "value": "4N/12/A"}, {"system": "urn:oid:1.2.3", "value": "77"}],
        "physicalType": {"coding": [{"code": "bd"}]},
    }  # fmt: skip
    visit = RESOURCES["Encounter/enc"] | {"location": [{"location": {"reference": "Location/bed"}}]}
    told = Content(visit, RESOURCES | {"Location/bed": place})
    for version, number in (("2.5.1", "^^^^^77&&1.2.3&ISO"), ("2.4", "")):
        raw = build("ADT^A01", told, replace(HEADER, version=version)).decode()
        assert f"|I|4N^12^A^&2.4.4&ISO^suspended{number}|" in raw, "PL.10 came with v2.5"


def test_who_took_part_stands_in_prt_where_the_fields_of_v2_were_withdrawn():
    doctor = {"reference": "Practitioner/doc"}
    surgeon = {"coding": [{"system": "http://snomed.info/sct", "code": "304292004"}]}
    other = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "PART"}]}
    visit = RESOURCES["Encounter/enc"] | {"participant": [{"type": [other], "individual": doctor}]}
    done = {
        "resourceType": "Procedure", "id": "op", "status": "completed", "encounter": {"reference": "Encounter/enc"},
        "code": {"text": "Suture"}, "performer": [{"function": surgeon, "actor": doctor}],
        "performedPeriod": {"start": "2026-05-06T08:00:00Z", "end": "2026-05-06T08:45:00Z"},
    }  # fmt: skip
    told = Content(visit, RESOURCES | {"Procedure/op": done})
    old, new = (Message.parse(build("ADT^A01", told, replace(HEADER, version=version))) for version in ("2.6", "2.8"))
    assert [old.get(path) for path in ("PD1-4.2", "PV1-52.2", "PR1-11.2", "PR1-7")] == [*["Okafor"] * 3, "45"]
    assert [new.get(path) for path in ("PD1-4.2", "PV1-52.2", "PR1-11.2", "PR1-7")] == [*[""] * 3, "45"]
    assert not old.all("PRT")
    assert [prt.get(4) for prt in new.all("PRT")] == ["PP", "PART", "304292004"]
    assert {prt.get(5, 1, 2) for prt in new.all("PRT")} == {"Okafor"}


def test_a_single_result_goes_out_under_a_request_of_its_own():
    observation = RESOURCES["Observation/obs"] | {"subject": {"reference": "Patient/pat"}}
    message = Message.parse(build("ORU^R01", Content(observation, RESOURCES), HEADER))
    assert [s.name for s in message.segments] == ["MSH", "PID", "PD1", "NK1", "OBR", "OBX", "NTE"]
    assert message.get("OBR-4") == message.get("OBX-3") == "718-7"


def test_results_that_share_a_code_are_numbered_so_that_none_replaces_another():
    twins = {f"Observation/{n}": RESOURCES["Observation/obs"] | {"id": str(n)} for n in (1, 2)}
    report = RESOURCES["DiagnosticReport/rep"] | {"result": [{"reference": name} for name in twins]}
    message = Message.parse(build("ORU^R01", Content(report, RESOURCES | twins), HEADER))
    assert [obx.get(4) for obx in message.all("OBX")] == ["1", "2"]


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


@settings(max_examples=150)
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


@pytest.mark.parametrize("version", ["2.5.1", "2.8"])
@pytest.mark.parametrize("file", RECEIVED, ids=lambda path: path.stem)
def test_what_a_message_made_comes_back_from_the_message_about_it_but_for_what_the_documentation_lists(file, version):
    message = Message.parse(file.read_text(encoding="utf-8").strip().replace("\n", "\r").encode())
    assert undeclared(message, version) == []


@pytest.mark.shared
@pytest.mark.parametrize("version", ["2.5.1", "2.8"])
def test_so_does_what_the_messages_of_strangers_made(shared_data: Path, version):
    seen: Counter[str] = Counter()
    for path in [*(shared_data / "hl7v2").rglob("*.hl7"), *(shared_data / "hl7v2").rglob("*MDM_T02.txt")]:
        for part in split_batch(path.read_bytes()):
            try:
                message = Message.parse(part)
                convert(message, context())
            except HealthSyncError:
                continue
            assert undeclared(message, version) == [], path.name
            seen[message.message_code] += 1
    assert seen.keys() >= {"ADT", "ORU", "ORM", "OML", "MDM", "VXU", "DFT"}


def undeclared(message: Message, version: str) -> list[str]:
    """What is lost or changed and is not in the list."""
    header, number = replace(HEADER, version=version, sending_facility="HUB"), tuple(map(int, version.split(".")))
    found = []
    for message_type, told in contents(message, convert(message, context())):
        try:
            require_version(message_type, version)
            lost, come = carried(message_type, told, header)
        except InvalidInput as refused:
            assert "needs RXA-3" in str(refused) or "choose another" in str(refused)
            continue
        for fact, is_lost in [*((fact, True) for fact in lost), *((fact, False) for fact in come)]:
            if not any(loss.covers(message_type[:3], number, fact, lost=is_lost) for loss in losses()):
                found.append(f"{message_type}: {'-' if is_lost else '+'} {fact}")
    return found


def test_every_line_of_the_list_names_messages_and_elements():
    assert len(losses()) > 60
    assert {message for loss in losses() for message in loss.messages} <= {name[:3] for name in known_types()}


def test_a_second_round_changes_nothing_any_more():
    for file in RECEIVED:
        message = Message.parse(file.read_text(encoding="utf-8").strip().replace("\n", "\r").encode())
        for message_type, told in contents(message, convert(message, context())):
            once = again(message_type, told)
            kind = told.root["resourceType"]
            roots = [m.resource for m in once.resources if m.type == kind]
            first = next((r for r in roots if r.get("code") == told.root.get("code")), None)
            if first is None:  # a visit without a number that names it
                continue
            others = {m.reference: m.resource for m in once.resources}
            lost, come = carried(message_type, Content(first, others))
            assert not lost and not come, file.stem
