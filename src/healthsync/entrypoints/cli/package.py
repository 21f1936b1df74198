"""`healthsync package`: FHIR packages, whose profiles resources are held to."""

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

from healthsync.bootstrap import open_hub
from healthsync.entrypoints.cli.options import data_option, echo_json, json_option
from healthsync.exchange.administration.manage_packages import LoadedPackage, ManagePackages

_T = TypeVar("_T")


@click.group()
def command() -> None:
    """FHIR packages (.tgz), as implementation guides are published.

    Their profiles are what `meta.profile`, `fhir.required_profiles` and `$validate` speak of. A running hub follows
    within a second.
    """


@command.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@data_option
@json_option
def add(file: Path, data_folder: Path, as_json: bool) -> None:
    """Load the package in FILE."""
    data = file.read_bytes()
    added = _run(data_folder, lambda flow: flow.add(data, getpass.getuser()))
    if as_json:
        told = {"missing": added.missing, "refused": added.refused, "unsearched": added.unsearched}
        echo_json({**dataclasses.asdict(added.package), **told})
        return
    click.echo(f"{added.package.name} {added.package.version}: {_contents(added.package)}")
    for url, reason in added.refused:
        click.echo(f"{url} cannot be asked for codes: {reason}", err=True)
    for url, reason in added.unsearched:
        click.echo(f"{url} is not searched by: {reason}", err=True)
    if added.missing:
        click.echo(f"not loaded, so that some codes will not be checked: {', '.join(added.missing)}", err=True)


@command.command(name="list")
@data_option
@json_option
def list_packages(data_folder: Path, as_json: bool) -> None:
    """What is loaded."""
    packages = _run(data_folder, lambda flow: flow.packages())
    if as_json:
        for package in packages:
            echo_json(dataclasses.asdict(package))
        return
    table = Table("package", "version", "loaded", "contents", box=None)
    for package in packages:
        table.add_row(package.name, package.version, f"{package.loaded_at:%Y-%m-%d %H:%M}", _contents(package))
    Console().print(table)


@command.command()
@click.argument("name")
@click.option("--version", help="Only this version; without it all of them.")
@data_option
def remove(name: str, version: str | None, data_folder: Path) -> None:
    """Take the package NAME out; resources that were held to its profiles stay."""
    for package in _run(data_folder, lambda flow: flow.remove(name, version, getpass.getuser())):
        click.echo(f"{package.name} {package.version} is out")


def _contents(package: LoadedPackage) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in package.counts.items()) or "nothing that is kept"


def _run(data_folder: Path, act: Callable[[ManagePackages], Awaitable[_T]]) -> _T:
    async def with_hub() -> _T:
        async with open_hub(data_folder) as hub:
            packages = ManagePackages(
                database=hub.database,
                conformance=hub.conformance,
                terminology=hub.terminology,
                audit=hub.audit,
                own_parameters=hub.own_parameters,
            )
            return await act(packages)

    return asyncio.run(with_hub())
