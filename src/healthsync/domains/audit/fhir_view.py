"""An audit row as FHIR R4 AuditEvent, after IHE Basic Audit Log Patterns (BALP): agents, purpose, entities, outcome."""

from __future__ import annotations

import base64
from typing import Any

from healthsync.domains.audit.model import AuditRow

_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_INTERACTION = "http://hl7.org/fhir/restful-interaction"
_INTERACTIONS = frozenset(
    {"read", "vread", "update", "patch", "delete", "history", "history-instance", "history-type", "history-system"}
    | {"create", "search", "search-type", "search-system", "capabilities", "transaction", "batch", "operation"}
)
_IHE = "urn:ihe:event-type-code"
_TRANSACTIONS = {
    "$ihe-pix": ("search", "ITI-83", "Mobile Patient Identifier Cross-reference Query"),
    "$match": ("search", "ITI-119", "Patient Demographics Match"),
    "query-demographics": (None, "ITI-21", "Patient Demographics Query"),
    "query-identifiers": (None, "ITI-9", "PIX Query"),
}
"""Interactions that are transactions of IHE: what they are among RESTful ones (None: a query, DCM 110112), their number
and name."""
_OUTCOMES = {"0": "Success", "4": "Minor failure", "8": "Serious failure"}
_OBJECT = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"


def as_fhir(row: AuditRow, hub_id: str, *, query: str | None = None) -> dict[str, Any]:
    """The AuditEvent resource of a row. `query` is the opened search string, for those who may see it."""
    entry = row.entry
    resource = {
        "resourceType": "AuditEvent",
        "id": str(row.position),
        **_type(entry),
        "action": entry["action"],
        "recorded": entry["recorded_at"],
        "outcome": entry["outcome"],
        "outcomeDesc": entry.get("reason", _OUTCOMES.get(entry["outcome"])),
        "purposeOfEvent": _purpose(entry),
        "agent": [*_user(entry), _client(entry), _hub(entry, hub_id)],
        "source": {
            "observer": {"identifier": {"value": hub_id}},
            "type": [_coding("http://terminology.hl7.org/CodeSystem/security-source-type", "4", "Application Server")],
        },
        "entity": [*_patients(entry), *_data(entry), *_query(query)],
    }
    return {name: value for name, value in resource.items() if value}


def _type(entry: dict[str, Any]) -> dict[str, Any]:
    """What kind of event: a FHIR interaction, or data that entered (DCM 110107) or left (DCM 110106) otherwise."""
    interaction = entry["interaction"]
    code, *transaction = _TRANSACTIONS.get(interaction, ("operation" if interaction.startswith("$") else interaction,))
    special = [_coding(_IHE, *transaction)] if transaction else []
    if code in _INTERACTIONS:
        rest = _coding("http://terminology.hl7.org/CodeSystem/audit-event-type", "rest", "RESTful Operation")
        return {"type": rest, "subtype": [_coding(_INTERACTION, code), *special]}
    if special:
        return {"type": _coding(_DCM, "110112", "Query"), "subtype": special}
    kind = ("110107", "Import") if entry["action"] in "CUD" else ("110106", "Export")
    return {"type": _coding(_DCM, *kind), "subtype": [{"code": interaction}]}


def _user(entry: dict[str, Any]) -> list[dict[str, Any]]:
    if "user" not in entry:
        return []
    agent = {
        "type": _concept("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP", "information recipient"),
        "role": _roles(entry),
        "who": {"identifier": {"value": entry["user"]}},
        "requestor": True,
        "purposeOfUse": _purpose(entry),
    }
    return [{name: value for name, value in agent.items() if value}]


def _client(entry: dict[str, Any]) -> dict[str, Any]:
    alone = "user" not in entry
    receives = entry["action"] in "RE"
    agent = {
        "type": _concept(_DCM, "110152", "Destination Role ID")
        if receives
        else _concept(_DCM, "110150", "Application"),
        "role": _roles(entry) if alone else [],
        "who": _client_reference(entry),
        "requestor": alone,
        "network": {"address": entry["source_address"], "type": "2"} if "source_address" in entry else None,
        "purposeOfUse": _purpose(entry) if alone else [],
    }
    return {name: value for name, value in agent.items() if value or name == "requestor"}


def _client_reference(entry: dict[str, Any]) -> dict[str, Any]:
    who: dict[str, Any] = {"identifier": {"value": entry.get("client", "unknown")}}
    if "organisation" in entry:
        who["identifier"]["assigner"] = {"display": entry["organisation"]}
    return who


def _hub(entry: dict[str, Any], hub_id: str) -> dict[str, Any]:
    gives = entry["action"] in "RE"
    kind = ("110153", "Source Role ID") if gives else ("110152", "Destination Role ID")
    return {"type": _concept(_DCM, *kind), "who": {"identifier": {"value": hub_id}}, "requestor": False}


def _patients(entry: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "what": {"reference": patient},
            "type": _coding(_OBJECT, "1", "Person"),
            "role": _coding(_ROLE, "1", "Patient"),
        }
        for patient in entry.get("patients", ())
    ]


def _data(entry: dict[str, Any]) -> list[dict[str, Any]]:
    kind = {"type": _coding(_OBJECT, "2", "System Object"), "role": _coding(_ROLE, "4", "Domain Resource")}
    return [
        {"what": _reference(entity), **kind}
        for entity in entry.get("entities", ())
        if entity not in entry.get("patients", ())
    ]


def _reference(entity: str) -> dict[str, str]:
    return {"reference": entity} if "/" in entity else {"type": entity}


def _query(query: str | None) -> list[dict[str, Any]]:
    if query is None:
        return []
    encoded = base64.b64encode(query.encode()).decode()
    return [{"type": _coding(_OBJECT, "2", "System Object"), "role": _coding(_ROLE, "24", "Query"), "query": encoded}]


def _purpose(entry: dict[str, Any]) -> list[dict[str, Any]]:
    if "purpose_of_use" not in entry:
        return []
    return [_concept("http://terminology.hl7.org/CodeSystem/v3-ActReason", entry["purpose_of_use"])]


def _roles(entry: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"text": role} for role in entry.get("roles", ())]


def _concept(system: str, code: str, display: str | None = None) -> dict[str, Any]:
    return {"coding": [_coding(system, code, display)]}


def _coding(system: str, code: str, display: str | None = None) -> dict[str, Any]:
    return {"system": system, "code": code} | ({"display": display} if display else {})
