"""`healthsync import`: NDJSON files into the repository, with a progress bar and a file of rejects."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from healthsync.bootstrap import Hub, open_hub
from healthsync.entrypoints.cli.options import data_option, echo_json, json_option
from healthsync.entrypoints.cli.serve import run_loop
from healthsync.entrypoints.worker.importing import start_helper
from healthsync.errors import Conflict, HealthSyncError
from healthsync.exchange.operations.bulk_import import write_rejects
from healthsync.infrastructure.jobs import Job, JobState
from healthsync.infrastructure.telemetry import configure

_POLL_SECONDS = 0.5


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--url", metavar="URL", help="A PostgreSQL of yours instead of the hub's own.")
@click.option("--rejects", type=click.Path(path_type=Path, dir_okay=False), default=Path("rejects.ndjson"),
              show_default=True, help="Where rejected lines go, with what is wrong and the resource, to be mended "
              "and imported again. It holds patients' data: mode 0600, delete it when you are done.")  # fmt: skip
@click.option("--workers", type=click.IntRange(1, 64),
              help="Processes that share the work; bulk_data.import_processes when it is not given.")  # fmt: skip
@click.option("--source", default="import", show_default=True, help="The namespace of the sender's patient numbers.")
@data_option
@json_option
def command(
    files: tuple[Path, ...],
    url: str | None,
    rejects: Path,
    workers: int | None,
    source: str,
    data_folder: Path,
    as_json: bool,
) -> int:
    """Bring the resources of NDJSON FILES (plain or gzip) in: validated, sealed, indexed, audited.

    Each keeps its id; one that is here already becomes a next version, or stays when nothing changed. Patients go
    first, so that files may come in any order. What was interrupted goes on where it stood when the same command runs
    again. Ends with 1 when lines were rejected.
    """
    configure(level="warning")
    stored, rejected = run_loop(_Import(files, url, source, data_folder, workers).whole(rejects, quiet=as_json))
    if as_json:
        echo_json({"stored": stored, "rejected": rejected, "rejects": str(rejects) if rejected else None})
    else:
        click.echo(
            f"{stored} resources are stored" + (f"; {rejected} lines rejected, see {rejects}" if rejected else "")
        )
    return 1 if rejected else 0


class _Import:
    def __init__(
        self, files: Sequence[Path], url: str | None, source: str, data_folder: Path, workers: int | None
    ) -> None:
        self._files, self._url, self._source = files, url, source
        self._data_folder, self._workers = data_folder, workers

    async def whole(self, rejects: Path, *, quiet: bool) -> tuple[int, int]:
        """Everything; returns how many resources were stored and how many lines rejected."""
        async with open_hub(self._data_folder, self._url) as hub:
            hub.bulk_import.start_helper = partial(start_helper, self._data_folder, self._url)
            job = await hub.bulk_import.start_files(
                self._files, getpass.getuser(), source=self._source, processes=self._workers
            )
            with Progress(
                SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"),
                TimeElapsedColumn(), console=Console(stderr=True), disable=quiet,
            ) as progress:  # fmt: skip
                bar = progress.add_task("importing", total=self._bytes * 2 or None, told="")
                job = await self._run(hub, job, lambda now: self._tell(progress, bar, now))
            if job.state is not JobState.COMPLETED:
                raise HealthSyncError(job.failure or "the import stopped; run the same command again to go on")
            rejected = await write_rejects(hub.jobs.table, job, self._files, rejects)
        return job.done, rejected

    @staticmethod
    async def _run(hub: Hub, job: Job, tell: Callable[[Job], None]) -> Job:
        work = asyncio.ensure_future(hub.jobs.run(job))
        try:
            while (await asyncio.wait([work], timeout=_POLL_SECONDS))[1]:
                tell(await _state(hub, job))
            work.result()
        finally:
            work.cancel()
            await asyncio.wait([work])
        ended = await _state(hub, job)
        tell(ended)
        return ended

    @property
    def _bytes(self) -> int:
        """Bytes of text in all files; 0 when some are compressed, and nobody knows."""
        if any(file.suffix == ".gz" for file in self._files):
            return 0
        return sum(file.stat().st_size for file in self._files)

    def _tell(self, progress: Progress, bar: TaskID, job: Job) -> None:
        told = f"{job.done} resources" + (f", {job.rejected} rejected" if job.rejected else "")
        progress.update(bar, completed=self._read(job), told=told)

    def _read(self, job: Job) -> int:
        """Bytes that were read and stored."""
        sizes: list[int] = list(job.request["sizes"])
        if job.state is JobState.COMPLETED:
            return sum(sizes) * 2
        place: dict[str, Any] = dict(job.position or {"pass": 0, "file": 0, "offset": 0})
        return sum(sizes) * place["pass"] + sum(sizes[: place["file"]]) + place["offset"]


async def _state(hub: Hub, job: Job) -> Job:
    async with hub.database.connection() as tx:
        found = await hub.jobs.table.find(tx, job.id)
    if found is None:
        raise Conflict("the import was removed by somebody")
    return found
