"""The town and its story are the same for a seed, hold together, and are understood by the maps."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import healthsync
from healthsync.entrypoints.demo import names
from healthsync.entrypoints.demo.leaks import SHORTEST, LeakScanner
from healthsync.entrypoints.demo.population import TODAY, populate
from healthsync.entrypoints.demo.registrations import CLINIC, HOSPITALS, register
from healthsync.entrypoints.demo.scenario import Scenario, stories
from healthsync.entrypoints.demo.scenario import tell as tell_anew
from healthsync.standards.fhir import validate
from healthsync.standards.hl7v2 import Message
from healthsync.standards.maps import Conversion, MappingContext, convert

tell = cache(tell_anew)
SEEDS = (7, 8)


def test_a_seed_tells_one_story_and_another_seed_another() -> None:
    assert tell_anew(40, 5) == tell_anew(40, 5)
    assert tell_anew(40, 5).dispatches != tell_anew(40, 6).dispatches


@given(count=st.integers(10, 120), seed=st.integers(0, 10**6))
@settings(max_examples=25)
def test_people_differ_in_what_must_tell_them_apart(count: int, seed: int) -> None:
    persons = populate(count, seed)
    assert len(persons) == count
    for numbers in ([p.id for p in persons], [p.ssn for p in persons], [p.phone for p in persons]):
        assert len(set(numbers)) == count
    same = Counter((p.given, p.family, p.born, p.sex) for p in persons)
    assert {key for key, n in same.items() if n > 1} == {
        (p.given, p.family, p.born, p.sex) for p in persons if p.has_double
    }
    assert all(p.born <= TODAY for p in persons)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=10)
def test_twins_and_children_have_names_that_no_typing_error_makes_equal(seed: int) -> None:
    households: dict[int, list[str]] = {}
    for person in populate(120, seed):
        if not person.suffix:
            households.setdefault(person.household, []).append(person.given[:4])
    assert all(len(set(given)) == len(given) for given in households.values())


@given(count=st.integers(10, 120), seed=st.integers(0, 10**6))
@settings(max_examples=25)
def test_every_source_gives_a_number_once_and_every_person_has_one(count: int, seed: int) -> None:
    persons = populate(count, seed)
    registrations = register(persons, seed)
    assert len({known.key for known in registrations}) == len(registrations)
    assert {known.person.id for known in registrations} == {p.id for p in persons}
    for known in registrations:
        if known.duplicate_of:
            first = next(r for r in registrations if r.number == known.duplicate_of)
            assert (first.person, first.source) == (known.person, known.source)
        if known.person.has_double:
            assert known.ssn == known.person.ssn


def test_the_cases_that_make_identity_hard_are_all_there() -> None:
    town = tell(200, 7)
    persons, registrations = town.persons, town.registrations
    assert any(p.twin for p in persons) and any(p.newborn for p in persons) and any(p.has_double for p in persons)
    assert (
        any(p.suffix == "Jr" for p in persons)
        and any(p.maiden for p in persons)
        and any("-" in p.family for p in persons)
    )
    assert any(r.given.startswith("BABY ") for r in registrations) and any(r.ssn is None for r in registrations)
    assert any(r.duplicate_of and r.is_resolved for r in registrations)
    assert any(r.duplicate_of and not r.is_resolved for r in registrations)
    assert any(r.ssn != r.person.ssn for r in registrations if r.ssn)
    assert any(r.born != r.person.born for r in registrations)
    seen_in = Counter(person for person, _ in {(r.person.id, r.source.name) for r in registrations})
    assert {1, 2, 3, 4} <= set(seen_in.values())


def test_every_kind_of_message_is_sent_by_some_hospital_and_some_twice() -> None:
    kinds: Counter[str] = Counter()
    for _, counts in stories(tell(200, 7)):
        kinds += counts
    assert set(kinds) == {"A01", "A02", "A03", "A04", "A28", "A31", "A40", "R01"}
    assert tell(200, 7).resends > 10


@pytest.mark.parametrize("seed", SEEDS)
def test_a_hospital_sends_in_order_of_time_and_repeats_only_what_it_just_sent(seed: int) -> None:
    for sent in tell(60, seed).dispatches.values():
        assert [one.at for one in sent] == sorted(one.at for one in sent)
        assert all(again.raw == first.raw for first, again in pairwise(sent) if again.is_resend)
        control_ids = [Message.parse(one.raw).control_id for one in sent if not one.is_resend]
        assert len(set(control_ids)) == len(control_ids)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_message_is_mapped_without_a_rest_and_makes_valid_fhir(seed: int) -> None:
    for conversion in _conversions(tell(60, seed)):
        assert (conversion.unmapped, conversion.issues) == ({}, [])
        for mapped in conversion.resources:
            assert [issue for issue in validate.structure(mapped.resource) if issue.is_error] == []


@pytest.mark.parametrize("seed", SEEDS)
def test_the_critical_results_announced_are_those_sent(seed: int) -> None:
    critical = {
        mapped.key
        for conversion in _conversions(tell(60, seed))
        for mapped in conversion.resources
        for concept in mapped.resource.get("interpretation", ())
        if concept["coding"][0]["code"] in ("HH", "LL")
    }
    assert len(critical) == tell(60, seed).critical_results > 0


def test_results_carry_their_range_and_the_flag_that_fits_it() -> None:
    checked = 0
    for sent in tell(60, 7).dispatches.values():
        for one in sent:
            for obx in Message.parse(one.raw).all("OBX"):
                low, _, high = obx.get(7).rpartition("-")
                value, flag = float(obx.get(5)), obx.get(8)
                assert (flag in ("L", "LL")) == (value < float(low)) and (flag in ("H", "HH")) == (value > float(high))
                checked += 1
    assert checked > 200


@pytest.mark.parametrize("seed", SEEDS)
def test_the_clinic_posts_valid_transactions_that_may_be_repeated(seed: int) -> None:
    town = tell(60, seed)
    assert len(town.bundles) == sum(r.source is CLINIC for r in town.registrations) + (town.opted_out is not None)
    for bundle in town.bundles:
        for entry in bundle["entry"]:
            assert [issue for issue in validate.structure(entry["resource"]) if issue.is_error] == []
            assert entry["request"]["method"] == "PUT" and "?identifier=" in entry["request"]["url"]


PERSONAL = ("PID-3.1", "PID-5.1", "PID-5[2].1", "PID-7", "PID-11.1", "PID-11.3", "PID-13.1", "PID-19", "NK1-2.1",
            "NK1-2.2", "NK1-4.1", "NK1-5.1", "PV1-19.1", "IN1-36", "OBR-3.1", "MRG-1.1")  # fmt: skip


def test_every_value_that_is_sent_about_a_person_is_looked_for() -> None:
    town = tell(60, 7)
    scanner = LeakScanner(town.needles)
    newborns = {f"{p.born:%Y%m%d}" for p in town.persons if p.newborn}
    for sent in town.dispatches.values():
        for one in sent:
            message = Message.parse(one.raw)
            for path in PERSONAL:
                value = message.get(path)
                if value and value not in newborns:
                    assert list(scanner.scan(value.encode(), path)), f"{path} is not looked for"


def test_names_are_long_enough_to_be_found_and_nobody_else_has_them() -> None:
    coined = (*names.FAMILY, *names.ACCENTED, *names.FEMALE, *names.MALE, *names.STREETS, *names.TOWNS)
    assert min(map(len, coined)) >= SHORTEST and len(set(coined)) == len(coined)
    assert not set(names.FEMALE) & set(names.MALE)
    package = Path(healthsync.__file__).parent
    text = "\n".join(
        path.read_text(encoding="utf-8").lower()
        for path in package.rglob("*")
        if path.suffix in (".py", ".sql", ".yaml", ".md") and path.name != "names.py"
    )
    words = set(re.findall(r"[^\W\d_]+", text))
    assert not words & {name.lower() for name in coined}


def _conversions(town: Scenario) -> list[Conversion]:
    made = []
    for source in HOSPITALS:
        context = MappingContext(
            source=source.name,
            resource_id=lambda kind, key: str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}|{key}")),
            timezone=ZoneInfo("America/New_York"),
            received_at=datetime(2026, 3, 2, tzinfo=UTC),
        )
        made += [convert(Message.parse(one.raw), context) for one in town.dispatches[source.name]]
    return made
