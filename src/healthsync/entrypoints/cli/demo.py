"""`healthsync demo`: a hub with three simulated hospitals and a clinic on this machine."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click

from healthsync.entrypoints.cli.init import make_data_folder
from healthsync.entrypoints.cli.options import echo_json, json_option
from healthsync.entrypoints.cli.serve import place_overrides
from healthsync.entrypoints.demo.house import free_place, fresh_folder
from healthsync.entrypoints.demo.play import Stage, play
from healthsync.entrypoints.demo.scenario import Scenario, tell
from healthsync.entrypoints.demo.screen import Screen
from healthsync.entrypoints.demo.summary import Summary
from healthsync.infrastructure.telemetry import configure

HTTP, MLLP = "127.0.0.1:8080", "127.0.0.1:2575"


@click.command()
@click.option("--exit", "exits", is_flag=True, help="End after the summary; exit code 0 only if every promise held.")
@click.option("--persons", type=click.IntRange(10, 5000), default=200, show_default=True, help="People in the town.")
@click.option("--seed", type=int, default=7, show_default=True, help="Another seed, another town.")
@click.option("--data", "folder", type=click.Path(path_type=Path, file_okay=False), default=Path("demo-data"),
              show_default=True, help="Data folder, made anew; only that of an earlier demo is replaced.")  # fmt: skip
@click.option("--http", "http_place", metavar="HOST:PORT", help=f"Where FHIR listens. Default {HTTP}, or a free port.")
@click.option(
    "--mllp", "mllp_place", metavar="HOST:PORT", help=f"Where HL7 v2 listens. Default {MLLP}, or a free port."
)
@click.option(
    "--database", "database_url", metavar="URL", help="An empty PostgreSQL database instead of the hub's own."
)
@json_option
def command(
    exits: bool,
    persons: int,
    seed: int,
    folder: Path,
    http_place: str | None,
    mllp_place: str | None,
    database_url: str | None,
    as_json: bool,
) -> int:
    """Play a day of three hospitals and a clinic through a real hub, and show what it made of it.

    People, numbers and addresses are made up. It keeps serving until Ctrl-C, or ends with --exit.
    """
    place_overrides(http_place, mllp_place)  # a place that is none ends here
    configure(level="error", json=as_json)
    screen = Screen(quiet=as_json)
    screen.say(f"\n[bold]HealthSync[/]: a made-up town of {persons} people, seed {seed}\n")
    scenario = tell(persons, seed)
    with fresh_folder(folder) as empty:
        make_data_folder(empty, "HealthSync demo", development=True)
        http, mllp = (free_place(place or usual) for place, usual in ((http_place, HTTP), (mllp_place, MLLP)))
        stage = Stage(empty, http, mllp, database_url, seed, exits)
        return 0 if asyncio.run(_run(stage, scenario, screen, as_json=as_json)) else 1


async def _run(stage: Stage, scenario: Scenario, screen: Screen, *, as_json: bool) -> bool:
    """Play; Ctrl-C and SIGTERM stop the hub in order, whenever they come."""
    stop, at_the_end = asyncio.Event(), asyncio.Event()

    async def at_end(summary: Summary) -> None:
        at_the_end.set()
        if as_json:
            echo_json(summary.as_json())
        screen.summary(summary)
        if not stage.exits:
            screen.say("\nThe hub serves until Ctrl-C.")
            await stop.wait()

    playing = asyncio.ensure_future(play(stage, scenario, screen, at_end))

    def interrupt() -> None:
        stop.set() if at_the_end.is_set() else playing.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, interrupt)
    try:
        return await playing
    except asyncio.CancelledError:
        raise click.Abort from None
