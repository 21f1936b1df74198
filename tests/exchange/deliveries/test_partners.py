"""What becomes of messages when partners are slow, down, half-open, rude or wrong."""

from __future__ import annotations

import asyncio
import logging
import random
from itertools import pairwise

import pytest

from healthsync.domains.deliveries import DeliveryState
from healthsync.standards.hl7v2 import frame

from .conftest import OPERATOR, Partner, ack, sending


async def test_messages_arrive_in_order_once_over_one_connection(rig, partner):
    receiver = await partner()
    await rig.destination(receiver)
    ids = await rig.put(*["p"] * 120)
    await rig.deliver()
    assert receiver.ids == ids
    assert (receiver.connections, receiver.most_at_once) == (1, 1)
    assert {d.answer for d in await rig.stored("delivered")} == {"AA"}


async def test_a_partner_that_is_down_gets_everything_in_order_when_it_is_back(rig, partner):
    receiver = await partner()
    await receiver.stop()
    await rig.destination(receiver)
    ids = await rig.put(*["p"] * 5)
    with pytest.raises(TimeoutError):
        await rig.deliver(2.0)
    standing = await rig.standing()
    assert standing.failures > 2 and "nobody answers" in standing.reason
    assert (await rig.queue()).waiting == 5
    await receiver.start()
    await rig.deliver()
    assert receiver.ids == ids
    assert (await rig.standing()).failures == 0


async def test_no_outage_however_long_makes_a_dead_letter(rig, partner):
    receiver = await partner(*["silence", "close"] * 4)
    await rig.destination(receiver, max_attempts=2, ack_timeout_seconds=0.05)
    ids = await rig.put("p")
    await rig.deliver()
    assert set(receiver.ids) == set(ids) and len(receiver.ids) == 9
    assert (await rig.queue()).dead == 0


JUNK = [
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no MLLP frame"),
    (frame(b"garbage"), "no acknowledgement"),
    (frame(b"MSH|^~\\&|a|b|c|d|1||ACK|1|P|2.5\rMSA|OK|1\r"), "no acknowledgement"),
    (frame(b"MSH|^~\\&|a|b|c|d|1||ACK|1|P|2.5\rMSA|AA|\r"), "another message"),
    (frame(b"MSH|^~\\&|a|b|c|d|1||ACK|1|P|2.5\rMSA|AA|SOMEBODY-ELSE\r"), "another message"),
    (b"\x0bMSH|^~\\&|half an answer", "no answer within"),
]


async def test_junk_or_the_answer_to_another_message_is_not_delivered_and_ends_the_connection(rig, partner):
    for number, (junk, reason) in enumerate(JUNK):
        receiver, name = await partner(junk), f"partner-{number}"
        await rig.destination(receiver, name, first_wait_seconds=0.5, longest_wait_seconds=0.5)
        ids = await rig.put("p", "p", name=name)
        await rig.deliver(until_failing=True, name=name)
        assert reason in (await rig.standing(name)).reason
        assert receiver.ids == ids[:1], "the second waits behind the first"
        await rig.deliver(name=name)
        assert receiver.ids == [ids[0], *ids] and receiver.connections == 2


async def test_an_answer_after_the_time_out_is_not_taken_for_that_of_the_next_message(rig, partner):
    async def late(_partner, message, writer):
        await asyncio.sleep(0.3)
        writer.write(ack(message, "AR"))

    receiver = await partner(late)
    await rig.destination(receiver, ack_timeout_seconds=0.1)
    ids = await rig.put("p", "p")
    await rig.deliver()
    assert receiver.ids == [ids[0], *ids]
    assert [d.answer for d in await rig.stored("delivered")] == ["AA", "AA"]


async def test_a_partner_that_does_not_read_is_given_up_and_nothing_stays_open(rig):
    connected: list[asyncio.StreamWriter] = []

    async def deaf(_reader, writer):
        connected.append(writer)
        await asyncio.sleep(30)

    server = await asyncio.start_server(deaf, "127.0.0.1", 0, limit=1024)
    await rig.destination(server.sockets[0].getsockname()[1], ack_timeout_seconds=0.3, first_wait_seconds=5,
                          longest_wait_seconds=5)  # fmt: skip
    await rig.put("p" * 12_000_000)
    await rig.deliver(until_failing=True)
    assert "no answer within" in (await rig.standing()).reason
    assert len(connected) == 1
    server.close()


async def test_an_answer_that_comes_twice_is_no_fault(rig, partner):
    async def twice(_partner, message, writer):
        writer.write(ack(message) + ack(message))

    receiver = await partner(*[twice] * 3)
    await rig.destination(receiver)
    ids = await rig.put("p", "p", "p")
    await rig.deliver()
    assert receiver.ids == ids and receiver.connections == 1


