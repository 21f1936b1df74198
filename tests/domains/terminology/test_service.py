"""Validation, lookup, subsumption, translation, and what search asks."""

from __future__ import annotations

import pytest

from healthsync.domains.terminology import Asked, Coding, Subsumption, TooCostly, UnknownTerminology, shipped
from healthsync.errors import InvalidInput
from healthsync.standards import ucum
from healthsync.standards.fhir import published

from .menagerie import ANIMALS, filtered, value_set

GENDER = "http://hl7.org/fhir/administrative-gender"
GENDERS = "http://hl7.org/fhir/ValueSet/administrative-gender"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"

JUDGED = [
    (GENDERS, Coding(GENDER, "male"), True, None),
    (GENDERS, Coding(GENDER, "male", "Male"), True, None),
    (GENDERS, Coding(GENDER, "male", "mALE"), True, None),
    (GENDERS, Coding(GENDER, "male", "Man"), False, "display"),
    (GENDERS, Coding(GENDER, "Male"), False, "CodeSystem"),
    (GENDERS, Coding("http://x", "male"), False, "value set"),
    ("http://hl7.org/fhir/ValueSet/ucum-units", Coding("http://unitsofmeasure.org", "mg/dL"), True, None),
    ("http://hl7.org/fhir/ValueSet/ucum-units", Coding("http://unitsofmeasure.org", "mg/dl/"), False, "CodeSystem"),
    ("http://hl7.org/fhir/ValueSet/mimetypes", Coding("urn:ietf:bcp:13", "text/plain; charset=UTF-8"), True, None),
    ("http://hl7.org/fhir/ValueSet/mimetypes", Coding("urn:ietf:bcp:13", "plain"), False, "CodeSystem"),
    ("http://hl7.org/fhir/ValueSet/all-languages", Coding("urn:ietf:bcp:47", "zh-Hant-TW"), True, None),
    ("http://hl7.org/fhir/ValueSet/all-languages", Coding("urn:ietf:bcp:47", "not a tag"), False, "CodeSystem"),
    ("http://terminology.hl7.org/ValueSet/v3-PurposeOfUse", Coding("http://terminology.hl7.org/CodeSystem/v3-ActReason", "TREAT"), True, None),
    ("http://terminology.hl7.org/ValueSet/v3-PurposeOfUse", Coding("http://terminology.hl7.org/CodeSystem/v3-ActReason", "FLRCNV"), False, "value set"),
    ("http://terminology.hl7.org/ValueSet/v2-0203", Coding("http://terminology.hl7.org/CodeSystem/v2-0203", "MR", "Medical record number"), True, None),
]  # fmt: skip


async def test_codes_are_judged_by_what_hl7_published(service, database):
    async with database.transaction(read_only=True) as tx:
        for reference, coding, result, word in JUDGED:
            told = await service.validate_code(tx, reference, [coding])
            assert told.result is result, (reference, coding)
            assert word is None or word in (told.message or ""), told.message


async def test_one_right_coding_among_several_is_enough(service, database):
    async with database.transaction() as tx:
        codings = [Coding("http://x", "m"), Coding(GENDER, "male")]
        assert (await service.validate_code(tx, GENDERS, codings)).display == "Male"


async def test_codes_of_a_system_that_is_not_loaded_are_only_known_where_they_are_listed(service, database):
    sct = "http://snomed.info/sct"
    async with database.transaction() as tx:
        listed = value_set("http://v", {"system": sct, "concept": [{"code": "271649006"}]})
        assert (await service.validate_code(tx, listed, [Coding(sct, "271649006")])).result
        assert not (await service.validate_code(tx, listed, [Coding(sct, "271650006")])).result
        whole = await service.validate_code(tx, value_set("http://v", {"system": sct}), [Coding(sct, "271649006")])
        assert (whole.result, "could not be found" in (whole.message or "")) == (False, True)


async def test_an_abstract_code_counts_unless_the_context_wants_one_for_selection(service, database, animals):
    async with database.transaction() as tx:
        await service.record(tx, animals)
        everything = value_set("http://v", {"system": ANIMALS})
        assert (await service.validate_code(tx, everything, [Coding(ANIMALS, "animal")])).result
        assert not (
            await service.validate_code(tx, everything, [Coding(ANIMALS, "animal")], Asked(abstract=False))
        ).result
        assert (await service.validate_code(tx, everything, [Coding(ANIMALS, "cat", "Hauskatze")])).result


