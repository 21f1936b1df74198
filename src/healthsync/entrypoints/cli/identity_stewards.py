"""Who is who in a hub: `healthsync identity review`, `merge`, `unmerge`, `split`, `pin`, `unpin`, `history`, `report`,
`rematch`, `doubles`.

They are named in `identity`, which imports this file when one of them is called.
"""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from healthsync.bootstrap import Hub, open_hub
from healthsync.entrypoints.cli.options import data_option, echo_json, json_option
from healthsync.entrypoints.cli.watching import run_here
from healthsync.exchange.administration.operators import Actor
from healthsync.exchange.administration.report_identity import document
from healthsync.exchange.administration.steward_identity import (
    Choice,
    StewardIdentity,
    Task,
    TaskKind,
    TaskState,
    double_document,
    event_document,
    task_document,
    view_document,
)
from healthsync.exchange.disclose import Refusal
from healthsync.exchange.operations.jobs import OPERATOR
from healthsync.standards.fhir import json

_T = TypeVar("_T")
_day = click.DateTime(["%Y-%m-%d"])

_reason_option = click.option(
    "--reason", required=True, metavar="CODE", help="Why, as a code: papers-seen, called-the-ward. No words, no names."
)


@click.group()
def review() -> None:
    """What people have to decide: pairs of records that may be one person, and updates that look like another's.

    \b
    healthsync identity review list                             what waits, the oldest first
    healthsync identity review show 12                          why, and which fields agree (no values)
    healthsync identity review show 12 --values                 the two records; recorded as a look at them
    healthsync identity review claim 12                         it is mine for eight hours
    healthsync identity review decide 12 apart --reason other-mother

    Kinds: duplicate (one source), linkage (two sources), second-number (for the source to put right), contradiction
    (a link that no longer fits), overlay (an update that is held). A share of decisions is asked of a second person,
    who is not told the first; two who disagree make a third decide. Each look and each act is in the audit log.
    """


