"""`healthsync partner`: the systems that may send HL7 v2 messages."""

from __future__ import annotations

import asyncio
import dataclasses
import getpass
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from healthsync.bootstrap import open_hub
from healthsync.entrypoints.cli.options import data_option, echo_json, json_option
from healthsync.exchange.administration.onboard_partner import OnboardPartner

_T = TypeVar("_T")


@click.group()
def command() -> None:
    """Systems that send HL7 v2 messages.

    A partner is recognised by its client certificate, its addresses, or MSH-3 and MSH-4; everything that is given here
    must hold. A running hub follows within a second.
    """


@command.command()
@click.argument("name")
@click.option("--application", "sending_application", help="MSH-3, first component.")
@click.option("--facility", "sending_facility", help="MSH-4, first component.")
@click.option("--address", "addresses", multiple=True, help="Address or CIDR block it connects from; may be repeated.")
@click.option("--certificate", "certificate_fingerprint", help="SHA-256 fingerprint of its client certificate.")
@click.option("--subject", "certificate_subject", help="Subject of its client certificate (RFC 4514: CN=adt,O=Mercy).")
@click.option("--organisation", help="The organisation it belongs to.")
@click.option("--ack-mode", type=click.Choice(["original", "enhanced"]), help="Default: as its messages ask.")
@click.option("--character-encoding", help="Character set of messages whose MSH-18 is empty, as in MSH-18.")
@click.option("--role", help="It may ask about patients (QBP^Q22, QBP^Q23), with the rights of this role.")
@click.option("--purpose", help="Purpose of use of its queries. Default: the first of the role.")
@data_option
@json_option
def add(name: str, data_folder: Path, as_json: bool, **fields: Any) -> None:
    """Register NAME."""
    partner = _run(data_folder, lambda flow: flow.add(name, operator=getpass.getuser(), **fields))
    if as_json:
        echo_json(dataclasses.asdict(partner))
    else:
        click.echo(f"{name} may send" + (f", and ask as {partner.query_role}" if partner.query_role else ""))


@command.command(name="list")
@data_option
@json_option
def list_partners(data_folder: Path, as_json: bool) -> None:
    """All partners."""
    partners = _run(data_folder, lambda flow: flow.partners())
    if as_json:
        for partner in partners:
            echo_json(dataclasses.asdict(partner))
        return
    table = Table("name", "state", "MSH-3", "MSH-4", "addresses", "certificate", "asks as", box=None)
    for p in partners:
        certificate = p.certificate_subject or (p.certificate_fingerprint or "")[:16]
        addresses = " ".join(map(str, p.addresses))
        asks = f"{p.query_role} ({p.query_purpose})" if p.query_role else ""
        table.add_row(p.name, p.state, p.sending_application, p.sending_facility, addresses, certificate, asks)
    Console().print(table)


@command.command()
@click.argument("name")
@data_option
def remove(name: str, data_folder: Path) -> None:
    """Take NAME out; what it sent stays."""
    _run(data_folder, lambda flow: flow.remove(name, getpass.getuser()))


@command.command()
@click.argument("name")
@data_option
def pause(name: str, data_folder: Path) -> None:
    """Answer AE to NAME (send it again later) until it is resumed."""
    _run(data_folder, lambda flow: flow.pause(name, getpass.getuser(), paused=True))


@command.command()
@click.argument("name")
@data_option
def resume(name: str, data_folder: Path) -> None:
    """Take messages of NAME again."""
    _run(data_folder, lambda flow: flow.pause(name, getpass.getuser(), paused=False))


@command.command()
@click.argument("name")
@click.option("--role", help="The role whose rights it gets; without one it may ask nothing more.")
@click.option("--purpose", help="Purpose of use. Default: the first of the role.")
@data_option
def queries(name: str, role: str | None, purpose: str | None, data_folder: Path) -> None:
    """Let NAME ask about patients (QBP^Q22, QBP^Q23), or not.

    NAME must be recognised by a certificate or an address: a header alone is what anybody can write.
    """
    _run(data_folder, lambda flow: flow.allow_queries(name, getpass.getuser(), role, purpose))
    click.echo(f"{name} may ask as {role}" if role else f"{name} may not ask")


def _run(data_folder: Path, act: Callable[[OnboardPartner], Awaitable[_T]]) -> _T:
    async def with_hub() -> _T:
        async with open_hub(data_folder) as hub:
            return await act(OnboardPartner(database=hub.database, directory=hub.directory, audit=hub.audit))

    return asyncio.run(with_hub())
