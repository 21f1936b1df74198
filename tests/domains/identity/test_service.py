"""The master patient index on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from tests.effort import counted

from healthsync.domains.identity import (
    GoldenRecord,
    IdentityOutcome,
    IdentityService,
    LinkEventKind,
    LinkState,
    MergeOutcome,
    ReasonNotACode,
    SourcePatient,
    UnknownPatient,
    replay,
)
from healthsync.errors import InvalidInput
from healthsync.infrastructure.clock import FixedClock
from healthsync.infrastructure.crypto.blind_index import BlindIndex
from healthsync.infrastructure.database import Database, Queries

HOSPITAL, CLINIC, LABORATORY = "urn:oid:1.1", "urn:oid:1.2", "urn:oid:1.3"


def number(value: str, authority: str = HOSPITAL, type_: str = "MR") -> dict[str, Any]:
    """An identifier of a person."""
    return {"system": authority, "value": value, "type": {"coding": [{"code": type_}]}}


def ssn(value: str) -> dict[str, Any]:
    """A social security number."""
    return {"system": "http://hl7.org/fhir/sid/us-ssn", "value": value}


def person(
    *identifiers: dict[str, Any],
    family: str = "Holm",
    first: str = "Signe",
    born: str = "1967-12-13",
    sex: str = "female",
    **more: Any,
) -> dict[str, Any]:
    """A Patient."""
    return {
        "resourceType": "Patient", "identifier": list(identifiers), "name": [{"family": family, "given": [first]}],
        "birthDate": born, "gender": sex, **more,
    }  # fmt: skip


class Hub:
    """The index, and the records that it asks for."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.identity = IdentityService(BlindIndex(b"k" * 32), FixedClock(datetime(2026, 11, 25, tzinfo=UTC)))
        self.records: dict[str, dict[str, Any]] = {}
        self.loaded: list[str] = []

    async def load(self, patient_ids: Mapping[str, int | None]) -> Mapping[str, Mapping[str, Any]]:
        self.loaded += patient_ids
        return {id_: self.records[id_] for id_ in patient_ids if id_ in self.records}

    async def register(self, key: int, patient: dict[str, Any], source: str = "east") -> IdentityOutcome:
        async with self.database.transaction() as tx:
            outcome = await self.identity.register(tx, key, f"p{key}", source, patient, self.load)
        self.records[f"p{key}"] = patient
        return outcome

    async def merge(self, survivor: int, retired: int) -> MergeOutcome:
        async with self.database.transaction() as tx:
            return await self.identity.merge(tx, patient(survivor), patient(retired), "message/1", "A40")

    async def pin(self, key: int, element: str, *, chosen: bool = True) -> None:
        async with self.database.transaction() as tx:
            act = self.identity.pin if chosen else self.identity.unpin
            await act(tx, patient(key), element, "Ann", "reviewed")

    async def pins(self) -> list[tuple[int, str]]:
        async with self.database.connection() as tx:
            return [
                tuple(row) for row in await tx.fetch("SELECT patient_key, element FROM identity_pin ORDER BY position")
            ]

    async def replayed_pins(self) -> list[tuple[int, str]]:
        async with self.database.connection() as tx:
            return replay(await self.identity.log(tx)).pins

    async def golden(self, *keys: int) -> GoldenRecord:
        async with self.database.connection() as tx:
            return await self.identity.golden(tx, {patient(key): self.records[f"p{key}"] for key in keys})

    async def link(self, one: int, other: int) -> MergeOutcome:
        async with self.database.transaction() as tx:
            return await self.identity.link(tx, patient(one), patient(other), "steward", "papers-seen")

    async def unlink(self, one: int, other: int) -> MergeOutcome:
        async with self.database.transaction() as tx:
            return await self.identity.unlink(tx, patient(one), patient(other), "steward", "papers-seen")

    async def find(
        self, *identifiers: dict[str, Any], source: str = "east", follow: bool = True
    ) -> SourcePatient | None:
        async with self.database.connection() as tx:
            return await self.identity.find_source_patient(tx, source, identifiers, follow_merges=follow)

    async def persons(self) -> set[frozenset[int]]:
        """Who is one person with whom."""
        return partition(await self.tables())

    async def tables(self) -> LinkState:
        """The state that the tables hold."""
        async with self.database.connection() as tx:
            patients = await tx.fetch(
                "SELECT patient_key, enterprise_id, linked_to, retired_into FROM identity_patient"
            )
            redirects = await tx.fetch(
                "SELECT enterprise_id, merged_into FROM identity_enterprise WHERE merged_into IS NOT NULL"
            )
            decisions = await tx.fetch("SELECT patient_key, other_patient_key, kind FROM identity_decision")
            reviews = await tx.fetch("SELECT patient_key, other_patient_key, reasons FROM identity_review")
        return LinkState(
            {row[0]: row[1] for row in patients}, {row[0]: row[2] for row in patients},
            {row[0]: row[3] for row in patients if row[3]}, {row[0]: row[1] for row in redirects},
            {(row[0], row[1]): row[2] for row in decisions}, {(row[0], row[1]): frozenset(row[2]) for row in reviews},
        )  # fmt: skip

    async def replayed(self) -> LinkState:
        async with self.database.connection() as tx:
            return replay(await self.identity.log(tx))


