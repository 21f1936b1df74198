"""`healthsync messages`: what came in, what became of it, and dead letters back to work."""

from __future__ import annotations

import asyncio
import getpass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from healthsync.bootstrap import Hub, open_hub
from healthsync.entrypoints.cli.options import data_option, echo_json, json_option
from healthsync.exchange.administration.inspect_messages import InspectMessages, StoredMessage
from healthsync.exchange.administration.replay_messages import ReplayMessages

_state_option = click.option("--state", help="Only messages in this state: accepted, processed or dead.")
_source_option = click.option("--source", help="Only messages of this partner.")


@click.group()
def command() -> None:
    """Every HL7 v2 message received."""


@command.command(name="list")
@_state_option
@_source_option
@click.option("--limit", type=click.IntRange(min=0), default=50, show_default=True, help="The newest so many; 0: all.")
@click.option("--count", is_flag=True, help="Only tell how many there are.")
@data_option
@json_option
def list_messages(
    state: str | None, source: str | None, limit: int, count: bool, data_folder: Path, as_json: bool
) -> None:
    """Messages without their content, newest first."""
    asyncio.run(_list(state, source, limit, count, data_folder, as_json))


@command.command()
@click.argument("sequence", type=int)
@click.option(
    "--reason", required=True, help="Why you look, as a code without spaces (a ticket number). It is audited."
)
@data_option
@json_option
def show(sequence: int, reason: str, data_folder: Path, as_json: bool) -> None:
    """The content of message SEQUENCE, segment by segment. This is an access to patient data and is recorded as one."""
    content = asyncio.run(_show(sequence, reason, data_folder))
    lines = content.decode("utf-8", "replace").replace("\r\n", "\r").replace("\n", "\r").rstrip("\r").split("\r")
    if as_json:
        echo_json({"sequence": sequence, "segments": lines})
    else:
        click.echo("\n".join(lines))


@command.command()
@click.argument("sequences", type=int, nargs=-1)
@click.option("--state", type=click.Choice(["dead"]), help="All dead letters.")
@_source_option
@data_option
@json_option
def replay(sequences: tuple[int, ...], state: str | None, source: str | None, data_folder: Path, as_json: bool) -> int:
    """Process dead letters again: those of SEQUENCES, or all with --state dead."""
    if bool(sequences) == bool(state):
        raise click.UsageError("name the messages, or all dead ones with --state dead")
    replayed = asyncio.run(_replay(sequences, source, data_folder, quiet=as_json))
    if as_json:
        echo_json({"replayed": len(replayed), "sequences": replayed})
    else:
        click.echo(f"{len(replayed)} messages wait to be processed again")
    return 0 if set(sequences) <= set(replayed) else 1


async def _list(
    state: str | None, source: str | None, limit: int, count: bool, data_folder: Path, as_json: bool
) -> None:
    async with open_hub(data_folder) as hub:
        inspect = _inspect(hub)
        if count:
            number = await inspect.counted(state=state, source=source)
            echo_json({"count": number}) if as_json else click.echo(number)
            return
        messages = inspect.listed(state=state, source=source, limit=limit)
        if as_json:
            async for message in messages:
                echo_json(_document(message))
        else:
            Console().print(_table([message async for message in messages]))


async def _show(sequence: int, reason: str, data_folder: Path) -> bytes:
    async with open_hub(data_folder) as hub:
        return await _inspect(hub).content(sequence, getpass.getuser(), reason)


async def _replay(sequences: tuple[int, ...], source: str | None, data_folder: Path, *, quiet: bool) -> list[int]:
    async with open_hub(data_folder) as hub:
        flow = ReplayMessages(database=hub.database, messages=hub.messages, audit=hub.audit)
        wanted = sorted(sequences) or sorted([s async for page in flow.dead(source) for s in page])
        replayed: list[int] = []
        with Progress(console=Console(stderr=True), disable=quiet) as progress:
            for start in progress.track(range(0, len(wanted), 200), description="replaying"):
                replayed += await flow(wanted[start : start + 200], getpass.getuser())
        return replayed


def _inspect(hub: Hub) -> InspectMessages:
    return InspectMessages(database=hub.database, messages=hub.messages, data_keys=hub.data_keys, audit=hub.audit)


def _document(message: StoredMessage) -> dict[str, Any]:
    return {
        "sequence": message.sequence,
        "control_id": message.control_id,
        "type": message.type,
        "source": message.source,
        "state": message.state,
        "received_at": message.received_at.isoformat(),
        "settled_at": message.settled_at.isoformat() if message.settled_at else None,
        "attempts": message.attempts,
        "next_attempt_at": message.next_attempt_at.isoformat() if message.next_attempt_at else None,
        "reason_code": message.reason_code,
        "reason": message.reason,
        "warnings": message.warnings,
        "stored_resources": message.stored_resources,
        "unmapped": message.unmapped,
        "size_bytes": message.size_bytes,
        "truncated": message.truncated,
    }


def _table(messages: list[StoredMessage]) -> Table:
    table = Table("sequence", "received", "source", "type", "control id", "state", "reason", box=None)
    for m in messages:
        received = m.received_at.isoformat(sep=" ", timespec="seconds")
        table.add_row(
            str(m.sequence), received, m.source, m.type, m.control_id, m.state, m.reason or ", ".join(m.warnings)
        )
    return table
