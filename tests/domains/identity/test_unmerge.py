"""Merge, whatever happens later, unmerge: both persons are what they would be had nobody ever merged them."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from healthsync.domains.identity import IdentityService, SourcePatient, replay
from healthsync.infrastructure.clock import FixedClock
from healthsync.infrastructure.crypto.blind_index import BlindIndex
from healthsync.infrastructure.database import Database

CHANGES = 60


class World:
    """Two persons of one source, each with a record elsewhere. All that tells people apart carries the name of the world,
    so that two of them live in one database and read the same without it."""

    def __init__(self, name: str, first_key: int, identity: IdentityService, database: Database) -> None:
        self.name, self.first, self.identity, self.database = name, first_key, identity, database
        self.records: dict[str, dict[str, Any]] = {}
        self.patients: list[SourcePatient] = []
        self.numbers: list[str] = []

    async def load(self, ids: Mapping[str, int | None]) -> Mapping[str, Mapping[str, Any]]:
        """Only of this world: who shares a block key in the other takes no part."""
        return {id_: self.records[id_] for id_ in ids if id_ in self.records}

    async def add(self, source: str, *numbers: str) -> None:
        """A new record that goes under some numbers."""
        key = self.first + len(self.patients)
        patient = SourcePatient(key, f"{self.name}-{len(self.patients)}", source)
        self.patients.append(patient)
        self.numbers.append(numbers[0])
        systems = [f"urn:{source}", *("urn:region" for _ in numbers)]
        own = [f"{self.name}{key - self.first}", *(f"{self.name}{number}" for number in numbers)]
        await self.say(
            len(self.patients) - 1,
            identifier=[{"system": s, "value": v} for s, v in zip(systems, own, strict=True)],
            name=[{"family": f"{self.name}{numbers[0]}", "given": ["Signe"]}],
            birthDate="1967-12-13",
            gender="female",
        )

    async def say(self, place: int, **elements: Any) -> None:
        """A record says something new."""
        patient = self.patients[place]
        record = {
            **self.records.get(patient.patient_id, {"resourceType": "Patient", "id": patient.patient_id}),
            **elements,
        }
        async with self.database.transaction() as tx:
            await self.identity.register(tx, patient.patient_key, patient.patient_id, patient.source, record, self.load)
        self.records[patient.patient_id] = record

    async def act(self, verb: str, *arguments: Any) -> None:
        async with self.database.transaction() as tx:
            await getattr(self.identity, verb)(tx, *arguments, "ann", "papers-seen")

    async def change(self, chance: random.Random) -> None:
        """One random thing that happens to records every day."""
        place = chance.randrange(len(self.patients))
        match chance.choice(["address", "phone", "married", "middle", "newcomer", "same"]):
            case "address":
                await self.say(place, address=[{"city": f"Town {chance.randrange(9)}"}])
            case "phone":
                await self.say(place, telecom=[{"system": "phone", "value": str(chance.randrange(9))}])
            case "married":
                family = f"{self.name}{self.numbers[place]}-{chance.randrange(9)}"
                await self.say(place, name=[{"family": family, "given": ["Signe"]}])
            case "middle":
                await self.say(place, maritalStatus={"text": str(chance.randrange(9))})
            case "newcomer":
                await self.add(f"clinic{len(self.patients)}", self.numbers[place])
            case "same":
                await self.say(place)

    async def read(self) -> tuple[list[list[int]], list[str]]:
        """Who is one person with whom, and every golden record as canonical JSON, without the name of the world."""
        async with self.database.connection() as tx:
            persons = await self.identity.enterprise_ids(tx, [patient.patient_key for patient in self.patients])
            groups: dict[str, list[SourcePatient]] = {}
            for patient in self.patients:
                groups.setdefault(persons[patient.patient_key], []).append(patient)
            read = [
                await self.identity.golden(tx, {patient: self.records[patient.patient_id] for patient in group})
                for group in groups.values()
            ]
        golden = [json.dumps(one.as_patient(), sort_keys=True).replace(self.name, "") for one in read]
        return [[patient.patient_key - self.first for patient in group] for group in groups.values()], golden


@pytest.mark.parametrize("seed", [1, 2])
async def test_an_unmerge_after_any_changes_equals_never_having_merged(database: Database, seed: int) -> None:
    identity = IdentityService(BlindIndex(b"k" * 32), FixedClock(datetime(2026, 11, 25, tzinfo=UTC)))
    merged, never = World("qa", 1, identity, database), World("qb", 100_001, identity, database)
    for world in (merged, never):
        chance = random.Random(seed)
        for source, number in (("east", "x"), ("east", "y"), ("west", "x"), ("west", "y")):
            await world.add(source, number)
        await world.act("pin", world.patients[2], "name")
        await world.act("pin", world.patients[3], "name")
        for _ in range(5):
            await world.change(chance)
        if world is merged:
            await world.act("merge", world.patients[0], world.patients[1])
            assert len((await world.read())[0]) == 1
        for _ in range(CHANGES):
            await world.change(chance)
        if world is merged:
            await world.act("unlink", world.patients[1], world.patients[0])
    assert await merged.read() == await never.read()
    assert len((await merged.read())[0]) == 2
    async with database.connection() as tx:
        state = replay(await identity.log(tx))
        assert state.person_of == dict(await tx.fetch("SELECT patient_key, enterprise_id FROM identity_patient"))