def patient(key: int) -> SourcePatient:
    return SourcePatient(key, f"p{key}", "east")


def partition(state: LinkState) -> set[frozenset[int]]:
    return {frozenset(state.members(person)) for person in state.person_of.values()}


@pytest.fixture
def hub(database: Database) -> Hub:
    return Hub(database)


async def test_a_patient_seen_for_the_first_time_becomes_a_person(hub: Hub) -> None:
    outcome = await hub.register(1, person(number("1")))
    assert outcome.created
    assert not outcome.linked_to and not outcome.flags and not outcome.changed_members
    async with hub.database.connection() as tx:
        assert await hub.identity.enterprise_ids(tx, [1, 99]) == {1: str(outcome.enterprise_id)}
        assert await hub.identity.members(tx, outcome.enterprise_id) == [patient(1)]


async def test_an_unchanged_resend_changes_nothing_and_asks_for_nobody(hub: Hub) -> None:
    first = await hub.register(1, person(number("1")))
    log = await hub.replayed()
    again = await hub.register(1, person(number("1")))
    assert (again.enterprise_id, again.created) == (first.enterprise_id, False)
    assert await hub.replayed() == log
    assert hub.loaded == []


async def test_a_new_patient_of_whom_a_unit_of_work_asks_twice_stays_one_person(hub: Hub) -> None:
    async with hub.database.transaction() as tx:
        for first in ("Signe", "Sofie"):
            said = person(ssn("219-09-1234"), first=first)
            await hub.identity.register(tx, 1, "p1", "east", said, hub.load, is_new=True)
    assert await hub.persons() == {frozenset({1})}
    assert await hub.replayed() == await hub.tables()
    async with hub.database.connection() as tx:
        asked = "SELECT count(*) FROM identity_block_key WHERE patient_key = 1"
        keys = await tx.fetchval(asked)
    await hub.register(2, person(ssn("219-09-1234"), first="Sofie"))
    async with hub.database.connection() as tx:
        assert await tx.fetchval(asked.replace("1", "2")) == keys, "nothing is left of what it said first"


async def test_who_stays_as_he_was_opened_is_not_opened_again_when_he_is_locked(hub: Hub) -> None:
    first = await hub.register(1, person(ssn("219-09-1234")))
    second = await hub.register(2, person(ssn("219-09-1234"), family="Falk"))
    assert second.enterprise_id == first.enterprise_id
    assert hub.loaded == ["p1"]


