"""$graphql over HTTP: GET with a query, POST with JSON, GraphQL text or Parameters; answers in GraphQL's shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from healthsync.errors import HealthSyncError, InvalidInput
from healthsync.standards.fhir import json
from healthsync.standards.fhir.definitions import resource_types
from healthsync.standards.fhir.graphql import QueryFault
from healthsync.standards.fhir.outcome import from_error, operation_outcome

from . import answers
from .requests import UnsupportedMediaType, body_of, legal_id, requester_of
from .router import Router

_TYPES = ("application/json", "application/graphql", "application/fhir+json")


class GraphqlRoutes:
    """The handlers of $graphql."""

    def __init__(self, hub: Any) -> None:
        self._hub = hub

    def register(self, router: Router) -> None:
        """Put every handler under its surface."""
        for name in ("graphql", "graphql_post", "graphql_instance", "graphql_instance_post"):
            router.add(f"fhir.{name}", self.query)

    async def query(self, request: Request, names: Mapping[str, str]) -> Response:
        """Run a query at the system or on one resource."""
        requester = await requester_of(self._hub, request)
        try:
            text, variables, operation = await _asked(request)
            data = await self._hub.graphql(requester, text, variables, operation, resource=_resource(names))
        except UnsupportedMediaType:
            raise
        except HealthSyncError as problem:
            if problem.code == "transient":
                raise  # the hub cannot answer now, and says so as it does everywhere
            return _fault(problem)
        return answers.plain({"data": data})


def _resource(names: Mapping[str, str]) -> tuple[str, str] | None:
    if "type" not in names:
        return None
    if names["type"] not in resource_types():
        raise InvalidInput("the URL names no resource type of FHIR R4", code="not-found")
    return names["type"], legal_id(names["id"])


async def _asked(request: Request) -> tuple[str, dict[str, Any], str | None]:
    """(query, variables, operationName)."""
    given: Mapping[str, Any] = dict(request.query_params)
    if request.method == "POST":
        body = await body_of(request, _TYPES)
        if request.headers["content-type"].startswith("application/graphql"):
            given = {**given, "query": body.decode("utf-8", "replace")}
        else:
            given = {**given, **_document(body)}
    query, operation = given.get("query"), given.get("operationName")
    variables = given.get("variables") or {}
    if isinstance(variables, str):
        variables = json.parse(variables.encode())
    if not isinstance(query, str) or not isinstance(variables, dict):
        raise InvalidInput("send the query as query, and variables as an object", code="required")
    return query, variables, operation if isinstance(operation, str) else None


def _document(body: bytes) -> dict[str, Any]:
    document = json.parse(body)
    if document.get("resourceType") == "Parameters":
        listed = document.get("parameter")
        parts = [p for p in listed if isinstance(p, dict)] if isinstance(listed, list) else []
        return {str(p.get("name")): p.get("valueString") for p in parts}
    return document


def _fault(problem: HealthSyncError) -> Response:
    """An error in GraphQL's shape, with the OperationOutcome beside it (graphql.html#errors)."""
    issue = from_error(problem)
    error: dict[str, Any] = {
        "message": issue.diagnostics,
        "extensions": {"resource": operation_outcome([issue])},
    }
    if isinstance(problem, QueryFault) and problem.at is not None:
        error["locations"] = [{"line": problem.at[0], "column": problem.at[1]}]
    return answers.plain({"data": None, "errors": [error]}, answers.status_of(problem))
