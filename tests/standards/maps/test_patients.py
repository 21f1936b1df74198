"""PID, PD1, NK1, IN1, AL1: who is spoken of."""

from __future__ import annotations

from typing import Any

import pytest

from healthsync.errors import InvalidInput
from healthsync.standards.maps import PatientMerge
from healthsync.standards.normalise import Conventions, DateOrder

from .golden_pairs import after, converted

HEAD = r"MSH|^~\&|ADM|GENERAL|HUB|HIE|20240301081500+0100||{}|K1|P|2.5.1"


def message(*segments: str, event: str = "ADT^A28^ADT_A05") -> str:
    return "\n".join([HEAD.format(event), *segments])


def patient(pid: str, **changes: Any) -> dict[str, Any]:
    return converted(message(pid), **changes).resources[0].resource


@pytest.mark.parametrize(
    ("cx", "system", "value"),
    [
        ("123^^^ZHOSP^MR", "urn:healthsync:authority:ZHOSP", "123"),
        ("123", "urn:healthsync:authority:general", "123"),
        ("123^^^ZH&1.2.840.99&ISO^MR", "urn:oid:1.2.840.99", "123"),
        ("123^^^&1.2.840.99&ISO^MR", "urn:oid:1.2.840.99", "123"),
        ("123^^^&https://ids.example.org/mrn&URI^MR", "https://ids.example.org/mrn", "123"),
        (
            "123^^^&0F8FAD5B-D9CB-469F-A165-70867728950E&UUID^MR",
            "urn:uuid:0f8fad5b-d9cb-469f-a165-70867728950e",
            "123",
        ),
        ("123^^^St. Mary^MR", "urn:healthsync:authority:St.%20Mary", "123"),
        ("078-05-1120^^^SSA&2.16.840.1.113883.4.1&ISO^SS", "http://hl7.org/fhir/sid/us-ssn", "078-05-1120"),
    ],
)
def test_a_number_belongs_to_its_assigning_authority(cx: str, system: str, value: str) -> None:
    found = patient(f"PID|1||{cx}||Smith^Ann")["identifier"][0]
    assert (found["system"], found["value"]) == (system, value)


def test_the_key_prefers_the_medical_record_number_and_the_first_repetition_may_be_empty() -> None:
    mapped = converted(message("PID|1||~N5^^^ZCARD^PI~P5^^^ZHOSP^MR|S5^^^ZOLD^PI~T5^^^ZOLDER^PI|Hyssop^Ora")).resources[
        0
    ]
    assert mapped.key == "urn:healthsync:authority:ZHOSP|P5"
    assert [number["value"] for number in mapped.resource["identifier"]] == ["N5", "P5", "S5", "T5"]


def test_a_patient_without_any_number_stands_alone() -> None:
    first = converted(message("PID|1||||UNK^Unknown"))
    second = converted(message("PID|1||||UNK^Unknown").replace("|K1|", "|K2|"))
    assert first.resources[0].key != second.resources[0].key
    assert ("no-identifier", "PID-3") in [(issue.code, issue.path) for issue in first.issues]


def test_an_impossible_birth_date_is_left_out_and_reported() -> None:
    for sent in ("00000000", "19581345"):
        conversion = converted(message(f"PID|1||P^^^Z^MR||Plover^Ora||{sent}|F"))
        assert "birthDate" not in conversion.resources[0].resource
        assert ("invalid-date", "PID-7") in [(issue.code, issue.path) for issue in conversion.issues]


@pytest.mark.parametrize("sent", ["05/15/1980", "15-May-1980", "1980-05-15", "15.05.1980", "05151980"])
def test_a_birth_date_in_another_form_is_read_where_it_can_be_one_day_only(sent: str) -> None:
    conversion = converted(message(f"PID|1||P^^^Z^MR||Plover^Ora||{sent}|F"))
    assert conversion.resources[0].resource["birthDate"] == "1980-05-15"
    assert "_birthDate" not in conversion.resources[0].resource
    assert ("date-respelled", "PID-7") in [(issue.code, issue.path) for issue in conversion.issues]


