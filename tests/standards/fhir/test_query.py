"""search.html: what a search asks for; never more than was asked."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import query
from healthsync.standards.fhir.dates import Prefix, interval
from healthsync.standards.fhir.query import (
    Criterion,
    DateValue,
    Include,
    MissingValue,
    Modifier,
    NumberValue,
    QuantityValue,
    ReferenceValue,
    StringValue,
    TokenValue,
    UriValue,
)


def values(resource_type: str, name: str, text: str) -> list[Any]:
    return list(only(query.parse(resource_type, [(name, text)])).values)


def only(found: query.SearchQuery) -> Criterion:
    (criterion,) = found.criteria
    assert isinstance(criterion, Criterion)
    return criterion


def criteria(found: query.SearchQuery) -> list[str]:
    return [each.parameter.name for each in found.criteria if isinstance(each, Criterion)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("male", [TokenValue(None, "male")]),
        ("urn:s|1", [TokenValue("urn:s", "1")]),
        ("|1", [TokenValue("", "1")]),
        ("urn:s|", [TokenValue("urn:s", None)]),
        ("a,urn:s|b", [TokenValue(None, "a"), TokenValue("urn:s", "b")]),
        (r"urn:s|d\,e", [TokenValue("urn:s", "d,e")]),
        (r"a\|b", [TokenValue(None, "a|b")]),
        (r"a\\,b\$c", [TokenValue(None, "a\\"), TokenValue(None, "b$c")]),
        (r"a\b", [TokenValue(None, r"a\b")]),
        ("Ünï-Codé", [TokenValue(None, "Ünï-Codé")]),
    ],
)
def test_tokens(text: str, expected: list[TokenValue]) -> None:
    assert values("Patient", "identifier", text) == expected


def test_strings_carry_both_the_text_and_its_normal_form() -> None:
    assert values("Patient", "family", r"Bé Ü,x\,y") == [StringValue("Bé Ü", "be u"), StringValue("x,y", "x,y")]


@pytest.mark.parametrize(
    ("text", "prefix", "date"),
    [
        ("1987", Prefix.EQUAL, "1987"),
        ("ge1987-06", Prefix.GREATER_OR_EQUAL, "1987-06"),
        ("sa2019-12-31T20:00Z", Prefix.STARTS_AFTER, "2019-12-31T20:00Z"),
        ("ap2019-12-31T20:00:00+01:00", Prefix.APPROXIMATELY, "2019-12-31T20:00:00+01:00"),
        ("2019-12-31T20:00:00 01:00", Prefix.EQUAL, "2019-12-31T20:00:00+01:00"),
    ],
)
def test_dates(text: str, prefix: Prefix, date: str) -> None:
    assert values("Patient", "birthdate", text) == [DateValue(prefix, *interval(date))]


@pytest.mark.parametrize(
    "text", ["junk", "05-05-1970", "1970-13-05", "19700505-03-04", "1970-05-05T10", "gt", "lt1970-02-30", "xx1970"]
)
def test_a_date_that_is_none_is_refused_not_ignored(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        query.parse("Patient", [("birthdate", text)], lenient=True)
    assert refused.value.code == "value"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("patient", "1", ReferenceValue("Patient", "1", None, ("Patient/1",))),
        ("subject", "Patient/1", ReferenceValue("Patient", "1", None, ("Patient/1",))),
        ("subject:Patient", "1", ReferenceValue("Patient", "1", None, ("Patient/1",))),
        ("subject:Patient", "Patient/1", ReferenceValue("Patient", "1", None, ("Patient/1",))),
        ("subject", "Patient/1/_history/2", ReferenceValue("Patient", "1", None, ("Patient/1",))),
        (
            "encounter",
            "http://h/Encounter/1",
            ReferenceValue(None, None, "http://h/Encounter/1", ("http://h/Encounter/1",)),
        ),
    ],
)
def test_references(name: str, text: str, expected: ReferenceValue) -> None:
    (value,) = values("Observation", name, text)
    assert value == expected
    assert value.target == expected.targets[0]


def test_a_bare_id_may_be_of_any_type_that_the_parameter_allows() -> None:
    (value,) = values("Observation", "subject", "1")
    assert (value.type, value.target) == (None, "1")
    assert set(value.targets) == {"Patient/1", "Group/1", "Device/1", "Location/1"}


@pytest.mark.parametrize(
    ("text", "value", "low", "high"),
    [
        ("5.40e-3", "0.00540", "0.005395", "0.005405"),
        ("5.4E-3", "0.0054", "0.00535", "0.00545"),
        ("100", "100", "99.5", "100.5"),
        ("1e2", "1E+2", "50", "150"),
        ("-2.0", "-2.0", "-2.05", "-1.95"),
        ("0", "0", "-0.5", "0.5"),
    ],
)
def test_a_number_implies_a_range_by_the_digits_written(text: str, value: str, low: str, high: str) -> None:
    expected = NumberValue(Prefix.EQUAL, Decimal(value), Decimal(low), Decimal(high))
    assert values("RiskAssessment", "probability", text) == [expected]
    unit = "http://unitsofmeasure.org"
    assert values("Observation", "value-quantity", f"{text}|{unit}|g") == [QuantityValue(expected, unit, "g")]
    assert values("Observation", "value-quantity", f"{text}||g") == [QuantityValue(expected, None, "g")]
    assert values("Observation", "value-quantity", text) == [QuantityValue(expected, None, None)]


@pytest.mark.parametrize("text", ["x", "gt", "1|2", "1|2|3|4", "NaN", "Infinity", "1e9999", "1_0", "", ".5.", "5,"])
def test_a_quantity_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        query.parse("Observation", [("value-quantity", text)])
    assert refused.value.code == "value"


def test_uris_are_taken_as_they_are() -> None:
    assert values("ValueSet", "url", "http://a/b") == [UriValue("http://a/b")]


@pytest.mark.parametrize(
    ("name", "text", "modifier", "value"),
    [
        ("family:exact", "Bé", Modifier.EXACT, StringValue("Bé", "be")),
        ("family:contains", "é", Modifier.CONTAINS, StringValue("é", "e")),
        ("gender:not", "male", Modifier.NOT, TokenValue(None, "male")),
        ("birthdate:missing", "true", Modifier.MISSING, MissingValue(True)),
        ("gender:missing", "false", Modifier.MISSING, MissingValue(False)),
        ("general-practitioner:identifier", "urn:npi|1", Modifier.IDENTIFIER, TokenValue("urn:npi", "1")),
    ],
)
def test_modifiers(name: str, text: str, modifier: Modifier, value: Any) -> None:
    criterion = only(query.parse("Patient", [(name, text)]))
    assert (criterion.modifier, criterion.values) == (modifier, (value,))


@pytest.mark.parametrize(
    ("resource_type", "name", "text"),
    [
        ("Patient", "shoe-size", "1"),
        ("Patient", "Name", "x"),
        ("Patient", "value-quantity", "1"),
        ("Patient", "gender:exact", "male"),
        ("Patient", "family:foo", "x"),
        ("Patient", "family:text", "x"),
        ("Patient", "phonetic:exact", "x"),
        ("Patient", "gender:otype", "x"),
        ("Patient", "_has", "x"),
        ("Patient", "_has:Observation:code:value-string", "x"),
        ("Patient", "_has:Observation:encounter:code", "x"),
        ("Patient", "_has:Nothing:patient:code", "x"),
        ("Patient", "_has:Observation:patient:shoe-size", "x"),
        ("Patient", "_text:exact", "x"),
        ("Patient", "_content.x", "x"),
        ("Patient", "_filter:not", "x"),
        ("Patient", "_filter", "shoe-size eq 1"),
        ("Patient", "_list:not", "1"),
        ("Patient", "_query", "name"),
        ("Patient", "_contained", "true"),
        ("Patient", "_type", "Observation"),
        ("Location", "near:exact", "1|2"),
        ("Observation", "code-value-quantity:not", "a$1"),
        ("Observation", "patient.shoe-size", "x"),
        ("Observation", "code.family", "x"),
        ("Observation", "subject:Nobody.family", "x"),
        ("Patient", "_id.family", "x"),
        ("Patient", "_id:in", "x"),
        ("Patient", "_id:text", "x"),
        ("Patient", "_sort", "_score"),
        ("Patient", "_sort", "_text"),
        ("Patient", "_sort", "shoe-size"),
        ("Patient", "_include", "Patient:name"),
        ("Patient", "_include", "Nobody:name"),
    ],
)
def test_what_is_not_served_is_refused_by_name_and_never_widens_a_search(
    resource_type: str, name: str, text: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        query.parse(resource_type, [(name, text)])
    assert refused.value.code == "not-supported"
    named = {name, name.partition(":")[0].partition(".")[0], name.rpartition(":")[2].rpartition(".")[2], text}
    assert any(each in str(refused.value) for each in named) or text.split(maxsplit=1)[0] in str(refused.value)


def test_lenient_handling_passes_over_unknown_parameters_with_a_warning() -> None:
    found = query.parse("Patient", [("shoe-size", "1"), ("gender", "male")], lenient=True)
    assert criteria(found) == ["gender"]
    assert "shoe-size" in found.warnings[0]
    assert found.applied == [("gender", "male")]


@pytest.mark.parametrize(
    ("resource_type", "name", "text"),
    [
        ("Observation", "patient.shoe-size", "1"),
        ("Patient", "_has:Observation:patient:shoe-size", "1"),
        ("Patient", "_filter", "shoe-size eq 1 or gender eq male"),
        ("Patient", "family:foo", "1"),
        ("Patient", "_query", "1"),
        ("Patient", "birthdate", "junk"),
    ],
)
def test_even_lenient_handling_leaves_nothing_out_of_an_expression(resource_type: str, name: str, text: str) -> None:
    with pytest.raises(InvalidInput):
        query.parse(resource_type, [(name, text)], lenient=True)


@pytest.mark.parametrize(
    ("name", "text"),
    [("_summary", "all"), ("_total", "maybe"), ("_count", "ten"), ("_include", "Patient:name"),
     ("_include", "x"), ("_sort", "shoe-size"), ("_revinclude", "Nobody:subject")],
)  # fmt: skip
def test_lenient_handling_passes_over_a_control_parameter_that_cannot_be_understood(name: str, text: str) -> None:
    with pytest.raises(InvalidInput):
        query.parse("Patient", [(name, text)])
    found = query.parse("Patient", [(name, text), ("gender", "male")], lenient=True)
    assert criteria(found) == ["gender"]
    assert len(found.warnings) == 1
    assert (found.summary, found.total, found.count, found.sort, found.includes) == (None, None, None, [], [])


def test_an_unknown_control_parameter_is_passed_over_with_a_warning() -> None:
    found = query.parse("Patient", [("_totalMethod", "count"), ("_format", "json"), ("gender", "male")])
    assert len(found.criteria) == 1
    assert len(found.warnings) == 1
    assert "_totalMethod" in found.warnings[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("family", ""), ("identifier", "|"), ("gender", "a,"), ("birthdate:missing", "yes"), ("_count", "-1"),
        ("_count", "ten"), ("_summary", "all"), ("_total", "maybe"), ("_include", "Patient"), ("subject:Practitioner", "1"),
        ("subject:Patient", "Group/1"), ("gender:of-type", "a|b"), ("identifier:of-type", "a||b"), ("_list", "a/b"), ("_text", "."),
        ("_type", "Patient,Nobody"), ("family", "\u0301"), ("_has:Observation:patient", "x"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_read_is_refused(name: str, text: str) -> None:
    resource_type = "Observation" if name.startswith("subject") else "Patient"
    with pytest.raises(InvalidInput) as refused:
        query.parse(resource_type, [(name, text)])
    assert refused.value.code == "value"


def test_control_parameters_are_read() -> None:
    pairs = [
        ("_count", "20"), ("_sort", "-birthdate,family,_lastUpdated"), ("_summary", "count"), ("_elements", "name,gender"),
        ("_total", "accurate"), ("_include", "Patient:general-practitioner:Organization"),
        ("_revinclude:iterate", "Observation:subject"), ("_cursor", "abc"),
    ]  # fmt: skip
    found = query.parse("Patient", pairs)
    assert (found.count, found.summary, found.total, found.cursor) == (20, "count", "accurate", "abc")
    assert [(key.name, key.descending) for key in found.sort] == [
        ("birthdate", True),
        ("family", False),
        ("_lastUpdated", False),
    ]
    assert found.elements == ["name", "gender"]
    assert found.includes == [
        Include("Patient", "general-practitioner", "Organization", reverse=False, iterate=False),
        Include("Observation", "subject", None, reverse=True, iterate=True),
    ]
    assert found.applied == pairs


def test_repeated_parameters_are_criteria_of_their_own() -> None:
    found = query.parse("Patient", [("birthdate", "ge1980"), ("birthdate", "lt1990"), ("gender", "male,female")])
    assert [len(each.values) for each in found.criteria if isinstance(each, Criterion)] == [1, 1, 2]


@pytest.mark.parametrize(
    ("pairs", "contained", "shown"),
    [
        ([], None, "container"),
        ([("_contained", "false"), ("_containedType", "contained")], None, "contained"),
        ([("_contained", "true")], "true", "container"),
        ([("_containedType", "contained"), ("_contained", "both")], "both", "contained"),
    ],
)
def test_contained_resources_are_searched_where_they_are_asked_for(
    pairs: list[tuple[str, str]], contained: str | None, shown: str
) -> None:
    found = query.parse("Practitioner", [("name", "x"), *pairs], contained=True)
    assert (found.contained, found.contained_type, found.warnings) == (contained, shown, [])
    if contained:  # whoever does not ask for them would take what contains them for what was meant
        with pytest.raises(InvalidInput):
            query.parse("Practitioner", [("name", "x"), *pairs])


@pytest.mark.parametrize(
    ("resource_type", "pairs"),
    [
        ("Patient", [("_contained", "maybe")]), ("Patient", [("_containedType", "both")]), ("", [("_contained", "true")]),
        ("Patient", [("_contained", "true"), ("_sort", "name")]), ("Patient", [("_contained", "true")] * 2),
        ("Patient", [("_contained", "both"), ("_include", "Patient:link")]),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_of_contained_resources_is_refused_even_leniently(
    resource_type: str, pairs: list[tuple[str, str]]
) -> None:
    with pytest.raises(InvalidInput):
        query.parse(resource_type, pairs, contained=True, lenient=True)


def test_identity_and_change_are_parameters_of_every_type() -> None:
    found = query.parse("Basic", [("_id", "a,b"), ("_lastUpdated", "ge2020")])
    assert criteria(found) == ["_id", "_lastUpdated"]


@pytest.mark.parametrize(
    "pairs",
    [
        [], [("_count", "1")], [("_foo", "x"), ("gender", "male")], [("shoe-size", "1")], [("gender", "male"), ("_sort", "family")],
        [("_include", "Patient:link")], [("_format", "json")], [("_type", "Patient"), ("gender", "male")], [("_cursor", "x"), ("gender", "male")],
        [("_contained", "false"), ("gender", "male")], [("_contained", "true"), ("gender", "male")], [("gender", "male"), ("link.shoe-size", "1")], [("gender", "male"), ("_query", "x")],
    ],
)  # fmt: skip
def test_a_condition_on_a_write_is_read_without_any_leniency(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidInput):
        query.parse_condition("Patient", pairs)


def test_a_condition_is_made_of_criteria() -> None:
    found = query.parse_condition(
        "Patient", [("family:exact", "Bé Ü"), ("birthdate", "lt2005"), ("birthdate", "gt1999")]
    )
    assert len(found.criteria) == 3


def test_a_condition_may_use_chains_and_expressions() -> None:
    pairs = [
        ("general-practitioner:Practitioner.name", "x"), ("_has:Observation:patient:code", "1"), ("_filter", "active eq true"),
        ("_id", "1"),
    ]  # fmt: skip
    found = query.parse_condition("Patient", pairs)
    assert [type(each).__name__ for each in found.criteria] == ["Chain", "Has", "Criterion", "Criterion"]
    assert found.applied == pairs


@given(st.text(), st.sampled_from(",|$"))
def test_an_escaped_text_survives_splitting_and_unescaping(text: str, separator: str) -> None:
    escaped = "".join(f"\\{character}" if character in "\\,|$" else character for character in text)
    assert [query.unescape(part) for part in query.split(f"{escaped}{separator}{escaped}", separator)] == [text, text]


@given(st.text(max_size=12), st.text(max_size=30))
def test_any_name_and_value_is_either_read_or_refused_in_our_own_words(name: str, text: str) -> None:
    try:
        query.parse("Observation", [(name, text)])
    except InvalidInput as refused:
        assert refused.code in {"not-supported", "value"}


@given(
    st.sampled_from(
        ["date", "value-quantity", "code", "subject", "value-string", "subject:Patient", "_count", "_sort"]
    ),
    st.text(max_size=30),
)
def test_any_value_of_a_known_parameter_is_either_read_or_refused_in_our_own_words(name: str, text: str) -> None:
    try:
        query.parse("Observation", [(name, text)])
    except InvalidInput as refused:
        assert refused.code in {"not-supported", "value"}
