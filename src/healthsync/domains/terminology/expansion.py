"""Which concepts belong to a value set (valueset.html#compositions): asked of some, or listed to a bound.

    - a concept belongs to an include or exclude when it is of its system, listed or passing its filters, and belongs to
      every value set that the part names;
    - it belongs to the value set when it belongs to any include and to no exclude.

`keep` and `walk` follow the same rules, one from the concept, the other from the definition.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cmp_to_key

from healthsync.domains.terminology import versions
from healthsync.domains.terminology.errors import TooCostly, UnknownCodeSystem, Unusable, circular, unknown_value_set
from healthsync.domains.terminology.model import Concept, Expansion, Member, Part, ValueSet
from healthsync.domains.terminology.sources import Source, folded

MAX_EXPANSION = 10_000
"""Most concepts that are listed for one question."""

MAX_DEPTH = 50
"""Longest chain of value sets that import each other."""

MAX_STEPS = 5_000
"""Most parts of value sets that are visited for one question: bounds imports that fan out again and again."""

MAX_SCANNED = 200_000
"""Most concepts that are looked at for one expansion, whether they belong or not."""

_CHUNK = 5_000
_FEW = 200
"""Concepts that are fetched at a time, of a definition that is broad."""

Key = tuple[str | None, str]

FindSystem = Callable[[str, str | None], Awaitable[Source | None]]
FindValueSet = Callable[[str], Awaitable[ValueSet | None]]

Only = tuple[str, str | None]
"""URL and version of a code system: parts that use another version of it are passed over."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What narrows an expansion: words of a text filter, only active concepts, only those that are for selection."""

    words: tuple[str, ...] = ()
    active_only: bool = False
    selectable_only: bool = False

    def admits(self, concept: Concept) -> bool:
        """Whether the concept may be shown."""
        return not (self.active_only and concept.inactive) and not (self.selectable_only and concept.abstract)


