"""healthsync client: programs that may use the API."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from healthsync.bootstrap import open_hub
from healthsync.entrypoints.cli.options import data_option, echo_json, json_option
from healthsync.exchange.administration.register_client import ROLES


@click.group()
def command() -> None:
    """Programs that may use the API: create, list, revoke."""


@command.command()
@click.argument("name")
@click.option(
    "--role", "roles", multiple=True, required=True, type=click.Choice(ROLES), help="May be given several times."
)
@click.option("--organisation", help="Whom the client works for.")
@data_option
@json_option
def create(name: str, roles: tuple[str, ...], organisation: str | None, data_folder: Path, as_json: bool) -> None:
    """Register a client and show its API key, this once.

    The key goes into the header of each request:  Authorization: Bearer KEY
    """

    async def run() -> tuple[str, str]:
        async with open_hub(data_folder) as hub:
            client, key = await hub.register_client(name, roles, organisation)
            return client.client_id, key

    client_id, key = asyncio.run(run())
    if as_json:
        echo_json({"client_id": client_id, "api_key": key})
    else:
        click.echo(
            f"client  {client_id}\nkey     {key}\n\nThe key is not shown again; keep it where passwords are kept."
        )


@command.command("list")
@data_option
@json_option
def list_clients(data_folder: Path, as_json: bool) -> None:
    """Show every client that was registered."""

    async def run() -> list:
        async with open_hub(data_folder) as hub:
            return await hub.register_client.clients()

    for client in asyncio.run(run()):
        state = "revoked" if client.revoked_at else "active"
        if as_json:
            told = ("client_id", "name", "roles", "organisation", "created_at")
            echo_json({**{name: getattr(client, name) for name in told}, "state": state})
        else:
            click.echo(f"{client.client_id}  {state:8}  {','.join(client.roles):20}  {client.name}")


@command.command()
@click.argument("client_id")
@data_option
def revoke(client_id: str, data_folder: Path) -> None:
    """Take a client's key away; a running hub notices within two seconds."""

    async def run() -> bool:
        async with open_hub(data_folder) as hub:
            return await hub.register_client.revoke(client_id)

    if not asyncio.run(run()):
        raise click.ClickException(f"no active client has the id {client_id}; see: healthsync client list")
    click.echo(f"client {client_id} is revoked")
