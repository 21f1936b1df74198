"""The index on a real PostgreSQL, decided by weights: candidates, order, decisions, keys."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from healthsync.domains.identity import ByWeights, IdentityOutcome, IdentityService, SourcePatient, shipped_weights
from healthsync.domains.identity import service as service_module
from healthsync.domains.identity.block_keys import Block
from healthsync.domains.identity.linkage import Population
from healthsync.domains.identity.linkage.population import Person
from healthsync.infrastructure.clock import FixedClock
from healthsync.infrastructure.crypto.blind_index import BlindIndex
from healthsync.infrastructure.database import Database

from .test_deciding import patient

Record = dict[str, Any]


class Index:
    """An index decided by weights, and the records that it asks for."""

    def __init__(self, database: Database, own_keys: Sequence[Block] = ()) -> None:
        self.database, self.records = database, dict[str, Record]()
        clock = FixedClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.identity = IdentityService(
            BlindIndex(b"k" * 32), clock, deciding=ByWeights(shipped_weights()), own_keys=own_keys
        )

    async def load(self, ids: Mapping[str, int | None]) -> Mapping[str, Record]:
        return {id_: self.records[id_] for id_ in ids if id_ in self.records}

    async def register(self, key: int, record: Record) -> IdentityOutcome:
        self.records[f"p{key}"] = record
        async with self.database.transaction() as tx:
            return await self.identity.register(tx, key, f"p{key}", "east", record, self.load)

    async def matched(self, record: Record) -> list[str]:
        async with self.database.transaction(read_only=True) as tx:
            return [one.patient.patient_id for one in await self.identity.match(tx, record, self.load, most=9)]

    async def rekey(self) -> list[int]:
        counts = []
        while not counts or counts[-1]:
            async with self.database.transaction() as tx:
                counts.append(await self.identity.rekey(tx, 2, self.load))
        return counts

    async def persons(self) -> dict[int, set[int]]:
        """The members of each patient's person."""
        async with self.database.connection() as tx:
            found = dict(await tx.fetch("SELECT patient_key, enterprise_id FROM identity_patient"))
        return {key: {other for other in found if found[other] == found[key]} for key in found}

    async def in_review(self) -> set[int]:
        async with self.database.connection() as tx:
            return {
                key
                for flag in await self.identity.open_reviews(tx)
                for key in (flag.patient_key, flag.other_patient_key)
            }


@pytest.fixture
def index(database: Database) -> Index:
    return Index(database)


def source(key: int) -> SourcePatient:
    return SourcePatient(key, f"p{key}", "east")


def registered(person: Person) -> Record:
    """A generated person, as a Patient."""
    return patient(
        given=person.given, middle=person.middle, family=person.family, suffix=person.suffix,
        born=person.written_date or person.birth_date.isoformat(), sex={"M": "male", "F": "female"}.get(person.sex, ""),
        ssn=person.ssn, street=person.street, city=person.city, postal=person.postal_code, phone=person.phone,
        email=person.email,
    )  # fmt: skip


async def test_a_misspelt_record_joins_its_person_and_the_evidence_tells_levels(index: Index) -> None:
    await index.register(1, patient(ssn=""))
    outcome = await index.register(2, patient(ssn="", family="Holmgreen", email=""))
    assert [one.patient_key for one in outcome.linked_to] == [1]
    assert {"given:exact", "family:close", "birth_date:exact"} < set(outcome.evidence)
    assert outcome.flags == ()


async def test_a_probable_link_is_flagged_and_a_possible_one_is_only_flagged(index: Index) -> None:
    bare = {"ssn": "", "street": "", "city": "", "postal": "", "phone": "", "email": "", "middle": "", "sex": ""}
    await index.register(1, patient(**bare))
    probable = await index.register(2, patient(**bare))
    assert (len(probable.linked_to), [flag.reasons for flag in probable.flags]) == (1, [("probable",)])
    await index.register(3, patient(ssn="", given="Jayden", family="Lund"))
    possible = await index.register(4, patient(ssn="", given="Jaylen", family="Lund"))
    assert possible.linked_to == ()
    assert "twin-suspected" in possible.flags[0].reasons