async def test_who_changes_between_being_opened_and_being_locked_is_judged_by_what_he_says_then(hub: Hub) -> None:
    before = person(ssn("219-09-1234"))
    await hub.register(1, before)
    opened: list[str] = []

    async def load(asked: Mapping[str, int | None]) -> Mapping[str, Mapping[str, Any]]:
        opened.extend(asked)
        if len(opened) > 1:
            return await hub.load(asked)
        await hub.register(1, person(ssn("219-09-5678")))
        return {"p1": before}

    async with hub.database.transaction() as tx:
        said = person(ssn("219-09-1234"), family="Falk")
        second = await hub.identity.register(tx, 2, "p2", "east", said, load, is_new=True)
    assert opened == ["p1", "p1"]
    assert not second.linked_to
    assert await hub.persons() == {frozenset({1}), frozenset({2})}


async def test_one_number_of_one_authority_is_one_person_across_sources(hub: Hub) -> None:
    first = await hub.register(1, person(number("1")))
    second = await hub.register(2, person(number("1"), number("77", LABORATORY)), "laboratory")
    assert second.enterprise_id == first.enterprise_id
    assert second.linked_to == (patient(1),)
    assert "identifier" in second.evidence
    assert await hub.replayed() == await hub.tables()


async def test_a_name_alone_links_and_is_flagged_whatever_its_hyphens(hub: Hub) -> None:
    await hub.register(1, person(number("1"), family="Holm-Iver"))
    outcome = await hub.register(2, person(number("9", CLINIC), family="Holm Iver"), "clinic")
    assert await hub.persons() == {frozenset({1, 2})}
    assert [flag.reasons for flag in outcome.flags] == [("name+birth-date+sex-only",)]
    async with hub.database.connection() as tx:
        assert [(flag.patient_key, flag.other_patient_key) for flag in await hub.identity.open_reviews(tx)] == [(1, 2)]


async def test_two_unknown_people_stay_apart(hub: Hub) -> None:
    nobody = {"name": [{"family": "UNK", "given": ["Unknown"]}], "gender": "male"}
    await hub.register(1, {"identifier": [number("1")], **nobody})
    outcome = await hub.register(2, {"identifier": [number("2", CLINIC)], **nobody}, "clinic")
    assert not outcome.flags
    assert await hub.persons() == {frozenset({1}), frozenset({2})}


async def test_a_patient_is_found_by_number_and_authority_inside_its_source_only(hub: Hub) -> None:
    await hub.register(1, person(number("1"), ssn("219-09-1234")))
    assert await hub.find(number("unseen"), number("1")) == patient(1)
    assert await hub.find(number("1", type_="PI")) is None
    assert await hub.find({"system": HOSPITAL, "value": "1"}) == patient(1)
    assert await hub.find(number("1", CLINIC)) is None
    assert await hub.find(number("1"), source="clinic") is None
    assert await hub.find(ssn("219-09-1234")) is None
    assert await hub.find() is None


async def test_a_number_without_authority_means_something_to_its_source_only(hub: Hub) -> None:
    await hub.register(1, person({"value": "1"}))
    await hub.register(2, person({"value": "1"}, first="Olga", born="1950-01-02"), "clinic")
    assert await hub.persons() == {frozenset({1}), frozenset({2})}
    assert await hub.find({"value": "1"}) == patient(1)
    assert (await hub.find({"value": "1"}, source="clinic")).patient_key == 2


async def test_a_late_message_under_the_retired_number_finds_the_survivor(hub: Hub) -> None:
    await hub.register(1, person(number("A")))
    await hub.register(2, person(number("B")))
    outcome = await hub.merge(survivor=2, retired=1)
    assert (outcome.survivor, outcome.retired, outcome.reinstated) == (patient(2), patient(1), False)
    assert await hub.find(number("A")) == patient(2)
    assert await hub.find(number("B")) == patient(2)
    assert await hub.find(number("A"), follow=False) == patient(1)
    await hub.register(2, person(number("A"), number("B")))  # the survivor's record tells the old number too
    assert await hub.find(number("A")) == patient(2)
    assert await hub.find(number("A"), follow=False) == patient(1)
    assert await hub.persons() == {frozenset({1, 2})}
    async with hub.database.connection() as tx:
        former = (await hub.identity.log(tx))[0].enterprise_id
        assert [member.patient_key for member in await hub.identity.members(tx, former)] == [1, 2]


