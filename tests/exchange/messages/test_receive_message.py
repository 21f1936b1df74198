"""Durable, then acknowledged."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from healthsync.domains.directory import AckMode, Partner, PartnerState, Peer, network
from healthsync.exchange.receive_message import INCOMPLETE, NO_FRAME, TOO_LARGE
from healthsync.infrastructure.database import Database

STRANGER = Peer("192.0.2.9")
BUILD = Callable[..., bytes]


def codes(answer: bytes | None) -> list[str]:
    return re.findall(r"MSA\|(\w\w)\|", (answer or b"").decode("latin-1"))


async def add(rig: Any, partner: Partner) -> None:
    async with rig.database.transaction() as tx:
        await rig.directory.add(tx, partner)


async def test_a_message_is_committed_sealed_audited_and_told_before_it_is_acknowledged(rig: Any, adt: BUILD) -> None:
    (answer,) = await rig.send(adt("C\\T\\1"))
    assert codes(answer) == ["AA"] and b"|C\\T\\1" in answer
    (row,) = await rig.rows("SELECT * FROM message")
    assert (row["sequence"], row["source"], row["control_id"], row["type"], row["state"]) == (
        1, "MERCY.EPIC", "C\\T\\1", "ADT^A01", "accepted",
    )  # fmt: skip
    assert bytes(row["acknowledgement"]) == answer
    (raw,) = await rig.rows("SELECT * FROM raw_message")
    assert (raw["sequence"], raw["source"], raw["received_at"]) == (1, "MERCY.EPIC", row["received_at"])
    assert not any(word in bytes(raw["sealed"]) for word in (b"Doe", b"Jane", b"P1", b"1970"))
    lanes = await rig.rows("SELECT lane, sequence FROM message_lane")
    assert [(lane["lane"], lane["sequence"]) for lane in lanes] == [(row["lanes"][0], 1)]
    (audited,) = await rig.rows("SELECT entry::text FROM audit_event")
    assert all(text in audited["entry"] for text in ("receive-message", "MERCY.EPIC", '"message_sequence": 1'))
    (event,) = await rig.rows("SELECT name, subject FROM event_log")
    assert (event["name"], event["subject"]) == ("raw.message.received", "Message/1")


async def test_a_resend_gets_the_stored_answer_and_is_not_stored_again(rig: Any, adt: BUILD) -> None:
    first, again = await rig.send(adt("C1"), adt("C1"))
    assert first == again
    both = await asyncio.gather(*(rig.receive(adt("C2"), Peer("127.0.0.1")) for _ in range(5)))
    assert len(set(both)) == 1 and codes(both[0]) == ["AA"]
    assert list((await rig.states()).values()) == ["accepted"] * 2
    assert len(await rig.rows("SELECT FROM event_log")) == 2
    reasons = [row["reason"] for row in await rig.rows("SELECT entry->>'reason' AS reason FROM audit_event")]
    assert reasons.count("duplicate") == 5 and reasons.count(None) == 2


async def test_a_control_id_with_other_content_is_a_new_message_with_a_warning(rig: Any, adt: BUILD) -> None:
    one, two, other_source = await rig.send(adt("C1", "P1"), adt("C1", "P2"), adt("C1", "P1", facility="LAB"))
    assert [codes(a) for a in (one, two, other_source)] == [["AA"]] * 3 and one != two
    assert [(await rig.one(n)).warnings for n in (1, 2, 3)] == [(), ("control-id-reused",), ()]
    at_once = await asyncio.gather(*(rig.receive(adt("C9", f"P{n}"), Peer("127.0.0.1")) for n in range(3)))
    assert len(set(at_once)) == 3
    assert [(await rig.one(n)).warnings for n in (4, 5, 6)] == [(), ("control-id-reused",), ("control-id-reused",)]


async def test_a_message_without_control_id_is_taken_with_a_warning(rig: Any, adt: BUILD) -> None:
    (answer,) = await rig.send(adt(""))
    assert codes(answer) == ["AA"]
    assert (await rig.one(1)).warnings == ("control-id-missing",)


async def test_a_batch_is_answered_by_one_batch_of_answers(rig: Any, adt: BUILD) -> None:
    batch = b"FHS|^~\\&|ZHIS\rBHS|^~\\&|ZHIS\r" + adt("C1", "P1") + adt("C2", "P2") + b"BTS|2\rFTS|1\r"
    (answer,) = await rig.send(batch)
    assert answer.startswith(b"BHS|") and answer.endswith(b"BTS|2\r")
    assert re.findall(rb"MSA\|(\w\w)\|(\w+)", answer) == [(b"AA", b"C1"), (b"AA", b"C2")]
    assert await rig.states() == {1: "accepted", 2: "accepted"}
    assert (await rig.one(1)).warnings == ()


async def test_a_batch_that_counts_more_than_came_is_accepted_with_a_warning_on_each_message(
    rig: Any, adt: BUILD
) -> None:
    (answer,) = await rig.send(b"BHS|^~\\&|ZHIS\r" + adt("C1", "P1") + adt("C2", "P2") + b"BTS|3\r")
    assert re.findall(rb"MSA\|(\w\w)\|(\w+)", answer) == [(b"AA", b"C1"), (b"AA", b"C2")]
    assert [(await rig.one(n)).warnings for n in (1, 2)] == [("batch-miscounted",)] * 2


@pytest.mark.parametrize(
    ("tail", "partner_mode", "hub_mode", "expected"),
    [
        ("", None, "original", ["AA"]),
        ("", None, "enhanced", ["CA"]),
        ("|||AL|NE", None, "original", ["CA"]),
        ("|||NE|NE", None, "original", []),
        ("|||ER|NE", None, "original", []),
        ("", AckMode.ENHANCED, "original", ["CA"]),
        ("|||AL|AL", AckMode.ORIGINAL, "enhanced", ["AA"]),
    ],
)
async def test_the_answer_has_the_mode_that_was_agreed(
    rig: Any, adt: BUILD, tail: str, partner_mode: AckMode | None, hub_mode: str, expected: list[str]
) -> None:
    await add(rig, Partner("mercy", sending_facility="MERCY", ack_mode=partner_mode))
    answer = await rig.receiver(ack_mode=hub_mode)(adt("C1", tail=tail), STRANGER)
    assert codes(answer) == expected
    assert await rig.states() == {1: "accepted"}


async def test_a_stranger_is_refused_and_told_what_to_do_and_nothing_is_kept(rig: Any, adt: BUILD) -> None:
    answer = await rig.receive(adt("C1"), STRANGER)
    assert codes(answer) == ["AR"] and b"ERR|" in answer and b"healthsync partner add" in answer
    assert await rig.receiver(development=False)(adt("C1"), Peer("127.0.0.1")) is not None
    assert await rig.states() == {}
    entries = [row["entry"] for row in await rig.rows("SELECT entry::text FROM audit_event")]
    assert len(entries) == 2 and all("unknown-partner" in entry and '"outcome": "4"' in entry for entry in entries)


async def test_a_partner_is_recognised_from_the_moment_it_is_added_until_it_is_paused(rig: Any, adt: BUILD) -> None:
    assert codes(await rig.receive(adt("C1"), STRANGER)) == ["AR"]
    await add(
        rig, Partner("mercy", sending_facility="MERCY", addresses=(network("192.0.2.0/24"),), organisation="Mercy")
    )
    await asyncio.sleep(0.25)
    assert codes(await rig.receive(adt("C1"), STRANGER)) == ["AA"]
    assert (await rig.one(1)).source == "mercy"
    async with rig.database.transaction() as tx:
        await rig.directory.set_state(tx, "mercy", PartnerState.PAUSED)
    assert codes(await rig.receiver()(adt("C2"), STRANGER)) == ["AE"]
    assert await rig.states() == {1: "accepted"}


@pytest.mark.shows("development")
async def test_in_development_a_header_cannot_take_the_name_of_a_registered_partner(rig: Any, adt: BUILD) -> None:
    await add(rig, Partner("MERCY.EPIC", addresses=(network("192.0.2.0/24"),)))
    assert codes(await rig.receive(adt("C1"), Peer("127.0.0.1"))) == ["AR"]


@pytest.mark.parametrize(
    ("payload", "reason", "code"),
    [
        (b"GET / HTTP/1.1", "no-msh", "AR"),
        (b"", "no-msh", "AR"),
        (b"PID|1||5^^^M\r", "no-msh", "AR"),
        (b"\xff\x00\xfe", "no-msh", "AR"),
    ],
)
async def test_what_is_no_message_is_refused_and_its_bytes_are_kept(
    rig: Any, payload: bytes, reason: str, code: str
) -> None:
    await add(rig, Partner("mercy", addresses=(network("192.0.2.0/24"),)))
    first, again = await rig.send(payload, payload, peer=STRANGER)
    assert codes(first) == codes(again) == [code] and b"ERR|" in first
    assert await rig.states() == {1: "dead"}
    kept = await rig.one(1)
    assert (kept.reason_code, kept.size_bytes, kept.truncated) == (reason, len(payload), False)


@pytest.mark.parametrize(
    ("type", "reason", "condition"),
    [
        ("QBP^Q22^QBP_Q21", "query-not-answered", b"207"),
        ("QCN^J01^QCN_J01", "query-not-answered", b"207"),
        ("QRY^A19", "query-not-answered", b"207"),
        ("CRM^C01^CRM_C01", "clinical-trial", b"200"),
    ],
)
async def test_what_nobody_here_would_answer_is_refused_with_a_sentence(
    rig: Any, adt: BUILD, type: str, reason: str, condition: bytes
) -> None:
    (answer,) = await rig.send(adt("C1", type=type))
    assert codes(answer) == ["AR"]
    assert condition in answer.split(b"ERR|")[1]
    assert (await rig.one(1)).reason_code == reason
    (again,) = await rig.send(adt("C2", type="ADT^A01"))
    assert codes(again) == ["AA"]


@pytest.mark.parametrize(("refusal", "code"), [(TOO_LARGE, "AR"), (INCOMPLETE, "AE"), (NO_FRAME, "AR")])
async def test_a_frame_that_the_transport_could_not_deliver_is_answered_by_its_header(
    rig: Any, adt: BUILD, refusal: Any, code: str
) -> None:
    head = adt("C1") + b"OBX|" + b"x" * 200_000
    answer = await rig.receive.refuse(refusal, head, 100_000_000, Peer("127.0.0.1"))
    assert codes(answer) == [code] and b"|C1\r" in answer
    kept = await rig.one(1)
    assert (kept.state, kept.reason_code, kept.size_bytes, kept.truncated) == ("dead", refusal.code, 100_000_000, True)
    (row,) = await rig.rows("SELECT length(sealed) AS bytes FROM raw_message")
    assert row["bytes"] < 70_000


async def test_a_refused_message_that_comes_again_is_judged_again(rig: Any, adt: BUILD) -> None:
    await rig.receive.refuse(INCOMPLETE, adt("C1"), len(adt("C1")), Peer("127.0.0.1"))
    assert codes((await rig.send(adt("C1")))[0]) == ["AA"]
    assert await rig.states() == {1: "dead", 2: "accepted"}


async def test_without_a_database_the_sender_is_asked_to_send_again(rig: Any, adt: BUILD, database_url: str) -> None:
    other = await Database.connect(database_url)
    receive = rig.receiver(database=other, commit_timeout_seconds=2)
    assert codes(await receive(adt("C1"), Peer("127.0.0.1"))) == ["AA"]
    await other.close()
    assert codes(await receive(adt("C2"), Peer("127.0.0.1"))) == ["AE"]
    assert codes(await receive(adt("C3", tail="|||AL|NE"), Peer("127.0.0.1"))) == ["CE"]
    assert await rig.states() == {1: "accepted"}


async def test_without_an_audit_log_nothing_is_accepted(rig: Any, adt: BUILD) -> None:
    await rig.rows("ALTER TABLE audit_event RENAME TO audit_event_gone")
    assert codes((await rig.send(adt("C1")))[0]) == ["AE"]
    assert await rig.states() == {}


async def test_many_senders_at_once_share_commits_and_keep_the_order_of_their_calls(rig: Any, adt: BUILD) -> None:
    answers = await asyncio.gather(*(rig.receive(adt(f"C{n}", f"P{n % 7}"), Peer("127.0.0.1")) for n in range(300)))
    assert all(codes(answer) == ["AA"] for answer in answers)
    rows = await rig.rows("SELECT control_id, xmin::text AS tx FROM message ORDER BY sequence")
    assert [row["control_id"] for row in rows] == [f"C{n}" for n in range(300)]
    assert len({row["tx"] for row in rows}) < 30


async def test_a_reader_that_went_away_does_not_stop_the_others(rig: Any, adt: BUILD) -> None:
    await rig.send(adt("C0"))
    gone = asyncio.create_task(rig.receive(adt("C1"), Peer("127.0.0.1")))
    await asyncio.sleep(0)
    gone.cancel()
    assert codes((await rig.send(adt("C2")))[0]) == ["AA"]
    assert await rig.states() == {1: "accepted", 2: "accepted", 3: "accepted"}
