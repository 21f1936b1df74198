"""search_filter.html: the `_filter` expression, into the nodes of other criteria."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import query
from healthsync.standards.fhir.dates import Prefix
from healthsync.standards.fhir.query import (
    And,
    Chain,
    CompositeValue,
    Criterion,
    DateValue,
    MissingValue,
    Modifier,
    Node,
    Not,
    NumberValue,
    Or,
    QuantityValue,
    ReferenceValue,
    StringValue,
    TokenValue,
    UriValue,
)
from healthsync.standards.fhir.search_parameters import normalise


def filtered(resource_type: str, text: str) -> Node:
    (node,) = query.parse(resource_type, [("_filter", text)]).criteria
    return node


def compared(resource_type: str, text: str) -> tuple[str, Modifier | None, Any]:
    node = filtered(resource_type, text)
    assert isinstance(node, Criterion)
    (value,) = node.values
    return node.parameter.name, node.modifier, value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('name co "pet"', ("name", Modifier.CONTAINS, StringValue("pet", "pet"))),
        ('given eq "Péter"', ("given", Modifier.EQUALS, StringValue("Péter", "peter"))),
        ("given eq peter", ("given", Modifier.EQUALS, StringValue("peter", "peter"))),
        ('given sw "a \\" ) ]"', ("given", None, StringValue('a " ) ]', 'a " ) ]'))),
        ('given ew "\\u00e9"', ("given", Modifier.ENDS, StringValue("é", "e"))),
        ('given eq "a,b|c$d"', ("given", Modifier.EQUALS, StringValue("a,b|c$d", "a,b|c$d"))),
        ("given pr true", ("given", Modifier.MISSING, MissingValue(False))),
        ("given pr false", ("given", Modifier.MISSING, MissingValue(True))),
        ("phonetic eq Smith", ("phonetic", None, StringValue("Smith", "smith"))),
        ("gender eq male", ("gender", None, TokenValue(None, "male"))),
        ("identifier eq urn:s|1", ("identifier", None, TokenValue("urn:s", "1"))),
        ("identifier eq |1", ("identifier", None, TokenValue("", "1"))),
        ('identifier eq "urn:s|1 2"', ("identifier", None, TokenValue("urn:s", "1 2"))),
        ("gender in http://vs", ("gender", Modifier.IN, UriValue("http://vs"))),
        ("gender ni ValueSet/1", ("gender", Modifier.NOT_IN, UriValue("ValueSet/1"))),
        ("gender ss snomed|1", ("gender", Modifier.BELOW, TokenValue("http://snomed.info/sct", "1"))),
        ("gender sb loinc|1", ("gender", Modifier.ABOVE, TokenValue("http://loinc.org", "1"))),
        ("organization re Organization/1", ("organization", None,
                                            ReferenceValue("Organization", "1", None, ("Organization/1",)))),
        ("organization eq 1", ("organization", None, ReferenceValue("Organization", "1", None, ("Organization/1",)))),
        ("_id eq 1", ("_id", None, TokenValue(None, "1"))),
        ("_profile eq http://p", ("_profile", None, UriValue("http://p"))),
    ],
)  # fmt: skip
def test_an_operator_means_what_it_means_for_the_type(text: str, expected: Any) -> None:
    assert compared("Patient", text) == expected


@pytest.mark.parametrize(
    ("operator", "prefix"),
    [
        ("eq", Prefix.EQUAL), ("ne", Prefix.NOT_EQUAL), ("gt", Prefix.GREATER), ("lt", Prefix.LESS), ("ge", Prefix.GREATER_OR_EQUAL),
        ("le", Prefix.LESS_OR_EQUAL), ("ap", Prefix.APPROXIMATELY), ("sa", Prefix.STARTS_AFTER), ("eb", Prefix.ENDS_BEFORE),
    ],
)  # fmt: skip
def test_dates_numbers_and_quantities_are_compared_by_the_prefix_of_that_name(operator: str, prefix: Prefix) -> None:
    _, _, date = compared("Patient", f"birthdate {operator} 2014-10-10")
    assert isinstance(date, DateValue)
    assert (date.prefix, date.low.isoformat()) == (prefix, "2014-10-10T00:00:00+00:00")
    _, _, number = compared("RiskAssessment", f"probability {operator} 0.8")
    assert isinstance(number, NumberValue)
    assert number.prefix is prefix
    _, _, quantity = compared("Observation", f"value-quantity {operator} 5.4|ucum|mg")
    assert isinstance(quantity, QuantityValue)
    assert (quantity.number.prefix, quantity.system, quantity.code) == (prefix, "http://unitsofmeasure.org", "mg")


def test_what_is_unequal_has_a_value() -> None:
    node = filtered("Patient", "gender ne male")
    assert isinstance(node, And)
    present, unequal = node.nodes
    assert isinstance(present, Criterion)
    assert present.values == (MissingValue(False),)
    assert unequal == Not(filtered("Patient", "gender eq male"))


def a(resource_type: str, text: str) -> Node:
    return filtered(resource_type, text)


def test_logical_operators_have_no_precedence_and_are_read_from_left_to_right() -> None:
    x, y, z = (a("Patient", text) for text in ("active eq true", "gender eq male", "_id eq 1"))
    assert a("Patient", "active eq true or gender eq male and _id eq 1") == And((Or((x, y)), z))
    assert a("Patient", "active eq true and gender eq male or _id eq 1") == Or((And((x, y)), z))
    assert a("Patient", "active eq true or (gender eq male and _id eq 1)") == Or((x, And((y, z))))
    assert a("Patient", "active eq true and gender eq male and _id eq 1") == And((x, y, z))
    assert a("Patient", "not (active eq true) and not(gender eq male)") == And((Not(x), Not(y)))
    assert a("Patient", " ( ( active eq true ) ) ") == x


def test_a_path_is_a_chain_to_the_types_that_know_the_rest() -> None:
    node = a("Observation", 'subject.name co "pet"')
    assert isinstance(node, Chain)
    assert {target for target, _ in node.inner} == {"Patient", "Location"}
    assert dict(node.inner)["Patient"] == a("Patient", 'name co "pet"')


def test_a_filter_in_a_path_and_what_follows_it_hold_of_the_same_target() -> None:
    node = a("Observation", 'patient[active eq true or gender eq male].name co "pet"')
    assert isinstance(node, Chain)
    ((target, inner),) = node.inner
    assert target == "Patient"
    assert inner == And((a("Patient", "active eq true or gender eq male"), a("Patient", 'name co "pet"')))


def test_absence_along_a_path_denies_the_whole_path() -> None:
    present = a("Observation", "patient.name pr true")
    assert isinstance(present, Chain)
    assert a("Observation", "patient.name pr false") == Not(present)


@pytest.mark.parametrize(
    ("resource_type", "text", "composite"),
    [
        ("Observation", "code-value-quantity[code eq loinc|2823-3].value-quantity gt 5.4", "code-value-quantity"),
        ("Group", "characteristic[code eq gender].value eq mixed", "characteristic-value"),
        ("DocumentReference", "relatesTo[code eq replaces].target re DocumentReference/1", "relationship"),
    ],
)
def test_components_that_belong_together_are_a_composite(resource_type: str, text: str, composite: str) -> None:
    name, modifier, value = compared(resource_type, text)
    assert (name, modifier) == (composite, None)
    assert isinstance(value, CompositeValue)
    assert len(value.parts) == 2


def test_overlap_begins_before_the_end_and_ends_after_the_beginning() -> None:
    node = a("Encounter", "date po 2020-05")
    assert isinstance(node, And)
    before, after = (each.values[0] for each in node.nodes if isinstance(each, Criterion))
    assert isinstance(before, DateValue)
    assert isinstance(after, DateValue)
    assert (before.prefix, before.low.isoformat()) == (Prefix.LESS, "2020-06-01T00:00:00+00:00")
    assert (after.prefix, after.high.isoformat()) == (Prefix.GREATER, "2020-05-01T00:00:00+00:00")


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "x", "gender", "gender eq", "gender eq ", "gender  eq", "eq male", "gender is male", "gender EQ male", "(gender eq male",
        "gender eq male)", "not gender eq male", "not (gender eq male", "gender eq male and", "and gender eq male", "gender eq male or or _id eq 1",
        'given eq "x', 'given eq "\\x"', 'given eq "\\ud800"', "gender eq male gender eq male", "general-practitioner[_id eq 1 .name eq x", "given..x eq 1",
        ".given eq x", "given pr maybe", "birthdate eq junk", "gendereqmale", 'given eq ""', "() eq 1", "()", "[gender eq male]",
    ],
)  # fmt: skip
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        filtered("Patient", text)
    assert refused.value.code == "value"


@pytest.mark.parametrize(
    ("resource_type", "text"),
    [
        ("Patient", "shoe-size eq 1"), ("Patient", "gender gt male"), ("Patient", "given gt x"), ("Patient", "birthdate co 2014"),
        ("Patient", "organization co x"), ("Patient", "gender re x"), ("Patient", "given po x"), ("Patient", "phonetic co x"),
        ("Patient", "_text eq x"), ("Patient", "gender.name eq x"), ("Patient", "organization.shoe-size eq 1"), ("Patient", "organization[_id eq 1] eq 1"),
        ("Observation", "code-value-quantity[code ne x].value-quantity gt 5"), ("Observation", "code-value-quantity[code eq x].code eq x"),
        ("Observation", "code-value-quantity eq x"), ("Observation", "code-value-string[code eq x].value-string co x"), ("Location", "near eq 1"),
        ("Patient", "_has eq 1"), ("Patient", "_profile co http"), ("Patient", "gender pr true.x eq 1"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_and_never_left_out(resource_type: str, text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        filtered(resource_type, text)
    assert refused.value.code in {"not-supported", "value"}


@pytest.mark.parametrize(
    "text",
    [
        "(" * 30 + "gender eq male" + ")" * 30,
        "not(" * 30 + "gender eq male" + ")" * 30,
        " and ".join(["gender eq male"] * 101),
        " or ".join(["gender eq male"] * 500),
        'given eq "' + "x" * 5000 + '"',
        "link." * 30 + "name eq x",
        "link[" * 30 + "name eq x" + "].x" * 30,
    ],
)
def test_an_expression_is_bounded_in_length_depth_and_comparisons(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        filtered("Patient", text)
    assert refused.value.code == "too-costly"


@given(st.text(alphabet=st.sampled_from('()[]". \\andortegivl1-|'), max_size=60))
def test_any_text_is_read_or_refused_in_our_own_words(text: str) -> None:
    try:
        filtered("Patient", text)
    except InvalidInput as refused:
        assert refused.code in {"value", "not-supported", "too-costly"}


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])).filter(normalise))
def test_any_text_can_be_asked_for_as_a_json_string(text: str) -> None:
    assert compared("Patient", f"given eq {json.dumps(text)}")[2] == StringValue(text, normalise(text))
