"""Patient/$match (patient-operation-match.html; IHE PDQm, ITI-119) and $idi-match (HL7 Interoperable Digital Identity
and Patient Matching 2.0.0): who a patient is that somebody describes, through the gate out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from healthsync.domains.access import Requester
from healthsync.domains.identity import Grade
from healthsync.errors import InvalidInput
from healthsync.exchange.disclose import Disclose, Likely, Refusal
from healthsync.standards.fhir import json, validate
from healthsync.standards.fhir.parameters import Parameters

MOST = 100
USUAL = 10
"""Patients that one question is answered with, at most and when it does not say."""

LEAST_INPUT = 9
"""Weight of what an $idi-match must tell (profile IDI-Patient-L0)."""

_GOVERNMENT_NUMBERS = frozenset({"PPN", "DL", "STID"})
_DIGITAL_IDENTIFIER = "http://hl7.org/fhir/us/identity-matching/ns/HL7Identifier"

_UNREADABLE = frozenset({"invalid", "code-invalid", "value"})
"""Faults of a value. Others, such as an empty list, hide nothing that was told."""

Json = Mapping[str, Any]


class MatchPatients:
    """Answers with graded candidates, the likeliest first."""

    def __init__(self, disclose: Disclose) -> None:
        self._disclose = disclose

    async def __call__(
        self, requester: Requester, asked: Parameters, *, weighted: bool = False
    ) -> list[Likely] | Refusal:
        """The Patients that the one described may be; certainly no others are among them.

        With `onlyCertainMatches` all are records of one person, none where several persons are certain. `weighted` is
        for $idi-match, which refuses what describes a person too little. Raises InvalidInput.
        """
        asked.only(("resource", "patient", "onlyCertainMatches", "count") if weighted else _PARAMETERS)
        patient = asked.object("resource") or (asked.object("patient") if weighted else None)
        certain_only = asked.flag("onlyCertainMatches", False)
        count = asked.number("count")
        _check(patient, weighted)
        if count is not None and not 1 <= count <= MOST:
            raise InvalidInput(f"count is a number from 1 to {MOST}", code="value")
        found = await self._disclose.likely(
            requester,
            "$idi-match" if weighted else "$match",
            dict(patient or {}),
            most=MOST,
            asked=json.dump(patient).decode(),
        )
        if isinstance(found, Refusal):
            return found
        likely = [one for one in found if one.grade is not Grade.CERTAINLY_NOT]
        if certain_only:
            likely = only_certain(likely)
        return likely[: count or USUAL]


_PARAMETERS = ("resource", "onlyCertainMatches", "count")


def only_certain(likely: Iterable[Likely]) -> list[Likely]:
    """The certain ones if they are all of one person, else none: whoever asks would take the first (IHE ITI-119, cases
    3 to 5)."""
    certain = [one for one in likely if one.grade is Grade.CERTAIN]
    return certain if len({one.person for one in certain}) == 1 else []


def _check(patient: Json | None, weighted: bool) -> None:
    if patient is None or patient.get("resourceType") != "Patient":
        raise InvalidInput(
            "send the patient to be found as the parameter resource", code="required", expression="Parameters.parameter"
        )
    if fault := next((issue for issue in validate.structure(dict(patient)) if issue.code in _UNREADABLE), None):
        # what cannot be read would take no part, and whoever asks would register a patient who is known
        raise InvalidInput(fault.diagnostics, code=fault.code, expression=fault.expression)
    if weighted and (told := input_weight(patient)) < LEAST_INPUT:
        raise InvalidInput(
            f"what is told of the patient weighs {told}; $idi-match needs {LEAST_INPUT} (IDI-Patient-L0): a passport, "
            "driver's licence or state number 10; two of address, telephone, e-mail, other number and photo 5, one of "
            "them 4; first and family name 3; birth date 2",
            code="business-rule",
        )


def input_weight(patient: Json) -> int:
    """The weight of what is told of a patient (invariant idi-L0)."""
    numbers = [each for each in _objects(patient.get("identifier")) if each.get("value")]
    telecoms = {each.get("system") for each in _objects(patient.get("telecom")) if each.get("value")}
    others = (
        any(_is_home(address) for address in _objects(patient.get("address"))),
        any(code not in _GOVERNMENT_NUMBERS for each in numbers for code in _codes(each)),
        "email" in telecoms,
        "phone" in telecoms,
        bool(patient.get("photo")),
    )
    named = any(name.get("family") and name.get("given") for name in _objects(patient.get("name")))
    return (
        10 * any(_is_of_government(each) for each in numbers)
        + (0, 4, 5)[min(sum(others), 2)]
        + 3 * named
        + 2 * bool(patient.get("birthDate"))
    )


def _is_home(address: Json) -> bool:
    place = address.get("postalCode") or (address.get("state") and address.get("city"))
    return bool(address.get("use") == "home" and address.get("line") and place)


def _is_of_government(identifier: Json) -> bool:
    return identifier.get("system") == _DIGITAL_IDENTIFIER or not _GOVERNMENT_NUMBERS.isdisjoint(_codes(identifier))


def _codes(identifier: Json) -> list[str]:
    kind = identifier.get("type")
    codings = _objects(kind.get("coding")) if isinstance(kind, Mapping) else []
    return [code for coding in codings if isinstance(code := coding.get("code"), str)]


def _objects(values: object) -> list[Json]:
    return [value for value in values if isinstance(value, Mapping)] if isinstance(values, list) else []
