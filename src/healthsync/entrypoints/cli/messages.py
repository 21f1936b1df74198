"""`healthsync messages`: what came in, what became of it, and dead letters back to work."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import click
from rich.console import Console
from rich.table import Table

from healthsync.bootstrap import Hub, open_hub
from healthsync.entrypoints.cli.options import data_option, echo_json, json_option
from healthsync.entrypoints.cli.watching import run_here
from healthsync.exchange.administration.inspect_messages import StoredMessage, as_document, selection
from healthsync.exchange.administration.replay_messages import Net, ReplayReport, asked_by
from healthsync.exchange.operations.jobs import OPERATOR

_T = TypeVar("_T")
_TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d %H:%M:%S"]


def _selecting(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that choose messages; what is said must all be met."""
    option: Any
    for option in reversed((
        click.option("--state", help="In this state: accepted, processed, dead or replaced."),
        click.option("--source", help="Of this partner."),
        click.option("--type", "type_", help="Of this type: ADT^A01, or ADT for all of them."),
        click.option("--why", "reason_code", help="Dead letters with this reason code: not-supported, quality …"),
        click.option("--since", type=click.DateTime(_TIMES), help="Received at this time (UTC) or later."),
        click.option("--until", type=click.DateTime(_TIMES), help="Received before this time (UTC)."),
    )):  # fmt: skip
        command = option(command)
    return command


_reason_option = click.option(
    "--reason", required=True, help="Why you look, as a code without spaces (a ticket number). It is audited."
)


@click.group()
def command() -> None:
    """Every HL7 v2 message received.

    \b
    healthsync messages list --state dead                     dead letters and why
    healthsync messages show 4711 --reason ticket-88          what it says (audited)
    healthsync messages edit 4711 --file - --reason ticket-88 an edited copy; the original stays
    healthsync messages compare 4711 --reason ticket-88       what a replay would change
    healthsync messages replay 4711                           read it anew, in its place
    healthsync messages replay --since 2026-03-01             all since then, after a map was changed
    """


@command.command(name="list")
@_selecting
@click.option("--limit", type=click.IntRange(min=0), default=50, show_default=True, help="The newest so many; 0: all.")
@click.option("--count", is_flag=True, help="Only tell how many there are.")
@data_option
@json_option
def list_messages(limit: int, count: bool, data_folder: Path, as_json: bool, **chosen: Any) -> None:
    """Messages without their content, newest first."""
    _run(data_folder, lambda hub: _list(hub, _wanted(**chosen), limit, count, as_json))


@command.command()
@click.argument("sequence", type=int)
@_reason_option
@click.option("--raw", is_flag=True, help="The bytes as received, for a file or an editor.")
@data_option
@json_option
def show(sequence: int, reason: str, raw: bool, data_folder: Path, as_json: bool) -> None:
    """The content of message SEQUENCE, segment by segment. This is an access to patient data and is recorded as one."""
    content = _run(data_folder, lambda hub: hub.inspect_messages.content(sequence, getpass.getuser(), reason))
    lines = content.decode("utf-8", "replace").replace("\r\n", "\r").replace("\n", "\r").rstrip("\r").split("\r")
    if raw:
        click.echo(content, nl=False)
    elif as_json:
        echo_json({"sequence": sequence, "segments": lines})
    else:
        click.echo("\n".join(lines))


@command.command()
@click.argument("sequence", type=int)
@click.option("--file", type=click.File("rb"), required=True, help="The whole message as it should be; - reads it.")
@_reason_option
@data_option
@json_option
def edit(sequence: int, file: BinaryIO, reason: str, data_folder: Path, as_json: bool) -> None:
    """Keep an edited copy of the dead letter SEQUENCE; the original stays as it was received.

    The copy knows its origin and who edited it. Replay it, and it is processed in the place of the original.
    """
    by = asked_by(getpass.getuser(), "edit-message", reason=reason)
    content = file.read().replace(b"\r\n", b"\r").replace(b"\n", b"\r")
    copy = _run(data_folder, lambda hub: hub.edit_message(sequence, content, by))
    if as_json:
        echo_json({"sequence": copy, "origin": sequence})
    else:
        click.echo(f"message {copy} is an edited copy of {sequence}; next: healthsync messages replay {copy}")


