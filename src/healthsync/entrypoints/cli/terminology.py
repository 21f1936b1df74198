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
from rich.progress import Progress
from rich.table import Table

from healthsync.bootstrap import Hub, open_hub
from healthsync.entrypoints.cli.options import data_option, echo_json, json_option
from healthsync.exchange.administration.load_terminology import KINDS, LoadTerminology
from healthsync.exchange.administration.manage_codes import LocalChange, ManageCodes, WorkItem, WorkState
from healthsync.exchange.administration.operators import Actor
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


# --- releases


@command.command()
@click.argument("kind", type=click.Choice(sorted(KINDS)))
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option("--version", help="The publisher's version; without it that of the file names.")
@data_option
@json_option
def load(kind: str, path: Path | None, version: str | None, data_folder: Path, as_json: bool) -> None:
    """Load a release of a terminology from PATH: the folder, archive or file as its publisher gave it out.

    \b
    loinc      Loinc_2.78.zip: Loinc.csv; Part.csv, MapTo.csv, hierarchy and linguistic variants where they are there
    icd-10-cm  icd10cm_order_2026.txt or icd10cm_tabular_2026.xml; no PATH: the Python package simple-icd-10-cm
    icd-9-cm   CMS32_DESC_LONG_DX.txt
    gems       2018_I9gem.txt, 2018_I10gem.txt: ICD-9-CM in messages is translated by them from then on
    rxnorm     RxNorm_full_….zip: RXNCONSO, RXNREL, RXNSAT (NDC in messages is translated from then on)
    snomed     the snapshot of an RF2 release
    cpt        Consolidated_Code_List.txt
    umls       MRCONSO.RRF
    vsac       value sets exported as XML (SVS) or CSV

    FHIR packages are loaded by `healthsync package add`. The hub ships none of these: what you may do with them is
    between you and their publishers. A new version takes the place of an older one at once; the older one stays, and is
    asked for by its version, until `healthsync terminology unload`.
    """
    size = _size(path) if path is not None else None
    with Progress(console=Console(stderr=True), disable=as_json) as progress:
        task = progress.add_task(f"loading {kind}", total=size)

        def told(read: int) -> None:
            progress.update(task, advance=read)

        loaded, counts = _with_hub(
            data_folder, lambda hub: _loader(hub).load(kind, path, version, getpass.getuser(), told)
        )
        progress.update(task, description=f"loaded {kind}", total=1, completed=1)
    if as_json:
        echo_json({"kind": kind, "version": loaded, "entries": counts})
        return
    for url, count in counts.items():
        click.echo(f"{url} {loaded}: {count}")


@command.command()
@data_option
@json_option
def releases(data_folder: Path, as_json: bool) -> None:
    """What releases are loaded."""
    found = _with_hub(data_folder, lambda hub: _loader(hub).releases())
    if as_json:
        for each in found:
            echo_json({"release": "/".join(each.release), **dataclasses.asdict(each)})
        return
    table = Table("kind", "version", "what", "entries", "loaded", box=None)
    for each in found:
        kind, version = each.release
        table.add_row(kind, version, f"{each.kind} {each.url}", str(each.entries), f"{each.loaded_at:%Y-%m-%d %H:%M}")
    Console().print(table)


@command.command()
@click.argument("kind", type=click.Choice(sorted(KINDS)))
@click.argument("version")
@data_option
def unload(kind: str, version: str, data_folder: Path) -> None:
    """Take the release KIND VERSION out; `healthsync terminology releases` shows what there is."""
    _with_hub(data_folder, lambda hub: _loader(hub).unload(kind, version, getpass.getuser()))
    click.echo(f"{kind} {version} is out")


def _loader(hub: Hub) -> LoadTerminology:
    return LoadTerminology(hub.database, hub.terminology, hub.audit)


def _size(path: Path) -> int | None:
    """Bytes that will be read, about: a release is read once or twice."""
    if path.is_dir():
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    return path.stat().st_size if path.is_file() else None


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
