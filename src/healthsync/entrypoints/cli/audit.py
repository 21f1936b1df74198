"""`healthsync audit export|verify`: the record of every access, written out and proved."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click

from healthsync.bootstrap import open_hub
from healthsync.entrypoints.cli.options import data_option, echo_json, json_option
from healthsync.exchange.administration.verify_audit import Report, export_audit, verify_audit, verify_export

_file = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.group()
def command() -> None:
    """The record of every access: export it, verify it."""


@command.command()
@data_option
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="Where to write; - is standard output.",
)
@json_option
def export(data_folder: Path, out: Path, as_json: bool) -> None:
    """Write the audit log as lines of JSON (mode 0600): what an auditor needs, with heads.jsonl, to verify it."""

    async def run() -> tuple[int, bytes]:
        async with open_hub(data_folder) as hub:
            with _writable(out) as file:
                return await export_audit(hub.audit, file), hub.audit.public_key

    events, public_key = asyncio.run(run())
    if as_json:
        echo_json({"events": events, "out": str(out), "public_key": public_key.hex()})
    elif str(out) != "-":
        click.echo(f"{events} events written to {out}; they are signed with the public key {public_key.hex()}")


@command.command()
@data_option
@click.option("--export", "export_file", type=_file, help="Verify this export instead of a hub.")
@click.option("--heads", "heads_file", type=_file, help="Signed heads: a copy of heads.jsonl that you kept.")
@click.option("--public-key", metavar="HEX", help="The hub's public key as you noted it, for an export.")
@json_option
def verify(
    data_folder: Path, export_file: Path | None, heads_file: Path | None, public_key: str | None, as_json: bool
) -> int:
    """Prove that no audit event was changed, lost, inserted or reordered. Ends with 1 when one was.

    The hub of --data is checked against its published heads, and against a copy that you kept when --heads names one.
    With --export and --heads neither hub nor database is needed.
    """
    heads = heads_file.read_text(encoding="utf-8").splitlines() if heads_file else []
    if export_file is None:
        report = asyncio.run(_verify_hub(data_folder, heads))
    elif heads_file is None:
        raise click.UsageError("an export is verified against signed heads: give --heads, a copy of heads.jsonl")
    else:
        with export_file.open(encoding="utf-8") as lines:
            report = verify_export(lines, heads, public_key)
    _show(report, as_json)
    return 0 if report.holds else 1


async def _verify_hub(data_folder: Path, heads: list[str]) -> Report:
    async with open_hub(data_folder) as hub:
        return await verify_audit(hub.audit, heads)


def _show(report: Report, as_json: bool) -> None:
    if not as_json:
        click.echo(report.sentence())
        for finding in report.findings[1:]:
            click.echo(f"  {finding.code}: {finding.detail}")
        return
    echo_json(
        {
            "holds": report.holds,
            "sentence": report.sentence(),
            "events": report.events,
            "waiting": report.waiting,
            "heads": report.heads,
            "signed_size": report.signed_size,
            "signed_at": report.signed_at.isoformat() if report.signed_at else None,
            "findings": [{"code": finding.code, "detail": finding.detail} for finding in report.findings],
        }
    )


@contextmanager
def _writable(out: Path) -> Iterator[TextIO]:
    if str(out) == "-":
        yield sys.stdout
        return
    with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        yield file
