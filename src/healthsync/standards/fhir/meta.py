"""Profiles, tags and security labels as sets (resource-operations.html#meta-add, #meta-delete).

A tag or label is known by its system and code, whatever its display and version; a profile by its URL.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from healthsync.errors import InvalidInput

Json = dict[str, Any]

SETS = ("profile", "security", "tag")


def given(parameters: Json) -> Json:
    """The Meta in the Parameters of `$meta-add` and `$meta-delete`. Raises InvalidInput (`required`, `structure`)."""
    listed = parameters.get("parameter")
    found = [
        each
        for each in (listed if isinstance(listed, list) else ())
        if isinstance(each, dict) and each.get("name") == "meta"
    ]
    meta = found[0].get("valueMeta") if len(found) == 1 else None
    if parameters.get("resourceType") != "Parameters" or not isinstance(meta, dict):
        told = "send Parameters with one parameter 'meta' that has a valueMeta"
        raise InvalidInput(told, code="required", expression="Parameters.parameter")
    if any(not isinstance(meta.get(name, []), list) for name in SETS):
        raise InvalidInput("profile, security and tag are lists", code="structure", expression="Parameters.parameter")
    return meta


def answer(meta: Json) -> Json:
    """The Parameters that `$meta`, `$meta-add` and `$meta-delete` answer; FHIR has no empty Meta."""
    return {"resourceType": "Parameters", **({"parameter": [{"name": "return", "valueMeta": meta}]} if meta else {})}


def added(resource: Json, more: Json) -> Json:
    """The resource with the profiles, labels and tags of `more`, none of them twice."""
    meta = dict(resource.get("meta", {}))
    for name in SETS:
        known = {_identity(each) for each in meta.get(name, [])}
        news = [each for each in more.get(name, []) if _identity(each) not in known]
        if news:
            meta[name] = [*meta.get(name, []), *news]
    return {**resource, "meta": meta}


def removed(resource: Json, less: Json) -> Json:
    """The resource without the profiles, labels and tags of `less`; what it has not is passed over."""
    meta = dict(resource.get("meta", {}))
    for name in SETS:
        gone = {_identity(each) for each in less.get(name, [])}
        kept = [each for each in meta.get(name, []) if _identity(each) not in gone]
        if kept:
            meta[name] = kept
        else:
            meta.pop(name, None)
    return {**resource, "meta": meta}


def carried(before: Json, after: Json, passing: Collection[tuple[str, str]] = ()) -> Json:
    """An update with the tags and labels that it does not repeat (resource.html#tag-updates); profiles are replaced.

    `passing` are tags (system, code) that said something of the old version only.
    """
    old = before.get("meta", {})
    kept = {
        name: [each for each in old.get(name, []) if _identity(each) not in passing] for name in ("security", "tag")
    }
    return added(after, kept) if any(kept.values()) else after


def loses_security(before: Json, after: Json) -> bool:
    """Whether a security label of `before` is gone from `after`."""
    return not _labels(before) <= _labels(after)


def _labels(resource: Json) -> set[Any]:
    meta = resource.get("meta")
    labels = meta.get("security", []) if isinstance(meta, dict) else []
    return {_identity(label) for label in labels} if isinstance(labels, list) else set()


def _identity(each: Any) -> Any:
    """Of what is no code as well: a patch may put anything there, and what comes of it is validated only then."""
    return (str(each.get("system")), str(each.get("code"))) if isinstance(each, dict) else str(each)
