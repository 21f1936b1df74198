"""The verbs of terminology: compile, expand, validate, look up, subsume, translate.

One file, though a long one: the verbs share what is loaded and compiled, and the work is done in the modules beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from healthsync.domains.terminology import compiling, grammars, shipped, store, translation, versions
from healthsync.domains.terminology.checking import Asked, Judge
from healthsync.domains.terminology.errors import (
    NotAsOf,
    TooCostly,
    UnknownCodeSystem,
    UnknownTerminology,
    Unusable,
    unknown_value_set,
)
from healthsync.domains.terminology.expansion import MAX_EXPANSION, Expander, Only, Wanted
from healthsync.domains.terminology.local_maps import concept_map
from healthsync.domains.terminology.model import (
    CodeSystem,
    Coding,
    Concept,
    ConceptMap,
    Expansion,
    LoadedRelease,
    LocalMap,
    MapEntry,
    Match,
    Subsumption,
    Translation,
    Validation,
    ValueSet,
    WorkItem,
    WorkState,
)
from healthsync.domains.terminology.releases import Release
from healthsync.domains.terminology.sources import GrammarSystem, MemorySystem, Source, SupplementedSystem, words_of
from healthsync.domains.terminology.standardising import Translations
from healthsync.domains.terminology.translation import MapInUse
from healthsync.errors import InvalidInput
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.database import Transaction
from healthsync.standards.fhir import published

MAX_MAP_HOPS = 8
"""Longest chain of maps that send a code that they do not list to another map."""

MAX_CLOSURES = 100
MAX_CLOSURE = 20_000
"""Closure tables of one client, and concepts of one table."""

MAX_WORK_ITEMS = 100_000
"""Most open work items that are looked at when a map changes."""

LOOK_EVERY = timedelta(seconds=1)
"""How often the maps are asked whether they have changed."""

EVERYTHING = "http://hl7.org/fhir/ValueSet/@all"
"""The value set of every code of every system, by which validators ask whether a code exists at all."""

ANY = Asked()
"""Asked about nothing but what is always asked."""

_WITHOUT_CONTENT = frozenset({"not-present", "supplement"})


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of resources that were loaded: how many of each type, and those left out with the reason."""

    counts: Mapping[str, int]
    refused: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Question:
    """What came along with one question: resources by URL, versions that are asked for."""

    systems: Mapping[str, list[MemorySystem]] = field(default_factory=dict)
    value_sets: Mapping[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    maps: Sequence[MapInUse] = ()
    policy: versions.Policy = field(default_factory=versions.Policy)

    @classmethod
    def of(cls, resources: Sequence[Mapping[str, Any]], policy: versions.Policy) -> Question:
        """Compile what came along."""
        systems: dict[str, list[MemorySystem]] = {}
        value_sets: dict[str, list[Mapping[str, Any]]] = {}
        maps = []
        for resource in resources:
            kind, url = resource.get("resourceType"), resource.get("url")
            if kind == "CodeSystem" and url:
                systems.setdefault(url, []).append(MemorySystem(compiling.code_system(resource)))
            elif kind == "ValueSet" and url:
                value_sets.setdefault(url, []).append(resource)  # compiled when it is asked for
            elif kind == "ConceptMap":
                maps.append(MapInUse.of(compiling.concept_map(resource)))
            else:
                raise InvalidInput(
                    "a tx-resource is a CodeSystem or ValueSet with a url, or a ConceptMap", code="value"
                )
        return cls(systems, value_sets, maps, policy)


@dataclass(frozen=True, slots=True)
class LocalChange:
    """What became of lines of a local map: how many there are, how many work items they settle, and the targets
    (system, code) that a code system which is complete here does not have."""

    lines: int
    settled: int
    unknown: Sequence[tuple[str, str]]


class TerminologyService:
    """Terminology that is loaded in the database, over what HL7 published with R4."""

    RESOURCE_TYPES = frozenset({"CodeSystem", "ValueSet", "ConceptMap"})
    """The resources that this domain understands."""

    def __init__(self, clock: Clock, at: datetime | None = None, question: Question | None = None) -> None:
        self._clock, self._at, self._question = clock, at, question or Question()
        self._translations, self._revision = Translations(), ""
        self._look_at: datetime | None = None

    def as_of(self, at: datetime | None) -> TerminologyService:
        """The same, answering by definitions as they were at an instant; NotAsOf is raised for one loaded later."""
        return TerminologyService(self._clock, at, self._question)

    def asked_with(
        self, resources: Sequence[Mapping[str, Any]] = (), policy: versions.Policy | None = None
    ) -> TerminologyService:
        """The same for one question: with resources that came along with it (tx-resource), which go before those that
        are stored, and with versions that it asks for. Raises InvalidInput for a resource that cannot be compiled."""
        return TerminologyService(self._clock, self._at, Question.of(resources, policy or versions.Policy()))

    # --- compile

    async def take(self, tx: Transaction, resource: Mapping[str, Any], *, deleted: bool, applied: bool) -> None:
        """A resource of these types was stored or deleted: its compiled form follows. Raises as `record` does."""
        if deleted:
            await self.forget(tx, resource["resourceType"], resource["id"])
        else:
            await self.record(tx, resource, applied=applied)

    async def record(
        self, tx: Transaction, resource: Mapping[str, Any], origin: str | None = None, *, applied: bool | None = None
    ) -> None:
        """Compile a stored CodeSystem, ValueSet or ConceptMap in place of what was compiled from it before.

        `origin` says where it came from, Type/id by default; `applied`, whether what arrives is standardised by it
        (None: as it was). Raises InvalidInput for one that cannot be compiled.
        """
        resource_type = resource["resourceType"]
        origin = origin or f"{resource_type}/{resource['id']}"
        if resource_type == "CodeSystem":
            if "url" not in resource:
                await store.forget(tx, resource_type, origin)
                return
            await store.replace_code_system(tx, origin, compiling.code_system(resource), self._clock.now())
        elif resource_type == "ValueSet":
            compiling.value_set(resource)
            kept = {name: value for name, value in resource.items() if name not in ("text", "meta")}
            await store.replace_value_set(tx, origin, kept, self._clock.now())
        else:
            compiled = compiling.concept_map(resource)
            await store.replace_map(tx, origin, compiled, self._clock.now(), applied=applied)

    async def forget(self, tx: Transaction, resource_type: str, id_: str) -> None:
        """What was compiled from a resource goes, as the resource did."""
        await store.forget(tx, resource_type, f"{resource_type}/{id_}")

    async def load(self, tx: Transaction, resources: Iterable[Mapping[str, Any]], package: str) -> Loaded:
        """Compile the terminology among the resources of a FHIR package (`name#version`); others are passed over.

        One that cannot be compiled is left out and named in `refused`; the rest is loaded.
        """
        counts: dict[str, int] = {}
        refused: list[tuple[str, str]] = []
        for resource in resources:
            resource_type, url = resource.get("resourceType"), resource.get("url")
            if resource_type not in self.RESOURCE_TYPES or not url:
                continue
            try:
                async with tx.savepoint():
                    await self.record(tx, resource, f"{_package(package)}{resource_type}/{resource.get('id', url)}")
            except (InvalidInput, KeyError, TypeError, AttributeError) as problem:
                refused.append((url, str(problem) if isinstance(problem, InvalidInput) else "is not valid FHIR R4"))
            else:
                counts[resource_type] = counts.get(resource_type, 0) + 1
        return Loaded(counts, refused)

    async def unload(self, tx: Transaction, package: str) -> None:
        """What was compiled from a package (`name#version`) goes."""
        await store.unload(tx, _package(package))

    # --- releases

    async def load_release(self, tx: Transaction, kind: str, release: Release) -> dict[str, int]:
        """Load what somebody published, in place of the same version of it; older versions stay and are asked for by
        their version. Answers URL -> concepts or lines. Raises InvalidInput for files that cannot be read.
        """
        await store.begin_load(tx)
        now = self._clock.now()
        counts: dict[str, int] = {}
        for system in release.systems:
            origin = _release_origin(kind, release.version, system.header.url)
            counts[system.header.url] = await store.load_system(tx, origin, system, now)
        for each in release.maps:
            url = each.header.url or ""
            origin = _release_origin(kind, release.version, url)
            if not (count := await store.load_map(tx, origin, each, now)):
                await store.forget(tx, "ConceptMap", origin)  # a map that this edition does not have
                continue
            counts[url] = count
        for document in release.value_sets:
            compiled = compiling.value_set(document)
            origin = _release_origin(kind, release.version, document["url"])
            await store.replace_value_set(tx, origin, document, now)
            counts[document["url"]] = sum(len(part.concepts or ()) for part in compiled.includes)
        if not any(counts.values()):
            raise InvalidInput("these files hold nothing that is loaded; see: healthsync terminology load --help")
        await store.end_load(tx)
        return counts

    async def releases(self, tx: Transaction) -> list[LoadedRelease]:
        """What releases are loaded."""
        return await store.releases(tx)

    async def unload_release(self, tx: Transaction, kind: str, version: str) -> None:
        """A release goes. Raises UnknownTerminology when it is not loaded."""
        if (kind, version) not in {each.release for each in await store.releases(tx)}:
            raise UnknownTerminology("this release is not loaded; see: healthsync terminology releases")
        await store.begin_load(tx)
        await store.unload(tx, _release_origin(kind, version, ""))

    # --- value sets

    async def value_set(self, tx: Transaction, reference: str) -> ValueSet | None:
        """The value set of a URL, `url|version` or `ValueSet/id`; None when it is not known here."""
        await self._check_age(tx, versions.canonical(reference)[0])
        if _LOCAL_VALUE_SET.fullmatch(reference):
            document = await store.value_set_of(tx, reference)
            if document is not None:
                return compiling.value_set(document)
            published_url = published.url_of("ValueSet", reference.partition("/")[2])
            return None if published_url is None else shipped.value_set(published_url)
        url, version = versions.canonical(reference)
        version = version or self._question.policy.value_sets.get(url)
        inline = self._question.value_sets.get(url, [])
        if (found := versions.chosen(inline, version, lambda v: (v.get("version"), v.get("status")))) is not None:
            return compiling.value_set(found)
        candidates = await store.value_sets(tx, url)
        document = versions.chosen(candidates, version, lambda d: (d.get("version"), d.get("status")))
        if document is not None:
            return compiling.value_set(document)
        own = shipped.value_set(url)
        if own is not None and version in (None, own.version):
            return own
        return await self._implicit_value_set(tx, url)

    async def _implicit_value_set(self, tx: Transaction, url: str) -> ValueSet | None:
        """R4 gives some code systems a value set of all their codes without a resource (snomedct.html#implicit, loinc
        and ucum likewise); of these, UCUM's and those of HL7's own systems are known as resources."""
        if url == "http://unitsofmeasure.org/vs":
            return compiling.value_set({"url": url, "compose": {"include": [{"system": grammars.UCUM}]}})
        if url == "http://loinc.org/vs":
            return compiling.value_set({"url": url, "compose": {"include": [{"system": "http://loinc.org"}]}})
        if (match := _SNOMED_IMPLICIT.fullmatch(url)) is not None:
            if await self._system(tx, _SNOMED, None) is None:
                return None
            include: dict[str, Any] = {"system": _SNOMED}
            if match["concept"]:
                include["filter"] = [{"property": "concept", "op": "is-a", "value": match["concept"]}]
            return compiling.value_set({"url": url, "compose": {"include": [include]}})
        return None

    async def expand(
        self,
        tx: Transaction,
        value_set: str | Mapping[str, Any],
        *,
        text: str | None = None,
        active_only: bool = False,
        selectable_only: bool = False,
        offset: int = 0,
        count: int | None = None,
        details: bool = False,
        supplements: Sequence[str] = (),
    ) -> Expansion:
        """A page of the members of a value set, given by reference or as the resource itself.

        `supplements` are those of code systems to use beside the ones that the value set needs. Raises
        UnknownTerminology, TooCostly, or InvalidInput for a definition that cannot be followed.
        """
        compiled = await self._given(tx, value_set)
        wanted = Wanted(words_of(text), active_only, selectable_only)
        used = await self._supplements(tx, (*compiled.supplements, *supplements))
        expander = self._expander(tx, used)
        found = await expander.page(compiled, wanted, offset=offset, count=count, details=details)
        for url in dict.fromkeys(header.url for header in found.systems):
            used += self._packs(await store.code_systems(tx, url), url)
        names = tuple(dict.fromkeys(each.header.canonical for each in used))
        return replace(found, imported=tuple(expander.imported), supplements=names)

    async def members(self, tx: Transaction, value_set: str) -> frozenset[tuple[str | None, str]] | None:
        """The (system, code) pairs of a value set, for `:in` and `:not-in`; None when it is not known here.

        Raises TooCostly (`too-costly`) for more than MAX_EXPANSION, UnknownTerminology for content that is missing.
        """
        compiled = await self.value_set(tx, value_set)
        if compiled is None:
            return None
        expansion = await self._expander(tx).page(compiled, Wanted())
        return frozenset((member.system, member.concept.code) for member in expansion.members)

    async def validate_code(
        self,
        tx: Transaction,
        value_set: str | Mapping[str, Any],
        codings: Sequence[Coding],
        asked: Asked = ANY,
        *,
        form: str = "Coding",
        supplements: Sequence[str] = (),
        header_language: str | None = None,
    ) -> Validation:
        """Whether a coding belongs to the value set and is right, or any of several (form `CodeableConcept`).

        Raises UnknownTerminology for a value set that is not known, InvalidInput or TooCostly for one that cannot be
        followed.
        """
        if value_set == EVERYTHING:
            language = replace(asked, language=asked.language or header_language)
            return await self.validate_in_system(tx, codings, language, form=form, supplements=supplements)
        compiled = await self._given(tx, value_set)
        used = await self._supplements(tx, (*compiled.supplements, *supplements))
        language = asked.language or compiled.display_language or header_language or compiled.language
        return await self._judge(tx, replace(asked, language=language), used).in_value_set(compiled, codings, form)

    async def validate_in_system(
        self,
        tx: Transaction,
        codings: Sequence[Coding],
        asked: Asked = ANY,
        *,
        form: str = "Coding",
        supplements: Sequence[str] = (),
    ) -> Validation:
        """Whether the codings are codes of their code systems with right displays (CodeSystem/$validate-code)."""
        used = await self._supplements(tx, supplements)
        return await self._judge(tx, asked, used).in_system(codings, form)

    def _judge(self, tx: Transaction, asked: Asked, supplements: Sequence[Source]) -> Judge:
        async def sources(url: str) -> list[Source]:
            return await self._sources(tx, url, supplements)

        async def value_set(reference: str) -> ValueSet | None:
            return await self.value_set(tx, reference)

        def expander(only: Only | None) -> Expander:
            return self._expander(tx, supplements, only)

        return Judge(sources, value_set, expander, self._question.policy, asked)

    # --- code systems

    async def systems(self, tx: Transaction) -> dict[str, list[str]]:
        """URL of each code system whose members are known -> its versions, the one meant without a version first."""
        found: dict[str, list[CodeSystem]] = {}
        for header in (*await store.headers(tx), *shipped.headers(), *grammars.SYSTEMS.values()):
            if header.has_members:
                found.setdefault(header.url, []).append(header)
        newest_first = {url: versions.by_age(headers, _standing) for url, headers in found.items()}
        return {
            url: list(dict.fromkeys(header.version for header in headers if header.version))
            for url, headers in newest_first.items()
        }

    async def code_system_of(self, tx: Transaction, id_: str) -> CodeSystem | None:
        """The code system that came from CodeSystem/id, for operations on an instance."""
        found = await store.code_system_url(tx, f"CodeSystem/{id_}")
        if found is None:
            url = published.url_of("CodeSystem", id_)
            own = shipped.code_system(url) if url is not None else None
            return None if own is None else own.header
        source = await self._system(tx, *found)
        return None if source is None else source.header

    async def lookup(
        self, tx: Transaction, coding: Coding, supplements: Sequence[str] = ()
    ) -> tuple[CodeSystem, Concept]:
        """All that is known of a concept. Raises UnknownTerminology when the system or the code is not known."""
        used = await self._supplements(tx, supplements)
        source = await self._required(tx, coding.system, coding.version)
        if more := [s for s in used if _is_of(s.header, source.header.url) and not s.header.language_pack]:
            source = SupplementedSystem(source, more)
        concept = await source.resolve(coding.code)
        if concept is None:
            raise UnknownTerminology(f"the code is not in the code system {source.header.url}")
        return source.header, (await source.details([concept.code])).get(concept.code, concept)

    async def around(
        self, tx: Transaction, header: CodeSystem, concept: Concept
    ) -> tuple[dict[str, str | None], dict[str, str | None]]:
        """The codes right above a concept and, a thousand at most, those right below it, with their displays."""
        source = await self._required(tx, header.url, header.version)
        if isinstance(source, GrammarSystem):
            return {}, {}
        above = await source.details(concept.parents)
        child_of = compiling.filter_of({"property": "parent", "op": "=", "value": concept.code})
        below = await source.select([child_of], limit=1000)
        return (
            {code: above[code].display if code in above else None for code in concept.parents},
            {each.code: each.display for each in below},
        )

    async def subsumes(self, tx: Transaction, system: str, version: str | None, a: str, b: str) -> Subsumption:
        """How code `a` stands to code `b`. Raises UnknownTerminology for a system or code that is not known."""
        source = await self._required(tx, system, version)
        one, other = await source.resolve(a), await source.resolve(b)
        if one is None or other is None:
            raise UnknownTerminology(f"a code is not in the code system {system}")
        if one.code == other.code:
            return Subsumption.EQUIVALENT
        if one.code in await source.ancestors(other.code):
            return Subsumption.SUBSUMES
        if other.code in await source.ancestors(one.code):
            return Subsumption.SUBSUMED_BY
        return Subsumption.NOT_SUBSUMED

    async def descendants(self, tx: Transaction, system: str, code: str) -> set[tuple[str, str]]:
        """The concept and all below it, for `:below`; the concept alone when its system is not known here.

        Raises TooCostly above MAX_EXPANSION.
        """
        source = await self._system(tx, system, None)
        found = await source.descendants(code, MAX_EXPANSION) if source is not None else set()
        return {(system, each) for each in found} or {(system, code)}

    async def ancestors(self, tx: Transaction, system: str, code: str) -> set[tuple[str, str]]:
        """The concept and all above it, for `:above`; the concept alone when its system is not known here."""
        source = await self._system(tx, system, None)
        found = await source.ancestors(code) if source is not None else set()
        return {(system, each) for each in found} or {(system, code)}

    # --- concept maps

    async def translate(
        self,
        tx: Transaction,
        codings: Sequence[Coding],
        *,
        concept_map: str | Mapping[str, Any] | None = None,
        source: str | None = None,
        target: str | None = None,
        target_system: str | None = None,
        dependencies: Mapping[str, str] | None = None,
        reverse: bool = False,
    ) -> Translation:
        """What the codings are elsewhere, by one map or by all between `source` and `target` (value sets).

        `concept_map` is a URL, `url|version`, `ConceptMap/id` or the resource. Raises UnknownTerminology for a map that
        is not known here.
        """
        if concept_map is None and reverse:
            source, target = target, source
        known = await self._maps(tx, concept_map, source, target)
        found: list[Match] = []
        for coding in codings:
            found += await self._translated(tx, known, coding, target_system, dependencies or {}, reverse=reverse)
        result = any(translation.is_real(match) for match in found)
        return Translation(result, tuple(found), None if result else "no map that is known here has a match")

    async def _translated(
        self,
        tx: Transaction,
        known: Sequence[MapInUse],
        coding: Coding,
        target_system: str | None,
        dependencies: Mapping[str, str],
        *,
        reverse: bool,
    ) -> list[Match]:
        lines = await self._lines(tx, known, coding, reverse=reverse)
        found = translation.matches(lines, dependencies, target_system, reverse=reverse)
        if reverse:
            return found
        for each in known:
            own = [entry for header, entry in lines if header is each.header]
            found += translation.unmapped(each.header, coding, own, target_system)
            if not own:
                found += await self._by_other_maps(tx, each.header, coding, target_system, dependencies)
        return found

    async def _by_other_maps(
        self,
        tx: Transaction,
        header: ConceptMap,
        coding: Coding,
        target_system: str | None,
        dependencies: Mapping[str, str],
    ) -> list[Match]:
        """ConceptMap.group.unmapped of mode other-map: along the chain, until a map has the code."""
        visited = {header.url}
        for _ in range(MAX_MAP_HOPS):
            urls = [u.url for u in header.unmapped if u.mode == "other-map" and u.url and u.url not in visited]
            if not urls:
                return []
            visited.add(urls[0])
            onward = await self._maps(tx, urls[0], None, None)
            lines = await self._lines(tx, onward, coding, reverse=False)
            if lines:
                return translation.matches(lines, dependencies, target_system, reverse=False)
            header = onward[0].header
        raise TooCostly(f"maps send this code on more than {MAX_MAP_HOPS} times")

    async def _lines(
        self, tx: Transaction, known: Sequence[MapInUse], coding: Coding, *, reverse: bool
    ) -> list[tuple[ConceptMap, MapEntry]]:
        headers = {each.key: each.header for each in known if each.key is not None}
        stored = await store.entries(tx, list(headers), coding.system, coding.code, reverse=reverse) if headers else []
        lines = [(headers[key], entry) for key, entry in stored]
        for each in known:
            lines += [(each.header, entry) for entry in each.entries if _starts_at(entry, coding, reverse=reverse)]
        return lines

    async def _maps(
        self, tx: Transaction, concept_map: str | Mapping[str, Any] | None, source: str | None, target: str | None
    ) -> list[MapInUse]:
        if isinstance(concept_map, Mapping):
            return [MapInUse.of(compiling.concept_map(concept_map))]
        if concept_map is None:
            own = [m for m in (*self._question.maps, *shipped.maps()) if m.is_between(source, target)]
            stored = await store.maps(tx, url=None, origin=None, source=source, target=target)
        elif _LOCAL_MAP.fullmatch(concept_map):
            stored = await store.maps(tx, url=None, origin=concept_map, source=None, target=None)
            url = None if stored else published.url_of("ConceptMap", concept_map.partition("/")[2])
            own = [m for m in shipped.maps() if url is not None and m.header.url == url]
        else:
            url, version = versions.canonical(concept_map)
            inline = [m for m in self._question.maps if m.header.url == url and version in (None, m.header.version)]
            if inline:
                return inline
            candidates = await store.maps(tx, url=url, origin=None, source=None, target=None)
            one = versions.chosen(candidates, version, lambda pair: (pair[1].version, pair[1].status))
            stored = [one] if one is not None else []
            own = [
                m for m in shipped.maps() if one is None and m.header.url == url and version in (None, m.header.version)
            ]
        known = [*(MapInUse(header, key) for key, header in stored), *own]
        if not known and concept_map is not None:
            raise UnknownTerminology("this concept map is not known here; load it, or a package that holds it")
        return known

    # --- closure tables (terminology-service.html#closure)

    async def begin_closure(self, tx: Transaction, owner: str, name: str) -> None:
        """A closure table of a client begins, or begins anew. Raises TooCostly for more than MAX_CLOSURES."""
        if await store.closure(tx, owner, name) is None and await store.closures(tx, owner) >= MAX_CLOSURES:
            raise TooCostly(f"a client keeps {MAX_CLOSURES} closure tables at most; begin one of them anew")
        await store.begin_closure(tx, owner, name)

    async def add_to_closure(
        self, tx: Transaction, owner: str, name: str, codings: Sequence[Coding]
    ) -> tuple[int, list[tuple[str, str, str]]]:
        """Add concepts; answers the new version and (system, below, above) of all that is new in it.

        Raises UnknownTerminology for a table that was not begun or a code that is not known, TooCostly for a table of
        more than MAX_CLOSURE concepts.
        """
        key, _ = await self._closure(tx, owner, name)
        version = await store.raise_closure(tx, key)
        for system in dict.fromkeys(coding.system for coding in codings):
            source = await self._required(tx, system, None)
            known = await store.closure_codes(tx, key, source.header.url)
            for coding in codings:
                if coding.system == system:
                    await self._add_to_closure(tx, key, version, source, coding.code, known)
        if await store.closure_size(tx, key) > MAX_CLOSURE:
            raise TooCostly(f"a closure table has {MAX_CLOSURE} concepts at most")
        return version, await store.closure_lines(tx, key, version - 1)

    async def _add_to_closure(
        self, tx: Transaction, key: int, version: int, source: Source, code: str, known: set[str]
    ) -> None:
        concept = await source.resolve(code)
        if concept is None:
            raise UnknownTerminology(f"the code is not in the code system {source.header.url}")
        if concept.code in known:
            return
        above = (await source.ancestors(concept.code) & known) - {concept.code}
        is_below = compiling.filter_of({"property": "concept", "op": "descendent-of", "value": concept.code})
        below = await source.select([is_below], codes=known, limit=len(known)) if known else []
        lines = [*((concept.code, each) for each in above), *((each.code, concept.code) for each in below)]
        await store.add_to_closure(tx, key, version, source.header.url, [concept.code], lines)
        known.add(concept.code)

    async def closure_since(
        self, tx: Transaction, owner: str, name: str, version: int
    ) -> tuple[int, list[tuple[str, str, str]]]:
        """The version of a closure table, and all that is new after another. Raises UnknownTerminology."""
        key, newest = await self._closure(tx, owner, name)
        return newest, await store.closure_lines(tx, key, version)

    async def _closure(self, tx: Transaction, owner: str, name: str) -> tuple[int, int]:
        found = await store.closure(tx, owner, name)
        if found is None:
            raise UnknownTerminology("this client has no closure table of that name; begin it with the name alone")
        return found

    # --- local codes

    async def translations(self, tx: Transaction) -> Translations:
        """The lines by which codes are standardised, as they were a second ago at the latest."""
        now = self._clock.now()
        if self._look_at is None or now >= self._look_at:
            revision = await store.maps_revision(tx)
            if revision != self._revision:
                self._translations, self._revision = Translations(await store.applied_lines(tx)), revision
            self._look_at = now + LOOK_EVERY
        return self._translations

    async def put_local(
        self, tx: Transaction, partner: str | None, entries: Sequence[MapEntry], by: str, *, whole: bool
    ) -> LocalChange:
        """Lines of the local map of a partner (None: of every source), in place of those for the same codes.

        `whole`: in place of all lines. Targets get the displays of their code systems. Work items whose codes are
        translated from now on are settled.
        """
        unknown, entries = await self._with_displays(tx, entries)
        await store.put_local_lines(tx, partner, _local_url(partner), entries, self._clock.now(), whole=whole)
        settled = await self._settle_translated(tx, by)
        return LocalChange(len(entries), settled, unknown)

    async def remove_local(self, tx: Transaction, partner: str | None, system: str | None, code: str) -> int:
        """The lines of a local map for a code go. Raises UnknownTerminology when there are none."""
        gone = await store.remove_local_lines(tx, partner, _local_url(partner), [(system, code)], self._clock.now())
        if not gone:
            raise UnknownTerminology("this map has no line for that code; see: healthsync terminology map show")
        return gone

    async def local_maps(self, tx: Transaction) -> list[LocalMap]:
        """What maps of local codes there are."""
        return await store.local_maps(tx)

    async def local_map(self, tx: Transaction, partner: str | None) -> dict[str, Any]:
        """The local map of a partner as a ConceptMap; one without lines when there is none."""
        return concept_map(partner, _local_url(partner), await store.local_lines(tx, partner))

    async def _with_displays(
        self, tx: Transaction, entries: Sequence[MapEntry]
    ) -> tuple[list[tuple[str, str]], list[MapEntry]]:
        """The lines with displays, and the targets that their code systems, complete and loaded here, do not have."""
        targets: dict[str, set[str]] = {}
        for entry in entries:
            if entry.target is not None and entry.target.system is not None:
                targets.setdefault(entry.target.system, set()).add(entry.target.code)
        known: dict[str, dict[str, Concept]] = {}
        unknown: list[tuple[str, str]] = []
        for system, codes in targets.items():
            if (source := await self._system(tx, system, None)) is not None:
                known[system] = await source.details(codes)
                if source.header.content == "complete":
                    unknown += [(system, code) for code in sorted(codes - known[system].keys())]
        return unknown, [_displayed(entry, known) for entry in entries]

    # --- work items

    async def note_untranslated(
        self, tx: Transaction, seen: Mapping[tuple[str, str, str], tuple[str, str, int]]
    ) -> None:
        """Count codes that ask for a person: (partner, system or "", code) -> (element, reason, occurrences)."""
        await store.note_untranslated(tx, seen, self._clock.now())

    async def work_items(
        self, tx: Transaction, *, state: str | None = None, partner: str | None = None, limit: int = 100
    ) -> list[WorkItem]:
        """Work items, the most frequent first."""
        return await store.work_items(tx, state=state, partner=partner, key=None, limit=limit)

    async def work_item(self, tx: Transaction, key: int) -> WorkItem:
        """One work item. Raises UnknownTerminology."""
        found = await store.work_items(tx, state=None, partner=None, key=key, limit=1)
        if not found:
            raise UnknownTerminology("there is no work item of this number; see: healthsync terminology work list")
        return found[0]

    async def work_counts(self, tx: Transaction) -> list[tuple[str, str, int, int]]:
        """(partner, state, codes, occurrences), for reports."""
        return await store.work_counts(tx)

    async def settle(self, tx: Transaction, item: WorkItem, state: WorkState, by: str) -> WorkItem:
        """A work item gets another state: ignored, or open again."""
        at = None if state is WorkState.OPEN else self._clock.now()
        await store.settle_work_items(tx, [item.key], state, at, by)
        return replace(item, state=state, settled_at=at, settled_by=by)

    async def _settle_translated(self, tx: Transaction, by: str) -> int:
        translations = Translations(await store.applied_lines(tx))
        opened = await store.work_items(tx, state=WorkState.OPEN, partner=None, key=None, limit=MAX_WORK_ITEMS)
        done = []
        for item in opened:
            meaning = translations.meaning(item.partner, item.system, item.code)
            if meaning is not None and not meaning.ambiguous:
                done.append(item.key)
        await store.settle_work_items(tx, done, WorkState.MAPPED, self._clock.now(), by)
        return len(done)

    # --- finding

    def _expander(self, tx: Transaction, supplements: Sequence[Source] = (), only: Only | None = None) -> Expander:
        policy = self._question.policy

        async def system(url: str, version: str | None) -> Source | None:
            wanted = policy.wanted(url, version)
            if only is not None and only[0] == url and versions.fits(only[1], wanted):
                wanted = only[1]
            found = versions.chosen(await self._sources(tx, url, supplements), wanted, _said_of)
            if found is not None and not found.header.has_members:
                return None
            if found is None and wanted is not None and any(s.header.has_members for s in await self._sources(tx, url)):
                raise UnknownCodeSystem(url, wanted, [s.header.version or "" for s in await self._sources(tx, url)])
            if found is not None and (why := policy.refusal(url, found.header.version)) is not None:
                raise Unusable(why, kind="version-error", code="exception", message_id="VALUESET_VERSION_CHECK")
            return found

        async def value_set(url: str) -> ValueSet | None:
            return await self._given(tx, url)

        return Expander(system, value_set, only)

    async def _sources(self, tx: Transaction, url: str, supplements: Sequence[Source] = ()) -> list[Source]:
        """Every version of a code system that is known here, with or without content, as supplements complete it."""
        if url in grammars.SYSTEMS:
            return [GrammarSystem(grammars.SYSTEMS[url])]
        await self._check_age(tx, url)
        found: list[Source] = list(self._question.systems.get(url, []))
        known = {source.header.version for source in found}
        stored = await store.code_systems(tx, url)
        found += [s for s in stored if s.header.url == url and s.header.version not in known]
        own = shipped.code_system(url)
        if own is not None and all(source.header.version != own.header.version for source in found):
            found.append(own)
        fitting = {s.header.canonical: s for s in (*self._packs(stored, url), *supplements) if _is_of(s.header, url)}
        return [SupplementedSystem(source, list(fitting.values())) for source in found] if fitting else found

    def _packs(self, stored: Sequence[Source], url: str) -> list[Source]:
        """Supplements of a code system, of those stored and those that came along, that are used without being asked
        for: they bring languages."""
        along = [each for known in self._question.systems.values() for each in known]
        return [each for each in (*stored, *along) if each.header.language_pack and _is_of(each.header, url)]

    async def _supplements(self, tx: Transaction, wanted: Sequence[str]) -> list[Source]:
        """The supplements of these canonicals. Raises Unusable for one that is not known."""
        found: list[Source] = []
        for reference in dict.fromkeys(wanted):
            url, version = versions.canonical(reference)
            known = [s for s in await self._sources(tx, url) if s.header.content == "supplement"]
            one = versions.chosen(known, version, _said_of)
            if one is None:
                raise Unusable(
                    f"Required supplement not found: {reference}",
                    kind="not-found",
                    code="business-rule",
                    message_id="VALUESET_SUPPLEMENT_MISSING",
                )
            found.append(one)
        return found

    async def _given(self, tx: Transaction, value_set: str | Mapping[str, Any]) -> ValueSet:
        if not isinstance(value_set, str):
            return compiling.value_set(value_set)
        found = await self.value_set(tx, value_set)
        if found is None:
            url, version = versions.canonical(value_set)
            version = version or self._question.policy.value_sets.get(url)
            asked = f"{url}|{version}" if version else url
            raise unknown_value_set(asked)
        return found

    async def _required(self, tx: Transaction, url: str | None, version: str | None) -> Source:
        if url is None:
            raise InvalidInput("name the code system: a code means nothing without it", code="required")
        source = await self._system(tx, url, version)
        if source is None:
            name = f"{url}|{version}" if version else url
            raise UnknownTerminology(f"A definition for CodeSystem '{name}' could not be found: load it, or a package")
        return source

    async def _system(self, tx: Transaction, url: str, version: str | None) -> Source | None:
        """A loaded system before a published one; None when neither has content."""
        url, _, stated = url.partition("|")
        version = version or stated or None
        known = [source for source in await self._sources(tx, url) if _has_content(source.header)]
        return versions.chosen(known, self._question.policy.wanted(url, version), _said_of)

    async def _check_age(self, tx: Transaction, reference: str) -> None:
        if self._at is not None and await store.loaded_since(tx, reference, self._at):
            raise NotAsOf(reference)


_SNOMED = "http://snomed.info/sct"
_SNOMED_IMPLICIT = re.compile(r"http://snomed\.info/sct\?fhir_vs(?:=isa/(?P<concept>\d{6,18}))?")
_LOCAL_VALUE_SET = re.compile(r"ValueSet/[A-Za-z0-9.-]{1,64}")
_LOCAL_MAP = re.compile(r"ConceptMap/[A-Za-z0-9.-]{1,64}")


def _local_url(partner: str | None) -> str:
    return "urn:healthsync:local-codes" + ("" if partner is None else f":{quote(partner, safe='')}")


def _displayed(entry: MapEntry, known: Mapping[str, Mapping[str, Concept]]) -> MapEntry:
    target = entry.target
    if target is None or target.display is not None or target.system is None:
        return entry
    concept = known.get(target.system, {}).get(target.code)
    return entry if concept is None else replace(entry, target=replace(target, display=concept.display))


def _release_origin(kind: str, version: str, url: str) -> str:
    return f"load:{kind}/{version}#{url}"


def _package(name: str) -> str:
    return f"package:{name}/"


def _standing(header: CodeSystem) -> tuple[str | None, str | None]:
    return header.standing


def _said_of(source: Source) -> tuple[str | None, str | None]:
    return source.header.standing


def _is_of(header: CodeSystem, url: str) -> bool:
    return header.supplements is not None and versions.canonical(header.supplements)[0] == url


def _has_content(header: CodeSystem) -> bool:
    return header.content not in _WITHOUT_CONTENT


def _starts_at(entry: MapEntry, coding: Coding, *, reverse: bool) -> bool:
    at = entry.target if reverse else Coding(entry.source_system, entry.source_code)
    if at is None or at.code != coding.code:
        return False
    return at.system is None or coding.system is None or at.system == coding.system
