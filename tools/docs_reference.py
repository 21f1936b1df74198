"""Print docs/reference/: settings, commands and events, from the code that defines them.

python tools/docs_reference.py            write the pages
python tools/docs_reference.py --check    say which pages are not up to date
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import click

from healthsync.entrypoints.cli import COMMANDS, main
from healthsync.exchange.events import EventName
from healthsync.settings.documents import DOCUMENTS
from healthsync.settings.reading import walk
from healthsync.settings.tree import Settings

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"
NOTICE = "<!-- Printed by tools/docs_reference.py; change the code that defines it and run: make reference -->\n"


def shown_by(tests: Path = ROOT / "tests") -> dict[str, list[str]]:
    """For each setting, the tests that are marked `@pytest.mark.shows("key")`."""
    found: dict[str, list[str]] = {}
    for path in sorted(tests.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for key in _shown_keys(node):
                    found.setdefault(key, []).append(f"{path.relative_to(tests)}::{node.name}")
    return found


def _shown_keys(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    for mark in function.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.shows":
            yield from (argument.value for argument in mark.args if isinstance(argument, ast.Constant))


def is_block(entry: Any, hint: Any) -> bool:
    """Whether a key only holds other keys."""
    return entry.default_factory is hint


def settings_page() -> str:
    """docs/reference/settings.md."""
    shown = shown_by()
    lines = [
        NOTICE,
        "# Settings",
        "",
        "`healthsync.yaml` has one block at the top, `healthsync:`. The environment outranks the file"
        " (`HEALTHSYNC_HTTP__PORT=8081` sets `http.port`) and the command line outranks both. `${NAME}` in a text is"
        " the environment variable `NAME`. Relative paths start at the folder of the file. `healthsync init DIR`"
        " writes a commented file, `healthsync config check FILE` says what was understood.",
    ]
    for key, hint, entry in walk(Settings):
        if is_block(entry, hint):
            lines += ["", f"## {key}", "", entry.metadata["effect"]]
            rows = [_row(*line, shown) for line in walk(Settings) if _belongs(line, key)]
            lines += ["", *_table_head(), *rows] if rows else []
    top = [line for line in walk(Settings) if "." not in line[0] and not is_block(line[2], line[1])]
    lines += ["", "## At the top", "", *_table_head(), *(_row(*line, shown) for line in top)]
    lines += [
        "",
        "## Other documents",
        "",
        "Recognised by their top-level key and checked by `healthsync config check`.",
    ]
    lines += ["", "| Document | What it says | In effect |", "|---|---|---|"]
    for name, kind in DOCUMENTS.items():
        entry = next(entry for key, _, entry in walk(kind) if key == name)
        lines.append(f"| `{name}` | {entry.metadata['effect']} | {_state(entry)} |")
    return "\n".join(lines) + "\n"


def _table_head() -> list[str]:
    return ["| Key | Value | Default | Effect | In effect | Shown by |", "|---|---|---|---|---|---|"]


def _belongs(line: tuple[str, Any, Any], block: str) -> bool:
    key, hint, entry = line
    if is_block(entry, hint) or not key.startswith(f"{block}."):
        return False
    owner = max((k for k, h, e in walk(Settings) if is_block(e, h) and key.startswith(f"{k}.")), key=len)
    return owner == block


def _row(key: str, hint: Any, entry: Any, shown: dict[str, list[str]]) -> str:
    tests = "<br>".join(f"`{test}`" for test in shown.get(key, []))
    default = _text(entry.default) if entry.default_factory is not hint else ""
    return f"| `{key}` | {_kind(hint)} | {default} | {entry.metadata['effect']} | {_state(entry)} | {tests} |"


def _state(entry: Any) -> str:
    later, values = entry.metadata["later"], entry.metadata["later_values"]
    if later:
        return f"accepted, not yet in effect since {later}"
    if values:
        names = ", ".join(f"`{value}`" for value in values)
        return f"yes; {names}: accepted, not yet in effect since {next(iter(values.values()))}"
    return "yes"


def _text(default: Any) -> str:
    if isinstance(default, Enum):
        default = default.value
    if isinstance(default, bool):
        default = str(default).lower()
    if isinstance(default, tuple):
        default = ", ".join(default)
    missing = default is None or default == "" or type(default).__name__ == "_MISSING_TYPE"
    return "" if missing else f"`{default}`"


def _kind(hint: Any) -> str:
    """A type as an operator would say it."""
    if get_origin(hint) is Literal:
        return " · ".join(f"`{value}`" for value in get_args(hint))
    if get_origin(hint) is tuple:
        return f"list of {_kind(get_args(hint)[0])}"
    if get_args(hint):
        return " or ".join(_kind(one) for one in get_args(hint) if one is not NoneType)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return " · ".join(f"`{member.value}`" for member in hint)
    words = {str: "text", int: "whole number", float: "number", bool: "`true` · `false`", Path: "path"}
    return words.get(hint) or getattr(hint, "words", "block")


def commands_page() -> str:
    """docs/reference/cli.md."""
    lines = [NOTICE, "# Commands", "", "Every command explains itself with `--help`; `--json` answers programs."]
    lines += ["", "A failure is one sentence on standard error and exit code 1; a wrong call is exit code 2."]
    context = click.Context(main, info_name="healthsync", **main.context_settings)
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        lines += _command_lines(command, click.Context(command, info_name=name, parent=context), 2)
    return "\n".join(lines) + "\n"


def _command_lines(command: click.Command, context: click.Context, depth: int) -> Iterator[str]:
    context.max_content_width = 100
    context.terminal_width = 100
    yield from ("", f"{'#' * depth} {context.command_path}", "", "```text", command.get_help(context).rstrip(), "```")
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _command_lines(inner, click.Context(inner, info_name=name, parent=context), depth + 1)


def events_page() -> str:
    """docs/reference/events.md."""
    lines = [NOTICE, "# Events", "", "An event carries references and codes, never a patient's values."]
    lines.append("It is written in the transaction of what it tells.")
    lines += ["", "| Event | Topic | What has happened | Told by |", "|---|---|---|---|"]
    lines += [f"| `{name.value}` | `{name.topic}` | {name.meaning} | `{name.emitted_by}` |" for name in EventName]
    return "\n".join(lines) + "\n"


PAGES = {"settings.md": settings_page, "cli.md": commands_page, "events.md": events_page}


def run(check: bool) -> int:
    """Write the pages, or name those that are out of date."""
    stale = []
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        path, text = REFERENCE / name, page()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not check:
                path.write_text(text, encoding="utf-8")
    for name in stale:
        print(f"docs/reference/{name} {'is out of date; run: make reference' if check else 'written'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(run("--check" in sys.argv))
