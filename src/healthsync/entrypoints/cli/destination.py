"""`healthsync destination`: the systems that get HL7 v2 messages, and what is on its way to them."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from healthsync.bootstrap import open_hub
from healthsync.entrypoints.cli.options import data_option, echo_json, json_option
from healthsync.exchange.administration.manage_destinations import (
    ManageDestinations,
    Shown,
    delivery_document,
    document,
)

_T = TypeVar("_T")


@click.group()
def command() -> None:
    """Systems that get HL7 v2 messages over MLLP.

    A destination names the types of messages it gets. When something happens that such a message tells (a visit
    begins, a result is stored, an appointment is booked), the hub asks consent, records the disclosure, writes the
    message and lets it wait in the destination's queue until the partner has acknowledged it. A running hub follows
    within a second.

    \b
    Appointments to a booking system on this machine:
      healthsync destination add booking --host 127.0.0.1 --port 2576 --message SIU^S12 --message SIU^S15
    Admissions to a hospital over TLS, not those that came from it:
      healthsync destination add mercy --host hl7.mercy.example --port 6661 --tls --ca mercy-ca.pem \\
          --message ADT^A01 --message ADT^A03 --application EPIC --facility MERCY --not-from mercy
    A partner that connects to us (reverse MLLP):
      healthsync destination add lab --listen --host 0.0.0.0 --port 6700 --tls --certificate hub.pem --key hub.key \\
          --message OML^O21
    A PIX consumer that wants to know when two of its numbers become one person's, or two again:
      healthsync destination add west --host pix.west.example --port 6661 --tls --message ADT^A31 \\
          --domain 1.2.3 --domain 1.5.6
    """


@command.command()
@click.argument("name")
@click.option("--host", required=True, help="Where it listens; with --listen the address to wait for it on.")
@click.option("--port", required=True, type=click.IntRange(0, 65535), help="The port there.")
@click.option(
    "--message", "messages", multiple=True, required=True, help="Message type it gets (SIU^S12); may be repeated."
)
@click.option("--listen", is_flag=True, help="Reverse MLLP: it connects to us, we send.")
@click.option(
    "--tls/--clear", "tls", default=None, help="Over TLS, or in clear on purpose (a VPN). Clear on this machine."
)
@click.option(
    "--ca", type=click.Path(exists=True, dir_okay=False), help="PEM file of the authorities of its certificate."
)
@click.option("--certificate", type=click.Path(exists=True, dir_okay=False), help="PEM file of our certificate.")
@click.option("--key", type=click.Path(exists=True, dir_okay=False), help="PEM file of its key.")
@click.option("--server-name", help="Name that its certificate must have, when it is not the host.")
@click.option("--version", default="2.5.1", show_default=True, help="HL7 version of the messages, 2.3 to 2.8.")
@click.option("--application", default="", help="Receiving application (MSH-5).")
@click.option("--facility", default="", help="Receiving facility (MSH-6).")
@click.option(
    "--max-connections", default=1, show_default=True, help="One keeps the whole queue in order; more, each patient's."
)
@click.option(
    "--ack-timeout", "ack_timeout_seconds", default=30.0, show_default=True, help="Seconds to wait for an answer."
)
@click.option(
    "--connect-timeout",
    "connect_timeout_seconds",
    default=10.0,
    show_default=True,
    help="Seconds to wait for a connection.",
)
@click.option(
    "--max-attempts", default=8, show_default=True, help="Answers AE or CE before a message is a dead letter."
)
@click.option(
    "--first-wait",
    "first_wait_seconds",
    default=1.0,
    show_default=True,
    help="Seconds after the first failure; doubles.",
)
@click.option(
    "--longest-wait", "longest_wait_seconds", default=300.0, show_default=True, help="Longest wait in seconds."
)
@click.option("--role", default="system", show_default=True, help="Whose view of the records it gets.")
@click.option(
    "--purpose", "purpose_of_use", default="TREAT", show_default=True, help="Purpose of use that consent is asked for."
)
@click.option("--organisation", help="The organisation it belongs to.")
@click.option("--not-from", multiple=True, help="Do not send what came from this partner or client; may be repeated.")
@click.option(
    "--domain",
    "domains",
    multiple=True,
    help="ADT^A31 tells which numbers of this authority (OID, URI, namespace) are one person's; may be repeated.",
)
@click.option("--character-encoding", default="UNICODE UTF-8", show_default=True, help="Of the messages, as in MSH-18.")
@click.option("--processing-id", default="P", show_default=True, help="MSH-11: P production, T training, D debugging.")
@data_option
@json_option
def add(name: str, data_folder: Path, as_json: bool, **terms: Any) -> None:
    """Register NAME. What happens from now on is sent."""
    shown = _run(data_folder, lambda flow: flow.add(getpass.getuser(), {"name": name, **_terms(terms)}))
    if as_json:
        echo_json(document(shown))
    else:
        click.echo(f"{name} gets {', '.join(shown.standing.destination.messages)}")


@command.command(name="list")
@data_option
@json_option
def list_destinations(data_folder: Path, as_json: bool) -> None:
    """All destinations: state, queue, and why one does not answer."""
    found = _run(data_folder, lambda flow: flow.listed(getpass.getuser()))
    if as_json:
        for shown in found:
            echo_json(document(shown))
        return
    table = Table("name", "state", "address", "messages", "waiting", "dead", "oldest", "trouble", box=None)
    for shown in found:
        table.add_row(*_row(shown))
    Console().print(table)


@command.command()
@click.argument("name")
@data_option
@json_option
def show(name: str, data_folder: Path, as_json: bool) -> None:
    """Everything about NAME, without the content of messages."""
    shown = document(_run(data_folder, lambda flow: flow.show(getpass.getuser(), name)))
    if as_json:
        echo_json(shown)
        return
    for key, value in shown.items():
        if value not in (None, "", (), []):
            click.echo(f"{key:<24} {', '.join(value) if isinstance(value, (list, tuple)) else value}")


@command.command()
@click.argument("name")
@data_option
def pause(name: str, data_folder: Path) -> None:
    """Send nothing more to NAME; what happens meanwhile waits."""
    _run(data_folder, lambda flow: flow.pause(getpass.getuser(), name, paused=True))


@command.command()
@click.argument("name")
@data_option
def resume(name: str, data_folder: Path) -> None:
    """Send to NAME again, at once also when it had not answered."""
    _run(data_folder, lambda flow: flow.pause(getpass.getuser(), name, paused=False))


@command.command()
@click.argument("name")
@click.option("--state", type=click.Choice(["dead", "waiting", "delivered"]), default="dead", show_default=True)
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="The newest so many.")
@data_option
@json_option
def dead(name: str, state: str, limit: int, data_folder: Path, as_json: bool) -> None:
    """Messages that NAME refused or that may not be sent, and why; with --state also others."""
    found = _run(data_folder, lambda flow: flow.deliveries(getpass.getuser(), name, state=state, limit=limit))
    if as_json:
        for delivery in found:
            echo_json(delivery_document(delivery))
        return
    table = Table("sequence", "queued", "type", "control id", "about", "attempts", "answer", "reason", box=None)
    for d in found:
        queued = d.queued_at.isoformat(sep=" ", timespec="seconds")
        table.add_row(
            str(d.sequence), queued, d.type, d.control_id, d.subject, str(d.attempts), d.answer or "", d.reason or ""
        )
    Console().print(table)


@command.command()
@click.argument("name")
@click.argument("sequences", type=int, nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All dead letters.")
@data_option
@json_option
def retry(name: str, sequences: tuple[int, ...], everything: bool, data_folder: Path, as_json: bool) -> int:
    """Put dead letters of NAME back at their place in the queue: those of SEQUENCES, or all."""
    if bool(sequences) == everything:
        raise click.UsageError("name the messages, or all with --all")
    wanted = None if everything else list(sequences)
    back = _run(data_folder, lambda flow: flow.retry(getpass.getuser(), name, wanted))
    if as_json:
        echo_json({"retried": len(back), "sequences": back})
    else:
        click.echo(f"{len(back)} messages wait again")
    return 0 if set(sequences) <= set(back) else 1


@command.command()
@click.argument("name")
@click.argument("sequence", type=int)
@data_option
def skip(name: str, sequence: int, data_folder: Path) -> None:
    """Take message SEQUENCE, which waits for NAME, to the dead letters, so that the younger ones may go on."""
    _run(data_folder, lambda flow: flow.set_aside(getpass.getuser(), name, sequence))


@command.command()
@click.argument("name")
@click.argument("sequence", type=int)
@click.option(
    "--reason", required=True, help="Why you look, as a code without spaces (a ticket number). It is audited."
)
@data_option
@json_option
def content(name: str, sequence: int, reason: str, data_folder: Path, as_json: bool) -> None:
    """The message SEQUENCE to NAME and what the partner wrote about it. This is an access to patient data."""
    message, told = _run(data_folder, lambda flow: flow.content(getpass.getuser(), name, sequence, reason))
    lines = message.decode("utf-8", "replace").rstrip("\r").split("\r")
    if as_json:
        echo_json({"sequence": sequence, "segments": lines, "answer": told})
    else:
        click.echo("\n".join(lines))
        if told:
            click.echo(f"\nthe partner wrote: {told}")


@command.command()
@click.argument("name")
@click.option("--discard", is_flag=True, help="Also while messages wait or are dead: they are deleted.")
@data_option
def remove(name: str, discard: bool, data_folder: Path) -> None:
    """Take NAME out."""
    queue = _run(data_folder, lambda flow: flow.remove(getpass.getuser(), name, discard=discard))
    click.echo(
        f"{name} gets nothing more" + (f"; {queue.waiting + queue.dead} messages were discarded" if discard else "")
    )


def _terms(given: dict[str, Any]) -> dict[str, Any]:
    """What was written on the command line, as terms of a destination."""
    tls_of = {name: given.pop(name) for name in ("ca", "certificate", "key", "server_name")}
    files = {name: str(Path(path).resolve()) for name, path in tls_of.items() if path and name != "server_name"}
    wants_tls = given.pop("tls")
    if wants_tls is False:
        given["clear"] = True
    elif wants_tls or files:
        given["tls"] = {**files, **({"server_name": tls_of["server_name"]} if tls_of["server_name"] else {})} or True
    return given


def _row(shown: Shown) -> tuple[str, ...]:
    standing, destination = shown.standing, shown.standing.destination
    address = f"{'waits on ' if destination.listen else ''}{destination.host}:{destination.port}"
    oldest = shown.queue.oldest_at.isoformat(sep=" ", timespec="seconds") if shown.queue.oldest_at else ""
    trouble = f"{standing.failures} failures ({shown.circuit}): {standing.reason}" if standing.failures else ""
    messages = " ".join(destination.messages)
    return (
        destination.name, standing.state, address, messages, str(shown.queue.waiting), str(shown.queue.dead), oldest,
        trouble,
    )  # fmt: skip


def _run(data_folder: Path, act: Callable[[ManageDestinations], Awaitable[_T]]) -> _T:
    async def with_hub() -> _T:
        async with open_hub(data_folder) as hub:
            return await act(hub.manage_destinations)

    return asyncio.run(with_hub())
