"""Schemathesis over every HTTP surface that is registered: no 5xx, and every refusal under /fhir is an OperationOutcome.

FHIR has no OpenAPI document, so one is made from `exchange/surfaces.py`: the path of each surface, parameters of the kinds
that the specification has, and bodies that are resources, nearly resources, or any JSON at all.
"""

from __future__ import annotations

import random
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from healthsync.exchange.surfaces import SURFACES

from ..promises.hub_process import HubProcess  # noqa: TID252 — tests is no package that could be named

_TYPES = ("Patient", "Observation", "Encounter", "Basic", "Subscription", "Group", "Binary", "AuditEvent", "Nothing")
_TEXT = {"type": "string", "maxLength": 40}
_QUERY = {
    "_count": {"anyOf": [{"type": "integer"}, _TEXT]},
    "_sort": {"anyOf": [{"enum": ["date", "-_lastUpdated", "code,-date", "nothing"]}, _TEXT]},
    "_include": {
        "anyOf": [{"enum": ["Observation:subject", "*", "Patient:link", "Observation:subject:Patient"]}, _TEXT]
    },
    "_revinclude": {"anyOf": [{"enum": ["Observation:subject", "Provenance:target", "*"]}, _TEXT]},
    "_has:Observation:patient:code": _TEXT,
    "_filter": {"anyOf": [{"enum": ["name eq a", "(name co a) or gender eq male", "not (birthdate gt 2000)"]}, _TEXT]},
    "_summary": {"anyOf": [{"enum": ["true", "text", "data", "count", "false"]}, _TEXT]},
    "_elements": _TEXT,
    "_lastUpdated": {"anyOf": [{"enum": ["gt2020", "le2026-01-01T00:00:00Z"]}, _TEXT]},
    "_since": _TEXT,
    "_type": _TEXT,
    "_format": {"enum": ["json", "application/fhir+json", "xml", "text/html", ""]},
    "_pretty": _TEXT,
    "_total": _TEXT,
    "_cursor": _TEXT,
    "identifier": _TEXT,
    "date": _TEXT,
    "patient.name": _TEXT,
    "value-quantity": _TEXT,
    "code:not": _TEXT,
    "query": _TEXT,
    "_outputFormat": _TEXT,
}
_ANYTHING = {"type": ["object", "array", "string", "number", "null", "boolean"]}
_PARAMETERS = {
    "type": "object",
    "required": ["resourceType"],
    "properties": {
        "resourceType": {"enum": ["Parameters"]},
        "parameter": {
            "type": "array",
            "items": {"type": "object", "properties": {"name": _TEXT, "valueString": _TEXT}},
        },
    },
}
_RESOURCE = {
    "type": "object",
    "required": ["resourceType"],
    "properties": {
        "resourceType": {"enum": list(_TYPES)},
        "id": {"anyOf": [{"enum": ["fuzz"]}, _TEXT]},
        "meta": {"anyOf": [{"type": "object"}, _ANYTHING]},
        "status": {"enum": ["final", "planned", "active", 1]},
        "name": _ANYTHING,
        "code": {"anyOf": [{"type": "object", "properties": {"text": _TEXT, "coding": _ANYTHING}}, _ANYTHING]},
        "subject": {"type": "object", "properties": {"reference": _TEXT}},
        "extension": {"type": "array", "items": {"type": "object", "properties": {"url": _TEXT, "valueString": _TEXT}}},
        "contained": _ANYTHING,
    },
}
_BUNDLE = {
    "type": "object",
    "required": ["resourceType", "type", "entry"],
    "properties": {
        "resourceType": {"enum": ["Bundle"]},
        "type": {"enum": ["batch", "transaction", "collection", "document"]},
        "entry": {
            "type": "array",
            "maxItems": 4,
            "items": {
                "type": "object",
                "properties": {
                    "fullUrl": {"anyOf": [{"enum": ["urn:uuid:a", "http://a/Patient/1"]}, _TEXT]},
                    "resource": _RESOURCE,
                    "request": {
                        "type": "object",
                        "properties": {
                            "method": {"enum": ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "x"]},
                            "url": {
                                "anyOf": [{"enum": ["Patient", "Patient/fuzz", "Patient?name=a", "Basic/fuzz"]}, _TEXT]
                            },
                            "ifMatch": _TEXT,
                            "ifNoneExist": _TEXT,
                        },
                    },
                },
            },
        },
    },
}
_VALUES: dict[str, Any] = {
    "type": {"anyOf": [{"enum": list(_TYPES)}, {"type": "string", "minLength": 1, "maxLength": 20}]},
    "version": {"anyOf": [{"enum": ["1", "2"]}, {"type": "string", "minLength": 1, "maxLength": 20}]},
}
_NO_FUZZ = {"healthsync.openapi", "fhir.subscription_socket"}
"""The description itself, and what a websocket speaks."""