@pytest.mark.parametrize(("sent", "code"), [("01/02/1980", "ambiguous-date"), ("20990101", "future-date")])
def test_a_birth_date_that_is_two_days_or_to_come_is_left_out_and_reported(sent: str, code: str) -> None:
    conversion = converted(message(f"PID|1||P^^^Z^MR||Plover^Ora||{sent}|F"))
    assert "birthDate" not in conversion.resources[0].resource
    assert (code, "PID-7") in [(issue.code, issue.path) for issue in conversion.issues]


def test_the_order_of_day_and_month_is_that_of_the_source() -> None:
    sent = message("PID|1||P^^^Z^MR||Plover^Ora||01/02/1980|F")
    for order, day in ((DateOrder.MONTH_FIRST, "1980-01-02"), (DateOrder.DAY_FIRST, "1980-02-01")):
        found = converted(sent, conventions=Conventions(date_order=order))
        assert found.resources[0].resource["birthDate"] == day


def test_the_hour_of_birth_is_kept_beside_the_birth_date() -> None:
    found = patient("PID|1||P^^^Z^MR||Plover^Ora||202403010742|F")
    assert found["birthDate"] == "2024-03-01"
    assert found["_birthDate"]["extension"][0]["valueDateTime"] == "2024-03-01T07:42:00+01:00"


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ("F", "female"),
        ("m", "male"),
        ("A", "other"),
        ("female", "female"),
        ("MALE", "male"),
        ("1", "male"),
        ("X", "other"),
        ("Q", None),
        ("", None),
    ],
)
def test_administrative_sex_is_one_of_the_four_codes_of_fhir(sent: str, told: str | None) -> None:
    assert patient(f"PID|1||P^^^Z^MR||Plover^Ora|||{sent}").get("gender") == told


def test_names_keep_what_was_sent() -> None:
    found = patient("PID|1||P^^^Z^MR||van Berg&van&Berg^Ora^Mae^Jr^Dr^MD^L~UNK^Unknown~^^^^^^L")["name"]
    assert found[0] == {
        "use": "official",
        "family": "van Berg",
        "_family": {
            "extension": [
                {"url": "http://hl7.org/fhir/StructureDefinition/humanname-own-prefix", "valueString": "van"},
                {"url": "http://hl7.org/fhir/StructureDefinition/humanname-own-name", "valueString": "Berg"},
            ]
        },
        "given": ["Ora", "Mae"],
        "prefix": ["Dr"],
        "suffix": ["Jr", "MD"],
    }
    assert found[1] == {"family": "UNK", "given": ["Unknown"]}
    assert len(found) == 2  # a use without a name is no name


def test_addresses_have_lines_use_and_district() -> None:
    found = patient('PID|1||P^^^Z^MR||A^B||||||PO 1^""^El Paso^TX^79998^USA^M^^Orange~^^^^^^H')["address"]
    assert found == [
        {
            "line": ["PO 1"],
            "city": "El Paso",
            "district": "Orange",
            "state": "TX",
            "postalCode": "79998",
            "country": "USA",
            "type": "postal",
        }
    ]


@pytest.mark.parametrize(
    ("xtn", "told"),
    [
        ("^PRN^PH^^1^206^5550173", {"system": "phone", "value": "+1 206 5550173", "use": "home"}),
        ("(206)555-0173", {"system": "phone", "value": "(206)555-0173", "use": "home"}),
        ("^NET^Internet^a@example.org", {"system": "email", "value": "a@example.org"}),
        ("^PRN^CP^^^206^5550173^12", {"system": "phone", "value": "206 5550173 X12", "use": "mobile"}),
        ("^WPN^FX^^^^^^^^^+1 206 1", {"system": "fax", "value": "+1 206 1", "use": "work"}),
    ],
)
def test_telephone_numbers_and_addresses_on_the_net(xtn: str, told: dict[str, str]) -> None:
    assert patient(f"PID|1||P^^^Z^MR||A^B||||||||{xtn}")["telecom"] == [told]


def test_a_date_of_death_stands_instead_of_the_indicator() -> None:
    found = patient("PID|1||P^^^Z^MR||A^B" + "|" * 24 + "20240401|Y")
    assert found["deceasedDateTime"] == "2024-04-01"
    assert "deceasedBoolean" not in found


