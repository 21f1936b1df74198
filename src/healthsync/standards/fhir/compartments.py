"""Which patients a resource is about: the R4 patient compartment (compartmentdefinition-patient.html)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from healthsync.errors import InvalidInput
from healthsync.standards.fhir.criteria import Criterion, Node, Or
from healthsync.standards.fhir.definitions import patient_compartment
from healthsync.standards.fhir.query import SearchQuery
from healthsync.standards.fhir.query_values import ReferenceValue, TokenValue
from healthsync.standards.fhir.search_parameters import definition, referenced_under


def patients_of(resource: dict[str, Any]) -> list[str]:
    """Ids of the patients in whose compartment `resource` lies, each once; a Patient is first of all in its own.

    Only relative references count: an absolute one names a patient of another server.
    """
    resource_type = resource["resourceType"]
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
    """The search, narrowed to a compartment: what refers to its owner by one of the parameters that define it.

    Raises InvalidInput (`not-supported`) for a compartment of another kind than Patient, or a type that is in none.
    """
    if compartment != "Patient":
        raise InvalidInput("only the compartments of patients can be searched", code="not-supported")
    owner = f"Patient/{id_}"
    value = ReferenceValue("Patient", id_, None, (owner,))
    nodes: list[Node] = []
    types = (query.type,) if query.type else query.types or tuple(sorted({*patient_compartment(), "Patient"}))
    for resource_type in types:
        for name in patient_compartment().get(resource_type, ()):
            parameter = definition(resource_type, name)
            if parameter is not None and parameter.paths:
                nodes.append(Criterion(parameter, None, (value,)))
        if resource_type == "Patient" and (own := definition("Patient", "_id")) is not None:
            nodes.append(Criterion(own, None, (TokenValue(None, id_),)))
    if not nodes:
        raise InvalidInput("resources of this type are in no patient's compartment", code="not-supported")
    types_of_all = query.types if query.type or query.types else types
    return replace(query, criteria=[*query.criteria, Or(tuple(nodes))], types=types_of_all)
