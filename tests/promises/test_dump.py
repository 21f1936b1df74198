"""Who copies the hub's disk reads nothing about anybody: database files, write-ahead log, logs, metrics, a dump.

The hub is fed with people whose values cannot occur by chance, through every way in, well and badly; then everything
that it leaves behind is searched for them. Control ids, which are no secret, show that the search would find them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from healthsync.entrypoints.demo.leaks import LeakScanner
from healthsync.infrastructure.database.embedded import EmbeddedPostgres

from .hub_process import FS, VT, HubProcess, MllpConnection, until
from .persons import Person, about, admission, merge, patient, persons, result

pytestmark = pytest.mark.slow

PEOPLE = persons(8, seed=20261125)
LATER = persons(4, seed=20261126)
NEEDLES = [needle for person in (*PEOPLE, *LATER) for needle in person.needles()]
CONTROLS = [f"CONTROL{n}PLAIN" for n in range(len(PEOPLE))]


def feed(hub: HubProcess, people: list[Person], admin: httpx.Client, run: str) -> None:
    """Every way in, well and badly."""
    with hub.connect() as connection:
        for n, person in enumerate(people):
            feed_messages(connection, person, f"{run}{n}PLAIN")
    feed_broken_frames(hub, people[0])
    for person in people:
        feed_fhir(admin, person)


def feed_messages(connection: MllpConnection, person: Person, control_id: str) -> None:
    connection.send(admission(person, control_id, "MERCY"))
    connection.send(admission(person, f"{control_id}O", "OTHER", trigger="A08"))
    connection.send(result(person, f"{control_id}R", "MERCY"))
    connection.send(merge(person, f"{control_id}M", "MERCY"))
    # one that no map exists for, one with a date that is none, one that says another charset than it has
    connection.send(admission(person, f"{control_id}Z", "MERCY", type="ZZZ", trigger="Z99"))
    connection.send(
        admission(person, f"{control_id}D", "MERCY").replace(
            f"|{person.born:%Y%m%d}|".encode(), f"|born {person.born}|".encode()
        )
    )
    connection.send(admission(person, f"{control_id}C", "MERCY").replace(b"UNICODE UTF-8", b"ASCII"))


def feed_broken_frames(hub: HubProcess, person: Person) -> None:
    message = admission(person, "BROKEN", "MERCY")
    for bad in (
        message,
        VT + message[:-200],
        VT + message[20:] + FS + b"\r",
        VT + message + b"NTE|1||" + b"x" * 17_000_000 + FS + b"\r",
    ):
        with hub.connect() as connection:
            connection.socket.sendall(bad)
            connection.socket.shutdown(1)
            connection.hung_up()


def feed_fhir(admin: httpx.Client, person: Person) -> None:
    resource = patient(person)
    made = admin.post("/fhir/Patient", content=json.dumps(resource)).raise_for_status().json()
    for other in about(person, made["id"]):
        assert admin.post(f"/fhir/{other['resourceType']}", content=json.dumps(other)).status_code == 201, other[
            "resourceType"
        ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [
        {"resource": resource, "request": {"method": "PUT", "url": f"Patient?identifier={person.mrn}"}}]}  # fmt: skip
    admin.post("/fhir", content=json.dumps(bundle))
    admin.post("/fhir/Patient", content=json.dumps(resource), headers={"If-None-Exist": f"identifier={person.mrn}"})
    admin.put("/fhir/Patient", params={"identifier": person.mrn}, content=json.dumps(resource))
    feed_refused(admin, person, made["id"])
    ask(admin, person)


def feed_refused(admin: httpx.Client, person: Person, patient_id: str) -> None:
    """Errors tempt a server to repeat what it was given."""
    for wrong in ({"birthDate": person.family}, {person.family: 1}, {"gender": person.ssn}, {"id": person.family + "!"},
                  {"name": person.given}, {"managingOrganization": {"reference": person.mrn}},
                  {"managingOrganization": {"reference": f"Organization?name={person.family}"}}):  # fmt: skip
        admin.post("/fhir/Patient", content=json.dumps(patient(person) | wrong))
    admin.post("/fhir/Patient", content=json.dumps(patient(person))[:-30])
    admin.put(f"/fhir/Patient/{patient_id}", content=json.dumps(patient(person)), headers={"If-Match": person.ssn})
    admin.post(f"/fhir/{person.family}", content=json.dumps(patient(person)))


def ask(admin: httpx.Client, person: Person) -> None:
    """Questions hold values as well, in addresses above all."""
    for parameters in ({"family": person.family}, {"name": person.given}, {"identifier": person.mrn}, {"birthdate": person.born.isoformat()},
                       {"phone": person.phone}, {"email": person.email}, {"address-city": person.city}, {person.family: "1"}):  # fmt: skip
        admin.get("/fhir/Patient", params=parameters)
        admin.post(
            "/fhir/Patient/_search", data=parameters, headers={"Content-Type": "application/x-www-form-urlencoded"}
        )
    admin.delete(f"/fhir/Patient/{person.mrn}")
    for path in (
        f"/fhir/Patient/{person.mrn}",
        f"/{person.family}",
        f"/fhir/{person.given}/1",
        f"/api/v1/healthsync/patients/{person.mrn}",
    ):
        admin.get(path)


@pytest.fixture(scope="module")
def hub(new_hub: Callable[..., HubProcess]) -> HubProcess:
    """A hub that logs all it can, and whose write-ahead log is not compressed, so that it can be searched."""
    hub = new_hub("hub", "--development", HEALTHSYNC_LOGGING__LEVEL="debug")
    hub.start()
    hub.stop()
    with (hub.cluster / "postgresql.conf").open("a") as settings:
        settings.write("wal_compression = off\n")
    hub.start()
    return hub


@pytest.fixture(scope="module")
def after_a_clean_stop(hub: HubProcess, place: Path) -> HubProcess:
    with hub.client() as admin:
        feed(hub, PEOPLE, admin, "CONTROL")
        hub.wait_until_processed()
        for person in PEOPLE:
            found = admin.get("/fhir/Patient", params={"family": person.family}).json()
            assert found["total"] > 0, "the people are stored and can be found"
            assert person.phone in json.dumps(found)
        (place / "metrics").write_text(httpx.get(f"http://{hub.http}/metrics").raise_for_status().text)
    hub.run("messages", "show", "1", "--reason", "dump-test")
    (place / "listed").write_text(hub.run("messages", "list", "--limit", "0", "--json").stdout)
    hub.run("audit", "export", "--out", place / "audit.jsonl")
    assert hub.stop() == 0
    return hub


@pytest.fixture(scope="module")
def after_a_kill(after_a_clean_stop: HubProcess) -> HubProcess:
    hub = after_a_clean_stop
    hub.start()
    with hub.client() as admin:
        feed(hub, LATER, admin, "LATER")
    hub.kill()
    until(lambda: hub.postmaster_pid is None and not hub.worker_pids(), "PostgreSQL and workers end with the hub")
    return hub


def leaks(needles: list, *places: Path) -> set[tuple[str, str]]:
    """(file, form) of what is found; values stay out of the answer."""
    scanner = LeakScanner(needles)
    found = (scanner.scan_file(p, p.name) if p.is_file() else scanner.scan_folder(p) for p in places)
    return {(leak.where, leak.form) for one in found for leak in one}


def everything(hub: HubProcess, place: Path) -> Iterator[Path]:
    """All that the hub leaves on the disk, and what it said."""
    yield from (place, *(() if hub.cluster.is_relative_to(place) else (hub.cluster,)))


def test_the_search_finds_what_stands_there_in_plain(after_a_clean_stop):
    files = {where for where, _form in leaks(CONTROLS, after_a_clean_stop.cluster)}
    assert any(where.startswith("base/") for where in files)
    assert any(where.startswith("pg_wal/") for where in files)


@pytest.mark.parametrize("form", ["text", "upper", "base64", "hex", "compact date"])
def test_the_search_finds_a_value_however_it_is_written(tmp_path, form):
    p = PEOPLE[0]
    text = {"upper": p.family.upper(), "hex": p.email.encode().hex(), "compact date": f"|{p.born:%Y%m%d}|",
            "base64": __import__("base64").b64encode(f"x{p.remark}".encode()).decode()}.get(form, p.city)  # fmt: skip
    (tmp_path / "page").write_bytes(b"\0" * 8000 + text.encode() + b"\0" * 192)
    assert leaks(NEEDLES, tmp_path) != set()


def test_after_a_clean_stop_nobody_is_readable_in_anything_that_the_hub_left_on_the_disk(after_a_clean_stop, place):
    assert leaks(NEEDLES, *everything(after_a_clean_stop, place)) == set()


def test_after_a_kill_nobody_is_readable_in_anything_that_the_hub_left_on_the_disk(after_a_kill, place):
    assert leaks(NEEDLES, *everything(after_a_kill, place)) == set()


def test_a_dump_of_every_table_with_the_statistics_of_the_planner_names_nobody(after_a_kill, tmp_path):
    asyncio.run(dump(after_a_kill.folder, tmp_path))
    assert leaks(CONTROLS, tmp_path) != set()
    assert leaks(NEEDLES, tmp_path) == set()


async def dump(data_folder: Path, into: Path) -> None:
    """Every table as text, as its owner's superuser sees it; what is compressed in the files is readable here."""
    server = EmbeddedPostgres(data_folder)
    await server.start()
    try:
        connection = await asyncpg.connect(server.administrator_url.replace("@/postgres?", "@/healthsync?"))
        await connection.execute("ANALYZE")
        tables = await connection.fetch(
            "SELECT relnamespace::regnamespace::text AS schema, relname FROM pg_class WHERE relkind IN ('r', 'm')"
        )
        for schema, table in tables:
            await connection.copy_from_table(table, schema_name=schema, output=into / f"{schema}.{table}")
        await connection.close()
    finally:
        await server.stop()
