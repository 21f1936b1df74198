"""What answers lead to, how long to wait, which terms hold, and that a long queue is never read as a whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.domains.deliveries import (
    Circuit,
    DeliveryService,
    DeliveryState,
    Destination,
    DestinationState,
    Occasion,
    Standing,
    Tls,
    Waiting,
    answered,
    window,
)
from healthsync.errors import InvalidInput
from healthsync.infrastructure.clock import FixedClock
from healthsync.infrastructure.crypto import BlindIndex
from healthsync.infrastructure.database import Database, Queries
from healthsync.infrastructure.retrying import RetryPolicy
from healthsync.standards.hl7v2 import AckCode

NOW = datetime(2026, 5, 6, tzinfo=UTC)
POLICY = RetryPolicy(max_attempts=3, first_wait_seconds=2, longest_wait_seconds=10)


def waiting(sequence: int = 1, begun: int = 0, attempts: int = 0) -> Waiting:
    return Waiting(sequence, "d", f"C{sequence}", "SIU^S12", "Appointment/1", None, begun, attempts, (), b"", 1)


def destination(**changes: object) -> Destination:
    return Destination(**{"name": "d", "host": "127.0.0.1", "port": 1, "messages": ("SIU^S12",), **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "attempts", "state", "reason"),
    [
        ("AA", 0, DeliveryState.DELIVERED, None),
        ("CA", 2, DeliveryState.DELIVERED, None),
        ("AE", 0, DeliveryState.WAITING, "error"),
        ("CE", 1, DeliveryState.WAITING, "error"),
        ("AE", 2, DeliveryState.DEAD, "too-many-errors"),
        ("AR", 0, DeliveryState.DEAD, "refused"),
        ("CR", 0, DeliveryState.DEAD, "refused"),
    ],
)
def test_an_answer_decides_what_becomes_of_the_message(code, attempts, state, reason):
    settlement = answered(waiting(attempts=attempts), AckCode(code), "his name is Smith", POLICY, NOW, 0.0)
    assert (settlement.state, settlement.reason_code, settlement.answer) == (state, reason, code)
    assert (settlement.next_attempt_at is not None) == (state is DeliveryState.WAITING)
    assert "Smith" not in str(settlement.reason) + repr(settlement)


@given(st.integers(1, 200), st.floats(0, 1, exclude_max=True))
def test_waits_grow_to_their_bound_and_are_spread_over_the_upper_half(failures, jitter):
    full = min(2 * 2 ** min(failures - 1, 30), 10)
    assert full / 2 <= POLICY.wait_seconds(failures, jitter) <= full


@pytest.mark.parametrize(("begun", "taken"), [([0, 0, 0], 3), ([1, 0, 0], 1), ([0, 0, 2], 2), ([1, 1, 0], 1), ([], 0)])
def test_a_message_that_was_begun_before_is_sent_alone(begun, taken):
    assert len(window([waiting(n, count) for n, count in enumerate(begun)])) == taken


@pytest.mark.parametrize(
    ("failures", "retry_in", "circuit"),
    [(0, None, Circuit.CLOSED), (1, 5, Circuit.OPEN), (1, -1, Circuit.HALF_OPEN), (3, None, Circuit.HALF_OPEN)],
)
def test_the_circuit_opens_with_a_failure_and_half_opens_when_the_wait_is_over(failures, retry_in, circuit):
    retry_at = None if retry_in is None else NOW + timedelta(seconds=retry_in)
    standing = Standing(destination(), DestinationState.ACTIVE, NOW, failures, NOW, retry_at)
    assert standing.circuit(NOW) is circuit


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"host": "hl7.example"}, "in clear"),
        ({"host": "http://x"}, "without a scheme"),
        ({"name": "1st"}, "is a letter"),
        ({"port": 0}, "1 to 65535"),
        ({"messages": ()}, "nothing says what it gets"),
        ({"messages": ("ORM^O01",), "version": "2.8"}, "has no ORM"),
        ({"listen": True, "tls": Tls()}, "certificate and key"),
        ({"max_connections": 0}, "1 to 64"),
        ({"first_wait_seconds": 9.0, "longest_wait_seconds": 1.0}, "no longer than the longest"),
        ({"character_encoding": "EBCDIC"}, "table 0211"),
        ({"processing_id": "X"}, "P, T or D"),
        ({"application": "A\rB"}, "up to 180 characters"),
    ],
)
def test_terms_of_a_destination_that_do_not_hold_are_refused(changes, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        destination(**changes)


def test_patient_data_crosses_a_network_in_clear_only_when_somebody_said_so():
    assert destination(host="hl7.example", clear=True)
    assert destination(host="hl7.example", tls=Tls())
    assert destination(host="localhost")


@given(st.text(min_size=1), st.text(min_size=1), st.integers(1, 9) | st.none())
def test_a_control_id_has_20_characters_and_tells_occasions_apart(subject, retired, version):
    service = DeliveryService(FixedClock(NOW), BlindIndex(b"k" * 32), "hub")
    occasion = Occasion("d", "SIU^S12", subject, version, retired=retired)
    control_id = service.control_id(occasion)
    assert len(control_id) == 20 and control_id.isalnum()
    assert control_id == service.control_id(occasion)
    others = [
        Occasion("e", "SIU^S12", subject, version, retired=retired),
        Occasion("d", "SIU^S13", subject, version, retired=retired),
        Occasion("d", "SIU^S12", subject, (version or 0) + 1, retired=retired),
    ]
    assert len({control_id, *map(service.control_id, others)}) == 4


@pytest.mark.parametrize("connections", [1, 4])
async def test_claiming_reads_the_head_of_a_long_queue_by_its_index(database: Database, connections: int):
    """100,000 messages wait; a claim touches a handful of pages."""
    sql = Queries("healthsync.domains.deliveries")
    async with database.transaction() as tx:
        await tx.execute(
            "INSERT INTO destination (name, terms, state, created_at)"
            " VALUES ('d', jsonb_build_object('max_connections', $1::int), 'active', $2)", connections, NOW,
        )  # fmt: skip
        await tx.execute(
            "INSERT INTO delivery (queued_at, destination, control_id, type, subject, changed, state, payload, lane)"
            " SELECT $1, 'd', n::text, 't', 's', 'INSERT', CASE WHEN n % 2 = 0 THEN 'delivered' ELSE 'waiting' END,"
            " '\\x00', n % 50 FROM generate_series(1, 200000) AS n", NOW,
        )  # fmt: skip
    async with database.transaction() as tx:
        await tx.execute("ANALYZE delivery")
        claim = (sql.claim, NOW, "00000000-0000-0000-0000-000000000001", 10.0)
        due = (sql.oldest, "d", 50) if connections == 1 else (sql.oldest_of_lanes, "d", 50, NOW)
        for query, *values in (claim, due):
            plan = await tx.fetch(f"EXPLAIN (ANALYZE, BUFFERS) {query.rstrip().rstrip(';')}", *values)
            text = "\n".join(row[0] for row in plan)
            assert "Seq Scan on delivery" not in text, text
            pages = sum(int(part.split("=")[1]) for line in text.splitlines() if "Buffers: shared" in line
                        for part in line.split() if part.startswith(("hit=", "read=")))  # fmt: skip
            assert pages < 600, text
