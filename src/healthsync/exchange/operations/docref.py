"""DocumentReference/$docref (US Core, IHE MHD): a patient's documents of a time and type, through the gate out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from healthsync.domains.access import Requester
from healthsync.errors import InvalidInput
from healthsync.exchange.disclose import Disclose, Disclosed, Refusal
from healthsync.standards.fhir import dates, json
from healthsync.standards.fhir.parameters import Parameters
from healthsync.standards.fhir.query import parse

MOST_DOCUMENTS = 1_000
"""References that one answer lists."""

_SERVED = ("patient", "start", "end", "type", "on-demand")


@dataclass(frozen=True, slots=True)
class Documents:
    """What was found, and what the requester should know about it."""

    entries: list[Disclosed] = field(default_factory=list)
    warnings: tuple[str, ...] = ()


class FindDocuments:
    """Finds references to documents; this hub makes none on demand."""

    def __init__(self, disclose: Disclose) -> None:
        self._disclose = disclose

    async def __call__(self, requester: Requester, asked: Parameters) -> Documents | Refusal:
        """The current documents of a patient whose care lies in [start, end]; without both, the newest one.

        Raises InvalidInput without a patient, for what is no date, or (`too-costly`) for more than MOST_DOCUMENTS.
        """
        asked.only(_SERVED)
        on_demand, start, end = asked.flag("on-demand", False), _date(asked, "start"), _date(asked, "end")
        criteria = [("patient", _patient(asked)), ("status", "current")]
        criteria += [("type", token) for token in (_token(value) for value in asked.all("type")) if token]
        page = await self._disclose.search(
            requester,
            parse("DocumentReference", criteria),
            after=None,
            count=MOST_DOCUMENTS,
            asked=urlencode(criteria),
            with_total=False,
        )
        if isinstance(page, Refusal):
            return page
        if page.position is not None:
            raise InvalidInput(f"this asks for more than {MOST_DOCUMENTS} documents; name a type", code="too-costly")
        found = [(json.parse(entry.text.encode()), entry) for entry in page.entries]
        found.sort(key=lambda pair: _instant(pair[0]), reverse=True)
        if start is None and end is None:
            found = found[:1]
        entries = [entry for document, entry in found if _in_care(document, start, end)]
        warnings = ("this hub makes no document on demand; the stored ones are listed",) if on_demand else ()
        return Documents(entries, warnings)


def _patient(asked: Parameters) -> str:
    patients = asked.all("patient")
    value = patients[0] if len(patients) == 1 else None
    if isinstance(value, Mapping):
        value = value.get("reference")
    if not isinstance(value, str) or not value:
        raise InvalidInput("name the one patient whose documents are wanted (patient)", code="required")
    return value


def _date(asked: Parameters, name: str) -> str | None:
    text = asked.text(name)
    if text is not None:
        dates.interval(text)
    return text


def _token(value: Any) -> str | None:
    """`type` as a token of a search: a text, a Coding or a CodeableConcept."""
    if isinstance(value, Mapping):
        codings = value.get("coding") or [value]
        return ",".join(f"{c.get('system', '')}|{c['code']}" for c in codings if "code" in c) or None
    if not isinstance(value, str):
        raise InvalidInput("type is a token, system|code, or a coding", code="value")
    return value


def _in_care(document: Mapping[str, Any], start: str | None, end: str | None) -> bool:
    """Whether the time of care, or of the document where no care is told, touches the time asked for."""
    period = document.get("context", {}).get("period") or {}
    told = [period[name] for name in ("start", "end") if name in period] or [document.get("date")]
    if told == [None]:
        return start is None and end is None
    first = dates.interval(told[0])[0] if "start" in period or not period else None
    last = dates.interval(told[-1])[1] if "end" in period or not period else None
    after_start = start is None or last is None or last > dates.interval(start)[0]
    before_end = end is None or first is None or first < dates.interval(end)[1]
    return after_start and before_end


def _instant(document: Mapping[str, Any]) -> Any:
    told = document.get("date") or document.get("context", {}).get("period", {}).get("end")
    return dates.interval(told)[1] if told else dates.BEGINNING