@command.command()
@click.argument("sequences", type=int, nargs=-1)
@_selecting
@_reason_option
@click.option("--values", is_flag=True, help="Show values before and after, not only where they differ.")
@data_option
@json_option
def compare(
    sequences: tuple[int, ...], reason: str, values: bool, data_folder: Path, as_json: bool, **chosen: Any
) -> None:
    """What a replay of SEQUENCES, or of all that fit, would change, without changing it.

    With each message the younger ones of its patients are read, as in the replay. Recorded as a look at patient data.
    """
    by = asked_by(getpass.getuser(), "compare-messages", reason=reason)
    wanted = selection(**_wanted(**chosen), sequences=sequences)
    report, found = _run(data_folder, lambda hub: hub.replay_messages.compare(wanted, by))
    if as_json:
        echo_json(
            {**report.as_document(), "differences": [_difference(key, net, values) for key, net in found.items()]}
        )
        return
    for (kind, id_), net in found.items():
        click.echo(f"{'would change' if net.before else 'would create'} {kind}/{id_}")
        for each in net.differences:
            click.echo(f"  {each.path}" + (f": {_plain(each.before)} → {_plain(each.after)}" if values else ""))
    _tell(report, "would be read")


@command.command()
@click.argument("sequences", type=int, nargs=-1)
@_selecting
@click.option("--dry-run", is_flag=True, help="Only tell what would differ.")
@data_option
@json_option
def replay(sequences: tuple[int, ...], dry_run: bool, data_folder: Path, as_json: bool, **chosen: Any) -> int:
    """Read messages anew: SEQUENCES, or all that fit (--state dead, --since, --source …).

    With each come the younger messages of its patients, in order, so that no old message undoes a newer one; what does
    not differ in the end is not written. It runs as a job: what is interrupted goes on, here or in a worker. Ends with
    1 when a message could not be read.
    """
    wanted = selection(**_wanted(**chosen), sequences=sequences)
    report = _run(data_folder, lambda hub: _replay(hub, wanted, dry_run, quiet=as_json))
    if as_json:
        echo_json({"replayed": report.messages - report.failed, **report.as_document(), "dry_run": dry_run})
    else:
        _tell(report, "would be read" if dry_run else "were read")
    return 1 if report.failed else 0


@command.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--source", help="Only this partner.")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="First day (UTC).")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="First day that is no longer part of it.")
@click.option("--plain", is_flag=True, help="In the clear: whoever has the files reads what the messages say.")
@_reason_option
@data_option
@json_option
def export(
    folder: Path, source: str | None, since: datetime | None, until: datetime | None, plain: bool, reason: str,
    data_folder: Path, as_json: bool,
) -> None:  # fmt: skip
    """Write the raw zone to the new FOLDER: a file for each source and day, and a manifest with their hashes.

    The files are sealed; only a hub with this hub's keyring opens them (healthsync messages import). Each file is
    recorded as a look at patient data before it is written.
    """
    by = asked_by(getpass.getuser(), "export-messages", reason=reason)
    days = {"since": since and since.date(), "until": until and until.date()}
    files = _run(data_folder, lambda hub: hub.keep_raw.export(folder, by, source=source, plain=plain, **days))
    if as_json:
        echo_json({"messages": sum(file.messages for file in files), "files": [asdict(file) for file in files]})
    else:
        click.echo(f"{sum(file.messages for file in files)} messages in {len(files)} files; see {folder}/manifest.json")


@command.command(name="import")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@_reason_option
@data_option
@json_option
def import_archive(folder: Path, reason: str, data_folder: Path, as_json: bool) -> None:
    """Bring the archive in FOLDER back, after its hashes were checked.

    Messages that are here stay as they are; bytes that were destroyed come back. What is new waits as dead letters:
    healthsync messages replay --why restored reads them, each in its place before what came later.
    """
    by = asked_by(getpass.getuser(), "import-messages", reason=reason)
    brought = _run(data_folder, lambda hub: hub.keep_raw.restore(folder, by))
    if as_json:
        echo_json(asdict(brought))
    else:
        click.echo(
            f"{brought.known} messages were here, {brought.bytes} have their bytes again, {brought.new} are new"
            + ("; next: healthsync messages replay --why restored" if brought.new else "")
        )


@command.command()
@click.argument("source")
@click.option("--days", type=click.IntRange(min=1), help="Days that the bytes of its messages are kept.")
@click.option("--as-set", is_flag=True, help="As the setting retention.raw_messages says.")
@data_option
def keep(source: str, days: int | None, as_set: bool, data_folder: Path) -> None:
    """How long the bytes of messages of SOURCE are kept. What was made of them stays in any case."""
    if (days is None) != as_set:
        raise click.UsageError("say --days N, or --as-set")
    _run(data_folder, lambda hub: hub.keep_raw.keep(source, days, asked_by(getpass.getuser(), "keep-messages")))


@command.command()
@click.argument("source")
@click.option("--case", help="Code of the legal hold, such as a case number.")
@click.option("--release", is_flag=True, help="The hold is over.")
@data_option
def hold(source: str, case: str | None, release: bool, data_folder: Path) -> None:
    """Destroy nothing of SOURCE, whatever its term, until the legal hold is released."""
    if (case is None) != release:
        raise click.UsageError("say --case CODE, or --release")
    _run(
        data_folder,
        lambda hub: hub.keep_raw.hold(source, case, asked_by(getpass.getuser(), "hold-messages", reason=case)),
    )