def test_what_was_written_earlier_and_comes_late_only_adds_to_what_is_known_of_a_patient() -> None:
    def told(at: str, event: str, street: str, more: str = "", number: str = "P1^^^ZHOSP^MR") -> str:
        pid = f"PID|1||{number}||Doe^Jane||19700101|F|||{street}^^Salem{more}"
        return f"MSH|^~\\&|ZHIS|ZHOSP|ZHUB|ZHIE|{at}||ADT^{event}|{at}|P|2.5.1\nEVN|{event}|{at}\n{pid}\nPV1|1|N"

    new = told("20240229120000+0000", "A31", "5 Fir", "|" * 18 + "20240228")
    old = told("20240228120000+0000", "A28", "1 Elm", "||5550142" + "|" * 17 + "N", "P1^^^ZHOSP^MR~N9^^^ZCARD^PI")
    (patient,) = after(new, old)["Patient"]
    assert patient["address"][0]["line"] == ["5 Fir"]
    assert patient["deceasedDateTime"] == "2024-02-28"
    assert [number["value"] for number in patient["identifier"]] == ["P1", "N9"]
    assert patient["telecom"][0]["value"] == "5550142"
    (patient,) = after(told("20990101", "A28", "1 Elm"), new)["Patient"]
    assert patient["address"][0]["line"] == ["5 Fir"], "a message from the future makes no other late"


def test_a_birth_date_is_as_exact_as_the_message_says() -> None:
    def born(sent: str) -> str:
        text = f"MSH|^~\\&|ZHIS|ZHOSP|ZHUB|ZHIE|20240228||ADT^A28|1|P|2.3\nPID|1||P1||Doe^Jane||{sent}|F"
        return after(text)["Patient"][0]["birthDate"]

    assert [born(f"19480301^{exact}") for exact in ("Y", "L", "D")] == ["1948", "1948-03", "1948-03-01"]


def test_empty_says_nothing_and_two_quotes_delete() -> None:
    mapped = converted(message('PID|1||P^^^Z^MR||A^B|||F|||""||""|""|')).resources[0]
    assert mapped.cleared == ("address", "telecom")
    assert "birthDate" not in mapped.cleared


def test_one_of_several_fields_of_an_element_does_not_delete_the_others() -> None:
    conversion = converted(message('PID|1||P^^^Z^MR||A^B||||||||(206)1|""'))
    assert conversion.resources[0].cleared == ()
    assert ("partial-delete", "PID-14") in [(issue.code, issue.path) for issue in conversion.issues]


def test_the_mother_is_a_person_of_her_own_and_her_number_none_of_the_child() -> None:
    found = converted(message("PID|1||P^^^Z^MR||A^B|Maid^Ann" + "|" * 15 + "M7^^^Z^MR"))
    child, mother = (
        next(one.resource for one in found.resources if one.type == kind) for kind in ("Patient", "RelatedPerson")
    )
    assert [number["value"] for number in child["identifier"]] == ["P"]
    assert mother["identifier"][0]["value"] == "M7"
    assert mother["name"][0]["family"] == "Maid"
    assert child["link"] == [{"other": {"reference": f"RelatedPerson/{mother['id']}"}, "type": "seealso"}]


def test_what_has_no_map_is_counted_by_path_and_never_told() -> None:
    conversion = converted(
        message("PID|1||P^^^Z^MR||A^B" + "|" * 30 + "Alert77", "ZPI|1|Secret88", "ZPI|2", "NTE|1||Hidden99")
    )
    assert conversion.unmapped == {"PID-35": 1, "ZPI": 2, "NTE": 1}
    assert not any(word in repr(conversion) for word in ("Alert77", "Secret88", "Hidden99"))


def test_a_message_type_without_a_map_is_refused_with_a_reason() -> None:
    with pytest.raises(InvalidInput, match="unsupported message type NMD\\^N02") as refusal:
        converted(message("PID|1||P^^^Z^MR", event="NMD^N02"))
    assert refusal.value.code == "not-supported"


def test_a_message_without_patient_is_refused_with_a_reason() -> None:
    with pytest.raises(InvalidInput, match="no PID"):
        converted(message("EVN|A28"))


