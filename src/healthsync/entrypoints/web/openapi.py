"""OpenAPI 3.1 of /api/v1/healthsync, made from its collections and from what is routed beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from healthsync import __version__
from healthsync.standards.fhir import friendly
from healthsync.standards.fhir.friendly import Collection

from .router import Route

PREFIX = "/api/v1/healthsync"
Json = dict[str, Any]

_REFUSALS = {
    "400": "The request cannot be understood, or names a filter that is not served.",
    "401": "No valid credential.",
    "403": "The role, scope or purpose of the client does not allow it.",
    "404": "There is no such resource, or it may not be shown to this client.",
    "503": "The database or the audit log does not answer; nothing was read or written.",
}
_REFUSED_WRITES = {
    "409": "Someone else wrote in between.",
    "412": "The condition of the request does not hold.",
    "415": "The body is not FHIR JSON.",
    "422": "The resource breaks a rule of FHIR or points to what is not here.",
}
_ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "The id of the resource; of a patient with or without the prefix `pat_`.",
}
_PURPOSE = {
    "name": "X-Purpose",
    "in": "header",
    "schema": {"type": "string"},
    "description": "Purpose of use: `treatment`, `payment`, … or a code of v3-ActReason.",
}
_FILTERS = {
    "name": "filters",
    "in": "query",
    "style": "form",
    "explode": True,
    "schema": {"type": "object", "additionalProperties": {"type": "string"}},
    "description": "FHIR search parameters of the type, and `patient_id`.",
}


def document(base: str, routes: Iterable[Route]) -> Json:
    """The description; `base` is the address of this API, `routes` what is served under it."""
    paths: Json = {}
    for route in routes:
        path = route.surface.path.removeprefix(PREFIX)
        if path != route.surface.path and not path.startswith("/{collection}"):
            paths.setdefault(path, {})[route.surface.method.lower()] = _routed(route)
    for collection in friendly.collections().values():
        paths[f"/{collection.name}"] = _many(collection)
        if not collection.is_view:
            paths[f"/{collection.name}/{{id}}"] = _one(collection)
    return {
        "openapi": "3.1.0",
        "info": {"title": "HealthSync", "version": __version__, "summary": "FHIR R4 under friendlier addresses"},
        "servers": [{"url": base}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Consent": _consent(), "OperationOutcome": _resource("OperationOutcome")},
        },
    }


def _routed(route: Route) -> Json:
    """An address that is no collection: what its handler says of itself, JSON in and out."""
    told = " ".join((route.handler.__doc__ or "").split("\n\n")[0].split())
    operation: Json = {
        "operationId": route.surface.name.replace(".", "_"),
        "summary": re.sub(r"^[A-Z]+ [a-z]\S*( \{[^}]*\})?: ", "", told).rstrip("."),
        "parameters": [_in_path(name) for name in re.findall(r"{(\w+)}", route.surface.path)] + [_PURPOSE],
        "responses": {"2XX": {"description": "JSON.", "content": {"application/json": {}}}, **_refused(_REFUSALS)},
    }
    if route.surface.method in ("POST", "PUT"):
        operation["requestBody"] = {"content": {"application/json": {}}}
    return operation


def _in_path(name: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _many(collection: Collection) -> Json:
    listed = f"List {collection.name}: a searchset Bundle of {collection.type}"
    path = {"get": _operation("list", collection, listed, {"200": _answer("Bundle")}, [_FILTERS, _PURPOSE])}
    if not collection.is_view:
        created = {"201": _answer(collection.type), **_refused(_REFUSED_WRITES)}
        path["post"] = _writing("create", collection, f"Create a {collection.type}", created, [_PURPOSE])
    return path


def _one(collection: Collection) -> Json:
    read = {"200": _answer(collection.type)}
    updated = {"200": _answer(collection.type), "201": _answer(collection.type), **_refused(_REFUSED_WRITES)}
    replace = f"Replace a {collection.type}, or store it under a new id"
    return {
        "get": _operation("read", collection, f"Read a {collection.type}", read, [_ID, _PURPOSE]),
        "put": _writing("update", collection, replace, updated, [_ID, _PURPOSE]),
    }


def _operation(verb: str, collection: Collection, summary: str, answers: Json, parameters: list[Json]) -> Json:
    return {
        "operationId": f"{verb}_{collection.name}",
        "summary": summary,
        "parameters": parameters,
        "responses": {**answers, **_refused(_REFUSALS)},
    }


def _writing(verb: str, collection: Collection, summary: str, answers: Json, parameters: list[Json]) -> Json:
    kinds: list[Json] = [_resource(collection.type)]
    if collection.type == "Consent":
        kinds.append({"$ref": "#/components/schemas/Consent"})
    body = {"required": True, "content": _content({"anyOf": kinds} if kinds[1:] else kinds[0])}
    return {**_operation(verb, collection, summary, answers, parameters), "requestBody": body}


def _answer(resource_type: str) -> Json:
    return {"description": resource_type, "content": _content(_resource(resource_type))}


def _refused(sentences: dict[str, str]) -> Json:
    content = _content({"$ref": "#/components/schemas/OperationOutcome"})
    return {status: {"description": sentence, "content": content} for status, sentence in sentences.items()}


def _content(schema: Json) -> Json:
    return {"application/fhir+json": {"schema": schema}}


def _resource(resource_type: str) -> Json:
    return {
        "type": "object",
        "description": f"http://hl7.org/fhir/R4/{resource_type.lower()}.html",
        "properties": {"resourceType": {"const": resource_type}},
        "required": ["resourceType"],
    }


def _consent() -> Json:
    """The consent in plain words."""
    words = {"purposes": friendly.PURPOSES, "data_categories": friendly.CATEGORIES,
             "exclude": {**friendly.SENSITIVITIES, **friendly.CATEGORIES}}  # fmt: skip
    actor = {"type": "object", "properties": {"role": {"type": "string"}, "organization": {"type": "string"}},
             "required": ["role", "organization"]}  # fmt: skip
    properties = {
        "patient_id": {"type": "string"},
        "consent_type": {"type": "string"},
        "status": {"enum": list(friendly.STATUSES)},
        "scope": {
            "type": "object",
            "properties": {name: {"type": "array", "items": {"enum": list(known)}} for name, known in words.items()},
            "additionalProperties": False,
        },
        "period": {"type": "object", "properties": {"start": {"type": "string"}, "end": {"type": "string"}}},
        "provision": {
            "type": "object",
            "properties": {"type": {"enum": ["permit", "deny"]}, "actor": {"type": "array", "items": actor}},
        },
    }
    return {"type": "object", "properties": properties, "required": ["patient_id", "consent_type"],
            "additionalProperties": False}  # fmt: skip