@command.command()
@click.option("--dry-run", is_flag=True, help="Only tell what is due.")
@data_option
@json_option
def retire(dry_run: bool, data_folder: Path, as_json: bool) -> None:
    """Destroy bytes that are past their term, with their keys. A running hub does so every hour."""
    by = asked_by(getpass.getuser(), "retire-messages")
    for each in _run(data_folder, lambda hub: hub.keep_raw.retire(by, dry_run=dry_run)):
        if as_json:
            echo_json(asdict(each))
        else:
            what = f"kept: {each.because}" if each.because else "due" if dry_run else "destroyed"
            click.echo(f"{each.day} {each.source}: {each.messages} messages, {what}")


@command.command()
@data_option
@json_option
def terms(data_folder: Path, as_json: bool) -> None:
    """Terms and legal holds of sources that have their own."""
    for term in _run(data_folder, lambda hub: hub.keep_raw.terms()):
        if as_json:
            echo_json(asdict(term))
        else:
            kept = f"{term.keep_days} days" if term.keep_days else "as the setting says"
            held = f", legal hold {term.hold_reason}" if term.hold_reason else ""
            click.echo(f"{term.source}: {kept}{held}")


def _wanted(
    *, type_: str | None, reason_code: str | None, since: datetime | None, until: datetime | None, **others: Any
) -> dict[str, Any]:
    return {"type": type_, "reason": reason_code, "since": since, "until": until, **others}


async def _list(hub: Hub, wanted: dict[str, Any], limit: int, count: bool, as_json: bool) -> None:
    flow = hub.inspect_messages
    if count:
        number = await flow.counted(**wanted)
        echo_json({"count": number}) if as_json else click.echo(number)
        return
    page: list[StoredMessage] = []
    shown: list[tuple[StoredMessage, Any]] = []
    async for message in flow.listed(limit=limit, **wanted):
        page.append(message)
        if len(page) == _PAGE:
            shown += await _show(hub, page, as_json)
            page = []
    shown += await _show(hub, page, as_json)
    if not as_json:
        Console().print(_table(shown))


_PAGE = 500


async def _show(hub: Hub, page: Sequence[StoredMessage], as_json: bool) -> list[tuple[StoredMessage, Any]]:
    """Messages with their scores; as JSON they are told at once."""
    scores = await hub.inspect_messages.scores([message.sequence for message in page])
    for message in page if as_json else ():
        echo_json(as_document(message, scores.get(message.sequence)))
    return [] if as_json else [(message, scores.get(message.sequence)) for message in page]


async def _replay(hub: Hub, wanted: Any, dry_run: bool, *, quiet: bool) -> ReplayReport:
    flow = hub.replay_messages
    by = asked_by(getpass.getuser(), "replay-messages")
    job = await flow.start(wanted, by, owner=OPERATOR, dry_run=dry_run, claimed=True)
    result = await run_here(hub, job, "reading", quiet=quiet)
    return ReplayReport.of_document({name: value for name, value in result.items() if name != "dry_run"})


def _tell(report: ReplayReport, what: str) -> None:
    click.echo(f"{report.messages} messages {what}, {report.failed} could not be")
    for name, counts in (
        ("new", report.created),
        ("changed", report.changed),
        ("unchanged", report.unchanged),
        ("left as they are", report.kept),
    ):
        if counts:
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
            click.echo(f"  {name}: {kinds}")
    for path, count in sorted(report.paths.items(), key=lambda entry: -entry[1])[:20]:
        click.echo(f"  {count:>7} × {path}")
    for failure in report.failures[:20]:
        click.echo(f"  message {failure.sequence}: {failure.because}")


def _difference(key: tuple[str, str], net: Net, values: bool) -> dict[str, Any]:
    paths: list[Any] = [
        {"path": each.path, "before": each.before, "after": each.after} if values else each.path
        for each in net.differences
    ]
    return {"resource": f"{key[0]}/{key[1]}", "new": net.before is None, "paths": paths}


def _plain(value: Any) -> str:
    return "nothing" if value is None else str(value)


def _run(data_folder: Path, act: Callable[[Hub], Awaitable[_T]]) -> _T:
    async def with_hub() -> _T:
        async with open_hub(data_folder) as hub:
            return await act(hub)

    return asyncio.run(with_hub())


def _table(messages: list[tuple[StoredMessage, Any]]) -> Table:
    table = Table("sequence", "received", "source", "type", "control id", "state", "points", "reason", box=None)
    for m, score in messages:
        received = m.received_at.isoformat(sep=" ", timespec="seconds")
        points = str(score.score.points) if score else ""
        table.add_row(
            str(m.sequence), received, m.source, m.type, m.control_id, m.state, points,
            m.reason or ", ".join(m.warnings),
        )  # fmt: skip
    return table
