"""The types that `is`, `as` and `ofType` speak of (N1 §6.3), those of FHIR and those of System."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import Any

from healthsync.errors import InvalidInput
from healthsync.standards.fhir.definitions import PRIMITIVES, structures
from healthsync.standards.fhir.fhirpath.values import Node, Quantity, Temporal

_SYSTEM = {bool: "Boolean", int: "Integer", Decimal: "Decimal", str: "String", Quantity: "Quantity"}
_SYSTEM_NAMES = frozenset({*_SYSTEM.values(), "Date", "DateTime", "Time", "Any"})
_PARENTS = {
    **dict.fromkeys(("code", "id", "markdown"), "string"),
    **dict.fromkeys(("url", "canonical", "uuid", "oid"), "uri"),
    **dict.fromkeys(("positiveInt", "unsignedInt"), "integer"),
    **dict.fromkeys(("Age", "Count", "Distance", "Duration", "SimpleQuantity", "MoneyQuantity"), "Quantity"),
    **dict.fromkeys(("Bundle", "Binary", "Parameters", "DomainResource"), "Resource"),
    **dict.fromkeys(("Timing", "Dosage", "ElementDefinition"), "BackboneElement"),
    "BackboneElement": "Element",
}


@cache
def known() -> frozenset[str]:
    """The names of FHIR's own types."""
    return PRIMITIVES | structures().keys()


def checked(name: str) -> str:
    """The name of a type. Raises InvalidInput for one that neither FHIR R4 nor System has."""
    namespace, _, bare = name.rpartition(".")
    is_system = namespace in {"", "System"} and bare in _SYSTEM_NAMES
    is_fhir = namespace in {"", "FHIR"} and (bare in known() or bare in _PARENTS)
    if not is_system and not is_fhir and namespace != "System":
        raise InvalidInput("the FHIRPath expression names a type that FHIR R4 does not have", code="value")
    return name


def name_of(item: Any) -> tuple[str, str]:
    """(namespace, name)."""
    if type(item) is Temporal:
        return "System", item.kind
    if type(item) is Node:
        return "FHIR", "BackboneElement" if "." in item.type else item.type
    return "System", _SYSTEM[type(item)]


def is_type(item: Any, name: str) -> bool:
    """Is it of the type, or of one derived from it?"""
    wanted_namespace, _, wanted = name.rpartition(".")
    namespace, own = name_of(item)
    if wanted_namespace not in {"", namespace}:
        return False
    return wanted == own or (namespace == "FHIR" and wanted in ancestors(own))


def is_exactly(item: Any, name: str) -> bool:
    """As `is_type`, but a code is not taken for a string: what `as` and `ofType` ask."""
    return is_type(item, name) and (type(item) is not Node or item.type not in PRIMITIVES or _last(name) == item.type)


def _last(name: str) -> str:
    return name.rpartition(".")[2]


@cache
def ancestors(name: str) -> frozenset[str]:
    """The types that a FHIR type is derived from."""
    parent = _PARENTS.get(name)
    if parent is None:
        if name in {"Element", "Resource", ""}:
            return frozenset()
        is_resource = structures().get(name, {}).get("kind") == "resource"
        parent = "DomainResource" if is_resource else "Element"
    return frozenset({parent}) | ancestors(parent)