async def test_a_system_that_does_not_mind_case_finds_its_code_in_any(service, database, animals):
    async with database.transaction() as tx:
        await service.record(tx, animals | {"caseSensitive": False})
        assert (await service.validate_in_system(tx, [Coding(ANIMALS, "CAT")])).display == "House cat"
        mammals = value_set("http://v", filtered("concept", "is-a", "mammal"))
        assert (await service.validate_code(tx, mammals, [Coding(ANIMALS, "Cat")])).result
        await service.record(tx, animals)
        assert not (await service.validate_in_system(tx, [Coding(ANIMALS, "CAT")])).result


async def test_lookup_tells_all_that_is_known(service, database, animals):
    async with database.transaction() as tx:
        await service.record(tx, animals)
        system, concept = await service.lookup(tx, Coding(ANIMALS, "cat"))
        assert (system.title, concept.definition, concept.parents) == (
            *("Animals of the house", "A cat that owns a house.", ("mammal",)),
        )
        _, mammal = await service.lookup(tx, Coding(ANIMALS, "mammal"))
        assert await service.around(tx, system, mammal) == (
            *({"animal": "Animal"}, {"cat": "House cat", "mouse": "Mouse", "bat": "Bat"}),
        )
        for unknown in (Coding(ANIMALS, "dog"), Coding("http://unknown", "cat"), Coding(ANIMALS, "cat", version="9")):
            with pytest.raises(UnknownTerminology):
                await service.lookup(tx, unknown)
        with pytest.raises(InvalidInput):
            await service.lookup(tx, Coding(None, "cat"))


async def test_subsumption_follows_every_parent(service, database, animals):
    async with database.transaction() as tx:
        await service.record(tx, animals)
        for a, b, outcome in [
            ("cat", "cat", Subsumption.EQUIVALENT),
            ("animal", "bat", Subsumption.SUBSUMES),
            ("bat", "flyer", Subsumption.SUBSUMED_BY),
            ("cat", "flyer", Subsumption.NOT_SUBSUMED),
        ]:
            assert await service.subsumes(tx, ANIMALS, None, a, b) is outcome
        assert await service.subsumes(tx, ACT_CODE, None, "_ActCoverageTypeCode", "HMO") is Subsumption.SUBSUMES
        with pytest.raises(UnknownTerminology):
            await service.subsumes(tx, ANIMALS, None, "cat", "dog")


async def test_below_and_above_include_the_code_and_fall_back_to_it(service, database, animals):
    async with database.transaction() as tx:
        await service.record(tx, animals)
        assert await service.descendants(tx, ANIMALS, "flyer") == {(ANIMALS, c) for c in ("flyer", "bat", "dodo")}
        assert await service.ancestors(tx, ANIMALS, "bat") == {
            (ANIMALS, c) for c in ("bat", "mammal", "flyer", "animal")
        }
        assert await service.descendants(tx, "http://unknown", "x") == {("http://unknown", "x")}
        assert await service.ancestors(tx, ANIMALS, "dog") == {(ANIMALS, "dog")}
        below = await service.descendants(tx, ACT_CODE, "_ActCoverageTypeCode")
        assert (ACT_CODE, "HMO") in below


async def test_more_descendants_than_can_be_listed_are_too_costly(service, database, animals, monkeypatch):
    monkeypatch.setattr("healthsync.domains.terminology.service.MAX_EXPANSION", 3)
    async with database.transaction() as tx:
        await service.record(tx, animals)
        assert len(await service.descendants(tx, ANIMALS, "flyer")) == 3
        for system, code in ((ANIMALS, "mammal"), (ACT_CODE, "_ActCoverageTypeCode")):
            with pytest.raises(TooCostly):
                await service.descendants(tx, system, code)


