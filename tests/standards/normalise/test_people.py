"""Names, telephone numbers, mail, addresses and codes for sex in one form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.domains.identity.demographics import demographics_of
from healthsync.domains.identity.values import normalised_name
from healthsync.standards.fhir import validate
from healthsync.standards.maps.tables import tables
from healthsync.standards.normalise import (
    Conventions,
    PersonName,
    administrative_gender,
    normalise_address,
    normalise_email,
    normalise_phone,
    normalised_resource,
    parse_name,
    title_case,
)

ALL = Conventions(names=True, phones=True, addresses=True)
ORIGINAL = "http://hl7.org/fhir/StructureDefinition/originalText"


@pytest.mark.parametrize(
    "name",
    [
        "McDonald",
        "MacDonald",
        "Mackey",
        "Machado",
        "O'Brien",
        "O’Neill",
        "D'Angelo",
        "Dell'Acqua",
        "Smith-Jones",
        "van der Berg",
        "de la Cruz",
        "La Rosa",
        "von Trapp",
        "dos Santos",
        "García Márquez",
        "Müller-Lüdenscheidt",
        "St. John",
        "Le",
        "Van",
        "Jean-Luc",
        "Åström",
        "Mary Ann",
        "J.R.",
    ],
)
def test_a_name_without_case_gets_title_case(name: str) -> None:
    assert title_case(name.upper()) == name
    assert title_case(name.lower()) == name


@pytest.mark.parametrize("name", ["deVries", "McDONALD", "Van Der Berg", "LaToya"])
def test_a_name_that_has_case_was_meant_so(name: str) -> None:
    assert title_case(name) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("John Smith", PersonName("Smith", ("John",))),
        ("Smith, John", PersonName("Smith", ("John",))),
        ("J. Smith", PersonName("Smith", ("J.",))),
        ("Johnny Smith", PersonName("Smith", ("Johnny",))),
        ("SMITH, JOHN A", PersonName("Smith", ("John", "A"))),
        ("SMITH, JOHN A, MD", PersonName("Smith", ("John", "A"), (), ("MD",))),
        ("SMITH JR, JOHN", PersonName("Smith", ("John",), (), ("Jr",))),
        ("Dr. John van der Berg Jr.", PersonName("van der Berg", ("John",), ("Dr.",), ("Jr",))),
        ("VAN DER BERG, JAN PIETER III", PersonName("van der Berg", ("Jan", "Pieter"), (), ("III",))),
        ("John Q Public, PhD, FACP", PersonName("Public", ("John", "Q"), (), ("PhD", "FACP"))),
        ("SMITH^JOHN^A^JR^DR^MD", PersonName("Smith", ("John", "A"), ("Dr",), ("Jr", "MD"))),
        ("Maria de la Cruz", PersonName("de la Cruz", ("Maria",))),
        ("NGUYEN, VAN", PersonName("Nguyen", ("Van",))),
        ("MA, YO-YO", PersonName("Ma", ("Yo-Yo",))),
        ("DO, KIM", PersonName("Do", ("Kim",))),
        ("Madonna", PersonName("Madonna")),
    ],
)
def test_a_name_in_one_piece_is_parsed_into_its_parts(text: str, name: PersonName) -> None:
    assert parse_name(text).value == name


@pytest.mark.parametrize(("text", "problem"), [("12345", "not-a-name"), (",,,", "not-a-name"), ("  ", None)])
def test_what_is_no_name_has_no_parts(text: str, problem: str | None) -> None:
    assert (parse_name(text).value, parse_name(text).problem) == (None, problem)


@pytest.mark.parametrize(
    ("text", "country", "number", "extension"),
    [
        ("(202) 555-0143", "US", "+12025550143", ""),
        ("202.555.0143", "US", "+12025550143", ""),
        ("1-202-555-0143", "US", "+12025550143", ""),
        ("+1 202 555 0143", "AT", "+12025550143", ""),
        ("2025550143 x12", "US", "+12025550143", "12"),
        ("(202) 555-0143 ext. 5", "US", "+12025550143", "5"),
        ("01 58858", "AT", "+43158858", ""),
        ("020 7946 0958", "GB", "+442079460958", ""),
    ],
)
def test_a_telephone_number_is_written_as_e164(text: str, country: str, number: str, extension: str) -> None:
    found = normalise_phone(text, country).value
    assert found is not None and (found.number, found.extension) == (number, extension)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("unknown", "not-a-number"),
        ("0000000000", "impossible-number"),
        ("9999999999", "impossible-number"),
        ("123", "impossible-number"),
        ("555-0143", "no-area-code"),
        ("2" * 65, "not-a-number"),
    ],
)
def test_what_nobody_can_call_is_refused(text: str, problem: str) -> None:
    assert normalise_phone(text).problem in {problem, "impossible-number"}
    assert normalise_phone(text).value is None


def test_a_number_that_is_not_assigned_is_kept_and_flagged() -> None:
    assert normalise_phone("(555) 999-8888").changes == ("e164", "not-assigned")


@pytest.mark.parametrize("text", ["Jane.Doe@Example.ORG", "mailto:Jane.Doe@example.org", " Jane.Doe@EXAMPLE.org "])
def test_the_domain_of_mail_has_no_case(text: str) -> None:
    assert normalise_email(text).value == "Jane.Doe@example.org"


@pytest.mark.parametrize("text", ["a@b", "nobody", "a b@example.org", "@example.org", "a@example.org, b@example.org"])
def test_what_is_no_address_of_mail_is_refused(text: str) -> None:
    assert normalise_email(text).problem == "not-an-address"


@pytest.mark.parametrize(
    ("sent", "line", "rest"),
    [
        ((["123 NORTH MAIN STREET APARTMENT 2"], "SPRINGFIELD", "Illinois", "627011234"),
         "123 N Main St Apt 2", ("Springfield", "IL", "62701-1234")),
        ((["123 Main Street, Apt 2, Springfield, IL 62701"],), "123 Main St Apt 2", ("Springfield", "IL", "62701")),
        ((["500 5TH AVENUE", "SUITE 300"], "NEW YORK", "NY", "10110-0001"),
         "500 5th Ave Ste 300", ("New York", "NY", "10110-0001")),
        ((["1600 PENNSYLVANIA AVE NW"], "WASHINGTON", "D.C.", "20500"),
         "1600 Pennsylvania Ave NW", ("Washington", "DC", "20500")),
        ((["P.O. BOX 12"], "ALBANY", "new york", "12207"), "PO Box 12", ("Albany", "NY", "12207")),
        ((["456 oak boulevard #4b"], "o'fallon", "mo", "63366"), "456 Oak Blvd # 4B", ("O'Fallon", "MO", "63366")),
        ((["12 North St"], "Paris", "TX", "75460"), "12 North St", ("Paris", "TX", "75460")),
        ((["GENERAL DELIVERY"], "Juneau", "AK", "99801"), "GENERAL DELIVERY", ("Juneau", "AK", "99801")),
    ],
)  # fmt: skip
def test_an_address_of_the_united_states_is_written_as_the_post_writes_it(sent: tuple, line: str, rest: tuple) -> None:
    found = normalise_address(*sent).value
    assert found is not None
    assert (found.lines[0], (found.city, found.state, found.postal_code)) == (line, rest)


def test_the_parts_of_a_street_line_are_told() -> None:
    found = normalise_address(["77 South Lake Shore Drive East, Suite 9"], "Chicago", "IL", "60601").value
    assert found is not None
    assert (found.house_number, found.direction, found.street, found.suffix, found.direction_behind) == (
        "77", "S", "Lake Shore", "Dr", "E")  # fmt: skip
    assert (found.unit, found.unit_number) == ("Ste", "9")


def test_an_address_of_another_country_is_kept_as_it_is() -> None:
    found = normalise_address(["12  RUE DE LA PAIX"], "PARIS", "", "75002", "FRA")
    assert found.value is not None and found.changes == ()
    assert (found.value.lines, found.value.city, found.value.country) == (("12 RUE DE LA PAIX",), "PARIS", "FRA")


def test_a_state_or_zip_code_that_does_not_exist_stays_and_is_flagged() -> None:
    assert normalise_address(["1 Elm St"], "X", "ZZ", "1234").changes == (
        "usps",
        "unknown-state",
        "unknown-postal-code",
    )


@pytest.mark.parametrize(
    ("texts", "gender"),
    [
        ("M m male Male MALE 1", "male"),
        ("F f female Female 2", "female"),
        ("O A N X D other nonbinary", "other"),
        ("U UNK unknown 0 9", "unknown"),
    ],
)
def test_codes_for_sex_become_administrative_gender(texts: str, gender: str) -> None:
    assert {administrative_gender(text).value for text in texts.split()} == {gender}


def test_codes_for_sex_agree_with_the_v2_to_fhir_guide() -> None:
    concepts = tables().concepts["AdministrativeSex"]
    assert {code: administrative_gender(code).value for code in concepts} == {c: row[1] for c, row in concepts.items()}


def test_what_is_no_code_for_sex_is_refused() -> None:
    assert administrative_gender("Q").problem == "not-a-sex"


PATIENT = {
    "resourceType": "Patient",
    "name": [{"family": "MCDONALD JR", "given": ["JOHN", "A"], "use": "official"}, {"family": "SMITH, JOHN"}],
    "telecom": [{"system": "phone", "value": "(202) 555-0143 X12"}, {"system": "phone", "value": "none"}],
    "address": [{"line": ["12 ELM STREET"], "city": "HARBOR", "state": "wa", "postalCode": "98101", "country": "USA"}],
    "contact": [{"name": {"family": "O'BRIEN"}}],
}


def test_a_patient_in_normal_form_keeps_what_was_sent_beside_it() -> None:
    made = normalised_resource(PATIENT, ALL)
    first, second = made["name"]
    assert (first["family"], first["given"], first["suffix"], first["use"]) == (
        "McDonald",
        ["John", "A"],
        ["Jr"],
        "official",
    )
    assert (second["family"], second["given"]) == ("Smith", ["John"])
    assert [one["extension"][0]["valueString"] for one in made["name"]] == ["MCDONALD JR, JOHN A", "SMITH, JOHN"]
    assert made["telecom"][0]["value"] == "+12025550143"
    assert [one["valueString"] for one in made["telecom"][0]["extension"]] == ["12", "(202) 555-0143 X12"]
    assert made["telecom"][1] == PATIENT["telecom"][1]
    assert (made["address"][0]["line"], made["address"][0]["country"]) == (["12 Elm St"], "US")
    assert made["contact"][0]["name"]["family"] == "O'Brien"
    assert list(validate.structure(made)) == []
    assert normalised_resource(made, ALL) == made


def test_without_a_contract_everything_stays_as_sent() -> None:
    assert normalised_resource(PATIENT, Conventions()) is PATIENT


def test_the_name_of_an_organisation_is_no_name_of_a_person() -> None:
    organisation = {"resourceType": "Organization", "name": "MERCY HOSPITAL"}
    assert normalised_resource(organisation, ALL) == organisation


def test_matching_sees_the_same_person_before_and_after() -> None:
    sent = {**PATIENT, "name": PATIENT["name"][:1], "birthDate": "1970-01-01"}
    before, after = demographics_of(sent), demographics_of(normalised_resource(sent, ALL))
    assert (before.names, before.generations) == (after.names, after.generations)


@given(st.text(max_size=30))
def test_title_case_changes_nothing_that_matching_looks_at_and_is_done_once(text: str) -> None:
    once = title_case(text)
    assert normalised_name(once) == normalised_name(text)
    assert title_case(once) == once


@given(st.text(max_size=60))
def test_no_text_makes_a_normaliser_fail(text: str) -> None:
    parse_name(text), normalise_phone(text), normalise_email(text), administrative_gender(text)
    normalise_address([text], text, text, text)
