"""`healthsync identity`: who is who. Link the records of files, tell how good it is, make files to try it on: for these
no hub is needed. What stewards do in a hub stands in `identity_stewards`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from healthsync.entrypoints.cli.options import echo_json, json_option

_FILE = click.Path(path_type=Path, dir_okay=False)

_map_option = click.option(
    "--map", "mapping", default="", metavar="FIELD=COLUMN,…",
    help="Columns that are not recognised by their names. FIELD is id, given, middle, family, full_name, suffix, "
    "birth_date, sex, ssn, house_number, street, address_line, city, state, postal_code, phone, email, family_second, "
    "insurance, mother_family, guardian_given, guardian_family, multiple_birth, birth_order, extra:NAME for further "
    "evidence, or truth.",
)  # fmt: skip
_one_to_one_option = click.option(
    "--one-to-one/--duplicates", "exclusive", default=None,
    help="No file holds a person twice, or some do. Found out from the files when it is not told.",
)  # fmt: skip


class _Commands(click.Group):
    """A group that imports what needs a hub when it is called: linking files begins at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *_IN_A_HUB]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _IN_A_HUB:
            return resolve_name(f"healthsync.entrypoints.cli.{_IN_A_HUB[cmd_name]}:{cmd_name}")
        return super().get_command(ctx, cmd_name)


_IN_A_HUB = {
    **dict.fromkeys(
        ("review", "merge", "unmerge", "split", "pin", "unpin", "history", "report", "rematch", "doubles"),
        "identity_stewards",
    ),
    **dict.fromkeys(("learn", "models"), "identity_models"),
}


@click.group(cls=_Commands)
def command() -> None:
    """Who is who: link records of files and tell how good that is (no hub is needed); in a hub review what is in doubt,
    merge and take merges back, pin, tell the history of a person, report duplicates, match again what is stored, learn
    from what was decided."""