async def test_merging_twice_or_with_itself_changes_nothing(hub: Hub) -> None:
    await hub.register(1, person(number("A"), number("B")))
    await hub.register(2, person(number("C")))
    assert (await hub.merge(1, 1)).retired is None
    await hub.merge(1, 2)
    before = await hub.replayed()
    again = await hub.merge(1, 2)
    assert (again.survivor, again.retired) == (patient(1), None)
    assert await hub.replayed() == before
    assert await hub.find(number("B")) == patient(1)


async def test_merging_back_makes_the_survivor_change_sides(hub: Hub) -> None:
    await hub.register(1, person(number("A")))
    await hub.register(2, person(number("B")))
    await hub.merge(1, 2)
    back = await hub.merge(2, 1)
    assert (back.survivor, back.retired, back.reinstated) == (patient(2), patient(1), True)
    assert await hub.find(number("A")) == await hub.find(number("B")) == patient(2)
    again = await hub.merge(1, 2)
    assert again.reinstated
    assert await hub.find(number("A")) == await hub.find(number("B")) == patient(1)
    assert (await hub.tables()).retired_into == {2: 1}
    assert await hub.replayed() == await hub.tables()


async def test_a_chain_of_merges_leads_to_one_survivor(hub: Hub) -> None:
    for key, value in enumerate("ABC", 1):
        await hub.register(key, person(number(value)))
    await hub.merge(2, 1)
    await hub.merge(3, 2)
    assert await hub.find(number("A")) == patient(3)
    assert (await hub.merge(1, 2)).survivor == patient(3), "both are retired already: the active one stays"
    assert (await hub.merge(1, 3)).survivor == patient(1)
    for value in "ABC":
        assert await hub.find(number(value)) == patient(1)
    assert await hub.replayed() == await hub.tables()


async def test_merging_a_patient_that_was_never_seen_is_an_error(hub: Hub) -> None:
    await hub.register(1, person(number("A")))
    with pytest.raises(UnknownPatient):
        await hub.merge(1, 7)


async def test_the_reason_of_a_decision_is_a_code_because_words_may_name_a_patient(hub: Hub) -> None:
    await hub.register(1, person(number("A")))
    await hub.register(2, person(number("B")))
    async with hub.database.transaction() as tx:
        with pytest.raises(ReasonNotACode, match="papers-seen"):
            await hub.identity.unlink(tx, patient(1), patient(2), "steward", "Signe Holm is not Olga")


async def test_unlink_undoes_merge_and_gives_the_enterprise_id_back(hub: Hub) -> None:
    one = await hub.register(1, person(number("A")))
    other = await hub.register(2, person(number("B")))
    await hub.register(3, person(number("B"), number("L", LABORATORY)), "laboratory")
    before = await hub.tables()
    await hub.merge(1, 2)
    late = await hub.register(4, person(number("B"), number("M", CLINIC)), "clinic")
    assert late.enterprise_id == one.enterprise_id
    await hub.unlink(2, 1)
    after = await hub.tables()
    assert {key: after.person_of[key] for key in (1, 2, 3)} == before.person_of
    assert after.person_of[4] == other.enterprise_id, "what joined through the retired number leaves with it"
    assert after.retired_into == {} and after.redirects == {}
    assert await hub.replayed() == after


async def test_unlink_named_from_either_side_lets_the_latecomer_leave(hub: Hub) -> None:
    one = await hub.register(1, person(number("A")))
    await hub.register(2, person(number("A"), number("L", LABORATORY)), "laboratory")
    await hub.unlink(1, 2)
    state = await hub.tables()
    assert state.person_of[1] == one.enterprise_id != state.person_of[2]


