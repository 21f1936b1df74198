"""search.html: composites, positions, lists, words, several types, repeated controls."""

from __future__ import annotations

from typing import Any

import pytest

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import query
from healthsync.standards.fhir.dates import Prefix
from healthsync.standards.fhir.query import (
    Chain,
    CompositeValue,
    Criterion,
    Has,
    ListMember,
    Modifier,
    NearValue,
    Or,
    QuantityValue,
    ReferenceValue,
    StringValue,
    TokenValue,
    TypedValue,
    UriValue,
    WordSearch,
)


def only(resource_type: str, name: str, text: str) -> Any:
    (node,) = query.parse(resource_type, [(name, text)]).criteria
    return node


def value(resource_type: str, name: str, text: str) -> Any:
    (found,) = only(resource_type, name, text).values
    return found


@pytest.mark.parametrize(
    ("name", "text", "modifier", "expected"),
    [
        ("gender:text", "Mä", Modifier.TEXT, StringValue("Mä", "ma")),
        ("gender:in", "http://vs", Modifier.IN, UriValue("http://vs")),
        ("gender:not-in", "ValueSet/1", Modifier.NOT_IN, UriValue("ValueSet/1")),
        ("gender:above", "s|c", Modifier.ABOVE, TokenValue("s", "c")),
        ("gender:below", "c", Modifier.BELOW, TokenValue(None, "c")),
        ("identifier:of-type", r"s|c|v\|w", Modifier.OF_TYPE, TypedValue("s", "c", "v|w")),
        ("_profile:below", "http://p", Modifier.BELOW, UriValue("http://p")),
        ("link:above", "Patient/1", Modifier.ABOVE, ReferenceValue("Patient", "1", None, ("Patient/1",))),
    ],
)
def test_modifiers_decide_how_a_value_is_read(name: str, text: str, modifier: Modifier, expected: Any) -> None:
    node = only("Patient", name, text)
    assert (node.modifier, node.values) == (modifier, (expected,))


def test_a_composite_reads_each_part_by_its_own_parameter() -> None:
    found = value("Observation", "code-value-quantity", r"http://loinc.org|a\$b$gt5.4|http://unitsofmeasure.org|mg")
    assert isinstance(found, CompositeValue)
    (code, token), (quantity, number) = found.parts
    assert (code.name, code.paths, token) == ("code", ("code",), TokenValue("http://loinc.org", "a$b"))
    assert (quantity.name, quantity.type) == ("value-quantity", "quantity")
    assert isinstance(number, QuantityValue)
    assert (number.number.prefix, number.code) == (Prefix.GREATER, "mg")


def test_a_bare_id_in_a_composite_is_of_a_type_that_its_component_allows() -> None:
    parts = value("DocumentReference", "relationship", "1$appends").parts
    assert parts[0][1] == ReferenceValue("DocumentReference", "1", None, ("DocumentReference/1",))
    assert parts[1][1] == TokenValue(None, "appends")


def test_a_relationship_of_documents_may_be_asked_for_in_either_order() -> None:
    """R4's definition names the document first, "relation and relatesTo" in its description the code."""
    system = "http://hl7.org/fhir/document-relationship-type"
    for text in (f"1${system}|appends", f"{system}|appends$DocumentReference/1"):
        (reference, target), (token, code) = value("DocumentReference", "relationship", text).parts
        assert (reference.name, target.id, token.name, code.code) == ("relatesto", "1", "relation", "appends")


@pytest.mark.parametrize("text", ["a", "a$", "$1", "a$1$2", "a$x", "a$1|2"])
def test_a_composite_with_a_part_too_few_or_unreadable_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        query.parse("Observation", [("code-value-quantity", text)])
    assert refused.value.code == "value"


@pytest.mark.parametrize(
    ("text", "kilometres"),
    [("1|2", 50), ("1|2|", 50), ("1|2|10", 10), ("1|2|10|", 10), ("1|2|10|km", 10), ("1|2|500|m", 0.5), ("1|2|0", 0),
     ("1|2|10|[mi_us]", 16.09347219), ("1|2|10|mi_us", 16.09347219), ("1|2||m", 50)],
)  # fmt: skip
def test_near_is_a_position_and_a_distance_of_fifty_kilometres_unless_said(text: str, kilometres: float) -> None:
    assert value("Location", "near", text) == NearValue(1.0, 2.0, pytest.approx(kilometres))


