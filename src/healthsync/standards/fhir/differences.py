"""Where two versions of a resource differ, element by element. What the server itself writes does not count."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_OF_THE_SERVER = frozenset({"versionId", "lastUpdated"})
_INDEX = re.compile(r"\[\d+\]")
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """An element that differs: where (`Observation.valueQuantity.unit`, `Patient.name[0].family`), and both values,
    None where there is none. Values are a patient's: `path` alone may be told to everybody."""

    path: str
    before: Any
    after: Any

    @property
    def element(self) -> str:
        """The path without the places in lists: what many differences have in common."""
        return _INDEX.sub("", self.path)


def differences(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[Difference]:
    """All elements that differ; of a resource that is new or gone, its first level."""
    kind = (after or before or {}).get("resourceType", "Resource")
    return list(_between(kind, _shown(before), _shown(after)))


def _shown(resource: Mapping[str, Any] | None) -> dict[str, Any]:
    if resource is None:
        return {}
    meta = {name: value for name, value in resource.get("meta", {}).items() if name not in _OF_THE_SERVER}
    return {**resource, "meta": meta}


def _between(path: str, one: Any, other: Any) -> Iterator[Difference]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in dict.fromkeys((*one, *other)):
            yield from _between(f"{path}.{name}", one.get(name, _ABSENT), other.get(name, _ABSENT))
    elif isinstance(one, list) and isinstance(other, list):
        for place in range(max(len(one), len(other))):
            pair = (values[place] if place < len(values) else _ABSENT for values in (one, other))
            yield from _between(f"{path}[{place}]", *pair)
    elif one != other:
        yield Difference(path, None if one is _ABSENT else one, None if other is _ABSENT else other)