async def test_rules_do_not_link_again_what_a_person_unlinked(hub: Hub) -> None:
    await hub.register(1, person(number("A")))
    await hub.register(2, person(number("A"), number("L", LABORATORY)), "laboratory")
    await hub.unlink(2, 1)
    outcome = await hub.register(2, person(number("A"), number("L2", LABORATORY)), "laboratory")
    assert not outcome.linked_to
    bridge = await hub.register(3, person(number("A"), number("C", CLINIC)), "clinic")
    assert not bridge.linked_to
    assert {flag.reasons for flag in bridge.flags} == {("ambiguous-persons",)}
    assert await hub.persons() == {frozenset({1}), frozenset({2}), frozenset({3})}


async def test_a_person_may_link_what_the_rules_would_not_and_unlink_it_again(hub: Hub) -> None:
    await hub.register(1, person(number("A"), first="William"))
    await hub.register(2, person(number("B"), first="Bill"))
    before = await hub.tables()
    await hub.link(1, 2)
    assert await hub.persons() == {frozenset({1, 2})}
    update = await hub.register(
        2, person(number("B"), first="Bill", address=[{"city": "Harbor"}], multipleBirthInteger=2)
    )
    assert not update.flags, "a decision is not questioned by the rules"
    await hub.unlink(1, 2)
    assert (await hub.tables()).person_of == before.person_of
    await hub.unlink(1, 1)
    assert await hub.replayed() == await hub.tables()


async def test_a_merge_does_not_bring_together_what_a_person_keeps_apart(hub: Hub) -> None:
    await hub.register(1, person(number("A")))
    await hub.register(2, person(number("A"), number("L", LABORATORY)), "laboratory")
    await hub.register(3, person(number("B"), first="Olga", born="1950-02-03"))
    await hub.register(4, person(number("B"), number("M", LABORATORY), first="Olga", born="1950-02-03"), "laboratory")
    await hub.unlink(2, 4)
    outcome = await hub.merge(survivor=1, retired=3)
    assert await hub.persons() == {frozenset({1, 2, 3}), frozenset({4})}
    assert [(flag.patient_key, flag.other_patient_key) for flag in outcome.flags] == [(2, 4)]
    assert await hub.find(number("B")) == patient(1)
    assert await hub.replayed() == await hub.tables()


async def test_a_record_that_matches_two_persons_makes_them_one(hub: Hub) -> None:
    first = await hub.register(1, person(number("A"), ssn("219-09-1234"), first="Signe"))
    other = await hub.register(
        2, person(number("B", CLINIC), family="Berg", first="Signe", born="1967-12-13"), "clinic"
    )
    await hub.register(3, person(number("B", CLINIC), number("X", "urn:x"), family="Berg"), "x")
    bridge = await hub.register(
        4, person(number("B", CLINIC), ssn("219-09-1234"), number("L", LABORATORY)), "laboratory"
    )
    assert bridge.enterprise_id == first.enterprise_id
    assert bridge.changed_members == (2, 3)
    async with hub.database.connection() as tx:
        assert len(await hub.identity.members(tx, other.enterprise_id)) == 4, "the former id leads to the person"
    await hub.unlink(4, 1)
    assert await hub.persons() == {frozenset({1}), frozenset({2, 3, 4})}
    assert (await hub.tables()).person_of[2] == other.enterprise_id
    assert await hub.replayed() == await hub.tables()


async def test_an_update_that_tells_more_links_and_the_older_person_stays(hub: Hub) -> None:
    await hub.register(1, person(number("A"), born="1967-12-14"))
    second = await hub.register(2, person(number("B", CLINIC), ssn("219-09-1234")), "clinic")
    update = await hub.register(1, person(number("A"), ssn("219-09-1234"), born="1967-12-14"))
    assert update.changed_members == (2,)
    assert (await hub.tables()).redirects == {second.enterprise_id: update.enterprise_id}


async def test_an_update_may_move_its_own_person_to_an_older_one(hub: Hub) -> None:
    first = await hub.register(1, person(number("A"), ssn("219-09-1234"), born="1967-12-14"))
    second = await hub.register(2, person(number("B", CLINIC)), "clinic")
    update = await hub.register(2, person(number("B", CLINIC), ssn("219-09-1234")), "clinic")
    assert (update.enterprise_id, update.changed_members) == (first.enterprise_id, (2,))
    assert (await hub.tables()).redirects == {second.enterprise_id: first.enterprise_id}


