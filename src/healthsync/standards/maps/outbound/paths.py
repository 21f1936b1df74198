"""The paths of the outbound tables: `participant[ATND].individual->Practitioner`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

Resolve = Callable[[dict[str, Any], str], "dict[str, Any] | None"]
"""The resource that a Reference means, when it is of this type."""


@dataclass(frozen=True, slots=True)
class Step:
    """One name of a path. `words` narrow its entries, `refused` turns that round; `follow` is the type behind `->`, or
    behind `=>`, which is `typed`."""

    name: str
    words: frozenset[str] = frozenset()
    refused: bool = False
    follow: str = ""
    typed: bool = False


@dataclass(frozen=True, slots=True)
class Path:
    """A parsed path."""

    steps: tuple[Step, ...]


_STEP = re.compile(r"(\w+)(?:\[(!?)([^\]]+)\])?(?:([-=])>(\w+))?(?:\.|$)")


@lru_cache(maxsize=1024)
def parse(text: str) -> Path:
    """A path from its text. Raises ValueError."""
    steps, at = [], 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            raise ValueError(f"fhir_to_v2.yaml: “{text}” is no path")
        name, refused, words, arrow, follow = match.groups()
        found = frozenset((words or "").split("/")) - {""}
        steps.append(Step(name, found, bool(refused), follow or "", arrow == "="))
        at = match.end()
    return Path(tuple(steps))


def values(start: Any, path: Path, resolve: Resolve) -> list[Any]:
    """All values at a path, in order; `start` itself for the empty path."""
    found = [start]
    for step in path.steps:
        found = [value for each in found for value in _step(each, step, resolve)]
    return found


def _step(value: Any, step: Step, resolve: Resolve) -> Iterator[Any]:
    if not isinstance(value, dict) or (inner := value.get(step.name)) is None:
        return
    for entry in inner if isinstance(inner, list) else [inner]:
        if step.words and bool(step.words & _words(entry)) is step.refused:
            continue
        if not step.follow:
            yield entry
        elif step.typed and not entry.keys() & {"reference", "type"}:
            continue
        elif isinstance(entry, dict) and (target := resolve(entry, step.follow)) is not None:
            yield target


def _words(entry: Any) -> set[str]:
    """What a filter may call an entry by: use, system, status, codes and their tables, or the end of its address."""
    if not isinstance(entry, dict):
        return {str(entry)}
    words = {str(entry[name]) for name in ("use", "system", "status", "code") if isinstance(entry.get(name), str)}
    if isinstance(url := entry.get("url"), str):
        words.add(url.rpartition("/")[2])
    concepts = [entry, *(extension.get("valueCodeableConcept") for extension in entry.get("extension", ()))]
    for name in ("type", "function"):
        inner = entry.get(name)
        concepts += inner if isinstance(inner, list) else [inner]
    for concept in concepts:
        for coding in concept.get("coding", ()) if isinstance(concept, dict) else ():
            words |= {coding.get("code", ""), coding.get("system", "").rpartition("/")[2]}
    return words
