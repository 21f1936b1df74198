"""healthsync serve: run a hub."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import click

from healthsync.entrypoints.cli.options import data_option, echo_json
from healthsync.entrypoints.serving import Addresses, Role, serve
from healthsync.infrastructure.telemetry import configure
from healthsync.settings import load_settings, require_startable, warnings_of


def place_overrides(http: str | None, mllp: str | None) -> dict[str, Any]:
    """Options HOST:PORT as settings by dotted key."""
    overrides: dict[str, Any] = {}
    for prefix, place in (("http", http), ("hl7.mllp", mllp)):
        if place:
            host, _, port = place.rpartition(":")
            if not port.isdecimal():
                raise click.BadParameter(f"{place} is not HOST:PORT, such as 127.0.0.1:8080")
            overrides[f"{prefix}.port"] = int(port)
            if host:
                overrides[f"{prefix}.host"] = host.strip("[]")
    return overrides


def run_loop(main: Any) -> Any:
    """Run a coroutine on uvloop where there is one."""
    if sys.platform == "win32":
        return asyncio.run(main)
    import uvloop

    return uvloop.run(main)


@click.command()
@data_option
@click.option("--http", "http_place", metavar="HOST:PORT", help="Where FHIR and REST listen; port 0 takes a free one.")
@click.option("--mllp", "mllp_place", metavar="HOST:PORT", help="Where HL7 v2 listens; port 0 takes a free one.")
@click.option("--database", "database_url", metavar="URL", help="A PostgreSQL of yours instead of the hub's own.")
@click.option("--role", type=click.Choice([role.value for role in Role]), default="all", show_default=True,
              help="Run one part only, for a hub spread over machines.")  # fmt: skip
@click.option(
    "--app",
    "application",
    metavar="MODULE:NAME",
    help="Run the handlers of this HealthSync in the workers: lab_results:hs is `hs` of lab_results.py here.",
)
@click.option("--attached", is_flag=True, hidden=True, help="A worker that a hub on the same data folder started.")
@click.option(
    "--insecure-development", is_flag=True, help="Allow settings that switch protection off. Never for patients."
)
def command(
    data_folder: Path,
    http_place: str | None,
    mllp_place: str | None,
    database_url: str | None,
    role: str,
    application: str | None,
    attached: bool,
    insecure_development: bool,
) -> None:
    """Run a hub until Ctrl-C or SIGTERM.

    Prints one line of JSON when it is healthy: {"event": "ready", "http": "HOST:PORT", "mllp": "HOST:PORT"}.
    """
    settings = load_settings(
        data_folder, overrides=place_overrides(http_place, mllp_place), insecure_development=insecure_development
    )
    require_startable(settings)
    configure(level=settings.logging.level)
    if role != Role.WORKER:
        for warning in warnings_of(settings):
            click.echo(f"warning: {warning}", err=True)
    worker_options = ["--insecure-development"] if insecure_development else []
    if application:
        worker_options += ["--app", application]

    def ready(addresses: Addresses, _hub: Any) -> None:
        echo_json({"event": "ready", "http": addresses.http, "mllp": addresses.mllp})
        sys.stdout.flush()

    run_loop(
        serve(
            data_folder,
            settings,
            role=Role(role),
            attached=attached,
            database_url=database_url,
            worker_options=worker_options,
            app=application,
            ready=ready,
        )
    )
