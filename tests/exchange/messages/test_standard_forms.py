"""A message through the whole hub: canonical quantities, the contract with its source, the operator's tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from healthsync.bootstrap import build_hub
from healthsync.domains.directory import Peer
from healthsync.entrypoints.worker import Worker
from healthsync.exchange.authenticate import Requester
from healthsync.infrastructure.clock import SystemClock
from healthsync.infrastructure.crypto import InsecureDevelopmentKeyring
from healthsync.infrastructure.database import Database
from healthsync.settings import load_settings
from healthsync.standards.fhir import json
from healthsync.standards.fhir.index_values import UCUM
from healthsync.standards.fhir.query import parse
from healthsync.standards.units import TRANSLATION, canonical_quantity

ADMIN = Requester("tester", ("admin",), "TREAT")
ORIGINAL = "http://hl7.org/fhir/StructureDefinition/originalText"
PID = "PID|1||P1^^^MERCY^MR||{name}||{birth}|F|||12 ELM STREET^^HARBOR^WA^98101^USA||(202) 555-0143"


class Played:
    """A hub with the given settings, and what it has made of the messages it was sent."""

    def __init__(self, hub: Any) -> None:
        self.hub = hub
        self.count = 0

    async def send(self, *segments: str, type: str = "ADT^A28^ADT_A05", facility: str = "MERCY") -> Any:
        self.count += 1
        head = f"MSH|^~\\&|EPIC|{facility}|HUB|HIE|20240301120000+0000||{type}|C{self.count}|P|2.5.1"
        raw = "\r".join((head, *segments)) + "\r"
        assert b"MSA|AA" in await self.hub.receive_message(raw.encode(), Peer("127.0.0.1"))
        await Worker(self.hub.process_message, self.hub.database).drain()
        async with self.hub.database.connection() as tx:
            (last, *_) = await self.hub.messages.listed(tx)
        assert last.state == "processed"
        return last

    async def found(self, kind: str, query: str = "") -> list[dict[str, Any]]:
        asked = parse(kind, parse_qsl(query))
        page = await self.hub.disclose.search(ADMIN, asked, after=None, count=100, asked=query)
        return [json.parse(entry.text.encode()) for entry in page.entries]


@pytest.fixture
async def play(database: Database, tmp_path: Path) -> Any:
    opened = []

    def build(**overrides: Any) -> Played:
        fixed = {"audit.heads_path": str(tmp_path / "heads"), "development": True}
        settings = load_settings(None, environ={}, overrides={**fixed, **overrides})
        opened.append(build_hub(settings, InsecureDevelopmentKeyring(), database, SystemClock()))
        return Played(opened[-1])

    yield build
    for hub in opened:
        await hub.close()


async def test_a_result_is_stored_as_measured_with_its_canonical_quantity_beside_it(play: Any) -> None:
    played = play()
    done = await played.send(
        PID.format(name="Plover^Ora", birth="19700101"),
        "OBR|1||F1^LAB|PAN^Panel^L",
        "OBX|1|NM|2345-7^Glucose^LN||5.5|mmol/L|3.9-6.1||||F",
        "OBX|2|NM|8302-2^Height^LN||600|cm^^UCUM|||||F",
        "OBX|3|NM|8310-5^Temperature^LN||98.6|F|||||F",
        type="ORU^R01^ORU_R01",
    )
    results = {one["code"]["coding"][0]["code"]: one["valueQuantity"] for one in await played.found("Observation")}
    glucose = results["2345-7"]
    assert (str(glucose["value"]), glucose["unit"], "code" in glucose) == ("5.5", "mmol/L", False)
    assert glucose["extension"][0]["url"] == TRANSLATION
    assert [str(part) for part in canonical_quantity(glucose) or ()] == ["99.1", "mg/dL"]
    assert [str(part) for part in canonical_quantity(results["8310-5"]) or ()] == ["37.0", "Cel"]
    assert "extension" not in results["8302-2"]
    assert "implausible-quantity" in done.warnings
    assert len(await played.found("Observation", f"value-quantity=gt90|{UCUM}|mg/dL")) == 1
    assert len(await played.found("Observation", f"code-value-quantity=8310-5$37|{UCUM}|Cel")) == 1
    assert await played.found("Observation", "value-quantity=99.1") == []


async def test_without_a_contract_names_numbers_and_addresses_stay_as_sent(play: Any) -> None:
    played = play()
    await played.send(PID.format(name="MCDONALD^ORA", birth="19700101"), "PV1|1|N")
    (patient,) = await played.found("Patient")
    assert patient["name"] == [{"family": "MCDONALD", "given": ["ORA"]}]
    assert patient["telecom"][0]["value"] == "(202) 555-0143"
    assert patient["address"][0]["line"] == ["12 ELM STREET"]


@pytest.mark.shows("normalisation.names", "normalisation.phones", "normalisation.addresses")
async def test_names_numbers_and_addresses_are_brought_to_one_form_and_the_original_stands_beside(play: Any) -> None:
    played = play(
        **{"normalisation.names": "title-case", "normalisation.phones": "e164", "normalisation.addresses": "usps"}
    )
    await played.send(PID.format(name="MCDONALD^ORA", birth="19700101"), "PV1|1|N")
    (patient,) = await played.found("Patient")
    name, phone, address = patient["name"][0], patient["telecom"][0], patient["address"][0]
    assert (name["family"], name["given"]) == ("McDonald", ["Ora"])
    assert phone["value"] == "+12025550143"
    assert (address["line"], address["city"], address["country"]) == (["12 Elm St"], "Harbor", "US")
    kept = [one["extension"][0] for one in (name, phone, address)]
    assert kept == [
        {"url": ORIGINAL, "valueString": text}
        for text in ("MCDONALD, ORA", "(202) 555-0143", "12 ELM STREET; HARBOR; WA; 98101; USA")
    ]


@pytest.mark.shows("normalisation.date_order", "normalisation.by_source", "normalisation.country")
async def test_a_source_may_have_a_contract_of_its_own(play: Any, tmp_path: Path) -> None:
    file = tmp_path / "healthsync.yaml"
    file.write_text(
        "healthsync:\n  development: true\n  normalisation:\n    date_order: MDY\n    phones: e164\n"
        "    by_source:\n      VIENNA.EPIC: {date_order: DMY, country: AT, names: title-case}\n"
    )
    settings = load_settings(file, environ={}, overrides={"audit.heads_path": str(tmp_path / "heads")})
    hub = play().hub
    other = Played(build_hub(settings, InsecureDevelopmentKeyring(), hub.database, SystemClock()))
    for facility, number in (("MERCY", "(202) 555-0143"), ("VIENNA", "01 58858")):
        pid = f"PID|1||P1^^^{facility}^MR||PLOVER^ORA||01/02/1980|F|||||{number}"
        await other.send(pid, "PV1|1|N", facility=facility)
    patients = {one["identifier"][0]["system"].rpartition(":")[2]: one for one in await other.found("Patient")}
    mercy, vienna = patients["MERCY"], patients["VIENNA"]
    assert (mercy["birthDate"], vienna["birthDate"]) == ("1980-01-02", "1980-02-01")
    assert (mercy["name"][0]["family"], vienna["name"][0]["family"]) == ("PLOVER", "Plover")
    assert (mercy["telecom"][0]["value"], vienna["telecom"][0]["value"]) == ("+12025550143", "+43158858")
    await other.hub.close()


async def test_a_date_that_can_be_two_days_is_left_out_and_reported(play: Any) -> None:
    played = play()
    done = await played.send(PID.format(name="Plover^Ora", birth="01/02/1980"), "PV1|1|N")
    (patient,) = await played.found("Patient")
    assert "birthDate" not in patient
    assert done.warnings == ("ambiguous-date",)


@pytest.mark.shows("hl7.enrichment_path")
async def test_tables_of_the_operator_fill_what_messages_leave_out(play: Any, tmp_path: Path) -> None:
    (tmp_path / "providers.csv").write_text(
        "id,npi,family,given,taxonomy,organisation\n4711,1234567893,Stone,Ada B,207R00000X,MERCY\n"
    )
    document = tmp_path / "tables.yaml"
    document.write_text(
        "enrichment:\n  providers: providers.csv\n"
        "  places: [{code: ICU, place_of_service: '21', organisation: MERCY}]\n"
        "  organisations: [{code: MERCY, name: Mercy Hospital}]\n"
    )
    played = play(**{"hl7.enrichment_path": str(document)})
    visit = "PV1|1|I|ICU^12^A^MERCY||||4711|||||||||||||||V1"
    await played.send(PID.format(name="Plover^Ora", birth="19700101"), visit, type="ADT^A01^ADT_A01")
    (doctor,), places = await played.found("Practitioner"), await played.found("Location")
    (place,) = [each for each in places if each["physicalType"]["coding"][0]["code"] == "bd"]
    (role,) = await played.found("PractitionerRole")
    assert doctor["name"][0]["family"] == "Stone"
    assert place["type"][0]["coding"][0]["code"] == "21"
    assert role["practitioner"]["reference"] == f"Practitioner/{doctor['id']}"
    (sender,) = await played.found("Organization")
    assert (sender["name"], sender["alias"]) == ("MERCY", ["Mercy Hospital"])
    assert place["managingOrganization"]["reference"] == f"Organization/{sender['id']}"
