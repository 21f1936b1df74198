"""references.html"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.standards.fhir import json, references
from healthsync.standards.fhir.references import Kind, Reference


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Patient/1", Reference(Kind.RELATIVE, "Patient/1", "Patient", "1")),
        ("Patient/1/_history/2", Reference(Kind.RELATIVE, "Patient/1/_history/2", "Patient", "1", "2")),
        (
            "https://example.org/fhir/Patient/1",
            Reference(
                Kind.ABSOLUTE, "https://example.org/fhir/Patient/1", "Patient", "1", None, "https://example.org/fhir"
            ),
        ),
        ("#p1", Reference(Kind.CONTAINED, "#p1", id="p1")),
        ("#", Reference(Kind.CONTAINED, "#", id="")),
        ("urn:uuid:c0f2", Reference(Kind.URN, "urn:uuid:c0f2")),
        ("Patient?identifier=a|b", Reference(Kind.CONDITIONAL, "Patient?identifier=a|b", "Patient")),
        ("something else", Reference(Kind.OTHER, "something else")),
        ("Patient/", Reference(Kind.OTHER, "Patient/")),
        ("Patient/" + "x" * 65, Reference(Kind.OTHER, "Patient/" + "x" * 65)),
        ("http://example.org/StructureDefinition", Reference(Kind.OTHER, "http://example.org/StructureDefinition")),
    ],
)
def test_a_reference_is_taken_apart(text: str, expected: Reference) -> None:
    assert references.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("Patient/1/_history/2", "Patient/1"),
        ("http://h/fhir/Patient/1/_history/2", "http://h/fhir/Patient/1"),
        ("urn:uuid:1", "urn:uuid:1"),
    ],
)
def test_the_target_of_a_reference_has_no_version(text: str, target: str) -> None:
    assert references.parse(text).target == target


RESOURCE = {
    "resourceType": "Observation",
    "contained": [{"resourceType": "PractitionerRole", "id": "role", "practitioner": {"reference": "#dr"}}],
    "identifier": [{"system": "urn:ietf:rfc:3986", "value": "urn:uuid:1"}],
    "subject": {"reference": "urn:uuid:1", "display": "urn:uuid:1"},
    "performer": [{"display": "the night nurse"}, {"reference": "Practitioner/2"}],
    "instantiatesUri": ["urn:uuid:1"],
    "text": {"status": "generated", "div": "<div><a href='urn:uuid:1'>x urn:uuid:1</a></div>"},
}


def test_every_reference_is_found_with_its_place() -> None:
    assert references.referenced(RESOURCE) == [
        ("Observation.contained[0].practitioner.reference", "#dr"),
        ("Observation.subject.reference", "urn:uuid:1"),
        ("Observation.performer[1].reference", "Practitioner/2"),
    ]


def test_rewriting_reaches_references_uris_and_links_but_no_identifier_or_text() -> None:
    rewritten = references.rewrite(RESOURCE, {"urn:uuid:1": "Patient/9", "Practitioner/2": "Practitioner/8"})
    assert rewritten["subject"] == {"reference": "Patient/9", "display": "urn:uuid:1"}
    assert rewritten["performer"][1] == {"reference": "Practitioner/8"}
    assert rewritten["instantiatesUri"] == ["Patient/9"]
    assert rewritten["identifier"] == RESOURCE["identifier"]
    assert rewritten["text"]["div"] == "<div><a href='Patient/9'>x urn:uuid:1</a></div>"


def test_rewriting_leaves_the_original_alone_and_shares_what_does_not_change() -> None:
    rewritten = references.rewrite(RESOURCE, {"urn:uuid:1": "Patient/9"})
    assert RESOURCE["subject"] == {"reference": "urn:uuid:1", "display": "urn:uuid:1"}
    assert rewritten["contained"] is RESOURCE["contained"]
    assert references.rewrite(RESOURCE, {"urn:uuid:7": "Patient/9"}) is RESOURCE


@pytest.mark.parametrize(
    ("text", "is_address"),
    [
        ("Patient/1", True), ("https://example.org/fhir/Patient/1", True), ("https://example.org/people.html", True), ("#p1", True),
        ("urn:uuid:c0f2", True), ("urn:isbn:1", True), ("Patient?identifier=a|b", False), ("000-11-2222", False), ("Jane Doe", False),
        ("Patient/", False), ("name:Doe", False),
    ],
)  # fmt: skip
def test_what_can_be_followed_is_told_from_other_text(text, is_address):
    assert references.parse(text).is_address is is_address


def test_the_servers_own_address_is_taken_off_references_and_no_other() -> None:
    resource = {
        "resourceType": "Observation",
        "subject": {"reference": "https://hub.example.org/fhir/Patient/1"},
        "hasMember": [
            {"reference": "https://hub.example.org/fhir/Observation/2/_history/3"},
            {"reference": "https://hub.example.org/fhirside/Observation/2"},
            {"reference": "https://hub.example.org/fhir/x/Observation/2"},
            {"reference": "Observation/4"},
        ],
        "note": [{"text": "https://hub.example.org/fhir/Patient/1"}],
    }
    local = references.localise(resource, ["/fhir", "https://hub.example.org/fhir/"])
    assert [text for _, text in references.referenced(local)] == [
        "Patient/1",
        "Observation/2/_history/3",
        "https://hub.example.org/fhirside/Observation/2",
        "https://hub.example.org/fhir/x/Observation/2",
        "Observation/4",
    ]
    assert local["note"] is resource["note"]
    assert references.localise(resource, ["/fhir"]) is resource


_TEXT = st.text(st.sampled_from('ab:/#"\\é{}, '), max_size=12)
_NAMES = st.sampled_from(["reference", "display", "type", "extension"])
_ELEMENT = st.recursive(
    st.one_of(_TEXT, st.integers(), st.none(), st.lists(_TEXT, max_size=2)),
    lambda inner: st.one_of(
        element := st.dictionaries(_NAMES, inner, max_size=3),
        st.lists(element, max_size=3),
    ),
    max_leaves=20,
)


@given(st.dictionaries(_NAMES, _ELEMENT, max_size=3))
def test_the_references_found_in_the_json_are_those_of_the_document(resource) -> None:
    """Whatever texts hold that look like JSON themselves. What stands inside a Reference may come before or after it."""
    assert sorted(references.texts(resource)) == sorted(text for _, text in references.referenced(resource))
    if any(type(each) is str for each in _values_of("type", resource)):
        assert references.may_state_types(json.dump(resource))


def _values_of(name: str, value):
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from _values_of(name, child)
    if isinstance(value, dict) and name in value:
        yield value[name]
