"""`healthsync terminology`: what the hub knows of codes, and what it does about those that it does not know."""

from __future__ import annotations

import asyncio
import dataclasses
import getpass
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click
from rich.console import Console
from rich.table import Table

from healthsync.bootstrap import Hub, open_hub
from healthsync.entrypoints.cli.options import data_option, echo_json, json_option
from healthsync.exchange.administration.manage_codes import Actor, LocalChange, ManageCodes, WorkItem, WorkState
from healthsync.exchange.administration.rebuild_terminology import rebuild_terminology
from healthsync.standards.fhir import json

_T = TypeVar("_T")

_source_option = click.option("--source", help="The partner whose codes these are; without it those of every partner.")


@click.group()
def command() -> None:
    """Code systems, value sets and concept maps, which answer $expand, $validate-code, $lookup and $translate."""


@command.command()
@data_option
def rebuild(data_folder: Path) -> None:
    """Compile every stored CodeSystem, ValueSet and ConceptMap anew."""
    click.echo(
        f"{_with_hub(data_folder, lambda hub: rebuild_terminology(hub.database, hub.ingest))} resources compiled"
    )


# --- local maps


@command.group(name="map")
def map_() -> None:
    """Maps from codes that partners invented to standard ones.

    What arrives keeps its codes; what a map says they mean is put beside them. A running hub follows within a second.
    """


@map_.command(name="add")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_source_option
@click.option("--to", "target", help="The code system of targets that do not say theirs: LOINC, ICD-10-CM, RXNORM, …")
@click.option("--replace", "whole", is_flag=True, help="Instead of all lines that the map has.")
@data_option
@json_option
def add_map(file: Path, source: str | None, target: str | None, whole: bool, data_folder: Path, as_json: bool) -> None:
    """Put the lines of FILE into a map: CSV, YAML or a ConceptMap in JSON.

    \b
    A spreadsheet names its columns in the first line:
        code,target,display                or     Source,LOINC Code
        GLU,2345-7,Glucose                        GLUC,2345-7
    Further columns: system (of the local code), target_system, equivalence, comment.
    No target: nothing means that code, and nobody is asked about it again.

    \b
    The same in YAML:
        LOINC: {GLU: 2345-7, GLUC: 2345-7, BS-FG: 2345-7}
    """
    data = file.read_bytes()
    changed = _manage(data_folder, lambda flow: flow.add(_me(), source, data, file.name, target=target, whole=whole))
    _tell_change(changed, as_json)


@map_.command(name="list")
@data_option
@json_option
def list_maps(data_folder: Path, as_json: bool) -> None:
    """What maps there are."""
    maps = _manage(data_folder, lambda flow: flow.maps())
    if as_json:
        for each in maps:
            echo_json(dataclasses.asdict(each))
        return
    table = Table("source", "lines", "changed", box=None)
    for each in maps:
        table.add_row(each.partner or "(every source)", str(each.lines), f"{each.changed_at:%Y-%m-%d %H:%M}")
    Console().print(table)


@map_.command(name="show")
@_source_option
@data_option
def show_map(source: str | None, data_folder: Path) -> None:
    """A map as a ConceptMap, to edit or to take elsewhere; `map add` reads it again."""
    click.echo(json.dump(_manage(data_folder, lambda flow: flow.show(source))).decode())


@map_.command(name="remove")
@click.argument("code")
@click.option("--system", help="The code system of the local code, when the line names one: L, I9CDX, an address.")
@_source_option
@data_option
def remove_line(code: str, system: str | None, source: str | None, data_folder: Path) -> None:
    """Take the lines for CODE out of a map."""
    gone = _manage(data_folder, lambda flow: flow.remove(_me(), source, system, code))
    click.echo(f"{gone} {'line is' if gone == 1 else 'lines are'} out")


# --- work items


@command.group()
def work() -> None:
    """Codes that no map translates: they wait here for a person, with how often they came."""


