"""Observation/$lastn (observation-operation-lastn.html): the newest observations of each code, through the gate out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from healthsync.domains.access import Requester
from healthsync.errors import InvalidInput
from healthsync.exchange.disclose import Disclose, Disclosed, Refusal
from healthsync.standards.fhir import dates, json
from healthsync.standards.fhir.parameters import Parameters
from healthsync.standards.fhir.query import parse

MOST_OBSERVATIONS = 5_000
"""Observations that one question may have to look at; beyond it the question has to be narrowed."""

MOST_PER_CODE = 1_000
_PAGE = 1_000

_CRITERIA = ("patient", "subject", "category", "code", "date", "status")

Pairs = list[tuple[str, str]]


class LastObservations:
    """Groups observations by what was observed, newest first."""

    def __init__(self, disclose: Disclose) -> None:
        self._disclose = disclose

    async def __call__(self, requester: Requester, asked: Parameters) -> list[Disclosed] | Refusal:
        """The `max` newest observations (1 by default) of each code, group by group.

        Two codes are one group when an observation carries both. Raises InvalidInput without a patient, or without code
        and category, and (`too-costly`) when there are more than MOST_OBSERVATIONS to look at.
        """
        asked.only((*_CRITERIA, "max"))
        most = asked.number("max")
        most = 1 if most is None else most
        if not 1 <= most <= MOST_PER_CODE:
            raise InvalidInput(f"max is a number from 1 to {MOST_PER_CODE}", code="value")
        found = await self._observations(requester, _criteria(asked))
        if isinstance(found, Refusal):
            return found
        return [observation for group in grouped(found) for observation in group[:most]]

    async def _observations(self, requester: Requester, criteria: Pairs) -> list[Disclosed] | Refusal:
        found: list[Disclosed] = []
        query, after = parse("Observation", criteria), None
        while True:
            page = await self._disclose.search(
                requester, query, after=after, count=_PAGE, asked=urlencode(criteria), with_total=False
            )
            if isinstance(page, Refusal):
                return page
            found += page.entries
            if page.position is None:
                return found
            if len(found) >= MOST_OBSERVATIONS:
                raise InvalidInput(
                    f"this asks for more than {MOST_OBSERVATIONS} observations; name fewer codes or a date",
                    code="too-costly",
                )
            after = page.position


def _criteria(asked: Parameters) -> Pairs:
    """The search that has to be grouped."""
    pairs = [(name, _text(name, value)) for name in _CRITERIA for value in asked.all(name)]
    given = {name for name, _ in pairs}
    if not given & {"patient", "subject"}:
        raise InvalidInput("name the patient (patient or subject)", code="required")
    if not given & {"code", "category"}:
        raise InvalidInput("name a category or the codes", code="required")
    return pairs


def _text(name: str, value: Any) -> str:
    if isinstance(value, Mapping) and isinstance(value.get("reference"), str):
        return value["reference"]
    if isinstance(value, Mapping) and isinstance(value.get("code"), str):
        return f"{value.get('system', '')}|{value['code']}"
    if not isinstance(value, str):
        raise InvalidInput(f"the parameter {name} is a text as in a search", code="value")
    return value


def grouped(found: Iterable[Disclosed]) -> list[list[Disclosed]]:
    """Groups of what is observed, each newest first; the group with the newest observation goes first."""
    documents = [(json.parse(entry.text.encode()), entry) for entry in found]
    documents.sort(key=lambda pair: _instant(pair[0]), reverse=True)
    leader: dict[Any, Any] = {}
    for document, _ in documents:
        first, *others = _names(document)
        for name in others:
            leader[_root(leader, name)] = _root(leader, first)
    groups: dict[Any, list[Disclosed]] = {}
    for document, entry in documents:
        groups.setdefault(_root(leader, next(_names(document))), []).append(entry)
    return list(groups.values())


def _names(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What an observation says that it observed: its codings, else its text; without a code each is alone."""
    code = document.get("code", {})
    codings = [(c.get("system", ""), c["code"]) for c in code.get("coding", ()) if "code" in c]
    if codings:
        yield from codings
    else:
        yield ("text", code["text"]) if "text" in code else ("id", document["id"])


def _root(leader: dict[Any, Any], name: Any) -> Any:
    while (above := leader.get(name, name)) != name:
        name = above
    return name


def _instant(document: Mapping[str, Any]) -> Any:
    """When it was observed: the end of what effective[x] says, or long ago when it says nothing."""
    period = document.get("effectivePeriod", {})
    told = document.get("effectiveDateTime") or document.get("effectiveInstant")
    told = told or period.get("end") or period.get("start")
    return dates.interval(told)[1] if told else dates.BEGINNING