async def test_what_a_person_kept_apart_no_weight_links_in_whichever_order_records_come(index: Index) -> None:
    await index.register(1, patient())
    await index.register(2, patient(email=""))
    async with index.database.transaction() as tx:
        await index.identity.unlink(tx, source(2), source(1), "Ann", "papers-seen")
    for key, changes in ((2, {"phone": ""}), (1, {"phone": "", "street": "1 Elm"}), (3, {"email": ""}), (2, {})):
        await index.register(key, patient(**changes))
        assert 2 not in (await index.persons())[1]


async def test_persons_do_not_depend_on_the_order_of_arrival_but_for_what_is_in_review(database_url: str) -> None:
    people = Population(seed=8).records(60, repeated=0.4)
    found: list[dict[str, frozenset[str]]] = []
    reviewed: set[str] = set()
    for turn in range(3):
        database = await Database.connect(database_url)
        index, order = Index(database), list(people)
        random.Random(turn).shuffle(order)
        for key, person in enumerate(order, 1):
            await index.register(key, registered(person))
        name = {key: person.id for key, person in enumerate(order, 1)}
        members = await index.persons()
        found.append({name[key]: frozenset(name[one] for one in members[key]) for key in members})
        reviewed |= {name[key] for key in await index.in_review()}
        truth = {person.id: person.truth for person in people}
        assert all(len({truth[one] for one in group}) == 1 for group in found[-1].values()), "a false link"
        async with database.transaction() as tx:
            await tx.execute(
                "TRUNCATE identity_patient, identity_identifier, identity_block_key, identity_review, identity_enterprise CASCADE"
            )
        await database.close()
    settled = [person.id for person in people if person.id not in reviewed]
    assert len(settled) > 30
    assert any(len(group) > 1 for group in found[0].values())
    for id_ in settled:
        assert len({group[id_] - reviewed for group in found}) == 1, id_


async def test_a_key_that_too_many_have_is_passed_over_and_counted(index: Index, monkeypatch) -> None:
    monkeypatch.setattr(service_module, "LARGEST_BLOCK", 2)
    for key in range(1, 5):
        born = f"19{key + 50}-0{key}-1{key}"
        await index.register(key, patient(ssn="", given=f"S{key}igne", born=born, email=f"a{key}@mail.example"))
    before = service_module._hot_keys._value.get()
    asked = patient(ssn="", given="S9igne", born="1990-09-19", email="a9@mail.example")
    assert await index.matched(asked) == [], "they share nothing but telephone, street and initial"
    assert service_module._hot_keys._value.get() == before + 3  # sounds and postal code too


async def test_records_with_keys_of_another_version_are_keyed_anew(database: Database) -> None:
    old, new = Index(database), Index(database, own_keys=(("ssn_last4", "zip"),))
    for key in range(1, 4):
        await old.register(
            key, patient(ssn=f"41255123{key}", given=f"N{key}", born=f"196{key}-01-0{key}", phone="", email="")
        )
    asked = patient(ssn="998871231", given="Olga", family="Berg", born="1990-01-01", street="", phone="", email="")
    del old.records["p3"]  # deleted meanwhile
    new.records = old.records
    async with database.connection() as tx:
        count = "SELECT count(*) FROM identity_block_key WHERE patient_key = 1"
        before = await tx.fetchval(count)
        assert await new.rekey() == [2, 1, 0]
        assert await tx.fetchval(count) == before + 1
        assert await tx.fetchval("SELECT count(DISTINCT keys_version) FROM identity_patient") == 1
    assert await new.rekey() == [0]
    assert await new.matched(asked | {"identifier": [patient(ssn="412551231")["identifier"][0]]}) == ["p1"]


async def test_no_value_stands_in_the_tables(index: Index) -> None:
    await index.register(1, patient())
    await index.register(2, patient(family="Holmgreen"))
    async with index.database.connection() as tx:
        tables = [row[0] for row in await tx.fetch("SELECT tablename FROM pg_tables WHERE tablename LIKE 'identity_%'")]
        text = " ".join([str(await tx.fetch(f"SELECT * FROM {table}")) for table in tables]).casefold()
    for value in ("holmgr", "signe", "412551234", "1967", "oak", "salem", "40501", "5550133", "mail.example"):
        assert value not in text
