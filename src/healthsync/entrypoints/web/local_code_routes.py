"""Maps of local codes and the codes that wait for one, for administrators' clients.

    GET    /api/v1/healthsync/terminology/maps                       what maps there are
    GET    /api/v1/healthsync/terminology/map?source=                one, as a ConceptMap
    POST   /api/v1/healthsync/terminology/map?source=&to=            lines in place of those for the same codes
    PUT    /api/v1/healthsync/terminology/map?source=&to=            lines in place of all
    DELETE /api/v1/healthsync/terminology/map?source=&system=&code=
    GET    /api/v1/healthsync/terminology/untranslated?state=&source=&limit=
    POST   /api/v1/healthsync/terminology/untranslated/{id}

A work item is settled by {"target": "2345-7", "system": "LOINC"}, or set to {"state": "ignored"}. The body of a
map is CSV (text/csv), YAML (application/yaml) or a ConceptMap; no `source` means everybody's codes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from healthsync.errors import InvalidInput
from healthsync.exchange.administration.manage_codes import LocalChange, ManageCodes, WorkItem, WorkState
from healthsync.exchange.administration.operators import Actor
from healthsync.standards.fhir import json

from . import answers
from .requests import body_of, requester_of
from .router import Router

_NAMES = {
    "text/csv": "map.csv",
    "application/yaml": "map.yaml",
    "text/yaml": "map.yaml",
    "application/json": "map.json",
    "application/fhir+json": "map.json",
}
MOST_ITEMS = 1000
"""Work items of one answer."""


class LocalCodeRoutes:
    """The handlers. `hub` is a `bootstrap.Hub`."""

    def __init__(self, hub: Any) -> None:
        self._hub = hub
        self._manage: ManageCodes = hub.manage_codes

    def register(self, router: Router) -> None:
        """Put every handler under its surface."""
        for name in ("maps", "map", "add", "replace", "remove", "work", "settle"):
            router.add(f"codes.{name}", getattr(self, name))

    async def maps(self, request: Request, names: Mapping[str, str]) -> Response:
        """Every local map with the number of its lines."""
        await self._actor(request)
        told = [{"source": m.partner, "url": m.url, "lines": m.lines} for m in await self._manage.maps()]
        return answers.plain({"maps": told})

    async def map(self, request: Request, names: Mapping[str, str]) -> Response:
        """One map as a ConceptMap."""
        await self._actor(request)
        return answers.fhir(json.dump(await self._manage.show(request.query_params.get("source"))))

    async def add(self, request: Request, names: Mapping[str, str]) -> Response:
        """Lines in place of those for the same codes."""
        return await self._put(request, whole=False)

    async def replace(self, request: Request, names: Mapping[str, str]) -> Response:
        """Lines in place of all."""
        return await self._put(request, whole=True)

    async def _put(self, request: Request, *, whole: bool) -> Response:
        actor, asked = await self._actor(request), request.query_params
        body = await body_of(request, tuple(_NAMES))
        name = _NAMES[request.headers.get("content-type", "").partition(";")[0].strip().lower()]
        changed = await self._manage.add(actor, asked.get("source"), body, name, target=asked.get("to"), whole=whole)
        return answers.plain(_changed(changed))

    async def remove(self, request: Request, names: Mapping[str, str]) -> Response:
        """The lines for one code go."""
        actor, asked = await self._actor(request), request.query_params
        if not (code := asked.get("code")):
            raise InvalidInput("say which code goes out of the map: ?code=", code="required")
        gone = await self._manage.remove(actor, asked.get("source"), asked.get("system"), code)
        return answers.plain({"removed": gone})

    async def work(self, request: Request, names: Mapping[str, str]) -> Response:
        """Codes that wait for a map, the most frequent first; and how many there are of each source and state."""
        await self._actor(request)
        asked = request.query_params
        text = asked.get("limit", "100")
        if not (text.isascii() and text.isdecimal() and 0 < int(text[:6]) <= MOST_ITEMS):
            raise InvalidInput(f"the parameter limit is a number from 1 to {MOST_ITEMS}", code="value")
        items = await self._manage.items(
            state=asked.get("state", "open"), source=asked.get("source"), limit=int(text[:6])
        )
        counts = [
            {"source": source, "state": state, "codes": codes, "occurrences": occurrences}
            for source, state, codes, occurrences in await self._manage.counts()
        ]
        return answers.plain({"items": [_item(item) for item in items], "counts": counts})

    async def settle(self, request: Request, names: Mapping[str, str]) -> Response:
        """Map the code of a work item, ignore it, or open it again."""
        actor = await self._actor(request)
        said, key = _document(await body_of(request, ("application/json",))), _number(names["id"])
        if "state" in said:
            if said["state"] not in (WorkState.IGNORED, WorkState.OPEN):
                raise InvalidInput("a work item is set to ignored or open; a map settles it otherwise", code="value")
            (item,) = await self._manage.settle(actor, [key], WorkState(said["state"]))
            return answers.plain(_item(item))
        texts = {name: said.get(name) for name in ("target", "system", "display", "equivalence")}
        if (
            not texts["target"]
            or not texts["system"]
            or not all(v is None or isinstance(v, str) for v in texts.values())
        ):
            raise InvalidInput('say what the code means: {"target": "2345-7", "system": "LOINC"}', code="required")
        changed = await self._manage.resolve(
            actor,
            key,
            texts["target"],
            texts["system"],
            display=texts["display"],
            equivalence=texts["equivalence"],
            everywhere=said.get("everywhere") is True,
        )
        return answers.plain(_changed(changed))

    async def _actor(self, request: Request) -> Actor:
        """An administrator: a map changes what everybody's results mean."""
        requester = await requester_of(self._hub, request)
        await self._hub.operators.require(requester, "local-codes", "Terminology")
        return Actor.of(requester)


def _changed(changed: LocalChange) -> dict[str, Any]:
    unknown = [{"system": system, "code": code} for system, code in changed.unknown]
    return {"lines": changed.lines, "settled": changed.settled, "unknownTargets": unknown}


def _item(item: WorkItem) -> dict[str, Any]:
    told = dataclasses.asdict(item)
    return {"id": told.pop("key"), "source": told.pop("partner"), **told}


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(body)
    except msgspec.DecodeError:
        raise InvalidInput("the body is no JSON", code="structure") from None
    if not isinstance(document, dict):
        raise InvalidInput("the body is a JSON object", code="structure")
    return document


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 18 else 0