class Expander:
    """Answers for value sets; lives for one question, whose steps it counts."""

    def __init__(self, find_system: FindSystem, find_value_set: FindValueSet, only: Only | None = None) -> None:
        self._find_system, self._find_value_set, self._only = find_system, find_value_set, only
        self.imported: list[ValueSet] = []
        self._most_counted = MAX_EXPANSION
        self._steps = self._scanned = 0
        self._systems: dict[tuple[str, str | None], Source | None] = {}
        self._value_sets: dict[str, ValueSet] = {}
        self._contained: dict[str, ValueSet] = {}
        self._is_repeated = False

    async def keep(self, value_set: ValueSet, system: str | None, codes: Collection[str]) -> dict[str, Concept]:
        """Those of the codes that belong, with their concepts. Raises UnknownCodeSystem, TooCostly, InvalidInput."""
        return await self._keep(value_set, system, codes, ())

    async def page(
        self, value_set: ValueSet, wanted: Wanted, *, offset: int = 0, count: int | None = None, details: bool = False
    ) -> Expansion:
        """The members from `offset`, `count` of them or all, with their designations where `details` are wanted.

        Raises TooCostly when all are more than MAX_EXPANSION, and as `keep` does.
        """
        members: list[Member] = []
        is_whole = True
        async for chunk in self._walk(value_set, wanted, ()):
            members.extend(chunk)
            if len(members) > MAX_EXPANSION or (count is not None and len(members) > self._enough(offset + count)):
                is_whole = False
                break
        total = len(members) if is_whole and len(members) <= MAX_EXPANSION else None
        if total is None and (count is None or offset >= MAX_EXPANSION):
            raise TooCostly(
                f"The value set '{value_set.canonical}' expansion has too many codes to display (>{MAX_EXPANSION});"
                " filter it, or ask for pages (count)",
                message_id="VALUESET_TOO_COSTLY",
            )
        shown = members[offset : MAX_EXPANSION if count is None else min(offset + count, MAX_EXPANSION)]
        if details:
            shown = await self._detailed(shown)
        used = tuple({s.header.canonical: s.header for s in self._systems.values() if s is not None}.values())
        is_tree = total == len(shown) and not self._is_repeated and _may_be_tree(value_set, shown)
        return Expansion(value_set, shown, total, self._versions_used(), used, is_tree=is_tree)

    def _enough(self, asked: int) -> int:
        """How many members are counted for a page: all, unless the definition is broad."""
        return max(asked, self._most_counted)

    async def _detailed(self, members: Sequence[Member]) -> list[Member]:
        known: dict[tuple[str | None, str | None], dict[str, Concept]] = {}
        for system, version in {(m.system, m.version) for m in members}:
            codes = [m.concept.code for m in members if (m.system, m.version) == (system, version)]
            source = await self._known(system, version) if system is not None else None
            known[system, version] = await source.details(codes) if source is not None else {}
        return [
            replace(m, concept=preferred(m.concept, known[m.system, m.version].get(m.concept.code))) for m in members
        ]

    def _versions_used(self) -> tuple[str, ...]:
        used = [source.header for source in self._systems.values() if source is not None]
        return tuple(sorted({f"{header.url}|{header.version}" for header in used if header.version}))

    # --- from the concept

    async def _keep(
        self, value_set: ValueSet, system: str | None, codes: Collection[str], path: tuple[str, ...]
    ) -> dict[str, Concept]:
        path = self._enter(value_set, path)
        kept: dict[str, Concept] = {}
        for part in value_set.includes:
            rest = [code for code in codes if code not in kept]
            if rest:
                kept |= await self._in_part(part, system, rest, path)
        for part in value_set.excludes:
            if kept:
                for code in await self._in_part(part, system, list(kept), path):
                    del kept[code]
        if not value_set.inactive:
            kept = {code: concept for code, concept in kept.items() if not concept.inactive}
        return kept

    async def _in_part(
        self, part: Part, system: str | None, codes: Collection[str], path: tuple[str, ...]
    ) -> dict[str, Concept]:
        self._step()
        kept: dict[str, Concept] | None = None
        if part.system is not None:
            if part.system != system or not await self._is_of_that_version(part):
                return {}
            kept = await self._of_system(part, codes)
        for url in part.value_sets:
            if kept is not None and not kept:
                break
            imported = await self._imported(url)
            found = await self._keep(imported, system, list(kept) if kept is not None else codes, path)
            kept = found if kept is None else {code: kept[code] for code in found}
        return kept or {}

    async def _is_of_that_version(self, part: Part) -> bool:
        if self._only is None or part.system is None or part.system != self._only[0]:
            return True
        source = await self._known(part.system, part.version)
        return source is not None and source.header.version == self._only[1]

    async def _of_system(self, part: Part, codes: Collection[str]) -> dict[str, Concept]:
        assert part.system is not None
        if part.concepts is not None:
            return await self._completed(part, [part.concepts[code] for code in codes if code in part.concepts])
        source = await self._source(part.system, part.version)
        return {c.code: c for c in await source.select(part.filters, codes=codes, limit=len(codes))}

    async def _completed(self, part: Part, listed: Sequence[Concept]) -> dict[str, Concept]:
        """Listed concepts with what their system knows of them; the value set's own display goes first."""
        assert part.system is not None
        source = await self._known(part.system, part.version)
        if source is None:
            return {c.code: c for c in listed}
        known = await source.details([c.code for c in listed])
        if not source.header.case_sensitive:
            others = {c.code: await source.resolve(c.code) for c in listed if c.code not in known}
            known |= {code: replace(found, code=code) for code, found in others.items() if found is not None}
        # What a complete system does not have is no concept of it.
        is_whole = source.header.content == "complete"
        return {c.code: preferred(c, known.get(c.code)) for c in listed if not is_whole or c.code in known}

    # --- from the definition

    async def _walk(self, value_set: ValueSet, wanted: Wanted, path: tuple[str, ...]) -> AsyncIterator[list[Member]]:
        path = self._enter(value_set, path)
        seen: set[tuple[str | None, str, str | None]] = set()
        mixed = value_set.mixed

        def key(member: Member) -> tuple[str | None, str, str | None]:
            return member.system, member.concept.code, member.version if member.system in mixed else None

        for part in _newest_first(value_set.includes):
            async for chunk in self._walk_part(part, wanted, path):
                fresh = [m for m in chunk if key(m) not in seen]
                self._is_repeated |= len(fresh) < len(chunk)
                seen.update(map(key, fresh))
                kept = await self._not_excluded(value_set, fresh, path)
                kept = [m for m in kept if value_set.inactive or not m.concept.inactive]
                yield [m for m in kept if wanted.admits(m.concept)]

    async def _walk_part(self, part: Part, wanted: Wanted, path: tuple[str, ...]) -> AsyncIterator[list[Member]]:
        self._step()
        if part.system is None:
            first, *others = part.value_sets
            imported = await self._imported(first)
            async for chunk in self._walk(imported, wanted, path):
                yield await self._in_all(others, chunk, path)
        else:
            async for chunk in self._walk_system(part, wanted):
                yield await self._in_all(part.value_sets, chunk, path)

    async def _walk_system(self, part: Part, wanted: Wanted) -> AsyncIterator[list[Member]]:
        assert part.system is not None
        if part.concepts is not None:
            listed = list(part.concepts.values())
            known = await self._known(part.system, part.version)
            version = known.header.version if known is not None else part.version
            for start in range(0, len(listed), _CHUNK):
                concepts = (await self._completed(part, listed[start : start + _CHUNK])).values()
                found = [c for c in concepts if all(word in folded(c) for word in wanted.words)]
                yield [Member(part.system, version, c) for c in found]
            return
        source, after = await self._source(part.system, part.version), -1
        limit = _CHUNK
        if await source.is_broad(part.filters):
            limit, self._most_counted = _FEW, 0
        while concepts := await source.select(part.filters, words=wanted.words, after=after, limit=limit):
            self._scan(len(concepts))
            yield [Member(part.system, source.header.version, c) for c in concepts]
            after = concepts[-1].ordinal
            if len(concepts) < limit:
                return

    async def _in_all(self, urls: Sequence[str], chunk: list[Member], path: tuple[str, ...]) -> list[Member]:
        for url in urls:
            imported = await self._imported(url)
            kept = {
                system: await self._keep(imported, system, codes, path) for system, codes in _by_system(chunk).items()
            }
            chunk = [m for m in chunk if m.concept.code in kept[m.system]]
        return chunk

    async def _not_excluded(self, value_set: ValueSet, members: list[Member], path: tuple[str, ...]) -> list[Member]:
        for part in value_set.excludes:
            for system, codes in _by_system(members).items():
                gone = await self._in_part(part, system, codes, path)
                only = None
                if gone and system in value_set.mixed and not value_set.excludes_any_version:
                    source = await self._known(system, part.version) if part.system == system else None
                    only = source.header.version if source is not None else part.version
                members = [
                    m
                    for m in members
                    if m.system != system or m.concept.code not in gone or only not in (None, m.version)
                ]
        return members

    # --- both

    def _enter(self, value_set: ValueSet, path: tuple[str, ...]) -> tuple[str, ...]:
        self._step()
        name = value_set.canonical if value_set.url is not None else f"#{id(value_set)}"
        if name in path:
            raise circular(name, path)
        check_usable(value_set, path)
        self._contained |= value_set.contained
        return (*path, name)

    def _step(self) -> None:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise TooCostly("this value set imports others too many times over")

    def _scan(self, concepts: int) -> None:
        self._scanned += concepts
        if self._scanned > MAX_SCANNED:
            raise TooCostly(f"this expansion looks at more than {MAX_SCANNED} concepts; narrow it with a filter")

    async def _imported(self, url: str) -> ValueSet:
        if url in self._contained:
            return self._contained[url]
        if url not in self._value_sets:
            found = await self._find_value_set(url)
            if found is None:
                raise unknown_value_set(url)
            self._value_sets[url] = found
            self.imported.append(found)
        return self._value_sets[url]

    async def _known(self, url: str, version: str | None) -> Source | None:
        key = (url, version)
        if key not in self._systems:
            self._systems[key] = await self._find_system(url, version)
        return self._systems[key]

    async def _source(self, url: str, version: str | None) -> Source:
        source = await self._known(url, version)
        if source is None:
            raise UnknownCodeSystem(url, version)
        return source


