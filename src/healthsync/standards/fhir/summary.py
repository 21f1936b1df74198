"""Parts of a resource: `_summary` and `_elements` (search.html#summary, #elements).

What an answer leaves out it must admit: the resource gets the tag SUBSETTED, so that nobody writes it back as whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

from healthsync.errors import InvalidInput
from healthsync.standards.fhir.definitions import json_name, structures

Json = dict[str, Any]
Summary = Literal["true", "false", "text", "data", "count"]

SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}

SUMMARIES = frozenset({"true", "false", "text", "data", "count"})
_ALWAYS = frozenset({"resourceType", "id", "meta", "implicitRules", "modifierExtension"})
"""Never left out: without the last two a reader may misunderstand what is left."""


def summary_of(text: str | None) -> str | None:
    """The value of `_summary`, None for the whole resource. Raises InvalidInput (`value`) for an unknown one."""
    if text is None or text == "false":
        return None
    if text not in SUMMARIES:
        raise InvalidInput("_summary is true, text, data, count or false", code="value")
    return text


def elements_of(text: str | None) -> tuple[str, ...]:
    """The names in `_elements`, which may be of one type: `Patient.name`."""
    return tuple(name for part in (text or "").split(",") if (name := part.strip()))


def reduce(resource: Json, summary: str | None = None, elements: Sequence[str] = ()) -> Json:
    """What `_summary` and `_elements` leave of a resource; itself when they ask for all of it.

    true     elements that the definition marks as summary, at every level, and mandatory ones
    text     narrative, id, meta and mandatory elements
    data     all but the narrative
    elements those named and mandatory ones; of a name with a dot (`name.family`) the element at the root
    """
    kind = resource["resourceType"]
    if kind not in structures():
        return resource
    match summary:
        case "true":
            reduced = _summarised(resource, kind)
        case "text":
            reduced = _kept(resource, _ALWAYS | _mandatory(kind) | {"text"})
        case "data":
            reduced = {name: value for name, value in resource.items() if name != "text"}
        case _:
            reduced = resource
    if elements:
        wanted = frozenset(name.removeprefix(f"{kind}.").partition(".")[0] for name in elements)
        reduced = _kept(reduced, _ALWAYS | _mandatory(kind) | wanted | _choices(kind, wanted))
    return reduced if reduced is resource else subsetted(reduced)


def subsetted(resource: Json) -> Json:
    """The resource with the tag that says that it is not whole."""
    meta = resource.get("meta", {})
    tags = [tag for tag in meta.get("tag", ()) if tag.get("code") != SUBSETTED["code"]]
    return {**resource, "meta": {**meta, "tag": [*tags, SUBSETTED]}}


def is_subsetted(meta: Json) -> bool:
    """Whether the Meta, of whatever shape, says that its resource is not whole."""
    tags = meta.get("tag")
    return isinstance(tags, list) and any(isinstance(tag, dict) and SUBSETTED.items() <= tag.items() for tag in tags)


def _kept(resource: Json, names: frozenset[str]) -> Json:
    return {name: value for name, value in resource.items() if name.lstrip("_") in names}


def _summarised(value: Json, path: str) -> Json:
    shown = _shown(path)
    reduced: Json = {}
    for name, child in value.items():
        own_path = shown.get(name.lstrip("_"))
        if own_path is None and name != "resourceType":
            continue
        small = child if name.startswith("_") else _part(child, own_path or "")
        if small not in ({}, []):
            reduced[name] = small
    return reduced


def _part(value: Any, path: str) -> Any:
    if not path:
        return value
    if isinstance(value, list):
        return [small for item in value if (small := _part(item, path)) != {}]
    return _summarised(value, path) if isinstance(value, dict) else value


@cache
def _shown(path: str) -> dict[str, str]:
    """Property -> where its own properties are described ("" for what is shown whole), of what a summary shows."""
    root = structures()[path.partition(".")[0]]
    shown: dict[str, str] = {}
    for element, facts in root["elements"][path].items():
        if not facts.get("summary") and not facts.get("min"):
            continue
        types = facts.get("types", ())
        for kind in types or ("",):
            shown[json_name(element, kind) if kind else element] = _described_at(root, path, element, facts, kind)
    return shown | dict.fromkeys(_ALWAYS & root["elements"][path].keys(), "")


def _described_at(root: Json, path: str, element: str, facts: Json, kind: str) -> str:
    own = facts.get("like") or f"{path}.{element}"
    if own in root["elements"]:
        return own
    return kind if kind != "Extension" and kind in structures() and _has_summary(kind) else ""


def _has_summary(kind: str) -> bool:
    """A type none of whose elements is marked (Attachment.data is, Extension has none) is shown whole."""
    return any(facts.get("summary") for facts in structures()[kind]["elements"].get(kind, {}).values())


@cache
def _mandatory(kind: str) -> frozenset[str]:
    elements = structures()[kind]["elements"][kind]
    return frozenset(
        json_name(name, type_name)
        for name, facts in elements.items()
        if facts.get("min")
        for type_name in facts.get("types", ("",))
    )


@cache
def _choices(kind: str, wanted: frozenset[str]) -> frozenset[str]:
    """`_elements=value` names every property that value[x] may have in JSON."""
    elements = structures()[kind]["elements"][kind]
    return frozenset(
        json_name(name, type_name)
        for name, facts in elements.items()
        if name.endswith("[x]") and name[:-3] in wanted
        for type_name in facts["types"]
    )
