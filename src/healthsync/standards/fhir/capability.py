"""The CapabilityStatement of a server, from what is registered with it (capabilitystatement.html)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from healthsync.standards.fhir.definitions import FHIR_VERSION, compartments, resource_types
from healthsync.standards.fhir.search_parameters import Parameter, definitions, is_indexed, until_used

FORMATS = ("application/fhir+json", "json")
EVERY_TYPE = ("*",)
_WEBSOCKET = "http://hl7.org/fhir/StructureDefinition/capabilitystatement-websocket"
_COMPARTMENT = "http://hl7.org/fhir/CompartmentDefinition/"
_TOPIC = (
    "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/capabilitystatement-subscriptiontopic-canonical"
)


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation such as `everything`, the URL of its definition, and where it can be called.

    types   the resource types whose address it has (`EVERY_TYPE` for all); none: only the server's own
    system  whether the server's own address has it too
    """

    name: str
    definition: str
    types: tuple[str, ...] = ()
    system: bool = False

    def is_of(self, resource_type: str) -> bool:
        """Whether it is called under the address of this type or its resources."""
        return resource_type in self.types or self.types == EVERY_TYPE


@dataclass(frozen=True, slots=True)
class ResourceSupport:
    """What a server does with one resource type. `interactions` are the codes of restful-interaction.

    conditional_delete  not-supported, single or multiple
    includes            whether _include and _revinclude are followed
    searched_by         the search parameters that are answered, None for all of the type
    topics              of a Subscription: canonical URLs of what may be subscribed to (R5 Backport guide)
    """

    type: str
    interactions: tuple[str, ...]
    operations: tuple[Operation, ...] = ()
    conditional_create: bool = False
    conditional_update: bool = False
    conditional_delete: str = "not-supported"
    update_create: bool = False
    includes: bool = False
    reference_policy: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    searched_by: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """What is said of the server as a whole; `published` is a dateTime."""

    base_url: str
    software_version: str
    published: str
    interactions: tuple[str, ...] = ()
    operations: tuple[Operation, ...] = ()
    patch_formats: tuple[str, ...] = ()
    implementation_guides: tuple[str, ...] = ()
    instantiates: tuple[str, ...] = ()
    security: str = ""
    oauth: bool = False
    cors: bool = False
    websocket: str = ""


def capability_statement(server: Server, resources: Iterable[ResourceSupport]) -> dict[str, Any]:
    """A statement of kind `instance`; resource types come in alphabetical order."""
    rest: dict[str, Any] = {"mode": "server"}
    _add(rest, "extension", [{"url": _WEBSOCKET, "valueUri": server.websocket}] if server.websocket else [])
    _add(rest, "security", _security(server))
    _add(rest, "resource", [_resource(support) for support in sorted(resources, key=lambda support: support.type)])
    _add(rest, "interaction", [{"code": code} for code in server.interactions])
    if "search-system" in server.interactions:
        _add(rest, "searchParam", [_parameter(each) for each in _searchable("Resource")])
    _add(rest, "operation", _operations(server.operations))
    if any("search-type" in support.interactions for support in resources):
        _add(rest, "compartment", [f"{_COMPARTMENT}{kind.lower()}" for kind in sorted(compartments())])
    statement = {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": server.published,
        "publisher": "the operator of this hub",
        "kind": "instance",
        **_about(server),
        "fhirVersion": FHIR_VERSION,
        "format": list(FORMATS),
    }
    _add(statement, "instantiates", list(server.instantiates))
    _add(statement, "patchFormat", list(server.patch_formats))
    _add(statement, "implementationGuide", list(server.implementation_guides))
    return {**statement, "rest": [rest]}


