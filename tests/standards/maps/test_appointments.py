"""SIU: appointments in every order, one by one and as a whole."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from healthsync.standards.maps.conversion import supported

from .golden_pairs import after, converted

AIS = "AIS|1|{}|{}^Service^L|20240401090000+0000|||30|min"
AIP = "AIP|1|{}|{}^Doc^Ann|OPH^Ophthalmologist^L"


def siu(event: str, at: str, *booked: str, start: str = "0900", status: str = "", duration: str = "30|min") -> str:
    header = rf"MSH|^~\&|ZSCH|ZHOSP|ZHUB|ZHIE|20240301{at}00+0000||SIU^{event}^SIU_S12|{event}{at}|P|2.5.1"
    time = f"^^^20240401{start}00+0000" if start else ""
    sch = f"SCH|PA1^EHR|FA1^ZSCH||||CHG^Changed^L|||{duration}|{time}||||||||||||||{status}"
    return "\n".join([header, sch, "PID|1||P1^^^ZHOSP^MR||Linnet^Ora", "RGS|1", *booked])


def appointment_after(*messages: str) -> dict[str, Any]:
    (appointment,) = after(*messages)["Appointment"]
    return appointment


def services(appointment: dict[str, Any]) -> list[str]:
    return [kind["coding"][0]["code"] for kind in appointment.get("serviceType", ())]


def coming(appointment: dict[str, Any]) -> list[str]:
    return [entry["status"] for entry in appointment["participant"]]


def test_every_event_of_a_schedule_has_a_map() -> None:
    assert all(supported("SIU", f"S{number}") for number in range(12, 27) if number != 25)


@pytest.mark.parametrize(
    ("event", "status"),
    [("S12", "booked"), ("S13", "booked"), ("S15", "cancelled"), ("S16", "cancelled"), ("S17", "entered-in-error"), ("S26", "noshow")],
)  # fmt: skip
def test_an_event_says_the_status(event: str, status: str) -> None:
    assert appointment_after(siu(event, "0800"))["status"] == status


@pytest.mark.parametrize(
    ("sent", "status"),
    [("Pending", "pending"), ("STARTED", "checked-in"), ("Complete", "fulfilled"), ("No Idea", "booked")],
)
def test_the_filler_says_the_status_where_the_event_does_not(sent: str, status: str) -> None:
    assert appointment_after(siu("S14", "0800", status=sent))["status"] == status


STORY = [
    siu("S12", "0700", AIS.format("", "EX1"), start="0900"),
    siu("S13", "0800", AIS.format("", "EX1"), start="1100"),
    siu("S14", "0900", AIS.format("", "EX1"), start="1100", status="Booked"),
    siu("S15", "1000", start="1100"),
]


@pytest.mark.parametrize("order", list(permutations(STORY)))
def test_a_cancelled_appointment_stays_cancelled_at_its_last_time(order: tuple[str, ...]) -> None:
    appointment = appointment_after(*order)
    assert appointment["status"] == "cancelled"
    assert appointment["start"] == "2024-04-01T11:00:00+00:00"
    assert appointment["cancelationReason"]["coding"][0]["code"] == "CHG"


@settings(max_examples=40)
@given(st.lists(st.sampled_from(STORY), min_size=1, max_size=8))
def test_a_resend_changes_nothing(messages: list[str]) -> None:
    once = after(*messages)["Appointment"]
    assert after(*messages, messages[-1])["Appointment"] == once


def test_start_and_end_are_told_together_or_the_appointment_is_only_proposed() -> None:
    assert appointment_after(siu("S12", "0800"))["end"] == "2024-04-01T09:30:00+00:00"
    instant = appointment_after(siu("S12", "0800", duration="|"))
    assert instant["end"] == instant["start"]
    proposed = appointment_after(siu("S12", "0800", start=""))
    assert proposed["status"] == "proposed"
    assert "start" not in proposed
    told_by_resource = appointment_after(siu("S12", "0800", AIS.format("", "EX1"), start="", duration="|"))
    assert (told_by_resource["start"], told_by_resource["end"]) == (
        "2024-04-01T09:00:00+00:00",
        "2024-04-01T09:30:00+00:00",
    )


def test_an_appointment_that_is_booked_again_has_no_reason_for_its_cancelling() -> None:
    again = appointment_after(siu("S12", "0800"), siu("S15", "0900"), siu("S14", "1000", status="Booked"))
    assert again["status"] == "booked"
    assert "cancelationReason" not in again


def test_what_is_booked_is_told_as_a_whole_or_one_by_one() -> None:
    first = siu("S12", "0800", AIS.format("", "EX1"), AIP.format("", "11"))
    other_doctor = appointment_after(first, siu("S14", "0900", AIS.format("", "EX2"), AIP.format("", "12")))
    assert services(other_doctor) == ["EX2"]
    assert len(other_doctor["participant"]) == 2
    added = appointment_after(first, siu("S18", "0900", AIS.format("", "EX2")))
    assert services(added) == ["EX1", "EX2"]
    taken_out = appointment_after(
        first, siu("S18", "0900", AIS.format("", "EX2")), siu("S20", "1000", AIS.format("", "EX1"))
    )
    assert services(taken_out) == ["EX2"]
    replaced = appointment_after(first, siu("S14", "0900", AIP.format("D", "11"), AIP.format("A", "12")))
    assert coming(replaced) == ["accepted", "declined", "accepted"]
    assert services(replaced) == ["EX1"]
    assert coming(appointment_after(first, siu("S15", "0900"))) == ["accepted", "accepted"]


def test_blocked_slots_belong_to_a_schedule_and_can_be_opened_again() -> None:
    header, sch, _, rgs = siu("S23", "0800").split("\n")
    block = "\n".join([header, sch.replace("||||CHG", "|||ROOM7|CHG"), rgs, "AIL|1||CLINIC^R7"])
    (slot,) = after(block)["Slot"]
    assert slot["status"] == "busy-unavailable"
    (schedule,) = after(block)["Schedule"]
    assert slot["schedule"]["reference"] == f"Schedule/{schedule['id']}"
    assert "Appointment" not in after(block)
    (opened,) = after(block, block.replace("SIU^S23", "SIU^S24").replace("|20240301080000", "|20240301090000"))["Slot"]
    assert opened["status"] == "free"


def test_an_appointment_without_a_number_is_reported_not_invented() -> None:
    conversion = converted(siu("S12", "0800").replace("SCH|PA1^EHR|FA1^ZSCH", "SCH||"))
    assert [issue.code for issue in conversion.issues] == ["appointment-without-number"]
    assert {mapped.type for mapped in conversion.resources} == {"Patient", "Organization", "Provenance"}