async def test_another_person_under_a_known_number_is_flagged_and_not_linked(hub: Hub) -> None:
    await hub.register(1, person(number("A")))
    await hub.register(2, person(number("C", CLINIC), family="Berg", first="Olga", born="1950-02-03"), "clinic")
    outcome = await hub.register(1, person(number("A"), family="Berg", first="Olga", born="1950-02-03"))
    assert outcome.flags[0].reasons == ("overlay-suspected", "birth_dates", "families", "first_names")
    assert not outcome.linked_to
    assert await hub.persons() == {frozenset({1}), frozenset({2})}


async def test_marriage_and_the_naming_of_a_newborn_are_no_overlay(hub: Hub) -> None:
    await hub.register(1, person(number("A"), first="BABY GIRL"))
    assert not (await hub.register(1, person(number("A"), first="Signe"))).flags
    assert not (await hub.register(1, person(number("A"), family="Berg"))).flags


async def test_an_update_that_contradicts_a_link_is_flagged_and_the_link_stays(hub: Hub) -> None:
    await hub.register(1, person(number("A"), ssn("219-09-1234")))
    await hub.register(2, person(number("A"), number("L", LABORATORY)), "laboratory")
    outcome = await hub.register(2, person(number("A"), number("L", LABORATORY), ssn("219-09-9876")), "laboratory")
    assert outcome.flags[0].reasons == ("link-contradicted", "ssn-conflict")
    assert await hub.persons() == {frozenset({1, 2})}


async def test_the_survivor_speaks_for_the_numbers_that_were_merged_into_it(hub: Hub) -> None:
    await hub.register(1, person(number("A")))
    await hub.register(2, person(number("B")))
    await hub.merge(2, 1)
    late = await hub.register(3, person(number("A"), number("L", LABORATORY)), "laboratory")
    assert await hub.persons() == {frozenset({1, 2, 3})}
    assert late.linked_to == (patient(1),), "it is matched with the record that holds the number"
    updated = await hub.register(2, person(number("B"), ssn("219-09-1234")))
    assert not updated.flags


async def test_a_record_that_was_erased_is_compared_with_nobody(hub: Hub) -> None:
    await hub.register(1, person(number("A")))
    del hub.records["p1"]
    outcome = await hub.register(2, person(number("A")), "laboratory")
    assert outcome.created and not outcome.linked_to


async def test_simultaneous_registrations_of_one_new_person_make_one_person(hub: Hub) -> None:
    for round_ in range(5):
        keys = range(round_ * 8 + 1, round_ * 8 + 9)
        records = {key: person(number(f"N{round_}"), number("1", f"urn:{key}")) for key in keys}
        hub.records |= {f"p{key}": record for key, record in records.items()}
        async with asyncio.TaskGroup() as group:
            for key, record in records.items():
                group.create_task(hub.register(key, record, f"source-{key}"))
        assert frozenset(keys) in {frozenset(k for k in members if k in keys) for members in await hub.persons()}


async def test_simultaneous_merge_and_registration_agree(hub: Hub) -> None:
    for key in range(1, 21):
        await hub.register(key, person(number(f"N{key}"), first=f"Signe{'abcdefghijklmnopqrst'[key - 1] * 3}x"))
    hub.records |= {
        f"p{key + 100}": person(number(f"N{key}"), number("1", f"urn:{key}"), first="") for key in range(1, 21)
    }
    async with asyncio.TaskGroup() as group:
        for key in range(1, 21):
            group.create_task(hub.register(key + 100, hub.records[f"p{key + 100}"], "laboratory"))
            if key % 2:
                group.create_task(hub.merge(key, key + 1))
    assert await hub.persons() == {frozenset({key, key + 1, key + 100, key + 101}) for key in range(1, 21, 2)}
    assert await hub.replayed() == await hub.tables()


