"""HL7 v2 numbers (CX, EI, EIP, DLN, ST) as FHIR Identifiers: number, authority as system, type of table 0203."""

from __future__ import annotations

import re

from healthsync.standards.hl7v2 import Repetition
from healthsync.standards.maps import times
from healthsync.standards.maps.authorities import authority
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.periods import period_of
from healthsync.standards.maps.scribe import Scribe, part

V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"


def identifier(
    value: str, namespace: str, universal_id: str, kind: str, scribe: Scribe, authority_type: str = ""
) -> Resource:
    """An Identifier: number, authority as system, type of table 0203.

    The name of an authority that has an address of its own stays readable as the assigner's display (the one of the
    operator's table, where it stands there: so that no form of it changes what is stored). An authority whose universal
    id is no address by its type is an organisation too (guide, CX.4: whether organisation or system).
    """
    made: Resource = {}
    if kind:
        made["type"] = {"coding": [{"system": V2_0203, "code": kind}]}
    made["system"] = system = scribe.authority(namespace, universal_id)
    made["value"] = value
    row = scribe.ctx.authorities.row(system, scribe.source)
    if (named := row.namespace if row else "") or (namespace and universal_id):
        made["assigner"] = {"display": named or namespace}
    if universal_id and authority_type and authority_type not in ADDRESSES:
        made.setdefault("assigner", {}).update(authority(namespace, universal_id, authority_type, scribe) or {})
    return made


ADDRESSES = frozenset({"ISO", "UUID", "URI", "GUID"})
"""Types of universal ids (table 0301) that are addresses."""


def cx_identifier(rep: Repetition, scribe: Scribe, default_kind: str = "") -> Resource | None:
    """CX[Identifier]."""
    _, value, digit, _, namespace, kind, _, start, end, *_ = rep.parts
    if not value:
        return None
    universal_id = part(rep, 4, 2)
    authority_type = part(rep, 4, 3) if universal_id else ""
    made = identifier(value, namespace, universal_id, kind or default_kind, scribe, authority_type)
    if period := period_of(start, end, scribe):
        made["period"] = period
    if digit:
        made["extension"] = [
            {"url": "http://hl7.org/fhir/StructureDefinition/identifier-checkDigit", "valueString": digit}
        ]
    return made


def visit_number(rep: Repetition, scribe: Scribe) -> Resource | None:
    """CX of PV1-19: whatever type was sent, it is a visit number as well (constants of the guide)."""
    made = cx_identifier(rep, scribe, "VN")
    if made is None:
        return None
    codings = made["type"]["coding"]
    if codings[0]["code"] != "VN":
        codings.append({"system": V2_0203, "code": "VN"})
    made["type"]["text"] = "visit number"
    return made


def ei_identifier(rep: Repetition, scribe: Scribe, kind: str = "") -> Resource | None:
    """EI[Identifier-Extension]: entity id, namespace, universal id."""
    value = part(rep, 1)
    return identifier(value, part(rep, 2), part(rep, 3), kind, scribe) if value else None


def eip_identifier(rep: Repetition, scribe: Scribe, component: int, kind: str) -> Resource | None:
    """One half of an EIP: placer's (1) or filler's (2) number, an EI in sub-components."""
    value = part(rep, component)
    return identifier(value, part(rep, component, 2), part(rep, component, 3), kind, scribe) if value else None


def ssn(rep: Repetition, _scribe: Scribe) -> Resource | None:
    """ST[SSN]: the FHIR system for US social security numbers has no dashes."""
    value = part(rep, 1)
    if re.fullmatch(r"\d{3}-\d\d-\d{4}", value):
        value = value.replace("-", "")
    kind = {"coding": [{"system": V2_0203, "code": "SS"}]}
    return {"type": kind, "system": "http://hl7.org/fhir/sid/us-ssn", "value": value} if value else None


def driving_licence(rep: Repetition, scribe: Scribe) -> Resource | None:
    """DLN[Identifier]: number, issuing state, expiry."""
    value = part(rep, 1)
    if not value:
        return None
    made = identifier(value, f"DL-{part(rep, 2) or scribe.source}", "", "DL", scribe)
    if end := part(rep, 3) and times.date_only(part(rep, 3)):
        made["period"] = {"end": end}
    return made


def licence(rep: Repetition, scribe: Scribe) -> Resource | None:
    """PLN[Identifier]: number, type, state (v2.5.1 §2.A.54). An NPI has a system of its own."""
    value, kind = part(rep, 1), part(rep, 2)
    if not value:
        return None
    return identifier(value, kind if kind == "NPI" else "", "", kind, scribe)


def plain_identifier(rep: Repetition, scribe: Scribe, kind: str = "") -> Resource | None:
    """ST[Identifier]: a number of the sending system."""
    value = part(rep, 1)
    return identifier(value, "", "", kind, scribe) if value else None


def preferred(found: list[Resource]) -> Resource:
    """A medical record number before others."""

    def is_mr(number: Resource) -> bool:
        return "type" in number and number["type"]["coding"][0]["code"] == "MR"

    return next((number for number in found if is_mr(number)), found[0])


def key_of(number: Resource) -> str:
    """A number in a business key: authority and value."""
    return f"{number['system']}|{number['value']}"
