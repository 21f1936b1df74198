"""QBP^Q22 and QBP^Q23 read and answered, as pure functions."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from healthsync.standards.hl7v2 import AckCode, ErrorCode, Message
from healthsync.standards.maps.outbound import QueryAnswer, build_response
from healthsync.standards.maps.queries import QueryFault, QueryNotUnderstood, read_query

AT = datetime(2024, 3, 1, 12, tzinfo=UTC)


def qbp(trigger: str, *segments: str, version: str = "2.5", charset: str = "") -> Message:
    header = (
        f"MSH|^~\\&|EPIC^1.2.9^ISO|MERCY|HUB|HIE|20240301120000||QBP^{trigger}^QBP_Q21|Q-1|P|{version}||||||{charset}"
    )
    return Message.parse("\r".join((header, *segments, "")).encode("utf-8"))


def pdq(fields: str, domains: str = "") -> str:
    return f"QPD|IHE PDQ Query|t1|{fields}|||||{domains}"


@pytest.mark.parametrize(
    ("fields", "criteria"),
    [
        ("@PID.5.1^QUENNELL~@PID.5.2^Otto", [("family", "QUENNELL"), ("given", "Otto")]),
        ("@PID.5.1.1^QUEN*", [("family", "QUEN")]),
        ("pid.5^Quennell", [("family", "Quennell")]),
        ("@PID.5.1^Smith\\T\\Sons, Ltd", [("family", "Smith&Sons\\, Ltd")]),
        ("@PID.7^1971", [("birthdate", "1971")]),
        ("@PID.7.1^197103091200", [("birthdate", "1971-03-09")]),
        ("@PID.8^F", [("gender", "female")]),
        ("@PID.11.1^4 Weir Lane~@PID.11.4^MA~@PID.11.5^02343", [
            ("address", "4 Weir Lane"), ("address-state", "MA"), ("address-postalcode", "02343")]),
        ("@PID.13.1^555-0100", [("phone", "555-0100")]),
        ("@PID.18.1^A-9", [("_has:Account:patient:identifier", "A-9")]),
        ("@PID.3.1^M-1", [("identifier", "M-1")]),
        ("@PID.3.1^M|1~@PID.3.4.1^MERCY", [("identifier", "urn:healthsync:authority:MERCY|M\\|1")]),
        ("@PID.3.1^M-1~@PID.3.4.2^1.2.3~@PID.3.4.3^ISO", [("identifier", "urn:oid:1.2.3|M-1")]),
        ("@PID.3.4^MERCY&1.2.3&ISO", [("identifier", "urn:oid:1.2.3|")]),
        ("@PID.5.1^~@PID.8^M", [("gender", "male")]),
    ],
)  # fmt: skip
def test_fields_become_what_the_fhir_search_asks(fields: str, criteria: list[tuple[str, str]]) -> None:
    fields = fields.replace("M|1", "M\\F\\1")
    assert list(read_query(qbp("Q22", pdq(fields)), "mercy").criteria) == criteria


@pytest.mark.parametrize(
    ("trigger", "segments", "place", "code"),
    [
        ("Q22", [pdq("@PID.5.1^Q~@PID.99^x")], ("QPD", 1, 3, 2, 1), "103"),
        ("Q22", [pdq("@PID.5.1^Qu*nn")], ("QPD", 1, 3, 1, 2), "102"),
        ("Q22", [pdq("@PID.5.1^*")], ("QPD", 1, 3, 1, 2), "102"),
        ("Q22", [pdq("@PID.7^yesterday")], ("QPD", 1, 3, 1, 2), "102"),
        ("Q22", [pdq("@PID.7^19713")], ("QPD", 1, 3, 1, 2), "102"),
        ("Q22", [pdq("@PID.8^Q")], ("QPD", 1, 3, 1, 2), "103"),
        ("Q22", [pdq("@PID.3.1^1~@PID.3.1^2")], ("QPD", 1, 3, 2), "205"),
        ("Q22", [pdq("@PID.3.5^MR")], ("QPD", 1, 3, 1, 1), "103"),
        ("Q22", [pdq("")], ("QPD", 1, 3), "101"),
        ("Q22", [pdq("@PID.5.1^Q", "^^^MERCY~^^^~")], ("QPD", 1, 8, 2, 4), "101"),
        ("Q22", [pdq("@PID.5.1^Q"), "RCP|I|many^RD"], ("RCP", 1, 2, 1, 1), "102"),
        ("Q22", [pdq("@PID.5.1^Q"), "RCP|I|0^RD"], ("RCP", 1, 2, 1, 1), "102"),
        ("Q22", [pdq("@PID.5.1^Q"), "RCP|I|9^LI"], ("RCP", 1, 2, 1, 2), "103"),
        ("Q22", ["RCP|I"], ("QPD", 1), "101"),
        ("Q23", ["QPD|IHE PIX Query|t1|"], ("QPD", 1, 3, 1, 1), "101"),
        ("Q23", ["QPD|IHE PIX Query|t1|1^^^A~2^^^A"], ("QPD", 1, 3, 1, 1), "101"),
        ("Q23", ["QPD|IHE PIX Query|t1|M-1"], ("QPD", 1, 3, 1, 4), "101"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_place(
    trigger: str, segments: list[str], place: tuple[str | int, ...], code: str
) -> None:
    with pytest.raises(QueryNotUnderstood) as problem:
        read_query(qbp(trigger, *segments), "mercy")
    assert (problem.value.fault.place, problem.value.fault.code) == (place, code)


def test_a_pix_query_names_a_number_and_the_domains_that_are_wanted() -> None:
    asked = "QPD|IHE PIX Query|t1|M-1^^^MERCY&1.2.3&ISO|^^^&1.5.6&ISO~^^^LAB"
    query = read_query(qbp("Q23", asked, "RCP|I"), "mercy")
    assert query.number == ("urn:oid:1.2.3", "M-1")
    assert query.domains == ("urn:oid:1.5.6", "urn:healthsync:authority:LAB")
    assert (query.domains_field, query.limit, query.pointer) == (4, None, "")


def test_size_and_pointer_of_an_answer_are_read() -> None:
    query = read_query(qbp("Q22", pdq("@PID.8^F"), "RCP|I|20^RD", "DSC|abc|I"), "mercy")
    assert (query.domains_field, query.limit, query.pointer) == (8, 20, "abc")


def test_a_query_of_an_old_version_is_refused_by_its_version() -> None:
    with pytest.raises(QueryNotUnderstood) as problem:
        read_query(qbp("Q22", pdq("@PID.8^F"), version="2.3.1"), "mercy")
    assert problem.value.fault.code is ErrorCode.UNSUPPORTED_VERSION_ID


def _response(query: Message, answer: QueryAnswer) -> Message:
    return Message.parse(build_response(query, answer, control_id="9", at=AT, application="HealthSync", facility="HUB"))


def test_an_answer_goes_back_to_who_asked_with_the_question_as_it_was_sent() -> None:
    query = qbp("Q22", pdq("@PID.5.1^Smith\\T\\Sons"))
    answer = _response(query, QueryAnswer(AckCode.AA))
    assert [answer.segments[0].raw_field(n) for n in (3, 4, 5, 6)] == ["HUB", "HIE", "EPIC^1.2.9^ISO", "MERCY"]
    assert (answer.get("MSA-2"), answer.get("QAK-2"), answer.get("QAK-3")) == ("Q-1", "NF", "IHE PDQ Query")
    assert answer.all("QPD")[0].raw == query.all("QPD")[0].raw
    assert answer.version == "2.5"


def test_an_answer_is_written_in_the_character_set_of_the_query_unless_that_lacks_a_letter() -> None:
    query = qbp("Q22", pdq("@PID.8^F"), charset="8859/1", version="2.9")
    for family, charset in (("Müller", "8859/1"), ("Wałęsa", "UNICODE UTF-8")):
        patient = {"resourceType": "Patient", "id": "1", "name": [{"family": family}]}
        answer = _response(query, QueryAnswer(AckCode.AA, patients=[patient]))
        assert (answer.get("MSH-18"), answer.get("PID-5")) == (charset, family)
        assert answer.version == "2.5.1"


def test_faults_and_a_missing_question_are_answered_too() -> None:
    faults = [QueryFault(ErrorCode.UNKNOWN_KEY_IDENTIFIER, ("QPD", 1, 4, 2), "not known")]
    answer = _response(qbp("Q23"), QueryAnswer(AckCode.AE, faults))
    assert [segment.name for segment in answer.segments] == ["MSH", "MSA", "ERR", "QAK"]
    assert answer.all("ERR")[0].raw == "ERR||QPD^1^4^2|204^Unknown key identifier^HL70357|E||||not known"
    assert (answer.get("QAK-1"), answer.get("QAK-2")) == ("", "AE")
