"""`healthsync import`: NDJSON files into the repository, with a progress bar and a file of rejects."""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from healthsync.bootstrap import Hub, open_hub
from healthsync.entrypoints.cli.options import data_option, echo_json, json_option
from healthsync.errors import Conflict, HealthSyncError
from healthsync.exchange.operations.bulk_import import FIRST, SECOND, write_rejects
from healthsync.infrastructure.jobs import Job, JobState
from healthsync.infrastructure.telemetry import configure
from healthsync.settings import environment_with

_POLL_SECONDS = 0.5


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--url", metavar="URL", help="A PostgreSQL of yours instead of the hub's own.")
@click.option("--rejects", type=click.Path(path_type=Path, dir_okay=False), default=Path("rejects.ndjson"),
              show_default=True, help="Where rejected lines go, with what is wrong and the resource, to be mended "
              "and imported again. It holds patients' data: mode 0600, delete it when you are done.")  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that share the work."
)
@click.option("--source", default="import", show_default=True, help="The namespace of the sender's patient numbers.")
@click.option("--only-pass", type=int, hidden=True, help="One pass of --workers.")
@click.option("--slice", "slice_", type=int, default=0, hidden=True, help="Which of --workers this process is.")
@data_option
@json_option
def command(
    files: tuple[Path, ...],
    url: str | None,
    rejects: Path,
    workers: int,
    source: str,
    only_pass: int | None,
    slice_: int,
    data_folder: Path,
    as_json: bool,
) -> int:
    """Bring the resources of NDJSON FILES (plain or gzip) in: validated, sealed, indexed, audited.

    Each keeps its id; one that is here already becomes a next version, or stays when nothing changed. Patients go
    first, so that files may come in any order. What was interrupted goes on where it stood when the same command runs
    again. Ends with 1 when lines were rejected.
    """
    configure(level="warning")
    flow = _Import(files, url, source, data_folder, workers)
    if only_pass is not None:
        asyncio.run(flow.part(only_pass, slice_))
        return 0
    stored, rejected = asyncio.run(flow.whole(rejects, quiet=as_json))
    if as_json:
        echo_json({"stored": stored, "rejected": rejected, "rejects": str(rejects) if rejected else None})
    else:
        click.echo(
            f"{stored} resources are stored" + (f"; {rejected} lines rejected, see {rejects}" if rejected else "")
        )
    return 1 if rejected else 0


class _Import:
    def __init__(self, files: Sequence[Path], url: str | None, source: str, data_folder: Path, workers: int) -> None:
        self._files, self._url, self._source = files, url, source
        self._data_folder, self._workers = data_folder, workers

    async def part(self, only_pass: int, slice_: int) -> None:
        """One slice of one pass: what a process of `--workers` does."""
        async with open_hub(self._data_folder, self._url) as hub:
            await hub.jobs.run(await self._job(hub, [only_pass], slice_))

    async def whole(self, rejects: Path, *, quiet: bool) -> tuple[int, int]:
        """Everything; returns how many resources were stored and how many lines rejected."""
        began = [(FIRST, SECOND)] if self._workers == 1 else [(FIRST,), (SECOND,)]
        done: list[Job] = []
        async with open_hub(self._data_folder, self._url) as hub:
            with Progress(
                SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"),
                TimeElapsedColumn(), console=Console(stderr=True), disable=quiet,
            ) as progress:  # fmt: skip
                bar = progress.add_task("importing", total=self._bytes * 2 or None, told="")
                for passes in began:
                    done += await self._pass(hub, passes, done, progress, bar)
            rejected = await write_rejects(hub.jobs.table, done, self._files, rejects)
        return sum(job.done for job in done), rejected

    async def _pass(
        self, hub: Hub, passes: Sequence[int], before: Sequence[Job], progress: Progress, bar: TaskID
    ) -> list[Job]:
        jobs = [await self._job(hub, passes, number) for number in range(self._workers)]
        if self._workers == 1:
            work = [asyncio.ensure_future(hub.jobs.run(jobs[0]))]
        else:
            for job in jobs:
                await hub.jobs.table.release(job)
            work = [asyncio.ensure_future(self._process(passes[0], number)) for number in range(self._workers)]
        try:
            while (await asyncio.wait(work, timeout=_POLL_SECONDS))[1]:
                self._tell(progress, bar, [*before, *await _states(hub, jobs)])
            for one in work:
                one.result()
        finally:
            for one in work:
                one.cancel()
            await asyncio.wait(work)
        jobs = await _states(hub, jobs)
        self._tell(progress, bar, [*before, *jobs])
        for job in jobs:
            if job.state is not JobState.COMPLETED:
                raise HealthSyncError(job.failure or "the import stopped; run the same command again to go on")
        return jobs

    async def _process(self, only_pass: int, number: int) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "healthsync", "import", *map(str, self._files), "--data", str(self._data_folder),
            "--workers", str(self._workers), "--source", self._source,
            "--only-pass", str(only_pass), "--slice", str(number), "--json",
            env=environment_with({"database.url": self._url} if self._url else {}),
            stdin=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            await process.wait()
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()

    async def _job(self, hub: Hub, passes: Sequence[int], number: int) -> Job:
        return await hub.bulk_import.start_files(
            self._files, getpass.getuser(), source=self._source, passes=passes, slice_=number, slices=self._workers
        )

    @property
    def _bytes(self) -> int:
        """Bytes of text in all files; 0 when some are compressed, and nobody knows."""
        if any(file.suffix == ".gz" for file in self._files):
            return 0
        return sum(file.stat().st_size for file in self._files)

    def _tell(self, progress: Progress, bar: TaskID, jobs: Sequence[Job]) -> None:
        rejected = sum(job.rejected for job in jobs)
        told = f"{sum(job.done for job in jobs)} resources" + (f", {rejected} rejected" if rejected else "")
        progress.update(bar, completed=sum(self._read(job) for job in jobs) // self._workers, told=told)

    def _read(self, job: Job) -> int:
        """Bytes that a job has read."""
        sizes: list[int] = list(job.request["sizes"])
        place: dict[str, Any] = dict(job.position or {"pass": 0, "file": 0, "offset": 0})
        if job.state is JobState.COMPLETED:
            return sum(sizes) * len(job.request["passes"])
        return sum(sizes) * place["pass"] + sum(sizes[: place["file"]]) + place["offset"]


async def _states(hub: Hub, jobs: Sequence[Job]) -> list[Job]:
    async with hub.database.connection() as tx:
        found = [await hub.jobs.table.find(tx, job.id) for job in jobs]
    if any(job is None for job in found):
        raise Conflict("the import was removed by somebody")
    return [job for job in found if job is not None]
