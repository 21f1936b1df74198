"""`healthsync jobs`: long work of clients and operators."""

from __future__ import annotations

import asyncio
import getpass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from healthsync.bootstrap import open_hub
from healthsync.entrypoints.cli.options import data_option, echo_json, json_option
from healthsync.exchange.operations.jobs import JobReport
from healthsync.infrastructure.jobs import Job


@click.group()
def command() -> None:
    """Long work: exports and imports, who asked for them and where they stand."""


@command.command(name="list")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="The newest so many.")
@data_option
@json_option
def list_jobs(limit: int, data_folder: Path, as_json: bool) -> None:
    """Jobs, newest first."""
    jobs = asyncio.run(_list(limit, data_folder))
    if as_json:
        for job in jobs:
            echo_json(_document(job))
    else:
        Console().print(_table(jobs))


@command.command()
@click.argument("job")
@data_option
@json_option
def show(job: str, data_folder: Path, as_json: bool) -> None:
    """One JOB with its files."""
    report = asyncio.run(_show(job, data_folder))
    document = _document(report.job) | {
        "files": [
            {"type": file.resource_type, "purpose": file.purpose, "lines": file.lines, "bytes": file.bytes}
            for file in report.files
        ],
        "issues": report.issue_count,
    }
    if as_json:
        echo_json(document)
    else:
        for name, value in document.items():
            click.echo(f"{name:<10} {value}")


@command.command()
@click.argument("job")
@data_option
def cancel(job: str, data_folder: Path) -> None:
    """Stop JOB, or remove the files of one that has ended."""
    asyncio.run(_cancel(job, data_folder))
    click.echo(f"job {job} is cancelled; its files are removed")


@command.command()
@click.argument("client")
@data_option
def secret(client: str, data_folder: Path) -> None:
    """The secret with which webhook calls for CLIENT (its id) are signed. Give it to nobody else."""
    click.echo(asyncio.run(_secret(client, data_folder)))


async def _list(limit: int, data_folder: Path) -> list[Job]:
    async with open_hub(data_folder) as hub:
        return await hub.jobs.overview(limit)


async def _show(job: str, data_folder: Path) -> JobReport:
    async with open_hub(data_folder) as hub:
        return await hub.jobs.inspect(job)


async def _cancel(job: str, data_folder: Path) -> None:
    async with open_hub(data_folder) as hub:
        await hub.jobs.stop(job, getpass.getuser())


async def _secret(client: str, data_folder: Path) -> str:
    async with open_hub(data_folder) as hub:
        return hub.jobs.webhook_secret(client)


def _document(job: Job) -> dict[str, Any]:
    return {
        "id": str(job.id),
        "kind": job.kind,
        "state": str(job.state),
        "owner": job.owner,
        "step": job.step,
        "resources": job.done,
        "rejected": job.rejected,
        "attempts": job.attempts,
        "failure": job.failure,
        "created": job.created_at.isoformat(),
        "finished": job.finished_at.isoformat() if job.finished_at else None,
        "expires": job.expires_at.isoformat() if job.expires_at else None,
    }


def _table(jobs: list[Job]) -> Table:
    table = Table("id", "created", "kind", "owner", "state", "resources", "rejected", "step", box=None)
    for job in jobs:
        created = job.created_at.isoformat(sep=" ", timespec="seconds")
        table.add_row(
            str(job.id),
            created,
            job.kind,
            job.owner,
            job.state,
            str(job.done),
            str(job.rejected),
            job.failure or job.step,
        )
    return table
