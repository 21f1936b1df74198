"""What are the codes that a sender invented, in the terms that everybody knows? Local maps decide. Pure.

    - a concept that has a coding of a wanted system says it already; nothing is added;
    - else the codings are translated in their order, and what they mean is put **behind** them: nothing that was sent
      changes, moves or goes, whatever the maps say;
    - what is added carries `userSelected: false` and the map that said so, and is made anew each time, so that a
      corrected map corrects it;
    - a map that offers several codes of one system for one code does not decide: that is a person's work.

Which elements, and which systems, stands in standardised.yaml with its reasons.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from healthsync.domains.terminology.model import Coding, MapEntry
from healthsync.shipped import shipped_yaml

Json = dict[str, Any]

TRANSLATED_BY = "urn:healthsync:translated-by"
"""Extension of a Coding that a map added: the canonical address of the map."""

EQUIVALENCE = "urn:healthsync:equivalence"
"""Extension beside it when the map calls the codes neither equal nor equivalent."""

_DECIDED = frozenset({"equal", "equivalent", "wider", "subsumes", "relatedto", "inexact"})
"""Equivalences that are put beside a code unasked. A narrower target says more than was sent: that takes a person."""

_SAME = frozenset({"equal", "equivalent"})
_NOTHING = frozenset({"unmatched", "disjoint"})
_OWN_NAMES = ("urn:healthsync:local:", "urn:healthsync:codesystem:")
"""How the systems of codes begin that only their sender knows (standards.maps.systems)."""


class Why(StrEnum):
    """Why a code was not translated."""

    UNMAPPED = "unmapped"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True)
class Element:
    """A code-bearing element that is standardised; see standardised.yaml."""

    name: str
    path: tuple[str, ...]
    wanted: frozenset[str]
    accepted: frozenset[str]


@dataclass(frozen=True, slots=True)
class AppliedLine:
    """A line of a map by which codes are standardised. `partner` is whose codes it translates, None for everybody's."""

    partner: str | None
    map_url: str
    entry: MapEntry


@dataclass(frozen=True, slots=True)
class Untranslated:
    """A code that asks for a person: what no map translates, or several ways."""

    system: str | None
    code: str
    element: str
    why: Why


@dataclass(frozen=True, slots=True)
class _Meaning:
    codings: tuple[Json, ...] = ()
    ambiguous: bool = False


@cache
def elements() -> Mapping[str, tuple[Element, ...]]:
    """Resource type -> its elements that are standardised."""
    document = shipped_yaml("healthsync.domains.terminology", "standardised.yaml")
    systems = document["systems"]
    found: dict[str, list[Element]] = {}
    for name, said in document["elements"].items():
        resource_type, *path = name.split(".")
        wanted, accepted = ({systems[short] for short in said.get(kind, ())} for kind in ("wanted", "accepted"))
        element = Element(name, tuple(path), frozenset(wanted), frozenset(accepted))
        found.setdefault(resource_type, []).append(element)
    return {resource_type: tuple(each) for resource_type, each in found.items()}


class Translations:
    """Every line by which codes are standardised, held in memory; never changed once it is made.

    `lines` come in ascending order of authority: a later one stands in the place of earlier ones of the same partner,
    code and target system, unless they are of the same map.
    """

    def __init__(self, lines: Iterable[AppliedLine] = ()) -> None:
        gathered: dict[tuple[str | None, str | None, str], dict[str | None, list[AppliedLine]]] = {}
        for line in lines:
            entry = line.entry
            if entry.depends_on:
                continue
            targets = gathered.setdefault((line.partner, entry.source_system, entry.source_code), {})
            system = entry.target.system if entry.target is not None else None
            same = targets.get(system)
            if same is not None and same[0].map_url == line.map_url:
                same.append(line)
            else:
                targets[system] = [line]
        self._meanings = {key: _meaning(targets) for key, targets in gathered.items()}

    def __len__(self) -> int:
        return len(self._meanings)

    def meaning(self, source: str, system: str | None, code: str) -> _Meaning | None:
        """What a code of a source means; None when no map speaks of it. The source's own map goes first."""
        known = self._meanings
        found = known.get((source, system, code)) or known.get((None, system, code))
        if found is None and (system is None or system.startswith(_OWN_NAMES)):
            found = known.get((source, None, code)) or known.get((None, None, code))
        return found


