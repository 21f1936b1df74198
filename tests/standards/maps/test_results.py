"""ORC, OBR, OBX, SPM, NTE: reports and results, none lost and none guessed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from healthsync.standards.fhir import validate
from healthsync.standards.maps import Conversion, merged

from .golden_pairs import after, converted

HEAD = "\n".join(
    [
        r"MSH|^~\&|ZHIS|ZHOSP|ZHUB|ZHIE|20240301120000+0000||ORU^R01^ORU_R01|K1|P|2.5.1",
        "PID|1||P1^^^ZHOSP^MR||Wick^Ora^^^^^L||19520416|F",
    ]
)
OBR = "OBR|1||F1^ZLAB|PN^Panel^L|||20240301080000+0000|||||||||||||||20240301100000+0000||LAB|F"


def oru(*segments: str) -> Conversion:
    conversion = converted("\n".join([HEAD, *segments]))
    for mapped in conversion.resources:
        assert validate.structure(mapped.resource) == []
    return conversion


def of_type(conversion: Conversion, kind: str) -> list[dict[str, Any]]:
    return [mapped.resource for mapped in conversion.resources if mapped.type == kind]


def observation(obx: str) -> dict[str, Any]:
    (found,) = of_type(oru(OBR, obx), "Observation")
    return found


MG = {"unit": "mg/L", "system": "http://unitsofmeasure.org", "code": "mg/L"}


@pytest.mark.parametrize(
    ("kind", "sent", "element", "value"),
    [
        ("NM", "065.80", "valueQuantity", {"value": Decimal("65.80"), **MG}),
        ("NM", "<5", "valueQuantity", {"value": Decimal("5"), "comparator": "<", **MG}),
        ("NM", "> 630", "valueQuantity", {"value": Decimal("630"), "comparator": ">", **MG}),
        ("NM", "positive", "valueString", "positive"),
        ("SN", "^28", "valueQuantity", {"value": Decimal("28"), **MG}),
        ("SN", ">^630", "valueQuantity", {"value": Decimal("630"), "comparator": ">", **MG}),
        ("SN", "=^7", "valueQuantity", {"value": Decimal("7"), **MG}),
        ("SN", "^2^+", "valueString", "2+ mg/L"),
        ("SN", "<>^7", "valueString", "<> 7 mg/L"),
        ("SN", "^1^-^3", "valueRange", {"low": {"value": Decimal(1), **MG}, "high": {"value": Decimal(3), **MG}}),
        (
            "SN",
            "^1^:^128",
            "valueRatio",
            {"numerator": {"value": Decimal(1), **MG}, "denominator": {"value": Decimal(128), **MG}},
        ),
        ("NR", "1^3", "valueRange", {"low": {"value": Decimal(1), **MG}, "high": {"value": Decimal(3), **MG}}),
        ("ST", r"level L4\5 right", "valueString", r"level L4\5 right"),
        ("ST", "a^b", "valueString", "a^b"),
        ("TX", "first~second", "valueString", "first\nsecond"),
        ("FT", r"one\.br\two", "valueString", "one\ntwo"),
        ("", "plain", "valueString", "plain"),
        ("IS", "POS", "valueCodeableConcept", {"coding": [{"code": "POS"}]}),
        (
            "CE",
            "260385009^Negative^SCT^N^neg^L",
            "valueCodeableConcept",
            {
                "coding": [
                    {"system": "http://snomed.info/sct", "code": "260385009", "display": "Negative"},
                    {"system": "urn:healthsync:local:general", "code": "N", "display": "neg"},
                ]
            },
        ),
        ("CWE", "^free text", "valueCodeableConcept", {"text": "free text"}),
        ("DT", "20240301", "valueDateTime", "2024-03-01"),
        ("TS", "202403010815+0100", "valueDateTime", "2024-03-01T08:15:00+01:00"),
        ("DTM", "yesterday", "valueString", "yesterday"),
        ("TM", "0815", "valueTime", "08:15:00"),
        ("DR", "20240301^20240302", "valuePeriod", {"start": "2024-03-01", "end": "2024-03-02"}),
        ("VR", "1^3", "valueString", "1-3"),
        ("XPN", "Smith^Ann", "valueString", "Smith Ann"),
    ],
)
def test_a_value_becomes_the_fhir_value_of_its_type(kind: str, sent: str, element: str, value: object) -> None:
    found = observation(f"OBX|1|{kind}|T1^Item^L||{sent}|mg/L^^UCUM|||||F")
    assert found[element] == value
    assert [name for name in found if name.startswith("value")] == [element]


def test_the_digits_of_a_result_are_kept() -> None:
    assert str(observation("OBX|1|NM|T1^Item^L||072.50||||||F")["valueQuantity"]["value"]) == "72.50"


def test_a_code_of_another_system_is_not_translated_by_a_table_of_hl7() -> None:
    told = observation("OBX|1|NM|T1^Item^L||1|||H^Hyper^L|||F")["interpretation"]
    assert told == [{"coding": [{"system": "urn:healthsync:local:general", "code": "H", "display": "Hyper"}]}]
    told = observation("OBX|1|NM|T1^Item^L||1|||H^High^2.16.840.1.113883.12.78|||F")["interpretation"]
    assert [coding["system"].rpartition("/")[2] for coding in told[0]["coding"]] == [
        "v3-ObservationInterpretation",
        "v2-0078",
    ]


def _limit(number: str) -> dict[str, Any]:
    return {"value": Decimal(number), **MG}


@pytest.mark.parametrize(
    ("sent", "limits"),
    [
        ("070-110", {"low": _limit("70"), "high": _limit("110")}),
        ("3.50 - 5.10", {"low": _limit("3.50"), "high": _limit("5.10")}),
        ("-5--1", {"low": _limit("-5"), "high": _limit("-1")}),
        ("<5", {"high": _limit("5")}),
        ("≤ 5.0", {"high": _limit("5.0")}),
        ("> 60", {"low": _limit("60")}),
        ("> OR = 60", {"low": _limit("60")}),
        ("< or =5", {"high": _limit("5")}),
        ("(3.5 to 5.0)", {"low": _limit("3.5"), "high": _limit("5.0")}),
        ("3.5-5.0 mg/L", {"low": _limit("3.5"), "high": _limit("5.0")}),
        ("110-70", {}),
        ("<5-6", {}),
        ("1.2.3", {}),
        ("5", {}),
        ("3.5-5.1 mmol/L", {}),
        ("negative", {}),
    ],
)
def test_the_limits_of_a_number_are_numbers_beside_their_text(sent: str, limits: dict[str, Any]) -> None:
    assert observation(f"OBX|1|NM|X^x^L||4|mg/L^^UCUM|{sent}||||F")["referenceRange"] == [{"text": sent, **limits}]
    told = observation(f"OBX|1|ST|X^x^L||four|mg/L^^UCUM|{sent}||||F")
    assert told["referenceRange"] == [{"text": sent}], "a text has no limits"


def test_a_unit_without_coding_system_is_not_called_ucum() -> None:
    assert observation("OBX|1|NM|T1^Item^L||88|µmol/L|||||F")["valueQuantity"] == {"value": 88, "unit": "µmol/L"}


def test_a_power_of_ten_whose_caret_was_not_escaped_stays_one_unit() -> None:
    assert observation("OBX|1|NM|T1^Item^L||7.5|10^3/uL|||||F")["valueQuantity"]["unit"] == "10^3/uL"
    assert observation("OBX|1|NM|T1^Item^L||7.5|10^ten^99X|||||F")["valueQuantity"]["unit"] == "ten"


def test_a_corrected_value_is_not_judged_as_the_one_before_it() -> None:
    texts = (
        "OBX|1|NM|T1^Item^L||100|mg/dL|70-90|H|||F",
        "OBX|1|NM|T1^Item^L||5|mmol/L||||C",
        "OBX|1|NM|T1^Item^L||||||||U",
    )
    told = [next(m for m in oru(OBR, text).resources if m.type == "Observation") for text in texts]
    corrected = merged(told[0].resource, told[1])
    assert "interpretation" not in corrected
    assert "referenceRange" not in corrected
    assert merged(told[0].resource, told[2])["interpretation"], "a change of status alone keeps all"


def test_a_value_that_is_taken_back_leaves_none() -> None:
    told = [next(m for m in oru(OBR, f"OBX|1|NM|T1^Item^L||{sent}||||||C").resources if m.type == "Observation")
            for sent in ("5", '""')]  # fmt: skip
    stored = merged(told[0].resource, told[1])
    assert "valueQuantity" not in stored
    assert stored["dataAbsentReason"]["coding"][0]["code"] == "unknown"


def test_an_embedded_document_is_an_attachment_and_never_text() -> None:
    found = observation("OBX|1|ED|T1^Item^L||^application^pdf^Base64^JVBERi0xLjQKJSBub3RoaW5nCg==||||||F")
    attachment = found["extension"][0]["valueAttachment"]
    assert attachment["contentType"] == "application/pdf"
    assert attachment["size"] == 19
    assert attachment["url"].startswith("Binary/")
    assert "valueString" not in found


def test_a_broken_document_is_reported_and_not_shown_as_text() -> None:
    conversion = oru(OBR, "OBX|1|ED|T1^Item^L||^application^pdf^Base64^%%%||||||F", "OBX|2|NM|T2^Item^L||8||||||F")
    first, second = of_type(conversion, "Observation")
    assert not [name for name in first if name.startswith("value")]
    assert second["valueQuantity"]["value"] == 8
    assert "invalid-attachment" in [issue.code for issue in conversion.issues]


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ("F", "final"), ("C", "corrected"), ("P", "preliminary"), ("W", "entered-in-error"), ("D", "entered-in-error"),
        ("X", "cancelled"), ("R", "preliminary"), ("I", "registered"), ("A", "amended"), ("U", "final"), ("V", "final"),
        ("", "unknown"), ("Q", "unknown"), ("N", "unknown"),
    ],
)  # fmt: skip
def test_the_status_of_a_result_is_one_of_fhirs(sent: str, told: str) -> None:
    conversion = oru(OBR, f"OBX|1|NM|T1^Item^L||1||||||{sent}")
    mapped = next(mapped for mapped in conversion.resources if mapped.type == "Observation")
    assert mapped.resource["status"] == told
    assert (mapped.action == "entered-in-error") == (told == "entered-in-error")


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ("F", "final"),
        ("C", "corrected"),
        ("P", "preliminary"),
        ("A", "partial"),
        ("W", "unknown"),
        ("", "unknown"),
        ("Y", "unknown"),
    ],
)
def test_the_status_of_a_report_is_unknown_outside_its_table(sent: str, told: str) -> None:
    (report,) = of_type(oru(OBR.removesuffix("F") + sent, "OBX|1|NM|T1^Item^L||1||||||F"), "DiagnosticReport")
    assert report["status"] == told
    assert len(report["result"]) == 1


def test_a_result_is_named_by_filler_number_test_and_sub_id() -> None:
    first = oru(OBR, "OBX|1|NM|T1^Item^L|1|5||||||F", "OBX|2|NM|T1^Item^L|2|6||||||F", "OBX|3|NM|T1^Item^L|2|7||||||F")
    keys = [mapped.key for mapped in first.resources if mapped.type == "Observation"]
    assert len(set(keys)) == 3
    corrected = oru(OBR, "OBX|1|NM|T1^Item renamed^L|2|9||||||C")
    assert [mapped.key for mapped in corrected.resources if mapped.type == "Observation"] == [keys[1]]


@pytest.mark.parametrize(
    "obx",
    [
        "OBX|1|NM|T1^Item^L||5||||||F",
        "OBX|1|ST|T1^Item^L||high||||||C",
        "OBX|1|CWE|T1^Item^L||A~B||||||C",
        "OBX|1|NM|T1^Item^L||||||||X",
        "OBX|1|NM|T1^Item^L||||||||W",
    ],
)
def test_a_later_form_of_a_result_takes_the_place_of_the_earlier(obx: str) -> None:
    for earlier in ("OBX|1|NM|T1^Item^L||4||||||P", "OBX|1|CWE|T1^Item^L||A~B||||||P", "OBX|1|NM|T1^Item^L||||||||X"):
        first, second = (
            next(m for m in oru(OBR, text).resources if m.type == "Observation") for text in (earlier, obx)
        )
        after = merged(first.resource, second)
        assert validate.structure(after) == []
        assert after["status"] == second.resource["status"]
        forms = ("value", "component", "dataAbsentReason")
        told = [name for name in second.resource if name.startswith(forms)]
        assert [name for name in after if name.startswith(forms)] == (
            told or [name for name in first.resource if name.startswith(forms)]
        )


def test_a_correction_of_one_result_leaves_the_report_its_others() -> None:
    first = oru(OBR, "OBX|1|NM|T1^Item^L||5||||||F", "OBX|2|NM|T2^Item^L||6||||||F")
    second = oru(OBR, "OBX|1|NM|T2^Item^L||7||||||C", "OBX|2|NM|T3^Item^L||8||||||F")
    before, told = (next(m for m in c.resources if m.type == "DiagnosticReport") for c in (first, second))
    after = merged(before.resource, told)
    assert after["result"] == [*before.resource["result"], told.resource["result"][1]]
    assert merged(after, told) == after


def test_a_report_is_named_by_its_placer_number_where_the_filler_has_none() -> None:
    by_placer = oru(OBR.replace("||F1^ZLAB", "|PL1^ZADM|"), "OBX|1|NM|T1^Item^L||5||||||F")
    by_order = oru("ORC|RE|PL1^ZADM", OBR.replace("F1^ZLAB", ""), "OBX|1|NM|T1^Item^L||5||||||F")
    keys = [
        [m.key for m in c.resources if m.type in ("DiagnosticReport", "Observation")] for c in (by_placer, by_order)
    ]
    assert keys[0] == keys[1]
    assert "ZADM|PL1" in keys[0][0]


def test_a_report_without_numbers_is_named_by_what_was_ordered_when_and_for_whom() -> None:
    nameless = OBR.replace("F1^ZLAB", "")
    first, second = (oru(nameless, "OBX|1|NM|T1^Item^L||5||||||F") for _ in range(2))
    assert [m.key for m in first.resources] == [m.key for m in second.resources]
    later = oru(nameless.replace("20240301080000", "20240302080000"), "OBX|1|NM|T1^Item^L||5||||||F")
    assert of_type(later, "DiagnosticReport")[0]["id"] != of_type(first, "DiagnosticReport")[0]["id"]


def test_results_after_a_specimen_and_of_a_second_order_are_mapped() -> None:
    conversion = oru(
        OBR,
        "OBX|1|NM|T1^Item^L||1||||||F",
        "SPM|1|S1&ZLAB||BLD^Blood^HL70487",
        "OBX|1|NM|T2^Item^L||2||||||F",
        OBR.replace("F1", "F2"),
        "OBX|1|NM|T3^Item^L||3||||||F",
    )
    assert [found["valueQuantity"]["value"] for found in of_type(conversion, "Observation")] == [1, 2, 3]
    assert [len(report["result"]) for report in of_type(conversion, "DiagnosticReport")] == [2, 1]
    assert "specimen" not in of_type(conversion, "Observation")[2]
    assert (
        of_type(conversion, "Observation")[1]["specimen"] == of_type(conversion, "DiagnosticReport")[0]["specimen"][0]
    )


def test_repeated_values_of_one_result_are_its_components() -> None:
    found = observation("OBX|1|CWE|T1^Item^L||A^x^L~B^y^L||||||F")
    assert [part["valueCodeableConcept"]["coding"][0]["code"] for part in found["component"]] == ["A", "B"]


def test_results_belong_to_the_patient_of_their_group() -> None:
    conversion = oru(
        OBR,
        "OBX|1|NM|T1^Item^L||1||||||F",
        "PID|1||P2^^^ZHOSP^MR||Wren^Una",
        OBR.replace("F1", "F2"),
        "OBX|1|NM|T1^Item^L||2||||||F",
    )
    patients = [f"Patient/{found['id']}" for found in of_type(conversion, "Patient")]
    assert [found["subject"]["reference"] for found in of_type(conversion, "Observation")] == patients


def test_a_note_is_about_the_segment_before_it() -> None:
    conversion = oru(
        "NTE|1||about the patient",
        OBR,
        "NTE|1||about the report",
        "OBX|1|NM|T1^Item^L||1||||||F",
        "NTE|1||about the result",
        "NTE|2||more of it",
        "SPM|1|S1&ZLAB",
        "NTE|1||about the specimen",
    )
    assert [note["text"] for note in of_type(conversion, "Observation")[0]["note"]] == [
        "about the result",
        "more of it",
    ]
    assert of_type(conversion, "DiagnosticReport")[0]["extension"][0]["valueAnnotation"]["text"] == "about the report"
    assert of_type(conversion, "Specimen")[0]["note"][0]["text"] == "about the specimen"
    assert conversion.unmapped == {"NTE": 1}


def test_laboratory_results_and_vital_signs_are_found_by_category() -> None:
    conversion = oru(OBR, "OBX|1|NM|718-7^Hb^LN||13||||||F", "OBX|2|NM|8867-4^Heart rate^LN||72||||||F")
    told = [found["category"][0]["coding"][0]["code"] for found in of_type(conversion, "Observation")]
    assert told == ["laboratory", "vital-signs"]


def test_control_characters_do_not_reach_a_resource() -> None:
    assert observation(r"OBX|1|ST|T1^Item^L||a\X00\b||||||F")["valueString"] == "ab"


def test_the_message_leaves_one_provenance_of_everything_in_it() -> None:
    conversion = oru(OBR, "OBX|1|NM|T1^Item^L||1||||||F")
    (provenance,) = of_type(conversion, "Provenance")
    told = {target["reference"] for target in provenance["target"]}
    assert told >= {
        m.reference for m in conversion.resources if m.type in ("Patient", "DiagnosticReport", "Observation")
    }
    assert provenance["entity"][0]["what"]["identifier"]["value"] == "K1"


def result(
    status: str, value: str, at: str, issued: str = "1000", code: str = "PN^Panel^L", test: str = "A^A^L"
) -> str:
    head = HEAD.replace("20240301120000", f"20240301{at}00").replace("|K1|", f"|K{at}|")
    order = OBR.replace("LAB|F", f"LAB|{status}")
    kind = "NM" if value.isdigit() else "ST"
    return "\n".join([head, order, f"OBX|1|{kind}|{test}||{value}||||||{status}|||20240301090000+0000"])


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        (("F", "2", "1300"), ("P", "1", "1200"), ("final", 2)),
        (("F", "2", "1300"), ("P", "pending", "1200"), ("final", 2)),
        (("F", "2", "1300"), ("F", "1", "1200"), ("final", 2)),
        (("C", "3", "1300"), ("F", "2", "1200"), ("corrected", 3)),
        (("P", "1", "1300"), ("F", "2", "1200"), ("final", 2)),  # two clocks: what has come further counts
        (("F", "2", "1300"), ("C", "3", "1200"), ("corrected", 3)),
        (("F", "2", "1200"), ("P", "1", "1300"), ("preliminary", 1)),  # taken up again
        (("F", "1", "1200"), ("F", "2", "1200"), ("final", 2)),
    ],
)
def test_an_older_result_takes_the_place_of_no_newer_one(first, second, shown):
    told = after(result(*first), result(*second))
    (found,) = told["Observation"]
    (report,) = told["DiagnosticReport"]
    assert (found["status"], found["valueQuantity"]["value"]) == shown
    assert "valueString" not in found
    assert report["status"] == shown[0]


def test_a_report_that_comes_late_still_adds_its_results():
    (report,) = after(result("F", "2", "1300", test="B^B^L"), result("F", "1", "1200"))["DiagnosticReport"]
    assert len(report["result"]) == 2


def test_the_same_result_sent_again_later_changes_nothing():
    once, again = result("F", "2", "1200"), result("F", "2", "1300")
    for kind in ("Observation", "DiagnosticReport"):
        assert after(once, again)[kind] == after(once)[kind]


LABORATORY = """MSH|^~\\&|LIS|CITYLAB|HUB|HIE|20240301101500||ORU^R01|L1|P|2.5.1
PID|1||4711^^^GENERAL^MR
OBR|1||F1^LIS|2345-7^Glucose^LN|||20240301080000
{results}"""
OBX = "OBX|{number}|NM|2345-7^Glucose^LN|{number}|95||||||F||||{producer}||||||||{name}|{address}|{director}"
CITY = "City Laboratory^L^^^^CLIA&2.16.840.1.113883.4.7&ISO^XX^^^11D1111111"


def laboratory(*results: dict[str, str]) -> dict[str, list[dict[str, Any]]]:
    sent = {"producer": "", "name": "", "address": "", "director": ""}
    lines = [OBX.format(number=at, **sent | told) for at, told in enumerate(results, 1)]
    return after(LABORATORY.format(results="\n".join(lines)))


def test_who_examined_is_an_organisation_with_its_address_and_its_director_has_a_role_there() -> None:
    told = {"name": CITY, "address": "9 Main Street^^Vienna^^1020^AUT^H", "director": "74^Stone^Peter^^^^^^GENERAL"}
    stored = laboratory(told, told)
    (city,) = [each for each in stored["Organization"] if each.get("name") == "City Laboratory"]
    assert city["address"] == [{"line": ["9 Main Street"], "city": "Vienna", "postalCode": "1020", "country": "AUT"}]
    (role,), (director,) = stored["PractitionerRole"], stored["Practitioner"]
    assert role["code"][0]["coding"][0]["code"] == "MDIR"
    assert role["organization"] == {"reference": f"Organization/{city['id']}"}
    assert role["practitioner"] == {"reference": f"Practitioner/{director['id']}"}
    for each in stored["Observation"]:
        assert [one["reference"] for one in each["performer"]] == [
            f"Organization/{city['id']}", f"PractitionerRole/{role['id']}"
        ]  # fmt: skip


def test_the_producer_and_the_laboratory_are_one_where_they_have_one_number() -> None:
    (one,) = laboratory({"producer": "11D1111111^City Laboratory^CLIA", "name": CITY})["Observation"]
    assert len(one["performer"]) == 1
    (two,) = laboratory({"producer": "S1^Courier^99LAB", "name": CITY})["Observation"]
    assert len(two["performer"]) == 2


def test_an_address_of_nobody_is_counted() -> None:
    told = OBX.format(number=1, producer="", name="", address="9 Main Street", director="")
    assert converted(LABORATORY.format(results=told)).unmapped["OBX-24"] == 1


def test_who_typed_a_report_has_that_function_and_who_performed_it_has_none() -> None:
    told = LABORATORY.format(results="").strip() + "|" * 27 + "72&Reed&Tom|73&Page&Ann"
    performers = after(told)["DiagnosticReport"][0]["performer"]
    functions = [
        each["valueCodeableConcept"]["coding"][0]["code"] for one in performers for each in one.get("extension", ())
    ]
    assert len(performers) == 2 and functions == ["TRANS"] and "extension" in performers[1]


def test_a_report_has_the_number_of_its_group() -> None:
    told = LABORATORY.format(results="").replace("OBR|", "ORC|RE|||G7^EHR\nOBR|")
    numbers = after(told)["DiagnosticReport"][0]["identifier"]
    assert [number["type"]["coding"][0]["code"] for number in numbers] == ["FILL", "PGN"]


def test_who_answers_for_a_message_is_its_author_and_the_facility_has_brought_it() -> None:
    told = LABORATORY.format(results="").replace("|2.5.1", "|2.5.1|||||AUT|||||Group^L^LG-1^^^GROUPS", 1)
    stored = after(told)
    names = {f"Organization/{each['id']}": each for each in stored["Organization"]}
    agents = stored["Provenance"][0]["agent"]
    assert [(a["type"]["coding"][0]["code"], names[a["who"]["reference"]]["name"]) for a in agents] == [
        ("author", "Group"), ("informant", "CITYLAB")
    ]  # fmt: skip
    (facility,) = [each for each in names.values() if each["name"] == "CITYLAB"]
    assert facility["address"] == [{"country": "AUT"}]
    (mapped,) = [each for each in converted(told).resources if each.id == facility["id"]]
    known = {**facility, "address": [{"city": "Vienna"}]}
    assert merged(known, mapped)["address"] == [{"city": "Vienna"}], "a country is not an address that is known better"
