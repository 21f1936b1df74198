"""A process that helps with an import: `python -m healthsync.entrypoints.worker.importing FOLDER`.

It stores the portions that it is handed on its standard input, and ends with that.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from healthsync.bootstrap import open_hub
from healthsync.infrastructure.piped import Piped, answer_frames
from healthsync.infrastructure.telemetry import configure
from healthsync.settings import environment_with, load_settings

_INSECURE = "--insecure-development"


async def start_helper(data_folder: Path, database_url: str | None, *, insecure_development: bool = False) -> Piped:
    """Start one for the hub of a data folder."""
    command = [sys.executable, "-m", __name__, str(data_folder), *([_INSECURE] if insecure_development else [])]
    return await Piped.start(command, environment_with({"database.url": database_url} if database_url else {}))


async def help_with_an_import(data_folder: Path, *, insecure_development: bool) -> None:
    """Store what comes until nothing comes any more."""
    settings = load_settings(data_folder, insecure_development=insecure_development)
    async with open_hub(data_folder, settings=settings) as hub:
        await answer_frames(hub.bulk_import.helper)


if __name__ == "__main__":
    configure(level="warning")
    asyncio.run(help_with_an_import(Path(sys.argv[1]), insecure_development=_INSECURE in sys.argv))
