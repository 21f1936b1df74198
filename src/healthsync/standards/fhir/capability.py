"""The CapabilityStatement of a server, from what is registered with it (capabilitystatement.html)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from healthsync.standards.fhir.definitions import FHIR_VERSION
from healthsync.standards.fhir.search_parameters import Parameter, definitions, is_indexed


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation such as `everything` and the URL of its definition."""

    name: str
    definition: str


@dataclass(frozen=True, slots=True)
class ResourceSupport:
    """What a server does with one resource type. `interactions` are the codes of restful-interaction."""

    type: str
    interactions: tuple[str, ...]
    operations: tuple[Operation, ...] = ()
    parameter_types: frozenset[str] = frozenset({"token", "string", "date", "reference", "uri", "number", "quantity"})
    conditional_create: bool = False
    conditional_update: bool = False
    includes: tuple[str, ...] = ()


def capability_statement(
    resources: Iterable[ResourceSupport],
    *,
    base_url: str,
    software_version: str,
    published: str,
    system_interactions: Iterable[str] = (),
    system_operations: Iterable[Operation] = (),
    security: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A statement of kind `instance`; `published` is a dateTime. Resource types come in alphabetical order."""
    rest: dict[str, Any] = {"mode": "server"}
    if security:
        rest["security"] = security
    _add(rest, "resource", [_resource(support) for support in sorted(resources, key=lambda support: support.type)])
    _add(rest, "interaction", [{"code": code} for code in system_interactions])
    _add(rest, "operation", _operations(system_operations))
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": published,
        "kind": "instance",
        "software": {"name": "HealthSync", "version": software_version},
        "implementation": {"description": "HealthSync health information exchange hub", "url": base_url},
        "fhirVersion": FHIR_VERSION,
        "format": ["application/fhir+json", "json"],
        "rest": [rest],
    }


def _resource(support: ResourceSupport) -> dict[str, Any]:
    described: dict[str, Any] = {
        "type": support.type,
        "interaction": [{"code": code} for code in support.interactions],
        "versioning": "versioned",
        "readHistory": "vread" in support.interactions,
        "conditionalCreate": support.conditional_create,
        "conditionalUpdate": support.conditional_update,
    }
    _add(described, "searchInclude", list(support.includes))
    if "search-type" in support.interactions:
        _add(described, "searchParam", [_parameter(each) for each in _searchable(support)])
    _add(described, "operation", _operations(support.operations))
    return described


def _searchable(support: ResourceSupport) -> list[Parameter]:
    served = (each for each in definitions(support.type).values() if each.type in support.parameter_types)
    return sorted((each for each in served if is_indexed(each)), key=lambda parameter: parameter.name)


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {"name": parameter.name, "definition": parameter.url, "type": parameter.type}


def _operations(operations: Iterable[Operation]) -> list[dict[str, str]]:
    return [{"name": operation.name, "definition": operation.definition} for operation in operations]


def _add(target: dict[str, Any], name: str, values: list[Any]) -> None:
    """FHIR has no empty lists."""
    if values:
        target[name] = values
