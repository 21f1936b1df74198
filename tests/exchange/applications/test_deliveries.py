"""Messages and events to handlers: at least once, in order, through the gate, and never lost to a handler's fault."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest
from tests.consents import opt_out

from healthsync.domains.messages import Selection
from healthsync.domains.streams import Fact, Kind, RetryTerms, read_want
from healthsync.domains.streams.wanting import wants
from healthsync.errors import InvalidInput, NotFound, Refused
from healthsync.exchange.administration.replay_messages import asked_by
from healthsync.infrastructure.clock import SystemClock
from healthsync.standards.hl7v2 import AckCode, build_ack

from .conftest import LOCAL, oru

NOW = SystemClock().now()


# --- what a handler wants -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("want", "kind", "name", "wanted"),
    [
        ("hl7:ORU^R01", "hl7", "ORU^R01", True),
        ("hl7:ORU^R01", "hl7", "ORU^R011", False),
        ("hl7:ORU^*", "hl7", "ORU^R40", True),
        ("hl7:ORU^*", "hl7", "ORM^O01", False),
        ("hl7:ORU", "hl7", "ORU^R01", True),
        ("hl7:ORU", "hl7", "ORU", True),
        ("hl7:*", "hl7", "ADT^A01", True),
        ("hl7:*^A40", "hl7", "ADT^A40", True),
        ("event:patient.merged", "event", "patient.merged", True),
        ("event:patient.*", "event", "patient.created", True),
        ("event:patient.*", "event", "patients.created", False),
        ("topic:lab_results", "topic", "lab_results", True),
        ("topic:lab_results", "event", "lab_results", False),
        ("topic:lab*", "topic", "lab.results", True),
    ],
)
def test_a_pattern_covers_what_it_says(want, kind, name, wanted):
    assert wants(read_want(want), Fact(1, Kind(kind), name, "x", NOW)) is wanted


@pytest.mark.parametrize("text", ["", "hl7", "hl7:", "hl7:oru^r01", "event:Patient", "topic:a b", "x:y", "hl7:A^B^C"])
def test_what_is_no_pattern_is_refused_with_examples(text):
    with pytest.raises(InvalidInput, match=r"hl7:ORU\^R01"):
        read_want(text)


def test_waits_double_up_to_the_longest_and_end():
    terms = RetryTerms(max_attempts=5, first_wait_seconds=2, longest_wait_seconds=10)
    waits = [(at - NOW).total_seconds() if (at := terms.next_attempt(n, NOW, 0.999999)) else None for n in range(1, 6)]
    assert [wait and round(wait) for wait in waits] == [2, 4, 8, 10, None]


# --- handing out ------------------------------------------------------------------------------------------------


async def test_a_message_is_handed_out_as_it_was_received_once_it_is_processed(world):
    await world.register(results="hl7:ORU^R01")
    message = oru("M1")
    await world.hub.receive_message(message, LOCAL)
    while await world.hub.fan_out():
        pass
    assert await world.lease() == []  # nobody knows yet whose data it is
    await world.settle_down()
    (handed,) = await world.lease()
    assert handed.content == message
    assert (handed.leased.handler, handed.leased.name, handed.leased.attempts) == ("results", "ORU^R01", 1)
    assert handed.data["state"] == "processed"
    assert len(handed.data["patients"]) == 1


async def test_each_handler_gets_what_it_wants_and_nothing_from_before_it_was_there(world):
    await world.take_in(oru("M0"))
    await world.register(results="hl7:ORU^R01", everything="hl7:*", orders="hl7:ORM^*")
    await world.take_in(oru("M1"))
    assert sorted(one.leased.handler for one in await world.lease()) == ["everything", "results"]


async def test_of_one_patient_only_the_oldest_is_out_and_others_are_not_held_back(world):
    await world.register(results="hl7:ORU^R01")
    await world.take_in(oru("M1"), oru("M1"), oru("M2"))
    first = await world.lease()
    assert [one.leased.message_sequence for one in first] == [1, 3]
    assert await world.lease() == []
    await world.end(*first)
    assert [one.leased.message_sequence for one in await world.lease()] == [2]


async def test_a_failure_waits_and_holds_back_its_own_patient_and_nobody_else(world):
    await world.register(results="hl7:ORU^R01")
    await world.take_in(oru("M1"), oru("M1"), oru("M2"))
    one, other = await world.lease()
    await world.end(one, failed="ValueError")
    await world.end(other)
    assert await world.lease() == []
    world.clock.ahead += timedelta(seconds=2)
    (again,) = await world.lease()
    assert (again.leased.message_sequence, again.leased.attempts) == (1, 2)
    await world.end(again)
    assert [two.leased.message_sequence for two in await world.lease()] == [2]


@pytest.mark.shows("applications.max_attempts", "applications.backoff_seconds", "applications.backoff_max_seconds")
async def test_after_its_last_attempt_a_delivery_is_a_dead_letter_of_its_handler_and_replay_brings_it_back(world_with):
    world = world_with(
        applications__max_attempts=2, applications__backoff_seconds=40, applications__backoff_max_seconds=10
    )
    await world.register(results="hl7:ORU^R01", other="hl7:ORU^R01")
    await world.take_in(oru("M1"), oru("M1"))
    for _ in range(2):
        for handed in await world.lease():
            await world.end(handed, failed="KeyError" if handed.leased.handler == "results" else None)
        world.clock.ahead += timedelta(seconds=11)  # 40 s were it not for the longest
    (dead,) = await world.hub.deliveries.dead(world.requester, "lab")
    assert (dead.handler, dead.subject, dead.attempts, dead.reason_code) == ("results", "Message/1", 2, "KeyError")
    following = await world.lease()
    assert [(one.leased.handler, one.leased.message_sequence) for one in following] == [("results", 2)]
    await world.end(*following)
    assert await world.hub.deliveries.replay(world.requester, "lab", None) == [dead.id]
    (back,) = await world.lease()
    assert (back.leased.handler, back.leased.message_sequence, back.leased.attempts) == ("results", 1, 1)


@pytest.mark.shows("applications.lease_seconds")
async def test_what_an_instance_does_not_renew_comes_back_and_its_late_word_does_not_count(world_with):
    world = world_with(applications__lease_seconds=5)
    await world.register(results="hl7:ORU^R01")
    await world.take_in(oru("M1"))
    (lost,) = await world.lease(instance="killed")
    world.clock.ahead += timedelta(seconds=4)
    assert await world.hub.deliveries.renew(world.requester, "lab", "killed") == [lost.leased.id]
    world.clock.ahead += timedelta(seconds=4)
    assert await world.lease(instance="other") == []
    world.clock.ahead += timedelta(seconds=2)
    (again,) = await world.lease(instance="other")
    assert again.leased.attempts == 2
    assert await world.end(lost) == []
    assert await world.end(again) == [again.leased.id]


async def test_two_instances_never_have_the_same_delivery(world):
    await world.register(results="hl7:ORU^R01")
    await world.take_in(*[oru(f"M{n}") for n in range(20)])
    leases = await asyncio.gather(*(world.lease(limit=5, instance=f"i{n}") for n in range(4)))
    ids = [one.leased.id for lease in leases for one in lease]
    assert len(ids) == len(set(ids)) == 20


async def test_a_replayed_message_comes_to_a_handler_no_second_time(world):
    await world.register(results="hl7:*")
    await world.take_in(oru("M1", trigger="ZZZ^Z01"))
    (handed,) = await world.lease()
    assert handed.data["state"] == "dead"
    await world.end(handed)
    by, chosen = asked_by("ada", "replay-messages"), Selection(sequences=(1,))
    job = await world.hub.replay_messages.start(chosen, by, owner="operator", claimed=True)
    await world.hub.jobs.run(job)
    await world.settle_down()
    assert await world.lease() == []


async def test_a_long_poll_ends_as_soon_as_something_comes(world):
    await world.register(results="hl7:ORU^R01")
    began = time.monotonic()
    waiting = asyncio.create_task(world.lease(wait=20))
    await asyncio.sleep(0.3)
    await world.take_in(oru("M1"))
    assert len(await waiting) == 1
    assert time.monotonic() - began < 10


async def test_an_answer_is_bounded_in_bytes_and_what_has_no_room_comes_with_the_next(world, monkeypatch):
    monkeypatch.setattr("healthsync.exchange.applications.deliveries.MOST_BYTES", 700)
    await world.register(results="hl7:ORU^R01")
    await world.take_in(oru("M1"), oru("M2"), oru("M3"))
    first = await world.lease()
    assert len(first) < 3
    second = await world.lease()
    assert {one.leased.attempts for one in second} == {1}
    assert not {one.leased.id for one in first} & {one.leased.id for one in second}


@pytest.mark.shows("applications.keep_days")
async def test_what_was_handled_is_forgotten_after_its_days_and_a_dead_letter_is_not(world_with):
    world = world_with(applications__keep_days=1, applications__max_attempts=1)
    await world.register(results="hl7:ORU^R01")
    await world.take_in(oru("M1"), oru("M2"))
    one, other = await world.lease()
    await world.end(one)
    await world.end(other, failed="ValueError")
    assert await world.hub.fan_out.tidy() == 0
    world.clock.ahead += timedelta(days=2)
    assert await world.hub.fan_out.tidy() == 1
    assert len(await world.hub.deliveries.dead(world.requester, "lab")) == 1


async def test_handlers_that_an_application_no_longer_has_hear_of_nothing_new(world):
    await world.register(results="hl7:ORU^R01", old="hl7:ORU^R01")
    await world.register(results="hl7:ORU^R01")
    await world.take_in(oru("M1"))
    assert [one.leased.handler for one in await world.lease()] == ["results"]


# --- the gate ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("roles", [("physician",), ("nurse",), ("billing",), ("researcher",)])
async def test_a_role_without_the_right_registers_and_leases_nothing(world, roles):
    requester = world.as_role(*roles)
    with pytest.raises(Refused, match="applications: handle"):
        await world.hub.deliveries.register(requester, "lab", [])
    with pytest.raises(Refused):
        await world.hub.deliveries.lease(requester, "lab", "i", limit=1, wait_seconds=0)
    assert len(await world.audited("deliver")) == 1


async def test_a_token_opens_no_stream_whatever_its_roles(world):
    with pytest.raises(Refused, match="API key"):
        await world.hub.deliveries.register(world.as_role("admin", user="someone"), "lab", [])


async def test_the_application_of_another_client_is_not_there(world):
    await world.register(results="hl7:ORU^R01")
    with pytest.raises(NotFound):
        await world.hub.deliveries.lease(world.as_role("admin"), "lab", "i", limit=1, wait_seconds=0)


async def test_every_message_handed_out_has_its_audit_row_with_its_patient(world):
    await world.register(results="hl7:ORU^R01")
    await world.take_in(oru("M1"), oru("M2"))
    handed = await world.lease()
    rows = await world.audited("deliver")
    assert {(row["message_sequence"], tuple(row["patients"])) for row in rows} == {
        (one.leased.message_sequence, tuple(one.data["patients"])) for one in handed
    }
    assert {row["outcome"] for row in rows} == {"0"}


async def _opt_out(world, patient: str) -> None:
    consent = opt_out(patient.removeprefix("Patient/"))
    await world.hub.write.create(world.as_role("admin"), consent)


async def test_a_message_of_a_patient_who_withholds_his_data_is_not_handed_out_and_holds_nobody_up(world):
    await world.register(results="hl7:ORU^R01")
    await world.take_in(oru("M1"))
    (before,) = await world.lease()
    await world.end(before)
    await _opt_out(world, before.data["patients"][0])
    await world.take_in(oru("M1"), oru("M2"))
    assert [one.leased.message_sequence for one in await world.lease()] == [3]
    refused = [row for row in await world.audited("deliver") if row["outcome"] == "4"]
    assert [(row["message_sequence"], row["reason"]) for row in refused] == [(2, "consent")]


@pytest.mark.parametrize(("policy", "handed"), [("opt-out", 1), ("opt-in", 0)])
async def test_whose_data_a_dead_message_is_nobody_knows_so_the_policy_decides(world_with, policy, handed):
    world = world_with(consent__policy=policy)
    await world.register(results="hl7:*")
    await world.take_in(oru("M1", trigger="ZZZ^Z01"))
    assert len(await world.lease()) == handed


async def test_without_an_audit_row_nothing_is_handed_out_and_nothing_is_lost(world):
    await world.register(results="hl7:ORU^R01")
    await world.take_in(oru("M1"))
    async with world.hub.database.transaction() as tx:
        await tx.execute("ALTER TABLE audit_event RENAME TO audit_event_away")
    with pytest.raises(Exception, match="audit"):
        await world.lease()
    async with world.hub.database.transaction() as tx:
        await tx.execute("ALTER TABLE audit_event_away RENAME TO audit_event")
    (handed,) = await world.lease()
    assert handed.leased.attempts == 1


# --- events -----------------------------------------------------------------------------------------------------


async def test_an_event_comes_with_its_resource_as_the_application_may_see_it(world):
    await world.register(patients="event:patient.created", results="event:observation.created")
    await world.take_in(oru("M1"))
    handed = {one.leased.name: one for one in await world.lease()}
    assert handed["patient.created"].data["resource"]["birthDate"] == "1970-01-01"
    assert handed["observation.created"].data["resource"]["resourceType"] == "Observation"


async def test_an_event_about_a_patient_who_withholds_his_data_is_not_told(world):
    await world.register(patients="event:patient.*", results="hl7:ORU^R01")
    await world.take_in(oru("M1"))
    handed = {one.leased.name: one for one in await world.lease()}
    await world.end(*handed.values())
    await _opt_out(world, handed["ORU^R01"].data["patients"][0])
    await world.take_in(oru("M1").replace(b"19700101", b"19700102"))
    assert await world.lease() == []


# --- answers ----------------------------------------------------------------------------------------------------


async def test_an_answer_is_kept_sealed_and_recorded(world):
    await world.register(results="hl7:ORU^R01")
    await world.take_in(oru("M1"))
    (handed,) = await world.lease()
    ack = build_ack(handed.content, AckCode.AA, control_id="A1", now=NOW)
    await world.end(handed, answer=ack)
    async with world.hub.database.connection() as tx:
        (answer,) = await world.hub.streams.answers_to(tx, 1)
        key = await world.hub.data_keys.for_scope(tx, f"messages/{answer.source}")
    assert (answer.code, answer.sent_at) == ("AA", None)
    assert ack not in answer.sealed
    assert world.hub.streams.open_answer(answer, key) == ack
    assert [row["reason"] for row in await world.audited("application-acknowledgement")] == ["AA"]


@pytest.mark.parametrize(
    "answer", [b"", b"AA", b"MSH|^~\\&|A|B|C|D|1||ACK|1|P|2.5\rMSA|CA|1", b"MSH|^~\\&|A\rMSA|ZZ|1"]
)
async def test_what_is_no_application_acknowledgement_is_refused_and_nothing_is_settled(world, answer):
    await world.register(results="hl7:ORU^R01")
    await world.take_in(oru("M1"))
    (handed,) = await world.lease()
    with pytest.raises(InvalidInput, match="AA, AE or AR"):
        await world.end(handed, answer=answer)
    assert await world.end(handed) == [handed.leased.id]
