"""The operations of the terminology module (terminology-service.html): Parameters in, Parameters or a ValueSet out.

    ValueSet/$expand · ValueSet/$validate-code · CodeSystem/$validate-code · CodeSystem/$lookup · CodeSystem/$subsumes ·
    ConceptMap/$translate

They speak of codes, never of patients: what a code means is told to every client that may enter.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from healthsync.domains.terminology import (
    CodeSystem,
    Coding,
    Concept,
    Context,
    Designation,
    Expansion,
    Member,
    Property,
    TerminologyService,
    UnknownTerminology,
    Validation,
)
from healthsync.errors import InvalidInput
from healthsync.exchange.ingest import InvalidResource
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.database import Database
from healthsync.standards.fhir import dates, validate
from healthsync.standards.fhir.parameters import LONGEST, Parameters, answer, parts

_EXPAND = {
    *("url", "valueSet", "valueSetVersion", "filter", "date", "offset", "count", "includeDesignations"),
    *("activeOnly", "excludeNested", "excludeNotForUI", "displayLanguage"),
}
_CODE = {"code", "display", "coding", "codeableConcept", "date", "abstract", "displayLanguage"}
_VALIDATE_IN_SET = {*_CODE, "url", "valueSet", "valueSetVersion", "system", "systemVersion"}
_VALIDATE_IN_SYSTEM = {*_CODE, "url", "version"}
_LOOKUP = {"code", "system", "version", "coding", "date", "displayLanguage", "property"}
_SUBSUMES = {"codeA", "codeB", "system", "version", "codingA", "codingB"}
_TRANSLATE = {
    *("url", "conceptMap", "conceptMapVersion", "code", "system", "version", "source", "coding", "codeableConcept"),
    *("target", "targetsystem", "dependency", "reverse"),
}


class TerminologyOperations:
    """The operations; `id_` is the resource of an operation on an instance."""

    def __init__(self, database: Database, terminology: TerminologyService, clock: Clock) -> None:
        self._database, self._terminology, self._clock = database, terminology, clock

    async def expand(self, asked: Parameters, id_: str | None = None) -> dict[str, Any]:
        """ValueSet/$expand (valueset-operation-expand.html).

        Raises InvalidInput, TooCostly or UnknownTerminology with the issue codes that the operation names.
        """
        asked.only(_EXPAND)
        language, designations = asked.text("displayLanguage"), asked.flag("includeDesignations", False)
        offset, count = asked.number("offset") or 0, asked.number("count")
        terminology = self._terminology.as_of(_date(asked))
        async with self._database.transaction(read_only=True) as tx:
            found = await terminology.expand(
                tx,
                _value_set(asked, id_),
                text=asked.text("filter"),
                active_only=asked.flag("activeOnly", False),
                selectable_only=asked.flag("excludeNotForUI", False),
                offset=offset,
                count=count,
                details=designations or language is not None,
            )
        expansion: dict[str, Any] = {
            "identifier": f"urn:uuid:{uuid.uuid4()}",
            "timestamp": self._clock.now().isoformat(timespec="seconds"),
        }
        if found.total is not None:
            expansion["total"] = found.total
        if count is not None or offset:
            expansion["offset"] = offset
        if said := _expansion_parameters(asked, found):
            expansion["parameter"] = said
        if found.members:
            expansion["contains"] = [_contained(member, language, designations) for member in found.members]
        return {**_described(found), "expansion": expansion}

    async def validate_in_value_set(self, asked: Parameters, id_: str | None = None) -> dict[str, Any]:
        """ValueSet/$validate-code (valueset-operation-validate-code.html)."""
        asked.only(_VALIDATE_IN_SET)
        codings = _codings(asked, asked.text("system"), asked.text("systemVersion"))
        terminology = self._terminology.as_of(_date(asked))
        async with self._database.transaction(read_only=True) as tx:
            verdict = await terminology.validate_code(tx, _value_set(asked, id_), codings, _context(asked))
        return _verdict(verdict)

    async def validate_in_code_system(self, asked: Parameters, id_: str | None = None) -> dict[str, Any]:
        """CodeSystem/$validate-code (codesystem-operation-validate-code.html)."""
        asked.only(_VALIDATE_IN_SYSTEM)
        terminology = self._terminology.as_of(_date(asked))
        async with self._database.transaction(read_only=True) as tx:
            url, version = asked.text("url"), asked.text("version")
            if id_ is not None:
                system = await self._system(tx, id_)
                url, version = system.url, system.version
            codings = _codings(asked, url, version)
            if url is not None and any(coding.system not in (None, url) for coding in codings):
                raise InvalidInput("the coding is of another code system than the one asked", code="value")
            verdict = await terminology.validate_in_system(tx, codings, _context(asked))
        return _verdict(verdict)

    async def lookup(self, asked: Parameters) -> dict[str, Any]:
        """CodeSystem/$lookup (codesystem-operation-lookup.html). Raises UnknownTerminology for what is not known."""
        asked.only(_LOOKUP)
        codings = _codings(asked, asked.text("system"), asked.text("version"))
        language, wanted = asked.text("displayLanguage"), asked.all("property")
        terminology = self._terminology.as_of(_date(asked))
        async with self._database.transaction(read_only=True) as tx:
            system, concept = await terminology.lookup(tx, codings[0])
            children = await terminology.children(tx, system, concept.code)
        told = [
            ("name", "valueString", system.title or system.name or system.url),
            ("version", "valueString", system.version),
            ("display", "valueString", concept.display_in(language) or concept.code),
        ]
        if not wanted or "designation" in wanted:
            told += [("designation", "part", _designation_parts(d)) for d in concept.designations]
        properties = [*_own_properties(concept, children), *(_property(p) for p in concept.properties)]
        told += [("property", "part", p) for name, p in properties if not wanted or name in wanted]
        return answer(told)

    async def subsumes(self, asked: Parameters, id_: str | None = None) -> dict[str, Any]:
        """CodeSystem/$subsumes (codesystem-operation-subsumes.html)."""
        asked.only(_SUBSUMES)
        one, other = (_one_of(asked, f"code{side}", f"coding{side}") for side in "AB")
        async with self._database.transaction(read_only=True) as tx:
            url, version = asked.text("system") or one.system or other.system, asked.text("version") or one.version
            if id_ is not None:
                system = await self._system(tx, id_)
                url, version = system.url, system.version
            if url is None:
                raise InvalidInput("name the code system of the two codes (system)", code="required")
            if any(coding.system not in (None, url) for coding in (one, other)):
                raise InvalidInput("both codes are of the same code system, the one asked", code="value")
            outcome = await self._terminology.subsumes(tx, url, version, one.code, other.code)
        return answer([("outcome", "valueCode", str(outcome))])

    async def translate(self, asked: Parameters, id_: str | None = None) -> dict[str, Any]:
        """ConceptMap/$translate (conceptmap-operation-translate.html)."""
        asked.only(_TRANSLATE)
        reverse = asked.flag("reverse", False)
        codings = _codings(asked, asked.text("system"), asked.text("version"))
        async with self._database.transaction(read_only=True) as tx:
            found = await self._terminology.translate(
                tx,
                codings,
                concept_map=_concept_map(asked, id_),
                source=asked.text("source"),
                target=asked.text("target"),
                target_system=asked.text("targetsystem"),
                dependencies=_dependencies(asked),
                reverse=reverse,
            )
        told: list[tuple[str, str, Any]] = [
            ("result", "valueBoolean", found.result),
            ("message", "valueString", found.message),
        ]
        for match in found.matches:
            products = [("product", "part", _product_parts(product)) for product in match.products]
            match_parts = [
                ("equivalence", "valueCode", match.equivalence),
                ("concept", "valueCoding", _coding_json(match.target) if match.target else None),
                *products,
                ("source", "valueUri", match.source),
            ]
            told.append(("match", "part", parts(match_parts)))
        return answer(told)

    async def _system(self, tx: Any, id_: str) -> CodeSystem:
        system = await self._terminology.code_system_of(tx, id_)
        if system is None:
            raise UnknownTerminology("there is no code system with this id, or it has no content")
        return system


# --- what was asked


def _value_set(asked: Parameters, id_: str | None) -> str | Mapping[str, Any]:
    url, inline = asked.text("url"), asked.object("valueSet")
    if sum(given is not None for given in (id_, url, inline)) != 1:
        raise InvalidInput("name one value set: by its instance, by url or as valueSet", code="required")
    if inline is not None:
        return _checked(inline, "ValueSet")
    version = asked.text("valueSetVersion")
    return f"ValueSet/{id_}" if id_ is not None else f"{url}|{version}" if version else str(url)


def _concept_map(asked: Parameters, id_: str | None) -> str | Mapping[str, Any] | None:
    if id_ is not None:
        return f"ConceptMap/{id_}"
    if (inline := asked.object("conceptMap")) is not None:
        return _checked(inline, "ConceptMap")
    url, version = asked.text("url"), asked.text("conceptMapVersion")
    return f"{url}|{version}" if url and version else url


def _checked(resource: Mapping[str, Any], resource_type: str) -> Mapping[str, Any]:
    """A resource that came as a parameter, valid by the R4 definitions. Raises InvalidInput or InvalidResource."""
    if resource.get("resourceType") != resource_type:
        raise InvalidInput(f"the parameter is a {resource_type}", code="structure")
    if issues := [issue for issue in validate.structure(dict(resource)) if issue.is_error]:
        raise InvalidResource(issues)
    return resource


def _codings(asked: Parameters, system: str | None, version: str | None) -> list[Coding]:
    """The codings of code, coding or codeableConcept, one of which is given. Raises InvalidInput."""
    given = [name for name in ("code", "coding", "codeableConcept") if asked.all(name)]
    if len(given) != 1:
        raise InvalidInput("give one of code (with system), coding and codeableConcept", code="required")
    if given == ["code"]:
        return [Coding(system, _code(asked.text("code")), asked.text("display"), version)]
    value = asked.object(given[0]) or {}
    codings = value.get("coding", []) if given == ["codeableConcept"] else [value]
    if not isinstance(codings, list) or not all(isinstance(c, Mapping) and "code" in c for c in codings) or not codings:
        raise InvalidInput("each coding has a code", code="required")
    return [_coding(c, system, version) for c in codings]


def _coding(value: Mapping[str, Any], system: str | None, version: str | None) -> Coding:
    texts = {name: value.get(name) for name in ("system", "code", "display", "version")}
    if not all(text is None or isinstance(text, str) for text in texts.values()):
        raise InvalidInput("system, code, display and version of a coding are texts", code="structure")
    return Coding(texts["system"] or system, _code(texts["code"]), texts["display"], texts["version"] or version)


def _code(text: str | None) -> str:
    if not text or len(text) > LONGEST:
        raise InvalidInput(f"a code is a text of 1 to {LONGEST} characters", code="value")
    return text


def _date(asked: Parameters) -> datetime | None:
    """The end of what `date` says: what was loaded during a day counts for it. Raises InvalidInput."""
    text = asked.text("date")
    return None if text is None else dates.interval(text)[1]


def _context(asked: Parameters) -> Context:
    return Context(asked.flag("abstract", True), asked.text("displayLanguage"))


def _one_of(asked: Parameters, code: str, coding: str) -> Coding:
    if (len(asked.all(code)) + len(asked.all(coding))) != 1:
        raise InvalidInput(f"give one of {code} and {coding}", code="required")
    value = asked.object(coding)
    return _coding(value, None, None) if value is not None else Coding(None, _code(asked.text(code)))


def _dependencies(asked: Parameters) -> dict[str, str]:
    """dependency.element -> the code (or text) of dependency.concept."""
    found: dict[str, str] = {}
    for dependency in asked.all("dependency"):
        if not isinstance(dependency, Parameters):
            raise InvalidInput("a dependency has the parts element and concept", code="structure")
        element, concept = dependency.text("element"), dependency.object("concept") or {}
        codings = concept.get("coding") or [{}]
        value = codings[0].get("code") or concept.get("text")
        if element and isinstance(value, str):
            found[element] = value
    return found


# --- what is answered


def _described(found: Expansion) -> dict[str, Any]:
    value_set = found.value_set
    header = {"resourceType": "ValueSet", "status": "unknown", **value_set.header}
    said = {"url": value_set.url, "version": value_set.version}
    return header | {name: value for name, value in said.items() if value is not None}


def _expansion_parameters(asked: Parameters, found: Expansion) -> list[dict[str, Any]]:
    """What shaped the expansion: the parameters that had an effect, and the versions that were used."""
    told: list[tuple[str, str, Any]] = [
        (name, "valueString", asked.text(name)) for name in ("filter", "displayLanguage")
    ]
    told += [(name, "valueInteger", asked.number(name)) for name in ("offset", "count")]
    flags = ("activeOnly", "includeDesignations", "excludeNotForUI", "excludeNested")
    told += [(name, "valueBoolean", asked.flag(name, False)) for name in flags if asked.all(name)]
    told += [("date", "valueDateTime", asked.text("date"))]
    told += [("version", "valueUri", version) for version in found.versions]
    return parts(told)


def _contained(member: Member, language: str | None, designations: bool) -> dict[str, Any]:
    concept = member.concept
    entry: dict[str, Any] = {"system": member.system, "version": member.version, "code": concept.code}
    entry["display"] = concept.display_in(language)
    if concept.abstract:
        entry["abstract"] = True
    if concept.inactive:
        entry["inactive"] = True
    if designations and concept.designations:
        entry["designation"] = [_designation_json(d) for d in concept.designations]
    return {name: value for name, value in entry.items() if value is not None}


def _designation_json(designation: Designation) -> dict[str, Any]:
    entry = {"language": designation.language, "use": designation.use, "value": designation.value}
    return {name: value for name, value in entry.items() if value is not None}


def _designation_parts(designation: Designation) -> list[dict[str, Any]]:
    return parts(
        [
            ("language", "valueCode", designation.language),
            ("use", "valueCoding", designation.use),
            ("value", "valueString", designation.value),
        ]
    )


def _own_properties(concept: Concept, children: Sequence[str]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The properties that every code system has (codesystem.html#defined-props), unless it states them itself."""
    stated = {p.code for p in concept.properties}
    told: list[tuple[str, str, Any]] = [("definition", "valueString", concept.definition)]
    told += [("parent", "valueCode", parent) for parent in concept.parents]
    told += [("child", "valueCode", child) for child in children]
    told += [("inactive", "valueBoolean", concept.inactive), ("notSelectable", "valueBoolean", concept.abstract)]
    return [
        (name, parts([("code", "valueCode", name), ("value", key, value)]))
        for name, key, value in told
        if value not in (None, False) and name not in stated
    ]


