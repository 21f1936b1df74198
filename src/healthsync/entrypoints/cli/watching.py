"""A job that a command runs itself, with its progress on the terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from healthsync.bootstrap import Hub
from healthsync.errors import HealthSyncError
from healthsync.infrastructure.jobs import Job, JobState

_POLL_SECONDS = 0.5


async def run_here(hub: Hub, job: Job, what: str, *, quiet: bool) -> Mapping[str, Any]:
    """The result of a job that is claimed for this process. Raises HealthSyncError when it did not come to its end."""
    with Progress(
        TextColumn(what), BarColumn(), TextColumn("{task.fields[told]}"), TimeElapsedColumn(),
        console=Console(stderr=True), disable=quiet,
    ) as progress:  # fmt: skip
        bar = progress.add_task("", total=None, told="")
        work = asyncio.ensure_future(hub.jobs.run(job))
        try:
            while not (await asyncio.wait([work], timeout=_POLL_SECONDS))[0]:
                progress.update(bar, told=(await _now(hub, job)).step)
            work.result()
        finally:
            work.cancel()
            await asyncio.wait([work])
    ended = await _now(hub, job)
    if ended.state is not JobState.COMPLETED or ended.result is None:
        raise HealthSyncError(ended.failure or f"it stopped; see: healthsync jobs show {job.id}")
    return ended.result


async def _now(hub: Hub, job: Job) -> Job:
    return (await hub.jobs.inspect(str(job.id))).job