def test_next_of_kin_insurance_and_allergies_hang_on_the_patient() -> None:
    conversion = converted(
        message(
            "PID|1||P^^^Z^MR||A^B",
            "NK1|1|Quill^Max|FTH^father^HL70063",
            "AL1|1|DA|PEN^Penicillin^L|SV|hives",
            "AL1|2|FA|^peanuts||",
            "IN1|1|GOLD|INS9|Acme||||||||20240101||||A^B|SEL" + "|" * 19 + "POL77",
            event="ADT^A01^ADT_A01",
        )
    )
    by_type: dict[str, list[dict[str, Any]]] = {}
    for mapped in conversion.resources:
        by_type.setdefault(mapped.type, []).append(mapped.resource)
    me = conversion.resources[0].reference
    assert by_type["RelatedPerson"][0]["patient"]["reference"] == me
    assert [allergy["patient"]["reference"] for allergy in by_type["AllergyIntolerance"]] == [me, me]
    assert by_type["AllergyIntolerance"][0]["criticality"] == "high"
    assert by_type["AllergyIntolerance"][1]["code"] == {"text": "peanuts"}
    coverage = by_type["Coverage"][0]
    assert coverage["beneficiary"]["reference"] == coverage["subscriber"]["reference"] == me
    assert coverage["identifier"][0]["value"] == "POL77"
    assert coverage["payor"][0]["reference"].startswith("Organization/")


def test_merges_name_survivor_and_retired_with_their_numbers() -> None:
    conversion = converted(
        message(
            "PID|1||B^^^Z^MR||A^B",
            "MRG|X^^^Z^PI~A^^^Z^MR",
            "PID|1||D^^^Z^MR||C^D",
            "MRG|C^^^Z^MR",
            event="ADT^A40^ADT_A39",
        )
    )
    merges = [merge for merge in conversion.merges if isinstance(merge, PatientMerge)]
    assert [(merge.survivor_key[-1], merge.retired_key[-1]) for merge in merges] == [("B", "A"), ("D", "C")]
    assert [number["value"] for number in merges[0].retired_identifiers] == ["X", "A"]
    assert merges[0].survivor_id == conversion.resources[0].id


def test_a_patient_is_not_merged_into_itself() -> None:
    conversion = converted(message("PID|1||B^^^Z^MR||A^B", "MRG|B^^^Z^MR", event="ADT^A40^ADT_A39"))
    assert conversion.merges == []
    assert [issue.code for issue in conversion.issues] == ["merge-into-itself"]


def test_several_races_are_one_us_core_extension() -> None:
    found = patient("PID|1||P^^^Z^MR||A^B|||||2106-3^White^CDCREC~2028-9^Asian^CDCREC")["extension"]
    assert len(found) == 1
    assert [part["url"] for part in found[0]["extension"]] == ["ombCategory", "ombCategory", "text"]
    assert found[0]["extension"][-1]["valueString"] == "White, Asian"


def test_an_employer_is_somebody_to_call_and_no_related_person() -> None:
    conversion = converted(message("PID|1||P^^^Z^MR||A^B", "NK1|1|Office^The|EMR|||^WPN^PH^^^206^1"))
    assert [mapped.type for mapped in conversion.resources if mapped.type == "RelatedPerson"] == []
    contact = conversion.resources[0].resource["contact"][0]
    assert contact["name"]["family"] == "Office"
    assert contact["telecom"] == [{"system": "phone", "value": "206 1", "use": "work"}]


def test_a_contact_of_no_organisation_is_counted() -> None:
    nk1 = "NK1|1|B^C|SPO" + "|" * 28 + "4861^^Harbor"
    conversion = converted(message("PID|1||P^^^Z^MR||A^B", nk1.replace("|SPO|", "|SPO||", 1)))
    assert conversion.unmapped == {"NK1-32": 1}


def test_the_employer_of_a_group_policy_is_its_holder() -> None:
    in1 = "IN1|1|GOLD|INS9|Acme||||G1||E77^^^EMPLOYERS^XX|Mill Works|20240101"
    told = converted(message("PID|1||P^^^Z^MR", in1, event="ADT^A01^ADT_A01"))
    (coverage,) = [mapped.resource for mapped in told.resources if mapped.type == "Coverage"]
    (employer,) = [m.resource for m in told.resources if m.resource.get("name") == "Mill Works"]
    assert coverage["policyHolder"] == {"reference": f"Organization/{employer['id']}"}
    assert employer["identifier"][0]["value"] == "E77"
