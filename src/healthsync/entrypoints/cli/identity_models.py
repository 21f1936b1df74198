"""Models that learn from reviews: `healthsync identity learn`, `models`.

They are named in `identity`, which imports this file when one of them is called.
"""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Column, Table

from healthsync.bootstrap import Hub, open_hub
from healthsync.entrypoints.cli.options import data_option, echo_json, json_option
from healthsync.entrypoints.cli.watching import run_here
from healthsync.exchange.administration.learn_identity import model_document
from healthsync.exchange.administration.operators import Actor
from healthsync.exchange.operations.jobs import OPERATOR

_T = TypeVar("_T")


@click.command()
@click.option("--dry-run", is_flag=True, help="Only tell how good the model would be.")
@click.option(
    "--labelled", type=click.Path(path_type=Path, dir_okay=False),
    help="Learn from this file too (CSV or Parquet), of which a column tells who each record is.",
)  # fmt: skip
@click.option("--truth", metavar="COLUMN", help="That column (truth, cluster … are found).")
@click.option("--map", "mapping", default="", metavar="FIELD=COLUMN,…", help="Its columns, as for identity link.")
@data_option
@json_option
def learn(
    dry_run: bool, labelled: Path | None, truth: str | None, mapping: str, data_folder: Path, as_json: bool
) -> None:
    """Learn from all pairs that people decided about in review, and keep the model (pip install 'healthsync[learned]').

    It is judged by cross-validation beside the weights and, on the reviews since, beside the model that decides now. It
    decides nothing until healthsync identity models use chooses it. The same reviews give the same model.
    """

    sample = _sample(labelled, truth, mapping) if labelled else []

    async def run(hub: Hub) -> Mapping[str, Any]:
        job = await hub.learn_identity.start(_me(), owner=OPERATOR, dry_run=dry_run, claimed=True, labelled=sample)
        return await run_here(hub, job, "learning", quiet=as_json)

    told = _with_hub(data_folder, run)
    if as_json:
        echo_json(dict(told))
        return
    kept = f"model {told['number']}" if told["number"] else "not kept"
    click.echo(f"{told['version']} ({kept})")
    _tell_facts(told)
    if told["number"]:
        click.echo(f"let it decide: healthsync identity models use {told['number']}, and start the hub anew")


@click.group()
def models() -> None:
    """The models that were learned, and which of them decides.

    \b
    healthsync identity models list
    healthsync identity models show 3
    healthsync identity models use 3        from the next start of the hub on, with mpi.learned.enabled
    healthsync identity models use 2        the one before again
    healthsync identity models use none     the weights alone again
    """


@models.command(name="list")
@data_option
@json_option
def list_(data_folder: Path, as_json: bool) -> None:
    """All models, the oldest first: what they learned from, how good they are beside the weights, which was chosen."""
    found = [model_document(each) for each in _with_hub(data_folder, lambda hub: hub.learn_identity.models(_me()))]
    if as_json:
        for each in found:
            echo_json(each)
        return
    if not found:
        click.echo("nothing was learned yet: healthsync identity learn")
        return
    version = Column("version", no_wrap=True)
    table = Table("model", version, "trained", "by", "reviews", "log loss", "weights", "state", box=None)
    for each in found:
        facts = each["facts"]
        numbers = (
            (str(facts["reviews"]["pairs"]), f"{facts['model']['log_loss']:.4f}", f"{facts['weights']['log_loss']:.4f}")
            if facts
            else ("", "", "")
        )
        worse = f"worse than {' and '.join(facts['worse'])}" if facts and facts["worse"] else ""
        state = ", ".join(filter(None, ("chosen" if each["active"] else "", each["fault"], worse)))
        table.add_row(str(each["number"]), each["version"], each["trainedAt"][:10], each["trainedBy"], *numbers, state)
    Console().print(table)


@models.command()
@click.argument("number", type=click.IntRange(min=1))
@data_option
@json_option
def show(number: int, data_folder: Path, as_json: bool) -> None:
    """How good model NUMBER is, by cross-validation."""
    told = model_document(_with_hub(data_folder, lambda hub: hub.learn_identity.model(_me(), number)))
    if as_json:
        echo_json(told)
        return
    click.echo(f"{told['version']}, trained {told['trainedAt'][:16]} by {told['trainedBy']}")
    if told["fault"]:
        click.echo(f"it cannot decide: {told['fault']}")
    if told["facts"]:
        _tell_facts(told["facts"])


@models.command()
@click.argument("number", metavar="NUMBER|none")
@click.option(
    "--although-worse", is_flag=True, help="Also one that judges the same reviews worse than what it replaces."
)
@data_option
def use(number: str, although_worse: bool, data_folder: Path) -> None:
    """Let model NUMBER decide where the weights doubt, or none, from the next start of the hub on."""
    if number != "none" and not (number.isascii() and number.isdecimal()):
        raise click.UsageError("say the number of a model, or none")
    chosen = None if number == "none" else int(number)

    async def run(hub: Hub) -> bool:
        await hub.learn_identity.use(_me(), chosen, although_worse=although_worse)
        return hub.settings.mpi.learned.enabled

    enabled = _with_hub(data_folder, run)
    what = "no learned model" if chosen is None else f"model {chosen}"
    click.echo(
        f"{what} decides from the next start of the hub on" + ("" if enabled else ", once mpi.learned.enabled is true")
    )
    click.echo("what is stored is judged by it after: healthsync identity rematch")


def _sample(path: Path, truth: str | None, mapping: str) -> list[tuple[dict[str, Any], str]]:
    """The records of a labelled file; arrays are imported only for it."""
    from healthsync.exchange.administration.link_files import LinkFiles
    from healthsync.infrastructure.clock import SystemClock

    return LinkFiles(clock=SystemClock()).labelled(path, mapping=mapping, truth=truth)


def _tell_facts(facts: Mapping[str, Any]) -> None:
    reviews = facts["reviews"]
    of_file = f" ({reviews['labelled']} of a labelled file)" if reviews["labelled"] else ""
    click.echo(f"{reviews['pairs']} decided pairs{of_file}, {reviews['links']} of one person; by cross-validation:")
    table = Table("", "pairs", "precision", "recall", "F1", "log loss", "links", "wrong links", box=None)
    since = facts.get("since")
    rows = [("this model", facts["model"]), ("the weights", facts["weights"])]
    rows += [("this, reviews since", since["model"]), (since["version"], since["previous"])] if since else []
    for name, rates in rows:
        shares = (f"{rates[part]:.4f}" for part in ("precision", "recall", "f1", "log_loss"))
        table.add_row(name, str(rates["pairs"]), *shares, str(rates["links"]), str(rates["wrong_links"]))
    Console().print(table)
    click.echo("said and right: " + ", ".join(
        f"{each['said']:.2f} {each['right']:.2f} ({each['pairs']})" for each in facts["calibration"]
    ))  # fmt: skip
    if facts["worse"]:
        click.echo(f"it is worse than {' and '.join(facts['worse'])}")


def _me() -> Actor:
    """The operator of the data folder, under the name of his account."""
    return Actor(getpass.getuser())


def _with_hub(data_folder: Path, act: Callable[[Hub], Awaitable[_T]]) -> _T:
    async def run() -> _T:
        async with open_hub(data_folder) as hub:
            return await act(hub)

    return asyncio.run(run())
