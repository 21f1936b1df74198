"""Questions about patients in HL7 v2, read: PDQ (QBP^Q22, IHE ITI-21) and PIX (QBP^Q23, IHE ITI-9).

A demographics query becomes the name/value pairs of a FHIR search, so that both ask the same index in the same way; an
identifier query becomes the number it names. What is not understood is a fault with its place (ERR-2), never passed
over: a criterion that is left out would find other people.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from healthsync.errors import InvalidInput
from healthsync.standards.authorities import NO_AUTHORITIES, Authorities
from healthsync.standards.fhir.query_values import DIVIDERS, escape, token
from healthsync.standards.hl7v2 import ErrorCode, Message, Repetition
from healthsync.standards.maps.systems import authority_system
from healthsync.standards.maps.tables import tables

Place = tuple[str | int, ...]
"""ERL (HL7 v2.5.1 §2.A.28): segment, its number, field, repetition, component."""


@dataclass(frozen=True, slots=True)
class QueryFault:
    """Why a query is not answered. `text` is for strangers: no patient's values."""

    code: ErrorCode
    place: Place
    text: str


class QueryNotUnderstood(InvalidInput):
    """A query that cannot be asked; `fault` says why."""

    def __init__(self, fault: QueryFault) -> None:
        super().__init__(fault.text, code="value")
        self.fault = fault


@dataclass(frozen=True, slots=True)
class PatientQuery:
    """A query as the hub asks it.

    kind      demographics (Q22) or identifiers (Q23)
    criteria  of a demographics query: FHIR search parameters and values
    number    of an identifier query: system and value of the number that is known
    domains   assigning authorities whose numbers are wanted, as systems, in the order of the repetitions
    limit     patients of one answer (RCP-2); None: not said
    pointer   where a former answer left off (DSC-1)
    """

    kind: Literal["demographics", "identifiers"]
    criteria: tuple[tuple[str, str], ...] = ()
    number: tuple[str, str] = ("", "")
    domains: tuple[str, ...] = ()
    limit: int | None = None
    pointer: str = ""

    @property
    def domains_field(self) -> int:
        """The field of QPD that names the domains."""
        return 8 if self.kind == "demographics" else 4


KINDS: Mapping[str, Literal["demographics", "identifiers"]] = {"Q22": "demographics", "Q23": "identifiers"}
"""Triggers of QBP that are answered."""


def read_query(message: Message, source: str, authorities: Authorities = NO_AUTHORITIES) -> PatientQuery:
    """The question of a QBP^Q22 or QBP^Q23; `source` is who asks, in whose words authorities are named.

    Raises QueryNotUnderstood.
    """
    kind = KINDS[message.trigger.strip()]
    if message.first("QPD") is None:
        raise QueryNotUnderstood(QueryFault(_MISSING, ("QPD", 1), "a query has a QPD segment"))
    if not _is_since(message.version, 2, 4):
        told = "queries by parameter are of HL7 v2.4 and later"
        raise QueryNotUnderstood(QueryFault(ErrorCode.UNSUPPORTED_VERSION_ID, ("MSH", 1, 12), told))
    read = _demographics if kind == "demographics" else _identifiers
    return replace(read(message, _Names(source, authorities)), limit=_limit(message), pointer=message.get("DSC-1"))


@dataclass(frozen=True, slots=True)
class _Names:
    """What authorities are called by who asks."""

    source: str
    authorities: Authorities

    def system(self, namespace: str, universal_id: str) -> str:
        """The one URI of an authority; "" when none is named."""
        named = namespace or universal_id
        return authority_system(namespace, universal_id, self.source, self.authorities) if named else ""


_MISSING = ErrorCode.REQUIRED_FIELD_MISSING
_WRONG = ErrorCode.DATA_TYPE_ERROR
_UNKNOWN = ErrorCode.TABLE_VALUE_NOT_FOUND


def _is_since(version: str, *wanted: int) -> bool:
    number = re.match(r"[0-9]{1,3}(?:\.[0-9]{1,3})*", version)
    return number is None or tuple(map(int, number[0].split("."))) >= wanted


def _limit(message: Message) -> int | None:
    """RCP-2: a quantity of records (table 0126: RD); nothing is every record."""
    text, unit = message.get("RCP-2.1"), message.get("RCP-2.2") or "RD"
    if not text:
        return None
    if unit.upper() != "RD":
        told = "the size of an answer is told in records: RCP-2 is such as 20^RD"
        raise QueryNotUnderstood(QueryFault(_UNKNOWN, ("RCP", 1, 2, 1, 2), told))
    if not (text.isascii() and text.isdecimal() and int(text[:9]) > 0 and len(text) < 10):
        raise QueryNotUnderstood(QueryFault(_WRONG, ("RCP", 1, 2, 1, 1), "RCP-2 is a number of records, 1 or more"))
    return int(text)


# --- PIX ----------------------------------------------------------------------------------------------------------


def _identifiers(message: Message, names: _Names) -> PatientQuery:
    numbers = _repetitions(message, 3)
    if len(numbers) != 1 or not numbers[0].component(1):
        raise QueryNotUnderstood(QueryFault(_MISSING, ("QPD", 1, 3, 1, 1), "QPD-3 names the one number that is known"))
    if not (system := _system(numbers[0], names)):
        raise QueryNotUnderstood(QueryFault(_MISSING, ("QPD", 1, 3, 1, 4), "the number in QPD-3 names its authority"))
    number = (system, numbers[0].component(1))
    return PatientQuery("identifiers", number=number, domains=_domains(message, 4, names))