async def test_the_resource_recorded_last_replaces_and_forgetting_brings_the_published_one_back(service, database):
    own = {"resourceType": "CodeSystem", "id": "g", "url": GENDER, "version": "0.1", "concept": [{"code": "own"}]}
    async with database.transaction() as tx:
        await service.record(tx, own | {"concept": [{"code": "first"}]})
        await service.record(tx, own)
        assert (await service.validate_in_system(tx, [Coding(GENDER, "own")])).result
        assert not (await service.validate_in_system(tx, [Coding(GENDER, "first")])).result
        assert (await service.validate_in_system(tx, [Coding(GENDER, "male", version="4.0.1")])).result
        await service.forget(tx, "CodeSystem", "g")
        assert (await service.validate_in_system(tx, [Coding(GENDER, "male")])).result
        for table in ("concept", "edge", "property", "designation"):
            assert await tx.fetchval(f"SELECT count(*) FROM terminology_{table}") == 0


async def test_without_a_version_the_newest_that_is_not_retired_is_taken(service, database):
    async with database.transaction() as tx:
        for id_, version, status in (("a", "2.10", "active"), ("b", "2.9", "active"), ("c", "3.0", "retired")):
            system = {"resourceType": "CodeSystem", "id": id_, "url": "http://s", "version": version, "status": status}
            await service.record(tx, system | {"concept": [{"code": id_}]})
        for coding, result in (
            (Coding("http://s", "a"), True),
            (Coding("http://s", "b"), False),
            (Coding("http://s", "b", version="2.9"), True),
            (Coding("http://s", "c", version="3.0"), True),
        ):
            assert (await service.validate_in_system(tx, [coding])).result is result


async def test_a_package_is_loaded_without_what_cannot_be_compiled(service, database, animals):
    broken = value_set("http://v/broken", {"concept": [{"code": "a"}]})
    resources = [
        animals,
        value_set("http://v/ok", {"system": ANIMALS}),
        broken,
        {"resourceType": "Patient", "url": "u"},
    ]
    resources += [
        {"resourceType": "ConceptMap", "id": "m", "url": "http://m", "group": [{"element": [{"target": [7]}]}]}
    ]
    resources += [{"resourceType": "CodeSystem", "id": "bad", "url": "http://bad", "concept": [{"display": "no code"}]}]
    async with database.transaction() as tx:
        loaded = await service.load(tx, resources, "example.animals#1.0.0")
        again = await service.load(tx, resources, "example.animals#1.0.0")
        assert loaded.counts == again.counts == {"CodeSystem": 1, "ValueSet": 1, "ConceptMap": 1}
        assert {url for url, _ in loaded.refused} == {"http://v/broken", "http://bad"}
        assert (await service.expand(tx, "http://v/ok")).total == 7
        await service.unload(tx, "example.animals#1.0.0")
        assert await service.value_set(tx, "http://v/ok") is None
        assert not (await service.validate_in_system(tx, [Coding(ANIMALS, "cat")])).result


def concept_map(url: str, *groups: dict, **more) -> dict:
    return {"resourceType": "ConceptMap", "id": url.rpartition("/")[2], "url": url, "group": list(groups), **more}


GROUP = {
    "source": ANIMALS,
    "target": "http://t",
    "element": [
        {"code": "cat", "target": [{"code": "felis", "equivalence": "wider", "display": "Felis"}]},
        {"code": "dodo", "target": [{"equivalence": "unmatched"}]},
        {"code": "bat", "target": [
            {"code": "night", "equivalence": "equal", "dependsOn": [{"property": "http://when", "value": "dark"}]},
        ]},
    ],
}  # fmt: skip


async def _translated(service, tx, code: str, **asked):
    found = await service.translate(tx, [Coding(ANIMALS, code)], concept_map="http://m", **asked)
    return found.result, [(m.equivalence, m.target and m.target.code) for m in found.matches]


async def test_translation_follows_the_lines_of_the_map(service, database):
    async with database.transaction() as tx:
        await service.record(tx, concept_map("http://m", GROUP))
        assert await _translated(service, tx, "cat") == (True, [("wider", "felis")])
        assert await _translated(service, tx, "cat", target_system="http://t") == (True, [("wider", "felis")])
        assert await _translated(service, tx, "cat", target_system="http://other") == (False, [])
        assert await _translated(service, tx, "dodo") == (False, [("unmatched", None)])
        assert await _translated(service, tx, "mouse") == (False, [])
        assert await _translated(service, tx, "bat") == (False, [])
        assert await _translated(service, tx, "bat", dependencies={"http://when": "dark"}) == (
            True,
            [("equal", "night")],
        )
        back = await service.translate(tx, [Coding("http://t", "felis")], concept_map="ConceptMap/m", reverse=True)
        assert [(m.equivalence, m.target.system, m.target.code) for m in back.matches] == [("narrower", ANIMALS, "cat")]
        with pytest.raises(UnknownTerminology):
            await service.translate(tx, [Coding(ANIMALS, "cat")], concept_map="http://unknown")