async def test_a_partner_that_closes_after_each_answer_is_not_counted_as_failing(rig, partner):
    async def answer_and_close(_partner, message, writer):
        writer.write(ack(message))
        writer.close()

    receiver = await partner(*[answer_and_close] * 10)
    await rig.destination(receiver, first_wait_seconds=5, longest_wait_seconds=5)
    ids = await rig.put(*["p"] * 10)
    await rig.deliver(4)
    assert list(dict.fromkeys(receiver.ids)) == ids


async def test_error_then_accept_is_delivered_and_holds_the_queue_back_meanwhile(rig, partner):
    receiver = await partner("AE", "CE")
    await rig.destination(receiver)
    ids = await rig.put("p", "q")
    await rig.deliver()
    assert receiver.ids == [ids[0], ids[0], *ids]
    assert [d.attempts for d in await rig.stored("delivered")] == [2, 0]


async def test_an_error_that_stays_becomes_a_dead_letter_and_lets_the_next_go(rig, partner):
    receiver = await partner("AE", "AE", "AE")
    await rig.destination(receiver, max_attempts=3)
    ids = await rig.put("p", "q")
    await rig.deliver()
    (dead,) = await rig.stored("dead")
    assert (dead.control_id, dead.attempts, dead.answer, dead.reason_code) == (ids[0], 3, "AE", "too-many-errors")
    assert receiver.ids[-1] == ids[1]


async def test_a_refusal_is_a_dead_letter_at_once_and_what_the_partner_wrote_is_sealed(rig, partner):
    async def refuse(_partner, message, writer):
        writer.write(ack(message, "AR", text="no such patient: Ottoline Quennell"))

    receiver = await partner(refuse)
    await rig.destination(receiver)
    ids = await rig.put("p", "q")
    await rig.deliver()
    assert receiver.ids == ids
    (dead,) = await rig.stored("dead")
    assert (dead.control_id, dead.answer, dead.reason_code) == (ids[0], "AR", "refused")
    assert "Quennell" not in dead.reason
    async with rig.hub.database.connection() as tx:
        for row in await tx.fetch("SELECT d::text AS everything, payload, detail FROM delivery d"):
            assert "Quennell" not in row["everything"] and b"Quennell" not in (row["detail"] or b"")
            assert b"PID" not in row["payload"]
    message, told = await rig.hub.manage_destinations.content(OPERATOR, "partner", dead.sequence, "TICKET-1")
    assert b"PID|1||p" in message and "Ottoline" in told


async def test_commit_accept_of_enhanced_mode_is_delivered_and_the_later_answer_disturbs_nothing(rig, partner):
    async def enhanced(_partner, message, writer):
        writer.write(ack(message, "CA"))
        await asyncio.sleep(0.01)
        writer.write(ack(message, "AA"))

    receiver = await partner(*[enhanced] * 3)
    await rig.destination(receiver)
    ids = await rig.put("p", "p", "p")
    await rig.deliver()
    assert receiver.ids == ids
    assert {d.answer for d in await rig.stored("delivered")} == {"CA"}


async def test_dead_letters_go_back_under_the_same_control_id(rig, partner):
    receiver = await partner("AR")
    await rig.destination(receiver)
    ids = await rig.put("p")
    await rig.deliver()
    assert await rig.hub.manage_destinations.retry(OPERATOR, "partner", None)
    await rig.deliver()
    assert receiver.ids == [ids[0], ids[0]]
    assert (await rig.queue()).dead == 0


async def test_with_several_connections_each_patient_keeps_the_order_and_a_failing_one_holds_back_only_his_own(
    rig, partner
):
    first: dict[str, int] = {}

    async def moody(_partner, message, writer):
        """AE to the first message about p0, twice; everybody is slow."""
        await asyncio.sleep(0.01)
        patient = message.rsplit(b"||", 1)[1].strip().decode()
        first[patient] = first.get(patient, 0) + 1
        writer.write(ack(message, "AE" if patient == "p0" and first[patient] <= 2 else "AA"))

    receiver = await partner(*[moody] * 60)
    await rig.destination(receiver, max_connections=4, first_wait_seconds=0.3, longest_wait_seconds=0.3)
    patients = [f"p{number % 4}" for number in range(24)]
    ids = await rig.put(*patients)
    await rig.deliver()
    assert 1 < receiver.most_at_once <= 4
    for patient in set(patients):
        mine = [id_ for id_, whose in zip(ids, patients, strict=True) if whose == patient]
        assert list(dict.fromkeys(id_ for id_ in receiver.ids if id_ in mine)) == mine
    last_of_others = max(receiver.ids.index(id_) for id_, whose in zip(ids, patients, strict=True) if whose != "p0")
    assert receiver.ids.index(ids[4]) > last_of_others, "the second message about p0 waited, the others did not"


