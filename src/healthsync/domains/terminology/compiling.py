"""FHIR resources become compiled terminology. Pure; what is not understood raises InvalidInput."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from healthsync.domains.terminology.errors import Unusable
from healthsync.domains.terminology.model import (
    CodeSystem,
    Coding,
    CompiledCodeSystem,
    CompiledConceptMap,
    Concept,
    ConceptMap,
    Designation,
    Filter,
    FilterOperator,
    MapEntry,
    Part,
    Property,
    Unmapped,
    ValueSet,
    extension_value,
    standards_status,
)
from healthsync.errors import InvalidInput

Json = Mapping[str, Any]

_STANDARD = "http://hl7.org/fhir/concept-properties#"
_EXTENSIONS = "http://hl7.org/fhir/StructureDefinition/"
_SUPPLEMENT = f"{_EXTENSIONS}valueset-supplement"
_SUPPLEMENT_TYPE = f"{_EXTENSIONS}codesystem-supplement-type"
_SHOWN = frozenset(
    _EXTENSIONS + name
    for name in (
        *("codesystem-label", "codesystem-conceptOrder", "codesystem-alternate", "itemWeight"),
        *("rendering-style", "rendering-xhtml", "coding-sctdescid"),
    )
)
"""Extensions of a concept that an expansion tells."""
_ABSTRACT = ("notSelectable", "not-selectable", "abstract")
_INACTIVE_STATUSES = frozenset({"retired", "inactive", "withdrawn"})
_NO_MATCH = "unmatched"


def code_system(resource: Json) -> CompiledCodeSystem:
    """Concepts in the order of the resource, each code once; hierarchy from nesting and from parent and child
    properties (codesystem.html#hierarchy)."""
    meanings = {p["code"]: _meaning(p) for p in resource.get("property", ())}
    found: dict[str, Concept] = {}
    parents: dict[str, list[str]] = {}
    for concept, above in _walk(resource.get("concept", ())):
        code = concept["code"]
        if code in found:
            continue
        found[code] = _concept(concept, meanings, len(found))
        parents.setdefault(code, []).extend([above] if above is not None else [])
        for relation, other in _relations(found[code], meanings):
            below, over = (code, other) if relation == "parent" else (other, code)
            parents.setdefault(below, []).append(over)
    concepts = [_under(concept, parents.get(code, ()), found) for code, concept in found.items()]
    return CompiledCodeSystem(header(resource), tuple(concepts))


def header(resource: Json) -> CodeSystem:
    """What a code system says of itself."""
    return CodeSystem(
        url=resource["url"],
        version=resource.get("version"),
        name=resource.get("name"),
        title=resource.get("title"),
        status=resource.get("status", "active"),
        content=resource.get("content", "complete"),
        case_sensitive=resource.get("caseSensitive", False),  # not said: codes in any case are accepted
        properties={p["code"]: p.get("type", "string") for p in resource.get("property", ())},
        language=resource.get("language"),
        experimental=resource.get("experimental", False),
        standards_status=standards_status(resource.get("extension", ())),
        supplements=resource.get("supplements"),
        version_needed=resource.get("versionNeeded", False),
        language_pack=extension_value(resource.get("extension", ()), _SUPPLEMENT_TYPE) == "lang-pack",
        property_uris={p["code"]: p["uri"] for p in resource.get("property", ()) if "uri" in p},
    )


def _meaning(declared: Json) -> str:
    """The standard property that a code system means by a name of its own (codesystem.html#4.8.10)."""
    uri = declared.get("uri", "")
    return uri.removeprefix(_STANDARD) if uri.startswith(_STANDARD) else declared["code"]


def _walk(concepts: Sequence[Json]) -> Iterator[tuple[Json, str | None]]:
    """Every concept with the code that it is nested in, in document order."""
    waiting: list[tuple[Json, str | None]] = [(concept, None) for concept in reversed(concepts)]
    while waiting:
        concept, above = waiting.pop()
        yield concept, above
        waiting.extend((nested, concept["code"]) for nested in reversed(concept.get("concept", ())))


def _concept(concept: Json, meanings: Mapping[str, str], ordinal: int) -> Concept:
    properties = tuple(_property(p) for p in concept.get("property", ()))
    extensions = concept.get("extension", ())
    if (status := standards_status(extensions)) is not None and not any(p.code == "status" for p in properties):
        properties = (*properties, Property("status", "code", str(status)))
    said = {meanings.get(p.code, p.code): p.value for p in properties}
    return Concept(
        code=concept["code"],
        display=concept.get("display"),
        definition=concept.get("definition"),
        ordinal=ordinal,
        inactive=said.get("inactive") == "true" or said.get("status") in _INACTIVE_STATUSES,
        abstract=any(said.get(name) == "true" for name in _ABSTRACT),
        designations=tuple(_designation(d) for d in concept.get("designation", ())),
        properties=properties,
        extensions=tuple(each for each in extensions if each.get("url") in _SHOWN),
    )


def _property(entry: Json) -> Property:
    name = next((key for key in entry if key.startswith("value")), "valueString")
    value = entry.get(name, "")
    kind = name[len("value") :]
    if isinstance(value, Mapping):
        return Property(entry["code"], kind, str(value.get("code", "")), value)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return Property(entry["code"], kind[0].lower() + kind[1:], text)


def _designation(entry: Json) -> Designation:
    status = standards_status(entry.get("extension", ()))
    return Designation(entry["value"], entry.get("language"), entry.get("use"), status)


def _relations(concept: Concept, meanings: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for item in concept.properties:
        meaning = meanings.get(item.code, item.code)
        if meaning in ("parent", "child"):
            yield meaning, item.value


def _under(concept: Concept, parents: Sequence[str], known: Mapping[str, Concept]) -> Concept:
    above = tuple(dict.fromkeys(parent for parent in parents if parent in known and parent != concept.code))
    return replace(concept, parents=above) if above else concept


def value_set(resource: Json) -> ValueSet:
    """The parts of `compose`; a value set that has only an expansion is what that lists."""
    compose = resource.get("compose")
    if compose is None:
        compose = {}
        includes = _listed(resource.get("expansion", {}).get("contains", ()))
    else:
        includes = tuple(_part(part) for part in compose.get("include", ()))
    return ValueSet(
        url=resource.get("url"),
        version=resource.get("version"),
        includes=includes,
        excludes=tuple(_part(part) for part in compose.get("exclude", ())),
        inactive=compose.get("inactive", True),
        header=resource,
        obstacle=_obstacle(resource),
        language=resource.get("language"),
        display_language=_expansion_language(resource),
        experimental=resource.get("experimental", False),
        standards_status=standards_status(resource.get("extension", ())),
        supplements=tuple(
            extension["valueCanonical"]
            for extension in resource.get("extension", ())
            if extension.get("url") == _SUPPLEMENT and "valueCanonical" in extension
        ),
        contained={
            f"#{inner['id']}": value_set(inner)
            for inner in resource.get("contained", ())
            if inner.get("resourceType") == "ValueSet" and "id" in inner
        },
    )


def _obstacle(resource: Json) -> str | None:
    """What stands in a definition and would have to be understood to follow it (extensibility.html#modifierExtension,
    ValueSet.compose.lockedDate)."""
    compose = resource.get("compose", {})
    parts = (*compose.get("include", ()), *compose.get("exclude", ()))
    inner = [each for part in parts for each in (*part.get("concept", ()), *part.get("filter", ()))]
    name = resource.get("url", "(unidentified)")
    if any("modifierExtension" in each for each in (resource, compose, *parts, *inner)):
        return f"Cannot process ValueSet {name} due to the presence of modifier extensions"
    if "implicitRules" in resource:
        return f"Cannot process ValueSet {name} due to the presence of implicitRules"
    if "lockedDate" in compose:
        return f"Cannot process ValueSet {name} due to the presence of a lockedDate on the compose"
    return None


_EXPANSION_PARAMETER = (
    "http://hl7.org/fhir/StructureDefinition/valueset-expansion-parameter",
    "http://hl7.org/fhir/tools/StructureDefinition/valueset-expansion-parameter",
)


def _expansion_language(resource: Json) -> str | None:
    """The displayLanguage that a value set asks for itself, in its compose or on top."""
    for extension in (*resource.get("extension", ()), *resource.get("compose", {}).get("extension", ())):
        if extension.get("url") in _EXPANSION_PARAMETER:
            said = {part.get("url"): part for part in extension.get("extension", ())}
            if said.get("name", {}).get("valueCode", said.get("name", {}).get("valueString")) == "displayLanguage":
                return next((v for k, v in said.get("value", {}).items() if k.startswith("value")), None)
    return None


def _part(part: Json) -> Part:
    if "system" not in part and not part.get("valueSet"):
        raise InvalidInput("an include or exclude names a system, a value set or both (vsd-1)", code="invariant")
    concepts = part.get("concept")
    if concepts is not None and part.get("filter"):
        raise InvalidInput("an include lists concepts or filters them, not both (vsd-3)", code="invariant")
    return Part(
        system=part.get("system"),
        version=part.get("version"),
        concepts=None if concepts is None else {c["code"]: _listed_concept(c, n) for n, c in enumerate(concepts)},
        filters=tuple(filter_of(entry, part.get("system", "")) for entry in part.get("filter", ())),
        value_sets=tuple(part.get("valueSet", ())),
    )


def _listed_concept(concept: Json, ordinal: int) -> Concept:
    designations = tuple(_designation(d) for d in concept.get("designation", ()))
    stated = tuple(concept.get("extension", ()))
    return Concept(concept["code"], concept.get("display"), ordinal=ordinal, designations=designations, stated=stated)


def filter_of(entry: Json, system: str = "") -> Filter:
    try:
        operator = FilterOperator(entry["op"])
    except ValueError:
        raise InvalidInput(
            "this is no filter operator of R4", code="not-supported", expression="ValueSet.compose"
        ) from None
    if not entry.get("value"):
        raise Unusable(
            f"The system {system} filter with property = {entry['property']}, op = {operator} has no value",
            kind="vs-invalid",
            message_id="UNABLE_TO_HANDLE_SYSTEM_FILTER_WITH_NO_VALUE",
        )
    return Filter(entry["property"], operator, entry["value"])


def _listed(contains: Sequence[Json]) -> tuple[Part, ...]:
    """An expansion as includes that list its concepts."""
    systems: dict[tuple[str | None, str | None], dict[str, Concept]] = {}
    waiting = list(reversed(contains))
    while waiting:
        entry = waiting.pop()
        waiting.extend(reversed(entry.get("contains", ())))
        if "code" in entry:
            concepts = systems.setdefault((entry.get("system"), entry.get("version")), {})
            concepts[entry["code"]] = Concept(
                entry["code"],
                entry.get("display"),
                ordinal=len(concepts),
                inactive=entry.get("inactive", False),
                abstract=entry.get("abstract", False),
                designations=tuple(_designation(d) for d in entry.get("designation", ())),
            )
    return tuple(Part(system, version, concepts) for (system, version), concepts in systems.items())


def concept_map(resource: Json) -> CompiledConceptMap:
    """Every element of every group as lines; groups keep what they say of codes that they do not list."""
    groups = resource.get("group", ())
    header = ConceptMap(
        url=resource.get("url"),
        version=resource.get("version"),
        status=resource.get("status", "active"),
        source=resource.get("sourceUri") or resource.get("sourceCanonical"),
        target=resource.get("targetUri") or resource.get("targetCanonical"),
        unmapped=tuple(_unmapped(group) for group in groups if "unmapped" in group),
    )
    entries = [
        entry
        for group in groups
        for element in group.get("element", ())
        if "code" in element
        for entry in _lines(group, element)
    ]
    return CompiledConceptMap(header, tuple(entries))


def _lines(group: Json, element: Json) -> Iterator[MapEntry]:
    targets = element.get("target", ())
    if not targets:
        yield MapEntry(group.get("source"), element["code"], _NO_MATCH, None)
    for target in targets:
        coding = None
        if "code" in target:
            coding = Coding(group.get("target"), target["code"], target.get("display"), group.get("targetVersion"))
        yield MapEntry(
            source_system=group.get("source"),
            source_code=element["code"],
            equivalence=target.get("equivalence", "equivalent"),
            target=coding,
            comment=target.get("comment"),
            depends_on=tuple((d["property"], d["value"]) for d in target.get("dependsOn", ())),
            products=tuple(target.get("product", ())),
        )


def _unmapped(group: Json) -> Unmapped:
    said = group["unmapped"]
    return Unmapped(
        group.get("source"), group.get("target"), said["mode"], said.get("code"), said.get("display"), said.get("url")
    )