def terminology_capabilities(
    server: Server, systems: Mapping[str, Sequence[str]], parameters: Iterable[str]
) -> dict[str, Any]:
    """What `GET metadata?mode=terminology` answers (terminologycapabilities.html).

    `systems` are the code systems whose members are known here, each with its versions, the one that is meant without a
    version first; `parameters` are those of $expand that have an effect.
    """
    return {
        "resourceType": "TerminologyCapabilities",
        "url": f"{server.base_url}/metadata?mode=terminology",
        "version": server.software_version,
        "name": "HealthSyncTerminology",
        "title": "HealthSync terminology service",
        "status": "active",
        "date": server.published,
        "kind": "instance",
        **_about(server),
        "lockedDate": False,
        "codeSystem": [_code_system(url, systems[url]) for url in sorted(systems)],
        "expansion": {
            "hierarchical": True,
            "paging": True,
            "incomplete": True,
            "parameter": [{"name": name} for name in sorted(parameters)],
            "textFilter": "Each word is looked for in the display and the code, whatever the case of its letters.",
        },
        "codeSearch": "explicit",
        "validateCode": {"translations": True},
        "translation": {"needsMap": False},
        "closure": {"translation": False},
    }


def _code_system(url: str, versions: Sequence[str]) -> dict[str, Any]:
    told: dict[str, Any] = {"uri": url}
    _add(told, "version", [{"code": version, "isDefault": n == 0} for n, version in enumerate(versions)])
    return {**told, "subsumption": True}


def _about(server: Server) -> dict[str, Any]:
    return {
        "software": {"name": "HealthSync", "version": server.software_version},
        "implementation": {"description": "HealthSync health information exchange hub", "url": server.base_url},
    }


def _security(server: Server) -> dict[str, Any]:
    security: dict[str, Any] = {"cors": True} if server.cors else {}
    if server.oauth:
        coding = {"system": "http://terminology.hl7.org/CodeSystem/restful-security-service", "code": "OAuth"}
        security["service"] = [{"coding": [coding]}]
    elif server.security:  # R4 has no code for a key
        security["service"] = [{"text": "API key as a bearer token"}]
    if server.security:
        security["description"] = server.security
    return security


def _resource(support: ResourceSupport) -> dict[str, Any]:
    described: dict[str, Any] = {
        "type": support.type,
        "interaction": [{"code": code} for code in support.interactions],
        "versioning": "versioned",
        "readHistory": "vread" in support.interactions,
        "updateCreate": support.update_create,
        "conditionalCreate": support.conditional_create,
        "conditionalRead": "full-support" if "read" in support.interactions else "not-supported",
        "conditionalUpdate": support.conditional_update,
        "conditionalDelete": support.conditional_delete,
    }
    _add(described, "extension", [{"url": _TOPIC, "valueCanonical": topic} for topic in support.topics])
    _add(described, "supportedProfile", list(support.profiles))
    _add(described, "referencePolicy", list(support.reference_policy))
    if "search-type" in support.interactions:
        if support.includes:
            _add(described, "searchInclude", ["*", *_includes(support.type)])
            _add(described, "searchRevInclude", list(_referring().get(support.type, ())))
        named = support.searched_by
        served = (each for each in _searchable(support.type) if named is None or each.name in named)
        _add(described, "searchParam", [_parameter(each) for each in served])
    _add(described, "operation", _operations(support.operations))
    return described


def _searchable(resource_type: str) -> list[Parameter]:
    served = (each for each in definitions(resource_type).values() if is_indexed(each))
    return sorted(served, key=lambda parameter: parameter.name)


def _includes(resource_type: str) -> list[str]:
    references = (each for each in _searchable(resource_type) if each.type == "reference")
    return [f"{resource_type}:{parameter.name}" for parameter in references]


@until_used
def _referring() -> dict[str, Sequence[str]]:
    """Resource type -> the reference parameters, of whatever type, that name it as a target."""
    referring: dict[str, list[str]] = {}
    for source in sorted(resource_types()):
        for parameter in _searchable(source):
            if parameter.type == "reference":
                for target in parameter.targets:
                    referring.setdefault(target, []).append(f"{source}:{parameter.name}")
    return dict(referring)


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {"name": parameter.name, "definition": parameter.url, "type": parameter.type}


def _operations(operations: Iterable[Operation]) -> list[dict[str, str]]:
    return [{"name": operation.name, "definition": operation.definition} for operation in operations]


def _add(target: dict[str, Any], name: str, value: Any) -> None:
    """FHIR has no empty lists and objects."""
    if value:
        target[name] = value
