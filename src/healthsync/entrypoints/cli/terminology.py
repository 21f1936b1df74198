"""`healthsync terminology`: what the hub knows of codes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from healthsync.bootstrap import open_hub
from healthsync.entrypoints.cli.options import data_option
from healthsync.exchange.administration.rebuild_terminology import rebuild_terminology


@click.group()
def command() -> None:
    """Code systems, value sets and concept maps, which answer $expand, $validate-code, $lookup and $translate."""


@command.command()
@data_option
def rebuild(data_folder: Path) -> None:
    """Compile every stored CodeSystem, ValueSet and ConceptMap anew."""

    async def run() -> int:
        async with open_hub(data_folder) as hub:
            return await rebuild_terminology(hub.database, hub.ingest)

    click.echo(f"{asyncio.run(run())} resources compiled")
