"""A hub with patients of two facilities, and partners who ask it over HL7 v2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from healthsync.bootstrap import Hub
from healthsync.domains.access import Requester
from healthsync.domains.directory import Partner, Peer, network
from healthsync.standards.hl7v2 import Message

MERCY, GENERAL, OTHER = "urn:oid:1.2.3", "urn:oid:1.5.6", "urn:oid:1.9"
FEED = Requester("feed", ("system",), "TREAT")
PEER = Peer("192.0.2.7")


def patient(number: str, system: str = MERCY, **more: Any) -> dict[str, Any]:
    """A made-up patient under one number."""
    return {
        "resourceType": "Patient",
        "identifier": [{"system": system, "value": number, "type": {"coding": [{"code": "MR"}]}}],
        "name": [{"family": "Quennell", "given": ["Ottoline"]}],
        "gender": "female",
        "birthDate": "1971-03-09",
        **more,
    }


@dataclass
class Asking:
    """The hub, as a partner that may ask sees it."""

    hub: Hub

    async def know(self, resource: dict[str, Any], requester: Requester = FEED) -> str:
        return (await self.hub.write.create(requester, resource)).id

    async def __call__(self, trigger: str, *segments: str, control_id: str = "Q-1", version: str = "2.5") -> Message:
        answer = await self.raw(trigger, *segments, control_id=control_id, version=version)
        return Message.parse(answer)

    async def raw(self, trigger: str, *segments: str, control_id: str = "Q-1", version: str = "2.5") -> bytes:
        header = f"MSH|^~\\&|EPIC|MERCY|HUB|HIE|20240301120000||{trigger}|{control_id}|P|{version}"
        answer = await self.hub.receive_message("\r".join((header, *segments, "")).encode(), PEER)
        assert answer is not None
        return answer

    async def may(self, role: str | None, purpose: str | None) -> None:
        """Give the partner another role; the hub learns of it at once."""
        async with self.hub.database.transaction() as tx:
            await self.hub.directory.set_queries(tx, "mercy", role, purpose)
        self.hub.receive_message._partners_at = float("-inf")

    async def audited(self) -> list[tuple[str, str, str | None, str | None]]:
        async with self.hub.database.connection() as tx:
            rows = await self.hub.audit.search(tx)
        return [
            (row.entry["interaction"], row.entry["outcome"], row.entry.get("reason"), row.entry.get("client"))
            for row in rows
            if row.entry["interaction"].startswith("query")
        ]


@pytest.fixture
async def ask(hub: Hub) -> Asking:
    """A partner, known by its address, that may ask as a physician."""
    known = Partner("mercy", addresses=(network("192.0.2.0/24"),), query_role="physician", query_purpose="TREAT")
    async with hub.database.transaction() as tx:
        await hub.directory.add(tx, known)
    return Asking(hub)
