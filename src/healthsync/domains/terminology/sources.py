"""Code systems that can be asked: one held in memory, and one that is a grammar. `store` has the third, in tables."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from healthsync.domains.terminology import grammars
from healthsync.domains.terminology.errors import TooCostly, Unusable
from healthsync.domains.terminology.model import (
    CodeSystem,
    CompiledCodeSystem,
    Concept,
    Designation,
    Filter,
    FilterOperator,
)
from healthsync.domains.terminology.patterns import pattern
from healthsync.errors import InvalidInput
from healthsync.standards import ucum

STANDARD_PROPERTIES = frozenset(
    {"concept", "code", "display", "definition", "parent", "child", "inactive", "notSelectable", "status", "deprecated"}
)
"""Properties that every code system has (codesystem.html#defined-props)."""

MOST_WORDS = 20
MOST_FILTERS = 20
"""Words of one text filter, and filters of one include, that are looked at."""

HIERARCHICAL = frozenset(
    {
        *(FilterOperator.IS_A, FilterOperator.DESCENDENT_OF, FilterOperator.IS_NOT_A, FilterOperator.GENERALIZES),
        *(FilterOperator.CHILD_OF, FilterOperator.DESCENDENT_LEAF),
    }
)


class Source(Protocol):
    """A code system that answers for its concepts."""

    @property
    def header(self) -> CodeSystem:
        """What is said of the whole."""
        ...

    async def resolve(self, code: str) -> Concept | None:
        """The concept of a code, whatever the case of its letters where the system does not mind."""
        ...

    async def select(
        self,
        filters: Sequence[Filter],
        *,
        codes: Collection[str] | None = None,
        words: Sequence[str] = (),
        after: int = -1,
        limit: int,
    ) -> list[Concept]:
        """Concepts that pass every filter, in order, behind place `after`; `codes` and `words` narrow them.

        Designations and properties may be missing; `details` has them. Raises InvalidInput for a filter that the
        system does not know, TooCostly when it cannot list its concepts.
        """
        ...

    async def is_broad(self, filters: Sequence[Filter]) -> bool:
        """Whether so many concepts may pass the filters that listing them all is work."""
        ...

    async def details(self, codes: Collection[str]) -> dict[str, Concept]:
        """The concepts of these codes, with all that is known of them."""
        ...

    async def descendants(self, code: str, limit: int) -> set[str]:
        """The code and all below it. Raises TooCostly above `limit`."""
        ...

    async def ancestors(self, code: str) -> set[str]:
        """The code and all above it."""
        ...


def folded(concept: Concept) -> str:
    """What the words of a text filter are looked for in."""
    return f"{concept.display or ''}\n{concept.code}".casefold()


def words_of(text: str | None) -> tuple[str, ...]:
    """The words of a text filter; a concept is found when each stands in its display or code.

    Raises TooCostly for more than MOST_WORDS.
    """
    words = tuple((text or "").casefold().split())
    if len(words) > MOST_WORDS:
        raise TooCostly(f"a text filter has {MOST_WORDS} words at most")
    return words


def check_filters(filters: Sequence[Filter], header: CodeSystem) -> None:
    """Raises Unusable for a property that the system does not define, or an operator that does not fit it."""
    if len(filters) > MOST_FILTERS:
        raise TooCostly(f"an include has {MOST_FILTERS} filters at most")
    for entry in filters:
        is_known = entry.property in STANDARD_PROPERTIES or entry.property in header.properties
        if entry.operator in HIERARCHICAL:
            is_known = entry.property in ("concept", "code")
        if not is_known or (entry.operator is FilterOperator.EXISTS and entry.value not in ("true", "false")):
            told = f'The filter "{entry.property} {entry.operator} {entry.value}"'
            raise Unusable(
                f"{told} was not understood in the context of {header.url}",
                kind="vs-invalid",
                code="not-supported",
                message_id="FILTER_NOT_UNDERSTOOD",
            )
        if entry.operator is FilterOperator.REGEX:
            pattern(entry.value)


def listed(value: str) -> list[str]:
    """The codes of an `in` filter."""
    return [item.strip() for item in value.split(",")]


class MemorySystem:
    """A compiled code system held in memory."""

    def __init__(self, compiled: CompiledCodeSystem) -> None:
        self.header = compiled.header
        self._concepts = {concept.code: concept for concept in compiled.concepts}
        self._children: dict[str, list[str]] = {}
        for concept in compiled.concepts:
            for parent in concept.parents:
                self._children.setdefault(parent, []).append(concept.code)
        self._folded = (
            {} if self.header.case_sensitive else {code.casefold(): code for code in reversed(self._concepts)}
        )

    async def resolve(self, code: str) -> Concept | None:
        """See Source."""
        return self._concepts.get(code) or self._concepts.get(self._folded.get(code.casefold(), ""))

    async def select(
        self,
        filters: Sequence[Filter],
        *,
        codes: Collection[str] | None = None,
        words: Sequence[str] = (),
        after: int = -1,
        limit: int,
    ) -> list[Concept]:
        """See Source."""
        check_filters(filters, self.header)
        tests = [self._test(entry) for entry in filters]
        wanted = None if codes is None else set(codes)
        found: list[Concept] = []
        for concept in self._concepts.values():
            if concept.ordinal <= after or (wanted is not None and concept.code not in wanted):
                continue
            text = folded(concept) if words else ""
            if all(word in text for word in words) and all(test(concept) for test in tests):
                found.append(concept)
                if len(found) == limit:
                    break
        return found

    async def is_broad(self, filters: Sequence[Filter]) -> bool:
        """See Source."""
        return False

    async def details(self, codes: Collection[str]) -> dict[str, Concept]:
        """See Source."""
        return {code: self._concepts[code] for code in codes if code in self._concepts}

    async def descendants(self, code: str, limit: int) -> set[str]:
        """See Source."""
        found = self._reach(code, self._children)
        if len(found) > limit:
            raise TooCostly(f"more than {limit} concepts lie below this one")
        return found

    async def ancestors(self, code: str) -> set[str]:
        """See Source."""
        return self._reach(code, {c.code: c.parents for c in self._concepts.values()})

    def _reach(self, code: str, edges: Mapping[str, Iterable[str]]) -> set[str]:
        if code not in self._concepts:
            return set()
        found, waiting = {code}, [code]
        while waiting:
            for other in edges.get(waiting.pop(), ()):
                if other not in found:
                    found.add(other)
                    waiting.append(other)
        return found

    def _test(self, entry: Filter) -> Callable[[Concept], bool]:
        if entry.operator in HIERARCHICAL:
            return self._hierarchy_test(entry)
        if entry.operator is FilterOperator.EQUAL:
            return lambda concept: entry.value in self._values(concept, entry.property)
        if entry.operator in (FilterOperator.IN, FilterOperator.NOT_IN):
            codes, wanted = set(listed(entry.value)), entry.operator is FilterOperator.IN
            return lambda concept: codes.isdisjoint(self._values(concept, entry.property)) is not wanted
        if entry.operator is FilterOperator.EXISTS:
            return lambda concept: bool(self._values(concept, entry.property)) is (entry.value == "true")
        expression = pattern(entry.value)
        return lambda concept: any(expression.fullmatch(value) for value in self._values(concept, entry.property))

    def _hierarchy_test(self, entry: Filter) -> Callable[[Concept], bool]:
        if entry.operator is FilterOperator.CHILD_OF:
            return lambda concept: entry.value in concept.parents
        if entry.operator is FilterOperator.GENERALIZES:
            above = self._reach(entry.value, {c.code: c.parents for c in self._concepts.values()})
            return lambda concept: concept.code in above
        below = self._reach(entry.value, self._children)
        if entry.operator is FilterOperator.IS_A:
            return lambda concept: concept.code in below
        if entry.operator is FilterOperator.DESCENDENT_OF:
            return lambda concept: concept.code in below and concept.code != entry.value
        if entry.operator is FilterOperator.DESCENDENT_LEAF:
            return lambda concept: concept.code in below and not self._children.get(concept.code)
        return lambda concept: concept.code not in below

    def _values(self, concept: Concept, name: str) -> list[str]:
        if name in ("concept", "code"):
            return [concept.code]
        if name in ("display", "definition"):
            text = concept.display if name == "display" else concept.definition
            return [text] if text is not None else []
        if name == "parent":
            return list(concept.parents)
        if name == "child":
            return self._children.get(concept.code, [])
        if name == "inactive":
            return [str(concept.inactive).lower()]
        if name == "notSelectable" and concept.abstract:  # false only where it is stated
            return ["true"]
        return [item.value for item in concept.properties if item.code == name]


class GrammarSystem:
    """A code system whose concepts are the well-formed codes; it can be asked, but not listed."""

    def __init__(self, header: CodeSystem) -> None:
        self.header = header

    async def resolve(self, code: str) -> Concept | None:
        """See Source."""
        return grammars.concept(self.header.url, code)

    async def select(
        self,
        filters: Sequence[Filter],
        *,
        codes: Collection[str] | None = None,
        words: Sequence[str] = (),
        after: int = -1,
        limit: int,
    ) -> list[Concept]:
        """See Source. The one filter known is UCUM's `canonical =`: units comparable with the value."""
        if codes is None:
            raise TooCostly(
                f'The code System "{self.header.url}" has a grammar, and cannot be enumerated directly; list the codes'
            )
        for entry in filters:
            if self.header.url != grammars.UCUM or (entry.property, entry.operator) != ("canonical", "="):
                raise InvalidInput(
                    f"{self.header.url} does not know the filter of this value set", code="not-supported"
                )
        known = [grammars.concept(self.header.url, code) for code in codes]
        return [c for c in known if c is not None and all(ucum.comparable(c.code, f.value) for f in filters)]

    async def is_broad(self, filters: Sequence[Filter]) -> bool:
        """See Source."""
        return False

    async def details(self, codes: Collection[str]) -> dict[str, Concept]:
        """See Source."""
        known = {code: grammars.concept(self.header.url, code) for code in codes}
        return {code: found for code, found in known.items() if found is not None}

    async def descendants(self, code: str, limit: int) -> set[str]:
        """See Source: no code lies below another."""
        return {code} if grammars.concept(self.header.url, code) else set()

    async def ancestors(self, code: str) -> set[str]:
        """See Source: no code lies above another."""
        return await self.descendants(code, 1)


class SupplementedSystem:
    """A code system with the designations and properties that supplements add to it (codesystem.html#supplements)."""

    def __init__(self, base: Source, supplements: Sequence[Source]) -> None:
        self._base, self._supplements, self.header = base, supplements, base.header

    async def resolve(self, code: str) -> Concept | None:
        """See Source."""
        return await self._base.resolve(code)

    async def select(
        self,
        filters: Sequence[Filter],
        *,
        codes: Collection[str] | None = None,
        words: Sequence[str] = (),
        after: int = -1,
        limit: int,
    ) -> list[Concept]:
        """See Source: supplements change no meaning, so what belongs is what the base says."""
        return await self._base.select(filters, codes=codes, words=words, after=after, limit=limit)

    async def is_broad(self, filters: Sequence[Filter]) -> bool:
        """See Source."""
        return await self._base.is_broad(filters)

    async def details(self, codes: Collection[str]) -> dict[str, Concept]:
        """See Source."""
        found = await self._base.details(codes)
        for supplement in self._supplements:
            name = supplement.header.canonical
            for code, more in (await supplement.details(codes)).items():
                if code not in found:
                    continue
                own = [Designation(more.display, supplement.header.language)] if more.display else []
                told = [replace(each, supplement=name) for each in (*own, *more.designations)]
                known = found[code]
                found[code] = replace(
                    known,
                    designations=(*known.designations, *told),
                    properties=(*known.properties, *more.properties),
                )
        return found

    async def descendants(self, code: str, limit: int) -> set[str]:
        """See Source."""
        return await self._base.descendants(code, limit)

    async def ancestors(self, code: str) -> set[str]:
        """See Source."""
        return await self._base.ancestors(code)
