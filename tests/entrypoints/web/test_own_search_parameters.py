"""SearchParameter resources change what can be searched by: judged, indexed in the background, dropped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from healthsync.bootstrap import Hub, build_hub
from healthsync.domains.search_parameters import service as parameters
from healthsync.exchange.operations import reindex
from healthsync.infrastructure.clock import SystemClock
from healthsync.infrastructure.crypto import InsecureDevelopmentKeyring
from healthsync.infrastructure.database import Database
from healthsync.infrastructure.jobs import JobState
from healthsync.settings import load_settings
from healthsync.standards.fhir import search_parameters

URL = "http://example.org/fhir/"


@pytest.fixture(autouse=True)
def only_official_parameters(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Registries are of the process: leave none behind, and do not wait for processes that there are not."""
    monkeypatch.setattr(parameters, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(reindex, "_ASK_AGAIN_SECONDS", 0.01)
    yield
    search_parameters.use(())


def parameter(code: str, kind: str, expression: str, base: str = "Patient", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "SearchParameter", "id": code, "url": f"{URL}SearchParameter/{code}", "name": "own",
        "status": "active", "description": "made up", "code": code, "base": [base], "type": kind,
        "expression": expression, **more,
    }  # fmt: skip


def of_extension(code: str, kind: str, value: str, base: str = "Patient", **more: Any) -> dict[str, Any]:
    return parameter(code, kind, f"{base}.extension('{URL}{code}').value.ofType({value})", base, **more)


def person(id_: str, **extensions: Any) -> dict[str, Any]:
    """A patient with extensions, written `code__valueX=value`."""
    return {
        "resourceType": "Patient", "id": id_, "active": True,
        "extension": [
            {"url": URL + name.partition("__")[0].replace("_", "-"), name.partition("__")[2]: value}
            for name, value in extensions.items()
        ] or [{"url": f"{URL}nothing", "valueBoolean": True}],
    }  # fmt: skip


async def put(client: httpx.AsyncClient, *resources: dict[str, Any]) -> None:
    for resource in resources:
        answer = await client.put(f"/fhir/{resource['resourceType']}/{resource['id']}", json=resource)
        assert answer.status_code in (200, 201), answer.text


async def add(hub: Hub, client: httpx.AsyncClient, *resources: dict[str, Any]) -> None:
    """Add parameters and let a worker index for them."""
    await put(client, *resources)
    while await hub.jobs.run_next():
        pass


async def ids(client: httpx.AsyncClient, query: str) -> list[str]:
    answer = await client.get(f"/fhir/{query}")
    assert answer.status_code == 200, answer.text
    return [entry["resource"]["id"] for entry in answer.json().get("entry", [])]


async def diagnostics(answer: httpx.Response) -> str:
    return answer.json()["issue"][0]["diagnostics"]


# --- finding -----------------------------------------------------------------------------------------------------

KINDS = [
    ("mood", "token", "Coding", {"system": "urn:moods", "code": "calm"}, {"system": "urn:moods", "code": "glad"}, "urn:moods|calm"),
    ("nickname", "string", "string", "Ottoline", "Beatrix", "ottol"),
    ("moved", "date", "dateTime", "2024-03-01", "2023-01-01", "2024-03"),
    ("moved", "date", "dateTime", "2024-03-01", "2023-01-01", "ge2023-06-01"),
    ("guardian", "reference", "Reference", {"reference": "Organization/o1"}, {"reference": "Organization/o2"}, "Organization/o1"),
    ("dose", "quantity", "Quantity", {"value": 5, "system": "http://unitsofmeasure.org", "code": "mg"},
     {"value": 9, "system": "http://unitsofmeasure.org", "code": "mg"}, "0.005|http://unitsofmeasure.org|g"),
    ("rank", "number", "integer", 5, 9, "lt7"),
    ("home", "uri", "uri", "urn:home:1", "urn:home:2", "urn:home:1"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "kind", "fhir", "value", "other", "query"), KINDS)
async def test_a_parameter_over_an_extension_finds_what_was_there_before_and_what_comes_after(
    hub, admin, code, kind, fhir, value, other, query
):
    name = f"{code}__value{fhir[0].upper()}{fhir[1:]}"
    await put(admin, *({"resourceType": "Organization", "id": id_, "name": "Weir"} for id_ in ("o1", "o2")))
    await put(admin, person("old", **{name: value}), person("old-other", **{name: other}), person("without"))
    await add(hub, admin, of_extension(code, kind, fhir))
    await put(admin, person("new", **{name: value}), person("new-other", **{name: other}), person("new-without"))
    assert sorted(await ids(admin, f"Patient?{code}={query}")) == ["new", "old"]
    assert sorted(await ids(admin, f"Patient?{code}:missing=true")) == ["new-without", "without"]
    assert len(await ids(admin, f"Patient?{code}:missing=false")) == 4


async def test_a_value_that_changes_is_found_anew_and_no_longer_under_the_old_one(hub, admin):
    await put(admin, person("p", mood__valueString="calm"))
    await add(hub, admin, of_extension("mood", "token", "string"))
    await put(admin, person("p", mood__valueString="glad"))
    assert await ids(admin, "Patient?mood=calm") == []
    assert await ids(admin, "Patient?mood=glad") == ["p"]


async def test_own_references_can_be_chained_included_and_asked_from_the_other_side(hub, admin):
    await put(admin, {"resourceType": "Organization", "id": "o1", "name": "Weir"})
    await put(admin, person("p", guardian__valueReference={"reference": "Organization/o1"}))
    await add(hub, admin, of_extension("guardian", "reference", "Reference", target=["Organization"]))
    assert await ids(admin, "Patient?guardian.name=weir") == ["p"]
    assert await ids(admin, "Patient?guardian.name=dam") == []
    assert sorted(await ids(admin, "Patient?_id=p&_include=Patient:guardian")) == ["o1", "p"]
    assert sorted(await ids(admin, "Organization?_id=o1&_revinclude=Patient:guardian")) == ["o1", "p"]
    assert await ids(admin, "Organization?_has:Patient:guardian:active=true") == ["o1"]


@pytest.mark.parametrize("kind", ["date", "string", "number"])
async def test_own_parameters_can_be_sorted_by(hub, admin, kind):
    fhir = {"date": "date", "string": "string", "number": "integer"}[kind]
    name = f"rank__value{fhir.capitalize()}"
    values = {"date": ["2020-01-01", "2021-01-01"], "string": ["aa", "bb"], "number": [1, 2]}[kind]
    await put(admin, person("second", **{name: values[1]}), person("first", **{name: values[0]}), person("without"))
    await add(hub, admin, of_extension("rank", kind, fhir))
    assert await ids(admin, "Patient?_sort=rank") == ["first", "second", "without"]
    assert (await ids(admin, "Patient?_sort=-rank"))[:2] == ["second", "first"]


async def test_nested_extensions_and_casts_are_understood(hub, admin):
    inner = [{"url": "ombCategory", "valueCoding": {"system": "urn:race", "code": "2106-3"}}]
    await put(admin, {"resourceType": "Patient", "id": "p", "extension": [{"url": f"{URL}race", "extension": inner}]})
    path = f"(Patient.extension.where(url = '{URL}race').extension('ombCategory').value as Coding)"
    await add(hub, admin, parameter("race", "token", path))
    assert await ids(admin, "Patient?race=2106-3") == ["p"]


async def test_the_text_of_an_extension_is_not_readable_in_the_index(hub, admin, database):
    """Types whose official strings are readable have sealed extensions nevertheless."""
    await add(
        hub, admin, of_extension("motto", "string", "string", "Organization"),
        of_extension("born", "date", "date", "Organization"),
    )  # fmt: skip
    extension = [{"url": f"{URL}motto", "valueString": "Quietly"}, {"url": f"{URL}born", "valueDate": "1971-03-09"}]
    await put(admin, {"resourceType": "Organization", "id": "o", "name": "Weir", "extension": extension})
    assert await ids(admin, "Organization?motto=quietly&born=1971-03") == ["o"]
    async with database.connection() as tx:
        strings = [row["value"] for row in await tx.fetch("SELECT value FROM index_string")]
        assert "weir" in strings
        assert "quietly" not in strings
        assert await tx.fetchval("SELECT count(*) FROM index_date WHERE low < '1990-01-01'") == 0


# --- the life of a parameter --------------------------------------------------------------------------------------


async def test_a_search_is_refused_while_the_parameter_is_being_indexed(hub, admin):
    await put(admin, person("p", mood__valueString="calm"), of_extension("mood", "token", "string"))
    for query in ("mood=calm", "mood:missing=true", "_sort=mood", "_filter=mood eq calm", "link.mood=calm"):
        answer = await admin.get(f"/fhir/Patient?{query}")
        assert answer.status_code == 400, query
    answer = await admin.get("/fhir/Patient?mood=calm")
    assert answer.json()["issue"][0]["code"] == "not-supported"
    assert "still being indexed, 0 %" in await diagnostics(answer)


async def test_the_capability_statement_names_a_parameter_once_it_can_be_searched_by(hub, admin):
    async def told() -> bool:
        rest = (await admin.get("/fhir/metadata")).json()["rest"][0]
        patient = next(each for each in rest["resource"] if each["type"] == "Patient")
        return {"name": "mood", "definition": f"{URL}SearchParameter/mood", "type": "token"} in patient["searchParam"]

    await put(admin, of_extension("mood", "token", "string"))
    assert not await told()
    await hub.jobs.run_next()
    assert await told()
    await admin.delete("/fhir/SearchParameter/mood")
    assert not await told()


@pytest.mark.parametrize("how", ["retired", "draft", "deleted"])
async def test_a_parameter_that_is_no_longer_active_is_unknown_to_searches(hub, admin, how):
    await add(hub, admin, of_extension("mood", "token", "string"))
    assert (await admin.get("/fhir/Patient?mood=calm")).status_code == 200
    if how == "deleted":
        await admin.delete("/fhir/SearchParameter/mood")
    else:
        await put(admin, of_extension("mood", "token", "string", status=how))
    answer = await admin.get("/fhir/Patient?mood=calm")
    assert answer.status_code == 400
    assert "no search parameter 'mood'" in await diagnostics(answer)


async def test_what_changed_while_a_parameter_was_retired_is_right_when_it_comes_back(hub, admin):
    await put(admin, person("changed", mood__valueString="calm"), person("same", mood__valueString="calm"))
    await add(hub, admin, of_extension("mood", "token", "string"))
    await admin.delete("/fhir/SearchParameter/mood")
    await put(admin, person("changed", mood__valueString="glad"))
    await add(hub, admin, of_extension("mood", "token", "string"))
    assert await ids(admin, "Patient?mood=calm") == ["same"]
    assert await ids(admin, "Patient?mood=glad") == ["changed"]


async def test_what_changed_while_a_parameter_was_retired_is_right_for_another_of_the_same_path(hub, admin):
    await put(admin, person("changed", mood__valueString="calm"), person("gone", mood__valueString="calm"))
    await add(hub, admin, of_extension("mood", "token", "string"))
    await put(admin, of_extension("mood", "token", "string", status="retired"))
    await put(admin, person("changed", mood__valueString="glad"), person("gone"))
    again = parameter("temper", "token", f"Patient.extension('{URL}mood').value.ofType(string)")
    await add(hub, admin, again)
    assert await ids(admin, "Patient?temper=calm") == []
    assert await ids(admin, "Patient?temper=glad") == ["changed"]
    assert await ids(admin, "Patient?temper:missing=true") == ["gone"]


async def test_another_expression_is_indexed_before_it_is_searched_by(hub, admin):
    await put(admin, person("p", mood__valueString="calm", temper__valueString="hot"))
    await add(hub, admin, of_extension("mood", "token", "string"))
    changed = parameter("mood", "token", f"Patient.extension('{URL}temper').value.ofType(string)")
    await put(admin, changed)
    assert "still being indexed" in await diagnostics(await admin.get("/fhir/Patient?mood=hot"))
    await hub.jobs.run_next()
    assert await ids(admin, "Patient?mood=hot") == ["p"]
    assert await ids(admin, "Patient?mood=calm") == []


async def test_a_resend_of_the_same_meaning_indexes_nothing_anew(hub, admin):
    await add(hub, admin, of_extension("mood", "token", "string"))
    await put(admin, of_extension("mood", "token", "string", description="in other words"))
    assert (await admin.get("/fhir/Patient?mood=calm")).status_code == 200
    assert not await hub.jobs.run_next()


async def test_a_parameter_in_a_refused_transaction_is_not_there(hub, admin):
    entries = [
        {"resource": each, "request": {"method": "PUT", "url": f"{each['resourceType']}/{each['id']}"}}
        for each in (of_extension("mood", "token", "string"), {"resourceType": "Patient", "id": "p", "gender": "x"})
    ]
    answer = await admin.post("/fhir", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 400
    assert "no search parameter" in await diagnostics(await admin.get("/fhir/Patient?mood=calm"))


# --- the job ------------------------------------------------------------------------------------------------------


async def test_what_is_written_while_the_job_runs_is_found_by_its_last_value(hub, admin, monkeypatch):
    monkeypatch.setattr(reindex, "BATCH", 2)
    await put(admin, *(person(f"p{n}", mood__valueString="calm") for n in range(6)))
    await put(admin, of_extension("mood", "token", "string"))
    writes = iter([person("p0", mood__valueString="glad"), person("p5", mood__valueString="glad"), person("p1")])
    fill = hub.ingest.fill_index

    async def fill_and_write(*args: Any, **more: Any) -> Any:
        if (write := next(writes, None)) is not None:
            await put(admin, write)
        return await fill(*args, **more)

    monkeypatch.setattr(type(hub.ingest), "fill_index", lambda self, *args, **more: fill_and_write(*args, **more))
    await hub.jobs.run_next()
    assert sorted(await ids(admin, "Patient?mood=calm")) == ["p2", "p3", "p4"]
    assert sorted(await ids(admin, "Patient?mood=glad")) == ["p0", "p5"]
    assert await ids(admin, "Patient?mood:missing=true") == ["p1"]


async def test_a_resource_that_somebody_is_writing_is_indexed_when_he_has_ended(hub, admin, database, monkeypatch):
    await put(admin, person("p", mood__valueString="calm"), person("q", mood__valueString="calm"))
    await put(admin, of_extension("mood", "token", "string"))
    async with database.transaction() as tx:
        monkeypatch.setattr(parameters.SearchParameterService, "is_settled", _settled)  # this transaction is a reader's
        await tx.execute("SELECT 1 FROM resource WHERE id = 'p' FOR UPDATE")
        running = asyncio.ensure_future(hub.jobs.run_next())
        await asyncio.sleep(0.3)
        assert not running.done()
    await running
    assert sorted(await ids(admin, "Patient?mood=calm")) == ["p", "q"]


async def _settled(self: Any, tx: Any, since: Any) -> bool:
    return True


async def test_the_job_waits_for_transactions_that_may_not_know_the_parameter(hub, admin, database):
    await put(admin, of_extension("mood", "token", "string"))
    async with database.transaction() as tx:
        await tx.execute("SELECT 1")
        running = asyncio.ensure_future(hub.jobs.run_next())
        await asyncio.sleep(0.3)
        assert not running.done()
        assert await tx.fetchval("SELECT state FROM search_parameter") == "announced"
    await running
    assert await ids(admin, "Patient?mood=calm") == []


async def test_a_worker_that_dies_leaves_a_job_that_another_carries_on(hub, admin, monkeypatch):
    monkeypatch.setattr(reindex, "BATCH", 2)
    await put(admin, *(person(f"p{n}", mood__valueString="calm") for n in range(6)))
    await put(admin, of_extension("mood", "token", "string"))
    fill, calls = hub.ingest.fill_index, []

    async def counted(*args: Any, **more: Any) -> Any:
        calls.append(more["after"])
        if len(calls) == 3:
            await asyncio.sleep(30)
        return await fill(*args, **more)

    monkeypatch.setattr(type(hub.ingest), "fill_index", lambda self, *args, **more: counted(*args, **more))
    running = asyncio.ensure_future(hub.jobs.run_next())
    while len(calls) < 3:
        await asyncio.sleep(0.01)
    answer = await admin.get("/fhir/Patient?mood=calm")
    assert "still being indexed, 65 %" in await diagnostics(answer)
    running.cancel()
    await asyncio.wait([running])
    assert await hub.jobs.run_next()
    assert calls[3] == calls[2] > 0
    assert len(await ids(admin, "Patient?mood=calm")) == 6
    (job,) = await hub.jobs.overview(5)
    assert (job.state, job.done) == (JobState.COMPLETED, 6)


async def test_a_parameter_dropped_while_it_is_being_indexed_stays_dropped(hub, admin, monkeypatch):
    await put(admin, person("p", mood__valueString="calm"), of_extension("mood", "token", "string"))
    fill = hub.ingest.fill_index

    async def fill_and_drop(*args: Any, **more: Any) -> Any:
        await admin.delete("/fhir/SearchParameter/mood")
        return await fill(*args, **more)

    monkeypatch.setattr(type(hub.ingest), "fill_index", lambda self, *args, **more: fill_and_drop(*args, **more))
    await hub.jobs.run_next()
    (job,) = await hub.jobs.overview(5)
    assert (job.state, job.result) == (JobState.COMPLETED, {"state": "dropped"})
    assert "no search parameter" in await diagnostics(await admin.get("/fhir/Patient?mood=calm"))


async def test_a_job_of_an_earlier_round_does_not_activate_what_was_announced_anew(hub, admin):
    """What changed while the parameter was retired lies behind the place where the first job stands."""
    await put(admin, person("p", mood__valueString="calm"), of_extension("mood", "token", "string"))
    first = await hub.jobs.table.claim(["reindex"])
    assert first is not None
    await put(admin, of_extension("mood", "token", "string", status="retired"), of_extension("mood", "token", "string"))
    assert await hub.reindex(first) == {"state": "dropped"}
    assert "still being indexed" in await diagnostics(await admin.get("/fhir/Patient?mood=calm"))


async def test_reindexing_everything_activates_what_a_cancelled_job_left(hub, admin):
    await put(admin, person("p", mood__valueString="calm"), of_extension("mood", "token", "string"))
    (job,) = await hub.jobs.overview(5)
    await hub.jobs.stop(str(job.id), "tester")
    told: list[tuple[int, int]] = []
    assert await hub.reindex.everything(lambda done, total: told.append((done, total))) == 2
    assert told[-1] == (2, 2)
    assert await ids(admin, "Patient?mood=calm") == ["p"]


# --- processes ----------------------------------------------------------------------------------------------------


@pytest.fixture
async def neighbour(hub: Hub, database: Database, tmp_path: Path) -> AsyncIterator[Hub]:
    """Another hub on the same database. In one process the two share a registry: tests empty it to stand for another's."""
    settings = load_settings(
        None, environ={}, overrides={"audit.heads_path": str(tmp_path / "other"), "development": True}
    )
    other = build_hub(settings, InsecureDevelopmentKeyring(), database, SystemClock())
    yield other
    await other.close()


async def test_another_process_learns_of_a_parameter_within_a_second(hub, admin, neighbour, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(parameters.time, "monotonic", lambda: now[0])
    await neighbour.own_parameters.refresh_before_reading()
    await add(hub, admin, of_extension("mood", "token", "string"))
    search_parameters.use(())  # as it stands in the other process
    await neighbour.own_parameters.refresh_before_reading()
    assert search_parameters.definition("Patient", "mood") is None
    now[0] += parameters.LOOK_EVERY_SECONDS
    await neighbour.own_parameters.refresh_before_reading()
    assert search_parameters.definition("Patient", "mood") is not None


async def test_the_registry_is_not_asked_for_more_often_than_once_a_second(hub, admin, monkeypatch):
    now, asked = [1000.0], []
    monkeypatch.setattr(parameters.time, "monotonic", lambda: now[0])
    revision = parameters.store.revision

    async def counted(tx: Any) -> int:
        asked.append(1)
        return await revision(tx)

    monkeypatch.setattr(parameters.store, "revision", counted)
    for _ in range(5):
        await admin.get("/fhir/Patient?active=true")
    await put(admin, person("p"))
    assert len(asked) <= 1


async def test_rows_of_a_process_that_only_knows_the_announcement_are_never_stale(hub, admin):
    """One process writes rows already, another only removes them: no mix of the two leaves a row behind."""
    await put(admin, person("p", mood__valueString="calm"))
    await put(admin, of_extension("mood", "token", "string"))
    await admin.get("/fhir/metadata")  # the registry is read when somebody asks
    announced = search_parameters._registry.added
    assert [each["state"] for each in announced] == ["announced"]
    search_parameters.use([{**each, "state": "indexing"} for each in announced])
    await put(admin, person("p", mood__valueString="glad"))  # a writer: adds `glad`
    search_parameters.use(announced)
    await put(admin, person("p", mood__valueString="sad"))  # a remover: takes `glad` away
    await hub.jobs.run_next()
    assert await ids(admin, "Patient?mood=glad") == []
    assert await ids(admin, "Patient?mood=sad") == ["p"]


# --- what searches do not use -----------------------------------------------------------------------------------------------------

OUTCOME = {"Prefer": "return=OperationOutcome"}
UNSERVED: dict[str, tuple[dict[str, Any], str]] = {
    "an official code": (parameter("gender", "token", "Patient.gender"), "cannot be replaced"),
    "a code of every type": (parameter("_id", "token", "Patient.gender"), "begins with a letter"),
    "an official url": (
        parameter("abc", "token", "Patient.gender", url="http://hl7.org/fhir/SearchParameter/individual-gender"),
        "url is that of an official",
    ),
    "an abstract base": (parameter("abc", "token", "Resource.id", "Resource"), "name each type"),
    "what is not stored": (parameter("abc", "token", "AuditEvent.id", "AuditEvent"), "name each type"),
    "a type that does not fit": (parameter("abc", "quantity", "Patient.name"), "nothing that a quantity parameter"),
    "an element that is not there": (parameter("abc", "token", "Patient.nmae"), "does not have there"),
    "a composite": (parameter("abc", "composite", "Patient.name"), "cannot be added"),
    "a function": (parameter("abc", "token", "Patient.name.exists()"), "more than this hub can index"),
    "an indexer": (parameter("abc", "string", "Patient.name[0].family"), "more than this hub can index"),
    "arithmetic": (parameter("abc", "number", "Observation.value + 1", "Observation"), "more than this hub can index"),
    "another type": (parameter("abc", "token", "Patient.gender | Person.gender"), "starts at no type of base"),
    "a base without path": (
        parameter("abc", "token", "Patient.gender", base="Patient") | {"base": ["Patient", "Person"]},
        "no path of the expression starts at Person",
    ),
    "numbers of an identifier": (
        parameter("abc", "number", "Patient.multipleBirth.ofType(integer)"), "what identifies a person",
    ),
    "a where over a list": (parameter("abc", "string", "Patient.name.where(given='x').family"), "no single text"),
    "a where over a text": (parameter("abc", "string", "Patient.name.given.where(id='x')"), "does not have there"),
}  # fmt: skip


@pytest.mark.parametrize("what", UNSERVED)
async def test_a_parameter_that_cannot_be_served_is_stored_with_the_reason_and_never_used(hub, admin, what):
    resource, because = UNSERVED[what]
    resource = {**resource, "id": "abc"}
    answer = await admin.put("/fhir/SearchParameter/abc", json=resource, headers=OUTCOME)
    assert answer.status_code == 201, answer.text
    assert answer.json()["issue"][0]["severity"] == "warning"
    assert answer.json()["issue"][0]["code"] == "not-supported"
    assert because in await diagnostics(answer)
    assert (await admin.get("/fhir/SearchParameter/abc")).status_code == 200
    assert not await hub.jobs.run_next()


async def test_a_parameter_becomes_unserved_by_an_update_that_cannot_be_served(hub, admin):
    await add(hub, admin, of_extension("mood", "token", "string"))
    await put(admin, {**of_extension("mood", "token", "string"), "expression": "Patient.name.exists()"})
    await asyncio.sleep(1.1)  # the registry is asked anew once a second
    assert (await admin.get("/fhir/Patient?mood=calm")).status_code == 400


async def test_only_an_administrator_changes_what_everyone_can_search_by(hub, admin, client_as):
    physician = await client_as("physician")
    answer = await physician.put(
        "/fhir/SearchParameter/mood", json=of_extension("mood", "token", "string"), headers=OUTCOME
    )
    assert answer.status_code == 201
    assert "administrator" in await diagnostics(answer)
    assert not await hub.jobs.run_next()


async def test_a_draft_may_say_what_it_likes(hub, admin):
    await put(admin, parameter("gender", "token", "Patient.name.exists()", status="draft"))
    assert not await hub.jobs.run_next()


async def test_a_code_of_another_own_parameter_is_not_used(hub, admin):
    await put(admin, of_extension("mood", "token", "string"))
    rival = of_extension("mood", "token", "string", id="rival", url=f"{URL}rival")
    answer = await admin.put("/fhir/SearchParameter/rival", json=rival, headers=OUTCOME)
    assert answer.status_code == 201
    assert "another SearchParameter here has this code" in await diagnostics(answer)
    twin = of_extension("temper", "token", "string", id="twin", url=f"{URL}SearchParameter/mood")
    answer = await admin.put("/fhir/SearchParameter/twin", json=twin, headers=OUTCOME)
    assert "another SearchParameter here has this url" in await diagnostics(answer)


async def test_a_role_that_does_not_see_extensions_cannot_find_out_by_asking(hub, admin, client_as):
    await put(admin, person("p", mood__valueString="calm"))
    await add(hub, admin, of_extension("mood", "token", "string"))
    billing = await client_as("billing")
    assert (await billing.get("/fhir/Patient?mood=calm")).status_code == 403
    assert (await billing.get("/fhir/Patient?mood:missing=true")).status_code == 403