@command.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--pairs", type=_FILE, required=True, help="Where pairs go: both ids, weight in bits, probability, tier.")
@click.option("--clusters", type=_FILE, required=True, help="Where persons go: id and person of each record.")
@_map_option
@_one_to_one_option
@click.option("--explain", is_flag=True, help="Add to each pair what each field weighs, in bits.")
@click.option("--model", "model_in", type=_FILE, help="Use weights that --write-model wrote, instead of learning them.")
@click.option("--write-model", "model_out", type=_FILE, help="Write the weights that were learned, as JSON.")
@click.option("--write-sql", "sql", type=_FILE, help="Write the weights as SQL, to score pairs in a warehouse.")
@click.option("--write-levels", "levels", type=_FILE, help="Write the pairs with their levels, which that SQL reads.")
@json_option
def link(
    files: tuple[Path, ...], pairs: Path, clusters: Path, mapping: str, exclusive: bool | None, explain: bool,
    model_in: Path | None, model_out: Path | None, sql: Path | None, levels: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Find the records of one person in FILES (CSV or Parquet), without any known pair.

    Columns are recognised by their usual names (first_name, surname, dob, zip …); others count as further evidence if
    they are. Tiers: certain may be linked automatically, probable is linked and worth a look, possible is not linked
    and is for a person to decide.

    \b
        healthsync identity link a.csv b.csv --pairs pairs.csv --clusters persons.csv
        healthsync identity link a.csv --pairs p.csv --clusters c.csv --map given=vorname,family=nachname
    """
    if levels and not sql:
        raise click.UsageError("--write-levels needs --write-sql, which says what the levels weigh")
    flow = _flow()
    with _progress(quiet=as_json) as told:
        linked = flow.link(files, mapping=mapping, exclusive=exclusive, model=model_in, progress=told)
        flow.write_pairs(linked, pairs, explain=explain)
        flow.write_clusters(linked, clusters)
        if model_out:
            flow.write_model(linked, model_out)
        if sql:
            flow.write_sql(linked, sql, levels)
    summary: dict[str, Any] = {**linked.summary(), "pairs_file": str(pairs), "clusters_file": str(clusters)}
    if as_json:
        echo_json(summary)
        return
    found = summary["pairs"]
    click.echo(f"{summary['records']} records are {summary['persons']} persons")
    click.echo(f"pairs: {found['certain']} certain, {found['probable']} probable, {found['possible']} to be looked at")
    for block in summary["capped_blocks"]:
        click.echo(f"left out: {block['blocks']} blocks of {block['key']}, each above {block['cap']} records")
    click.echo(f"written: {pairs}, {clusters}")


@command.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--truth", metavar="COLUMN", help="The column that tells who a record is (truth, cluster … are found).")
@_map_option
@_one_to_one_option
@click.option("--chart", type=_FILE, help="Write precision and recall by threshold, and calibration, as SVG.")
@json_option
def evaluate(
    files: tuple[Path, ...], truth: str | None, mapping: str, exclusive: bool | None, chart: Path | None, as_json: bool
) -> None:
    """Link labelled FILES and compare with the truth: precision, recall, B-cubed, subgroups, calibration."""
    flow = _flow()
    with _progress(quiet=as_json) as told:
        linked = flow.link(files, mapping=mapping, truth=truth, exclusive=exclusive, progress=told)
        found = flow.evaluate(linked)
    if chart:
        chart.write_text(_chart(found), encoding="utf-8")
    if as_json:
        echo_json({**linked.summary(), **asdict(found)})
        return
    persons = found.persons
    click.echo(f"{persons.records} records, {persons.persons_known} persons; found {persons.persons_found}\n")
    click.echo("                      precision   recall       F1")
    for name, rates in (("certain", found.automatic), ("probable or better", found.linked)):
        click.echo(f"{name:<20}  {rates.precision:9.5f} {rates.recall:8.5f} {rates.f1:8.5f}   {rates.pairs} pairs")
    click.echo(f"{'persons (B-cubed)':<20}  {persons.b3_precision:9.5f} {persons.b3_recall:8.5f} {persons.b3_f1:8.5f}")
    click.echo(f"\nblocking recall {found.blocking_recall:.5f}, {found.compared_recall:.5f} in whole components"
               f" · compared {found.pairs_compared:.2%} of all pairs\nfalse automatic links per 10,000 records "
               f"{found.false_automatic:.2f} · pairs to review per record {found.review:.4f}")  # fmt: skip
    click.echo("\nlinked of the true pairs of")
    for name, (pairs, recall) in found.subgroups.items():
        click.echo(f"  {name:<24} {recall:8.5f}   of {pairs}")
    click.echo("\nprobability   precision   recall       F1")
    for at, rates in found.thresholds.items():
        click.echo(f"  ≥ {at:<8}  {rates.precision:9.5f} {rates.recall:8.5f} {rates.f1:8.5f}")
    click.echo("\ncalibration: said and right")
    for part in found.calibration:
        click.echo(f"  {part.low:5} to {part.high:<5}  {part.said:.3f}  {part.right:.3f}   {part.pairs} pairs")


@command.command()
@click.argument("file", type=_FILE)
@click.option("--records", type=click.IntRange(2, 5_000_000), default=10_000, show_default=True, help="How many.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same people.")
@json_option
def generate(file: Path, records: int, seed: int, as_json: bool) -> None:
    """Write FILE (CSV or Parquet): invented people in households, a fifth registered again with errors.

    There are twins, namesakes, people who moved or married, typing errors and gaps. The columns truth, truth_household,
    truth_role and truth_origin tell who is who; identity link does not look at them.
    """
    persons = _flow().generate(file, records=records, seed=seed)
    if as_json:
        echo_json({"file": str(file), "records": records, "persons": persons})
    else:
        click.echo(f"{records} records of {persons} invented persons are in {file}")


def _flow() -> Any:
    """The flow; its arrays are imported only when they are needed."""
    from healthsync.exchange.administration.link_files import LinkFiles
    from healthsync.infrastructure.clock import SystemClock

    return LinkFiles(clock=SystemClock())


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[str, float], None]]:
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(),
        console=Console(stderr=True), disable=quiet, transient=True,
    ) as progress:  # fmt: skip
        bar = progress.add_task("reading", total=1.0)
        yield lambda what, share: progress.update(bar, description=what, completed=share)


def _chart(found: Any) -> str:
    """Two curves by threshold (precision, recall) and the calibration, 0 to 1 on both axes."""
    at = [(share, rates) for share, rates in found.thresholds.items()]
    curves = {
        "precision": ("#1b6ca8", [(share, rates.precision) for share, rates in at]),
        "recall": ("#c25b12", [(share, rates.recall) for share, rates in at]),
        "calibration": ("#3a7d44", [(part.said, part.right) for part in found.calibration]),
    }
    lines = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 460 340" font-family="sans-serif" font-size="11">',
             '<rect x="40" y="20" width="300" height="280" fill="none" stroke="#999"/>',
             '<path d="M40 300L340 20" stroke="#ccc"/>',
             '<text x="120" y="325">probability that was said</text>']  # fmt: skip
    for tenth in range(0, 11, 2):
        lines.append(f'<text x="14" y="{304 - 28 * tenth}">{tenth / 10}</text>')
        lines.append(f'<text x="{34 + 30 * tenth}" y="313">{tenth / 10}</text>')
    for place, (name, (colour, points)) in enumerate(curves.items()):
        drawn = " ".join(f"{40 + 300 * x:.1f},{300 - 280 * y:.1f}" for x, y in points)
        lines.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines.append(f'<text x="352" y="{40 + 18 * place}" fill="{colour}">{name}</text>')
    return "\n".join([*lines, "</svg>", ""])
