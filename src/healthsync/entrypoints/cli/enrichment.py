"""`healthsync enrichment check FILE`: what a table says, or each fault with its line and the remedy."""

from __future__ import annotations

from pathlib import Path

import click

from healthsync.entrypoints.cli.options import echo_json, json_option
from healthsync.settings.checking import Report, check_documents
from healthsync.settings.documents.enrichment import ROWS, repeated, rows_of_file
from healthsync.settings.reading import Problem


@click.group()
def command() -> None:
    """Tables of what messages leave out: places of service, providers, organisations, insurers, codes."""


@command.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--table", type=click.Choice(list(ROWS)), help="What a CSV file lists, where its name does not say it.")
@json_option
def check(files: tuple[Path, ...], table: str | None, as_json: bool) -> int:
    """Read each FILE and say what was understood, or what is wrong and what to do.

    A FILE is an `enrichment` document (YAML), which is checked with the CSV files it names, or a CSV file by itself:
    its first line names the columns, and its name says what it lists (providers.csv) unless --table does. Nobody is
    contacted and nothing is changed. Ends with 0 when every file is correct, else with 1.
    """
    reports = [_check_table(file, table) if file.suffix == ".csv" else _check_document(file) for file in files]
    if as_json:
        echo_json({"correct": all(report.correct for report in reports), "files": [_as_json(one) for one in reports]})
    else:
        for report in reports:
            _show(report)
    return 0 if all(report.correct for report in reports) else 1


def _check_document(file: Path) -> Report:
    (report,) = check_documents([file])
    if report.kind not in {"enrichment", "unreadable"}:
        return Report(file, report.kind, problems=[Problem("enrichment", file.name, "needs this key at the top")])
    return report


def _check_table(file: Path, table: str | None) -> Report:
    name = table or next((name for name in ROWS if file.stem.lower().startswith(name)), None)
    if name is None:
        told = Problem("", file.name, f"what does it list? add --table with one of {', '.join(ROWS)}")
        return Report(file, "unknown", problems=[told])
    problems: list[Problem] = []
    rows = rows_of_file(file, ROWS[name], problems)
    problems += repeated(name, rows)
    return Report(file, name, [f"{name}: {len(rows):,} rows"], problems=problems)


def _as_json(report: Report) -> dict[str, object]:
    return {
        "file": str(report.file),
        "kind": report.kind,
        "correct": report.correct,
        "understood": report.understood,
        "errors": [{"key": one.key, "at": one.at, "message": one.message} for one in report.problems],
    }


def _show(report: Report) -> None:
    verdict = click.style("correct", fg="green") if report.correct else click.style("wrong", fg="red")
    click.echo(f"{report.file}: {report.kind}, {verdict}")
    for sentence in report.understood if report.correct else ():
        click.echo(f"  {sentence}")
    for problem in report.problems:
        click.echo(click.style(f"  {problem}", fg="red"))
