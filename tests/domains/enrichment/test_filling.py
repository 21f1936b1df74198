"""Enrichment fills what a message leaves out, from the operator's tables, and never overwrites what was sent."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from healthsync.domains.enrichment import TAG_SYSTEM, EnrichmentTables, enriched
from healthsync.settings.documents.enrichment import CodeDisplay, Insurer, Organisation, Place, Provider, Rows
from healthsync.standards.fhir import validate
from healthsync.standards.hl7v2 import Message
from healthsync.standards.maps import Conversion, MappedResource, MappingContext, convert, merged
from healthsync.standards.us_billing import NPI, PLACE_OF_SERVICE, PLACES_OF_SERVICE, TAXONOMY, is_npi

ROWS = Rows(
    places=(
        Place("ICU", authority="GENERAL", place_of_service="21", organisation="MERCY"),
        Place("ICU/12/A", name="Bed at the window"),
        Place("*", authority="GENERAL", place_of_service="22"),
    ),
    providers=(
        Provider("4711", authority="GENERAL", npi="1234567893", family="Stone", given="Ada B", taxonomy="207R00000X",
                 specialty="Internal Medicine", organisation="MERCY"),
        Provider(npi="1987654328", family="Wood", given="Ben"),
    ),
    organisations=(
        Organisation("MERCY", authority="GENERAL", npi="1000000004", name="Mercy Hospital", phone="+12025550100", city="Harbor"),
        Organisation("GENERAL", name="General Hospital"),
    ),
    insurers=(Insurer("60054", name="Example Health", also="Example HMO|EXH", payer_id="60054", phone="+18005550100"),),
    codes=(CodeDisplay("urn:healthsync:local:general", "GLU", "Glucose"),),
)  # fmt: skip
TABLES = EnrichmentTables.of(ROWS)
HEAD = "MSH|^~\\&|ADM|GENERAL|HUB|HIE|20240301081500||ADT^A01^ADT_A01|K1|P|2.5.1\rEVN|A01|20240301081500\r"
PID = "PID|1||P1^^^GENERAL^MR||Plover^Ora||19700101|F\r"


def resource_id(kind: str, key: str) -> str:
    return f"{kind}-{key}"[:64].translate({ord(mark): "-" for mark in "|:%/^ "})


def converted(*segments: str, event: str = "ADT^A01^ADT_A01") -> Conversion:
    text = HEAD.replace("ADT^A01^ADT_A01", event) + PID + "".join(segment + "\r" for segment in segments)
    ctx = MappingContext("general", resource_id, UTC, datetime(2026, 3, 1, tzinfo=UTC))
    return convert(Message.parse(text.encode()), ctx)


def filled(conversion: Conversion, tables: EnrichmentTables = TABLES) -> Conversion:
    before = deepcopy(conversion)
    made = enriched(conversion, tables, resource_id)
    assert conversion == before
    for mapped in made.resources:
        assert list(validate.structure(mapped.resource)) == [], mapped.resource
    return made


def one(conversion: Conversion, kind: str, at: int = 0) -> MappedResource:
    return [mapped for mapped in conversion.resources if mapped.type == kind][at]


def tags(mapped: MappedResource) -> list[str]:
    return [tag["code"] for tag in mapped.resource.get("meta", {}).get("tag", ()) if tag["system"] == TAG_SYSTEM]


def test_a_ward_gets_its_place_of_service_and_its_organisation() -> None:
    made = filled(converted("PV1|1|I|ICU^7^B^GENERAL||||||||||||||||V1"))
    *around, place = (mapped for mapped in made.resources if mapped.type == "Location")
    assert [tags(level) for level in around] == [["places"]] * 3, (
        "a row counts for the whole house, the ward, its rooms"
    )
    assert place.resource["type"][0]["coding"] == [
        {"system": PLACE_OF_SERVICE, "code": "21", "display": PLACES_OF_SERVICE["21"]}
    ]
    organisation = next(m for m in made.resources if m.reference == place.resource["managingOrganization"]["reference"])
    assert organisation.resource["name"] == "Mercy Hospital"
    assert (tags(place), tags(organisation)) == (["places"], ["organisations"])
    positions = [mapped.type for mapped in made.resources]
    assert positions.index("Organization") < positions.index("Encounter")


def test_the_row_that_names_more_of_a_place_counts() -> None:
    assert one(filled(converted("PV1|1|I|ER^1^1^GENERAL||||||||||||||||V1")), "Location", -1).resource["type"][0]["coding"][0][
        "code"
    ] == "22"  # fmt: skip


def test_a_doctor_known_by_a_local_number_gets_name_npi_and_role() -> None:
    made = filled(converted("PV1|1|I|||||4711^^^^^^^^GENERAL|||||||||||V1"))
    doctor, role = one(made, "Practitioner"), one(made, "PractitionerRole")
    assert doctor.resource["name"] == [{"family": "Stone", "given": ["Ada", "B"]}]
    assert [number["value"] for number in doctor.resource["identifier"]] == ["4711", "1234567893"]
    assert role.resource["practitioner"] == {"reference": doctor.reference}
    assert role.resource["specialty"][0]["coding"][0] == {
        "system": TAXONOMY, "code": "207R00000X", "display": "Internal Medicine"}  # fmt: skip
    assert (tags(doctor), tags(role)) == (["providers"], ["providers"])


def test_a_doctor_known_by_npi_gets_a_name() -> None:
    made = filled(converted("PV1|1|I|||||1987654328^^^^^^^^NPI&2.16.840.1.113883.4.6&ISO^^^^NPI|||||||||||V1"))
    doctor = one(made, "Practitioner")
    assert doctor.resource["identifier"][0]["system"] == NPI
    assert doctor.resource["name"] == [{"family": "Wood", "given": ["Ben"]}]


def test_a_number_of_another_authority_is_another_doctor() -> None:
    made = filled(converted("PV1|1|I|||||4711^^^^^^^^OTHER|||||||||||V1"))
    assert "name" not in one(made, "Practitioner").resource


def test_an_insurer_is_found_by_number_or_by_any_of_its_names() -> None:
    by_number = one(filled(converted("IN1|1|PLAN|60054^^^X|EXH HMO of the North")), "Organization")
    by_name = one(filled(converted("IN1|1|PLAN||example hmo")), "Organization")
    for payer in (by_number, by_name):
        assert payer.resource["type"][0]["coding"][0]["code"] == "pay"
        assert "insurers" in tags(payer)
        assert payer.resource["identifier"][-1] == {"system": "urn:healthsync:payer-id", "value": "60054"}
    assert by_number.resource["name"] == "EXH HMO of the North"


def test_an_organisation_that_pays_nothing_is_no_insurer() -> None:
    made = filled(
        converted("PV1|1|I|||||||||||||||||V1"), EnrichmentTables.of(replace(ROWS, insurers=(Insurer(name="GENERAL"),)))
    )
    assert all("insurers" not in tags(mapped) for mapped in made.resources)


def test_the_sender_is_an_organisation_whose_name_is_kept_beside_the_one_of_the_table() -> None:
    sender = one(filled(converted()), "Organization")
    assert (sender.resource["name"], sender.resource["alias"]) == ("GENERAL", ["General Hospital"])


def test_the_organisation_of_a_ward_is_the_one_that_sends() -> None:
    tables = EnrichmentTables.of(replace(ROWS, places=(Place("ICU", name="ICU", organisation="GENERAL"),)))
    made = filled(converted("PV1|1|I|ICU^7^B||||||||||||||||V1"), tables)
    (sender,) = [mapped for mapped in made.resources if mapped.type == "Organization"]
    assert one(made, "Location").resource["managingOrganization"] == {"reference": sender.reference}


def test_a_code_without_meaning_gets_it_and_a_quantity_gets_none() -> None:
    tables = EnrichmentTables.of(
        replace(ROWS, codes=(*ROWS.codes, CodeDisplay("http://unitsofmeasure.org", "mg/dL", "x")))
    )
    made = filled(
        converted("OBR|1||F1^L|PAN^Panel^L", "OBX|1|NM|GLU^^L||99|mg/dL^^UCUM|||||F", event="ORU^R01^ORU_R01"), tables
    )
    result = one(made, "Observation")
    assert result.resource["code"]["coding"][0]["display"] == "Glucose"
    assert "display" not in result.resource["valueQuantity"]
    assert tags(result) == ["codes"]


def test_what_was_sent_is_never_overwritten() -> None:
    sent = converted(
        "PV1|1|I|ICU^12^A^GENERAL||||4711^Sent^Sam^^^^^^GENERAL|||||||||||V1", "IN1|1|PLAN|60054^^^X|Own Name"
    )
    after = {mapped.reference: mapped.resource for mapped in filled(sent).resources}
    for mapped in sent.resources:
        for name, value in mapped.resource.items():
            found = after[mapped.reference][name]
            assert (found[: len(value)] if name == "identifier" else found) == value


def test_what_an_earlier_message_sent_stays_although_this_one_leaves_it_out() -> None:
    stored = one(converted("PV1|1|I|||||4711^Sent^Sam^^^^^^GENERAL|||||||||||V1"), "Practitioner").resource
    now = one(filled(converted("PV1|1|I|||||4711^^^^^^^^GENERAL|||||||||||V1")), "Practitioner")
    assert merged(stored, now)["name"] == stored["name"]


def test_a_resend_gives_the_same_resources() -> None:
    segments = ("PV1|1|I|ICU^12^A^GENERAL||||4711^^^^^^^^GENERAL|||||||||||V1", "IN1|1|PLAN||Example Health")
    first, again = filled(converted(*segments)), filled(converted(*segments))
    for stored, mapped in zip(first.resources, again.resources, strict=True):
        assert merged(stored.resource, mapped) == stored.resource


def test_without_tables_nothing_happens() -> None:
    conversion = converted("PV1|1|I|ICU^12^A^GENERAL||||4711^^^^^^^^GENERAL|||||||||||V1")
    assert enriched(conversion, EnrichmentTables(), lambda *_: "x") is conversion
    assert (
        filled(conversion, EnrichmentTables.of(Rows(codes=(CodeDisplay("s", "c", "d"),)))).resources
        == conversion.resources
    )


@pytest.mark.parametrize(
    ("number", "right"),
    [("1234567893", True), ("1234567890", False), ("3234567893", False), ("123456789", False), ("", False)],
)
def test_the_last_digit_of_an_npi_checks_the_others(number: str, right: bool) -> None:
    assert is_npi(number) is right
