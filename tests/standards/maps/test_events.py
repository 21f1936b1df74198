"""ADT A01–A62: what each event says of visit, person, bed and numbers, and what a late one may not undo."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from healthsync.standards.maps import PatientLink, PatientMerge, RecordMerge, RecordMove
from healthsync.standards.maps.conversion import supported
from healthsync.standards.maps.tables import tables

from .golden_pairs import after, converted

PID = "PID|1||P1^^^ZHOSP^MR||Linnet^Ora^^^^^L||19640428|F||||||||||ACC1^^^ZHOSP^AN"
OTHER = "PID|2||P2^^^ZHOSP^MR||Finch^Ida^^^^^L||19710101|F"


def adt(
    event: str,
    at: str = "0800",
    *more: str,
    place: str = "W1^101^A^ZHOSP",
    prior: str = "",
    temporary: str = "",
    pending: str = "",
    prior_temporary: str = "",
    klass: str = "I",
    visit: str = "V1",
    pid: str = PID,
) -> str:
    fields = {
        1: "1",
        2: klass,
        3: place,
        6: prior,
        11: temporary,
        19: f"{visit}^^^ZHOSP^VN",
        42: pending,
        43: prior_temporary,
    }
    pv1 = "|".join(["PV1", *(fields.get(number, "") for number in range(1, 44))])
    header = rf"MSH|^~\&|ZHIS|ZHOSP|ZHUB|ZHIE|20240301{at}00+0000||ADT^{event}|{event}{at}|P|2.5.1"
    return "\n".join([header, f"EVN|{event}|20240301{at}00+0000", pid, pv1, *more])


def visit_after(*messages: str) -> dict[str, Any]:
    (visit,) = after(*messages)["Encounter"]
    return visit


NEVER_DEFINED = {"A19", "A56", "A57", "A58", "A59"}
"""A19 is a query (QRY); the standard has no A56 to A59."""


def test_every_event_of_chapter_3_has_a_map() -> None:
    events = {f"A{number:02}" for number in range(1, 63)} - NEVER_DEFINED
    assert {event for event in events if not supported("ADT", event)} == set()
    assert {event for event in NEVER_DEFINED if supported("ADT", event)} == set()


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ("A01", "in-progress"), ("A02", "in-progress"), ("A03", "finished"), ("A04", "in-progress"), ("A05", "planned"),
        ("A06", "in-progress"), ("A07", "in-progress"), ("A11", "cancelled"), ("A12", "in-progress"), ("A13", "in-progress"),
        ("A14", "planned"), ("A17", "in-progress"), ("A21", "onleave"), ("A22", "in-progress"), ("A23", "entered-in-error"),
        ("A27", "cancelled"), ("A38", "cancelled"),
    ],
)  # fmt: skip
def test_an_event_says_the_status_of_a_visit_that_was_not_known(event: str, status: str) -> None:
    assert visit_after(adt(event))["status"] == status


@pytest.mark.parametrize(
    "event", ["A08", "A09", "A10", "A15", "A16", "A25", "A26", "A32", "A33", "A54", "A55", "A60", "A61", "A62"]
)
@pytest.mark.parametrize("before", ["A01", "A03", "A05", "A11", "A21", "A23"])
def test_an_event_about_something_else_leaves_the_status_as_it_was(before: str, event: str) -> None:
    assert visit_after(adt(before), adt(event, "0900"))["status"] == visit_after(adt(before))["status"]


@pytest.mark.parametrize("late", sorted(set(tables().events) - {"A20", "A23"}))
@pytest.mark.parametrize("standing", ["A23"])
def test_a_deleted_visit_is_revived_by_no_late_event(standing: str, late: str) -> None:
    assert visit_after(adt(standing, "0900"), adt(late, "0800"))["status"] == "entered-in-error"


@pytest.mark.parametrize("cancel", ["A27", "A38"])
def test_a_planned_visit_can_be_cancelled_but_not_one_that_has_begun(cancel: str) -> None:
    assert visit_after(adt("A05"), adt(cancel, "0900"))["status"] == "cancelled"
    assert visit_after(adt("A01"), adt(cancel, "0900"))["status"] == "in-progress"
    assert visit_after(adt(cancel, "0900"), adt("A05"))["status"] == "cancelled"


LEAVE = adt("A21", "1000")
BACK = adt("A22", "1200")


@pytest.mark.parametrize("order", list(permutations([adt("A01"), LEAVE, BACK, adt("A08", "1100")])))
def test_a_leave_that_has_ended_has_ended_in_whatever_order_its_messages_come(order: tuple[str, ...]) -> None:
    visit = visit_after(*order)
    assert visit["status"] == "in-progress"
    assert visit["statusHistory"] == [
        {"status": "onleave", "period": {"start": "2024-03-01T10:00:00+00:00", "end": "2024-03-01T12:00:00+00:00"}}
    ]


def test_a_leave_can_be_taken_back_and_so_can_a_return() -> None:
    never_gone = visit_after(adt("A01"), LEAVE, adt("A52", "1030"))
    assert never_gone["status"] == "in-progress"
    assert "statusHistory" not in never_gone
    still_away = visit_after(adt("A01"), LEAVE, BACK, adt("A53", "1230"))
    assert still_away["status"] == "onleave"
    assert still_away["statusHistory"][0]["period"] == {"start": "2024-03-01T10:00:00+00:00"}


def test_a_second_leave_is_another_one_and_a_discharge_ends_all() -> None:
    messages = [adt("A01"), LEAVE, BACK, adt("A21", "1400")]
    assert visit_after(*messages)["status"] == "onleave"
    assert len(visit_after(*messages)["statusHistory"]) == 2
    assert visit_after(*messages, adt("A03", "1500"))["status"] == "finished"


STORY = [
    adt("A05", "0700", klass="P"), adt("A01", "0800"), adt("A02", "0900", place="W2^1^A^ZHOSP"), LEAVE, BACK,
    adt("A54", "1210"), adt("A16", "1300"), adt("A03", "1500"),
]  # fmt: skip


@settings(max_examples=60)
@given(st.permutations(STORY), st.sampled_from(STORY))
def test_a_visit_ends_the_same_in_every_order_and_with_every_resend(order: list[str], again: str) -> None:
    visit = visit_after(*order, again)
    assert (visit["status"], visit["class"]["code"]) == ("finished", "IMP")
    assert visit["period"]["end"] == "2024-03-01T15:00:00+00:00"
    assert {place["status"] for place in visit["location"]} <= {"active", "completed"}


def where(visit: dict[str, Any]) -> dict[str, str]:
    places = after(TRACKED)["Location"] + after(adt("A10", place="RAD^1^^ZHOSP"))["Location"]
    names = {f"Location/{place['id']}": place["name"] for place in places}
    return {names[place["location"]["reference"]].split()[1]: place["status"] for place in visit["location"]}


TRACKED = adt("A01")
DEPARTS = adt("A09", "0900", temporary="RAD^1^^ZHOSP", prior="W1^101^A^ZHOSP")
ARRIVES = adt("A10", "0910", temporary="RAD^1^^ZHOSP", prior="W1^101^A^ZHOSP")
RETURNS = adt("A10", "1000", prior_temporary="RAD^1^^ZHOSP")


def test_a_patient_on_his_way_keeps_his_bed_and_is_expected_elsewhere() -> None:
    assert where(visit_after(TRACKED, DEPARTS)) == {"W1": "active", "RAD": "planned"}
    assert where(visit_after(TRACKED, DEPARTS, ARRIVES)) == {"W1": "active", "RAD": "active"}
    assert where(visit_after(TRACKED, DEPARTS, ARRIVES, RETURNS)) == {"W1": "active", "RAD": "completed"}


def test_a_departure_or_an_arrival_that_is_cancelled_leaves_the_patient_where_he_was() -> None:
    assert where(visit_after(TRACKED, DEPARTS, adt("A33", "0905")))["W1"] == "active"
    assert where(visit_after(TRACKED, DEPARTS, ARRIVES, adt("A32", "0915"))) == {"W1": "active"}


def test_a_pending_transfer_is_planned_until_it_happens_or_is_cancelled() -> None:
    pending = adt("A15", "0900", pending="RAD^1^^ZHOSP")
    assert where(visit_after(TRACKED, pending)) == {"W1": "active", "RAD": "planned"}
    assert where(visit_after(TRACKED, pending, adt("A26", "0930", pending="RAD^1^^ZHOSP"))) == {"W1": "active"}
    happened = adt("A02", "1000", place="RAD^1^^ZHOSP", prior="W1^101^A^ZHOSP")
    assert where(visit_after(TRACKED, pending, happened)) == {"RAD": "active", "W1": "completed"}


def test_a_pending_discharge_announces_the_end_and_its_cancelling_takes_that_back() -> None:
    expected = "PV2|||||||||20240305"
    visit = visit_after(TRACKED, adt("A16", "0900", expected))
    assert visit["extension"][0]["valueDateTime"] == "2024-03-05"
    assert visit["status"] == "in-progress"
    assert "extension" not in visit_after(TRACKED, adt("A16", "0900", expected), adt("A25", "1000", expected))


def test_two_patients_who_swap_beds_are_each_in_the_bed_of_the_other() -> None:
    pv1 = "PV1|1|I|{}|||{}|||||||||||||V{}^^^ZHOSP^VN"
    beds = ("W1^101^A^ZHOSP", "W2^202^B^ZHOSP")
    swap = adt("A17", "0900").split("\n")[:3] + [pv1.format(*beds[::-1], 1), OTHER, pv1.format(*beds, 2)]
    first, second = after(adt("A01"), adt("A01", place=beds[1], visit="V2", pid=OTHER), "\n".join(swap))["Encounter"]
    assert first["location"][0]["location"] == second["location"][1]["location"]
    assert second["location"][0]["location"] == first["location"][1]["location"]
    assert [place["status"] for place in (*first["location"], *second["location"])] == ["active", "completed"] * 2


def test_a_bed_has_its_state_without_a_patient() -> None:
    header, evn = adt("A20").split("\n")[:2]
    *levels, bed = after("\n".join([header, evn, "NPU|W1^101^A^ZHOSP|K"]))["Location"]
    assert all("operationalStatus" not in level for level in levels)
    assert bed["operationalStatus"]["code"] == "K"
    assert bed["physicalType"]["coding"][0]["code"] == "bd"


def test_a_deleted_person_is_inactive_and_keeps_everything_and_can_be_added_again() -> None:
    (patient,) = after(adt("A01"), adt("A29", "0900", klass="N"))["Patient"]
    assert patient["active"] is False
    assert patient["name"][0]["family"] == "Linnet"
    (again,) = after(adt("A01"), adt("A29", "0900"), adt("A31", "1000"), adt("A28", "1100"))["Patient"]
    assert again["active"] is True


def mrg(number: str = "P9^^^ZHOSP^MR", account: str = "", visit: str = "") -> str:
    return f"MRG|{number}||{account}||{visit}"


def corrections(event: str, prior: str) -> list[Any]:
    header, evn, pid, pv1 = adt(event).split("\n")
    return converted("\n".join([header, evn, pid, prior, pv1])).merges


@pytest.mark.parametrize(
    ("event", "prior", "kinds"),
    [
        *[(event, mrg(), [PatientMerge]) for event in ("A18", "A30", "A34", "A36", "A39", "A40", "A46", "A47")],
        *[(event, mrg(account="ACC9^^^ZHOSP^AN"), [RecordMerge]) for event in ("A35", "A41", "A49")],
        ("A36", mrg(account="ACC9^^^ZHOSP^AN"), [PatientMerge, RecordMerge]),
        ("A42", mrg(visit="V9^^^ZHOSP^VN"), [RecordMerge]),
        ("A50", mrg(visit="V9^^^ZHOSP^VN"), [RecordMerge]),
        ("A44", mrg(account="ACC1^^^ZHOSP^AN"), [RecordMove]),
        ("A44", mrg(account="ACC9^^^ZHOSP^AN"), [RecordMerge, RecordMove]),
        ("A45", mrg(visit="V1^^^ZHOSP^VN"), [RecordMove]),
        ("A45", mrg(visit="V9^^^ZHOSP^VN"), [RecordMerge, RecordMove]),
        ("A43", mrg(), [PatientMerge]),
        ("A40", "MRG||||P9^^^ZHOSP^MR", [PatientMerge]),
        ("A40", mrg("P1^^^ZHOSP^MR"), []),
        ("A42", mrg(visit="V1^^^ZHOSP^VN"), []),
        ("A08", mrg(), []),
    ],
)  # fmt: skip
def test_an_event_about_numbers_corrects_what_its_section_says(event: str, prior: str, kinds: list[type]) -> None:
    assert [type(said) for said in corrections(event, prior)] == kinds


def test_a_moved_identifier_leaves_one_person_and_joins_another() -> None:
    header, evn, pid, _ = adt("A43").split("\n")
    moved = pid.replace("PID|1||P1", "PID|1|E2^^^MPI^PI|P1")
    said = converted("\n".join([header, evn, moved, "MRG|P1^^^ZHOSP^MR|||E1^^^MPI^PI"])).merges
    assert [(type(one), getattr(one, "kind", "")) for one in said] == [(PatientLink, "unlink"), (PatientLink, "link")]


@pytest.mark.parametrize(("event", "kind"), [("A24", "link"), ("A37", "unlink")])
def test_two_persons_are_linked_or_unlinked_by_their_numbers(event: str, kind: str) -> None:
    (said,) = converted(adt(event, "0800", OTHER)).merges
    assert isinstance(said, PatientLink)
    assert said.kind == kind
    assert [said.identifiers[0]["value"], said.other_identifiers[0]["value"]] == ["P1", "P2"]


def test_without_mrg_or_a_second_person_nothing_is_corrected() -> None:
    for event in tables().renumberings:
        assert [said for said in converted(adt(event)).merges if not isinstance(said, RecordMove)] == []


def test_the_trigger_of_an_old_message_is_in_its_event_segment() -> None:
    old = adt("A01").replace("ADT^A01|", "ADT|").replace("|P|2.5.1", "|P|2.1")
    assert visit_after(old)["status"] == "in-progress"


def test_who_entered_the_event_and_why_stand_in_its_provenance() -> None:
    text = adt("A01").replace("EVN|A01|20240301080000+0000", "EVN|A01|20240301080000+0000||01|77^Typist^Tim")
    (provenance,) = after(text)["Provenance"]
    assert provenance["agent"][1]["who"]["identifier"]["value"] == "77"
    assert provenance["reason"][0]["coding"][0]["code"] == "PATRQT"
    assert "Practitioner" not in after(text)


def test_a_role_after_the_patient_is_of_his_care_team_and_after_the_visit_of_the_visit() -> None:
    header, evn, pid, pv1 = adt("A01").split("\n")
    roles = {
        "gp": "ROL|1|AD|PP|11^Good^Ann",
        "team": "ROL|2|AD|CP|12^Best^Bob|20240101",
        "attending": "ROL|3|AD|AT|13^Fine^Cyd|20240301",
    }
    told = after("\n".join([header, evn, pid, roles["gp"], roles["team"], pv1, roles["attending"]]))
    names = {f"Practitioner/{one['id']}": one["name"][0]["family"] for one in told["Practitioner"]}
    (patient,), (team,), (visit,) = told["Patient"], told["CareTeam"], told["Encounter"]
    assert [names[one["reference"]] for one in patient["generalPractitioner"]] == ["Good"]
    assert [names[one["member"]["reference"]] for one in team["participant"]] == ["Best"]
    assert [names[one["individual"]["reference"]] for one in visit["participant"]] == ["Fine"]
    assert visit["participant"][0]["type"][0]["coding"][0]["code"] == "ATND"


def test_who_leaves_the_care_team_was_of_it_until_then() -> None:
    joined, left = (adt("A08", at).split("\n") for at in ("0800", "0900"))
    joined.insert(3, "ROL|2|AD|CP|12^Best^Bob|20240101")
    left.insert(3, "ROL|2|DE|CP|12^Best^Bob|20240101")
    (team,) = after("\n".join(joined), "\n".join(left))["CareTeam"]
    (participant,) = team["participant"]
    assert participant["period"] == {"start": "2024-01-01", "end": "2024-03-01T09:00:00+00:00"}


def test_a_role_behind_a_result_says_nothing_of_the_visit() -> None:
    conversion = converted(adt("A01", "0800", "OBX|1|NM|GLU^Glucose^L||5|||||F", "PRT|1|AD||AT|13^Fine^Cyd"))
    (visit,) = [mapped.resource for mapped in conversion.resources if mapped.type == "Encounter"]
    assert "participant" not in visit


IAM = "IAM|1|DA^Drug allergy^HL70127|PEN^Penicillin^L|SV|Hives|{}|AL7^ZHOSP||AL|||20200101||||{}"


def allergy_after(*lines: str) -> dict[str, Any]:
    (allergy,) = after(*(adt("A60", f"{9 + at:02}00", line) for at, line in enumerate(lines)))["AllergyIntolerance"]
    return allergy


def test_a_reaction_is_added_updated_and_deleted_by_its_action_code() -> None:
    added = allergy_after(IAM.format("A", "|C"))
    assert added["clinicalStatus"]["coding"][0]["code"] == "active"
    assert (added["type"], added["category"], added["criticality"]) == ("allergy", ["medication"], "high")
    assert added["identifier"][0]["value"] == "AL7"
    deleted = allergy_after(IAM.format("A", ""), IAM.format("D", ""))
    assert deleted["verificationStatus"]["coding"][0]["code"] == "entered-in-error"
    assert "clinicalStatus" not in deleted
    again = allergy_after(IAM.format("A", ""), IAM.format("D", ""), IAM.format("A", ""))
    assert "verificationStatus" not in again
    assert again["clinicalStatus"]["coding"][0]["code"] == "active"


def test_the_same_allergy_told_by_al1_and_by_iam_is_one() -> None:
    assert (
        len(
            after(adt("A01", "0800", "AL1|1|DA|PEN^Penicillin^L"), adt("A60", "0900", IAM.format("U", "")))[
                "AllergyIntolerance"
            ]
        )
        == 1
    )


def test_an_account_knows_its_insurances_its_guarantor_and_its_visit() -> None:
    told = after(
        adt(
            "A01",
            "0800",
            "GT1|1|G7^^^ZHOSP|Linnet^Leo||1 Weir Lane^^Holbrook|5550100|||M||FTH",
            "IN1|1|PLAN^Gold|PAY1^^^PAYERS|Payer Inc||||GR1||||||||Linnet^Leo|FTH|19350101|1 Weir Lane^^Holbrook"
            + "|" * 17
            + "POL1",
        )
    )
    (account,), (visit,), (coverage,) = told["Account"], told["Encounter"], told["Coverage"]
    assert visit["account"] == [{"reference": f"Account/{account['id']}"}]
    assert account["coverage"] == [{"coverage": {"reference": f"Coverage/{coverage['id']}"}, "priority": 1}]
    people = {f"RelatedPerson/{one['id']}": one for one in told["RelatedPerson"]}
    guarantor = people[account["guarantor"][0]["party"]["reference"]]
    assert guarantor["name"][0]["given"] == ["Leo"]
    assert guarantor["relationship"][-1]["coding"][0]["code"] == "GUAR"
    assert people[coverage["subscriber"]["reference"]]["birthDate"] == "1935-01-01"


def test_a_procedure_has_its_surgeon_its_length_and_its_modifier() -> None:
    pr1 = "PR1|1||27447^Knee replacement^C4||20240301093000+0000||90|11^Sleep^Ann|||12^Cutter^Bob||||M17.1|RT"
    told = after(adt("A03", "1500", pr1, "ROL|1|AD|AS^Assistant^L|13^Third^Cy"))
    (procedure,) = told["Procedure"]
    assert procedure["code"]["coding"][0]["code"] == "27447:RT"
    assert procedure["performedPeriod"] == {"start": "2024-03-01T09:30:00+00:00", "end": "2024-03-01T11:00:00+00:00"}
    assert len(procedure["performer"]) == 3
    assert procedure["reasonCode"][0]["coding"][0]["code"] == "M17.1"
    assert len(after(adt("A03", "1500", pr1), adt("A03", "1500", pr1))["Procedure"]) == 1


def test_a_living_will_a_cause_of_death_and_an_accident_are_stated_once() -> None:
    header, evn, pid, pv1 = adt("A03").split("\n")
    text = "\n".join(
        [
            header,
            evn,
            pid,
            "PD1|||||||F",
            pv1,
            "PDA|I21.9^Infarction^I10|||20240302|12^Cert^Ann|N",
            "ACC|20240301|MVA^Car accident^L||||||||Fell",
        ]
    )
    told = after(text, text)["Observation"]
    assert {one["code"]["coding"][0]["code"] for one in told} == {"75320-2", "69453-9", "85699-7", "11374-6"}
    assert len(told) == 4


def test_every_event_stands_in_the_documentation() -> None:
    page = (Path(__file__).parents[3] / "docs" / "messages" / "mapping.md").read_text(encoding="utf-8")
    events = {*tables().events, *tables().renumberings, *tables().bookings}
    assert {event for event in events if f"| {event} |" not in page} == set()
