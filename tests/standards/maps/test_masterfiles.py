"""MFN: staff and places of a sender's directory."""

from __future__ import annotations

from typing import Any

import pytest

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import validate
from healthsync.standards.maps import Conversion

from .golden_pairs import converted

STAFF = """MSH|^~\\&|HRIS|BENCH|||20240301||MFN^M02^MFN_M02|1|P|2.5.1
MFI|PRA^Practitioner master file^HL70175||UPD|||AL
MFE|{event}|55|20240301|4711^^L|CE
STF|4711^^99STAFF|4711^^^BENCH&2.16.840.1.113883.19.4&ISO^EI|Marsh^Helen^^^Dr||F|19700305|{flag}|CARD||^WPN^PH^^1^217^5550000
PRA|4711|GRP1^Heart Group|AT^Attending^L||Cardiology^ABIM^C|1234567893^NPI
"""
PLACE = """MSH|^~\\&|BEDS|BENCH|||20240301||MFN^M05^MFN_M05|2|P|2.5.1
MFI|LOC||UPD|||AL
MFE|{event}|1|20240301|3WEST^312^A^BENCH|PL
LOC|3WEST^312^A^BENCH|Window bed|B^Bed^HL70260|Mercy^L^77|1 Main St^^Springfield^IL|^WPN^PH^^1^217^5550000
LDP|3WEST^312^A^BENCH|CARD^Cardiology|MED^Medicine|||{flag}
"""


def of(conversion: Conversion, kind: str) -> dict[str, Any]:
    """The one resource of this type; of places the innermost, which the others are around."""
    *around, found = [
        mapped.resource for mapped in conversion.resources if mapped.type == kind and "address" not in mapped.key
    ]
    assert kind == "Location" or not around
    return found


def test_a_practitioner_of_the_master_file_is_the_one_that_visits_name() -> None:
    visit = converted(
        "MSH|^~\\&|ADT|BENCH|||20240301||ADT^A01|1|P|2.5.1\nPID|1||7^^^A^MR\n"
        "PV1|1|I|||||4711^Marsh^Helen^^^^^^BENCH&2.16.840.1.113883.19.4&ISO||||||||||||9^^^A^VN"
    )
    told = converted(STAFF.format(event="MUP", flag="A"))
    assert of(told, "Practitioner")["id"] == of(visit, "Practitioner")["id"]
    assert of(told, "Practitioner")["active"] is True
    assert {number["value"] for number in of(told, "Practitioner")["identifier"]} == {"4711", "1234567893"}
    role = of(told, "PractitionerRole")
    assert role["practitioner"] == {"reference": f"Practitioner/{of(told, 'Practitioner')['id']}"}
    assert role["specialty"] == [{"text": "Cardiology"}] and role["organization"]
    assert told.unmapped == {"STF-8": 1} and told.issues == []
    assert all(validate.structure(mapped.resource) == [] for mapped in told.resources)


@pytest.mark.parametrize(
    ("event", "flag", "active"),
    [
        ("MAD", "", True),
        ("MAC", "", True),
        ("MUP", "", None),
        ("MUP", "I", False),
        ("MDC", "", False),
        ("MDL", "A", False),
    ],
)
def test_an_entry_is_active_as_its_event_and_its_flag_say(event: str, flag: str, active: bool | None) -> None:
    staff = converted(STAFF.format(event=event, flag=flag))
    assert of(staff, "Practitioner").get("active") is active
    place = converted(PLACE.format(event=event, flag=flag))
    assert of(place, "Location").get("status") == {True: "active", False: "inactive", None: None}[active]


def test_a_place_of_the_master_file_is_the_one_where_patients_lie() -> None:
    visit = converted(
        "MSH|^~\\&|ADT|BENCH|||20240301||ADT^A01|1|P|2.5.1\nPID|1||7^^^A^MR\n"
        "PV1|1|I|3WEST^312^A^BENCH||||||||||||||||9^^^A^VN"
    )
    told = converted(PLACE.format(event="MAD", flag=""))
    bed = of(told, "Location")
    assert bed["id"] == of(visit, "Location")["id"]
    assert (
        bed["description"] == "Window bed" and bed["managingOrganization"] and bed["address"]["city"] == "Springfield"
    )
    assert [kind["coding"][0]["code"] for kind in bed["type"]] == ["B", "MED"]
    assert told.unmapped == {"LDP-2": 1}
    assert all(validate.structure(mapped.resource) == [] for mapped in told.resources)


def test_an_older_entry_does_not_undo_a_newer_one() -> None:
    told = converted(STAFF.format(event="MDC", flag=""))
    assert {mapped.as_of for mapped in told.resources if mapped.type in ("Practitioner", "PractitionerRole")} == {
        "2024-03-01"
    }


def test_entries_without_a_name_of_their_own_and_unknown_events_are_reported() -> None:
    told = converted(
        "MSH|^~\\&|HRIS|BENCH|||20240301||MFN^M02|1|P|2.5.1\nMFI|PRA||UPD|||AL\n"
        "MFE|XXX|1|20240301|9|CE\nSTF|||Nobody^Known\nPRA|9|GRP1\n"
    )
    assert {(issue.code, issue.path) for issue in told.issues} == {
        ("code-not-in-table", "MFE-1"),
        ("staff-without-number", "STF-2"),
    }
    assert told.unmapped == {"PRA": 1}


def test_other_master_files_are_refused_with_a_sentence() -> None:
    with pytest.raises(InvalidInput, match=r"unsupported message type MFN\^M04"):
        converted("MSH|^~\\&|A|B|||20240301||MFN^M04|1|P|2.5.1\nMFI|CDM||UPD|||AL")
