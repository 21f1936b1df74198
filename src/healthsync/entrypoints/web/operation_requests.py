"""How an operation is asked (operations.html#executing): GET with its parameters in the URL, POST with a Parameters
resource, or with the one resource that it is about. A POST may have further parameters in its URL."""

from __future__ import annotations

from starlette.requests import Request

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import json
from healthsync.standards.fhir.parameters import Parameters

from .requests import body_of

MAX_BYTES = 4 * 1024 * 1024
"""Size of a question; a resource that is larger is stored first and then named."""


async def parameters_of(request: Request, *, sole: str | None = None) -> Parameters:
    """The parameters of a request; `sole` is that one which a resource of its own is sent for.

    Raises InvalidInput (`too-long` above MAX_BYTES) or UnsupportedMediaType.
    """
    named = Parameters.of_query(request.query_params.multi_items())
    if request.method != "POST":
        return named
    body = await body_of(request, ("application/fhir+json", "application/json"))
    if len(body) > MAX_BYTES:
        raise InvalidInput(f"a question has {MAX_BYTES} bytes at most; store the resource and name it", code="too-long")
    resource = json.parse(body)
    if sole is not None and isinstance(resource, dict) and resource.get("resourceType") not in (None, "Parameters"):
        return named.overlaid(Parameters({sole: [resource]}))
    return named.overlaid(Parameters.of_resource(resource))
