"""Queries are read and checked before anything is looked up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.standards.fhir.graphql import Bounds, QueryFault, check_fields, read_document, search_pairs

BOUNDS = Bounds()


def _checked(query: str, variables=None, bounds: Bounds = BOUNDS, places=None):
    fields = read_document(query, variables, None, bounds)
    check_fields(fields, places or (), root=places is None)
    return fields


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{ Patient", "structure"),
        ("{ Patient(id: 1) { colour } }", "not-supported"),
        ("{ Patient(id: 1) { name } }", "required"),
        ("{ Patient(id: 1) { gender { x } } }", "invalid"),
        ("{ Patient(id: 1) { gender(x: 1) } }", "not-supported"),
        ("{ Patient(id: 1) { name(colour: red) { family } } }", "not-supported"),
        ("{ Patient { id } }", "required"),
        ("{ Nothing(id: 1) { id } }", "not-supported"),
        ("{ PatientList(_reference: x) { id } }", "required"),
        ("{ Patient(id: 1) { id @upper } }", "not-supported"),
        ("{ Patient(id: 1) { ...nothing } }", "invalid"),
        ("query { Patient(id: 1) { ...a } } fragment a on Patient { ...a }", "invalid"),
        ("mutation { PatientCreate(res: 1) { id } }", "not-supported"),
        ("query a { Patient(id: 1) { id } } query b { Patient(id: 1) { id } }", "required"),
        ("{ Patient(id: $x) { id } }", "invalid"),
    ],
)
def test_a_wrong_query_is_refused(query, code):
    with pytest.raises(QueryFault) as fault:
        _checked(query)
    assert fault.value.code == code


@pytest.mark.parametrize(
    "query",
    [
        "{ Patient(id: a) { id name { given family period { start } } contact { name { family } } } }",
        "{ Observation(_id: a) { valueQuantity { value } component { code { coding { code } } } } }",
        "{ Questionnaire(id: a) { item { item { linkId } } } }",
        "{ Patient(id: a) { birthDate _birthDate { extension { url valueDateTime } } } }",
        "{ Observation(id: a) { subject { resource { id ... on Patient { gender } ... on Group { type } } } } }",
        "{ Patient(id: a) { ConditionList(_reference: patient) { code { text } } } }",
        "{ Bundle(id: a) { entry { resource { resourceType ... on Patient { active } } } } }",
        "{ ConditionConnection(patient: a) { count edges { mode resource { id } } first next } }",
        "{ Patient(id: a) { contained { ... on Organization { name } } } }",
    ],
)
def test_fields_of_the_definitions_are_accepted(query):
    assert _checked(query)


def test_depth_and_number_of_fields_are_bounded_also_through_fragments():
    deep = "{ Observation(id: 1) { subject { resource { ... on Patient { link { other { resource { id } } } } } } } }"
    assert _checked(deep)
    with pytest.raises(QueryFault, match="deeper than 5"):
        _checked(deep, bounds=Bounds(depth=5))
    bomb = "query { ...f0 } " + " ".join(
        f"fragment f{n} on Query {{ ...f{n + 1} ...f{n + 1} ...f{n + 1} ...f{n + 1} }}" for n in range(12)
    )
    bomb += " fragment f12 on Query { Patient(id: 1) { id } }"
    with pytest.raises(QueryFault, match="more than 2000"):
        read_document(bomb)


@pytest.mark.parametrize(
    ("arguments", "pairs"),
    [
        ({"clinical_status": "active"}, [("clinical-status", "active")]),
        ({"_lastUpdated": "ge2020"}, [("_lastUpdated", "ge2020")]),
        ({"status": ["final", "amended"]}, [("status", "final,amended")]),
        ({"name": "Smith, John"}, [("name", "Smith\\, John")]),
        ({"active": True}, [("active", "true")]),
        ({"name": None}, []),
    ],
)
def test_arguments_become_search_parameters(arguments, pairs):
    assert search_pairs(arguments) == pairs


@given(st.text(alphabet="{}()[]!$@.:,\"' abcPatientid1_|", max_size=60))
def test_no_text_makes_anything_but_an_answer_or_a_fault(text):
    try:
        _checked(text)
    except QueryFault:
        return


def test_a_text_of_brackets_does_not_exhaust_the_stack():
    for text in ("{a" * 20_000, "{ a(x: " + "[" * 20_000):
        with pytest.raises(QueryFault):
            read_document(text)
