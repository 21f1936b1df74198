"""One assigning authority under several names: messages, queries, FHIR and the index mean the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from healthsync.bootstrap import build_hub
from healthsync.domains.access import Requester
from healthsync.domains.directory import Partner, network
from healthsync.entrypoints.worker import Worker
from healthsync.exchange.administration.operators import Actor
from healthsync.exchange.administration.rebuild_index import rebuild_index
from healthsync.exchange.operations.cross_references import CrossReference
from healthsync.exchange.operations.jobs import OPERATOR
from healthsync.infrastructure.clock import SystemClock
from healthsync.infrastructure.crypto import InsecureDevelopmentKeyring
from healthsync.infrastructure.database import Database
from healthsync.settings import load_settings
from healthsync.standards.fhir import json
from healthsync.standards.fhir.parameters import Parameters
from healthsync.standards.fhir.query import parse

from .conftest import PEER, Asking

ADMIN = Requester("tester", ("admin",), "TREAT")
URL = "http://zhosp.example/mrn"
TABLE = f"""assigning_authorities:
  - {{authority: 1.2.3, namespace: ZHOSP, also: ["{URL}"]}}
  - {{authority: 1.7.1, namespace: LAB, partners: [mercy]}}
"""
FORMS = ("ZHOSP", "ZHOSP&1.2.3&ISO", "&1.2.3&ISO")


class World(Asking):
    """A hub with the table, a partner that asks and sends, and what became of it."""

    async def tell(self, cx: str, *segments: str, name: str = "QUENNELL^OTTOLINE", event: str = "A28") -> None:
        head = f"MSH|^~\\&|EPIC|MERCY|HUB|HIE|20240301120000||ADT^{event}|{cx}{len(segments)}{name}|P|2.5.1"
        pid = f"PID|1||{cx}^MR||{name}||19710309|F"
        raw = "\r".join((head, "EVN||20240301", pid, *segments, ""))
        assert b"MSA|AA" in (await self.hub.receive_message(raw.encode(), PEER) or b"")
        await Worker(self.hub.process_message, self.hub.database).drain()

    async def patients(self, *criteria: tuple[str, str], kind: str = "Patient") -> list[dict[str, Any]]:
        page = await self.hub.disclose.search(ADMIN, parse(kind, criteria), after=None, count=100, asked="")
        return [json.parse(entry.text.encode()) for entry in page.entries]


async def world(database: Database, folder: Path, table: str | None) -> World:
    overrides: dict[str, Any] = {"audit.heads_path": str(folder / "heads"), "development": True}
    if table is not None:
        (folder / "authorities.yaml").write_text(table)
        overrides["mpi.authorities_path"] = str(folder / "authorities.yaml")
    settings = load_settings(None, environ={}, overrides=overrides)
    hub = build_hub(settings, InsecureDevelopmentKeyring(), database, SystemClock())
    await rebuild_index(database, hub.ingest)
    known = Partner("mercy", addresses=(network("192.0.2.0/24"),), query_role="physician", query_purpose="TREAT")
    async with database.transaction() as tx:
        if not await hub.directory.partners(tx):
            await hub.directory.add(tx, known)
    return World(hub)


@pytest.fixture
async def named(database: Database, tmp_path: Path) -> Any:
    made = await world(database, tmp_path, TABLE)
    yield made
    await made.hub.close()


@pytest.mark.shows("mpi.authorities_path")
async def test_a_number_is_one_patients_whatever_form_its_authority_has(named: World) -> None:
    for form in FORMS:
        await named.tell(f"MRN-1^^^{form}")
    (patient,) = await named.patients()
    assert patient["meta"]["versionId"] == "1"
    assert [(each["system"], each["value"]) for each in patient["identifier"]] == [("urn:oid:1.2.3", "MRN-1")]


async def test_without_the_table_they_are_two(database: Database, tmp_path: Path) -> None:
    plain = await world(database, tmp_path, None)
    for form in FORMS:
        await plain.tell(f"MRN-1^^^{form}")
    assert len(await plain.patients()) == 2
    await plain.hub.close()


@pytest.mark.parametrize("system", ["urn:oid:1.2.3", URL, "urn:healthsync:authority:ZHOSP"])
async def test_a_search_finds_a_number_by_every_name_of_its_authority(system: str, named: World) -> None:
    await named.tell("MRN-1^^^ZHOSP")
    own = {"resourceType": "Patient", "identifier": [{"system": URL, "value": "MRN-2"}]}
    await named.hub.write.create(Requester("app", ("system",), "TREAT"), own)
    assert len(await named.patients(("identifier", f"{system}|MRN-1"))) == 1
    assert len(await named.patients(("identifier", f"{system}|MRN-2"))) == 1
    assert len(await named.patients(("identifier", f"{system}|"))) == 2
    assert await named.patients(("identifier", "urn:oid:1.2.4|MRN-1")) == []


@pytest.mark.parametrize("form", FORMS)
async def test_pix_and_pdq_know_an_authority_by_every_name_and_tell_it_whole(form: str, named: World) -> None:
    await named.tell("MRN-1^^^&1.2.3&ISO^MR~L9^^^LAB^PI")
    pix = await named("QBP^Q23^QBP_Q21", f"QPD|IHE PIX Query|t1|L9^^^LAB|^^^{form}", "RCP|I")
    assert pix.get("MSA-1") == "AA"
    assert pix.get("PID-3") == "MRN-1"
    assert pix.first("PID").field(3).raw == "MRN-1^^^ZHOSP&1.2.3&ISO^MR"  # type: ignore[union-attr]
    pdq = await named("QBP^Q22^QBP_Q21", f"QPD|IHE PDQ Query|t1|@PID.5.1^QUENNELL|||||^^^{form}", "RCP|I")
    assert pdq.first("PID").field(3).raw == "MRN-1^^^ZHOSP&1.2.3&ISO^MR"  # type: ignore[union-attr]


@pytest.mark.parametrize("system", ["urn:oid:1.2.3", URL])
async def test_pixm_answers_in_the_name_in_which_it_was_asked(system: str, named: World) -> None:
    await named.tell("MRN-1^^^ZHOSP~L9^^^LAB^PI")
    asked = Parameters.of_query([("sourceIdentifier", "urn:oid:1.7.1|L9"), ("targetSystem", system)])
    found = await CrossReference(named.hub.disclose)(ADMIN, asked, "http://hub/fhir")
    assert [(each["system"], each["value"]) for each in found.identifiers] == [(system, "MRN-1")]  # type: ignore[union-attr]
    asked = Parameters.of_query([("sourceIdentifier", f"{system}|MRN-1"), ("targetSystem", "urn:oid:1.7.1")])
    found = await CrossReference(named.hub.disclose)(ADMIN, asked, "http://hub/fhir")
    assert [each["value"] for each in found.identifiers] == ["L9"]  # type: ignore[union-attr]


async def test_a_merge_names_the_retired_number_in_any_form(named: World) -> None:
    await named.tell("MRN-1^^^ZHOSP")
    await named.tell("MRN-2^^^&1.2.3&ISO", name="QUENNEL^OTTOLINE")
    await named.tell("MRN-1^^^ZHOSP&1.2.3&ISO", "MRG|MRN-2^^^ZHOSP", event="A40")
    active = [each for each in await named.patients() if each.get("active") is not False]
    assert [each["identifier"][0]["value"] for each in active] == ["MRN-1"]


async def test_two_sources_that_give_one_number_of_one_authority_are_one_person(named: World) -> None:
    await named.tell("MRN-1^^^ZHOSP")
    own = {
        "resourceType": "Patient",
        "identifier": [{"system": URL, "value": "MRN-1", "type": {"coding": [{"code": "MR"}]}}],
        "name": [{"family": "Quennell", "given": ["Ottoline"]}],
    }
    made = await named.hub.write.create(Requester("app", ("system",), "TREAT"), own)
    found = await named.hub.disclose.golden(ADMIN, made.id)
    numbers = json.parse(found.text.encode())["identifier"]  # type: ignore[union-attr]
    assert [(each["system"], each["value"]) for each in numbers] == [("urn:oid:1.2.3", "MRN-1")]


async def test_a_table_that_comes_later_leaves_records_alone_and_finds_them(database: Database, tmp_path: Path) -> None:
    plain = await world(database, tmp_path, None)
    await plain.tell("MRN-1^^^ZHOSP")
    (before,) = await plain.patients()
    named = await world(database, tmp_path, TABLE)
    assert await named.patients() == [before]
    assert len(await named.patients(("identifier", "urn:oid:1.2.3|MRN-1"))) == 1
    await named.tell("MRN-1^^^&1.2.3&ISO", name="QUENNELL^OTTOLINE^MAY")
    (after,) = await named.patients()
    assert after["id"] == before["id"]
    await named.hub.close()
    await plain.hub.close()


async def test_a_visit_of_before_the_table_goes_on_and_is_merged_under_any_name(
    database: Database, tmp_path: Path
) -> None:
    def visit(number: str, authority: str) -> str:
        return f"PV1|1|I|W1^101^A||||||||||||||||{number}^^^{authority}^VN"

    plain = await world(database, tmp_path, None)
    await plain.tell("MRN-1^^^ZHOSP", visit("V-1", "ZHOSP"), event="A01")
    await plain.tell("MRN-1^^^ZHOSP", visit("V-2", "ZHOSP"), event="A01")
    named = await world(database, tmp_path, TABLE)
    await named.tell("MRN-1^^^ZHOSP", visit("V-1", "&1.2.3&ISO"), event="A08")
    await named.tell("MRN-1^^^ZHOSP", "MRG|MRN-1^^^ZHOSP||||V-2^^^ZHOSP&1.2.3&ISO", visit("V-1", "ZHOSP"), event="A42")
    visits = await named.patients(kind="Encounter")
    in_use = [each for each in visits if each["status"] == "in-progress"]
    assert (len(visits), len(in_use)) == (2, 1)
    assert {each["value"] for each in in_use[0]["identifier"]} == {"V-1", "V-2"}
    await named.hub.close()
    await plain.hub.close()


async def test_doubles_of_before_the_table_are_told_and_merged_on_command_only(
    database: Database, tmp_path: Path
) -> None:
    plain = await world(database, tmp_path, None)
    await plain.tell("MRN-1^^^ZHOSP")
    await plain.tell("MRN-1^^^&1.2.3&ISO")
    await plain.tell("MRN-2^^^ZHOSP", name="HOLM^SIGNE")
    await plain.tell("MRN-2^^^&1.2.3&ISO", name="QUENNELL^MAY")
    before = await plain.patients()
    named = await world(database, tmp_path, TABLE)
    ann = Actor("Ann")
    doubles = await named.hub.steward_identity.doubles(ann)
    assert [each.is_merged for each in doubles] == [False, False]
    assert await named.patients() == before
    job = await named.hub.rematch_patients.start(ann, owner=OPERATOR, claimed=True)
    await named.hub.jobs.run(job)
    told = await named.hub.steward_identity.doubles(ann, "one-authority")
    assert sorted((each.is_one_person, each.is_merged) for each in told) == [(False, False), (True, True)]
    assert [each.get("active") for each in await named.patients()].count(False) == 1
    assert len(await named.hub.steward_identity.doubles(ann)) == 1
    await named.hub.close()
    await plain.hub.close()


async def test_a_feed_over_http_is_one_patient_by_any_name(named: World) -> None:
    own = {"resourceType": "Patient", "identifier": [{"system": URL, "value": "MRN-5"}], "active": True}
    app = Requester("app", ("system",), "TREAT")
    for system in (URL, "urn:oid:1.2.3"):
        await named.hub.write.update_where(app, own, [("identifier", f"{system}|MRN-5")])
    assert len(await named.patients()) == 1
