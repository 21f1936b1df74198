"""The friendlier dialect of /api/v1/healthsync, to FHIR and back (requirements-healthsync.md, API Reference).

It differs from FHIR in three ways: patients have ids with a prefix (`pat_12345`, which is no legal FHIR id), resources
stand in collections named by what people call them, and a consent may be said in plain words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn

from healthsync.errors import InvalidInput
from healthsync.standards.fhir.search_parameters import definitions
from healthsync.standards.logical_tables import LogicalTables

ALIAS = "pat_"
"""Prefix of patient ids in this dialect (settlement 1). A FHIR id has no underscore, so it cannot be mistaken."""

_TO_PATIENT = re.compile(r"Patient/(?:pat_)?([A-Za-z0-9.-]{1,64})(/_history/[A-Za-z0-9.-]{1,64})?")


# --- ids ----------------------------------------------------------------------------------------------------------


def aliased(resource: dict[str, Any]) -> dict[str, Any]:
    """A resource as this dialect shows it: patients and references to them with the prefix, in Bundles too."""
    return _renamed(resource, lambda id_: f"{ALIAS}{id_}")


def legal(resource: dict[str, Any]) -> dict[str, Any]:
    """The same resource with legal FHIR ids. Ids that came without a prefix stay as they are."""
    return _renamed(resource, legal_id)


def legal_id(id_: str) -> str:
    """The FHIR id behind an id of this dialect."""
    return id_.removeprefix(ALIAS)


def _renamed(resource: dict[str, Any], name: Callable[[str], str]) -> dict[str, Any]:
    renamed = _pointed(resource, name)
    if renamed.get("resourceType") == "Patient" and type(renamed.get("id")) is str:
        renamed = {**renamed, "id": name(renamed["id"])}
    if renamed.get("resourceType") == "Bundle" and type(renamed.get("entry")) is list:
        renamed = {**renamed, "entry": [_entry(entry, name) for entry in renamed["entry"]]}
    return renamed


def _entry(entry: Any, name: Callable[[str], str]) -> Any:
    inner = entry.get("resource") if type(entry) is dict else None
    return {**entry, "resource": _renamed(inner, name)} if type(inner) is dict else entry


def _pointed(value: Any, name: Callable[[str], str]) -> Any:
    """Relative references to patients under another name."""
    if type(value) is list:
        return [_pointed(child, name) for child in value]
    if type(value) is not dict:
        return value
    pointed = {key: _pointed(child, name) for key, child in value.items()}
    if type(text := value.get("reference")) is str and (match := _TO_PATIENT.fullmatch(text)):
        pointed["reference"] = f"Patient/{name(match[1])}{match[2] or ''}"
    return pointed


# --- collections --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Collection:
    """What stands under `/api/v1/healthsync/{name}`. `select` are search parameters that pick its resources; such a
    collection is a view: it is listed, and written through the collection of its type."""

    name: str
    type: str
    select: tuple[tuple[str, str], ...] = ()

    @property
    def is_view(self) -> bool:
        """Whether it shows only some resources of its type."""
        return bool(self.select)


_BY_FHIR_NAME = {
    "observations": "Observation",
    "conditions": "Condition",
    "medications": "MedicationRequest",
    "diagnostic_reports": "DiagnosticReport",
    "consents": "Consent",
    "consent": "Consent",  # as the requirement writes it
}


@cache
def collections() -> Mapping[str, Collection]:
    """Every collection by its name: the logical tables, and the resource types that the requirement names."""
    tables = [Collection(t.name, t.fhir_type, _pairs(t.select)) for t in LogicalTables.load()]
    named = [Collection(name, resource_type) for name, resource_type in _BY_FHIR_NAME.items()]
    return {collection.name: collection for collection in [*tables, *named]}


def _pairs(select: str | None) -> tuple[tuple[str, str], ...]:
    pairs = (pair.partition("=") for pair in (select or "").split("&") if pair)
    return tuple((name, value) for name, _, value in pairs)


def collection_of(resource_type: str) -> Collection | None:
    """The collection in which resources of a type have their address."""
    return next((c for c in collections().values() if c.type == resource_type and not c.is_view), None)


def criteria(collection: Collection, pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The filters of a list as FHIR search parameters with legal ids; what the collection selects comes on top.

    `patient_id` stands for the parameter by which resources of the type are found for a patient.
    """
    known = definitions(collection.type)
    asked = []
    for name, value in pairs:
        if name == "patient_id":
            name = "_id" if collection.type == "Patient" else "patient"
        base = name.partition(":")[0]
        parameter = known.get(base)
        points = base == "_id" or (parameter is not None and parameter.type == "reference")
        asked.append((name, ",".join(map(_legal_target, value.split(","))) if points else value))
    return asked


def _legal_target(text: str) -> str:
    return re.sub(r"(^|Patient/)pat_", r"\1", text)


# --- consent ------------------------------------------------------------------------------------------------------

_ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
_ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"