@work.command(name="list")
@click.option(
    "--state", type=click.Choice([*map(str, WorkState), "all"]), default="open", show_default=True, help="Which."
)
@click.option("--source", help="Only codes of this partner.")
@click.option(
    "--limit", type=click.IntRange(min=1, max=100_000), default=50, show_default=True, help="So many at most."
)
@data_option
@json_option
def list_work(state: str, source: str | None, limit: int, data_folder: Path, as_json: bool) -> None:
    """Codes, the most frequent first."""
    wanted = None if state == "all" else state
    items = _manage(data_folder, lambda flow: flow.items(state=wanted, source=source, limit=limit))
    if as_json:
        for item in items:
            echo_json(dataclasses.asdict(item))
        return
    Console().print(_work_table(items))


@work.command(name="map")
@click.argument("number", type=int)
@click.argument("target")
@click.option("--to", "system", required=True, help="The code system of TARGET: LOINC, ICD-10-CM, SCT, an address.")
@click.option("--display", help="What TARGET means; taken from the code system when that is loaded.")
@click.option("--equivalence", help="How near it is, when it is not the same: wider, narrower, inexact, …")
@click.option("--everywhere", is_flag=True, help="For every source, not only the one that the code came from.")
@data_option
@json_option
def map_work(
    number: int,
    target: str,
    system: str,
    display: str | None,
    equivalence: str | None,
    everywhere: bool,
    data_folder: Path,
    as_json: bool,
) -> None:
    """Say that the code of work item NUMBER means TARGET: `healthsync terminology work map 7 2345-7 --to LOINC`."""
    changed = _manage(
        data_folder,
        lambda flow: flow.resolve(
            _me(), number, target, system, display=display, equivalence=equivalence, everywhere=everywhere
        ),
    )
    _tell_change(changed, as_json)


@work.command()
@click.argument("numbers", type=int, nargs=-1, required=True)
@data_option
def ignore(numbers: tuple[int, ...], data_folder: Path) -> None:
    """Nothing shall be done about these; they are counted on, and no longer listed."""
    _manage(data_folder, lambda flow: flow.settle(_me(), numbers, WorkState.IGNORED))
    click.echo(f"{len(numbers)} ignored")


@work.command()
@click.argument("numbers", type=int, nargs=-1, required=True)
@data_option
def reopen(numbers: tuple[int, ...], data_folder: Path) -> None:
    """These wait for a person again."""
    _manage(data_folder, lambda flow: flow.settle(_me(), numbers, WorkState.OPEN))
    click.echo(f"{len(numbers)} open")


def _work_table(items: list[WorkItem]) -> Table:
    table = Table("no.", "source", "system", "code", "element", "why", "times", "last seen", "state", box=None)
    for item in items:
        seen = f"{item.last_seen_at:%Y-%m-%d %H:%M}"
        told = (item.partner, item.system or "", item.code, item.element, item.reason, str(item.occurrences), seen)
        table.add_row(str(item.key), *told, item.state)
    return table


def _tell_change(changed: LocalChange, as_json: bool) -> None:
    if as_json:
        echo_json(dataclasses.asdict(changed))
        return
    click.echo(f"{changed.lines} lines are in the map; {changed.settled} work items are settled by it")
    for system, code in changed.unknown[:20]:
        click.echo(f"{code} is no code of {system} as it is loaded here", err=True)
    if len(changed.unknown) > 20:
        click.echo(f"and {len(changed.unknown) - 20} more targets are unknown", err=True)


def _me() -> Actor:
    return Actor(getpass.getuser())


def _manage(data_folder: Path, act: Callable[[ManageCodes], Awaitable[_T]]) -> _T:
    return _with_hub(data_folder, lambda hub: act(hub.manage_codes))


def _with_hub(data_folder: Path, act: Callable[[Hub], Awaitable[_T]]) -> _T:
    async def run() -> _T:
        async with open_hub(data_folder) as hub:
            return await act(hub)

    return asyncio.run(run())
