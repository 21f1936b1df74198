"""HL7Parser: what a program reads of a message, and that its fields behave as texts and as lists."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync import HL7Message, HL7Parser
from healthsync.errors import InvalidInput
from healthsync.sdk.values import encode
from healthsync.standards.hl7v2 import Message

ORU = (
    "MSH|^~\\&|LAB|MERCY|HUB|HIE|20260301120000||ORU^R01^ORU_R01|C1|P|2.5.1\r"
    "PID|1||M1^^^MERCY&1.2.3&ISO^MR~S9^^^SSA^SS||Quennell^Ottoline\r"
    "OBX|1|NM|2823-3^Potassium^LN||6.8|mmol/L^millimole per litre^UCUM|3.5-5.1|HH~A|||F\r"
    "OBX|2|SN|||<^5\r"
    "OBX|3|TX|||a^b\\T\\c\r"
    "OBX|4|CWE|||^free text\r"
    "OBX|5\r"
)


@pytest.fixture
def parser() -> HL7Parser:
    return HL7Parser(ORU)


@pytest.fixture
def obx(parser):
    return parser.segments("OBX")


def test_the_lines_of_the_example_say_what_they_say(parser, obx):
    first = obx[0]
    assert parser.get("PID.3") == "M1"
    assert (first[3][0][0], first[3][0][1]) == ("2823-3", "Potassium")
    assert (first[5], first[6], first[7]) == ("6.8", "mmol/L", "3.5-5.1")
    assert first[8] in ["HH", "LL", "AA"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("PID-3.1", "M1"),
        ("PID.3.1", "M1"),
        ("PID-3[2]", "S9"),
        ("PID-3.4.2", "1.2.3"),
        ("OBX[2]-5.2", "5"),
        ("PID-30", ""),
        ("ZZZ-1", ""),
    ],
)
def test_get_reads_paths_of_both_spellings(parser, path, text):
    assert parser.get(path) == text


def test_get_gives_the_default_where_nothing_was_sent(parser):
    assert parser.get("PID-30", "none") == "none"


@pytest.mark.parametrize("path", ["PID", "3", "pid-3", "PID-0", ""])
def test_what_is_no_path_is_refused(parser, path):
    with pytest.raises(InvalidInput):
        parser.get(path)


def test_a_field_is_taken_apart_to_its_subcomponents(parser):
    number = parser.segments("PID")[0][3]
    assert len(number) == 2
    assert [str(repetition) for repetition in number] == ["M1", "S9"]
    assert [str(component) for component in number[0]] == ["M1", "", "", "MERCY", "MR"]
    assert (number[0][3][1], number[1][3], number[-1][0]) == ("1.2.3", "SSA", "S9")
    assert number[0:1] == (number[0],)


def test_what_was_not_sent_is_empty_and_never_an_error(obx):
    last = obx[4]
    assert (last[3], last[3][0], last[3][0][1], last[99][7][7]) == ("", "", "", "")
    assert not last[5]
    assert (len(last[5]), list(last[5])) == (0, [])


def test_fields_are_counted_from_one(obx):
    with pytest.raises(IndexError, match=r"obx\[3\] is OBX-3"):
        obx[0][0]


def test_an_observed_value_reads_as_its_type_says(obx):
    assert [str(one[5]) for one in obx] == ["6.8", "<5", "a^b&c", "free text", ""]


def test_a_field_is_a_text_to_everything_that_takes_one(obx):
    value = obx[0][5]
    assert value == "6.8"
    assert value == "6.8"
    assert {value: 1}["6.8"] == 1
    assert hash(value) == hash("6.8")
    assert (float(value), f"{value} {obx[0][6]}", value + "!") == (6.8, "6.8 mmol/L", "6.8!")
    assert sorted([value, "1"]) == ["1", "6.8"]
    assert json.loads(json.dumps({"v": value, "c": obx[0][3][0][0]})) == {"v": "6.8", "c": "2823-3"}
    assert json.loads(encode({"v": value, "c": obx[0][3][0]})) == {"v": "6.8", "c": "2823-3"}
    assert copy.deepcopy(value) == pickle.loads(pickle.dumps(value)) == "6.8"


def test_no_repr_shows_a_value(parser, obx):
    shown = repr([parser, obx[0], obx[0][5], obx[0][3][0], HL7Message("ORU^R01", ORU.encode())])
    assert "6.8" not in shown
    assert "2823-3" not in shown
    assert "Quennell" not in shown


@pytest.mark.parametrize(
    "given_as", [ORU, ORU.encode(), HL7Message("ORU^R01", ORU.encode()), Message.parse(ORU.encode())]
)
def test_a_message_is_taken_in_every_form(given_as):
    parser = HL7Parser(given_as)
    assert (parser.message_type, parser.control_id, parser.version) == ("ORU^R01", "C1", "2.5.1")


@pytest.mark.parametrize("text", ["", "hello", "PID|1"])
def test_what_is_no_message_is_refused(text):
    with pytest.raises(InvalidInput):
        HL7Parser(text)


def test_the_text_of_a_message_is_in_its_own_character_set():
    raw = "MSH|^~\\&|||||||ADT^A01|1|P|2.5||||||8859/1\rPID|||1||Müller".encode("latin-1")
    assert "Müller" in str(HL7Message("ADT^A01", raw))
    assert HL7Parser(raw).get("PID-5") == "Müller"


@given(st.binary(max_size=200), st.integers(1, 30), st.integers(-3, 9), st.integers(-3, 9))
def test_no_message_however_broken_makes_reading_fail(noise, field, repetition, component):
    parser = HL7Parser(b"MSH|^~\\&|A\rOBX|" + noise)
    for segment in parser.segments():
        read = segment[field]
        assert isinstance(read[repetition][component][0], str)
        assert json.dumps(read) is not None
