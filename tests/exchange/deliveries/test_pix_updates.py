"""PIX consumers are told which numbers are one person's when that changes (IHE ITI-10)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.consents import opt_out

from healthsync.bootstrap import Hub
from healthsync.domains.access import Requester
from healthsync.errors import InvalidInput
from healthsync.exchange.administration.operators import Actor
from healthsync.standards.hl7v2 import Message

from .conftest import Rig
from .test_triggers import queue

MERCY, GENERAL, WEST = "urn:oid:1.2.3", "urn:oid:1.5.6", "urn:oid:1.9.1"
ANN = Actor("Ann")


async def know(hub: Hub, source: str, system: str, value: str, **more: Any) -> str:
    """A patient of a source under one number; without a birth date, so that nothing links it."""
    number = {"system": system, "value": value, "type": {"coding": [{"code": "MR"}]}}
    patient = {"resourceType": "Patient", "identifier": [number], **more}
    return (await hub.write.create(Requester(source, ("system",), "TREAT"), patient)).id


async def told(hub: Hub, rig: Rig, receiver: Any) -> list[Message]:
    """What the consumer has got since it was asked last."""
    await queue(hub)
    before = len(receiver.got)
    await rig.deliver()
    return [Message.parse(each) for each in receiver.got[before:]]


def numbers(message: Message) -> set[tuple[str, str]]:
    return {(rep.component(4, 2), rep.component(1)) for rep in message.first("PID").field(3).repetitions}  # type: ignore[union-attr]


@pytest.fixture
async def consumer(rig: Rig, partner: Any) -> Any:
    receiver = await partner()
    await rig.destination(receiver, messages=["ADT^A31"], domains=["1.2.3", GENERAL])
    return receiver


async def test_a_link_is_told_with_the_numbers_of_the_domains_that_are_wanted(
    hub: Hub, rig: Rig, consumer: Any
) -> None:
    one = await know(hub, "mercy", MERCY, "M-1", name=[{"family": "Quennell"}])
    two = await know(hub, "general", GENERAL, "G-1")
    three = await know(hub, "west", WEST, "W-1")
    assert await told(hub, rig, consumer) == []
    await hub.steward_identity.merge(ANN, one, two, "papers-seen", keep_both=True)
    await hub.steward_identity.merge(ANN, one, three, "papers-seen", keep_both=True)
    messages = await told(hub, rig, consumer)
    assert [numbers(each) for each in messages] == [{("1.2.3", "M-1"), ("1.5.6", "G-1")}] * 2
    message = messages[0]
    assert (message.get("MSH-9.1"), message.get("MSH-9.2"), message.get("MSH-9.3")) == ("ADT", "A31", "ADT_A05")
    assert message.first("PID").field(5).raw == "~^^^^^^S"  # type: ignore[union-attr]
    assert message.get("PV1-2") == "N" and message.get("EVN-2") and "Quennell" not in message.first("PID").raw  # type: ignore[union-attr]
    assert len({each.get("MSH-10") for each in messages}) == 2


async def test_an_unlink_is_told_of_both_persons(hub: Hub, rig: Rig, consumer: Any) -> None:
    one, two = await know(hub, "mercy", MERCY, "M-1"), await know(hub, "general", GENERAL, "G-1")
    await hub.steward_identity.merge(ANN, one, two, "papers-seen", keep_both=True)
    await told(hub, rig, consumer)
    await hub.steward_identity.unmerge(ANN, one, two, "other-mother")
    after = [numbers(each) for each in await told(hub, rig, consumer)]
    assert sorted(map(sorted, after)) == [[("1.2.3", "M-1")], [("1.5.6", "G-1")]]


async def test_a_merge_is_told_without_the_number_that_went_out_of_use(hub: Hub, rig: Rig, consumer: Any) -> None:
    one, two = await know(hub, "mercy", MERCY, "M-1"), await know(hub, "mercy", MERCY, "M-2")
    await hub.steward_identity.merge(ANN, one, two, "papers-seen")
    assert [numbers(each) for each in await told(hub, rig, consumer)] == [{("1.2.3", "M-1")}]


async def test_a_person_without_a_number_of_these_domains_is_nobody_there(hub: Hub, rig: Rig, consumer: Any) -> None:
    one, two = await know(hub, "west", WEST, "W-1"), await know(hub, "east", "urn:oid:1.8.8", "E-1")
    await hub.steward_identity.merge(ANN, one, two, "papers-seen", keep_both=True)
    assert await told(hub, rig, consumer) == []


async def test_what_the_person_withholds_is_not_told(hub: Hub, rig: Rig, consumer: Any) -> None:
    one, two = await know(hub, "mercy", MERCY, "M-1"), await know(hub, "general", GENERAL, "G-1")
    await hub.write.create(Requester("office", ("system",), "TREAT"), opt_out(one))
    await hub.steward_identity.merge(ANN, one, two, "papers-seen", keep_both=True)
    assert await told(hub, rig, consumer) == []


async def test_what_a_person_says_of_himself_is_not_told_there(hub: Hub, rig: Rig, consumer: Any) -> None:
    app = Requester("mercy", ("system",), "TREAT")
    id_ = await know(hub, "mercy", MERCY, "M-1")
    number = {"system": MERCY, "value": "M-1"}
    await hub.write.update(app, {"resourceType": "Patient", "id": id_, "identifier": [number], "gender": "male"})
    assert await told(hub, rig, consumer) == []


async def test_the_disclosure_is_recorded(hub: Hub, rig: Rig, consumer: Any) -> None:
    one, two = await know(hub, "mercy", MERCY, "M-1"), await know(hub, "general", GENERAL, "G-1")
    await hub.steward_identity.merge(ANN, one, two, "papers-seen", keep_both=True)
    await queue(hub)
    async with hub.database.connection() as tx:
        entries = [row.entry for row in await hub.audit.search(tx) if row.entry["interaction"] == "send-message"]
    assert [sorted(each["entities"]) for each in entries] == [sorted([f"Patient/{one}", f"Patient/{two}"])]


async def test_domains_without_their_message_are_refused(rig: Rig) -> None:
    with pytest.raises(InvalidInput, match=r"domains are of ADT\^A31"):
        await rig.destination(1, messages=["ADT^A28"], domains=["1.2.3"])