def _meaning(targets: Mapping[str | None, list[AppliedLine]]) -> _Meaning:
    codings: list[Json] = []
    ambiguous = False
    for lines in targets.values():
        offered = {target.code: line for line in lines if (target := _offered(line)) is not None}
        decided = [line for line in offered.values() if line.entry.equivalence in _DECIDED]
        exact = [line for line in decided if line.entry.equivalence in _SAME]
        best = exact or decided
        if len(best) == 1 and (exact or len(offered) == 1):
            codings.append(_coding(best[0]))
        elif offered:
            ambiguous = True
    return _Meaning(tuple(codings), ambiguous and not codings)


def _offered(line: AppliedLine) -> Coding | None:
    return None if line.entry.equivalence in _NOTHING else line.entry.target


def _coding(line: AppliedLine) -> Json:
    target = line.entry.target
    assert target is not None
    marks: list[Json] = [{"url": TRANSLATED_BY, "valueUri": line.map_url}]
    if line.entry.equivalence not in _SAME:
        marks.append({"url": EQUIVALENCE, "valueCode": line.entry.equivalence})
    told = {"system": target.system, "version": target.version, "code": target.code, "display": target.display}
    return {"extension": marks, **{k: v for k, v in told.items() if v is not None}, "userSelected": False}


def standardise(resource: Json, source: str, translations: Translations) -> list[Untranslated]:
    """Add standard codings to the concepts of a resource, in place; answers the codes that ask for a person."""
    asked: list[Untranslated] = []
    for element in elements().get(resource.get("resourceType", ""), ()):
        for concept in _at(resource, element.path):
            asked += _beside(concept, source, translations, element)
    return asked


def _at(value: Any, path: tuple[str, ...]) -> Iterator[Json]:
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, dict):
            continue
        if not path:
            yield item
        elif path[0] in item:
            yield from _at(item[path[0]], path[1:])


def _beside(concept: Json, source: str, translations: Translations, element: Element) -> list[Untranslated]:
    sent = [coding for coding in concept.get("coding", ()) if not is_added(coding)]
    if sent:
        concept["coding"] = sent
    if not sent or any(coding.get("system") in element.wanted for coding in sent):
        return []
    added: dict[tuple[str | None, str], Json] = {}
    asked: list[Untranslated] = []
    silenced = False
    for coding in sent:
        code, system = coding.get("code"), coding.get("system")
        if code is None:
            continue
        meaning = translations.meaning(source, system, code)
        if meaning is None:
            asked.append(Untranslated(system, code, element.name, Why.UNMAPPED))
        elif meaning.ambiguous:
            asked.append(Untranslated(system, code, element.name, Why.AMBIGUOUS))
        elif not meaning.codings:
            silenced = True  # a map says that nothing means this
        for each in meaning.codings if meaning is not None else ():
            added.setdefault((each.get("system"), each["code"]), each)
    known = {(coding.get("system"), coding.get("code")) for coding in sent}
    fresh = [dict(each) for key, each in added.items() if key not in known]
    concept["coding"] = [*sent, *fresh]
    if added or silenced or any(coding.get("system") in element.accepted for coding in sent):
        return []
    return asked[:1]


def is_added(coding: Mapping[str, Any]) -> bool:
    """Whether a coding was put there by `standardise`, not sent."""
    return any(extension.get("url") == TRANSLATED_BY for extension in coding.get("extension", ()))


def may_be_told(code: str) -> bool:
    """Whether a code is one by its looks: what stands in its place by mistake may be about a patient."""
    plain = code.isascii() and len(code) <= 32 and all(c.isalnum() or c in "-_.:/+*%#" for c in code)
    return plain and sum(c.isdigit() for c in code) < 9 and not _like_a_social_security_number(code)


def _like_a_social_security_number(code: str) -> bool:
    return [len(part) for part in code.split("-") if part.isdigit()] == [3, 2, 4]