def _property(entry: Property) -> tuple[str, list[dict[str, Any]]]:
    value: Any = entry.coding if entry.kind == "Coding" else entry.value
    if entry.kind == "boolean":
        value = entry.value == "true"
    elif entry.kind in ("integer", "decimal"):
        value = int(entry.value) if entry.kind == "integer" else Decimal(entry.value)
    key = f"value{entry.kind[0].upper()}{entry.kind[1:]}"
    return entry.code, parts([("code", "valueCode", entry.code), ("value", key, value)])


def _product_parts(product: Mapping[str, Any]) -> list[dict[str, Any]]:
    concept = {"system": product.get("system"), "code": product.get("value"), "display": product.get("display")}
    coding = {name: value for name, value in concept.items() if value is not None}
    return parts([("element", "valueUri", product.get("property")), ("concept", "valueCoding", coding)])


def _coding_json(coding: Coding) -> dict[str, Any]:
    told = {"system": coding.system, "version": coding.version, "code": coding.code, "display": coding.display}
    return {name: value for name, value in told.items() if value is not None}


def _verdict(verdict: Validation) -> dict[str, Any]:
    return answer(
        [
            ("result", "valueBoolean", verdict.result),
            ("message", "valueString", verdict.message),
            ("display", "valueString", verdict.display),
        ]
    )
