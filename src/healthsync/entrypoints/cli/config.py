"""`healthsync config check FILE…`: what a document says, or each fault with its key and the remedy."""

from __future__ import annotations

from pathlib import Path

import click

from healthsync.entrypoints.cli.options import echo_json, json_option
from healthsync.settings.checking import Report, check_documents


@click.group()
def command() -> None:
    """Check configuration documents before they are used."""


@command.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--insecure-development", is_flag=True, help="Allow HIPAA controls or the audit log to be switched off.")
@json_option
def check(files: tuple[Path, ...], insecure_development: bool, as_json: bool) -> int:
    """Read each FILE and say what was understood, or what is wrong and what to do.

    Any configuration document is recognised by its top-level key: healthsync, access_control, clinical_rules,
    connectors, deidentification, device_integration, enrichment, fhir_mapping, hl7_processing, patient_matching,
    phi_detection, patient_validation, and tables (a dictionary of logical tables, used for the other files too). Nobody
    is contacted. Ends with 0 when every file is correct, else with 1.
    """
    reports = check_documents(list(files), insecure_development=insecure_development)
    correct = all(report.correct for report in reports)
    if as_json:
        echo_json({"correct": correct, "files": [_as_json(report) for report in reports]})
    else:
        for report in reports:
            _show(report)
    return 0 if correct else 1


def _as_json(report: Report) -> dict[str, object]:
    return {
        "file": str(report.file),
        "kind": report.kind,
        "correct": report.correct,
        "understood": report.understood,
        "not_yet_in_effect": [{"key": key, "reason": reason} for key, reason in report.not_yet_in_effect.items()],
        "errors": [{"key": one.key, "at": one.at, "message": one.message} for one in report.problems],
    }


def _show(report: Report) -> None:
    verdict = click.style("correct", fg="green") if report.correct else click.style("wrong", fg="red")
    click.echo(f"{report.file}: {report.kind}, {verdict}")
    if report.correct:
        for sentence in report.understood:
            click.echo(f"  {sentence}")
        for key, reason in report.not_yet_in_effect.items():
            click.echo(click.style(f"  {key}: accepted, not yet in effect since {reason}", fg="yellow"))
    for problem in report.problems:
        click.echo(click.style(f"  {problem}", fg="red"))
