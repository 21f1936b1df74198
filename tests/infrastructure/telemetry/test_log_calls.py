"""Every line that the hub may log, as it stands in the source: a constant sentence and permitted keys."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from healthsync.infrastructure.telemetry.phi_filter import ALLOWED_KEYS, event_text

SOURCE = Path(str(files("healthsync")))
LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}


def log_calls() -> Iterator[tuple[str, ast.Call]]:
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="log" | "_log"), attr=level)) if level in LEVELS:
                    yield f"{path.relative_to(SOURCE)}:{node.lineno}", node


def test_no_line_of_the_hub_would_be_withheld():
    faults = []
    for place, call in log_calls():
        match call.args:
            case [ast.Constant(value=str(text))] if event_text(text) == text:
                pass
            case _:
                faults.append(f"{place}: the event is no constant lower-case sentence")
        given = {keyword.arg for keyword in call.keywords}
        faults += [f"{place}: key {key} is not in the allow-list" for key in given - ALLOWED_KEYS - {"exc_info"}]
    assert faults == []


def test_the_search_finds_the_log_calls():
    assert any(place.startswith("infrastructure/database/embedded.py") for place, _ in log_calls())
