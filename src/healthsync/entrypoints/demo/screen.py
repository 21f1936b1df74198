"""What people see while it runs, and the summary at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from healthsync.entrypoints.demo.summary import Moment, Summary, promises

_TIMELINE = 24


class Screen:
    """A terminal; with `quiet` nothing is shown."""

    def __init__(self, *, quiet: bool) -> None:
        self._console = Console(quiet=quiet, highlight=False)

    def say(self, text: str) -> None:
        """A line."""
        self._console.print(text)

    @contextmanager
    def working(self, text: str) -> Iterator[None]:
        """A spinner while something lasts, then a line."""
        with self._console.status(text):
            yield
        self._console.print(f"[green]✓[/] {text}")

    @contextmanager
    def bars(self) -> Iterator[Callable[[str, int], Callable[[int], None]]]:
        """Progress bars: `bar(title, total)` gives what to call with the number that is done."""
        columns = (SpinnerColumn(), TextColumn("{task.description:28}"), BarColumn(), MofNCompleteColumn(),
                   TimeElapsedColumn())  # fmt: skip
        with Progress(*columns, console=self._console) as progress:

            def bar(title: str, total: int) -> Callable[[int], None]:
                task = progress.add_task(title, total=total)
                return lambda done: progress.update(task, completed=done)

            yield bar

    def summary(self, summary: Summary) -> None:
        """The end of the demonstration."""
        console = self._console
        console.print()
        console.print(Panel(_numbers(summary), title="What happened", box=box.ROUNDED, title_align="left"))
        console.print(Panel(_timeline(summary.timeline), title="One patient across hospitals, as a physician reads it",
                            box=box.ROUNDED, title_align="left"))  # fmt: skip
        console.print(Panel(_promises(summary), title="What was promised", box=box.ROUNDED, title_align="left"))
        if summary.next:
            console.print("[bold]Where to go next[/]")
            for name, text in summary.next.items():  # not in a box: a command is copied whole
                console.print(f"  {name:18}[cyan]{escape(text)}[/]", soft_wrap=True)


def _numbers(s: Summary) -> Table:
    m, i = s.messages, s.identity
    kinds = {name: " ".join(f"{kind} {n}" for kind, n in counts.items()) for name, counts in m.by_source.items()}
    memory = f"{s.memory_bytes / 1e6:.0f} MB" if s.memory_bytes else "not known here"
    rows = {
        "HL7 v2 over MLLP": f"{m.sent} messages, {m.sent / m.seconds:.0f} acknowledged a second; "
                            f"{m.rate:.0f} a second from the wire to searchable FHIR",
        **{f"  {name}": text for name, text in kinds.items()},
        "FHIR over HTTP": f"{s.bundles_stored} transactions of the clinic",
        "Resources": ", ".join(f"{n:,} {name}" for name, n in s.resources.items() if n),
        "People": f"{i.records} records of {i.persons_true} people → {i.persons_found} persons found; precision "
                  f"{i.precision:.1%}, recall {i.recall:.1%}; {i.to_review} pairs wait for a person to decide",
        "Critical results": f"{s.critical_alerts} announced (alert.critical.lab)",
        "Audit log": f"{s.audit.events} events, root {s.audit.root[:16]}…, {'verified' if s.audit.holds else 'BROKEN'}",
        "Start": f"{s.first_start_seconds:.1f} s the first time, {s.start_seconds:.1f} s later; memory {memory}",
        "Whole demonstration": f"{s.seconds:.0f} s (seed {s.seed})",
    }  # fmt: skip
    table = Table.grid(padding=(0, 2))
    for name, text in rows.items():
        table.add_row(Text(name, style="bold"), text)
    for refusal in m.refusals[:5]:
        table.add_row(Text("not taken", style="bold red"), Text(refusal))
    return table


def _timeline(moments: Sequence[Moment]) -> Table:
    table = Table.grid(padding=(0, 2))
    for moment in moments[:_TIMELINE]:
        table.add_row(Text(moment.at, style="cyan"), Text(moment.source, style="magenta"),
                      Text(moment.what, style="bold red" if moment.alarming else ""))  # fmt: skip
    if len(moments) > _TIMELINE:
        table.add_row("", "", Text(f"… and {len(moments) - _TIMELINE} more", style="dim"))
    return table


def _promises(summary: Summary) -> Text:
    text = Text()
    for promise in promises(summary):
        text.append("✓ " if promise.held else "✗ ", style="bold green" if promise.held else "bold red")
        text.append(f"{promise.text}\n", style="" if promise.held else "bold red")
    for leak in summary.leaks.found[:5]:
        text.append(f"    value {leak['needle']} as {leak['form']} in {leak['where']}\n", style="red")
    text.rstrip()
    return text
