"""The commented healthsync.yaml that `healthsync init` writes: every key in effect, with its sentence and default."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, is_dataclass
from enum import Enum
from typing import Any, get_args

import yaml

from healthsync.settings.reading import keys_of, types_of
from healthsync.settings.tree import Settings

HEAD = """\
# healthsync.yaml: the settings of this hub.
# A key behind "#" shows its default: to change it, remove the "#" from it and from the block around it. Keys for
# capabilities of later versions are left out; docs/reference/settings.md lists them all. The environment outranks this
# file: HEALTHSYNC_HTTP__PORT=8081 sets http.port. After a change run: healthsync config check healthsync.yaml
"""
WIDTH = 116


def render(values: Mapping[str, Any]) -> str:
    """The text of the file, with `values` (by dotted key) written and every other key shown as a comment."""
    return "\n".join([HEAD, "healthsync:", *_block(Settings, "", values, "  ")]) + "\n"


def _block(kind: type, prefix: str, values: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, entry in keys_of(kind).items():
        key = f"{prefix}.{name}" if prefix else name
        if entry.metadata["later"]:
            continue
        inner = _block_kind(types_of(kind)[entry.name])
        if inner and key not in values:
            yield from _inner_block(inner, name, key, values, indent, entry)
            continue
        yield from _comment(entry.metadata["effect"], indent)
        yield indent + (_written(name, values[key]) if key in values else f"#{_written(name, _default(entry))}")


def _inner_block(inner: type, name: str, key: str, values: Mapping[str, Any], indent: str, entry: Any) -> Iterator[str]:
    lines = list(_block(inner, key, values, indent + "  "))
    if not lines:
        return
    yield ""
    yield from _comment(entry.metadata["effect"], indent)
    if any(line.strip() and not line.strip().startswith("#") for line in lines):
        yield f"{indent}{name}:"
        yield from lines
    else:
        yield f"{indent}#{name}:"
        yield from lines


def _block_kind(hint: Any) -> type | None:
    for kind in (hint, *get_args(hint)):
        if isinstance(kind, type) and is_dataclass(kind) and not hasattr(kind, "parse"):
            return kind
    return None


def _default(entry: Any) -> Any:
    return None if entry.default is MISSING else entry.default


def _written(name: str, value: Any) -> str:
    if value is None:
        return f"{name}:"
    return f"{name}: {_scalar(value)}"


def _scalar(value: Any) -> str:
    if isinstance(value, Enum):
        value = value.value
    elif isinstance(value, tuple):
        value = list(value)
    elif not isinstance(value, str | bool | int | float):
        value = str(value)
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()


def _comment(sentence: str, indent: str) -> list[str]:
    return [
        f"{indent}# {line}"
        for line in textwrap.wrap(sentence.replace("`", ""), WIDTH - len(indent), break_on_hyphens=False)
    ]
