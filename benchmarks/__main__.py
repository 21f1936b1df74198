"""python -m benchmarks: run scenarios, print the figures, write them as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import uvloop

from benchmarks import scenarios
from benchmarks.harness import SCENARIOS, Options, Result, as_document, as_line


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(SCENARIOS)), help="Run this scenario; may be repeated.")
@click.option("--quick", is_flag=True, help="A tenth of the load, once: shows that everything runs.")
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write machine and results here."
)
@click.option("--list", "only_list", is_flag=True, help="Name the scenarios and what they measure.")
def main(only: tuple[str, ...], quick: bool, json_file: Path | None, only_list: bool) -> None:
    """Measure a hub of this machine. Nothing else should run meanwhile."""
    if only_list:
        for name, run in SCENARIOS.items():
            click.echo(f"{name:<14} {run.__doc__}")
        return
    results = uvloop.run(_run(only or tuple(SCENARIOS), Options(quick)))
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(as_document(results), indent=1) + "\n")
    missed = [result.name for result in results if result.verdict == "missed"]
    verdict = f"short of their aim: {', '.join(missed)}" if missed else "all aims met"
    click.echo(f"\n{len(results)} figures; {verdict}")


async def _run(names: tuple[str, ...], options: Options) -> list[Result]:
    results = []
    for name in names:
        click.echo(f"\n{name}: {SCENARIOS[name].__doc__}")
        async for result in SCENARIOS[name](options):
            results.append(result)
            click.echo("  " + as_line(result))
            sys.stdout.flush()
    return results


if __name__ == "__main__":
    assert scenarios  # imported for the scenarios that it registers
    main()