async def test_a_pin_decides_through_merge_and_unlink_and_the_last_one_stands(hub: Hub) -> None:
    for key, born in ((1, "1967-12-13"), (2, "1967-12-31"), (3, "1967-12-13")):
        await hub.register(key, person(number(str(key)), born=born))
    await hub.merge(1, 2)
    await hub.link(1, 3)
    assert (await hub.golden(1, 2, 3)).elements["birthDate"] == "1967-12-13"
    await hub.pin(2, "birthDate")
    assert (await hub.golden(1, 2, 3)).elements["birthDate"] == "1967-12-31"
    assert (await hub.golden(1, 3)).elements["birthDate"] == "1967-12-13"
    await hub.pin(3, "birthDate")
    assert (await hub.golden(1, 2, 3)).elements["birthDate"] == "1967-12-13"
    await hub.unlink(2, 1)
    await hub.pin(2, "birthDate")
    assert await hub.pins() == await hub.replayed_pins() == [(2, "birthDate"), (3, "birthDate")]
    await hub.pin(2, "birthDate", chosen=False)
    assert await hub.pins() == await hub.replayed_pins() == [(3, "birthDate")]


async def test_what_is_no_single_element_or_no_patient_cannot_be_pinned(hub: Hub) -> None:
    await hub.register(1, person(number("1")))
    for element in ("identifier", "colour"):
        with pytest.raises(InvalidInput, match="there are name, gender"):
            await hub.pin(1, element)
    with pytest.raises(UnknownPatient):
        await hub.pin(9, "name")


async def test_the_log_explains_each_link_in_codes_and_cannot_be_changed(hub: Hub) -> None:
    first = await hub.register(1, person(number("A")))
    await hub.register(2, person(number("A"), number("L", LABORATORY)), "laboratory")
    async with hub.database.connection() as tx:
        events = await hub.identity.history(tx, str(first.enterprise_id))
        assert [(event.kind, event.rule, event.decided_by) for event in events] == [
            (LinkEventKind.CREATED, "first-seen", "rules"), (LinkEventKind.LINKED, "identifier", "rules"),
        ]  # fmt: skip
        assert events[1].evidence == ("identifier", "name", "first-name", "family", "birth-date", "sex")
        for statement in ("UPDATE identity_link_event SET rule = ''", "DELETE FROM identity_link_event"):
            with pytest.raises(Exception, match="append-only"):
                await tx.execute(statement)


async def test_no_value_of_a_patient_stands_in_the_tables(hub: Hub) -> None:
    await hub.register(1, person(number("MRN-4711"), ssn("219-09-1234")))
    await hub.register(2, person(number("MRN-4711"), number("L", LABORATORY)), "laboratory")
    await hub.register(1, person(number("MRN-4711"), family="Zebra", first="Xerxes"))
    async with hub.database.connection() as tx:
        tables = [row[0] for row in await tx.fetch("SELECT tablename FROM pg_tables WHERE tablename LIKE 'identity%'")]
        dump = str([dict(row) for table in tables for row in await tx.fetch(f"SELECT * FROM {table}")]).casefold()
    assert len(tables) == 15
    for value in (
        "4711",
        "219-09",
        "219091234",
        "holm",
        "signe",
        "zebra",
        "xerxes",
        "1967-12-13",
        "1967, 12, 13",
        "female",
    ):
        assert value not in dump


async def test_an_unknown_enterprise_id_has_no_members(hub: Hub) -> None:
    async with hub.database.connection() as tx:
        for unknown in (UUID(int=1), "never-an-id"):
            assert await hub.identity.members(tx, unknown) == []
            assert await hub.identity.history(tx, unknown) == []


async def _statements(hub: Hub, key: int, record: dict[str, Any]) -> int:
    """How many statements registering takes, those of `load` apart."""
    count = 0
    async with hub.database.transaction() as tx:

        def counted(statement: Any) -> Any:
            async def run(*arguments: Any) -> Any:
                nonlocal count
                count += 1
                return await statement(*arguments)

            return run

        for verb in ("fetch", "fetchrow", "fetchval", "execute"):
            setattr(tx, verb, counted(getattr(tx, verb)))
        await hub.identity.register(tx, key, f"p{key}", "east", record, hub.load)
    hub.records[f"p{key}"] = record
    return count


