"""The patch formats of http.html#patch: what a body in one of them does to a resource."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import json, patch

Json = dict[str, Any]
Patch = Callable[[Json], Json]
"""Makes a changed copy of a resource. Raises InvalidInput when it does not apply."""

JSON_PATCH = "application/json-patch+json"


def json_patch(body: bytes) -> Patch:
    """A JSON Patch (RFC 6902). Raises InvalidInput for what is none."""
    operations = json.parse_array(body)
    return lambda resource: patch.json_patch(resource, operations)


def fhirpath_patch(parameters: Json) -> Patch:
    """A FHIRPath Patch (fhirpatch.html). Raises InvalidInput for what is no Parameters resource."""
    if parameters.get("resourceType") != "Parameters":
        raise InvalidInput("a FHIRPath Patch is a Parameters resource", code="structure")
    return lambda resource: patch.fhirpath_patch(resource, parameters)


def merge_patch(change: Json) -> Patch:
    """Properties that replace those of the resource (RFC 7396)."""
    return lambda resource: patch.merge_patch(resource, change)


def entry_patch(resource: Json) -> Patch:
    """The patch in a Bundle's entry: Parameters, or a Binary that holds a JSON Patch (http.html#patch)."""
    if resource.get("resourceType") == "Parameters":
        return fhirpath_patch(resource)
    if str(resource.get("contentType", "")).partition(";")[0].strip().lower() != JSON_PATCH:
        raise InvalidInput(f"a Binary that patches has the contentType {JSON_PATCH}", code="not-supported")
    try:
        body = base64.b64decode("".join(str(resource.get("data", "")).split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput("the data of the Binary is no base64", code="value") from None
    return json_patch(body)
