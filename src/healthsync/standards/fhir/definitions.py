"""The official R4 definitions, distilled by `tools/build_definitions.py` into `data/*.json.gz` (see its NOTICE).

Each file is read once, when it is first asked for. What comes back is shared: nobody may change it.
"""

from __future__ import annotations

import gzip
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

FHIR_VERSION = "4.0.1"


def _load(name: str) -> Any:
    return msgspec.json.decode(
        gzip.decompress(files("healthsync.standards.fhir").joinpath(f"data/{name}.json.gz").read_bytes())
    )


@cache
def structures() -> dict[str, dict[str, Any]]:
    """Type -> `kind`, `abstract`, `elements`: path -> element name -> facts.

    Facts, absent when trivial: `min`; `max` (only "*" or "0"); `types`; `targets` of a Reference; `codes`, the value
    set of a required binding, `extensible`, that of an extensible one; `like`, the path whose content this element
    repeats; `summary`.
    """
    return _load("structures")


@cache
def value_sets() -> dict[str, dict[str, list[str]]]:
    """Value set -> code system -> codes, for the required and extensible bindings whose codes can be listed."""
    return _load("value_sets")


@cache
def invariants() -> dict[str, dict[str, list[list[str]]]]:
    """Path -> child ("" for the element at the path) -> [key, FHIRPath, HL7's sentence], those of severity error."""
    return _load("invariants")


@cache
def extensions() -> dict[str, dict[str, Any]]:
    """Url of an extension of the core specification -> `contexts`, `types` of its value, `modifier`."""
    return _load("extensions")


@cache
def search_parameters() -> list[dict[str, Any]]:
    """The 1,377 search parameters: `code`, `base`, `type`, `expression`, `url`, `target`, `component`, `usage`."""
    return _load("search_parameters")


@cache
def compartments() -> dict[str, dict[str, list[str]]]:
    """Type of the owner -> resource type -> the search parameters that place a resource in the owner's compartment."""
    return _load("compartments")


def patient_compartment() -> dict[str, list[str]]:
    """Resource type -> the search parameters that place a resource in a patient's compartment."""
    return compartments()["Patient"]


@cache
def resource_types() -> frozenset[str]:
    """The 146 concrete resource types."""
    return frozenset(
        name for name, facts in structures().items() if facts["kind"] == "resource" and "abstract" not in facts
    )


@cache
def is_definition(resource_type: str) -> bool:
    """Whether resources of the type are published, as a profile or a value set is, and about no patient."""
    return {"url", "publisher"} <= structures()[resource_type]["elements"][resource_type].keys()


PRIMITIVES = frozenset(
    {"base64Binary", "boolean", "canonical", "code", "date", "dateTime", "decimal", "id", "instant", "integer"}
    | {"markdown", "oid", "positiveInt", "string", "time", "unsignedInt", "uri", "url", "uuid", "xhtml"}
)


def json_name(element: str, type_name: str) -> str:
    """The property of an element in JSON: `value[x]` holding a Quantity is `valueQuantity` (json.html#choice)."""
    if not element.endswith("[x]"):
        return element
    return element[:-3] + type_name[0].upper() + type_name[1:]
