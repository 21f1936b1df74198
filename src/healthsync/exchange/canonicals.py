"""What canonicals name, and what names a resource: by url, in any version or in one (references.html#canonical).

The index finds a canonical under its url with and without the version; what was written is told by the resource itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from healthsync.standards.fhir import references, search_parameters
from healthsync.standards.fhir.matching import as_written
from healthsync.standards.fhir.query import Include
from healthsync.standards.fhir.search_parameters import Parameter


def has_url(resource_type: str) -> bool:
    """Whether resources of this type can be named by a canonical."""
    return search_parameters.definition(resource_type, "url") is not None


def defining(parameter: Parameter, target: str | None) -> list[str]:
    """The types among the targets of a reference parameter that have a canonical URL; only `target`, where given."""
    if parameter.type != "reference":
        return []
    return [each for each in parameter.targets if target in (None, each) and has_url(each)]


def names_of(document: Mapping[str, Any]) -> list[str]:
    """What a canonical may call this resource."""
    url, version = document.get("url"), document.get("version")
    return [url, *([f"{url}|{version}"] if version else [])] if url else []


def written(document: Mapping[str, Any], paths: frozenset[str] | None) -> list[str]:
    """The canonicals of a resource under some paths (None: under any), with the version that they were written with."""
    values = search_parameters.index(dict(document))
    under: dict[str, list[str]] = {}
    for path, text in values.references:
        if (paths is None or path in paths) and references.parse(text).kind is not references.Kind.RELATIVE:
            under.setdefault(path, []).append(text)
    return [text for texts in under.values() for text in as_written(texts)]


def named(include: Include, document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The canonicals that an include leads to from one resource, each with the types that it may name."""
    resource_type = document["resourceType"]
    if include.source not in ("*", resource_type):
        return
    known = search_parameters.definitions(resource_type)
    followed = known.values() if include.parameter == "*" else [known[include.parameter]]
    naming = {path: types for each in followed if (types := defining(each, include.target)) for path in each.paths}
    for path, types in naming.items():
        for text in written(document, frozenset({path})):
            yield from ((each, text) for each in types)