@pytest.mark.parametrize(
    "text",
    ["1", "|", "1|", "|2", "91|0", "0|181", "1|2|-5", "1|2|3|ly", "1|2|3|km|x", "nan|2", "1e1|2", "x|y", "1|2|inf"],
)
def test_a_position_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        query.parse("Location", [("near", text)])
    assert refused.value.code == "value"


def test_lists_are_named_by_id_and_several_are_alternatives() -> None:
    assert only("Patient", "_list", "42") == ListMember("42")
    assert only("Patient", "_list", "List/42") == ListMember("42")
    assert only("Patient", "_list", "1,2") == Or((ListMember("1"), ListMember("2")))


@pytest.mark.parametrize(
    ("text", "alternatives", "phrases"),
    [
        ("bone", [["bone"]], [[]]),
        ("Bone  Métastases", [["bone", "metastases"]], [[]]),
        ("bone,liver", [["bone"], ["liver"]], [[], []]),
        ("bone OR liver cell", [["bone"], ["liver", "cell"]], [[], []]),
        ("bone and liver", [["bone", "liver"]], [[]]),
        ('"heart failure" acute', [["heart", "failure", "acute"]], [["heart failure"]]),
        ("x-ray", [["x", "ray"]], [["x ray"]]),
        ("(bone OR liver) AND (cell or duct)",
         [["bone", "cell"], ["bone", "duct"], ["liver", "cell"], ["liver", "duct"]], [[], [], [], []]),
        ('"and"', [["and"]], [[]]),
        ("not now", [["not", "now"]], [[]]),
        (r"a\,b", [["a", "b"]], [["a b"]]),
    ],
)  # fmt: skip
def test_words_stand_together_and_alternatives_apart(
    text: str, alternatives: list[list[str]], phrases: list[list[str]]
) -> None:
    found = only("Condition", "_text", text)
    assert found == WordSearch("text", tuple(map(tuple, alternatives)), tuple(map(tuple, phrases)))