STATUSES = {
    "active": "active",
    "draft": "draft",
    "proposed": "proposed",
    "rejected": "rejected",
    "inactive": "inactive",
    "revoked": "inactive",
    "withdrawn": "inactive",
    "expired": "inactive",
}
PURPOSES = {
    "treatment": "TREAT",
    "emergency": "ETREAT",
    "payment": "HPAYMT",
    "operations": "HOPERAT",
    "healthcare_operations": "HOPERAT",
    "quality_improvement": "HQUALIMP",
    "public_health": "PUBHLTH",
    "research": "HRESCH",
    "clinical_research": "HRESCH",
}
CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "demographics": ("Patient",),
    "encounters": ("Encounter",),
    "diagnoses": ("Condition",),
    "procedures": ("Procedure",),
    "medications": ("MedicationRequest", "MedicationStatement", "MedicationAdministration"),
    "allergies": ("AllergyIntolerance",),
    "immunizations": ("Immunization",),
    "vitals": ("Observation",),
    "lab_results": ("Observation", "DiagnosticReport"),
    "notes": ("DocumentReference",),
    "appointments": ("Appointment",),
    "coverages": ("Coverage",),
}
SENSITIVITIES = {
    "mental_health": "PSY",
    "substance_abuse": "ETH",
    "hiv": "HIV",
    "sexual_health": "SEX",
    "domestic_violence": "SDV",
    "genetics": "GDIS",
}
_KEYS = frozenset({"patient_id", "consent_type", "status", "scope", "period", "provision"})


def consent(body: Mapping[str, Any], now: str) -> dict[str, Any]:
    """The FHIR Consent that a consent in plain words means; `now` is the dateTime at which it is given.

    Purposes become v3-ActReason codes, data categories resource types, what is excluded a nested deny under a
    sensitivity label of v3-ActCode. Raises InvalidInput for a key or word that it does not know: a consent is not
    guessed.
    """
    _only(body, _KEYS, "")
    scope, period = _mapping(body, "scope"), _mapping(body, "period")
    _only(scope, {"purposes", "data_categories", "exclude"}, "scope.")
    _only(period, {"start", "end"}, "period.")
    kind = _text(body, "consent_type")
    provision = _provision(body, scope, period)
    rule = "OPTIN" if provision["type"] == "permit" else "OPTOUT"
    return {
        "resourceType": "Consent",
        "status": _word(STATUSES, body.get("status", "active"), "status"),
        "scope": {"coding": [{"system": _SCOPE, "code": "research" if "research" in kind else "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}], "text": kind}],
        "patient": {"reference": f"Patient/{legal_id(_text(body, 'patient_id'))}"},
        "dateTime": now,
        "policyRule": {"coding": [{"system": _ACT_CODE, "code": rule}]},
        "provision": provision,
    }


def _provision(body: Mapping[str, Any], scope: Mapping[str, Any], period: Mapping[str, Any]) -> dict[str, Any]:
    said = _mapping(body, "provision")
    _only(said, {"type", "actor"}, "provision.")
    purposes = [_word(PURPOSES, word, "scope.purposes") for word in _list(scope, "purposes")]
    types = [
        name for word in _list(scope, "data_categories") for name in _word(CATEGORIES, word, "scope.data_categories")
    ]
    parts = {
        "period": dict(period),
        "actor": [_actor(actor) for actor in _list(said, "actor")],
        "purpose": [{"system": _ACT_REASON, "code": code} for code in dict.fromkeys(purposes)],
        "class": [_class(name) for name in dict.fromkeys(types)],
        "provision": [_excluded(word) for word in _list(scope, "exclude")],
    }
    kind = _word({"permit": "permit", "deny": "deny"}, said.get("type", "permit"), "provision.type")
    return {"type": kind, **{name: value for name, value in parts.items() if value}}


def _actor(actor: Any) -> dict[str, Any]:
    if type(actor) is not dict:
        _refuse("provision.actor", "is a list of objects with role and organization")
    _only(actor, {"role", "organization"}, "provision.actor.")
    return {
        "role": {"text": _text(actor, "role", "provision.actor.")},
        "reference": {"type": "Organization", "display": _text(actor, "organization", "provision.actor.")},
    }


def _excluded(word: Any) -> dict[str, Any]:
    if word in CATEGORIES:
        return {"type": "deny", "class": [_class(name) for name in CATEGORIES[word]]}
    label = _word(SENSITIVITIES, word, "scope.exclude")
    return {"type": "deny", "securityLabel": [{"system": _ACT_CODE, "code": label}]}


def _class(resource_type: str) -> dict[str, str]:
    return {"system": "http://hl7.org/fhir/resource-types", "code": resource_type}


def _word(known: Mapping[str, Any], word: Any, key: str) -> Any:
    if type(word) is not str or word not in known:
        _refuse(key, f"takes {', '.join(known)}")
    return known[word]


def _text(body: Mapping[str, Any], key: str, prefix: str = "") -> str:
    if type(value := body.get(key)) is not str or not value.strip():
        _refuse(f"{prefix}{key}", "is required, as text")
    return value


def _mapping(body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    if type(value := body.get(key, {})) is not dict:
        _refuse(key, "is an object")
    return value


def _list(body: Mapping[str, Any], key: str) -> Sequence[Any]:
    if type(value := body.get(key, [])) is not list:
        _refuse(key, "is a list")
    return value


def _only(body: Mapping[str, Any], known: Iterable[str], prefix: str) -> None:
    if set(body) - set(known):
        _refuse(f"{prefix}*", f"may be {', '.join(sorted(known))}; another key stands here")


def _refuse(key: str, told: str) -> NoReturn:
    raise InvalidInput(f"{key} {told}", code="value", expression=key)
