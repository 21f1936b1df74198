"""Bulk Data Access IG 2.0 over HTTP: kick-off, status, files, cancelling; and that the gate holds for all of it."""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.consents import opt_out

from healthsync.bootstrap import Hub, build_hub
from healthsync.infrastructure.clock import SystemClock
from healthsync.infrastructure.crypto import InsecureDevelopmentKeyring
from healthsync.infrastructure.database import Database
from healthsync.settings import load_settings

ASYNC = {"Prefer": "respond-async", "Accept": "application/fhir+json"}


@pytest.fixture
def overrides() -> dict[str, Any]:
    """Settings that a test changes."""
    return {}


@pytest.fixture
def environ() -> dict[str, str]:
    """Settings that are lists, as the environment gives them."""
    return {}


@pytest.fixture
async def hub(
    database: Database, tmp_path: Path, overrides: dict[str, Any], environ: dict[str, str]
) -> AsyncIterator[Hub]:
    """A hub whose exports lie in the folder of the test."""
    places = {"audit.heads_path": str(tmp_path / "heads"), "bulk_data.folder": str(tmp_path / "exports")}
    settings = load_settings(None, environ=environ, overrides={**places, "development": True, **overrides})
    hub = build_hub(settings, InsecureDevelopmentKeyring(), database, SystemClock())
    yield hub
    await hub.close()


@pytest.fixture
async def people(admin, patient, observation) -> list[str]:
    """Three patients, an observation each, and an organisation."""
    ids = []
    for number in range(3):
        known = {**patient, "identifier": [{"system": "urn:oid:1.2.3", "value": f"MRN-{number}"}],
                 "name": [{"family": f"Quennell{number}"}], "birthDate": f"197{number}-03-09"}  # fmt: skip
        ids.append((await admin.post("/fhir/Patient", json=known)).json()["id"])
        assert (await admin.post("/fhir/Observation", json=observation(ids[-1]))).status_code == 201
    await admin.post("/fhir/Organization", json={"resourceType": "Organization", "name": "Mercy"})
    return ids


async def start(client, path: str = "/fhir/$export", **options) -> str:
    """Kick an export off; returns the path of its job."""
    answer = await client.request(options.pop("method", "GET"), path, headers={**ASYNC, **options.pop("headers", {})}, **options)  # fmt: skip
    assert answer.status_code == 202, answer.text
    location = answer.headers["content-location"]
    assert location.startswith("http://hub/jobs/")
    return location.removeprefix("http://hub")


