"""`healthsync quality`: how good each source is, and what it has promised."""

from __future__ import annotations

import asyncio
import dataclasses
import getpass
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Column, Table

from healthsync.bootstrap import open_hub
from healthsync.entrypoints.cli.options import data_option, echo_json, json_option
from healthsync.exchange.administration.report_quality import Contract, ReportQuality, SourceReport

_T = TypeVar("_T")
_points = click.IntRange(0, 100)
_day = click.DateTime(["%Y-%m-%d"])


@click.group()
def command() -> None:
    """How good the messages of each source are: points from 0 to 100, by rules that docs/messages/quality.md explains.

    \b
    healthsync quality report                             every source, the last thirty days
    healthsync quality report --source mercy --json       one source, for programs
    healthsync quality contract mercy --minimum 70        what mercy has promised
    healthsync quality review                             messages that somebody should look at
    """


@command.command()
@click.option("--source", help="Only this partner.")
@click.option("--since", type=_day, help="First day, YYYY-MM-DD (UTC). Default: thirty days.")
@click.option("--until", type=_day, help="First day that is no longer part of it.")
@data_option
@json_option
def report(
    source: str | None, since: datetime | None, until: datetime | None, data_folder: Path, as_json: bool
) -> None:
    """Points by source and day, trend, and the rules that found most fault."""
    reports = _run(
        data_folder,
        lambda flow: flow(source=source, since=since and since.date(), until=until and until.date()),
    )
    if as_json:
        for each in reports:
            echo_json(dataclasses.asdict(each))
        return
    if not reports:
        click.echo("no message was scored in this time")
    for each in reports:
        _show(each)


@command.command()
@click.option("--source", help="Only this partner.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="The newest so many.")
@data_option
@json_option
def review(source: str | None, limit: int, data_folder: Path, as_json: bool) -> None:
    """Messages that somebody should look at, newest first: healthsync messages list tells more of each."""
    sequences = _run(data_folder, lambda flow: flow.to_review(source, limit))
    if as_json:
        echo_json({"sequences": sequences})
    else:
        click.echo("\n".join(map(str, sequences)) or "nothing is up for review")


@command.command()
@click.argument("source")
@click.option("--excellent", type=_points, help="Points from which its messages are accepted without a word.")
@click.option("--good", type=_points, help="Points from which they are accepted with warnings.")
@click.option("--minimum", type=_points, help="Points that they must have; exactly so many pass.")
@click.option("--reject/--no-reject", "rejects", default=None, help="Whether what has less becomes a dead letter.")
@click.option("--remove", is_flag=True, help="Dissolve the contract: what is asked of everyone holds again.")
@data_option
@json_option
def contract(source: str, remove: bool, data_folder: Path, as_json: bool, **promised: Any) -> None:
    """Write down what SOURCE has promised. A contract raises the hub's bands, it never lowers them."""
    if remove:
        _run(data_folder, lambda flow: flow.dissolve(source, getpass.getuser()))
        click.echo(f"{source} has no contract any more")
        return
    bands = _run(data_folder, lambda flow: flow.agree(Contract(source, **promised), getpass.getuser()))
    if as_json:
        echo_json({"source": source, "bands": dataclasses.asdict(bands)})
    else:
        below = "becomes a dead letter" if bands.rejects else "is up for review"
        click.echo(f"{source}: {bands.excellent} excellent, {bands.good} good, below {bands.minimum} {below}")


@command.command()
@data_option
@json_option
def contracts(data_folder: Path, as_json: bool) -> None:
    """Every contract, and the bands that hold by it."""
    for agreed, bands in _run(data_folder, lambda flow: flow.contracts()):
        if as_json:
            echo_json({"source": agreed.source, "bands": dataclasses.asdict(bands), "by": agreed.changed_by})
        else:
            rejects = "rejects" if bands.rejects else "reviews"
            click.echo(f"{agreed.source}: {bands.excellent}/{bands.good}/{bands.minimum}, {rejects} below")


@command.command()
@data_option
@json_option
def rules(data_folder: Path, as_json: bool) -> None:
    """Every rule in effect, with its weight, why it is asked and who says so."""

    async def listed(flow: ReportQuality) -> list[Any]:
        return list(flow.rules)

    shown = ("id", "dimension", "of", "weight", "critical", "because", "source")
    table = Table(*shown[:4], "because", box=None)
    for rule in _run(data_folder, listed):
        if as_json:
            echo_json({name: getattr(rule, name) for name in shown})
        table.add_row(rule.id, rule.dimension, rule.of, str(rule.weight), rule.because)
    if not as_json:
        Console().print(table)


def _show(found: SourceReport) -> None:
    console = Console()
    trend = "" if found.trend is None else f", {found.trend:+g} against the week before"
    console.print(f"[bold]{found.source}[/bold]  {found.messages} messages, {found.points:g} points{trend}")
    table = Table(Column("day", no_wrap=True), "count", "points", "compl", "accur", "cons", "time", "uniq", "ok",
                  "warn", "review", "reject", box=None, pad_edge=False)  # fmt: skip
    for day in found.days:
        parts = [f"{day.dimensions[name]:.0f}" if name in day.dimensions else "" for name in _DIMENSIONS]
        table.add_row(str(day.day), str(day.messages), f"{day.points:.1f}", *parts, *map(str, day.actions.values()))
    console.print(table)
    for rule in found.worst:
        console.print(f"  {rule.count:>6} × {rule.id}: {rule.because}", highlight=False)
    console.print()


_DIMENSIONS: tuple[Any, ...] = ("completeness", "accuracy", "consistency", "timeliness", "uniqueness")


def _run(data_folder: Path, act: Callable[[ReportQuality], Awaitable[_T]]) -> _T:
    async def with_hub() -> _T:
        async with open_hub(data_folder) as hub:
            return await act(hub.report_quality)

    return asyncio.run(with_hub())
