"""Where HL7 v2 messages are sent, for administrators: /destinations. No message content passes here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from healthsync.errors import InvalidInput
from healthsync.exchange.administration.manage_destinations import delivery_document, document
from healthsync.standards.fhir import json

from . import answers
from .requests import content_of, requester_of
from .router import Router

_MOST = 1000


class DestinationRoutes:
    """The handlers. `hub` is a `bootstrap.Hub`."""

    def __init__(self, hub: Any) -> None:
        self._hub = hub

    def register(self, router: Router) -> None:
        """Put every handler under its surface."""
        for name in ("list", "add", "show", "remove", "pause", "resume", "deliveries", "retry", "skip"):
            router.add(f"destinations.{name}", getattr(self, name))

    async def list(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET /destinations."""
        shown = await self._flow.listed(await requester_of(self._hub, request))
        return answers.plain({"destinations": [document(each) for each in shown]})

    async def add(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST /destinations: the terms as an object."""
        requester = await requester_of(self._hub, request)
        return answers.plain(document(await self._flow.add(requester, await _object(request))), 201)

    async def show(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET /destinations/{name}."""
        shown = await self._flow.show(await requester_of(self._hub, request), names["name"])
        return answers.plain(document(shown))

    async def remove(self, request: Request, names: Mapping[str, str]) -> Response:
        """DELETE /destinations/{name}; with ?discard=true also while messages wait."""
        requester = await requester_of(self._hub, request)
        discard = request.query_params.get("discard") == "true"
        queue = await self._flow.remove(requester, names["name"], discard=discard)
        return answers.plain({"discarded": queue.waiting + queue.dead})

    async def pause(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST /destinations/{name}/pause."""
        await self._flow.pause(await requester_of(self._hub, request), names["name"], paused=True)
        return Response(status_code=204)

    async def resume(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST /destinations/{name}/resume."""
        await self._flow.pause(await requester_of(self._hub, request), names["name"], paused=False)
        return Response(status_code=204)

    async def deliveries(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET /destinations/{name}/deliveries?state=dead&before=…&count=…: newest first."""
        requester = await requester_of(self._hub, request)
        asked = request.query_params
        found = await self._flow.deliveries(
            requester,
            names["name"],
            state=asked.get("state", "dead"),
            before=_number(asked.get("before"), None),
            limit=min(_number(asked.get("count"), 100) or 0, _MOST),
        )
        return answers.plain({"deliveries": [delivery_document(each) for each in found]})

    async def retry(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST /destinations/{name}/retry: {"sequences": [1, 2]}, or without a body all dead letters."""
        requester = await requester_of(self._hub, request)
        sequences = (await _object(request, empty={})).get("sequences")
        if sequences is not None and not _are_numbers(sequences):
            raise InvalidInput("“sequences” is a list of numbers", code="value")
        back = await self._flow.retry(requester, names["name"], sequences)
        return answers.plain({"retried": len(back), "sequences": back})

    async def skip(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST /destinations/{name}/skip: {"sequence": 1} out of the queue, to the dead letters."""
        requester = await requester_of(self._hub, request)
        sequence = (await _object(request)).get("sequence")
        if not _are_numbers([sequence]):
            raise InvalidInput("“sequence” is the number of a message that waits", code="value")
        await self._flow.set_aside(requester, names["name"], sequence)
        return Response(status_code=204)

    @property
    def _flow(self) -> Any:
        return self._hub.manage_destinations


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(type(each) is int and 0 < each < 2**63 for each in values)


def _number(text: str | None, otherwise: int | None) -> int | None:
    if text is None:
        return otherwise
    if not text.isdecimal() or len(text) > 18:
        raise InvalidInput("before and count are numbers", code="value")
    return int(text)


async def _object(request: Request, empty: dict[str, Any] | None = None) -> dict[str, Any]:
    body = await content_of(request)
    return empty if not body and empty is not None else json.parse(body)