async def test_a_pause_sends_nothing_and_resume_goes_on(rig, partner):
    receiver = await partner()
    await rig.destination(receiver)
    await rig.hub.manage_destinations.pause(OPERATOR, "partner", paused=True)
    ids = await rig.put("p", "p")
    async with sending(rig.hub):
        await asyncio.sleep(0.3)
        assert receiver.got == []
        await rig.hub.manage_destinations.pause(OPERATOR, "partner", paused=False)
        await asyncio.wait_for(_until(lambda: receiver.ids == ids), 5)


async def test_resume_gives_a_failing_partner_another_chance_at_once(rig, partner):
    receiver = await partner("close")
    await rig.destination(receiver, first_wait_seconds=600, longest_wait_seconds=600)
    ids = await rig.put("p")
    async with sending(rig.hub):
        await asyncio.wait_for(_until(lambda: receiver.ids == ids), 5)
        await asyncio.sleep(0.2)
        await rig.hub.manage_destinations.pause(OPERATOR, "partner", paused=False)
        await asyncio.wait_for(_until(lambda: receiver.ids == ids * 2), 10)


async def test_the_open_circuit_sends_nothing_and_the_half_open_one_tries_one_message(rig, partner):
    receiver = await partner(*["close"] * 5)
    await rig.destination(receiver, max_connections=4, first_wait_seconds=0.2, longest_wait_seconds=0.2)
    await rig.put(*[f"p{number}" for number in range(12)])
    await rig.flow.serve(await rig.claim(), asyncio.Event(), idle_seconds=0)
    tried = len(receiver.got)
    assert tried <= 4 and (await rig.standing()).failures == 1
    assert await rig.flow.claim() is None, "open: nothing is sent before the wait is over"
    await asyncio.sleep(0.25)
    await rig.flow.serve(await rig.claim(), asyncio.Event(), idle_seconds=0)
    assert len(receiver.got) == tried + 1 and (await rig.standing()).failures == 2
    await rig.deliver()
    assert len(set(receiver.ids)) == 12


async def test_a_partner_that_is_down_does_not_flood_the_log(rig, partner, caplog, capfd):
    receiver = await partner()
    await receiver.stop()
    await rig.destination(receiver)
    await rig.put("p")
    with pytest.raises(TimeoutError):
        await rig.deliver(0.6)
    assert (await rig.standing()).failures >= 5
    told = [
        record for record in caplog.records if record.levelno >= logging.WARNING
    ] or capfd.readouterr().err.splitlines()
    assert len([line for line in told if "usable answer" in str(line)]) <= 1


async def test_a_message_set_aside_lets_the_next_go_and_a_retry_puts_it_back_in_its_place(rig, partner):
    receiver = await partner(*["AE"] * 100)
    await rig.destination(receiver, max_attempts=1000)
    ids = await rig.put("p", "p")
    (first, _) = await rig.stored("waiting")
    await rig.hub.manage_destinations.set_aside(OPERATOR, "partner", first.sequence)
    assert [d.control_id for d in await rig.stored("waiting")] == ids[1:]
    await rig.hub.manage_destinations.retry(OPERATOR, "partner", [first.sequence])
    assert [d.control_id for d in await rig.stored("waiting")] == ids


async def test_a_process_that_dies_between_sending_and_settling_repeats_that_message_only_under_the_same_id(
    rig, partner
):
    receiver = await partner("AA", "AA", "silence")
    await rig.destination(receiver, ack_timeout_seconds=30)
    ids = await rig.put("p", "p", "p", "p")
    serving = asyncio.create_task(rig.flow.serve(await rig.claim(), asyncio.Event()))
    await asyncio.wait_for(_until(lambda: len(receiver.got) == 3), 5)
    serving.cancel()  # as a kill: nothing is settled any more
    await asyncio.wait([serving])
    async with rig.hub.database.connection() as tx:
        await tx.execute("UPDATE destination SET lease = NULL, leased_until = NULL")
        assert await tx.fetchval("SELECT begun FROM delivery WHERE control_id = $1", ids[2]) == 1
    await rig.deliver()
    assert receiver.ids == [*ids[:3], *ids[2:]]


