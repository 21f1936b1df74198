"""Settlement 13: CA at commit and the handler's return as the application acknowledgement; in original mode AA at commit
and the return recorded."""

from __future__ import annotations

import asyncio

import pytest

from healthsync.sdk.messages import Hl7
from healthsync.standards.hl7v2 import Message

from .conftest import LOCAL, oru


async def _answered(
    world, message: bytes, code: str = "AA", given: bytes | None = None
) -> tuple[str, list[bytes], bool]:
    """The code at commit, what the sender got later, and whether the answer counts as sent."""
    later: list[bytes] = []
    sending = asyncio.create_task(world.hub.application_answers.run())
    try:
        await world.register(results="hl7:*")
        first = await world.hub.receive_message(message, LOCAL, lambda answer: later.append(answer) is None)
        await world.settle_down()
        (handed,) = await world.lease()
        content = given or Hl7().ack(message, code).content
        await world.end(handed, answer=content)
        for _ in range(40):
            await asyncio.sleep(0.05)
            if later:
                break
        await asyncio.sleep(0.1)
    finally:
        sending.cancel()
        await asyncio.wait([sending])
    async with world.hub.database.connection() as tx:
        (kept,) = await world.hub.streams.answers_to(tx, 1)
    return Message.parse(first).get("MSA-1") if first else "", later, kept.sent_at is not None


@pytest.mark.parametrize(
    ("mode", "asked", "code", "at_commit", "is_sent"),
    [
        ("original", "", "AA", "AA", False),
        ("enhanced", "", "AA", "CA", True),
        ("enhanced", "", "AE", "CA", True),
        ("original", "AL|AL", "AA", "CA", True),
        ("original", "AL|NE", "AA", "CA", False),
        ("original", "AL|", "AA", "CA", False),
        ("original", "AL|ER", "AA", "CA", False),
        ("original", "AL|ER", "AE", "CA", True),
        ("original", "AL|SU", "AA", "CA", True),
        ("original", "AL|SU", "AR", "CA", False),
    ],
)
async def test_the_return_of_a_handler_is_the_application_acknowledgement_where_the_sender_wants_one(
    world_with, mode, asked, code, at_commit, is_sent
):
    world = world_with(hl7__ack_mode=mode)
    first, later, kept_as_sent = await _answered(world, oru("M1", ack=asked), code)
    assert (first, len(later), kept_as_sent) == (at_commit, int(is_sent), is_sent)
    if is_sent:
        assert Message.parse(later[0]).get("MSA-1") == code


async def test_an_answer_that_names_another_message_is_never_sent(world_with):
    world = world_with(hl7__ack_mode="enhanced")
    other = Hl7().ack(oru("M9"), "AA").content
    assert (await _answered(world, oru("M1"), given=other))[1:] == ([], False)
