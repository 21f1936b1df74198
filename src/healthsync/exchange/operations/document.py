"""Composition/id/$document (composition-operation-document.html): a stored Composition and what it refers to, together.

Each resource passes the gate out: what it withholds is left out, as everywhere. Nothing is stored.
"""

from __future__ import annotations

from healthsync.domains.access import Requester
from healthsync.errors import NotSupported
from healthsync.exchange.disclose import Disclose, Disclosed, Refusal
from healthsync.exchange.operations.graph import References
from healthsync.standards.fhir import json, references
from healthsync.standards.fhir.parameters import Parameters


class MakeDocument:
    """The operation."""

    def __init__(self, disclose: Disclose) -> None:
        self._disclose = disclose

    async def __call__(self, requester: Requester, id_: str, asked: Parameters) -> list[Disclosed] | Refusal:
        """The Composition, and behind it all that it refers to directly (documents.html#content)."""
        if asked.only(("persist",)).flag("persist", False):
            raise NotSupported("a document is not kept by itself; POST it to Bundle")
        composition = await self._disclose.read(requester, "Composition", id_)
        if isinstance(composition, Refusal):
            return composition
        parsed = [references.parse(text) for text in references.texts(json.parse(composition.text.encode()))]
        targets = [f"{each.type}/{each.id}" for each in parsed if each.kind is references.Kind.RELATIVE]
        beside = await References(self._disclose, requester, "$document").read(targets)
        return [composition, *(each for each in beside if each.reference != composition.reference)]
