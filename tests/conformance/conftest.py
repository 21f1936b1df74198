"""A real hub whose process can be watched: what it answers, how long it takes, how much memory it needs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from ..promises.hub_process import HubProcess, ended  # noqa: TID252 — tests is no package that could be named

_MOST_MEMORY_BYTES = 4_000_000_000
"""What the process may have at all, so that a test which finds no bound does not take the machine down."""


@pytest.fixture(scope="session")
def real_hub() -> Iterator[HubProcess]:
    """A development hub that runs, with its default settings."""
    folder = Path(tempfile.mkdtemp(prefix="hs-conformance-", dir="/tmp"))
    folder.chmod(0o755)  # as root the server's PostgreSQL runs as another user, who must be able to enter
    with ended(HubProcess.init(folder / "hub", "--development")) as hub:
        hub.start()
        psutil.Process(hub.pid).rlimit(psutil.RLIMIT_DATA, (_MOST_MEMORY_BYTES, _MOST_MEMORY_BYTES))
        yield hub
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def fhir(real_hub: HubProcess) -> Iterator[httpx.Client]:
    """A client that may do everything; its addresses begin after /fhir."""
    key = real_hub.ask("client", "create", "conformance", "--role", "admin")["api_key"]
    with httpx.Client(
        base_url=f"http://{real_hub.http}/fhir/",
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/fhir+json"},
        timeout=60,
    ) as client:
        yield client
