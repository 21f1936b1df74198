"""`healthsync export`: what a role may see, as readable NDJSON files."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from healthsync.bootstrap import Hub, open_hub
from healthsync.entrypoints.cli.options import data_option, echo_json, json_option
from healthsync.errors import HealthSyncError, InvalidInput
from healthsync.exchange.authenticate import Requester
from healthsync.exchange.operations.bulk_export import Level
from healthsync.infrastructure.jobs import Job, JobFile, JobState
from healthsync.infrastructure.telemetry import configure


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--role", required=True, help="Export what this role may see.")
@click.option("--purpose", help="For this purpose of use (v3-ActReason); consent is asked for it. Default: the role's.")
@click.option("--patients", is_flag=True, help="Only what lies in patients' compartments.")
@click.option("--group", help="Only the members of this Group (its id).")
@click.option("--type", "types", multiple=True, help="Only this resource type; may be repeated.")
@click.option("--since", help="Only what changed since this instant, and what was deleted.")
@click.option("--type-filter", "filters", multiple=True, help="A search such as 'Observation?category=laboratory'.")
@click.option("--elements", help="Only these elements, with commas between them.")
@click.option("--gzip", "compressed", is_flag=True, help="Leave the files compressed.")
@data_option
@json_option
def command(
    folder: Path,
    role: str,
    purpose: str | None,
    patients: bool,
    group: str | None,
    types: tuple[str, ...],
    since: str | None,
    filters: tuple[str, ...],
    elements: str | None,
    compressed: bool,
    data_folder: Path,
    as_json: bool,
) -> None:
    """Write resources to NDJSON files in FOLDER, readable and mode 0600: this takes data out of the hub's protection.

    The gate holds as for a client in the role: consent, hidden elements, audit. FOLDER must not hold an export yet.
    """
    configure(level="warning")
    pairs = [("_type", kind) for kind in types] + [("_typeFilter", one) for one in filters]
    pairs += [(name, value) for name, value in (("_since", since), ("_elements", elements)) if value]
    level: Level = "group" if group else "patient" if patients else "system"
    written = asyncio.run(
        _Export(folder, data_folder, compressed).run(role, purpose, level, group, pairs, quiet=as_json)
    )
    if as_json:
        echo_json(written)
    else:
        click.echo(f"{written['resources']} resources in {len(written['files'])} files below {folder}")


class _Export:
    def __init__(self, folder: Path, data_folder: Path, compressed: bool) -> None:
        self._folder, self._data_folder, self._compressed = folder, data_folder, compressed

    async def run(
        self,
        role: str,
        purpose: str | None,
        level: Level,
        group: str | None,
        pairs: list[tuple[str, str]],
        *,
        quiet: bool,
    ) -> dict:
        """Export, write, and give the sealed files up."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if (self._folder / "manifest.json").exists():
            raise InvalidInput(f"{self._folder} holds an export already; name another folder")
        async with open_hub(self._data_folder) as hub:
            requester = hub.bulk_export.operator(getpass.getuser(), role, purpose)
            asked = "&".join(f"{name}={value}" for name, value in pairs)
            job = await hub.bulk_export.start(
                requester, level, pairs, url=f"healthsync export {level}", asked=asked, group=group, claimed=True
            )
            try:
                return await self._write(hub, requester, await _run(hub, job, quiet=quiet))
            finally:
                await hub.jobs.stop(str(job.id), getpass.getuser())

    async def _write(self, hub: Hub, requester: Requester, job: Job) -> dict:
        report = await hub.jobs.inspect(str(job.id))
        files = [await self._file(hub, requester, job, file) for file in report.files]
        if report.issue_count:
            with _private(self._folder / "errors.ndjson") as out:
                async for piece in await hub.jobs.errors(requester, str(job.id)):
                    out.write(piece)
        manifest = {
            "transactionTime": (job.result or {}).get("transaction_time"),
            "resources": job.done,
            "files": files,
            "errors": report.issue_count,
        }
        with _private(self._folder / "manifest.json") as out:
            out.write(json.dumps(manifest, indent=1).encode() + b"\n")
        return manifest

    async def _file(self, hub: Hub, requester: Requester, job: Job, file: JobFile) -> dict:
        ending = "ndjson.gz" if self._compressed else "ndjson"
        deleted = "deleted." if file.purpose == "deleted" else ""
        name = f"{deleted}{file.resource_type}.{file.number}.{ending}"
        _, pieces = await hub.jobs.fetch(requester, str(job.id), file.number, compressed=self._compressed)
        with _private(self._folder / name) as out:
            async for piece in pieces:
                out.write(piece)
        return {"file": name, "type": file.resource_type, "purpose": file.purpose, "count": file.lines}


async def _run(hub: Hub, job: Job, *, quiet: bool) -> Job:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    work = asyncio.ensure_future(hub.jobs.run(job))
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        bar = progress.add_task("exporting")
        while (await asyncio.wait([work], timeout=0.3))[1]:
            now = (await hub.jobs.inspect(str(job.id))).job
            progress.update(bar, description=f"exporting {now.step}: {now.done} resources")
    work.result()
    ended = (await hub.jobs.inspect(str(job.id))).job
    if ended.state is not JobState.COMPLETED:
        raise HealthSyncError(ended.failure or "the export stopped; see the log")
    return ended


def _private(path: Path):
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
