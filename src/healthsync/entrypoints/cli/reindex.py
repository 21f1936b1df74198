"""`healthsync reindex`: the search index of everything, filled up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from healthsync.bootstrap import open_hub
from healthsync.entrypoints.cli.options import data_option, echo_json, json_option


@click.command()
@data_option
@json_option
def command(data_folder: Path, as_json: bool) -> None:
    """Look at every resource and add what the search index lacks.

    Search parameters that are still being indexed can be searched by afterwards, also those whose job was cancelled.
    The hub may run meanwhile.
    """
    count = asyncio.run(_reindex(data_folder, quiet=as_json))
    if as_json:
        echo_json({"resources": count})
    else:
        click.echo(f"{count} resources are indexed")


async def _reindex(data_folder: Path, *, quiet: bool) -> int:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    async with open_hub(data_folder) as hub:
        with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
            bar = progress.add_task("indexing", total=None)
            return await hub.reindex.everything(lambda done, total: progress.update(bar, completed=done, total=total))
