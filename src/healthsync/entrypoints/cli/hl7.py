"""`healthsync hl7 explain FILE…`: what becomes of each field of a message, and what stays unmapped and why."""

from __future__ import annotations

from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from healthsync.entrypoints.cli.options import echo_json, json_option
from healthsync.errors import HealthSyncError
from healthsync.infrastructure.clock import SystemClock
from healthsync.standards.hl7v2 import Message, MllpDecoder, split_batch
from healthsync.standards.maps import MappingContext
from healthsync.standards.maps.explanation import FieldStory, MessageStory, SegmentStory, explain

_WIDTH = 44
_COLOURS = {"mapped": "green", "rule": "cyan", "unmapped": "yellow", "deletes": "magenta", "nothing": "bright_black"}


@click.group()
def command() -> None:
    """Look into HL7 v2 messages, without a hub."""


@command.command("explain")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--source", default="file", show_default=True, help="The partner that would have sent it (local codes).")
@click.option("--timezone", "zone", default="UTC", show_default=True, help="Of times without an offset.")
@click.option("--unmapped", "only_unmapped", is_flag=True, help="Show only what is kept unmapped.")
@json_option
def explain_files(files: tuple[Path, ...], source: str, zone: str, only_unmapped: bool, as_json: bool) -> int:
    """Tell segment by segment and field by field what each message in FILES becomes.

    \b
    For each field: its value, the FHIR elements that it wrote or decided, and by what:
      guide     a row of HL7's v2-to-FHIR guide
      override  a row of ours, with the reason
      rule      code; what it decided was found by leaving the field out
      unmapped  kept in the message, not in FHIR, with the reason

    A file may hold one message, several, or a batch. Nothing is stored and no hub is needed. The values are shown
    because you gave the file: treat what is printed as you treat the file. Ends with 0 when every message converts,
    else with 1.
    """
    try:
        timezone = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise click.UsageError(f"--timezone {zone}: no such time zone; write it like Europe/Vienna") from None
    context = MappingContext(source, _id, timezone, SystemClock().now())
    click.echo("The values of the files are shown: treat this output as you treat them.", err=True)
    converted = True
    for file in files:
        for number, raw in enumerate(_messages(file.read_bytes()), 1):
            story = _told(raw, context)
            converted = converted and not story.refused
            if as_json:
                echo_json({"file": str(file), "message": number, **_as_json(story, only_unmapped)})
            else:
                _show(f"{file}, message {number}", story, only_unmapped)
    return 0 if converted else 1


def _id(resource_type: str, key: str) -> str:
    return sha256(f"{resource_type}|{key}".encode()).hexdigest()[:32]


def _messages(content: bytes) -> list[bytes]:
    """The messages of a file; frames of MLLP are taken off, a batch is split, an empty file has none."""
    if content.startswith(b"\x0b"):
        decoder = MllpDecoder(max_message_bytes=len(content) + 1)
        frames = [frame for frame in decoder.feed(content) + decoder.finish() if isinstance(frame, bytes)]
        return [message for frame in frames for message in split_batch(frame)]
    return split_batch(content) if content.strip() else [b""]


def _told(raw: bytes, context: MappingContext) -> MessageStory:
    try:
        return explain(Message.parse(raw), context)
    except HealthSyncError as error:
        return MessageStory("?", "", "", (), refused=str(error))


def _as_json(story: MessageStory, only_unmapped: bool) -> dict[str, Any]:
    shown = asdict(story)
    shown["resources"] = [{"resource": name, "key": key} for name, key in story.resources]
    if only_unmapped:
        for segment in shown["segments"]:
            segment["fields"] = [one for one in segment["fields"] if one["state"] == "unmapped"]
        shown["segments"] = [segment for segment in shown["segments"] if segment["fields"]]
    return shown


def _show(where: str, story: MessageStory, only_unmapped: bool) -> None:
    click.echo(click.style(f"{where}: {story.type} {story.version} {story.control_id}".rstrip(), bold=True))
    if story.refused:
        click.echo(click.style(f"  refused: {story.refused}", fg="red"))
        return
    for warning in story.warnings:
        click.echo(click.style(f"  reading: {warning}", fg="yellow"))
    for segment in story.segments:
        _show_segment(segment, only_unmapped)
    counts: dict[str, int] = {}
    for name, _ in story.resources:
        kind = name.partition("/")[0]
        counts[kind] = counts.get(kind, 0) + 1
    click.echo("  becomes " + ", ".join(f"{count} {kind}" for kind, count in counts.items()))
    if story.experiments_left_out:
        click.echo(f"  {story.experiments_left_out} fields of a long message were not left out one by one")


def _show_segment(segment: SegmentStory, only_unmapped: bool) -> None:
    fields = [one for one in segment.fields if one.state == "unmapped" or not only_unmapped]
    if not fields:
        return
    click.echo(f"  {segment.name}[{segment.index}]" + (f"  unmapped: {segment.because}" if segment.because else ""))
    for told in fields:
        _show_field(told)
    for issue in segment.issues if not only_unmapped else ():
        click.echo(click.style(f"    ! {issue}", fg="yellow"))


def _show_field(told: FieldStory) -> None:
    value = told.value if len(told.value) <= _WIDTH else f"{told.value[: _WIDTH - 1]}…"
    head = f"    {told.path:<8}{value:<{_WIDTH + 1}}"
    click.echo(head + click.style(_outcome(told), fg=_COLOURS.get(told.state)))
    for target in told.targets[1:6]:
        click.echo(" " * len(head) + click.style(f"  {_target(target)}", fg=_COLOURS.get(told.state)))
    if len(told.targets) > 6:
        click.echo(" " * len(head) + f"  and {len(told.targets) - 6} more resources")
    by = f"{told.by}: {told.row}" if told.row else told.by
    reason = "; ".join(text for text in (by, told.because) if text)
    if reason:
        click.echo(click.style(f"{' ' * 14}{reason}", fg="bright_black"))


def _outcome(told: FieldStory) -> str:
    if told.state == "unmapped":
        return "kept unmapped"
    if not told.targets:
        told_by_others = "adds nothing to what other fields say"
        return {"deletes": "deletes", "rule": told_by_others}.get(told.state, "says nothing of its own")
    return f"→ {_target(told.targets[0])}"


def _target(target: Any) -> str:
    elements = ", ".join(target.elements[:6]) + (" …" if len(target.elements) > 6 else "")
    return f"{target.resource} {elements}".rstrip() + (" (names it)" if target.names else "")
