"""What operators do with messages and partners, and that it is recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from healthsync.errors import Conflict, InvalidInput, NotFound, Unavailable
from healthsync.exchange.administration.inspect_messages import InspectMessages
from healthsync.exchange.administration.onboard_partner import OnboardPartner

BUILD = Callable[..., bytes]


def inspect(rig: Any) -> InspectMessages:
    return InspectMessages(database=rig.database, messages=rig.messages, data_keys=rig.data_keys, audit=rig.audit)


async def last_audit(rig: Any) -> dict[str, Any]:
    rows = await rig.rows("SELECT entry::text FROM audit_event ORDER BY position DESC LIMIT 1")
    return json.loads(rows[0]["entry"])


async def test_the_list_is_complete_newest_first_and_without_content(rig: Any, adt: BUILD) -> None:
    await rig.send(*(adt(f"C{n}", f"P{n}") for n in range(5)), adt("D1", type="XYZ^Z99"))
    await rig.process()()
    flow = inspect(rig)

    async def listed(state: str | None = None, source: str | None = None, limit: int = 0) -> list[int]:
        return [m.sequence async for m in flow.listed(state=state, source=source, limit=limit)]

    assert await listed() == [6, 5, 4, 3, 2, 1]
    assert await listed(limit=2) == [6, 5]
    assert await listed(state="dead") == [6]
    assert await listed(source="nobody") == []
    assert await flow.counted(state="processed", source=None) == 5
    assert "Doe" not in repr([m async for m in flow.listed(state=None, source=None, limit=0)])
    with pytest.raises(InvalidInput, match="accepted, processed, dead"):
        await listed(state="lost")


async def test_the_list_goes_on_over_many_pages(rig: Any, adt: BUILD, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("healthsync.exchange.administration.inspect_messages._PAGE", 3)
    await rig.send(*(adt(f"C{n}") for n in range(8)))
    assert [m.sequence async for m in inspect(rig).listed(state=None, source=None, limit=0)] == [8, 7, 6, 5, 4, 3, 2, 1]
    assert [m.sequence async for m in inspect(rig).listed(state=None, source=None, limit=7)] == [8, 7, 6, 5, 4, 3, 2]


async def test_showing_a_message_is_recorded_with_its_reason_or_refused(rig: Any, adt: BUILD) -> None:
    await rig.send(adt("C1"))
    assert await inspect(rig).content(1, "ada", "ticket-88") == adt("C1")
    entry = await last_audit(rig)
    assert (entry["interaction"], entry["user"], entry["reason"], entry["message_sequence"]) == (
        "show-message",
        "ada",
        "ticket-88",
        1,
    )
    with pytest.raises(InvalidInput):
        await inspect(rig).content(1, "ada", "because I can")
    with pytest.raises(NotFound):
        await inspect(rig).content(99, "ada", "ticket-88")
    await rig.rows("ALTER TABLE audit_event RENAME TO gone")
    with pytest.raises(Unavailable):
        await inspect(rig).content(1, "ada", "ticket-88")


async def test_partners_come_and_go_and_it_is_recorded(rig: Any) -> None:
    flow = OnboardPartner(database=rig.database, directory=rig.directory, audit=rig.audit)
    await flow.add(
        "mercy",
        operator="ada",
        addresses=["10.0.0.1/8"],
        certificate_fingerprint="AB:" * 31 + "AB",
        ack_mode="enhanced",
    )
    (partner,) = await flow.partners()
    assert (str(partner.addresses[0]), partner.certificate_fingerprint, partner.ack_mode) == (
        "10.0.0.0/8",
        "ab" * 32,
        "enhanced",
    )
    with pytest.raises(Conflict):
        await flow.add("mercy", operator="ada", sending_facility="X")
    await flow.pause("mercy", "ada", paused=True)
    assert (await flow.partners())[0].state == "paused"
    await flow.remove("mercy", "ada")
    assert await flow.partners() == []
    entry = await last_audit(rig)
    assert (entry["interaction"], entry["user"], entry["entities"]) == ("remove-partner", "ada", ["Partner/mercy"])
