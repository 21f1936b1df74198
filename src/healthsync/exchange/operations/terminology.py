"""The operations of the terminology module (terminology-service.html): Parameters in, Parameters or a ValueSet out.

    ValueSet/$expand · ValueSet/$validate-code · CodeSystem/$validate-code · CodeSystem/$lookup · CodeSystem/$subsumes ·
    ConceptMap/$translate · $closure · ValueSet/$batch-validate-code

Answers have the findings and parameters that the HL7 terminology ecosystem asks of its servers: `issues` with codes and
places, `used-codesystem` in expansions, `tx-resource` and versions in questions.

They speak of codes, never of patients: what a code means is told to every client that may enter. One file, though a
long one: the operations share how parameters are read and how findings are told.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import wraps
from typing import Any

from healthsync.domains.access import Requester
from healthsync.domains.terminology import (
    EVERYTHING,
    MAX_EXPANSION,
    STANDARD_PROPERTIES,
    TX_ISSUE_TYPE,
    Asked,
    CodeSystem,
    Coding,
    Concept,
    Designation,
    Expansion,
    Finding,
    Member,
    Policy,
    Property,
    TerminologyService,
    UnknownTerminology,
    Unusable,
    Validation,
    ValueSet,
    canonical,
    languages,
)
from healthsync.errors import HealthSyncError, InvalidInput
from healthsync.exchange.ingest import InvalidResource
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.database import Database
from healthsync.standards.fhir import dates, validate
from healthsync.standards.fhir.outcome import MESSAGE_ID, from_error, operation_outcome
from healthsync.standards.fhir.parameters import LONGEST, Parameters, answer, parts

_WITHOUT_EFFECT = {
    *("cache-id", "x-system-cache-id", "no-cache", "uuid", "profile-url", "diagnostics", "default-to-latest-version"),
    "excludePostCoordinated",
}
"""What validators send and nothing hangs on here: nothing is cached between questions, the latest version is meant
anyway, and no code is post-coordinated."""
_QUESTION = {
    *("tx-resource", "system-version", "check-system-version", "force-system-version", "default-valueset-version"),
    *("useSupplement", "displayLanguage", "defaultDisplayLanguage"),
    *_WITHOUT_EFFECT,
}
"""What every question may bring along: resources, versions, supplements, languages."""
_SHAPE = {
    *("offset", "count", "includeDesignations", "activeOnly", "excludeNested", "excludeNotForUI", "includeDefinition"),
    *(
        "excludePostCoordinated",
        "property",
        "designation",
        "limitedExpansion",
        "incomplete-ok",
        "_incomplete",
        "_limit",
    ),
}
"""How an expansion is told. Validators send these with every question, whatever it is."""
_CUT_SHORT = ("limitedExpansion", "incomplete-ok", "_incomplete")
"""Whether the beginning of an expansion that is too long will do."""
_EXPAND = {"url", "valueSet", "valueSetVersion", "filter", "date", *_SHAPE, *_QUESTION}
EXPANSION_PARAMETERS = frozenset(_EXPAND - _WITHOUT_EFFECT)
"""The parameters of $expand that change its answer."""
_CODE = {
    *("code", "display", "coding", "codeableConcept", "date", "abstract", "inferSystem"),
    *("lenient-display-validation", "valueset-membership-only", "mode", "valueSetMode"),
    *_SHAPE,
    *_QUESTION,
}
_VALIDATE_IN_SET = {*_CODE, "url", "valueSet", "valueSetVersion", "system", "systemVersion"}
_VALIDATE_IN_SYSTEM = {*_CODE, "url", "version", "codeSystem", "system", "systemVersion"}
_LOOKUP = {"code", "system", "version", "coding", "date", "property", *_QUESTION}
_SUBSUMES = {"codeA", "codeB", "system", "version", "codingA", "codingB", *_QUESTION}
_TRANSLATE = {
    *("url", "conceptMap", "conceptMapVersion", "code", "system", "version", "source", "coding", "codeableConcept"),
    *("target", "targetsystem", "dependency", "reverse"),
    *("sourceSystem", "sourceCode", "sourceCoding", "sourceCodeableConcept", "sourceVersion", "sourceScope"),
    *("targetSystem", "targetCode", "targetCoding", "targetCodeableConcept", "targetScope"),
    "targetVersion",  # as R5 calls them
    *_QUESTION,
}
_PROPERTY = "http://hl7.org/fhir/5.0/StructureDefinition/extension-ValueSet.expansion.contains.property"
_PROPERTY_DEFINED = "http://hl7.org/fhir/5.0/StructureDefinition/extension-ValueSet.expansion.property"
"""R5 tells properties of concepts in an expansion; R4 has them as these extensions."""
_EXTENSIONS = "http://hl7.org/fhir/StructureDefinition/"
_UNCLOSED = f"{_EXTENSIONS}valueset-unclosed"
_TOO_COSTLY = f"{_EXTENSIONS}valueset-toocostly"
_STANDARDS_STATUS = f"{_EXTENSIONS}structuredefinition-standards-status"
_ECHOED = frozenset(
    _EXTENSIONS + name
    for name in (
        *("coding-sctdescid", "rendering-style", "rendering-xhtml", "codesystem-alternate", "valueset-supplement"),
        *("valueset-deprecated", "structuredefinition-standards-status", "valueset-concept-definition"),
    )
)
"""Extensions of a concept that its entry of an expansion repeats."""
_AS_PROPERTIES = (
    ("label", "label", "String", ("codesystem-label", "valueset-label")),
    ("order", "order", "Decimal", ("codesystem-conceptOrder", "valueset-conceptOrder")),
    ("weight", "itemWeight", "Decimal", ("itemWeight",)),
)
"""Those that it tells as properties: code, name among the standard ones, type, extensions."""
_CONCEPT_PROPERTIES = "http://hl7.org/fhir/concept-properties#"
_FORMS = ("Code", "Coding", "CodeableConcept")
"""How R5 names what is translated, behind `source` or `target`."""
MOST_CONCEPTS = 1000
"""Concepts that are added to a closure table at a time."""
MOST_RESOURCES = 200
"""Resources that one question brings along."""
MOST_FAULTS = 20
"""Faults of such resources that are told."""


Operation = Callable[..., Awaitable[dict[str, Any]]]


def _with_resources(operation: Operation) -> Operation:
    """An operation that may be asked with resources. They are not validated before, since validators send what their
    authors wrote and much of it can be followed; where one cannot, its faults are the answer."""

    @wraps(operation)
    async def asked_with(self: TerminologyOperations, asked: Parameters, *more: Any, **named: Any) -> dict[str, Any]:
        try:
            return await operation(self, asked, *more, **named)
        except HealthSyncError:
            raise
        except Exception:
            resources = [dict(each) for each in asked.all("tx-resource") if isinstance(each, Mapping)]
            faults = [issue for each in resources for issue in validate.structure(each) if issue.is_error]
            if not faults:
                raise
            raise InvalidResource(faults[:MOST_FAULTS]) from None

    return asked_with


class TerminologyOperations:
    """The operations; `id_` is the resource of an operation on an instance."""

    def __init__(self, database: Database, terminology: TerminologyService, clock: Clock) -> None:
        self._database, self._terminology, self._clock = database, terminology, clock

    @_with_resources
    async def expand(
        self, asked: Parameters, id_: str | None = None, *, header_language: str | None = None
    ) -> dict[str, Any]:
        """ValueSet/$expand (valueset-operation-expand.html).

        Raises InvalidInput, TooCostly or UnknownTerminology with the issue codes that the operation names.
        """
        asked.only(_EXPAND)
        told_designations = asked.flag("includeDesignations", False)
        offset, count = asked.number("offset") or 0, asked.number("count")
        limited = count is None and any(
            asked.flag(n, False) for n in ("limitedExpansion", "incomplete-ok", "_incomplete")
        )
        terminology = self._asked(asked)
        async with self._database.transaction(read_only=True) as tx:
            found = await terminology.expand(
                tx,
                _value_set(asked, id_),
                text=asked.text("filter"),
                active_only=asked.flag("activeOnly", False),
                selectable_only=asked.flag("excludeNotForUI", False),
                offset=offset,
                count=min(asked.number("_limit") or MAX_EXPANSION, MAX_EXPANSION)
                if limited and count is None
                else count,
                details=True,
                supplements=_texts(asked, "useSupplement"),
            )
        value_set = found.value_set
        said = asked.text("displayLanguage") or value_set.display_language or _readable(header_language)
        said = said or _readable(asked.text("defaultDisplayLanguage"))
        language = languages.wanted(said or value_set.language)
        told = _Told(
            systems={header.canonical: header for header in found.systems},
            language=language,
            designations=_designations_wanted(asked) if told_designations or asked.all("designation") else None,
            properties=tuple(_texts(asked, "property")),
            versioned=value_set.mixed,
        )
        expansion: dict[str, Any] = {
            "identifier": f"urn:uuid:{uuid.uuid4()}",
            "timestamp": self._clock.now().isoformat(timespec="seconds"),
        }
        if found.total is not None:
            expansion["total"] = found.total
        if count is not None or offset:
            expansion["offset"] = offset
        if shaped := _expansion_parameters(asked, found, said):
            expansion["parameter"] = shaped
        extensions = _expansion_extensions(found, told)
        if limited and found.total != offset + len(found.members):
            extensions.append({"url": _TOO_COSTLY, "valueBoolean": True})
        if extensions:
            expansion["extension"] = extensions
        if found.members:
            nested = found.is_tree and not asked.flag("excludeNested", False)
            nested = nested and not offset and (count is None or count > len(found.members))
            expansion["contains"] = told.nested(found.members) if nested else told.flat(found.members)
        return {**_described(value_set, whole=asked.flag("includeDefinition", False)), "expansion": expansion}

    async def systems(self) -> dict[str, list[str]]:
        """The code systems that can be asked here -> their versions, the one meant without a version first."""
        async with self._database.transaction(read_only=True) as tx:
            return await self._terminology.systems(tx)

    @_with_resources
    async def validate_in_value_set(
        self, asked: Parameters, id_: str | None = None, *, header_language: str | None = None
    ) -> dict[str, Any]:
        """ValueSet/$validate-code (valueset-operation-validate-code.html)."""
        asked.only(_VALIDATE_IN_SET)
        codings = _codings(asked, asked.text("system"), asked.text("systemVersion"))
        terminology = self._asked(asked)
        async with self._database.transaction(read_only=True) as tx:
            named = _value_set(asked, id_)
            verdict = await terminology.validate_code(
                tx,
                EVERYTHING if asked.text("valueSetMode") == "NO_MEMBERSHIP_CHECK" else named,
                codings,
                _how(asked),
                form=_form(asked),
                supplements=_texts(asked, "useSupplement"),
                header_language=_readable(header_language),
            )
        return _verdict(asked, verdict)

    async def batch_validate(self, asked: Parameters, *, header_language: str | None = None) -> dict[str, Any]:
        """ValueSet/$batch-validate-code of the HL7 terminology ecosystem: many questions that share parameters."""
        questions = [each for each in asked.all("validation") if isinstance(each, Mapping)]
        if not questions or len(questions) > MOST_RESOURCES:
            raise InvalidInput(
                f"give 1 to {MOST_RESOURCES} questions as `validation`, each Parameters", code="required"
            )
        answers = []
        for question in questions:
            whole = asked.without("validation").overlaid(Parameters.of_resource(question))
            try:
                answered = await self.validate_in_value_set(whole, header_language=header_language)
            except HealthSyncError as problem:
                answered = operation_outcome([from_error(problem)])
            answers.append({"name": "validation", "resource": answered})
        return {"resourceType": "Parameters", "parameter": answers}

    @_with_resources
    async def validate_in_code_system(
        self, asked: Parameters, id_: str | None = None, *, header_language: str | None = None
    ) -> dict[str, Any]:
        """CodeSystem/$validate-code (codesystem-operation-validate-code.html)."""
        asked.only(_VALIDATE_IN_SYSTEM)
        terminology = self._asked(asked)
        async with self._database.transaction(read_only=True) as tx:
            url = asked.text("url") or asked.text("system")
            version = asked.text("version") or asked.text("systemVersion")
            if id_ is not None:
                system = await self._system(tx, id_)
                url, version = system.url, system.version
            if (given := asked.object("codeSystem")) is not None:
                _checked(given, "CodeSystem")
                terminology = self._asked(asked, given)
                url, version = given.get("url"), given.get("version")
            codings = _codings(asked, url, version)
            if url is not None and any(coding.system not in (None, url) for coding in codings):
                raise InvalidInput("the coding is of another code system than the one asked", code="value")
            how = _how(asked)
            language = how.language or _readable(header_language)
            verdict = await terminology.validate_in_system(
                tx,
                codings,
                replace(how, language=language),
                form=_form(asked),
                supplements=_texts(asked, "useSupplement"),
            )
        return _verdict(asked, verdict)

    @_with_resources
    async def lookup(self, asked: Parameters, *, header_language: str | None = None) -> dict[str, Any]:
        """CodeSystem/$lookup (codesystem-operation-lookup.html). Raises UnknownTerminology for what is not known."""
        asked.only(_LOOKUP)
        codings = _codings(asked, asked.text("system"), asked.text("version"))
        supplements = _texts(asked, "useSupplement")
        wanted = [] if "*" in asked.all("property") else asked.all("property")
        language = languages.wanted(asked.text("displayLanguage") or _readable(header_language))
        terminology = self._asked(asked)
        async with self._database.transaction(read_only=True) as tx:
            system, concept = await terminology.lookup(tx, codings[0], supplements)
            above, below = await terminology.around(tx, system, concept)
        told = [
            ("name", "valueString", system.name or system.title or system.url),
            ("version", "valueString", system.version),
            ("system", "valueUri", system.url),
            ("code", "valueCode", concept.code),
            ("display", "valueString", languages.display(concept, system.language, language) or concept.code),
            ("definition", "valueString", concept.definition),
            ("abstract", "valueBoolean", concept.abstract),
        ]
        told += [("used-supplement", "valueCanonical", name) for name in _used(concept)]
        if not wanted or "designation" in wanted:
            told += [("designation", "part", _designation_parts(d)) for d in _all_texts(concept, system)]
        properties = [*_own_properties(concept, above, below), *(_property(p) for p in concept.properties)]
        told += [
            ("property", "part", p) for name, p in properties if name in wanted or (not wanted and name != "definition")
        ]
        return answer(told)

    @_with_resources
    async def subsumes(self, asked: Parameters, id_: str | None = None) -> dict[str, Any]:
        """CodeSystem/$subsumes (codesystem-operation-subsumes.html)."""
        asked.only(_SUBSUMES)
        terminology = self._asked(asked)
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
            outcome = await terminology.subsumes(tx, url, version, one.code, other.code)
        return answer([("outcome", "valueCode", str(outcome))])

    @_with_resources
    async def translate(self, asked: Parameters, id_: str | None = None) -> dict[str, Any]:
        """ConceptMap/$translate (conceptmap-operation-translate.html); also asked with the parameters of R5."""
        asked.only(_TRANSLATE)
        backwards = any(asked.all(f"target{form}") for form in _FORMS)
        is_r5 = backwards or any(asked.all(f"source{form}") for form in _FORMS)
        reverse = asked.flag("reverse", False) or backwards
        codings = _to_translate(asked, "target" if backwards else "source")
        target_system = asked.text("targetsystem") or asked.text("targetSystem")
        if backwards:
            target_system = asked.text("sourceSystem")
        terminology = self._asked(asked)
        async with self._database.transaction(read_only=True) as tx:
            found = await terminology.translate(
                tx,
                codings,
                concept_map=_concept_map(asked, id_),
                source=asked.text("source") or asked.text("sourceScope"),
                target=asked.text("target") or asked.text("targetScope"),
                target_system=target_system,
                dependencies=_dependencies(asked),
                reverse=reverse,
            )
        told: list[tuple[str, str, Any]] = [
            ("result", "valueBoolean", found.result),
            ("message", "valueString", found.message),
        ]
        for match in found.matches:
            products = [("product", "part", _product_parts(product)) for product in match.products]
            target = _coding_json(match.target) if match.target else None
            match_parts = [
                ("equivalence", "valueCode", match.equivalence),
                ("concept", "valueCoding", target if not (is_r5 and reverse) else _coding_json(codings[0])),
                *products,
                ("source", "valueUri", match.source if not is_r5 else None),
                ("source", "valueCoding", target if is_r5 and reverse else None),
                ("originMap", "valueCanonical", match.source if is_r5 else None),
            ]
            told.append(("match", "part", parts(match_parts)))
        return answer(told)

    async def closure(self, asked: Parameters, requester: Requester) -> dict[str, Any]:
        """$closure (conceptmap-operation-closure.html): a table of what stands above what, kept for one client.

        The name alone begins it anew, `concept` adds to it, `version` tells again what is new after that version.
        """
        asked.only({"name", "concept", "version"})
        name, since = asked.text("name"), asked.text("version")
        if not name or len(name) > 128:
            raise InvalidInput("a closure table has a name of 1 to 128 characters", code="required")
        if since is not None and not (since.isascii() and since.isdecimal() and len(since) < 10):
            raise InvalidInput("the version of a closure table is a number that this server gave out", code="value")
        concepts = asked.all("concept")
        if len(concepts) > MOST_CONCEPTS or not all(isinstance(each, Mapping) for each in concepts):
            raise InvalidInput(f"a concept is a Coding; at most {MOST_CONCEPTS} are added at a time", code="value")
        codings = [_coding(each, None, None) for each in concepts]
        owner = requester.client_id
        async with self._database.transaction() as tx:
            lines: list[tuple[str, str, str]] = []
            version = 0
            if codings:
                version, lines = await self._terminology.add_to_closure(tx, owner, name, codings)
            if since is not None:
                version, lines = await self._terminology.closure_since(tx, owner, name, int(since))
            elif not codings:
                await self._terminology.begin_closure(tx, owner, name)
        return _closure_map(name, version, lines, self._clock.now())

    def _asked(self, asked: Parameters, *more: Mapping[str, Any]) -> TerminologyService:
        """The terminology for one question: as of a date, with the resources and versions that it brings."""
        resources = [*more, *asked.all("tx-resource")]
        if len(resources) > MOST_RESOURCES:
            raise InvalidInput(f"a question brings {MOST_RESOURCES} resources at most (tx-resource)", code="too-costly")
        for resource in resources:
            if not isinstance(resource, Mapping):
                raise InvalidInput("a tx-resource is a resource", code="structure")
        policy = Policy(
            default=_versions(asked, "system-version"),
            check=_versions(asked, "check-system-version"),
            force=_versions(asked, "force-system-version"),
            value_sets=_versions(asked, "default-valueset-version"),
        )
        return self._terminology.as_of(_date(asked)).asked_with(resources, policy)

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
    if given == ["coding"]:
        return [_coding(value, system, version)]
    codings = value.get("coding", [])
    if not isinstance(codings, list) or not all(isinstance(c, Mapping) for c in codings):
        raise InvalidInput("the codings of a codeableConcept are Codings", code="structure")
    if not codings and not value.get("text"):
        raise InvalidInput("a codeableConcept has codings", code="required")
    return [_coding(c, system, version, needs_code=False) for c in codings]


def _coding(value: Mapping[str, Any], system: str | None, version: str | None, *, needs_code: bool = True) -> Coding:
    texts = {name: value.get(name) for name in ("system", "code", "display", "version")}
    if not all(text is None or isinstance(text, str) for text in texts.values()):
        raise InvalidInput("system, code, display and version of a coding are texts", code="structure")
    code = _code(texts["code"]) if needs_code or texts["code"] else ""
    return Coding(texts["system"] or system, code, texts["display"], texts["version"] or version)


def _code(text: str | None) -> str:
    if not text or len(text) > LONGEST:
        raise InvalidInput(f"a code is a text of 1 to {LONGEST} characters", code="value")
    return text


def _date(asked: Parameters) -> datetime | None:
    """The end of what `date` says: what was loaded during a day counts for it. Raises InvalidInput."""
    text = asked.text("date")
    return None if text is None else dates.interval(text)[1]


def _how(asked: Parameters) -> Asked:
    modes = {asked.text("mode"), asked.text("valueSetMode")}
    return Asked(
        abstract=asked.flag("abstract", True),
        language=asked.text("displayLanguage"),
        active_only=asked.flag("activeOnly", False),
        lenient=asked.flag("lenient-display-validation", False) or "lenient-display-validation" in modes,
        membership_only=asked.flag("valueset-membership-only", False) or "CHECK_MEMBERSHIP_ONLY" in modes,
        infer_system=asked.flag("inferSystem", False),
    )


def _form(asked: Parameters) -> str:
    return "CodeableConcept" if asked.all("codeableConcept") else "Coding" if asked.all("coding") else "code"


def _texts(asked: Parameters, name: str) -> list[str]:
    values = asked.all(name)
    if not all(isinstance(value, str) and len(value) <= LONGEST for value in values):
        raise InvalidInput(f"the parameter {name} is a text of {LONGEST} characters at most", code="value")
    return values


def _versions(asked: Parameters, name: str) -> dict[str, str]:
    """URL -> version of canonicals."""
    pairs = [canonical(text) for text in _texts(asked, name)]
    return {url: version for url, version in pairs if version is not None}


def _readable(header: str | None) -> str | None:
    """Accept-Language, where it can be read: browsers send what they like (RFC 9110 §12.5.4)."""
    try:
        return header if languages.wanted(header) is not None else None
    except Unusable:
        return None


def _designations_wanted(asked: Parameters) -> tuple[str, ...]:
    """Which designations are told: languages or `use` tokens; none named are all."""
    return tuple(text.removeprefix("urn:ietf:bcp:47|").lower() for text in _texts(asked, "designation"))


def _to_translate(asked: Parameters, side: str) -> list[Coding]:
    """What is to be translated, by the names of R5 (`side` is source or target) or of R4."""
    if (code := asked.text(f"{side}Code")) is not None:
        system = asked.text(f"{side}System") or asked.text("system")
        return [Coding(system, _code(code), None, asked.text(f"{side}Version"))]
    if (coding := asked.object(f"{side}Coding")) is not None:
        return [_coding(coding, None, None)]
    if (concept := asked.object(f"{side}CodeableConcept")) is not None:
        return _codings(Parameters({"codeableConcept": [concept]}), None, None)
    return _codings(asked, asked.text("system"), asked.text("version"))


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


_DEFINITION = frozenset(
    {"compose", "purpose", "description", "copyright", "publisher", "extension", "contained", "modifierExtension"}
)
"""What a value set says of its definition, told where that is asked for."""


def _described(value_set: ValueSet, *, whole: bool) -> dict[str, Any]:
    """What is said of a value set beside its expansion. It is no resource that is stored, so that it has no id."""
    left_out = {"id", "meta", "text", "expansion", *(() if whole else _DEFINITION)}
    said = {name: value for name, value in value_set.header.items() if name not in left_out}
    return {"resourceType": "ValueSet", "status": "unknown", **said}


def _expansion_parameters(asked: Parameters, found: Expansion, language: str | None) -> list[dict[str, Any]]:
    """What shaped the expansion: the parameters that had an effect, and what was used."""
    told: list[tuple[str, str, Any]] = [("filter", "valueString", asked.text("filter"))]
    told += [("displayLanguage", "valueCode", language)]
    told += [(name, "valueInteger", asked.number(name)) for name in ("offset", "count")]
    flags = ("activeOnly", "includeDesignations", "includeDefinition", "excludeNotForUI", "excludeNested")
    flags = (*flags, "excludePostCoordinated", "limitedExpansion", "incomplete-ok")
    told += [(name, "valueBoolean", asked.flag(name, False)) for name in flags if asked.all(name)]
    told += [("versionsMatch", "valueBoolean", found.value_set.excludes_any_version or None)]
    told += [("designation", "valueString", text) for text in _texts(asked, "designation")]
    told += [("date", "valueDateTime", asked.text("date"))]
    told += [("force-system-version", "valueUri", text) for text in _texts(asked, "force-system-version")]
    versionless = {part.system for part in found.value_set.includes if part.version is None}
    for name in ("system-version", "check-system-version"):
        told += [(name, "valueUri", t) for t in _texts(asked, name) if canonical(t)[0] in versionless]
    pinned = {canonical(each)[0] for part in found.value_set.includes for each in part.value_sets if "|" not in each}
    told += [
        ("default-valueset-version", "valueUri", text)
        for text in _texts(asked, "default-valueset-version")
        if canonical(text)[0] in pinned
    ]
    told += [("used-codesystem", "valueUri", header.canonical) for header in found.systems]
    told += [("used-fragment", "valueUri", h.canonical) for h in found.systems if h.content == "fragment"]
    told += [("used-valueset", "valueUri", each.canonical) for each in found.imported]
    told += [("used-supplement", "valueUri", name) for name in found.supplements]
    for each in (*found.systems, found.value_set, *found.imported):
        if (warning := _warning(each, found)) is not None:
            told.append((f"warning-{warning}", "valueUri", each.canonical))
    return [dict(one) for one in {tuple(part.items()): part for part in parts(told)}.values()]


def _warning(used: CodeSystem | ValueSet, found: Expansion) -> str | None:
    """What is to be said of the state of something that an expansion used: nothing that the value set says itself."""
    source = found.value_set
    if used.standards_status in ("deprecated", "withdrawn"):
        return used.standards_status
    if used is source:
        return None
    if used.status == "retired":
        return None if source.status == "retired" else "retired"
    if used.experimental:
        return None if source.experimental else "experimental"
    if "draft" in (used.status, used.standards_status) and "draft" not in (source.status, source.standards_status):
        return "draft"
    return None


def _expansion_extensions(found: Expansion, told: _Told) -> list[dict[str, Any]]:
    extensions: list[dict[str, Any]] = []
    for header in found.systems:
        if header.content == "fragment":
            reason = f"This extension is based on a fragment of the code system {header.url}"
            extensions.append({"url": _UNCLOSED, "valueBoolean": True})
            extensions.append({"url": f"{_UNCLOSED}-reason", "valueString": reason})
    for name in dict.fromkeys(told.told_properties(found.members)):
        uri = next((h.property_uris[name] for h in found.systems if name in h.property_uris), _STANDARD_URIS.get(name))
        inner = [{"url": "code", "valueCode": name}, *([{"url": "uri", "valueUri": uri}] if uri is not None else [])]
        extensions.append({"url": _PROPERTY_DEFINED, "extension": inner})
    return extensions


_STANDARD_URIS = {
    **{name: f"{_CONCEPT_PROPERTIES}{name}" for name in STANDARD_PROPERTIES},
    **{code: f"{_CONCEPT_PROPERTIES}{name}" for code, name, *_ in _AS_PROPERTIES},
}


@dataclass(frozen=True, slots=True)
class _Told:
    """How members are told: in which language, with which designations (None: none) and properties."""

    systems: Mapping[str, CodeSystem]
    language: languages.Wanted | None
    designations: tuple[str, ...] | None
    properties: tuple[str, ...]
    versioned: frozenset[str]

    def flat(self, members: Sequence[Member]) -> list[dict[str, Any]]:
        """One entry a member, in order."""
        return [self._entry(member) for member in members]

    def nested(self, members: Sequence[Member]) -> list[dict[str, Any]]:
        """Entries inside those of their parents."""
        entries = {(m.system, m.version, m.concept.code): self._entry(m) for m in members}
        roots: list[dict[str, Any]] = []
        for member in members:
            entry = entries[member.system, member.version, member.concept.code]
            above = [(member.system, member.version, p) for p in member.concept.parents]
            inside = next((entries[key] for key in above if key in entries and entries[key] is not entry), None)
            (roots if inside is None else inside.setdefault("contains", [])).append(entry)
        return roots

    def told_properties(self, members: Sequence[Member]) -> list[str]:
        """The codes of the properties that some member is told with."""
        return [name for member in members for name, _, _ in self._properties(member.concept)]

    def _entry(self, member: Member) -> dict[str, Any]:
        concept = member.concept
        header = self.systems.get(f"{member.system}|{member.version}") or self.systems.get(str(member.system))
        own = header.language if header is not None else None
        shown = languages.display(concept, own, self.language)
        entry: dict[str, Any] = {"extension": self._extensions(member), "system": member.system}
        if concept.abstract:
            entry["abstract"] = True
        if concept.inactive:
            entry["inactive"] = True
        if member.system in self.versioned:
            entry["version"] = member.version
        entry |= {"code": concept.code, "display": shown, "designation": self._designations(concept, own, shown)}
        return {name: value for name, value in entry.items() if value not in (None, [])}

    def _extensions(self, member: Member) -> list[dict[str, Any]]:
        concept = member.concept
        found = [dict(each) for each in (*concept.extensions, *concept.stated) if each.get("url") in _ECHOED]
        for name, key, value in self._properties(concept):
            inner = [{"url": "code", "valueCode": name}, {"url": "value", key: value}]
            found.append({"url": _PROPERTY, "extension": inner})
        return found

    def _properties(self, concept: Concept) -> list[tuple[str, str, Any]]:
        found: list[tuple[str, str, Any]] = []
        if concept.status not in (None, "active"):
            found.append(("status", "valueCode", concept.status))
        said = {each.get("url"): each for each in (*concept.extensions, *concept.stated)}
        for code, _, kind, names in _AS_PROPERTIES:
            told = [said[_EXTENSIONS + name] for name in names if _EXTENSIONS + name in said]
            found += [(code, f"value{kind}", each.get(f"value{kind}")) for each in told[-1:]]
        if "definition" in self.properties and concept.definition is not None:
            found.append(("definition", "valueString", concept.definition))
        wanted = [each for each in concept.properties if each.code in self.properties and each.code != "status"]
        return found + [(each.code, *_value_of(each)) for each in wanted]

    def _designations(self, concept: Concept, own: str | None, shown: str | None) -> list[dict[str, Any]]:
        if self.designations is None:
            return []
        texts = list(concept.designations)
        if shown != concept.display and concept.display is not None:
            texts.insert(0, Designation(concept.display, own, _PREFERRED))
        wanted = [
            d
            for d in texts
            if d.value != shown or d.language is None or d.use is not None or shown == concept.display
            if not self.designations or _is_wanted(d, self.designations)
        ]
        return [_designation_json(d) for d in wanted]


_PREFERRED = {
    "system": "http://terminology.hl7.org/CodeSystem/hl7TermMaintInfra",
    "code": "preferredForLanguage",
    "display": "Preferred For Language",
}


def _is_wanted(designation: Designation, wanted: Sequence[str]) -> bool:
    use = designation.use or {}
    token = f"{use.get('system', '')}|{use.get('code', '')}".lower()
    return any(languages.speaks(designation.language, text) or text == token for text in wanted)


def _used(concept: Concept) -> list[str]:
    return list(dict.fromkeys(d.supplement for d in concept.designations if d.supplement is not None))


def _all_texts(concept: Concept, system: CodeSystem) -> list[Designation]:
    """The designations, and the display as the one that its language prefers."""
    own = Designation(concept.display, system.language, _PREFERRED) if concept.display and system.language else None
    return [*([own] if own is not None else []), *concept.designations]


def _designation_json(designation: Designation) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    if designation.status is not None:
        entry["extension"] = [{"url": _STANDARDS_STATUS, "valueCode": designation.status}]
    entry |= {"language": designation.language, "use": designation.use, "value": designation.value}
    return {name: value for name, value in entry.items() if value is not None}


def _designation_parts(designation: Designation) -> list[dict[str, Any]]:
    return parts(
        [
            ("language", "valueCode", designation.language),
            ("use", "valueCoding", designation.use),
            ("source", "valueCanonical", designation.supplement),
            ("value", "valueString", designation.value),
        ]
    )


def _own_properties(
    concept: Concept, above: Mapping[str, str | None], below: Mapping[str, str | None]
) -> list[tuple[str, list[dict[str, Any]]]]:
    """The properties that every code system has (codesystem.html#defined-props), unless it states them itself."""
    stated = {p.code for p in concept.properties}
    told: list[tuple[str, str, Any, str | None]] = [("definition", "valueString", concept.definition, None)]
    told += [("parent", "valueCode", code, display) for code, display in above.items()]
    told += [("child", "valueCode", code, display) for code, display in below.items()]
    told.append(("inactive", "valueBoolean", concept.inactive, None))
    told.append(("notSelectable", "valueBoolean", concept.abstract, None))
    return [
        (name, parts([("code", "valueCode", name), ("value", key, value), ("description", "valueString", display)]))
        for name, key, value, display in told
        if (value not in (None, False) or name == "inactive") and name not in stated
    ]


def _property(entry: Property) -> tuple[str, list[dict[str, Any]]]:
    key, value = _value_of(entry)
    return entry.code, parts([("code", "valueCode", entry.code), ("value", key, value)])


def _value_of(entry: Property) -> tuple[str, Any]:
    value: Any = entry.coding if entry.kind == "Coding" else entry.value
    if entry.kind == "boolean":
        value = entry.value == "true"
    elif entry.kind in ("integer", "decimal"):
        value = int(entry.value) if entry.kind == "integer" else Decimal(entry.value)
    return f"value{entry.kind[0].upper()}{entry.kind[1:]}", value


def _product_parts(product: Mapping[str, Any]) -> list[dict[str, Any]]:
    concept = {"system": product.get("system"), "code": product.get("value"), "display": product.get("display")}
    coding = {name: value for name, value in concept.items() if value is not None}
    return parts([("element", "valueUri", product.get("property")), ("concept", "valueCoding", coding)])


def _coding_json(coding: Coding) -> dict[str, Any]:
    told = {"system": coding.system, "version": coding.version, "code": coding.code, "display": coding.display}
    return {name: value for name, value in told.items() if value is not None}


def _closure_map(name: str, version: int, lines: Sequence[tuple[str, str, str]], at: datetime) -> dict[str, Any]:
    """What is new, as a ConceptMap: the target of `subsumes` stands above its source."""
    groups: dict[str, dict[str, Any]] = {}
    for system, below, above in lines:
        target = {"code": above, "equivalence": "subsumes"}
        groups.setdefault(system, {}).setdefault(below, {"code": below, "target": []})["target"].append(target)
    made = [{"source": s, "target": s, "element": list(elements.values())} for s, elements in groups.items()]
    resource: dict[str, Any] = {"resourceType": "ConceptMap", "version": str(version), "name": name, "status": "active"}
    return {
        **resource,
        "experimental": True,
        "date": at.isoformat(timespec="seconds"),
        **({"group": made} if made else {}),
    }


def _verdict(asked: Parameters, verdict: Validation) -> dict[str, Any]:
    coding = verdict.coding
    told: list[tuple[str, str, Any]] = [
        ("result", "valueBoolean", verdict.result),
        ("message", "valueString", verdict.message),
        ("display", "valueString", verdict.display),
    ]
    if coding is not None:
        told += [
            ("code", "valueCode", coding.code),
            ("system", "valueUri", coding.system),
            ("version", "valueString", coding.version),
        ]
    told += [
        ("codeableConcept", "valueCodeableConcept", _with_versions(asked.object("codeableConcept"), verdict)),
        ("inactive", "valueBoolean", verdict.inactive or None),
        ("status", "valueCode", verdict.status),
        ("normalized-code", "valueCode", verdict.normalized),
    ]
    told += [(name, "valueCanonical", url) for name, url in verdict.unknown]
    if verdict.findings:
        issues = [_issue(finding) for finding in verdict.findings]
        told.append(("issues", "resource", {"resourceType": "OperationOutcome", "issue": issues}))
    return answer(told)


def _with_versions(concept: Mapping[str, Any] | None, verdict: Validation) -> Mapping[str, Any] | None:
    """The CodeableConcept that was judged, its codings with the version in which a code was found."""
    if concept is None or not verdict.found_in:
        return concept
    found = verdict.found_in
    codings = [{**c, "version": found[n]} if n in found else c for n, c in enumerate(concept["coding"])]
    return {**concept, "coding": codings}


def _issue(finding: Finding) -> dict[str, Any]:
    details = {"coding": [{"system": TX_ISSUE_TYPE, "code": finding.kind}], "text": finding.text}
    issue: dict[str, Any] = {"severity": finding.severity, "code": finding.code, "details": details}
    if finding.message_id:
        issue = {"extension": [{"url": MESSAGE_ID, "valueString": finding.message_id}], **issue}
    if finding.at is not None:
        issue |= {"location": [finding.at], "expression": [finding.at]}
    return issue