async def export(client, hub: Hub, path: str = "/fhir/$export", **options) -> dict[str, Any]:
    """The manifest of an export, run to its end."""
    job = await start(client, path, **options)
    assert await hub.jobs.run_next()
    answer = await client.get(job)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def lines(client, entry: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await client.get(entry["url"])
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/fhir+ndjson"
    found = [json.loads(line) for line in answer.text.splitlines()]
    assert len(found) == entry["count"]
    return found


async def exported(client, manifest: dict[str, Any], purpose: str = "output") -> list[str]:
    """`Type/id` of everything in the files of a manifest."""
    found = [one for entry in manifest[purpose] for one in await lines(client, entry)]
    return sorted(f"{one['resourceType']}/{one['id']}" for one in found)


async def withhold(admin, patient_id: str) -> str:
    answer = await admin.post("/fhir/Consent", json=opt_out(patient_id))
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def group_of(admin, *patients: str, **more: Any) -> str:
    member = [{"entity": {"reference": f"Patient/{one}"}} for one in patients]
    group = {"resourceType": "Group", "type": "person", "actual": True, "member": member, **more}
    answer = await admin.post("/fhir/Group", json=group)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def events(hub: Hub, interaction: str) -> list[dict[str, Any]]:
    async with hub.database.connection() as tx:
        rows = await hub.audit.search(tx, count=500)
    return [row.entry for row in rows if row.entry["interaction"] == interaction]


async def test_a_system_export_holds_every_resource_once_with_its_whole_content(admin, hub, people):
    manifest = await export(admin, hub)
    assert manifest["request"] == "http://hub/fhir/$export"
    assert manifest["requiresAccessToken"] is True
    assert datetime.fromisoformat(manifest["transactionTime"]).tzinfo is not None
    assert (manifest["error"], manifest["deleted"]) == ([], [])
    found = {entry["type"]: await lines(admin, entry) for entry in manifest["output"]}
    assert {kind: len(all_) for kind, all_ in found.items()} == {"Patient": 3, "Observation": 3, "Organization": 1}
    for one in found["Patient"]:
        assert one == (await admin.get(f"/fhir/Patient/{one['id']}")).json()
    assert "13.5" in (await admin.get(manifest["output"][0]["url"])).text


async def test_the_status_tells_progress_until_the_export_is_done_and_when_it_expires(admin, hub, people):
    job = await start(admin)
    waiting = await admin.get(job)
    assert (waiting.status_code, waiting.headers["retry-after"]) == (202, "2")
    assert waiting.headers["x-progress"] == "waiting for a worker"
    assert waiting.json()["state"] == "queued"
    await hub.jobs.run_next()
    done = await admin.get(job)
    assert done.status_code == 200
    assert "expires" in done.headers
    assert done.json()["extension"]["job"]["progress"]["resources"] == 7
    (listed,) = (await admin.get("/jobs")).json()["jobs"]
    assert (listed["url"], listed["state"], listed["kind"]) == (f"http://hub{job}", "completed", "bulk-export")


async def test_a_file_comes_as_gzip_to_who_takes_it_and_as_text_to_who_does_not(admin, hub, people):
    manifest = await export(admin, hub, "/fhir/$export?_type=Observation")
    url = manifest["output"][0]["url"]
    async with admin.stream("GET", url, headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        raw = b"".join([piece async for piece in answer.aiter_raw()])
    plain = await admin.get(url, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(raw) == plain.content
    assert len(plain.content.splitlines()) == 3
    refusing = await admin.get(url, headers={"Accept-Encoding": "gzip;q=0"})
    assert "content-encoding" not in refusing.headers


async def test_no_value_of_a_patient_lies_readable_in_the_store_or_in_the_tables_of_jobs(admin, hub, people, tmp_path):
    await export(admin, hub, "/fhir/$export?_typeFilter=Patient?family=quennell1&_type=Patient")
    files = [path for path in (tmp_path / "exports").rglob("*") if path.is_file()]
    assert files
    for path in files:
        data = path.read_bytes()
        assert b"uennell" not in data and b"\x1f\x8b\x08" not in data[:64]
        assert path.stat().st_mode & 0o077 == 0
    async with hub.database.connection() as tx:
        for table in ("job", "job_file", "job_issue"):
            rows = str([tuple(row) for row in await tx.fetch(f"SELECT * FROM {table}")])
            assert "uennell" not in rows.lower()


async def test_a_patient_export_holds_compartments_only(admin, hub, people):
    manifest = await export(admin, hub, "/fhir/Patient/$export")
    assert {entry["type"] for entry in manifest["output"]} == {"Patient", "Observation"}


async def test_a_group_export_holds_the_compartments_of_its_members_only(admin, hub, people):
    group = await group_of(admin, people[0], people[2])
    manifest = await export(admin, hub, f"/fhir/Group/{group}/$export")
    found = [one for entry in manifest["output"] for one in await lines(admin, entry)]
    assert {one["id"] for one in found if one["resourceType"] == "Patient"} == {people[0], people[2]}
    subjects = {one["subject"]["reference"] for one in found if one["resourceType"] == "Observation"}
    assert subjects == {f"Patient/{people[0]}", f"Patient/{people[2]}"}


async def test_an_inactive_member_and_an_unknown_group_export_nothing(admin, hub, people):
    member = [{"entity": {"reference": f"Patient/{people[0]}"}}, {"entity": {"reference": f"Patient/{people[1]}"}, "inactive": True}]  # fmt: skip
    group = await group_of(admin, member=member)
    manifest = await export(admin, hub, f"/fhir/Group/{group}/$export?_type=Patient")
    assert await exported(admin, manifest) == [f"Patient/{people[0]}"]
    assert (await admin.get("/fhir/Group/nobody/$export", headers=ASYNC)).status_code == 404


async def test_the_parameter_patient_narrows_an_export_and_stands_in_a_body_only(admin, hub, people):
    body = {"resourceType": "Parameters", "parameter": [
        {"name": "patient", "valueReference": {"reference": f"Patient/{people[1]}"}},
        {"name": "_type", "valueString": "Patient,Observation"},
    ]}  # fmt: skip
    manifest = await export(admin, hub, "/fhir/Patient/$export", method="POST", json=body)
    assert [entry["count"] for entry in manifest["output"]] == [1, 1]
    assert f"Patient/{people[1]}" in await exported(admin, manifest)
    assert (await admin.get(f"/fhir/Patient/$export?patient=Patient/{people[1]}", headers=ASYNC)).status_code == 400
    group = await group_of(admin, people[0])
    stranger = await admin.post(f"/fhir/Group/{group}/$export", headers=ASYNC, json=body)
    assert stranger.status_code == 400


async def test_since_leaves_out_what_is_older_and_tells_what_was_deleted(admin, hub, people, patient, monkeypatch):
    monkeypatch.setattr("healthsync.exchange.operations.bulk_export._DELETIONS_IN_A_BUNDLE", 2)
    first = await export(admin, hub)
    gone = [entry["resource"]["id"] for entry in (await admin.get("/fhir/Observation")).json()["entry"]]
    for id_ in gone:
        assert (await admin.delete(f"/fhir/Observation/{id_}")).status_code == 204
    changed = {**patient, "id": people[0], "active": True}
    assert (await admin.put(f"/fhir/Patient/{people[0]}", json=changed)).status_code == 200
    second = await export(admin, hub, f"/fhir/$export?_since={first['transactionTime']}")
    assert await exported(admin, second) == [f"Patient/{people[0]}"]
    (entry,) = second["deleted"]
    bundles = await lines(admin, entry)
    assert (entry["type"], len(bundles)) == ("Bundle", 2)
    assert {bundle["type"] for bundle in bundles} == {"transaction"}
    requests = [one["request"] for bundle in bundles for one in bundle["entry"]]
    assert {one["method"] for one in requests} == {"DELETE"}
    assert sorted(one["url"] for one in requests) == sorted(f"Observation/{id_}" for id_ in gone)


async def test_elements_are_reduced_and_tagged(admin, hub, people):
    manifest = await export(admin, hub, "/fhir/$export?_type=Patient,Observation&_elements=gender,Observation.status")
    for entry in manifest["output"]:
        for one in await lines(admin, entry):
            assert one["meta"]["tag"][-1]["code"] == "SUBSETTED"
            assert "name" not in one and "valueQuantity" not in one
            assert ("gender" in one) == (one["resourceType"] == "Patient")


async def test_type_filters_of_one_type_are_alternatives_and_nothing_comes_twice(admin, hub, people):
    query = "_type=Patient,Observation&_typeFilter=Patient?family=quennell1&_typeFilter=Patient?birthdate=lt1972"
    manifest = await export(admin, hub, f"/fhir/$export?{query}")
    found = [one for entry in manifest["output"] for one in await lines(admin, entry)]
    assert sorted(one["id"] for one in found if one["resourceType"] == "Patient") == sorted(people[:2])
    assert len([one for one in found if one["resourceType"] == "Observation"]) == 3


async def test_what_an_export_does_not_understand_refuses(admin):
    for query in (
        "_type=Unicorn",
        "_since=yesterday",
        "includeAssociatedData=x",
        "unheard=of",
        "_outputFormat=text/csv",
    ):
        answer = await admin.get(f"/fhir/$export?{query}", headers=ASYNC)
        assert answer.status_code == 400, query
        assert answer.json()["resourceType"] == "OperationOutcome"
    assert (await admin.get("/jobs")).json() == {"jobs": []}


async def test_lenient_handling_passes_over_what_is_not_supported_but_not_what_is_wrong(admin):
    lenient = {"Prefer": "respond-async, handling=lenient"}
    for query in ("includeAssociatedData=x", "unheard=of", "_type=Patient,Unicorn"):
        assert (await admin.get(f"/fhir/$export?{query}", headers=lenient)).status_code == 202
        await hub_is_free(admin)
    assert (await admin.get("/fhir/$export?_since=yesterday", headers=lenient)).status_code == 400


async def hub_is_free(client) -> None:
    for job in (await client.get("/jobs")).json()["jobs"]:
        if job["state"] == "queued":
            await client.delete(job["url"])


async def test_an_export_that_is_not_asked_for_asynchronously_is_refused(admin):
    answer = await admin.get("/fhir/$export")
    assert answer.status_code == 400
    assert "respond-async" in answer.json()["issue"][0]["diagnostics"]
    assert (await admin.get("/fhir/$export", headers={**ASYNC, "Accept": "text/html"})).status_code == 406


async def test_the_roles_decide_which_types_are_exported(client_as, admin, hub, people):
    nurse, researcher = await client_as("nurse"), await client_as("researcher")
    manifest = await export(nurse, hub)
    assert {entry["type"] for entry in manifest["output"]} == {"Patient", "Observation", "Organization"}
    assert {entry["type"] for entry in (await export(researcher, hub))["output"]} == {"Organization"}
    refused = await researcher.get("/fhir/$export?_type=Patient", headers=ASYNC)
    assert refused.status_code == 403
    assert (await events(hub, "$export"))[0]["reason"] == "role"


async def test_hidden_elements_stay_hidden_in_an_export(client_as, admin, hub, people):
    billing = await client_as("billing")
    manifest = await export(billing, hub, "/fhir/$export?_type=Patient")
    for one in await lines(billing, manifest["output"][0]):
        assert set(one) == {"resourceType", "id", "meta", "identifier", "name"}


async def test_who_opted_out_is_in_no_export_and_in_no_count(client_as, admin, hub, people):
    await withhold(admin, people[1])
    physician = await client_as("physician")
    manifest = await export(physician, hub)
    assert not [one for one in await exported(physician, manifest) if people[1] in one]
    assert {entry["type"]: entry["count"] for entry in manifest["output"]} == {"Patient": 2, "Observation": 2, "Organization": 1}  # fmt: skip


async def test_consent_withdrawn_between_export_and_download_withholds_the_file(client_as, admin, hub, people):
    physician = await client_as("physician")
    manifest = await export(physician, hub)
    consent = await withhold(admin, people[1])
    status = {entry["type"]: (await physician.get(entry["url"])).status_code for entry in manifest["output"]}
    assert status == {"Patient": 404, "Observation": 404, "Organization": 200}
    assert (await events(hub, "fetch-job-file"))[-1]["reason"] == "consent" or any(
        entry.get("reason") == "consent" for entry in await events(hub, "fetch-job-file")
    )
    await admin.delete(f"/fhir/Consent/{consent}")
    assert (await physician.get(manifest["output"][0]["url"])).status_code == 200


async def test_jobs_and_files_of_another_client_do_not_exist(client_as, hub, people):
    one, other = await client_as("physician"), await client_as("physician")
    manifest = await export(one, hub)
    url = manifest["output"][0]["url"]
    job = url.partition("/files/")[0]
    assert (await other.get(job)).status_code == 404
    assert (await other.delete(job)).status_code == 404
    assert (await other.get(url)).status_code == 404
    assert (await other.get(f"{job}/files/errors")).status_code == 404
    assert (await one.get(url)).status_code == 200
    assert (await one.get(f"/jobs/{uuid.uuid4()}")).status_code == 404
    assert (await one.get("/jobs/not-an-id")).status_code == 404
    assert (await one.get(f"{job}/files/99")).status_code == 404
    reasons = [entry.get("reason") for entry in await events(hub, "fetch-job-file")]
    assert reasons.count("unknown") == 2


async def test_start_batches_and_downloads_are_recorded_with_the_patients(client_as, hub, people):
    physician = await client_as("physician")
    manifest = await export(physician, hub, "/fhir/$export?_type=Patient,Observation")
    await physician.get(manifest["output"][0]["url"])
    recorded = await events(hub, "$export")
    started = [entry for entry in recorded if entry["action"] == "E"]
    batches = [entry for entry in recorded if entry["action"] == "R"]
    assert len(started) == 1 and len(batches) == 2
    assert all(set(entry["patients"]) == {f"Patient/{one}" for one in people} for entry in batches)
    (fetched,) = await events(hub, "fetch-job-file")
    assert fetched["entities"][0] in batches[0]["entities"]


async def test_cancelling_stops_the_job_and_removes_its_files(admin, hub, people, tmp_path):
    job = await start(admin)
    assert (await admin.delete(job)).status_code == 202
    assert (await admin.get(job)).status_code == 404
    assert (await admin.delete(job)).status_code == 404
    assert not await hub.jobs.run_next()
    manifest = await export(admin, hub)
    done = manifest["output"][0]["url"].partition("/files/")[0]
    assert list((tmp_path / "exports").rglob("*.sealed"))
    assert (await admin.delete(done)).status_code == 202
    assert (await admin.get(done)).status_code == 404
    assert not list((tmp_path / "exports").rglob("*.sealed"))


@pytest.mark.shows("bulk_data.max_running")
async def test_too_many_exports_of_one_client_are_answered_with_429(admin, client_as, hub):
    for _ in range(2):
        await start(admin)
    answer = await admin.get("/fhir/$export", headers=ASYNC)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
    assert answer.json()["issue"][0]["code"] == "throttled"
    await start(await client_as("physician"))
    await hub.jobs.run_next()
    await start(admin)


class TestWebhook:
    """A URL that is called at the end."""

    @pytest.fixture
    def environ(self) -> dict[str, str]:
        return {"HEALTHSYNC_JOBS__WEBHOOK_HOSTS": "[hooks.example.org]"}

    @pytest.mark.shows("jobs.webhook_hosts")
    async def test_a_webhook_must_be_https_on_a_host_that_the_settings_name(self, admin, hub):
        for url, status in (("https://hooks.example.org/a", 202), ("http://hooks.example.org/a", 403), ("https://x.example.org/", 403)):  # fmt: skip
            answer = await admin.get("/fhir/$export", headers={**ASYNC, "X-Webhook": url})
            assert answer.status_code == status, answer.text
        await hub.jobs.run_next()
        async with hub.database.connection() as tx:
            assert await tx.fetchval("SELECT count(*) FROM job_notice") == 1


class TestExpiry:
    """What is past its time goes."""

    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {"jobs.keep_hours": 0.01}

    async def test_when_its_time_is_over_a_job_is_gone_with_its_files_and_its_key(self, admin, hub, people, tmp_path):
        manifest = await export(admin, hub)
        async with hub.database.transaction() as tx:
            await tx.execute("UPDATE job SET expires_at = now()")
        await hub.jobs.tidy()
        job = manifest["output"][0]["url"].partition("/files/")[0]
        assert (await admin.get(job)).status_code == 404
        assert not list((tmp_path / "exports").rglob("*.sealed"))
        async with hub.database.connection() as tx:
            assert await tx.fetchval("SELECT count(*) FROM job_file") == 0

    @pytest.mark.shows("jobs.keep_hours")
    async def test_a_job_expires_the_hours_after_its_end_that_the_settings_say(self, admin, hub, people):
        await export(admin, hub)
        async with hub.database.connection() as tx:
            kept = await tx.fetchval("SELECT expires_at - finished_at FROM job")
        assert kept.total_seconds() == pytest.approx(36)


class TestManyFiles:
    """An export of several files."""

    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {"bulk_data.file_bytes": 1024, "bulk_data.gzip_level": 0}

    @pytest.mark.shows("bulk_data.file_bytes", "bulk_data.folder", "bulk_data.gzip_level")
    async def test_a_file_ends_when_it_is_full_and_all_files_hold_everything_once(self, admin, hub, people, tmp_path, monkeypatch):  # fmt: skip
        from healthsync.domains.records import service

        monkeypatch.setattr(service, "STREAM_ROWS", 1)
        manifest = await export(admin, hub, "/fhir/$export?_type=Patient,Observation")
        found = await exported(admin, manifest)
        assert len(found) == len(set(found)) == 6
        assert len(manifest["output"]) > 2
        assert len(list((tmp_path / "exports").rglob("*.sealed"))) == len(manifest["output"])


async def test_a_resource_that_does_not_open_is_told_in_the_errors_and_the_rest_is_exported(admin, hub, people):
    async with hub.database.transaction() as tx:
        await tx.execute(
            "UPDATE resource_content SET identity = set_byte(identity, 20, 255 - get_byte(identity, 20))"
            " WHERE pid = (SELECT pid FROM resource WHERE id = $1)", people[0],
        )  # fmt: skip
    manifest = await export(admin, hub, "/fhir/$export?_type=Patient")
    assert await exported(admin, manifest) == sorted(f"Patient/{one}" for one in people[1:])
    (entry,) = manifest["error"]
    (outcome,) = await lines(admin, entry)
    assert outcome["resourceType"] == "OperationOutcome"
    assert f"Patient/{people[0]}" in outcome["issue"][0]["diagnostics"]


async def test_with_the_audit_log_unwritable_no_export_makes_a_file(admin, hub, people, tmp_path):
    job = await start(admin)
    async with hub.database.transaction() as tx:
        await tx.execute("ALTER TABLE audit_event RENAME TO audit_event_away")
    await hub.jobs.run_next()
    assert (await admin.get(job)).status_code in (202, 503)
    async with hub.database.connection() as tx:
        assert await tx.fetchval("SELECT count(*) FROM job_file") == 0


async def test_a_stranger_gets_401_at_every_address_of_jobs(client_as, admin, hub, people):
    job, stranger = await start(admin), await client_as()
    for method, path in (("GET", "/jobs"), ("GET", job), ("DELETE", job), ("GET", f"{job}/files/1"), ("GET", f"{job}/files/errors")):  # fmt: skip
        assert (await stranger.request(method, path)).status_code == 401, path


class TestImport:
    """$import as a job."""

    @pytest.fixture
    def overrides(self, tmp_path: Path) -> dict[str, Any]:
        (tmp_path / "inbox").mkdir()
        (tmp_path / "secret.ndjson").write_text("{}\n")
        (tmp_path / "inbox" / "link.ndjson").symlink_to(tmp_path / "secret.ndjson")
        return {"bulk_data.import_folder": str(tmp_path / "inbox")}

    @pytest.fixture
    def environ(self) -> dict[str, str]:
        return {"HEALTHSYNC_BULK_DATA__IMPORT_HOSTS": "[files.example.org]"}

    def manifest(self, *urls: str) -> dict[str, Any]:
        return {"inputFormat": "application/fhir+ndjson", "input": [{"type": "Patient", "url": url} for url in urls]}

    @pytest.mark.shows("bulk_data.import_folder")
    async def test_files_of_the_import_folder_are_brought_in_and_rejects_are_told(self, admin, hub, tmp_path):
        resources = [
            {"resourceType": "Observation", "id": "o1", "status": "final", "code": {"text": "x"}, "subject": {"reference": "Patient/p1"}},
            {"resourceType": "Patient", "id": "p1", "gender": "female"},
            {"resourceType": "Patient", "id": "p2", "gender": "Quennell"},
        ]  # fmt: skip
        (tmp_path / "inbox" / "a.ndjson").write_text("\n".join(map(json.dumps, resources)) + "\n")
        answer = await admin.post("/fhir/$import", json=self.manifest("a.ndjson"), headers=ASYNC)
        assert answer.status_code == 202, answer.text
        await hub.jobs.run_next()
        done = (await admin.get(answer.headers["content-location"])).json()
        assert done["extension"]["job"]["progress"]["resources"] == 2
        (outcome,) = await lines(admin, done["error"][0])
        assert "line 3 of a.ndjson" in outcome["issue"][0]["diagnostics"]
        assert "quennell" not in json.dumps(outcome).lower()
        assert (await admin.get("/fhir/Observation/o1")).json()["subject"] == {"reference": "Patient/p1"}

    @pytest.mark.shows("bulk_data.import_hosts")
    async def test_a_source_elsewhere_is_refused_and_the_attempt_recorded(self, admin, hub):
        for url in (
            "../secret.ndjson", "/etc/passwd", "link.ndjson", ".hidden", "http://files.example.org/a",
            "https://elsewhere.example.org/a", "https://files.example.org@127.0.0.1/a", "https://files.example.org:8443/a",
            "file:///etc/passwd",
        ):  # fmt: skip
            answer = await admin.post("/fhir/$import", json=self.manifest(url), headers=ASYNC)
            assert answer.status_code == 403, answer.text
        assert [entry["reason"] for entry in await events(hub, "$import")] == ["source"] * 9
        allowed = self.manifest("https://files.example.org/a.ndjson")
        assert (await admin.post("/fhir/$import", json=allowed, headers=ASYNC)).status_code == 202

    async def test_who_may_not_write_every_type_may_not_import(self, client_as):
        nurse = await client_as("nurse")
        answer = await nurse.post("/fhir/$import", json=self.manifest("a.ndjson"), headers=ASYNC)
        assert answer.status_code == 403

    async def test_an_import_without_sources_is_refused(self, admin):
        for body in ({}, {"input": []}, {"input": [{"type": "Patient"}]}, {"inputFormat": "text/csv", "input": [{"url": "a"}]}):  # fmt: skip
            assert (await admin.post("/fhir/$import", json=body, headers=ASYNC)).status_code == 400
