"""A real hub for real clients: programs that others wrote talk to it over a socket."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..promises.hub_process import HubProcess, ended  # noqa: TID252 — tests is no package that could be named


@dataclass(frozen=True)
class Server:
    """Where a hub answers, and a key that may do everything."""

    base: str
    key: str


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A development hub with its default settings."""
    folder = Path(tempfile.mkdtemp(prefix="hs-clients-", dir="/tmp"))
    folder.chmod(0o755)  # as root the server's PostgreSQL runs as another user, who must be able to enter
    with ended(HubProcess.init(folder / "hub", "--development")) as hub:
        hub.start()
        key = hub.ask("client", "create", "clients", "--role", "admin")["api_key"]
        yield Server(f"http://{hub.http}/fhir", key)
    shutil.rmtree(folder, ignore_errors=True)