@pytest.mark.parametrize("seed", [1, 2])
async def test_through_outages_bad_answers_and_kills_all_arrive_in_order_and_none_twice_under_another_number(
    rig, partner, seed
):
    """A queue that grew while the partner was down, a partner that misbehaves, and a hub that is killed now and then."""
    fate = random.Random(seed)
    moods = ["AA", "AA", "AA", "AE", "close", "silence", frame(b"junk"), _twice, _of_another]
    receiver = await partner(*(fate.choice(moods) for _ in range(40)))
    await receiver.stop()
    await rig.destination(receiver, max_attempts=1000, ack_timeout_seconds=0.1, first_wait_seconds=0)
    ids = await rig.put(*["p"] * 60)
    await receiver.start()
    kills = 0
    while (await rig.queue()).waiting:
        seen = len(receiver.got)
        if (turn := await rig.flow.claim()) is None:
            continue
        serving = asyncio.create_task(rig.flow.serve(turn, asyncio.Event(), idle_seconds=0.05))
        await asyncio.wait([serving, asyncio.create_task(_until(lambda at=seen: len(receiver.got) > at + 20))],
                           return_when=asyncio.FIRST_COMPLETED, timeout=5)  # fmt: skip
        if not serving.done():
            serving.cancel()  # as a kill: what is in flight is not settled
            kills += 1
        await asyncio.wait([serving])
        async with rig.hub.database.connection() as tx:
            await tx.execute("UPDATE destination SET lease = NULL, leased_until = NULL, retry_at = NULL")
    assert kills > 1
    assert list(dict.fromkeys(receiver.ids)) == ids, "each arrives, and for the first time in its turn"
    assert all(later >= earlier for earlier, later in pairwise(map(ids.index, receiver.ids)))
    assert [d.control_id for d in await rig.stored("delivered")] == ids


async def _twice(_partner, message, writer):
    writer.write(ack(message) + ack(message))


async def _of_another(_partner, message, writer):
    writer.write(ack(message, control_id="SOMEBODY-ELSE"))


async def test_a_message_that_brings_the_hub_down_each_time_is_a_dead_letter_in_the_end(rig, partner):
    receiver = await partner()
    await rig.destination(receiver)
    ids = await rig.put("p", "p")
    async with rig.hub.database.connection() as tx:
        await tx.execute("UPDATE delivery SET begun = 5 WHERE control_id = $1", ids[0])
    await rig.deliver()
    assert receiver.ids == ids[1:]
    (dead,) = await rig.stored("dead")
    assert dead.reason_code == "poison"


async def test_one_process_at_a_time_serves_a_destination(rig, partner):
    receiver = await partner()
    await rig.destination(receiver)
    await rig.put("p")
    assert await rig.flow.claim() is not None
    assert await rig.flow.claim() is None


async def test_reverse_mllp_the_partner_connects_and_gets_what_waits(rig, partner):
    free = await partner()
    await free.stop()
    await rig.destination(free.port, listen=True)
    ids = await rig.put("p", "p")
    receiver = Partner()
    async with sending(rig.hub):
        reader = writer = None
        async with asyncio.timeout(5):
            while writer is None:
                try:
                    reader, writer = await asyncio.open_connection("127.0.0.1", free.port)
                except OSError:
                    await asyncio.sleep(0.02)
        serving = asyncio.create_task(receiver.welcome(reader, writer))
        await asyncio.wait_for(_until(lambda: receiver.ids == ids), 5)
        serving.cancel()
        writer.close()
        more = await rig.put("p")
        reader, writer = await asyncio.open_connection("127.0.0.1", free.port)
        serving = asyncio.create_task(receiver.welcome(reader, writer))
        await asyncio.wait_for(_until(lambda: list(dict.fromkeys(receiver.ids)) == ids + more), 5)
        serving.cancel()
        writer.close()


async def test_what_was_queued_is_not_queued_again(rig, partner):
    receiver = await partner()
    await rig.destination(receiver)
    ids = await rig.put("p")
    rig.counter = iter(range(10))
    assert await rig.put("p") == ids
    assert (await rig.queue()).waiting == 1


async def test_delivered_messages_are_forgotten_after_their_time_and_dead_ones_are_not(rig, partner):
    receiver = await partner("AR")
    await rig.destination(receiver)
    await rig.put("p", "q")
    await rig.deliver()
    async with rig.hub.database.connection() as tx:
        await tx.execute("UPDATE delivery SET settled_at = settled_at - interval '31 days'")
    assert await rig.flow.tidy() == 1
    assert [d.state for d in await rig.stored("dead")] == [DeliveryState.DEAD]


async def _until(holds) -> None:
    while not holds():
        await asyncio.sleep(0.01)
