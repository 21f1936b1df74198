"""$meta of a type or of the hub (resource-operation-meta.html): the profiles, labels and tags in use, through the gate
out."""

from __future__ import annotations

from typing import Any

from healthsync.domains.access import Requester
from healthsync.errors import InvalidInput
from healthsync.exchange.disclose import Disclose, Refusal
from healthsync.standards.fhir import json, meta
from healthsync.standards.fhir.query import parse

MOST_RESOURCES = 10_000
"""Resources with profiles, labels or tags that are looked at: these lie sealed, so that no index could list them."""

_PAGE = 1_000
_HAVING_SOME = [("_filter", "_profile pr true or _security pr true or _tag pr true")]


class MetaInUse:
    """Gathers what the requester may see."""

    def __init__(self, disclose: Disclose) -> None:
        self._disclose = disclose

    async def __call__(self, requester: Requester, resource_type: str) -> dict[str, Any] | Refusal:
        """The Meta of all resources of a type, of every type that the roles open when that is "".

        Raises InvalidInput (`too-costly`) for more than MOST_RESOURCES.
        """
        query, after, seen = parse(resource_type, _HAVING_SOME), None, 0
        found: dict[str, Any] = {}
        while True:
            page = await self._disclose.search(
                requester, query, after=after, count=_PAGE, asked="$meta", with_total=False
            )
            if isinstance(page, Refusal):
                return page
            for entry in page.entries:
                found = meta.added(found, json.parse(entry.text.encode()).get("meta", {}))
            if page.position is None:
                return {name: found["meta"][name] for name in meta.SETS if name in found.get("meta", {})}
            after, seen = page.position, seen + len(page.entries)
            if seen >= MOST_RESOURCES:
                told = f"more than {MOST_RESOURCES} resources have profiles, labels or tags; ask for another type"
                raise InvalidInput(told, code="too-costly")
