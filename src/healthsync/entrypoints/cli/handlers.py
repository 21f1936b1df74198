"""`healthsync handlers`: what handles messages and events, and what it failed at."""

from __future__ import annotations

import asyncio
import getpass
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from healthsync.bootstrap import Hub, open_hub
from healthsync.entrypoints.cli.options import data_option, echo_json, json_option
from healthsync.entrypoints.worker.handlers import load_application
from healthsync.exchange.administration.tend_handlers import TendHandlers

_application_option = click.option("--application", help="Only those of this application.")


@click.group()
def command() -> None:
    """Handlers of applications (docs/sdk.md): functions that are called with messages, events and publications."""


@command.command()
@click.argument("application", metavar="MODULE:NAME")
@click.option("--hub", "url", metavar="URL", envvar="HEALTHSYNC_URL", show_envvar=True, help="The address of the hub.")
def run(application: str, url: str | None) -> None:
    """Run the handlers of a HealthSync in this process, until Ctrl-C or SIGTERM.

    `lab_results:hs` is `hs` of lab_results.py in this directory. It asks the hub over HTTP, with the key that it was
    made with or HEALTHSYNC_API_KEY. Several may run at the same time: they share the work.
    """
    loaded = load_application(application)
    if url:
        loaded.use_hub(url)
    done: Any = loaded.run()
    if asyncio.iscoroutine(done):
        asyncio.run(done)


@command.command(name="list")
@_application_option
@data_option
@json_option
def list_handlers(application: str | None, data_folder: Path, as_json: bool) -> None:
    """Every handler, what it wants, and how much waits for it."""
    states = asyncio.run(_with(data_folder, lambda tend: tend.states(application)))
    if as_json:
        for state in states:
            echo_json(asdict(state))
        return
    table = Table("application", "handler", "wants", "waiting", "leased", "dead", "oldest", box=None)
    for one in states:
        oldest = one.oldest_at.isoformat(sep=" ", timespec="seconds") if one.oldest_at else ""
        wants = " ".join(one.wants) or "(retired)"
        table.add_row(one.application, one.name, wants, str(one.waiting), str(one.leased), str(one.dead), oldest)
    Console().print(table)


@command.command()
@_application_option
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="The newest so many.")
@data_option
@json_option
def dead(application: str | None, limit: int, data_folder: Path, as_json: bool) -> None:
    """What handlers failed at too often: which message or event, and the class of the last exception."""
    letters = asyncio.run(_with(data_folder, lambda tend: tend.dead(application, limit)))
    if as_json:
        for letter in letters:
            echo_json(asdict(letter))
        return
    table = Table("id", "application", "handler", "name", "subject", "attempts", "reason", "since", box=None)
    for one in letters:
        since = one.settled_at.isoformat(sep=" ", timespec="seconds")
        table.add_row(
            str(one.id), one.application, one.handler, one.name, one.subject, str(one.attempts), one.reason_code, since
        )
    Console().print(table)


@command.command()
@click.argument("ids", type=int, nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All dead letters of the application.")
@_application_option
@data_option
@json_option
def replay(ids: tuple[int, ...], everything: bool, application: str | None, data_folder: Path, as_json: bool) -> int:
    """Hand dead letters out again: those of IDS, or all of an application with --all."""
    if bool(ids) == everything:
        raise click.UsageError("name the dead letters by id, or all of them with --all")
    wanted = list(ids) or None
    replayed = asyncio.run(_with(data_folder, lambda tend: tend.replay(getpass.getuser(), wanted, application)))
    if as_json:
        echo_json({"replayed": replayed})
    else:
        click.echo(f"{len(replayed)} deliveries wait to be handled again")
    return 0 if set(ids) <= set(replayed) else 1


@command.command()
@click.argument("application")
@click.option("--handler", help="Only this one.")
@data_option
def remove(application: str, handler: str | None, data_folder: Path) -> None:
    """Forget the handlers of APPLICATION, with everything that waits for them."""
    removed = asyncio.run(_with(data_folder, lambda tend: tend.remove(getpass.getuser(), application, handler)))
    if not removed:
        raise click.ClickException("no such handler; see: healthsync handlers list")
    click.echo(f"removed: {', '.join(sorted(removed))}")


async def _with(data_folder: Path, work: Any) -> Any:
    async with open_hub(data_folder) as hub:
        return await work(_tend(hub))


def _tend(hub: Hub) -> TendHandlers:
    return TendHandlers(database=hub.database, streams=hub.streams, audit=hub.audit)
