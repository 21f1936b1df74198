"""From YAML text to frozen dataclasses, with every fault named by its key, its line and its remedy.

A dataclass is the schema of a mapping: its type hints say what may stand there, `setting(…)` says what it does. One
reader serves healthsync.yaml and every other configuration document, so all of them fail in the same words.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from datetime import date
from difflib import get_close_matches
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from healthsync.errors import ConfigurationError

OTHER_KEYS = "*"
"""The name of a field (a dict) that takes every key which no other field takes."""

MOST_VALUES = 100_000
"""A document with more is no configuration but an attack: aliases of aliases grow exponentially."""

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path", date: "a date"}


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault: the key, where it stands, and a sentence that says what to do."""

    key: str
    at: str
    message: str

    def __str__(self) -> str:
        return f"{self.at}: {self.key}: {self.message}" if self.key else f"{self.at}: {self.message}"


class InvalidSettings(ConfigurationError):
    """A configuration document has faults; `problems` lists them all."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Node:
    """A value of the document and where it was written. A mapping holds Nodes by name, a sequence holds Nodes."""

    value: Any
    at: str
    size: int = 1
    """How many values stand in it, itself and those of aliases counted each time."""

    def plain(self) -> Any:
        """The value as ordinary Python, without positions."""
        if isinstance(self.value, dict):
            return {name: node.plain() for name, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


def setting(
    effect: str,
    *,
    default: Any = MISSING,
    minimum: float | None = None,
    maximum: float | None = None,
    later: str = "",
    later_values: Mapping[str, str] | None = None,
    name: str = "",
) -> Any:
    """A field of a configuration dataclass.

    `effect` is the sentence of the reference. `later` says why the key is accepted but not yet in effect;
    `later_values` says it of single values. `name` is the key where it differs from the field.
    """
    metadata = {
        "effect": effect,
        "minimum": minimum,
        "maximum": maximum,
        "later": later,
        "later_values": later_values or {},
        "name": name,
    }
    if isinstance(default, type) and is_dataclass(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def keys_of(kind: type) -> dict[str, Any]:
    """The keys that may stand in a mapping of this kind, with their dataclass fields."""
    return {entry.metadata.get("name") or entry.name: entry for entry in fields(kind)}


@cache
def types_of(kind: type) -> dict[str, Any]:
    """The resolved type hints of a dataclass."""
    return get_type_hints(kind)


def parse(text: str, origin: str) -> Node:
    """Parse YAML, keeping lines. Raises InvalidSettings on a syntax error or a key that stands twice."""
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            raise InvalidSettings([Problem("", origin, "the file is empty; run: healthsync init DIR")])
        return _node(root, origin, loader, {})
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        why = getattr(error, "problem", None) or error
        raise _unreadable(f"{origin}:{mark.line + 1}" if mark else origin, f"this is not YAML: {why}") from None
    except RecursionError:
        raise _unreadable(origin, "the document is nested too deeply") from None


def _unreadable(at: str, why: str) -> InvalidSettings:
    return InvalidSettings([Problem("", at, why)])


def _node(node: yaml.Node, origin: str, loader: yaml.SafeLoader, seen: dict[int, Node]) -> Node:
    if id(node) in seen:  # an alias (*name): converted once, however often it is used
        return seen[id(node)]
    at = f"{origin}:{node.start_mark.line + 1}"
    size = 1
    if isinstance(node, yaml.MappingNode):
        value: Any = {}
        for key_node, value_node in node.value:
            key = str(_scalar(key_node, origin, loader))
            if key in value:
                where = f"{origin}:{key_node.start_mark.line + 1}"
                raise InvalidSettings([Problem(key, where, "stands twice in the same block; keep one")])
            value[key] = _node(value_node, origin, loader, seen)
        size += sum(inner.size for inner in value.values())
    elif isinstance(node, yaml.SequenceNode):
        value = [_node(item, origin, loader, seen) for item in node.value]
        size += sum(inner.size for inner in value)
    else:
        value = _scalar(node, origin, loader)
    if size > MOST_VALUES:
        raise _unreadable(at, f"more than {MOST_VALUES} values; its aliases (*name) repeat too much")
    seen[id(node)] = Node(value, at, size)
    return seen[id(node)]


def _scalar(node: yaml.Node, origin: str, loader: yaml.SafeLoader) -> Any:
    try:
        return loader.construct_object(node, deep=True)
    except (ValueError, OverflowError):  # such as the date 2026-13-01
        raise _unreadable(
            f"{origin}:{node.start_mark.line + 1}", f"“{node.value}” is no value; put it in quotes"
        ) from None


class Reader:
    """Reads Nodes into dataclasses and gathers what is wrong instead of stopping at the first fault."""

    def __init__(self, *, folder: Path, environ: Mapping[str, str] | None = None) -> None:
        """`folder` is where relative paths start; `environ` fills `${NAME}` in text (None leaves it as written)."""
        self.folder = folder
        self.environ = environ
        self.problems: list[Problem] = []
        self.written: dict[str, Any] = {}
        """The dotted keys that were written by the operator, with the values as read."""
        self.positions: dict[str, str] = {}
        """Where each of them stands."""

    def read(self, kind: Any, node: Node, key: str) -> Any:
        """The value at `node` as `kind`; None (and a problem noted) when it does not fit."""
        self.written[key] = None  # the place in the order of writing, before the keys inside
        self.positions[key] = node.at
        value = self.written[key] = self._read(kind, node, key)
        return value

    def _read(self, kind: Any, node: Node, key: str) -> Any:
        origin = get_origin(kind)
        if kind is Any:
            return node.plain()
        if origin in (Union, types.UnionType):
            return self._choice(get_args(kind), node, key)
        if origin is Literal:
            return self._one_of(get_args(kind), node, key)
        if origin is tuple:
            return self._sequence(get_args(kind)[0], node, key)
        if origin is dict:
            return self._mapping(get_args(kind)[1], node, key)
        if is_dataclass(kind) and isinstance(kind, type) and not hasattr(kind, "parse"):
            return self._block(kind, node, key)
        if isinstance(kind, type) and issubclass(kind, Enum):
            found = self._one_of(tuple(member.value for member in kind), node, key)
            return None if found is None else kind(found)
        return self._scalar(kind, node, key)

    def _fault(self, node: Node, key: str, message: str) -> None:
        self.problems.append(Problem(key, node.at, message))

    def _choice(self, kinds: tuple[Any, ...], node: Node, key: str) -> Any:
        if node.value is None and types.NoneType in kinds:
            return None
        fitting = [kind for kind in kinds if kind is not types.NoneType and _shape(kind, node.value)]
        if len(fitting) == 1:
            return self._read(fitting[0], node, key)
        for kind in fitting:
            trial = Reader(folder=self.folder, environ=self.environ)
            value = trial.read(kind, node, key)
            if not trial.problems:
                self.written |= trial.written
                self.positions |= trial.positions
                return value
        wanted = " or ".join(_words(kind) for kind in kinds if kind is not types.NoneType)
        return self._fault(node, key, f"{wanted} belongs here")

    def _one_of(self, allowed: tuple[Any, ...], node: Node, key: str) -> Any:
        value = self._substituted(node, key)
        if value in allowed and not isinstance(value, bool):
            return value
        options = ", ".join(str(option) for option in allowed)
        near = _did_you_mean(str(value), map(str, allowed))
        return self._fault(node, key, f"“{value}” is not one of {options}{near}")

    def _sequence(self, kind: Any, node: Node, key: str) -> tuple[Any, ...] | None:
        if not isinstance(node.value, list):
            return self._fault(node, key, f"a list belongs here, each entry {_words(kind)}")
        return tuple(self.read(kind, item, f"{key}[{position}]") for position, item in enumerate(node.value))

    def _mapping(self, kind: Any, node: Node, key: str) -> dict[str, Any] | None:
        if not isinstance(node.value, dict):
            return self._fault(node, key, "a block of keys belongs here")
        return {name: self.read(kind, entry, f"{key}.{name}") for name, entry in node.value.items()}

    def _block(self, kind: type, node: Node, key: str) -> Any:
        if not isinstance(node.value, dict):
            shorthand = getattr(kind, "from_scalar", None)
            if shorthand and isinstance(node.value, str | bool | int):
                return shorthand(node.value)
            if node.value is None and not any(_required(entry) for entry in fields(kind)):
                return kind()  # a block whose every line is commented out
            return self._fault(node, key, f"a block with {', '.join(keys_of(kind))} belongs here")
        known = keys_of(kind)
        before = len(self.problems)
        values: dict[str, Any] = {}
        for name, child in node.value.items():
            path = f"{key}.{name}" if key else name
            if name not in known and OTHER_KEYS in known:
                entry = known[OTHER_KEYS]
                rest = values.setdefault(entry.name, {})
                rest[name] = self.read(get_args(types_of(kind)[entry.name])[1], child, path)
                continue
            if name not in known:
                remedy = _did_you_mean(name, known) or "; known here: " + ", ".join(known)
                self._fault(child, path, f"unknown key{remedy}")
                continue
            entry = known[name]
            values[entry.name] = self._bounded(self.read(types_of(kind)[entry.name], child, path), entry, child, path)
        for name, entry in known.items():
            if _required(entry) and name not in node.value:
                self._fault(node, f"{key}.{name}" if key else name, f"is missing: {entry.metadata.get('effect', '')}")
        if len(self.problems) > before:
            return None
        made = kind(**values)
        for name, message in getattr(made, "faults", tuple)():
            self._fault(node.value.get(name, node), f"{key}.{name}" if key else name, message)
        return made

    def _bounded(self, value: Any, entry: Any, node: Node, key: str) -> Any:
        low, high = entry.metadata.get("minimum"), entry.metadata.get("maximum")
        if isinstance(value, int | float) and not isinstance(value, bool):
            if low is not None and value < low:
                self._fault(node, key, f"{value} is less than {low}, the smallest allowed")
            if high is not None and value > high:
                self._fault(node, key, f"{value} is more than {high}, the largest allowed")
        return value

    def _substituted(self, node: Node, key: str) -> Any:
        if not isinstance(node.value, str) or self.environ is None:
            return node.value
        environ = self.environ
        for name in _VARIABLE.findall(node.value):
            if name not in environ:
                self._fault(node, key, f"the environment variable {name} is not set; set it or write the value here")
        return _VARIABLE.sub(lambda match: environ.get(match[1], ""), node.value)

    def _scalar(self, kind: Any, node: Node, key: str) -> Any:
        value = self._substituted(node, key)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if kind is Path and isinstance(value, str) and value:
            return (self.folder / Path(value).expanduser()).resolve()
        parse_text = getattr(kind, "parse", None)
        if parse_text and isinstance(value, str):
            try:
                return parse_text(value)
            except ValueError as error:
                return self._fault(node, key, str(error))
        if isinstance(value, kind) and not (kind is not bool and isinstance(value, bool)):
            return value
        hint = "; put it in quotes" if kind is str and isinstance(value, int | float | date) else ""
        return self._fault(node, key, f"{_words(kind)} belongs here{hint}")


def _required(entry: Any) -> bool:
    return entry.default is MISSING and entry.default_factory is MISSING


def _shape(kind: Any, value: Any) -> bool:
    """Whether a YAML value of this form could be meant as `kind`."""
    origin = get_origin(kind)
    if kind is Any:
        return True
    if isinstance(value, dict):
        return origin is dict or is_dataclass(kind)
    if isinstance(value, list):
        return origin is tuple
    return origin is Literal or (
        origin is None and (not is_dataclass(kind) or hasattr(kind, "from_scalar") or hasattr(kind, "parse"))
    )


def _words(kind: Any) -> str:
    """A kind of value as a person would say it."""
    if get_origin(kind) is Literal:
        return " or ".join(str(option) for option in get_args(kind))
    if get_origin(kind) is tuple:
        return f"a list, each entry {_words(get_args(kind)[0])}"
    if hasattr(kind, "words"):
        return kind.words
    if isinstance(kind, type) and is_dataclass(kind):
        return f"a block with {', '.join(keys_of(kind))}"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return " or ".join(str(member.value) for member in kind)
    return _WORDS.get(kind, "a block of keys")


def _did_you_mean(name: str, known: Any) -> str:
    near = get_close_matches(name.lower(), list(known), n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def walk(kind: type, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every key below a configuration dataclass: (dotted key, type, dataclass field), blocks before their keys."""
    for name, entry in keys_of(kind).items():
        key = f"{prefix}.{name}" if prefix else name
        hint = types_of(kind)[entry.name]
        yield key, hint, entry
        for inner in _blocks_in(hint):
            yield from walk(inner, f"{key}[]" if get_origin(hint) is tuple else key)


def _blocks_in(hint: Any) -> Iterator[type]:
    for kind in (hint, *get_args(hint)):
        if isinstance(kind, type) and is_dataclass(kind) and not hasattr(kind, "parse"):
            yield kind


def later_keys(kind: type, written: Mapping[str, Any]) -> dict[str, str]:
    """The written keys whose capability is still to come, with the reason; not the keys inside such a block."""
    definitions = {key: entry for key, _, entry in walk(kind)}
    reasons: dict[str, str] = {}
    for key, value in written.items():
        entry = definitions.get(re.sub(r"\[\d+\]", "[]", key))
        if entry is None or any(key.startswith((f"{outer}.", f"{outer}[")) for outer in reasons):
            continue
        by_value = entry.metadata["later_values"].get(value) if isinstance(value, str) else None
        if reason := entry.metadata["later"] or by_value:
            reasons[key] = reason
    return reasons