def _document() -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for surface in SURFACES:
        if surface.channel == "http" and surface.name not in _NO_FUZZ:
            paths.setdefault(surface.path, {})[surface.method.lower()] = _operation(surface.path, surface.method)
    return {"openapi": "3.0.3", "info": {"title": "every surface", "version": "1"}, "paths": paths}


def _operation(path: str, method: str) -> dict[str, Any]:
    names = [part.partition("}")[0] for part in path.split("{")[1:]]
    known = {"anyOf": [{"enum": ["fuzz", "pat_fuzz"]}, {"type": "string", "minLength": 1, "maxLength": 70}]}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": _VALUES.get(name, known)} for name in names
    ] + [{"name": name, "in": "query", "schema": schema} for name, schema in _QUERY.items()]
    operation: dict[str, Any] = {"parameters": parameters, "responses": {"default": {"description": "any"}}}
    if method in ("POST", "PUT", "PATCH"):
        body = {"anyOf": [_RESOURCE, _BUNDLE, _PARAMETERS, _ANYTHING]}
        kinds = ["application/fhir+json"] + (["application/json-patch+json"] if method == "PATCH" else [])
        operation["requestBody"] = {"content": {kind: {"schema": body} for kind in kinds}}
    return operation


schema = schemathesis.openapi.from_dict(_document())
_examples = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@schema.parametrize()
@_examples
def test_no_request_that_fits_a_surface_makes_the_hub_fail(case: Any, real_hub: HubProcess, fhir: httpx.Client) -> None:
    headers = {
        "Authorization": fhir.headers["Authorization"],
        "Content-Type": case.media_type or "application/fhir+json",
    }
    answer = case.call(base_url=f"http://{real_hub.http}", headers=headers, timeout=30)
    _holds(answer.status_code, answer.text, case.path)


def _holds(status: int, text: str, path: str) -> None:
    assert status < 500, text[:500]
    if status >= 400 and path.startswith("/fhir"):
        assert '"resourceType":"OperationOutcome"' in text.replace(" ", ""), text[:500]


# Resources that are nearly valid: one place of a valid one is replaced, removed or doubled

_VALID: tuple[dict[str, Any], ...] = (
    {
        "resourceType": "Patient",
        "identifier": [{"use": "official", "system": "urn:example:mrn", "value": "1", "period": {"start": "2020"}}],
        "name": [{"family": "Fuzz", "given": ["A", "B"]}],
        "gender": "male",
        "birthDate": "1980-02-03",
        "multipleBirthInteger": 2,
        "contact": [{"relationship": [{"text": "x"}], "name": {"family": "Y"}}],
        "extension": [{"url": "urn:example", "valueDecimal": 1.5}],
        "generalPractitioner": [{"reference": "Practitioner/fuzz"}],
    },
    {
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [{"system": "urn:a", "code": "vital-signs"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]},
        "effectivePeriod": {"start": "2026-01-01", "end": "2026-01-02T00:00:00Z"},
        "component": [{"code": {"text": "a"}, "valueQuantity": {"value": 1.50, "unit": "mmHg", "code": "mm[Hg]"}}],
        "referenceRange": [{"low": {"value": 1}, "high": {"value": 2}}],
        "note": [{"text": "a note", "time": "2026-01-01"}],
    },
    {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [{"code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "policyRule": {"coding": [{"code": "OPTIN"}]},
        "provision": {"type": "deny", "period": {"start": "2020"}, "purpose": [{"code": "TREAT"}], "provision": [{}]},
    },
    {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "fuzz",
        "criteria": "Observation?code=a",
        "channel": {"type": "rest-hook", "endpoint": "http://127.0.0.1:9/none", "payload": "application/fhir+json"},
    },
    {
        "resourceType": "SearchParameter",
        "url": "urn:example:fuzz",
        "name": "Fuzz",
        "status": "draft",
        "description": "x",
        "code": "fuzz",
        "base": ["Patient"],
        "type": "string",
        "expression": "Patient.name.family",
    },
    {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": "urn:uuid:1",
                "resource": {"resourceType": "Basic", "code": {"text": "x"}},
                "request": {"method": "POST", "url": "Basic", "ifNoneExist": "code=x"},
            },
            {"request": {"method": "GET", "url": "Basic?_count=1"}},
        ],
    },
)
_STRANGE = st.sampled_from(
    [None, True, 0, -1, 1e300, "", " ", "\x00", "\ud7ff", "a" * 300, [], {}, [[]], [None], {"a": None}, {"reference": "Patient/1"},
     {"resourceType": "Patient"}, "2026-13-45", "http://", "urn:uuid:", "#a", "Patient?name=a", "javascript:alert(1)", "'--",
     [{"url": "urn:x", "valueString": "x", "valueCode": "y"}], {"extension": [{}]}, "%resource.descendants()", "(((", "iif(true,"]
)  # fmt: skip


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in items for place in ((*at, key), *_places(inner, (*at, key)))]


