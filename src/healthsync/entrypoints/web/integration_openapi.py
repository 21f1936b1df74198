"""OpenAPI 3.1 of /api/integrations."""

from __future__ import annotations

from typing import Any

from healthsync import __version__

Json = dict[str, Any]

_TEXT = {"type": "string"}
_REFUSALS = {
    "400": "The body cannot be understood; the OperationOutcome names the field.",
    "401": "No valid credential.",
    "403": "The role or purpose of the client does not allow it.",
    "415": "The body is in a format that this address does not read.",
    "503": "The database or the audit log does not answer; nothing was read or written.",
}
_NOT_FOUND = {"404": "There is no such patient, or it may not be shown to this client."}
_INVALID = {
    "409": "Someone else wrote in between.",
    "422": "The patient breaks a rule of FHIR.",
}


def document(base: str) -> Json:
    """The description; `base` is the address of this API."""
    record, stored = _reference("Patient"), _reference("StoredPatient")
    either = {"anyOf": [record, stored]}
    return {
        "openapi": "3.1.0",
        "info": {"title": "HealthSync integrations", "version": __version__, "summary": "Interoperability helpers"},
        "servers": [{"url": base}],
        "security": [{"bearer": []}],
        "paths": {
            "/fhir/patient": _post(
                "convertPatientToFhir",
                "A patient record as a FHIR Patient",
                either,
                {"200": _fhir("Patient")},
                _NOT_FOUND,
            ),
            "/fhir/patient/import": _post(
                "importPatientFromFhir",
                "Bring a FHIR Patient in",
                _resource("Patient"),
                {"201": _plain("Imported"), "200": _plain("Imported")},
                _INVALID,
            ),
            "/hl7/adt": _post(
                "createHl7Adt",
                "An HL7 v2 ADT about a patient record",
                _reference("AdtRequest"),
                {"200": _plain("AdtMessage")},
                _NOT_FOUND,
            ),
            "/hl7/parse": _parse(),
        },
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": {**_schemas(), "OperationOutcome": _resource("OperationOutcome")},
        },
    }


def _post(name: str, summary: str, body: Json, answers: Json, refusals: Json) -> Json:
    refused = {
        status: {
            "description": sentence,
            "content": {"application/fhir+json": {"schema": _reference("OperationOutcome")}},
        }
        for status, sentence in {**_REFUSALS, **refusals}.items()
    }
    request = {"required": True, "content": {"application/json": {"schema": body}}}
    return {
        "post": {"operationId": name, "summary": summary, "requestBody": request, "responses": {**answers, **refused}}
    }


def _parse() -> Json:
    body = {"type": "object", "properties": {"message": _TEXT}, "required": ["message"]}
    path = _post("parseHl7", "A message taken apart", body, {"200": _plain("ParsedMessage")}, {})
    path["post"]["requestBody"]["content"]["text/plain"] = {"schema": _TEXT}
    return path


def _plain(schema: str) -> Json:
    return {"description": schema, "content": {"application/json": {"schema": _reference(schema)}}}


def _fhir(resource_type: str) -> Json:
    return {"description": resource_type, "content": {"application/fhir+json": {"schema": _resource(resource_type)}}}


def _reference(schema: str) -> Json:
    return {"$ref": f"#/components/schemas/{schema}"}


def _resource(resource_type: str) -> Json:
    return {
        "type": "object",
        "description": f"http://hl7.org/fhir/R4/{resource_type.lower()}.html",
        "properties": {"resourceType": {"const": resource_type}},
        "required": ["resourceType"],
    }


def _schemas() -> Json:
    address = {
        "anyOf": [
            _TEXT,
            {"type": "object", "properties": dict.fromkeys(("line", "city", "state", "postalCode", "country"), _TEXT)},
        ]
    }
    names = ("id", "mrn", "mrnSystem", "firstName", "middleName", "lastName", "email", "phone")
    patient = {
        "type": "object",
        "properties": {
            **dict.fromkeys(names, _TEXT),
            "dateOfBirth": {"type": "string", "description": "YYYY-MM-DD, YYYY-MM or YYYY"},
            "gender": {"enum": ["male", "female", "other", "unknown"]},
            "address": address,
        },
    }
    segment = {
        "type": "object",
        "properties": {"name": _TEXT, "fields": {"type": "object"}},
        "required": ["name", "fields"],
    }
    header = ("messageType", "structure", "controlId", "version", "sendingApplication", "sendingFacility",
              "receivingApplication", "receivingFacility", "timestamp")  # fmt: skip
    return {
        "Patient": patient,
        "StoredPatient": {"type": "object", "properties": {"patientId": _TEXT}, "required": ["patientId"]},
        "Imported": {
            "type": "object",
            "properties": {"outcome": {"enum": ["created", "updated", "unchanged"]}, "patient": _reference("Patient")},
            "required": ["outcome", "patient"],
        },
        "AdtRequest": {
            "type": "object",
            "properties": {
                "patient": _reference("Patient"),
                "patientId": _TEXT,
                "event": {"type": "string", "default": "A04"},
            },
        },
        "AdtMessage": {
            "type": "object",
            "properties": {"message": _TEXT, "messageType": _TEXT, "controlId": _TEXT},
            "required": ["message", "messageType", "controlId"],
        },
        "ParsedMessage": {
            "type": "object",
            "properties": {
                **dict.fromkeys(header, _TEXT),
                "patient": {"anyOf": [_reference("Patient"), {"type": "null"}]},
                "segments": {"type": "array", "items": segment},
                "warnings": {"type": "array", "items": _TEXT},
            },
            "required": [*header, "patient", "segments", "warnings"],
        },
    }
