"""GET /api/v1/healthsync/quality."""

from __future__ import annotations

from typing import Any

from healthsync.domains.directory import Peer

MESSAGE = b"MSH|^~\\&|EPIC|MERCY|HUB|HIE|20240301||ADT^A01|C1|P|2.5.1\rPID|1||P1^^^MERCY^MR||Quennell^Jane\r"


async def test_administrators_see_how_good_sources_are_and_others_do_not(hub: Any, admin: Any, client_as: Any) -> None:
    await hub.receive_message(MESSAGE, Peer("127.0.0.1"))
    await hub.process_message()
    answer = await admin.get("/api/v1/healthsync/quality?source=MERCY.EPIC&since=2020-01-01")
    (source,) = answer.json()["sources"]
    assert (source["source"], source["messages"], source["bands"]["minimum"]) == ("MERCY.EPIC", 1, 60)
    assert "Quennell" not in answer.text
    assert (await admin.get("/api/v1/healthsync/quality?since=yesterday")).status_code == 400
    assert (await (await client_as("physician")).get("/api/v1/healthsync/quality")).status_code == 403
    assert (await (await client_as()).get("/api/v1/healthsync/quality")).status_code == 401