@pytest.mark.parametrize(
    ("unmapped", "expected"),
    [
        ({"mode": "provided"}, [("equal", "mouse")]),
        ({"mode": "fixed", "code": "vermin"}, [("inexact", "vermin")]),
        ({"mode": "other-map", "url": "http://other"}, [("equivalent", "mus")]),
        ({"mode": "other-map", "url": "http://m"}, []),
    ],
)
async def test_a_code_that_is_not_listed_goes_where_the_map_sends_it(unmapped, expected, service, database):
    other = {"source": ANIMALS, "target": "http://t", "element": [{"code": "mouse", "target": [{"code": "mus", "equivalence": "equivalent"}]}]}  # fmt: skip
    async with database.transaction() as tx:
        await service.record(tx, concept_map("http://m", GROUP | {"unmapped": unmapped}))
        await service.record(tx, concept_map("http://other", other))
        assert (await _translated(service, tx, "mouse"))[1] == expected
        assert (await _translated(service, tx, "dodo"))[1] == [("unmatched", None)]


async def test_without_a_map_those_between_the_value_sets_are_asked(service, database):
    v3 = "http://terminology.hl7.org/ValueSet/v3-AdministrativeGender"
    async with database.transaction() as tx:
        found = await service.translate(tx, [Coding(GENDER, "male")], source=GENDERS, target=v3)
        assert [m.target.code for m in found.matches if m.target] == ["M"]
        await service.record(tx, concept_map("http://m", GROUP, sourceUri="http://v/s", targetUri="http://v/t"))
        found = await service.translate(tx, [Coding(ANIMALS, "cat")], source="http://v/s", target="http://v/t")
        assert [(m.target.code, m.source) for m in found.matches if m.target] == [("felis", "http://m")]


async def test_every_published_value_set_is_expanded_unless_it_needs_what_may_not_be_shipped(service, database):
    """1,274 are published; what the others need (SNOMED CT, LOINC, ISO 3166 …) is refused, never guessed."""
    expanded = 0
    async with database.transaction(read_only=True) as tx:
        for url in published.index()["ValueSet"]:
            try:
                expanded += (await service.expand(tx, url, count=1)).members is not None
            except (UnknownTerminology, InvalidInput) as refused:
                assert refused.code in ("not-found", "too-costly") or "example" in url, url
    assert expanded == 1169


async def test_the_core_of_loinc_has_names_and_no_members(service, database):
    loinc = "http://loinc.org"
    async with database.transaction() as tx:
        assert (await service.lookup(tx, Coding(loinc, "2345-7")))[
            1
        ].display == "Glucose [Mass/volume] in Serum or Plasma"
        assert (await service.validate_in_system(tx, [Coding(loinc, "8867-4", "heart rate")])).result
        assert not (await service.validate_in_system(tx, [Coding(loinc, "8867-4", "Glucose")])).result
        everything = value_set("http://v", {"system": loinc})
        with pytest.raises(UnknownTerminology):
            await service.expand(tx, everything)
        assert not (await service.validate_code(tx, everything, [Coding(loinc, "2345-7")])).result
        listed = value_set("http://v", {"system": loinc, "concept": [{"code": "99999-9"}]})
        assert (await service.validate_code(tx, listed, [Coding(loinc, "99999-9")])).result


def test_every_unit_of_the_core_of_loinc_is_ucum():
    core = shipped.code_system("http://loinc.org")
    assert core is not None
    for concept in core._concepts.values():
        assert all(ucum.is_valid(each.value) for each in concept.properties), concept.code
        digits = concept.code.replace("-", "")
        assert digits.isdecimal() and _mod_10(digits[:-1]) == int(digits[-1]), concept.code


def _mod_10(digits: str) -> int:
    """The check digit of a LOINC code (LOINC Users' Guide, appendix on the check digit): Luhn's."""
    total = sum(map(int, digits[-2::-2])) + sum(sum(map(int, str(int(d) * 2))) for d in digits[::-2])
    return -total % 10
