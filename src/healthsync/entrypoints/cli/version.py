"""`healthsync version`."""

from __future__ import annotations

import platform

import click

from healthsync import __version__
from healthsync.entrypoints.cli.options import echo_json, json_option


@click.command()
@json_option
def command(as_json: bool) -> None:
    """The version of HealthSync, Python and the FHIR release."""
    versions = {"healthsync": __version__, "python": platform.python_version(), "fhir": "R4 (4.0.1)"}
    if as_json:
        echo_json(versions)
    else:
        click.echo("\n".join(f"{name:<11}{version}" for name, version in versions.items()))