@pytest.mark.parametrize(
    ("text", "code"),
    [("NOT bone", "not-supported"), ("bone NOT liver", "not-supported"), ("-bone", "not-supported"), ("(bone", "value"),
     ("bone)", "value"), ("bone OR", "value"), ("AND bone", "value"), ('"bone', "value"), ("()", "value"), ("...", "value"), ("", "value"),
     ("bone,,liver", "value")],
)  # fmt: skip
def test_an_exclusion_or_a_broken_expression_of_words_is_refused(text: str, code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        query.parse("Condition", [("_content", text)])
    assert refused.value.code == code


# --- chains ---


def test_a_chain_without_type_goes_to_each_type_that_knows_the_rest() -> None:
    node = only("Observation", "subject.identifier", "1")
    assert isinstance(node, Chain)
    assert {target for target, _ in node.inner} == {"Patient", "Group", "Device", "Location"}
    assert {target for target, _ in only("Observation", "subject.family", "x").inner} == {"Patient"}
    assert {target for target, _ in only("Observation", "subject:Group.identifier", "x").inner} == {"Group"}


def test_a_type_on_which_the_value_cannot_be_read_is_not_gone_to() -> None:
    node = only("Provenance", "target.date", "2020")
    assert isinstance(node, Chain)
    assert all(isinstance(inner, Criterion) for _, inner in node.inner)
    with pytest.raises(InvalidInput) as refused:
        query.parse("Provenance", [("target.date", "junk")])
    assert refused.value.code == "value"


def test_chains_and_reverse_chains_nest_in_each_other() -> None:
    node = only("Observation", "patient._has:Group:member:_id", "1")
    assert isinstance(node, Chain)
    ((target, has),) = node.inner
    assert target == "Patient"
    assert isinstance(has, Has)
    assert (has.type, has.parameter.name) == ("Group", "member")
    node = only("Patient", "_has:Observation:patient:performer:Practitioner.name:exact", "x")
    assert isinstance(node, Has)
    assert isinstance(node.inner, Chain)
    ((_, inner),) = node.inner.inner
    assert isinstance(inner, Criterion)
    assert inner.modifier is Modifier.EXACT


# --- several types ---


def test_a_search_across_all_types_knows_the_parameters_of_every_resource() -> None:
    pairs = [
        ("_id", "1"),
        ("_lastUpdated", "ge2020"),
        ("_tag", "x"),
        ("_profile", "http://p"),
        ("_security", "x"),
        ("_source", "x"),
    ]
    found = query.parse("", pairs)
    assert [each.parameter.name for each in found.criteria if isinstance(each, Criterion)] == [
        name for name, _ in pairs
    ]
    assert found.types == ()
    with pytest.raises(InvalidInput) as refused:
        query.parse("", [("code", "x")])
    assert refused.value.code == "not-supported"


def test_a_search_across_types_knows_what_all_of_them_know() -> None:
    found = query.parse("", [("code", "x"), ("_type", "Observation,Condition")])
    assert found.types == ("Observation", "Condition")
    with pytest.raises(InvalidInput):
        query.parse("", [("_type", "Observation,Patient"), ("code", "x")])
    assert query.parse("", [("_type", "Patient"), ("family", "x")]).types == ("Patient",)


def test_a_parameter_at_other_elements_in_each_type_carries_no_paths() -> None:
    (criterion,) = query.parse("", [("_type", "Observation,Encounter"), ("date", "2020")]).criteria
    assert isinstance(criterion, Criterion)
    assert criterion.parameter.paths == ()
    (same,) = query.parse("", [("_type", "Observation,Condition"), ("code", "x")]).criteria
    assert isinstance(same, Criterion)
    assert same.parameter.paths == ("code",)


def test_a_bare_id_across_types_is_of_any_type_that_one_of_them_allows() -> None:
    (criterion,) = query.parse("", [("_type", "Condition,Observation"), ("subject", "1")]).criteria
    assert isinstance(criterion, Criterion)
    (found,) = criterion.values
    assert isinstance(found, ReferenceValue)
    assert set(found.targets) == {"Patient/1", "Group/1", "Device/1", "Location/1"}
    (chain,) = query.parse("", [("_type", "Condition,Observation"), ("subject.identifier", "1")]).criteria
    assert isinstance(chain, Chain)
    assert {target for target, _ in chain.inner} == {"Patient", "Group", "Device", "Location"}


@pytest.mark.parametrize(
    ("types", "name"),
    [("GraphDefinition,Slot", "start"), ("Group,NamingSystem", "value"), ("Claim,DocumentReference", "facility")],
)
def test_a_name_that_means_values_of_different_kinds_is_refused_across_types(types: str, name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        query.parse("", [("_type", types), (name, "2020")])
    assert refused.value.code == "not-supported"


# --- control parameters ---


@pytest.mark.parametrize(
    ("name", "text"),
    [("_count", "1"), ("_sort", "family"), ("_summary", "true"), ("_elements", "name"), ("_total", "none"), ("_cursor", "x"),
     ("_contained", "false"), ("_type", "Patient")],
)  # fmt: skip
def test_a_control_parameter_given_twice_is_refused_and_none_of_them_wins(name: str, text: str) -> None:
    assert query.parse("Patient", [(name, text)]).applied == [(name, text)]
    with pytest.raises(InvalidInput) as refused:
        query.parse("Patient", [(name, text), (name, text)])
    assert refused.value.code == "value"


def test_a_sort_key_given_twice_is_refused() -> None:
    with pytest.raises(InvalidInput):
        query.parse("Patient", [("_sort", "family,-family")])


def test_sorting_by_id_or_change_needs_no_parameter() -> None:
    found = query.parse("Patient", [("_sort", "_id,-_lastUpdated,family")])
    assert [(key.name, key.parameter is None) for key in found.sort] == [
        ("_id", True),
        ("_lastUpdated", True),
        ("family", False),
    ]


def test_an_element_that_is_unknown_is_told_and_selects_nothing() -> None:
    found = query.parse("Patient", [("_elements", "name,shoeSize,Patient.gender,deceased")])
    assert found.elements == ["name", "shoeSize", "Patient.gender", "deceased"]
    assert len(found.warnings) == 1
    assert "shoeSize" not in found.warnings[0]
    assert query.parse("", [("_elements", "anything")]).warnings == []


@pytest.mark.parametrize(
    "text",
    [
        "Patient:link:Nobody",
        "Patient:general-practitioner:Patient",
        "*:link",
        "Patient",
        "Patient:a:b:c",
        "patient:link",
        "Patient:*:Nobody",
    ],
)
def test_an_include_that_leads_nowhere_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        query.parse("Patient", [("_include", text)])


def test_an_include_with_an_unknown_modifier_is_refused() -> None:
    with pytest.raises(InvalidInput):
        query.parse("Patient", [("_include:logical", "Patient:link")])
