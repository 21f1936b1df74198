"""Which concepts belong: expansions, memberships and their agreement, in memory and in tables."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.domains.terminology import MAX_EXPANSION, Coding, TooCostly, UnknownTerminology, compiling
from healthsync.domains.terminology.expansion import Expander, Wanted
from healthsync.domains.terminology.model import Filter, FilterOperator
from healthsync.domains.terminology.sources import MemorySystem
from healthsync.errors import InvalidInput

from . import menagerie
from .menagerie import ANIMALS, filtered, value_set

FILTERS = [
    ("concept", "is-a", "mammal", ["mammal", "cat", "mouse", "bat"]),
    ("concept", "descendent-of", "mammal", ["cat", "mouse", "bat"]),
    ("concept", "is-not-a", "mammal", ["animal", "flyer", "dodo"]),
    ("concept", "is-a", "flyer", ["bat", "flyer", "dodo"]),
    ("concept", "is-a", "nothing", []),
    ("concept", "generalizes", "bat", ["animal", "mammal", "bat", "flyer"]),
    ("code", "=", "cat", ["cat"]),
    ("concept", "=", "cat", ["cat"]),
    ("display", "=", "Mouse", ["mouse"]),
    ("code", "regex", "[a-d].t", ["cat", "bat"]),
    ("code", "regex", "at", []),
    ("display", "regex", r"\w+ (cat|flies)", ["cat", "flyer"]),
    ("code", "in", "cat, dodo,unknown", ["cat", "dodo"]),
    ("code", "not-in", "cat,dodo,animal", ["mammal", "mouse", "bat", "flyer"]),
    ("legs", "=", "4", ["mammal", "cat", "mouse"]),
    ("legs", "exists", "true", ["mammal", "cat", "mouse"]),
    ("legs", "exists", "false", ["animal", "bat", "flyer", "dodo"]),
    ("legs", "in", "2,4", ["mammal", "cat", "mouse"]),
    ("eats", "=", "mouse", ["cat"]),
    ("parent", "=", "flyer", ["bat", "dodo"]),
    ("child", "=", "bat", ["mammal", "flyer"]),
    ("child", "exists", "false", ["cat", "mouse", "bat", "dodo"]),
    ("inactive", "=", "true", ["dodo"]),
    ("inactive", "=", "false", ["animal", "mammal", "cat", "mouse", "bat", "flyer"]),
    ("notSelectable", "=", "true", ["animal"]),
    ("concept", "child-of", "mammal", ["cat", "mouse", "bat"]),
    ("concept", "descendent-leaf", "animal", ["cat", "mouse", "bat", "dodo"]),
    ("definition", "exists", "true", ["cat"]),
]


@pytest.mark.parametrize(("prop", "op", "value", "expected"), FILTERS)
async def test_a_filter_selects_concepts(prop, op, value, expected, animals):
    memory = MemorySystem(compiling.code_system(animals))
    assert [c.code for c in await memory.select([Filter(prop, FilterOperator(op), value)], limit=50)] == expected


async def test_every_filter_selects_the_same_concepts_in_tables(service, database, animals):
    everything = [c.code for c in compiling.code_system(animals).concepts]
    async with database.transaction() as tx:
        await service.record(tx, animals)
        stored = await service._system(tx, ANIMALS, None)
        assert type(stored).__name__ == "StoredSystem"
        for prop, op, value, expected in FILTERS:
            entry = Filter(prop, FilterOperator(op), value)
            assert [c.code for c in await stored.select([entry], limit=50)] == expected, entry
            assert [c.code for c in await stored.select([entry], codes=everything, limit=50)] == expected, entry
            asked = await stored.select([entry], codes=["cat", "bat"], limit=50)
            assert [c.code for c in asked] == [c for c in expected if c in ("cat", "bat")], entry


async def test_all_that_is_known_of_a_concept_is_the_same_in_memory_and_in_tables(service, database, animals):
    compiled = compiling.code_system(animals)
    memory = MemorySystem(compiled)
    codes = [c.code for c in compiled.concepts]
    async with database.transaction() as tx:
        await service.record(tx, animals)
        stored = await service._system(tx, ANIMALS, "1.2")
        assert stored.header == memory.header
        details = await stored.details(codes)
        assert {
            c: (d.display, d.definition, d.designations, d.properties, sorted(d.parents)) for c, d in details.items()
        } == {
            c: (d.display, d.definition, d.designations, d.properties, sorted(d.parents))
            for c, d in (await memory.details(codes)).items()
        }
        for code in codes:
            assert await stored.ancestors(code) == await memory.ancestors(code)
            assert await stored.descendants(code, 50) == await memory.descendants(code, 50)


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (("wings", "=", "2"), "not-supported"),
        (("legs", "is-a", "cat"), "not-supported"),
        (("legs", "exists", "maybe"), "not-supported"),
        (("code", "regex", "(a"), "invalid"),
        (("code", "regex", "a" * 401), "not-supported"),
        (("code", "regex", r"(a)\1"), "not-supported"),
        (("code", "regex", "(?i)a"), "not-supported"),
        (("code", "regex", "((a{1000}){1000}){1000}"), "invalid"),
    ],
)
async def test_a_filter_that_cannot_be_applied_refuses(entry, code, animals):
    prop, op, value = entry
    memory = MemorySystem(compiling.code_system(animals))
    with pytest.raises(InvalidInput) as refused:
        await memory.select([Filter(prop, FilterOperator(op), value)], limit=50)
    assert refused.value.code == code


async def test_a_regex_bomb_costs_no_time(service, database):
    bomb = {"property": "display", "op": "regex", "value": "(a|aa|[a-z]+)+(a+)+x"}
    concept = {"code": "long", "display": "a" * 20_000}
    async with database.transaction() as tx:
        await service.record(tx, {"resourceType": "CodeSystem", "id": "l", "url": "http://long", "concept": [concept]})
        started = time.process_time()
        for system in ("http://long", "http://terminology.hl7.org/CodeSystem/v3-ActCode"):
            include = {"system": system, "filter": [bomb]}
            assert (await service.expand(tx, value_set("http://v", include))).total == 0
        assert time.process_time() - started < 2


async def codes(service, tx, definition, **wanted) -> list[str]:
    return [m.concept.code for m in (await service.expand(tx, definition, **wanted)).members]


async def test_includes_add_excludes_take_away_and_nothing_stands_twice(service, database, animals):
    async with database.transaction() as tx:
        await service.record(tx, animals)
        everything = {"system": ANIMALS}
        listed = {"system": ANIMALS, "concept": [{"code": "dodo"}, {"code": "cat"}]}
        assert await codes(service, tx, value_set("http://v", filtered("code", "=", "cat"), listed)) == ["cat", "dodo"]
        assert await codes(service, tx, value_set("http://v", everything, exclude=[listed])) == [
            *("animal", "mammal", "mouse", "bat", "flyer")
        ]


async def test_an_include_of_several_value_sets_is_what_they_share(service, database, animals):
    async with database.transaction() as tx:
        await service.record(tx, animals)
        await service.record(tx, value_set("http://v/mammals", filtered("concept", "is-a", "mammal")))
        await service.record(tx, value_set("http://v/flyers", filtered("concept", "is-a", "flyer")))
        both = {"valueSet": ["http://v/mammals", "http://v/flyers"]}
        assert await codes(service, tx, value_set("http://v", both)) == ["bat"]
        narrowed = {**filtered("code", "regex", ".at"), "valueSet": ["http://v/mammals"]}
        assert await codes(service, tx, value_set("http://v", narrowed)) == ["cat", "bat"]
        either = value_set("http://v", *({"valueSet": [f"http://v/{name}"]} for name in ("mammals", "flyers")))
        assert set(await codes(service, tx, either)) == {"mammal", "cat", "mouse", "bat", "flyer", "dodo"}


async def test_pages_words_and_activity_narrow_an_expansion(service, database, animals):
    async with database.transaction() as tx:
        await service.record(tx, animals)
        all_of_it = value_set("http://v", {"system": ANIMALS})
        assert await codes(service, tx, all_of_it, text="HOUSE c") == ["cat"]
        assert await codes(service, tx, all_of_it, text="100%_") == []
        assert "dodo" not in await codes(service, tx, all_of_it, active_only=True)
        assert "animal" not in await codes(service, tx, all_of_it, selectable_only=True)
        assert "dodo" not in await codes(service, tx, value_set("http://v", {"system": ANIMALS}, inactive=False))
        page = await service.expand(tx, all_of_it, offset=2, count=2)
        assert ([m.concept.code for m in page.members], page.total) == (["cat", "mouse"], 7)
        assert await codes(service, tx, all_of_it, count=0) == []


async def test_the_display_of_the_value_set_goes_before_that_of_the_system(service, database, animals):
    async with database.transaction() as tx:
        await service.record(tx, animals)
        listed = {"system": ANIMALS, "concept": [{"code": "cat", "display": "Her Majesty"}, {"code": "mouse"}]}
        found = await service.expand(tx, value_set("http://v", listed), details=True)
        assert [m.concept.display for m in found.members] == ["Her Majesty", "Mouse"]
        assert [d.value for d in found.members[0].concept.designations] == ["Hauskatze", "Chat"]


CIRCLES = {
    "itself": [value_set("http://v/a", {"valueSet": ["http://v/a"]})],
    "through another": [
        value_set("http://v/a", {"valueSet": ["http://v/b"]}),
        value_set("http://v/b", {"valueSet": ["http://v/a"]}),
    ],
    "through an exclude": [
        value_set("http://v/a", {"system": "s", "concept": [{"code": "c"}]}, exclude=[{"valueSet": ["http://v/b"]}]),
        value_set("http://v/b", {"system": "s", "valueSet": ["http://v/a"], "concept": [{"code": "c"}]}),
    ],
}


async def test_an_import_that_leads_back_is_refused(service, database):
    for definitions in CIRCLES.values():
        async with database.transaction() as tx:
            for definition in definitions:
                await service.record(tx, definition)
            with pytest.raises(InvalidInput, match="circularity"):
                await service.expand(tx, "http://v/a")
            with pytest.raises(InvalidInput, match="circularity"):
                await service.validate_code(tx, "http://v/a", [Coding("s", "c")])


async def test_imports_that_fan_out_without_end_are_too_costly(service, database):
    async with database.transaction() as tx:
        for level in range(20):
            twice = [{"valueSet": [f"http://v/{level + 1}"]}, {"valueSet": [f"http://v/{level + 1}"]}]
            await service.record(tx, value_set(f"http://v/{level}", *twice))
        await service.record(tx, value_set("http://v/20", {"system": "s", "concept": [{"code": "c"}]}))
        started = time.process_time()
        with pytest.raises(TooCostly):
            await service.expand(tx, "http://v/0")
        with pytest.raises(TooCostly):
            await service.validate_code(tx, "http://v/0", [Coding("s", "other")])
        assert time.process_time() - started < 5


async def test_an_unknown_import_is_named_as_missing(service, database):
    async with database.transaction() as tx:
        with pytest.raises(UnknownTerminology):
            await service.expand(tx, value_set("http://v", {"valueSet": ["http://v/missing"]}))
        with pytest.raises(UnknownTerminology):
            await service.expand(tx, value_set("http://v", {"system": "http://snomed.info/sct"}))
        with pytest.raises(UnknownTerminology):
            await service.expand(tx, "http://v/missing")
        assert await service.members(tx, "http://v/missing") is None


async def test_a_system_of_more_codes_than_can_be_listed_is_answered_in_pages_only(service, database):
    number = MAX_EXPANSION + 1
    concepts = [{"code": f"c{n}", "display": f"concept {n}"} for n in range(number)]
    big = {"resourceType": "CodeSystem", "id": "big", "url": "http://big", "concept": concepts}
    everything = value_set("http://v/big", {"system": "http://big"})
    async with database.transaction() as tx:
        await service.record(tx, big)
        await service.record(tx, everything)
        for refused in (service.expand(tx, everything), service.members(tx, "http://v/big")):
            with pytest.raises(TooCostly):
                await refused
        with pytest.raises(TooCostly):
            await service.expand(tx, everything, offset=number, count=1)
        assert len((await service.expand(tx, everything, count=10**9)).members) == MAX_EXPANSION
        page = await service.expand(tx, everything, offset=5, count=3)
        assert ([m.concept.code for m in page.members], page.total) == (["c5", "c6", "c7"], None)
        assert (await service.expand(tx, everything, text=f"concept {number - 1}")).total == 1
        assert (await service.validate_code(tx, "http://v/big", [Coding("http://big", f"c{number - 1}")])).result


async def test_an_expansion_that_would_read_a_million_concepts_to_find_none_ends(monkeypatch):
    monkeypatch.setattr("healthsync.domains.terminology.expansion.MAX_SCANNED", 20_000)

    class Endless:
        header = compiling.code_system({"url": "http://endless"}).header
        read = 0

        async def is_broad(self, filters):
            return False

        async def select(self, filters, *, codes=None, words=(), after=-1, limit):
            if codes is not None:
                return [compiling.Concept(code) for code in codes]
            self.read += limit
            return [compiling.Concept(f"c{n}", ordinal=n) for n in range(after + 1, after + 1 + limit)]

    endless = Endless()

    async def system(url, version):
        return endless

    everything = {"system": "http://endless"}
    definition = compiling.value_set(value_set("http://v", everything, exclude=[everything]))
    with pytest.raises(TooCostly):
        await Expander(system, lambda url: None).page(definition, Wanted(), count=10)
    assert endless.read == 25_000


async def test_members_are_pairs_of_system_and_code(service, database, animals):
    async with database.transaction() as tx:
        await service.record(tx, animals)
        await service.record(tx, value_set("http://v/mammals", filtered("concept", "descendent-of", "mammal")))
        expected = frozenset((ANIMALS, code) for code in ("cat", "mouse", "bat"))
        assert await service.members(tx, "http://v/mammals") == expected
        assert await service.members(tx, "ValueSet/mammals") == expected
        assert await service.members(tx, "http://v/mammals|9") is None
        gender = "http://hl7.org/fhir/administrative-gender"
        published = await service.members(tx, "http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1")
        assert published == {(gender, code) for code in ("male", "female", "other", "unknown")}


codes_of_animals = st.sampled_from(["animal", "mammal", "cat", "mouse", "bat", "flyer", "dodo"])
parts = st.one_of(
    st.just({"system": ANIMALS}),
    st.sampled_from([filtered(p, o, v) for p, o, v, _ in FILTERS]),
    st.lists(codes_of_animals, min_size=1, max_size=3).map(
        lambda listed: {"system": ANIMALS, "concept": [{"code": code} for code in listed]}
    ),
    st.just({"valueSet": ["http://v/other"]}),
    st.just({**filtered("legs", "=", "4"), "valueSet": ["http://v/other"]}),
)


@given(st.lists(parts, min_size=1, max_size=3), st.lists(parts, max_size=2), st.booleans())
async def test_a_concept_is_in_the_expansion_exactly_when_it_belongs(includes, excludes, inactive):
    source = MemorySystem(compiling.code_system(menagerie.animals()))
    other = compiling.value_set(value_set("http://v/other", filtered("concept", "is-a", "flyer")))

    async def system(url, version):
        return source

    async def imported(url):
        return other

    definition = compiling.value_set(value_set("http://v", *includes, exclude=excludes, inactive=inactive))
    listed = {m.concept.code for m in (await Expander(system, imported).page(definition, Wanted())).members}
    known = [c.code for c in await source.select([], limit=50)]
    assert set(await Expander(system, imported).keep(definition, ANIMALS, known)) == listed
