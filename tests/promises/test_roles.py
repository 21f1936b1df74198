"""A hub spread over processes: each runs one part, all share one database."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from .hub_process import HEALTHSYNC, HubProcess, MllpConnection, adt, healthsync, until


@pytest.fixture
def start(place: Path, new_hub: Callable[..., HubProcess], database_url: str) -> Iterator[Callable[[str], dict]]:
    """Start one role over the test's database; gives its ready line."""
    new_hub("spread", "--development")
    with ExitStack() as stack:

        def run(role: str) -> dict:
            command = [*HEALTHSYNC, "serve", "--role", role, "--data", place / "spread", "--database", database_url]
            command += ["--http", "127.0.0.1:0", "--mllp", "127.0.0.1:0"]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            stack.callback(process.wait, 20)
            stack.callback(process.terminate)
            assert process.stdout is not None
            return json.loads(process.stdout.readline())

        yield run


def test_roles_in_processes_of_their_own_make_one_hub(start, place, database_url):
    api, mllp, worker = (start(role) for role in ("api", "mllp", "worker"))
    assert (api["mllp"], mllp["http"], worker["http"], worker["mllp"]) == (None, None, None, None)
    made = healthsync("client", "create", "x", "--role", "admin", "--data", place / "spread", "--json",
                      HEALTHSYNC_DATABASE__URL=database_url)  # fmt: skip
    key = json.loads(made.stdout)["api_key"]
    with MllpConnection(mllp["mllp"]) as connection:
        assert connection.send(adt("C1", "MERCY", "SPREAD-1")).code == "AA"

    def found() -> int:
        headers = {"Authorization": f"Bearer {key}"}
        answer = httpx.get(f"http://{api['http']}/fhir/Patient?identifier=SPREAD-1", headers=headers)
        return answer.json()["total"]

    assert until(found, "the message is processed by the worker and read through the API", 20, every=0.2) == 1