@review.command(name="list")
@click.option(
    "--state",
    type=click.Choice([*(state.value for state in TaskState), "all"]),
    help="Only these; without it all that wait.",
)
@click.option("--kind", type=click.Choice([kind.value for kind in TaskKind]), help="Only tasks of this kind.")
@click.option("--owner", help="Only those of this source, both of whose records they are about.")
@click.option("--overdue", is_flag=True, help="Only those whose time is over.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@data_option
@json_option
def list_(
    state: str | None, kind: str | None, owner: str | None, overdue: bool, limit: int, data_folder: Path, as_json: bool
) -> None:
    """Tasks, the oldest first, with when they are due."""
    waiting = [TaskState.OPEN, TaskState.CLAIMED, TaskState.SECOND]
    states = list(TaskState) if state == "all" else [TaskState(state)] if state else waiting
    tasks = _run(
        data_folder,
        lambda flow, who: flow.tasks(
            who, states=states, kind=TaskKind(kind) if kind else None, owner=owner, limit=limit, overdue=overdue
        ),
    )
    if as_json:
        for task in tasks:
            echo_json(task_document(task))
        return
    if not tasks:
        click.echo("nothing waits for a decision")
        return
    table = Table("task", "kind", "state", "due", "priority", "sources", "reasons", box=None)
    for task in tasks:
        sources = " ".join(dict.fromkeys((task.one.source, task.other.source)))
        due = f"{task.due_at:%Y-%m-%d %H:%M}"
        table.add_row(str(task.number), task.kind, task.state, due, task.priority, sources, " ".join(task.reasons))
    Console().print(table)


@review.command()
@click.argument("task", type=click.IntRange(min=1))
@click.option("--values", is_flag=True, help="Show the two records too, as --role may see them.")
@click.option("--role", default="steward", show_default=True, help="The role in which the records are read.")
@data_option
@json_option
def show(task: int, values: bool, role: str, data_folder: Path, as_json: bool) -> None:
    """Why TASK is to be decided, how its two records compare field by field, and what happened to it and its pair.

    The waterfall tells what each field adds, in bits (or points): from the prior down to the total, which is held
    against the thresholds. How rare a name is comes in whole bits, so that nobody reads the name from it.
    """

    async def look(hub: Hub) -> tuple[dict, list[dict | None]]:
        view = await hub.steward_identity.show(_me(), task)
        if not values:
            return view_document(view), []
        requester = hub.bulk_export.operator(getpass.getuser(), role, None)
        found = await hub.steward_identity.records(requester, task)
        return view_document(view), [
            None if isinstance(one, Refusal) else json.parse(one.text.encode()) for one in found
        ]

    told, records = _with_hub(data_folder, look)
    if as_json:
        echo_json({**told, "records": records} if values else told)
        return
    click.echo(f"task {told['id']}: {told['kind']}, {told['state']}, due {told['dueAt'][:16]}; rules {told['rules']}")
    click.echo(f"reasons: {', '.join(told['reasons'])}")
    click.echo(f"records: {' and '.join(told['versions'])} ({', '.join(dict.fromkeys(told['sources']))})")
    for field, agreement in told["evidence"].items():
        click.echo(f"  {field:<12} {agreement}")
    _tell_waterfall(told["waterfall"])
    for step in told["history"]:
        click.echo(f"{step['at'][:16]}  {step['act']} {step['code']} {step['reason']} by {step['by']}")
    for each in told["earlierTasks"]:
        click.echo(
            f"an earlier task of the pair: {each['id']} {each['kind']}, {each['state']} {each['decision'] or ''}"
        )
    for event in told["pairHistory"]:
        _tell_event(event)
    for record in records:
        shown = "withheld by the patient's consent or the role" if record is None else json.dump(record).decode()
        click.echo(shown)
    click.echo(f"decide by: healthsync identity review decide {task} {'|'.join(told['choices'])} --reason CODE")


@review.command()
@click.argument("task", type=click.IntRange(min=1))
@data_option
@json_option
def claim(task: int, data_folder: Path, as_json: bool) -> None:
    """Take TASK into your hands for eight hours; nobody else can decide it meanwhile."""
    _tell(_run(data_folder, lambda flow, who: flow.claim(who, task)), as_json)


@review.command()
@click.argument("task", type=click.IntRange(min=1))
@click.argument("decision", type=click.Choice([choice.value for choice in Choice]))
@_reason_option
@data_option
@json_option
def decide(task: int, decision: str, reason: str, data_folder: Path, as_json: bool) -> None:
    """Decide about TASK: link or apart; of an overlay accept or restore; not-sure leaves it to somebody else.

    link and apart stand against the rules from then on. accept: the update is true of the patient. restore: it is not,
    and the version before it is the newest again; what was held stays in the history.
    """
    _tell(_run(data_folder, lambda flow, who: flow.decide(who, task, Choice(decision), reason)), as_json)


@click.command()
@click.argument("survivor")
@click.argument("retired")
@click.option("--keep-both", is_flag=True, help="Link them: both numbers stay in use, as those of two sources must.")
@_reason_option
@data_option
def merge(survivor: str, retired: str, keep_both: bool, reason: str, data_folder: Path) -> None:
    """Records SURVIVOR and RETIRED (ids of Patients) are one person's; the number of RETIRED goes out of use.

    Nothing is copied; `healthsync identity unmerge` takes it back after any time.
    """
    _run(data_folder, lambda flow, who: flow.merge(who, _id(survivor), _id(retired), reason, keep_both=keep_both))
    click.echo(f"{_id(survivor)} and {_id(retired)} are one person's")


@click.command()
@click.argument("patient")
@click.argument("other")
@_reason_option
@data_option
def unmerge(patient: str, other: str, reason: str, data_folder: Path) -> None:
    """Records PATIENT and OTHER are two persons', whatever linked or merged them; the rules do not link them again.

    Whoever joined through the one that leaves goes along, and both persons are what they would have been without.
    """
    _run(data_folder, lambda flow, who: flow.unmerge(who, _id(patient), _id(other), reason))
    click.echo(f"{_id(patient)} and {_id(other)} are two persons'")


@click.command()
@click.argument("patient")
@_reason_option
@data_option
def split(patient: str, reason: str, data_folder: Path) -> None:
    """Record PATIENT is nobody else's of its person: it leaves alone."""
    _run(data_folder, lambda flow, who: flow.split(who, _id(patient), reason))
    click.echo(f"{_id(patient)} is a person of its own")


@click.command()
@click.argument("patient")
@click.argument("element")
@_reason_option
@data_option
def pin(patient: str, element: str, reason: str, data_folder: Path) -> None:
    """The golden record takes ELEMENT (birthDate, gender, name …) from record PATIENT, whatever the rules say."""
    _run(data_folder, lambda flow, who: flow.pin(who, _id(patient), element, reason))
    click.echo(f"{element} comes from {_id(patient)}")


@click.command()
@click.argument("patient")
@click.argument("element")
@_reason_option
@data_option
def unpin(patient: str, element: str, reason: str, data_folder: Path) -> None:
    """The rules decide again about ELEMENT, which was pinned to record PATIENT."""
    _run(data_folder, lambda flow, who: flow.pin(who, _id(patient), element, reason, chosen=False))
    click.echo(f"the rules decide about {element}")


@click.command()
@click.argument("id_", metavar="ID")
@data_option
@json_option
def history(id_: str, data_folder: Path, as_json: bool) -> None:
    """What happened to a person: links, merges, decisions. ID is the enterprise id, or that of one of its Patients."""
    events = [event_document(told) for told in _run(data_folder, lambda flow, who: flow.history(who, _id(id_)))]
    for event in events:
        if as_json:
            echo_json(event)
        else:
            _tell_event(event)


@click.command()
@click.option(
    "--by", type=click.Choice(["day", "month"]), default="day", show_default=True, help="How the trend is told."
)
@click.option("--since", type=_day, help="First day, YYYY-MM-DD (UTC). Default: 30 days, by month a year.")
@click.option("--until", type=_day, help="First day that is no longer part of it.")
@data_option
@json_option
def report(by: str, since: datetime | None, until: datetime | None, data_folder: Path, as_json: bool) -> None:
    """Duplicates within and across sources, numbers that several persons use, AHIMA's rates, and their trend.

    References and counts only. The duplicate rate should be below 1 %; docs/identity-review.md says what each means.
    """
    found = _with_hub(
        data_folder,
        lambda hub: hub.report_identity(_me(), by=by, since=since and since.date(), until=until and until.date()),
    )
    told = document(found)
    if as_json:
        echo_json(told)
        return
    console = Console()
    waiting = told["waiting"]
    console.print(f"{told['records']} records are {told['persons']} persons")
    console.print(
        f"waiting: {waiting['duplicates']} records in duplicates, {waiting['linkages']} in linkages, "
        f"{waiting['held']} updates held"
    )
    for name, rate in told["rates"].items():
        console.print(f"{name} rate: {'nothing to count' if rate is None else f'{rate:.2%}'}")
    sources = Table("source", "records", "known", "suspected", "held", box=None)
    for each in told["sources"]:
        sources.add_row(*(str(each[name]) for name in ("source", "records", "known", "suspected", "held")))
    console.print(sources)
    for shared in told["sharedNumbers"]["shared"]:
        console.print(f"one {shared['kind']} number, {len(shared['persons'])} persons: {' '.join(shared['patients'])}")
    impossible = told["impossibleOverlaps"]
    for each in impossible["overlaps"]:
        console.print(
            f"one person, inpatient at two sources at once: {' '.join(each['encounters'])} of {each['person']}"
        )
    for period, count in impossible["trend"].items():
        console.print(f"{period}: {count} overlapping stays began")
    trend = Table(by, "registered", "confirmed", "raised", "overlays", "restored", "kept apart", box=None)
    for each in told["trend"]:
        trend.add_row(*map(str, each.values()))
    console.print(trend)


@click.command()
@click.option("--dry-run", is_flag=True, help="Only tell what would change.")
@data_option
@json_option
def rematch(dry_run: bool, data_folder: Path, as_json: bool) -> None:
    """Match all stored patients again, after the profile, the rules or the thresholds were changed.

    Whoever is found to be one person is linked, what is in doubt becomes a task, a task without ground is closed, and a
    link that nothing speaks for any more becomes a task. Nobody is unlinked; decisions and pins stand. It runs as a
    job: what is interrupted goes on, here or in a worker, and healthsync jobs cancel ends it.
    """

    async def run(hub: Hub) -> Mapping[str, Any]:
        job = await hub.rematch_patients.start(_me(), owner=OPERATOR, dry_run=dry_run, claimed=True)
        return await run_here(hub, job, "matching", quiet=as_json)

    told = _with_hub(data_folder, run)
    if as_json:
        echo_json(dict(told))
        return
    would = "would be " if dry_run else ""
    click.echo(f"{told['patients']} patients matched by {told['model']}")
    click.echo(f"{told['linked']} persons {would}joined to others")
    click.echo(f"{told['flagged']} pairs {would}given to review, {told['closed']} tasks {would}closed")
    for kind, pairs in told["pairs"].items():
        for one, other in pairs:
            click.echo(f"  {kind:<8} {one} {other}")


@click.command()
@click.option("--merge", "merges", is_flag=True, help="Merge those that are one person's, the younger into the older.")
@click.option("--reason", metavar="CODE", help="Why, as a code, with --merge.")
@data_option
@json_option
def doubles(merges: bool, reason: str | None, data_folder: Path, as_json: bool) -> None:
    """Pairs of records of one source that go under one number of one authority, up to a thousand.

    A table of names of authorities (mpi.authorities_path) makes such pairs of records that were stored before it. What
    is not one person's yet waits for healthsync identity rematch, or is two persons'. Nothing changes without --merge.
    """
    if merges != (reason is not None):
        raise click.UsageError("--merge and --reason go together")
    told = [double_document(each) for each in _run(data_folder, lambda flow, who: flow.doubles(who, reason))]
    for each in told:
        if as_json:
            echo_json(each)
        else:
            state = "merged" if each["merged"] else "one person" if each["onePerson"] else "two persons"
            click.echo(f"{' '.join(each['patients'])}  {each['source']}  {state}")


def _tell(task: Task, as_json: bool) -> None:
    if as_json:
        echo_json(task_document(task))
        return
    more = {
        TaskState.CLAIMED: "it is yours for eight hours",
        TaskState.OPEN: "somebody else is asked",
        TaskState.SECOND: "a second person is asked",
    }
    click.echo(f"task {task.number} is {task.state}" + (f": {more[task.state]}" if task.state in more else ""))


def _tell_event(event: dict[str, Any]) -> None:
    pair = event["patient"] + (f" {event['other']}" if event["other"] else "")
    why = " ".join((event["rule"], *event["evidence"]))
    click.echo(f"{event['at'][:19]}  {event['kind']:<11} {pair}  {why}  by {event['by']}")


def _tell_waterfall(told: dict[str, Any]) -> None:
    table = Table("field", "level", told["unit"], "total", box=None)
    table.add_row("prior", "", f"{told['prior']:+.1f}", f"{told['prior']:.1f}")
    for step in told["steps"]:
        table.add_row(step["field"], step["level"], f"{step['weight']:+.1f}", f"{step['total']:.1f}")
    Console().print(table)
    limits = ", ".join(f"{name} from {at:.1f}" for name, at in told["thresholds"].items() if at is not None)
    against = f"; against it: {', '.join(told['against'])}" if told["against"] else ""
    likely = "" if told["probability"] is None else f", probability {told['probability']:.4f}"
    click.echo(f"total {told['total']:.1f} {told['unit']}{likely}; {limits or 'not decided by weights'}")
    named = f"; meets {', '.join(told['namedRules'])}" if told["namedRules"] else ""
    click.echo(f"{told['grade']} by {told['rule'] or 'nothing'}{against}{named} ({told['model']})")


def _id(text: str) -> str:
    return text.removeprefix("Patient/").removeprefix("Person/")


def _me() -> Actor:
    """The operator of the data folder, under the name of his account."""
    return Actor(getpass.getuser())


def _run(data_folder: Path, act: Callable[[StewardIdentity, Actor], Awaitable[_T]]) -> _T:
    return _with_hub(data_folder, lambda hub: act(hub.steward_identity, _me()))


def _with_hub(data_folder: Path, act: Callable[[Hub], Awaitable[_T]]) -> _T:
    async def run() -> _T:
        async with open_hub(data_folder) as hub:
            return await act(hub)

    return asyncio.run(run())
