"""Which patients a resource is about, and what lies in a compartment (compartmentdefinition.html)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import references
from healthsync.standards.fhir.binaries import security_context
from healthsync.standards.fhir.criteria import Criterion, Node, Or, ThisResource
from healthsync.standards.fhir.definitions import compartments, patient_compartment
from healthsync.standards.fhir.query import SearchQuery
from healthsync.standards.fhir.query_values import ReferenceValue
from healthsync.standards.fhir.search_parameters import definition, referenced_under


def patients_of(resource: dict[str, Any]) -> list[str]:
    """Ids of the patients in whose compartment `resource` lies, each once; a Patient is first of all in its own.

    Only relative references count: an absolute one names a patient of another server.
    """
    resource_type = resource["resourceType"]
    if resource_type == "Binary":  # as the resource by which access to it is decided (binary.html#security)
        context = references.parse(security_context(resource) or "")
        return [str(context.id)] if context.kind is references.Kind.RELATIVE and context.type == "Patient" else []
    patients = [resource["id"]] if resource_type == "Patient" and "id" in resource else []
    parameters = patient_compartment().get(resource_type)
    if parameters:
        targets = referenced_under(resource, frozenset(parameters))
        patients.extend(target.removeprefix("Patient/") for target in targets if target.startswith("Patient/"))
    return list(dict.fromkeys(patients))


def is_patient_data(resource_type: str) -> bool:
    """Can a resource of this type lie in a patient's compartment? Definitions, organisations and the like cannot."""
    return resource_type == "Patient" or resource_type in patient_compartment()


def within(query: SearchQuery, compartment: str, id_: str) -> SearchQuery:
    """The search, narrowed to a compartment: its owner, and what refers to him by one of the parameters that define it.

    Raises InvalidInput (`not-supported`) where R4 defines no compartment, or a type is in none of this kind.
    """
    members = compartments().get(compartment)
    if members is None:
        kinds = ", ".join(sorted(compartments()))
        raise InvalidInput(f"R4 defines compartments of {kinds} only", code="not-supported")
    value = ReferenceValue(compartment, id_, None, (f"{compartment}/{id_}",))
    types = (query.type,) if query.type else query.types or tuple(sorted({*members, compartment}))
    nodes: list[Node] = [
        Criterion(parameter, None, (value,))
        for resource_type in types
        for name in members.get(resource_type, ())
        if (parameter := definition(resource_type, name)) is not None and parameter.paths
    ]
    if compartment in types:
        nodes.append(ThisResource(compartment, id_))
    if not nodes:
        raise InvalidInput(f"resources of this type are in no compartment of a {compartment}", code="not-supported")
    types_of_all = query.types if query.type or query.types else types
    return replace(query, criteria=[*query.criteria, Or(tuple(nodes))], types=types_of_all)