def _changed(value: Any, place: tuple[Any, ...], what: str, strange: Any) -> Any:
    copy = dict(value) if isinstance(value, dict) else list(value)
    key, rest = place[0], place[1:]
    if rest:
        copy[key] = _changed(copy[key], rest, what, strange)
    elif what == "replace":
        copy[key] = strange
    elif what == "remove":
        del copy[key]
    elif isinstance(copy, dict):
        copy[f"{key}x" if what == "rename" else f"_{key}"] = copy.pop(key) if what == "rename" else strange
    else:
        copy.append(strange)
    return copy


@settings(max_examples=400, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    number=st.integers(0, len(_VALID) - 1), pick=st.integers(0, 10**6),
    what=st.sampled_from(("replace", "replace", "remove", "rename", "double")), strange=_STRANGE,
)  # fmt: skip
def test_no_resource_that_is_nearly_valid_makes_the_hub_fail(
    fhir: httpx.Client, number: int, pick: int, what: str, strange: Any
) -> None:
    resource = _VALID[number]
    places = _places(resource)
    broken = _changed(resource, places[pick % len(places)], what, strange)
    if resource["resourceType"] == "Bundle":
        answer = fhir.post("", json=broken)
    else:
        answer = fhir.post(resource["resourceType"], json=broken)
    _holds(answer.status_code, answer.text, "/fhir")
    if answer.status_code == 201:
        fhir.delete(f"{resource['resourceType']}/{answer.json()['id']}")


_OPERATIONS = ("add", "remove", "replace", "move", "copy", "test", "x")
_POINTERS = ("", "/", "/gender", "/name/0/family", "/name/-", "/name/99", "/id", "/meta/versionId", "/resourceType", "/~2", "/a/b/c",
             "gender", "/name/01")  # fmt: skip


@settings(max_examples=150, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(st.fixed_dictionaries({"op": st.sampled_from(_OPERATIONS), "path": st.sampled_from(_POINTERS)},
                   optional={"value": _STRANGE, "from": st.sampled_from(_POINTERS)}), max_size=4),
)  # fmt: skip
def test_no_patch_makes_the_hub_fail_or_changes_who_a_resource_is(
    fhir: httpx.Client, steps: list[dict[str, Any]]
) -> None:
    before = {"resourceType": "Patient", "id": "patched", "gender": "male", "name": [{"family": "Patched"}]}
    assert fhir.put("Patient/patched", json=before).status_code in (200, 201)
    patch = {"Content-Type": "application/json-patch+json"}
    answer = fhir.patch("Patient/patched", json=steps, headers=patch)
    _holds(answer.status_code, answer.text, "/fhir")
    after = fhir.get("Patient/patched")
    assert after.status_code == 200
    assert (after.json()["resourceType"], after.json()["id"]) == ("Patient", "patched")


_SEARCHES = (
    "name", "family", "birthdate", "identifier", "gender", "general-practitioner", "organization", "address", "phonetic",
    "deceased", "death-date", "link", "language", "_id", "_lastUpdated", "_tag", "_has:Observation:subject:code",
)  # fmt: skip
_MODIFIERS = ("", ":exact", ":contains", ":not", ":text", ":in", ":not-in", ":below", ":above", ":missing", ":identifier", ":of-type",
              ":ofType", ":Practitioner", ":Nothing", ":", "::", ".name", ".", ":Practitioner.name:exact")  # fmt: skip
_VALUE = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["true", "2020", "gt2020-01-01", "ap2020", "a|b", "|b", "a|", "a,b", "a\\,b", "Patient/1", "http://a/Patient/1",
                     "5.4|http://unitsofmeasure.org|mg", "gt5", "1e400", "\x00", "$", "a$b"]),
)  # fmt: skip


@settings(max_examples=500, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    criteria=st.lists(
        st.tuples(st.sampled_from(_SEARCHES), st.sampled_from(_MODIFIERS), _VALUE), min_size=1, max_size=3
    )
)
def test_no_search_makes_the_hub_fail(fhir: httpx.Client, criteria: list[tuple[str, str, str]]) -> None:
    pairs = [(name + modifier, value) for name, modifier, value in criteria]
    answer = fhir.get("Patient", params=[*pairs, ("_count", "2")])
    _holds(answer.status_code, answer.text, "/fhir")


@pytest.mark.parametrize("seed", range(3))
def test_bytes_that_are_not_http_harm_nobody(real_hub: HubProcess, fhir: httpx.Client, seed: int) -> None:
    import socket

    host, _, port = real_hub.http.rpartition(":")
    chance = random.Random(seed)
    for start in (b"", b"GET /fhir/Patient HTTP/1.1\r\n", b"POST /fhir HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n"):
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(start + chance.randbytes(2000))
    assert fhir.get("metadata").status_code == 200
