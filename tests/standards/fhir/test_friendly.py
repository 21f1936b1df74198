"""The dialect of /api/v1/healthsync and FHIR mean the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import friendly, validate
from healthsync.standards.fhir.definitions import resource_types

NOW = "2026-01-02T03:04:05+00:00"

ids = st.text("abcXYZ019.-", min_size=1, max_size=64)
references = st.one_of(
    ids.map(lambda id_: f"Patient/{id_}"),
    ids.map(lambda id_: f"Patient/{id_}/_history/3"),
    ids.map(lambda id_: f"Observation/{id_}"),
    ids.map(lambda id_: f"https://elsewhere.example.org/fhir/Patient/{id_}"),
    st.just("#p1"),
)
elements = st.recursive(
    st.one_of(st.text(max_size=5), st.integers(), references.map(lambda text: {"reference": text})),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
    max_leaves=8,
)
resources = st.builds(
    lambda kind, id_, rest: {"resourceType": kind, "id": id_, "element": rest},
    st.sampled_from(["Patient", "Observation"]),
    ids,
    elements,
)
bundles = st.lists(resources, max_size=3).map(
    lambda inner: {"resourceType": "Bundle", "id": "b", "entry": [{"resource": one} for one in inner]}
)


@given(st.one_of(resources, bundles))
def test_translating_there_and_back_changes_nothing(resource):
    assert friendly.legal(friendly.aliased(resource)) == resource
    assert friendly.legal(resource) == resource


@given(resources)
def test_only_patients_and_what_points_to_them_are_renamed(resource):
    shown = friendly.aliased(resource)
    prefix = "pat_" if resource["resourceType"] == "Patient" else ""
    assert shown["id"] == prefix + resource["id"]

    def pointers(value):
        if isinstance(value, dict):
            yield from [value["reference"]] if isinstance(value.get("reference"), str) else []
            value = list(value.values())
        if isinstance(value, list):
            for child in value:
                yield from pointers(child)

    for before, after in zip(pointers(resource), pointers(shown), strict=True):
        assert after == (before.replace("Patient/", "Patient/pat_", 1) if before.startswith("Patient/") else before)


def test_a_contained_patient_keeps_the_id_that_is_pointed_at():
    inside = {"resourceType": "Patient", "id": "p1"}
    resource = {"resourceType": "Observation", "id": "o", "contained": [inside], "subject": {"reference": "#p1"}}
    assert friendly.aliased(resource) == resource


def test_every_collection_has_a_type_of_r4_and_each_type_one_home():
    for collection in friendly.collections().values():
        assert collection.type in resource_types()
        home = friendly.collection_of(collection.type)
        assert home is not None
        assert not home.is_view
        assert home.type == collection.type
    assert friendly.collections()["vitals"].is_view
    assert friendly.collection_of("Basic") is None


@pytest.mark.parametrize(
    ("name", "asked", "means"),
    [
        ("observations", ("patient_id", "pat_1"), ("patient", "1")),
        ("patients", ("patient_id", "pat_1"), ("_id", "1")),
        ("patients", ("_id", "pat_1,2"), ("_id", "1,2")),
        ("observations", ("subject", "Patient/pat_1,Group/pat_2"), ("subject", "Patient/1,Group/pat_2")),
        ("observations", ("subject:Patient", "pat_1"), ("subject:Patient", "1")),
        ("patients", ("family", "pat_erson"), ("family", "pat_erson")),
        ("observations", ("nonsense", "pat_1"), ("nonsense", "pat_1")),
    ],
)
def test_filters_get_legal_ids_where_they_point_at_patients(name, asked, means):
    assert friendly.criteria(friendly.collections()[name], [asked]) == [means]


statuses = st.sampled_from(sorted(friendly.STATUSES))
plain_consents = st.fixed_dictionaries(
    {
        "patient_id": ids.map(lambda id_: f"pat_{id_}"),
        "consent_type": st.sampled_from(["research_data_sharing", "treatment"]),
    },
    optional={
        "status": statuses,
        "scope": st.fixed_dictionaries(
            {},
            optional={
                "purposes": st.lists(st.sampled_from(sorted(friendly.PURPOSES)), max_size=3),
                "data_categories": st.lists(st.sampled_from(sorted(friendly.CATEGORIES)), max_size=3),
                "exclude": st.lists(st.sampled_from(sorted(friendly.SENSITIVITIES)), max_size=3),
            },
        ),
        "period": st.just({"start": "2024-01-01", "end": "2026-01-01"}),
        "provision": st.fixed_dictionaries(
            {},
            optional={
                "type": st.sampled_from(["permit", "deny"]),
                "actor": st.lists(st.just({"role": "researcher", "organization": "A school"}), max_size=2),
            },
        ),
    },
)


@given(plain_consents)
def test_a_consent_in_plain_words_is_a_valid_fhir_consent(body):
    assert [issue for issue in validate.structure(friendly.consent(body, NOW)) if issue.is_error] == []


def test_a_category_that_is_excluded_is_a_deny_of_its_types():
    consent = friendly.consent({"patient_id": "1", "consent_type": "x", "scope": {"exclude": ["notes"]}}, NOW)
    [excluded] = consent["provision"]["provision"]
    assert (excluded["type"], excluded["class"][0]["code"]) == ("deny", "DocumentReference")


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({}, "consent_type"),
        ({"patient_id": 7, "consent_type": "x"}, "patient_id"),
        ({"patient_id": "1", "consent_type": "x", "scope": []}, "scope"),
        ({"patient_id": "1", "consent_type": "x", "scope": {"purposes": "treatment"}}, "purposes"),
        ({"patient_id": "1", "consent_type": "x", "scope": {"purposes": [7]}}, "scope.purposes"),
        ({"patient_id": "1", "consent_type": "x", "provision": {"actor": ["me"]}}, "provision.actor"),
        ({"patient_id": "1", "consent_type": "x", "provision": {"type": "maybe"}}, "provision.type"),
        ({"patient_id": "1", "consent_type": "x", "period": {"from": "2024"}}, "period.*"),
    ],
)
def test_what_is_not_known_is_refused_by_its_key(body, key):
    with pytest.raises(InvalidInput) as refused:
        friendly.consent(body, NOW)
    assert refused.value.expression == key
