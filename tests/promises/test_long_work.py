"""Exports and imports of a real hub whose processes are killed: every resource once, as if nothing had happened."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import asyncpg
import psutil
import pytest

from healthsync.infrastructure.database.embedded import EmbeddedPostgres

from .hub_process import HEALTHSYNC, HubProcess

pytestmark = pytest.mark.slow

PATIENTS, EACH = 120, 12


@pytest.fixture(scope="module")
def busy_hub(new_hub: Callable[..., HubProcess]) -> HubProcess:
    """A hub whose exports make many small files, and whose claims are short."""
    settings = {"JOBS__LEASE_SECONDS": "1", "BULK_DATA__FILE_BYTES": "20000", "WORKER__PROCESSES": "1"}
    hub = new_hub("bulk", "--development", **{f"HEALTHSYNC_{name}": value for name, value in settings.items()})
    hub.start()
    return hub


@pytest.fixture(scope="module")
def file(place: Path) -> Path:
    """Observations, then the patients that they are of."""
    lines = [
        {"resourceType": "Observation", "id": f"o{p}-{n}", "status": "final", "code": {"text": "weight"},
         "subject": {"reference": f"Patient/p{p}"}}
        for p in range(PATIENTS) for n in range(EACH)
    ] + [{"resourceType": "Patient", "id": f"p{p}", "name": [{"family": f"Family{p}"}]} for p in range(PATIENTS)]  # fmt: skip
    path = place / "in.ndjson"
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


@pytest.mark.shows("jobs.lease_seconds")
def test_an_import_that_is_killed_goes_on_where_it_stood(busy_hub: HubProcess, file: Path) -> None:
    command = [*HEALTHSYNC, "import", str(file), "--data", str(busy_hub.folder), "--json"]
    began = subprocess.Popen(command, env={**os.environ, **busy_hub.environment}, stdout=subprocess.DEVNULL)
    asyncio.run(_kill_when_begun(busy_hub, began))
    time.sleep(1.5)  # the lease
    told = busy_hub.ask("import", file)
    assert (told["stored"], told["rejected"]) == (PATIENTS * (1 + EACH), 0)
    (job,) = busy_hub.lines("jobs", "list")
    assert (job["state"], job["resources"]) == ("completed", PATIENTS * (1 + EACH))
    assert job["attempts"] == 2


def test_an_import_of_a_client_is_shared_and_what_helps_may_be_killed(new_hub: Callable[..., HubProcess]) -> None:
    settings = {"BULK_DATA__IMPORT_PROCESSES": "2", "WORKER__PROCESSES": "1"}
    hub = new_hub("shared", "--development", **{f"HEALTHSYNC_{name}": value for name, value in settings.items()})
    hub.environment["HEALTHSYNC_BULK_DATA__IMPORT_FOLDER"] = str(hub.folder)
    many = 4000
    (hub.folder / "many.ndjson").write_text(
        "".join(json.dumps({"resourceType": "Location", "id": f"l{n}", "name": "Ward"}) + "\n" for n in range(many))
    )
    hub.start()
    with hub.client("admin", Prefer="respond-async") as client:
        body = {"inputFormat": "application/fhir+ndjson", "input": [{"type": "Location", "url": "many.ndjson"}]}
        location = client.post("/fhir/$import", json=body).headers["content-location"]
        killed: set[int] = set()
        while (answer := client.get(location)).status_code == 202:
            (worker,) = hub.worker_pids()
            for helper in psutil.Process(worker).children():
                if answer.json()["progress"]["resources"] > 2500 and not killed:
                    helper.kill()
                    killed.add(helper.pid)
            time.sleep(0.02)
        assert answer.status_code == 200, answer.text
        assert killed
        assert client.get("/fhir/Location?_summary=count").json()["total"] == many
    (job,) = hub.lines("jobs", "list")
    assert (job["resources"], job["attempts"]) == (many, 1)
    hub.stop()


async def _kill_when_begun(hub: HubProcess, importing: subprocess.Popen[bytes]) -> None:
    """SIGKILL after the first commit; a command would be too slow to see it."""
    server = EmbeddedPostgres(hub.folder)
    connection = await asyncpg.connect(await server.start())
    while not await connection.fetchval("SELECT sum(done) FROM job"):
        assert importing.poll() is None
        await asyncio.sleep(0.01)
    importing.kill()
    importing.wait()
    await connection.close()
    await server.stop()


def test_an_export_whose_workers_are_killed_holds_everything_once(busy_hub: HubProcess) -> None:
    with busy_hub.client("admin", Prefer="respond-async") as client:
        location = client.get("/fhir/$export?_type=Patient,Observation").headers["content-location"]
        kills = 0
        while (answer := client.get(location)).status_code == 202:
            if answer.json()["progress"]["resources"] > 100 * kills and kills < 3:
                for pid in busy_hub.worker_pids():
                    with suppress(ProcessLookupError, psutil.NoSuchProcess):
                        os.kill(pid, signal.SIGKILL)
                kills += 1
            time.sleep(0.02)
        assert answer.status_code == 200, answer.text
        found = Counter(
            json.loads(line)["id"]
            for entry in answer.json()["output"]
            for line in client.get(entry["url"]).text.splitlines()
        )
    assert kills > 0
    assert len(found) == PATIENTS * (1 + EACH)
    assert set(found.values()) == {1}