def _domains(message: Message, field: int, names: _Names) -> tuple[str, ...]:
    found: list[str] = []
    for place, repetition in enumerate(_repetitions(message, field), 1):
        if not (system := _system(repetition, names)):
            told = f"each repetition of QPD-{field} names an authority in its fourth component"
            raise QueryNotUnderstood(QueryFault(_MISSING, ("QPD", 1, field, place, 4), told))
        found.append(system)
    return tuple(found)


def _repetitions(message: Message, field: int) -> tuple[Repetition, ...]:
    segment = message.first("QPD")
    return () if segment is None else segment.valued(field)


def _system(number: Repetition, names: _Names) -> str:
    """The authority of a CX; "" when none is named."""
    return names.system(number.component(4), number.component(4, 2))


# --- PDQ ----------------------------------------------------------------------------------------------------------


def _demographics(message: Message, names: _Names) -> PatientQuery:
    criteria: list[tuple[str, str]] = []
    number: dict[str, tuple[int, str]] = {}
    for place, repetition in enumerate(_repetitions(message, 3), 1):
        field, value = _field(repetition, place), repetition.component(2)
        if field in _OF_A_NUMBER:
            _add_to_number(number, field, repetition, place)
        elif value:
            parameter, read = _PARAMETERS[field]
            criteria.append((parameter, read(value, ("QPD", 1, 3, place, 2))))
    if number:
        criteria.append(("identifier", _token(number, names)))
    if not criteria:
        told = "QPD-3 says nothing of the patient who is wanted, such as @PID.5.1^QUENNELL"
        raise QueryNotUnderstood(QueryFault(_MISSING, ("QPD", 1, 3), told))
    return PatientQuery("demographics", tuple(criteria), domains=_domains(message, 8, names))


def _add_to_number(number: dict[str, tuple[int, str]], field: str, repetition: Repetition, place: int) -> None:
    """A part of the number; an authority may be told whole, as `@PID.3.4^MERCY&1.2.3&ISO`."""
    parts = repetition.subcomponents(2)
    names = ("PID.3.4", "PID.3.4.2", "PID.3.4.3") if field == "PID.3.4" else (field,)
    for name, value in zip(names, parts, strict=False):
        if value and name in number:
            told = "a patient is asked for by one number; ask again for another"
            raise QueryNotUnderstood(QueryFault(ErrorCode.DUPLICATE_KEY_IDENTIFIER, ("QPD", 1, 3, place), told))
        if value:
            number[name] = place, value


def _field(repetition: Repetition, place: int) -> str:
    """`PID.5.1` of `@PID.5.1^…`, also written `@PID.5.1.1` or, for a field of one component, `@PID.8.1`."""
    text = repetition.component(1).strip().lstrip("@").upper()
    for _ in range(3):
        if text in _PARAMETERS or text in _OF_A_NUMBER:
            return text
        if not text.endswith(".1"):
            break
        text = text.removesuffix(".1")
    known = ", ".join(sorted({*_PARAMETERS, *_OF_A_NUMBER}))
    told = f"patients are not searched by this field; those served are {known}"
    raise QueryNotUnderstood(QueryFault(_UNKNOWN, ("QPD", 1, 3, place, 1), told))


_OF_A_NUMBER = ("PID.3", "PID.3.4", "PID.3.4.2", "PID.3.4.3", "PID.3.5")
"""A number, its authority (namespace, universal id and its type) and its type."""


def _token(number: Mapping[str, tuple[int, str]], names: _Names) -> str:
    """A number as a token of a FHIR search."""
    said = {field: value for field, (_, value) in number.items()}
    if "PID.3.5" in said:
        told = "a number is asked for by its authority (@PID.3.4), not by its type"
        raise QueryNotUnderstood(QueryFault(_UNKNOWN, ("QPD", 1, 3, number["PID.3.5"][0], 1), told))
    system = names.system(said.get("PID.3.4", ""), said.get("PID.3.4.2", ""))
    value = said.get("PID.3", "")
    return token(system, value) if system else escape(value, DIVIDERS)


def _text(value: str, place: Place) -> str:
    """A text that is begun with; the wildcard behind it says so, and stands nowhere else."""
    text = value.strip().rstrip("*")
    if not text or "*" in text:
        raise QueryNotUnderstood(QueryFault(_WRONG, place, "the wildcard * stands at the end of a text only"))
    return escape(text, DIVIDERS)


def _word(value: str, _place: Place) -> str:
    return escape(value.strip(), DIVIDERS)


def _date(value: str, place: Place) -> str:
    digits = value.strip()[:8]
    if not re.fullmatch(r"[0-9]{4}(?:[0-9]{2}){0,2}", digits):
        raise QueryNotUnderstood(QueryFault(_WRONG, place, "a date is YYYY, YYYYMM or YYYYMMDD"))
    return "-".join(part for part in (digits[:4], digits[4:6], digits[6:]) if part)


def _sex(value: str, place: Place) -> str:
    known = tables().concepts["AdministrativeSex"].get(value.strip().upper())
    if known is None:
        raise QueryNotUnderstood(QueryFault(_UNKNOWN, place, "this is no code of table 0001, administrative sex"))
    return known[1]


_PARAMETERS: Mapping[str, tuple[str, Callable[[str, Place], str]]] = {
    "PID.5": ("family", _text),
    "PID.5.2": ("given", _text),
    "PID.6": ("mothersMaidenName", _text),
    "PID.7": ("birthdate", _date),
    "PID.8": ("gender", _sex),
    "PID.11": ("address", _text),
    "PID.11.3": ("address-city", _text),
    "PID.11.4": ("address-state", _text),
    "PID.11.5": ("address-postalcode", _text),
    "PID.11.6": ("address-country", _text),
    "PID.13": ("phone", _word),
    "PID.18": ("_has:Account:patient:identifier", _word),
}
"""Field of PID (its first component without a number) → search parameter, and how its values are read."""
