"""json.html: strict in, faithful out."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import json


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b'{"gender":"male","gender":"female"}', "structure", id="a property twice"),
        pytest.param(b'{"gender":"male","gender" \n:"female"}', "structure", id="a property twice, spaced"),
        pytest.param(b'{"name":[{"family":"A","family":"B"}]}', "structure", id="twice, deep inside"),
        pytest.param(b'{"\\u0061":1,"a":2}', "structure", id="twice, once escaped"),
        pytest.param(b'{"a":":x","b":1,"b":2}', "structure", id="twice beside text that looks like a property"),
        pytest.param(b'{"a":"\\u0000"}', "value", id="NUL in text"),
        pytest.param(b'{"\\u0000":1}', "value", id="NUL in a name"),
        pytest.param(b'{"a":"\\\\\\u0000"}', "value", id="NUL after an escaped backslash"),
        pytest.param(b'{"a":"x\x00"}', "structure", id="raw NUL"),
        pytest.param(b'{"a":"\\ud800"}', "structure", id="lone high surrogate"),
        pytest.param(b'{"a":"\\udc00 x"}', "structure", id="lone low surrogate"),
        pytest.param(b'{"a":"\xed\xa0\x80"}', "value", id="surrogate in UTF-8"),
        pytest.param(b'{"a":"\xff"}', "value", id="no UTF-8"),
        pytest.param(b'{"a":NaN}', "structure", id="NaN"),
        pytest.param(b'{"a":Infinity}', "structure", id="Infinity"),
        pytest.param(b'{"a":01}', "structure", id="leading zero"),
        pytest.param(b'{"a":1e999999999}', "value", id="an exponent that no database holds"),
        pytest.param(b'{"a":0.' + b"1" * 200 + b"}", "value", id="more digits than a measurement has"),
        pytest.param(b'{"a":' * 65 + b"1" + b"}" * 65, "structure", id="65 levels"),
        pytest.param(b'{"a":' * 5000 + b"1" + b"}" * 5000, "structure", id="5000 levels"),
        pytest.param(b"[]", "structure", id="a list"),
        pytest.param(b'"text"', "structure", id="a string"),
        pytest.param(b"", "structure", id="nothing"),
        pytest.param(b'{"a":1} x', "structure", id="something behind"),
        pytest.param(b'\xef\xbb\xbf{"a":1,"a":2}', "structure", id="twice behind a byte order mark"),
    ],
)
def test_what_python_would_accept_or_crash_on_is_refused_with_its_issue_code(body: bytes, code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        json.parse(body)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":"\\\\u0000"}',
        b'{"a":"\\ud83d\\ude00"}',
        b'{"a":"he said \\"b\\": no","b":" : "}',
        b'{"a":' * 63 + b"{}" + b"}" * 63,
        b'\xef\xbb\xbf{"a":1}',
        b'\xef\xbb\xbf{"a":" :"}',
        b' \n{"a" : 1 ,\t"b"\n:\r2 } ',
        b'{"a":{"x":1},"b":{"x":1}}',
    ],
)
def test_unusual_but_legal_json_is_read(body: bytes) -> None:
    assert json.parse(body)


@pytest.mark.parametrize(
    "text", ["72.50", "105.00", "0.0054", "-0.0", "0.00", "1E+2", "1.0E+2", "5.40E-8", "100", "-7"]
)
def test_a_number_keeps_the_digits_that_were_written(text: str) -> None:
    body = f'{{"value":{text}}}'.encode()
    assert json.dump(json.parse(body)) == body


def test_an_exponent_keeps_its_value_and_precision_in_a_legal_form() -> None:
    assert json.dump(json.parse(b'{"value":5.40e-3}')) == b'{"value":0.00540}'


def test_a_lone_surrogate_cannot_be_written() -> None:
    with pytest.raises(InvalidInput):
        json.dump({"a": "\ud800"})


def test_no_message_repeats_a_value_of_the_body() -> None:
    for body in (b'{"name":"Smith","name":"Smith"}', b'{"name":"Smith\\u0000"}', b'{"name":"Smith" Smith}'):
        with pytest.raises(InvalidInput) as refused:
            json.parse(body)
        assert "Smith" not in str(refused.value)


def decimals() -> st.SearchStrategy[Decimal]:
    finite = st.decimals(allow_nan=False, allow_infinity=False, places=None, min_value=-(10**12), max_value=10**12)
    return finite.filter(lambda number: len(str(number)) < 80 and abs(number.adjusted()) < 900)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | decimals() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(texts, values, max_size=5))
def test_reading_what_was_written_gives_the_same_digits_and_texts(resource: dict[str, Any]) -> None:
    body = json.dump(resource)
    assert json.dump(json.parse(body)) == body


@given(st.dictionaries(texts, values, min_size=1, max_size=4), st.data())
def test_a_property_that_is_repeated_anywhere_in_an_object_is_found(
    resource: dict[str, Any], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(resource)))
    repeated = json.dump({name: data.draw(values)})
    with pytest.raises(InvalidInput):
        json.parse(json.dump(resource)[:-1] + b"," + repeated[1:])


def test_an_array_is_read_as_strictly_as_an_object() -> None:
    assert str(json.parse_array(b'[{"a":1.50}]')[0]["a"]) == "1.50"
    for data in (b"{}", b'[{"a":1,"a":2}]', b"[" * 100 + b"]" * 100, b'["\\u0000"]', b""):
        with pytest.raises(InvalidInput):
            json.parse_array(data)
