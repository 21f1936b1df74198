"""Real hubs for the tests of what the hub promises."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from .hub_process import HubProcess, ended


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that others may enter, as a data folder usually lies in one: root's PostgreSQL runs as another user."""
    folder = Path(tempfile.mkdtemp(prefix="hs-promise-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def new_hub(place: Path) -> Iterator[Callable[..., HubProcess]]:
    """Make hubs that have not been started; what they leave running is ended."""
    with ExitStack() as stack:

        def make(name: str = "hub", *init_options: str, **environment: str) -> HubProcess:
            return stack.enter_context(ended(HubProcess.init(place / name, *init_options, **environment)))

        yield make


@pytest.fixture(scope="module")
def hub(new_hub: Callable[..., HubProcess]) -> HubProcess:
    """A development hub that runs."""
    hub = new_hub("hub", "--development")
    hub.start()
    return hub
