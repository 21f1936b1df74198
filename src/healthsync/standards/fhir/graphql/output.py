"""Values in, an answer out: arguments that filter, and the directives that change its shape
(graphql.html#flattening)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from healthsync.errors import HealthSyncError
from healthsync.standards.fhir import fhirpath
from healthsync.standards.fhir.element_paths import LONGEST_PATH
from healthsync.standards.fhir.graphql.errors import QueryFault
from healthsync.standards.fhir.graphql.tree import Field

_UNBOUNDED = ("matches", "replaceMatches", "repeat")


@dataclass(slots=True)
class _Slot:
    values: list[Any] = field(default_factory=list)
    is_list: bool = False
    is_single: bool = False


class Output:
    """An object of the answer under construction."""

    def __init__(self) -> None:
        self._slots: dict[str, _Slot] = {}

    def add(self, asked: Field, suffix: str, values: Sequence[Any], *, repeats: bool) -> None:
        """Put values under a field; several fields may share one place, as they do under @flatten."""
        slot = self._slots.setdefault(f"{asked.key}{suffix}", _Slot())
        slot.is_single |= "singleton" in asked.directives
        slot.is_list |= repeats
        slot.values.extend(values)

    def done(self) -> dict[str, Any]:
        """The object. A field without a value is left out. Raises QueryFault when @singleton meets several values."""
        answer: dict[str, Any] = {}
        for key, slot in self._slots.items():
            values = [value.done() if isinstance(value, Output) else value for value in slot.values]
            if slot.is_single and len(values) > 1:
                raise QueryFault("@singleton stands at a field that has several values", code="multiple-matches")
            if slot.is_list and not slot.is_single:
                if values:
                    answer[key] = values
            elif len(values) > 1:
                answer[key] = values
            elif values:
                answer[key] = values[0]
        return answer


def kept(asked: Field, values: Sequence[Any], place: str) -> list[Any]:
    """The values that the arguments of a field leave (graphql.html#list): filters first, then offset and count.

    `place` is where the properties of the values are defined.
    """
    chosen = list(values)
    for name, wanted in asked.arguments.items():
        if name == "fhirpath":
            chosen = [value for value in chosen if holds(str(wanted), value, place, asked)]
        elif name not in ("_offset", "_count"):
            chosen = [v for v in chosen if isinstance(v, Mapping) and _equal(v.get(name), wanted)]
    start = _whole(asked, "_offset") or 0
    count = _whole(asked, "_count")
    chosen = chosen[start:] if count is None else chosen[start : start + count]
    return chosen[:1] if "first" in asked.directives else chosen


def suffixes(asked: Field, values: Sequence[Any], place: str, inherited: str) -> list[str]:
    """What @slice adds to the names under each value: `.0`, or `.official` for the path `use`."""
    if (arguments := asked.directives.get("slice")) is None:
        return [inherited] * len(values)
    path = arguments.get("path", arguments.get("fhirpath"))
    if not isinstance(path, str):
        raise QueryFault('@slice needs a path, such as @slice(path: "use")', code="required", at=asked.at)
    if path == "$index":
        return [f"{inherited}.{index}" for index in range(len(values))]
    return [f"{inherited}.{_first_text(path, value, place, asked)}" for value in values]


def search_pairs(arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Search parameters of a list: `clinical_status` is clinical-status, a list of values means any of them."""
    pairs = []
    for name, value in arguments.items():
        parameter = name[0] + name[1:].replace("_", "-")
        values = value if isinstance(value, list) else [value]
        texts = [argument_text(one).replace(",", "\\,") for one in values if one is not None]
        if texts:
            pairs.append((parameter, ",".join(texts) if parameter != "_filter" else argument_text(values[0])))
    return pairs


def argument_text(value: Any) -> str:
    """A value of an argument as a search or a comparison reads it."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def holds(expression: str, value: Any, place: str, asked: Field) -> bool:
    """Whether a FHIRPath is true of a value."""
    return _evaluated(expression, value, place, asked) == [True]


def _first_text(expression: str, value: Any, place: str, asked: Field) -> str:
    found = _evaluated(expression, value, place, asked)
    return argument_text(found[0]) if found else ""


def _evaluated(expression: str, value: Any, place: str, asked: Field) -> list[Any]:
    # A regular expression of a stranger can run for years, and a recursion too.
    if len(expression) > LONGEST_PATH or any(f"{name}(" in expression.replace(" ", "") for name in _UNBOUNDED):
        told = "a FHIRPath is too long, or uses regular expressions or repeat()"
        raise QueryFault(told, code="not-supported", at=asked.at)
    try:
        return fhirpath.compile(expression)(fhirpath.root(value, place))
    except (HealthSyncError, RecursionError):
        raise QueryFault("a FHIRPath cannot be evaluated", code="value", at=asked.at) from None


def _equal(found: Any, wanted: Any) -> bool:
    candidates = found if isinstance(found, list) else [found]
    asked_for = wanted if isinstance(wanted, list) else [wanted]
    texts = {argument_text(one) for one in asked_for}
    return any(one is not None and not isinstance(one, Mapping) and _text(one) in texts for one in candidates)


def _text(value: Any) -> str:
    return str(value) if isinstance(value, Decimal) else argument_text(value)


def _whole(asked: Field, name: str) -> int | None:
    value = asked.arguments.get(name)
    if value is None:
        return None
    text = str(value)
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise QueryFault(f"{name} takes a whole number", code="value", at=asked.at)
    return int(text)