async def test_registering_takes_few_round_trips(hub: Hub) -> None:
    assert await _statements(hub, 1, person(number("A"))) <= 3, "a new person"
    assert await _statements(hub, 1, person(number("A"))) == 1, "unchanged"
    assert await _statements(hub, 2, person(number("A"))) <= 5, "linked"


class _RolledBack(Exception):
    pass


async def test_the_order_of_arrival_does_not_change_who_is_linked(hub: Hub) -> None:
    """For links without doubt; three persons in ten records, with bridges between records that share nothing."""
    a = ssn("219-09-1234")
    records = {
        1: person(number("1"), born="1967-12-13"), 2: person(number("1"), a, first="Signe"), 3: person(a, number("9", CLINIC)),
        4: person(number("9", CLINIC), family="Berg"), 5: person(number("5"), first="Olga", born="1950-02-03", family="Aas"),
        6: person(number("5"), number("6", CLINIC), first="Olga", born="1950-02-03", family="Aas"),
        7: person(number("6", CLINIC), first="Olga", family="Dahl", born="1950-02-03"),
        8: person(number("8"), first="Ida", born="1971-05-06", family="Eng"), 9: person(number("8"), ssn("219-09-5555"), first="Ida", born="1971-05-06", family="Eng"),
        10: person(ssn("219-09-5555"), first="Ida", born="1971-05-06", family="Foss"),
    }  # fmt: skip
    hub.records = {f"p{key}": record for key, record in records.items()}
    for seed in range(12):
        keys = random.Random(seed).sample(list(records), len(records))
        with pytest.raises(_RolledBack):
            async with hub.database.transaction() as tx:
                for key in keys:
                    await hub.identity.register(tx, key, f"p{key}", f"s{key}", records[key], hub.load)
                found = {key: str(person) for key, person in (await hub.identity.enterprise_ids(tx, keys)).items()}
                persons = {frozenset(key for key in found if found[key] == person) for person in found.values()}
                assert persons == {frozenset({1, 2, 3, 4}), frozenset({5, 6, 7}), frozenset({8, 9, 10})}, keys
                raise _RolledBack


async def test_what_the_records_of_a_patient_say_together_links_where_none_of_them_does_alone(
    database: Database,
) -> None:
    """The person is not locked while records are looked for, since no pair links: it is before the link is made."""
    hub = Hub(database)
    await hub.register(1, {"resourceType": "Patient", "identifier": [number("A"), ssn("219-09-1234")]})
    await hub.register(2, person(number("B")))
    await hub.merge(1, 2)
    named = person(number("C", CLINIC), ssn("219-09-1234"))
    del named["gender"]
    outcome = await hub.register(3, named, "west")
    assert outcome.linked_to
    assert set(outcome.members) == {1, 2, 3}


async def test_a_person_of_four_times_the_members_takes_four_times_the_work_to_look_at(hub: Hub):
    """Whoever is deleted stays with his person, so that one who is written and deleted again and again has many."""
    explain = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + Queries("healthsync.domains.identity").members_with
    pages, calls = [], []
    for members in (25, 100):
        for key in range(len(hub.records), members):
            await hub.register(key + 1, person(number("7")))
            async with hub.database.transaction() as tx:
                if key:
                    hub.identity.withdraw(tx, key + 1)
        async with hub.database.connection() as tx:
            plan = json.loads(await tx.fetchval(explain, '{"{1}"}'))[0]["Plan"]
        assert plan["Actual Rows"] == members
        pages.append(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
        with counted() as effort:
            await hub.register(1, person(number("7"), first=f"Signe{members}"))
        calls.append(effort.calls)
    assert pages[1] < 6 * pages[0]
    assert calls[1] < 5 * calls[0]
