"""Standard codes beside local ones: which are added, which are not, and who is asked about the rest."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.domains.terminology import local_maps
from healthsync.domains.terminology.model import Coding, MapEntry
from healthsync.domains.terminology.standardising import (
    AppliedLine,
    Translations,
    elements,
    is_added,
    may_be_told,
    standardise,
)

LOINC, ICD10, ICD9 = "http://loinc.org", "http://hl7.org/fhir/sid/icd-10-cm", "http://hl7.org/fhir/sid/icd-9-cm"
SNOMED, RXNORM = "http://snomed.info/sct", "http://www.nlm.nih.gov/research/umls/rxnorm"
LOCAL = "urn:healthsync:local:LAB"


def to(code: str, target: str, system: str = LOINC, **said: Any) -> AppliedLine:
    """A line that means `target`; keywords change the rest."""
    entry = MapEntry(said.get("of"), code, said.get("equivalence", "equivalent"), Coding(system, target))
    return AppliedLine(said.get("partner"), said.get("map", "urn:map"), entry)


def of_spec(text: str) -> Translations:
    """A mapping table as the requirements print it."""
    return Translations(AppliedLine(None, "urn:map", entry) for entry in local_maps.read(text.encode(), "t.csv", "LAB"))


SPEC = of_spec("Source,LOINC Code\nGLU,2345-7\nGLUC,2345-7\nBS-FG,2345-7\nGlucose,2345-7\n")


def observation(*codings: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Observation", "code": {"coding": list(codings), "text": "as sent"}}


def coding(code: str, system: str | None = LOCAL) -> dict[str, Any]:
    return {"code": code, "display": "as sent"} | ({"system": system} if system else {})


def added(resource: dict[str, Any], element: str = "code") -> list[tuple[str, str]]:
    return [(c["system"], c["code"]) for c in resource[element]["coding"] if is_added(c)]


@pytest.mark.parametrize("code", ["GLU", "GLUC", "BS-FG", "Glucose"])
@pytest.mark.parametrize("system", [LOCAL, None, "urn:healthsync:local:LAB:99LAB", "urn:healthsync:codesystem:HOUSE"])
def test_the_glucose_table_of_the_requirements_means_loinc_however_the_sender_names_its_codes(code, system):
    result = observation(coding(code, system))
    assert standardise(result, "LAB", SPEC) == []
    assert added(result) == [(LOINC, "2345-7")]


def test_what_was_sent_stays_first_and_untouched_and_what_is_added_says_so():
    sent = coding("GLU")
    result = observation(copy.deepcopy(sent))
    standardise(result, "LAB", SPEC)
    first, second = result["code"]["coding"]
    assert first == sent
    assert second["userSelected"] is False
    assert second["extension"] == [{"url": "urn:healthsync:translated-by", "valueUri": "urn:map"}]


@pytest.mark.parametrize(
    ("resource_type", "element", "line", "meant"),
    [
        ("Condition", "code", to("DM2", "44054006", SNOMED), (SNOMED, "44054006")),
        ("Observation", "code", to("GLU", "2345-7", LOINC), (LOINC, "2345-7")),
        ("MedicationRequest", "medicationCodeableConcept", to("LIS10", "314076", RXNORM), (RXNORM, "314076")),
        ("Condition", "code", to("DIAB", "E11", ICD10), (ICD10, "E11")),
    ],
)
def test_the_four_example_codes_of_the_requirements_are_put_beside_local_ones(resource_type, element, line, meant):
    resource = {"resourceType": resource_type, element: {"coding": [coding(line.entry.source_code)]}}
    assert standardise(resource, "LAB", Translations([line])) == []
    assert added(resource, element) == [meant]


def test_a_diagnosis_in_icd_9_is_translated_and_its_nearness_is_told():
    condition = {"resourceType": "Condition", "code": {"coding": [coding("250.00", ICD9)]}}
    standardise(condition, "LAB", Translations([to("250.00", "E11.9", ICD10, of=ICD9, equivalence="inexact")]))
    assert added(condition) == [(ICD10, "E11.9")]
    assert {"url": "urn:healthsync:equivalence", "valueCode": "inexact"} in condition["code"]["coding"][1]["extension"]


def test_a_concept_that_is_standard_already_is_left_alone():
    result = observation(coding("GLU"), coding("2339-0", LOINC))
    assert standardise(result, "LAB", SPEC) == []
    assert added(result) == []


def test_another_standard_is_enough_that_nobody_is_asked_but_a_map_still_adds():
    device = observation(coding("150020", "urn:iso:std:iso:11073:10101"))
    assert standardise(device, "LAB", SPEC) == []
    line = to("150020", "8480-6", of="urn:iso:std:iso:11073:10101")
    standardise(device, "LAB", Translations([line]))
    assert added(device) == [(LOINC, "8480-6")]


def test_the_map_of_a_source_goes_before_that_of_every_source_and_is_for_nobody_else():
    translations = Translations([to("GLU", "2345-7"), to("GLU", "2339-0", partner="ER")])
    there, here = observation(coding("GLU")), observation(coding("GLU"))
    standardise(there, "ER", translations)
    standardise(here, "LAB", translations)
    assert (added(there), added(here)) == ([(LOINC, "2339-0")], [(LOINC, "2345-7")])


def test_a_later_map_stands_in_the_place_of_an_earlier_one():
    result = observation(coding("GLU"))
    standardise(result, "LAB", Translations([to("GLU", "1-8", map="urn:old"), to("GLU", "2345-7", map="urn:new")]))
    assert added(result) == [(LOINC, "2345-7")]


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([], "unmapped"),
        ([to("GLU", "2345-7"), to("GLU", "2339-0")], "ambiguous"),
        ([to("GLU", "14749-6", equivalence="narrower")], "ambiguous"),
        ([to("GLU", "1-1", equivalence="inexact"), to("GLU", "2-2", equivalence="inexact")], "ambiguous"),
    ],
)
def test_what_no_map_decides_is_asked_of_a_person_and_adds_nothing(lines, why):
    result = observation(coding("GLU"))
    (asked,) = standardise(result, "LAB", Translations(lines))
    assert (asked.system, asked.code, asked.element, asked.why) == (LOCAL, "GLU", "Observation.code", why)
    assert added(result) == []


def test_an_exact_line_decides_over_an_inexact_one_of_the_same_map():
    result = observation(coding("GLU"))
    assert standardise(result, "LAB", Translations([to("GLU", "2345-7"), to("GLU", "1-8", equivalence="wider")])) == []
    assert added(result) == [(LOINC, "2345-7")]


def test_a_code_that_a_map_declares_to_mean_nothing_asks_nobody():
    result = observation(coding("XTRA"))
    entries = [
        AppliedLine(None, "urn:map", entry) for entry in local_maps.read(b"code,target\nXTRA,\n", "m.csv", "LAB")
    ]
    assert standardise(result, "LAB", Translations(entries)) == []
    assert added(result) == []


def test_components_and_only_listed_elements_are_standardised():
    result = observation(coding("GLU"))
    result["component"] = [{"code": {"coding": [coding("GLUC")]}}]
    result["method"] = {"coding": [coding("GLU")]}
    standardise(result, "LAB", SPEC)
    assert added(result["component"][0]) == [(LOINC, "2345-7")]
    assert added(result, "method") == []


def test_a_concept_without_codes_is_left_as_it_is_and_asks_nobody():
    result = {"resourceType": "Observation", "code": {"text": "how she feels"}}
    assert standardise(result, "LAB", SPEC) == []
    assert result["code"] == {"text": "how she feels"}


@given(st.lists(st.sampled_from(["GLU", "GLUC", "??", "2345-7"]), max_size=4), st.booleans())
def test_standardising_twice_is_standardising_once_and_taking_the_maps_away_gives_back_what_was_sent(codes, standard):
    sent = observation(*(coding(code) for code in codes), *([coding("2345-7", LOINC)] if standard else []))
    once = copy.deepcopy(sent)
    standardise(once, "LAB", SPEC)
    twice = copy.deepcopy(once)
    standardise(twice, "LAB", SPEC)
    assert twice == once
    standardise(twice, "LAB", Translations())
    assert twice == sent


@pytest.mark.parametrize("text", ["Smith, Jane", "123-45-6789", "6175550100", "x" * 60, "blood sugar high", "größe"])
def test_what_cannot_be_a_code_is_not_told(text):
    assert not may_be_told(text)


@pytest.mark.parametrize("text", ["GLU", "BS-FG", "250.00", "2345-7", "NA+", "WBC#", "LYMPH%", "12345678"])
def test_what_looks_like_a_code_is(text):
    assert may_be_told(text)


def test_every_element_names_systems_and_a_place_in_a_resource():
    for resource_type, each in elements().items():
        assert all(element.path and element.wanted and element.name.startswith(resource_type) for element in each)
