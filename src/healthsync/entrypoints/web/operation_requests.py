"""How an operation is asked: GET with its parameters in the URL, POST with a Parameters resource (operations.html)."""

from __future__ import annotations

from starlette.requests import Request

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import json
from healthsync.standards.fhir.parameters import Parameters

from .requests import body_of

MAX_BYTES = 4 * 1024 * 1024
"""Size of a question; a resource that is larger is stored first and then named."""


async def parameters_of(request: Request) -> Parameters:
    """The parameters of a request. Raises InvalidInput (`too-long` above MAX_BYTES) or UnsupportedMediaType."""
    if request.method != "POST":
        return Parameters.of_query(request.query_params.multi_items())
    body = await body_of(request, ("application/fhir+json", "application/json"))
    if len(body) > MAX_BYTES:
        raise InvalidInput(f"a question has {MAX_BYTES} bytes at most; store the resource and name it", code="too-long")
    return Parameters.of_resource(json.parse(body))
