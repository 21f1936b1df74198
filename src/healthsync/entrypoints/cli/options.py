"""Options that commands share, so that they are spelt and explained alike everywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

data_option = click.option(
    "--data",
    "data_folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("healthsync-data"),
    show_default=True,
    envvar="HEALTHSYNC_DATA",
    show_envvar=True,
    help="The data folder of the hub (made by healthsync init).",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for programs.")


def echo_json(value: Any) -> None:
    """Write one line of JSON to standard output."""
    click.echo(json.dumps(value, ensure_ascii=False, default=str))