def check_usable(value_set: ValueSet, path: Sequence[str]) -> None:
    """Raises Unusable for a value set that cannot be followed, TooCostly for one that is reached over too many."""
    if value_set.obstacle is not None:
        raise Unusable(value_set.obstacle, kind="vs-invalid", code="business-rule")
    if len(path) >= MAX_DEPTH:
        raise TooCostly(f"value sets import each other more than {MAX_DEPTH} times over")


def _newest_first(parts: Sequence[Part]) -> list[Part]:
    """The includes in order, of two that name versions of one system the newer first."""

    def order(one: Part, other: Part) -> int:
        if one.system != other.system or one.version is None or other.version is None:
            return 0
        mine, others = versions.age(one.version), versions.age(other.version)
        return (mine < others) - (mine > others)

    return sorted(parts, key=cmp_to_key(order))


def _may_be_tree(value_set: ValueSet, members: Sequence[Member]) -> bool:
    """Whether the definition follows the hierarchy of its systems, and no member stands in two places of it."""
    parts = (*value_set.includes, *value_set.excludes)
    if any(part.concepts is not None or part.value_sets or len(part.filters) > 1 for part in parts):
        return False
    whole = {part.system for part in value_set.includes if not part.filters}
    return not any(len(m.concept.parents) > 1 for m in members if m.system in whole)


def _by_system(members: Sequence[Member]) -> dict[str | None, list[str]]:
    systems: dict[str | None, list[str]] = {}
    for member in members:
        systems.setdefault(member.system, []).append(member.concept.code)
    return systems


def preferred(listed: Concept, known: Concept | None) -> Concept:
    """What is known of a concept, with the texts of the one listed first."""
    if known is None:
        return listed
    return replace(
        known,
        display=listed.display or known.display,
        designations=(*listed.designations, *(d for d in known.designations if d not in listed.designations)),
        stated=listed.stated,
    )
