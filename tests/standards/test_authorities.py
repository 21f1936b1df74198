"""The names of an assigning authority, and what they make of numbers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.errors import ConfigurationError
from healthsync.settings.checking import read_document
from healthsync.settings.documents.authorities import AuthoritiesDocument
from healthsync.standards.authorities import NO_AUTHORITIES, AssigningAuthority, Authorities
from healthsync.standards.maps.systems import authority_system

ZHOSP = AssigningAuthority(
    "urn:oid:1.2.3", "ZHOSP", ("urn:oid:1.2.3", "urn:healthsync:authority:ZHOSP", "http://zhosp.example/mrn")
)
LAB_OF_WEST = AssigningAuthority("urn:oid:1.9", "LAB", ("urn:oid:1.9", "urn:healthsync:authority:LAB"), ("west",))
TABLE = Authorities([ZHOSP, LAB_OF_WEST])

DOCUMENT = """assigning_authorities:
  - {authority: 1.2.3, namespace: ZHOSP, also: ["http://zhosp.example/mrn", ZH]}
  - {authority: 1.9.1, namespace: LAB, partners: [west]}
  - {authority: 1.10.1, namespace: LAB, partners: [east]}
"""


def number(system: str, value: str = "7", **more: Any) -> dict[str, Any]:
    return {"system": system, "value": value, **more}


@pytest.mark.parametrize(
    ("namespace", "universal_id"), [("ZHOSP", ""), ("ZHOSP", "1.2.3"), ("", "1.2.3"), ("", "http://zhosp.example/mrn")]
)
def test_every_form_of_an_authority_is_the_authority(namespace: str, universal_id: str) -> None:
    assert authority_system(namespace, universal_id, "west", TABLE) == "urn:oid:1.2.3"


def test_a_universal_id_outranks_the_namespace_that_stands_beside_it() -> None:
    assert authority_system("ZHOSP", "2.9.9", "west", TABLE) == "urn:oid:2.9.9"


def test_a_namespace_of_one_partner_says_nothing_of_the_same_word_elsewhere() -> None:
    assert authority_system("LAB", "", "west", TABLE) == "urn:oid:1.9"
    assert authority_system("LAB", "", "east", TABLE) == "urn:healthsync:authority:LAB"
    assert TABLE.names("urn:oid:1.9") == ("urn:oid:1.9",)


def test_a_number_without_an_authority_is_of_the_one_that_the_partners_name_means() -> None:
    table = Authorities([AssigningAuthority("urn:oid:1.2.3", "", ("urn:oid:1.2.3", "urn:healthsync:authority:mercy"))])
    assert authority_system("", "", "mercy", table) == "urn:oid:1.2.3"


def test_a_number_under_several_names_stands_once_and_the_resource_is_left_as_it_was() -> None:
    numbers = [number(name) for name in ZHOSP.names] + [number("urn:oid:5", "8")]
    patient = {"resourceType": "Patient", "identifier": numbers}
    told = TABLE.one_named(patient)
    assert told["identifier"] == [number("urn:oid:1.2.3", assigner={"display": "ZHOSP"}), number("urn:oid:5", "8")]
    assert patient["identifier"] == [number(name) for name in ZHOSP.names] + [number("urn:oid:5", "8")]


def test_a_business_key_may_have_been_made_of_other_names() -> None:
    assert TABLE.other_keys("filler|urn:oid:1.2.3|7") == [f"filler|{name}|7" for name in ZHOSP.names[1:]]
    assert TABLE.other_keys("filler|urn:oid:5.5|7") == NO_AUTHORITIES.other_keys("urn:oid:1.2.3|7") == []


def test_numbers_of_two_types_are_two_numbers() -> None:
    kinds = [{"coding": [{"code": code}]} for code in ("MR", "PI")]
    told = TABLE.numbers_one_named([number(ZHOSP.names[at], type=kind) for at, kind in enumerate(kinds)])
    assert [each["type"] for each in told] == kinds


JUNK = st.recursive(
    st.none() | st.text(max_size=3) | st.sampled_from(ZHOSP.names),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["system", "value"]), inner),
    max_leaves=6,
)


@given(JUNK)
def test_what_is_no_list_of_numbers_is_passed_on(junk: Any) -> None:
    resource = {"resourceType": "Patient", "identifier": junk}
    assert NO_AUTHORITIES.one_named(resource) is resource
    if not (isinstance(junk, list) and any(isinstance(each, dict) for each in junk)):
        assert TABLE.one_named(resource) is resource


@given(st.lists(st.builds(number, st.sampled_from([*ZHOSP.names, "urn:oid:8", ""]), st.sampled_from("12"))))
def test_naming_twice_changes_nothing_more(numbers: list[dict[str, Any]]) -> None:
    once = TABLE.one_named({"identifier": numbers})
    assert TABLE.one_named(once) == once


def test_the_version_of_a_table_changes_with_what_it_says() -> None:
    assert NO_AUTHORITIES.version == ""
    assert len({NO_AUTHORITIES.version, TABLE.version, Authorities([ZHOSP]).version}) == 3


def test_a_document_is_read(tmp_path: Any) -> None:
    (file := tmp_path / "authorities.yaml").write_text(DOCUMENT)
    table = read_document(file, AuthoritiesDocument).read()
    assert table.system("urn:healthsync:authority:ZH") == "urn:oid:1.2.3"
    assert table.system("urn:healthsync:authority:LAB", "east") == "urn:oid:1.10.1"
    assert table.row("urn:oid:1.2.3") == AssigningAuthority(
        "urn:oid:1.2.3", "ZHOSP", (*ZHOSP.names, "urn:healthsync:authority:ZH"), ()
    )


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("{authority: 1.5.1, namespace: ZH}", "stands for another authority already"),
        ("{authority: 1.5.1, also: [1.2.3]}", "stands for another authority already"),
        ("{authority: 1.5.1, namespace: LAB}", "stands for another authority already"),
        ("{authority: 1.5.1, namespace: LAB, partners: [north, east]}", "stands for another authority already"),
        ("{authority: ZHOSP, namespace: ZH2}", "is no OID, UUID or URI"),
        ("{authority: 1.5.1}", "has no other name"),
    ],
)
def test_a_document_that_says_two_things_stops_the_hub(row: str, told: str, tmp_path: Any) -> None:
    (file := tmp_path / "authorities.yaml").write_text(f"{DOCUMENT}  - {row}\n")
    with pytest.raises(ConfigurationError, match=told):
        read_document(file, AuthoritiesDocument)
