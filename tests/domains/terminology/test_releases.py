"""What others publish: read in each format, and loaded so that the questions of the service find it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from healthsync.domains.terminology import Coding, Subsumption, TerminologyService, UnknownTerminology
from healthsync.domains.terminology.releases import KINDS, Files, Release
from healthsync.errors import InvalidInput
from healthsync.infrastructure.database import Database

from . import published

SNOMED, LOINC = "http://snomed.info/sct", "http://loinc.org"
ICD_9, ICD_10 = "http://hl7.org/fhir/sid/icd-9-cm", "http://hl7.org/fhir/sid/icd-10-cm"
RXNORM, UMLS = "http://www.nlm.nih.gov/research/umls/rxnorm", "http://terminology.hl7.org/CodeSystem/umls"


def read(kind: str, folder: Path, content: dict[str, str] | None = None) -> Release:
    return KINDS[kind](Files(published.written(folder, content or published.EVERYTHING[kind])), None)


def concepts(release: Release) -> dict[str, Any]:
    return {concept.code: concept for system in release.systems for concept in system.concepts}


def lines(release: Release, number: int = 0) -> list[tuple]:
    return [(e.source_code, e.equivalence, e.target and e.target.code) for e in release.maps[number].entries]


def test_loinc_has_its_names_parts_hierarchy_languages_and_replacements(tmp_path):
    release = read("loinc", tmp_path)
    assert release.version == "9.99"
    found = concepts(release)
    assert found["90001-1"].display == 'Unobtainium, "pure"\nin Serum'
    assert {d.value for d in found["90001-1"].designations} == {"Unobt SerPl", "Unobtainium"}
    assert ("CLASS", "CHEM") in {(p.code, p.value) for p in found["90001-1"].properties}
    assert (found["90001-1"].inactive, found["90002-9"].inactive) == (False, True)
    assert set(release.systems[0].edges) == {("90001-1", "LP90001-0")}
    assert [(code, d.language, d.value) for code, d in release.systems[0].designations] == [
        ("90001-1", "de-DE", "Unobtainium im Serum")
    ]
    assert lines(release) == [("90002-9", "relatedto", "90001-1")]


def test_the_order_file_of_icd_10_cm_gives_dots_headers_and_the_hierarchy_of_prefixes(tmp_path):
    found = concepts(release := read("icd-10-cm", tmp_path))
    assert release.version == "2099"
    assert [(c.code, c.abstract, c.parents) for c in found.values()] == [
        ("Z99", True, ()),
        ("Z99.1", True, ("Z99",)),
        ("Z99.11", False, ("Z99.1",)),
    ]
    assert found["Z99.11"].display == "Oddness of the right hand"


def test_the_tabular_list_of_icd_10_cm_makes_codes_of_seventh_characters(tmp_path):
    found = concepts(read("icd-10-cm", tmp_path, published.TABULAR))
    assert [(c.code, c.abstract, c.parents) for c in found.values()] == [
        ("22", True, ()),
        ("Z98-Z99", True, ("22",)),
        ("Z99", True, ("Z98-Z99",)),
        ("Z99.1", True, ("Z99",)),
        ("Z99.1XXA", False, ("Z99.1",)),
        ("Z99.1XXS", False, ("Z99.1",)),
    ]
    assert found["Z99.1XXS"].display == "Oddness of the hand, sequela"


def test_icd_9_cm_gets_its_dots(tmp_path):
    assert list(concepts(read("icd-9-cm", tmp_path))) == ["250.00", "E812.0", "V10.00"]


def test_equivalence_mappings_say_how_near_and_leave_combinations_to_a_person(tmp_path):
    release = read("gems", tmp_path)
    by_url = {each.header.url: number for number, each in enumerate(release.maps)}
    assert lines(release, by_url["urn:healthsync:gem:icd-9-cm-to-icd-10-cm"]) == [
        ("250.00", "inexact", "E11.9"),
        ("001.0", "equivalent", "A00.0"),
        ("249.51", "narrower", "E08.10"),
        ("249.51", "narrower", "E08.65"),
        ("V99.99", "unmatched", None),
    ]
    assert lines(release, by_url["urn:healthsync:gem:icd-10-cm-to-icd-9-cm"]) == [("E11.9", "inexact", "250.00")]


def test_rxnorm_has_concepts_levels_and_the_maps_from_ndc_and_to_atc(tmp_path):
    release = read("rxnorm", tmp_path)
    found = concepts(release)
    assert (release.version, found["900"].display) == ("01019999", "unobtainol 10 MG Oral Tablet")
    assert [d.value for d in found["900"].designations] == ["Unobtainol tabs"]
    assert found["902"].inactive and not found["901"].inactive
    assert list(release.systems[0].edges) == [("900", "901")]
    assert lines(release, 0) == [("901", "relatedto", "Z99AA01")]
    assert lines(release, 1) == [("99999000001", "wider", "900")]


def test_snomed_prefers_the_terms_of_its_language_reference_set(tmp_path):
    release = read("snomed", tmp_path)
    found = concepts(release)
    assert release.version == f"{SNOMED}/{published.INT}/version/20990101"
    assert found["1002002"].display == "Odd hand"
    assert found["138875005"].display == "SNOMED CT Concept"
    assert found["1003003"].inactive
    assert list(release.systems[0].edges) == [("1001001", "138875005"), ("1002002", "1001001")]
    terms = [d.value for code, d in release.systems[0].designations if code == "1002002"]
    assert 'A "strange" hand' in terms and "Withdrawn term" not in terms
    assert [(e.source_code, e.depends_on, e.target and e.target.code) for e in release.maps[0].entries] == [
        ("1002002", (), "Z99.1"),
        ("1001001", (("rule", "IFA 1"),), "Z99"),
    ]


def test_cpt_begins_behind_its_licence_and_counts_each_code_once(tmp_path):
    release = read("cpt", tmp_path)
    (concept,) = concepts(release).values()
    assert (release.version, concept.display) == ("2099", "Measurement of oddness by hand")
    assert [(d.value, d.language) for d in concept.designations][-1] == ("Medida", "es")


def test_the_umls_says_which_codes_are_one_concept(tmp_path):
    release = read("umls", tmp_path)
    assert [c.display for c in concepts(release).values()] == ["Odd hand", "Oddity"]
    assert lines(release)[:2] == [("Z99.1", "equivalent", "C9000001"), ("1002002", "equivalent", "C9000001")]


def test_value_sets_come_as_xml_and_as_spreadsheet(tmp_path):
    many, one = read("vsac", tmp_path).value_sets
    assert many["url"] == "http://cts.nlm.nih.gov/fhir/ValueSet/2.16.840.1.113762.1.4.9999"
    assert [(i["system"], i["concept"][0]["code"]) for i in many["compose"]["include"]] == [
        (SNOMED, "1002002"),
        (ICD_10, "Z99.1"),
    ]
    assert (one["title"], one["version"]) == ("Odd, feet", "20990102")
    assert one["compose"]["include"] == [{"system": LOINC, "concept": [{"code": "90001-1", "display": "Unobtainium"}]}]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("content", ["", "\0\1\2", "What I did in my holidays\n", "a,b\n1,2\n", "<html/>"])
def test_a_file_that_is_something_else_gets_a_sentence(kind: str, content: str, tmp_path: Path) -> None:
    path = tmp_path / "holidays.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InvalidInput) as told:
        release = KINDS[kind](Files(path), "1")
        held = [*concepts(release), *(n for n in range(len(release.maps)) if lines(release, n)), *release.value_sets]
        if not held:  # what the service says of files that hold nothing
            raise InvalidInput("nothing")
    assert str(told.value)


def test_a_path_with_nothing_there_gets_a_sentence(tmp_path):
    with pytest.raises(InvalidInput, match="nothing at gone"):
        Files(tmp_path / "gone")


async def loaded(database: Database, service: TerminologyService, kind: str, path: Path) -> dict[str, int]:
    async with database.transaction() as tx:
        return await service.load_release(tx, kind, KINDS[kind](Files(path), None))


async def test_a_release_in_an_archive_answers_lookup_subsumption_and_expansion(database, service, tmp_path):
    archive = shutil.make_archive(
        str(tmp_path / "rf2"), "zip", published.written(tmp_path / "files", published.snomed())
    )
    counts = await loaded(database, service, "snomed", Path(archive))
    assert counts[SNOMED] == 4
    async with database.connection() as tx:
        _, concept = await service.lookup(tx, Coding(SNOMED, "1002002"))
        assert concept.parents == ("1001001",)
        assert await service.subsumes(tx, SNOMED, None, "1001001", "1002002") is Subsumption.SUBSUMES
        below = await service.expand(tx, f"{SNOMED}?fhir_vs=isa/1001001", active_only=True)
        assert [m.concept.code for m in below.members] == ["1001001", "1002002"]
        found = await service.translate(tx, [Coding(SNOMED, "1002002")], concept_map=f"{SNOMED}?fhir_cm=447562003")
        assert [m.target.code for m in found.matches if m.target] == ["Z99.1"]


async def test_a_new_version_answers_at_once_and_the_older_one_by_its_version(database, service, tmp_path):
    for date, text in (("20980101", "Old name"), ("20990101", "New name")):
        files = published.snomed(date, {1001001: text})
        await loaded(database, service, "snomed", published.written(tmp_path / date, files))
    old = f"{SNOMED}/{published.INT}/version/20980101"
    async with database.connection() as tx:
        assert (await service.lookup(tx, Coding(SNOMED, "1001001")))[1].display == "New name"
        assert (await service.lookup(tx, Coding(SNOMED, "1001001", version=old)))[1].display == "Old name"
    async with database.transaction() as tx:
        await service.unload_release(tx, "snomed", old)
        assert {each.version for each in await service.releases(tx)} == {old.replace("2098", "2099")}
        with pytest.raises(UnknownTerminology):
            await service.unload_release(tx, "snomed", old)


async def test_a_release_that_breaks_in_the_middle_leaves_the_one_before_it(database, service, tmp_path):
    await loaded(database, service, "icd-10-cm", published.written(tmp_path / "good", published.ORDER))
    broken = {"icd10cm_order_2099.txt": published.ORDER["icd10cm_order_2099.txt"] + "and then nothing fits\r\n"}
    with pytest.raises(InvalidInput, match="line 4"):
        await loaded(database, service, "icd-10-cm", published.written(tmp_path / "bad", broken))
    twice = {"icd10cm_order_2099.txt": published.ORDER["icd10cm_order_2099.txt"] * 2}
    with pytest.raises(InvalidInput, match="twice"):
        await loaded(database, service, "icd-10-cm", published.written(tmp_path / "twice", twice))
    async with database.connection() as tx:
        assert (await service.lookup(tx, Coding(ICD_10, "Z99.11")))[1].display == "Oddness of the right hand"


async def test_every_kind_is_loaded_and_old_diagnoses_and_packages_are_translated_by_it(database, service, tmp_path):
    for kind, content in published.EVERYTHING.items():
        counts = await loaded(database, service, kind, published.written(tmp_path / kind, content))
        assert all(counts.values())
    async with database.connection() as tx:
        translations = await service.translations(tx)
        for system, code, meant in ((ICD_9, "250.00", "E11.9"), ("http://hl7.org/fhir/sid/ndc", "99999000001", "900")):
            meaning = translations.meaning("LAB", system, code)
            assert meaning is not None and [c["code"] for c in meaning.codings] == [meant]
        ambiguous = translations.meaning("LAB", ICD_9, "249.51")
        assert ambiguous is not None and ambiguous.ambiguous
        assert translations.meaning("LAB", SNOMED, "1002002") is None
        hands = await service.expand(tx, "http://cts.nlm.nih.gov/fhir/ValueSet/2.16.840.1.113762.1.4.9999")
        assert {m.concept.code for m in hands.members} == {"1002002", "Z99.1"}
        assert {kind for kind, _ in (each.release for each in await service.releases(tx))} == set(KINDS)
