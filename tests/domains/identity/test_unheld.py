"""New patients who are decided about with nothing held come to the same persons, whoever comes at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
from tests.domains.identity.test_index import registered
from tests.domains.identity.test_service import CLINIC, Hub, number, person, ssn

from healthsync.domains.identity import ByWeights, Decision, IdentityOutcome, IdentityService
from healthsync.domains.identity.linkage.population import Population
from healthsync.domains.identity.weighing import shipped_weights
from healthsync.infrastructure.clock import FixedClock
from healthsync.infrastructure.crypto.blind_index import BlindIndex
from healthsync.infrastructure.database import Database, Outdated

TODAY = date(2026, 11, 25)
_TABLES = (
    "identity_patient", "identity_enterprise", "identity_block_key", "identity_identifier", "identity_link_event",
    "identity_review", "identity_decision",
)  # fmt: skip


class Desk(Hub):
    """One of several processes that register new patients in the same index."""

    def __init__(self, database: Database, records: dict[str, dict[str, Any]]) -> None:
        super().__init__(database)
        clock = FixedClock(datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC))
        self.identity = IdentityService(BlindIndex(b"k" * 32), clock, deciding=ByWeights(shipped_weights()))
        self.records = records
        self.outdated = 0

    async def new(self, key: int, said: dict[str, Any], *, holds: bool = False) -> IdentityOutcome:
        """Register a new patient as the gate does: with nothing held, and once more holding if that was outdated."""
        for repeats in (False,) if holds else (True, False):
            try:
                async with self.database.unit_of_work(repeats=repeats) as tx:
                    outcome = await self.identity.register(
                        tx, key, f"p{key}", f"source-{key % 3}", said, self.load, is_new=True
                    )
                return outcome
            except Outdated:
                self.outdated += 1
        raise AssertionError("who holds what he decides by is never outdated")

    async def found(self) -> tuple[Any, ...]:
        """What the tables say, without the ids of persons, which are made up: who is whom, what is to be looked at, the
        log, and under which tokens everybody is found."""
        async with self.database.connection() as tx:
            state = await self.tables()
            log = [
                (one.kind, one.patient_key, one.other_patient_key, one.rule, one.evidence)
                for one in await self.identity.log(tx)
            ]
            tokens = await tx.fetch("SELECT patient_key, token FROM identity_block_key ORDER BY 1, 2")
            known = await tx.fetch(
                "SELECT patient_key, linked_to, fingerprint, keys_version FROM identity_patient ORDER BY 1"
            )
        return await self.persons(), state.reviews, state.linked_to, log, [*map(tuple, tokens)], [*map(tuple, known)]


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database, {})


@pytest.fixture
def two_desks(database: Database) -> tuple[Desk, Desk]:
    records: dict[str, dict[str, Any]] = {}
    return Desk(database, records), Desk(database, records)


async def test_nothing_held_decides_as_everything_held_does(desk: Desk) -> None:
    people = Population(seed=12, today=TODAY).records(260, repeated=0.4)
    desk.records |= {f"p{key}": registered(one) for key, one in enumerate(people, 1)}
    found = []
    for holds in (True, False):
        async with desk.database.connection() as tx:
            await tx.execute("ALTER TABLE identity_link_event DISABLE TRIGGER USER")  # it only grows
            await tx.execute(f"TRUNCATE {', '.join(_TABLES)} RESTART IDENTITY CASCADE")
        for key in range(1, len(people) + 1):
            await desk.new(key, desk.records[f"p{key}"], holds=holds)
        assert desk.outdated == 0
        assert await desk.replayed() == await desk.tables()
        found.append(await desk.found())
    held, unheld = found
    assert held == unheld
    persons, reviews, linked_to, *_ = held
    assert len(persons) < len(people) - 30 and reviews and sum(to is not None for to in linked_to.values()) > 30


async def test_several_who_are_one_person_come_at_once_to_two_processes_and_are_one(two_desks: tuple[Desk, Desk]):
    desk = two_desks[0]
    for round_ in range(6):
        keys = range(round_ * 8 + 1, round_ * 8 + 9)
        said = {
            key: person(
                ssn(f"52{round_}-45-1234"), number(str(key), CLINIC + str(key)), first=f"Sig{'nela'[round_ % 4]}e"
            )
            for key in keys
        }
        desk.records |= {f"p{key}": record for key, record in said.items()}
        await asyncio.gather(*(two_desks[key % 2].new(key, record) for key, record in said.items()))
        assert frozenset(keys) in {frozenset(k for k in members if k in keys) for members in await desk.persons()}
    assert await desk.replayed() == await desk.tables()


async def test_strangers_who_come_at_once_are_decided_about_once(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    people = Population(seed=3, today=TODAY).records(16, repeated=0.0)
    desk.records |= {f"p{key}": registered(one) for key, one in enumerate(people, 1)}
    looked: list[int] = []
    look = Database._look_together

    async def counted(self, lookup, places):
        looked.append(len(places))
        return await look(self, lookup, places)

    monkeypatch.setattr(Database, "_look_together", counted)
    await asyncio.gather(*(desk.new(key, desk.records[f"p{key}"]) for key in range(1, 17)))
    assert desk.outdated == 0 and looked[0] > 8
    assert sum(map(len, await desk.persons())) == 16


async def _merged(desk: Desk) -> None:
    await desk.merge(2, 1)


async def _unlinked(desk: Desk) -> None:
    await desk.unlink(1, 3)


async def _changed(desk: Desk) -> None:
    desk.records["p1"] = person(ssn("521-45-1234"), number("1"), first="Signe", family="Berg")
    await desk.register(1, desk.records["p1"], "source-1")


async def _came(desk: Desk) -> None:
    desk.records["p9"] = person(ssn("521-45-1234"), number("9", CLINIC))
    await desk.register(9, desk.records["p9"], "source-0")


@pytest.mark.parametrize("meanwhile", [_merged, _unlinked, _changed, _came])
async def test_what_happens_to_the_person_between_look_and_commit_makes_the_decision_anew(
    desk: Desk, meanwhile: Callable[[Desk], Any]
):
    desk.records |= {
        "p1": person(ssn("521-45-1234"), number("1")), "p2": person(number("2"), first="Karen", born="1950-02-03"),
        "p3": person(ssn("521-45-1234"), number("3", CLINIC)),
        "p4": person(ssn("521-45-1234"), number("4", CLINIC + "4")),
    }  # fmt: skip
    for key in (1, 2, 3):
        await desk.register(key, desk.records[f"p{key}"], f"source-{key % 3}")
    before = await desk.tables()
    with pytest.raises(Outdated):
        async with desk.database.unit_of_work(repeats=True) as tx:
            outcome = await desk.identity.register(tx, 4, "p4", "source-1", desk.records["p4"], desk.load, is_new=True)
            assert outcome.linked_to
            assert await desk.tables() == before
            await meanwhile(desk)
    assert 4 not in (await desk.tables()).person_of
    await desk.new(4, desk.records["p4"])
    assert await desk.replayed() == await desk.tables()


async def test_a_decision_that_keeps_two_persons_apart_is_never_violated_by_a_third_who_comes(desk: Desk):
    desk.records |= {
        "p1": person(ssn("521-45-1234"), number("1")), "p2": person(ssn("521-45-1234"), number("2", CLINIC)),
        "p3": person(ssn("521-45-1234"), number("1"), number("2", CLINIC)),
    }  # fmt: skip
    for key in (1, 2):
        await desk.register(key, desk.records[f"p{key}"], f"source-{key % 3}")
    await desk.unlink(1, 2)
    await desk.new(3, desk.records["p3"])
    state = await desk.tables()
    assert state.decisions[1, 2] == Decision.CANNOT_LINK
    assert state.person_of[1] != state.person_of[2]
