"""PPR, PGL, PPP: problems, goals, pathways. REF, RRI: referrals."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from healthsync.standards.maps.conversion import supported

from .golden_pairs import after

PID = "PID|1||P1^^^ZHOSP^MR||Linnet^Ora^^^^^L||19640428|F"


def message(kind: str, at: str, *segments: str) -> str:
    header = rf"MSH|^~\&|ZEHR|ZHOSP|ZHUB|ZHIE|20240301{at}00+0000||{kind}|{kind}{at}|P|2.5.1"
    return "\n".join([header, *segments])


def test_the_messages_of_chapters_11_and_12_have_maps() -> None:
    assert all(supported(code, event) for code in ("REF", "RRI") for event in ("I12", "I13", "I14", "I15"))
    for code, events in {
        "PPR": "PC1 PC2 PC3",
        "PGL": "PC6 PC7 PC8",
        "PPP": "PCB PCC PCD",
        "PPG": "PCG PCH PCJ",
    }.items():
        assert all(supported(code, event) for event in events.split())


PRB = "PRB|{}|20240301|H40.1^Glaucoma^I10|PR7^ZEHR|||20240301||{}||||{}|{}||20230101"


def problem(
    event: str = "PC1", at: str = "0800", action: str = "", resolved: str = "", known: str = "", state: str = ""
) -> str:
    return message(f"PPR^{event}", at, PID, PRB.format(action, resolved, known, state))


def condition_after(*messages: str) -> dict[str, Any]:
    (condition,) = after(*messages)["Condition"]
    return condition


def codes(condition: dict[str, Any]) -> tuple[str | None, str | None]:
    def code(name: str) -> str | None:
        return condition[name]["coding"][0]["code"] if name in condition else None

    return code("clinicalStatus"), code("verificationStatus")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, ("active", None)),
        ({"state": "R^Resolved"}, ("resolved", None)),
        ({"resolved": "20240301"}, ("resolved", None)),
        ({"resolved": "20240301", "state": "Active"}, ("resolved", None)),
        ({"known": "C^Confirmed"}, ("active", "confirmed")),
        ({"known": "x^Ruled out"}, ("active", "refuted")),
        ({"action": "DE"}, (None, "entered-in-error")),
        ({"event": "PC3"}, (None, "entered-in-error")),
        ({"event": "PC3", "action": "UP"}, ("active", None)),
    ],
)
def test_a_problem_says_its_state(said: dict[str, str], expected: tuple[str | None, str | None]) -> None:
    assert codes(condition_after(problem(**said))) == expected


@pytest.mark.parametrize("order", list(permutations(["PC1", "PC2", "PC3"])))
def test_a_deleted_problem_stays_deleted_in_whatever_order_its_messages_come(order: tuple[str, ...]) -> None:
    times = {"PC1": "0800", "PC2": "0900", "PC3": "1000"}
    condition = condition_after(*(problem(event, times[event]) for event in order))
    assert codes(condition) == (None, "entered-in-error")


def test_a_problem_that_is_told_again_after_its_deleting_is_one_again() -> None:
    assert codes(condition_after(problem(), problem("PC3", "0900"), problem("PC1", "1000"))) == ("active", None)
    assert codes(condition_after(problem(resolved="20240301"), problem("PC2", "0900"))) == ("active", None)


def test_a_resend_changes_nothing_and_an_empty_field_keeps() -> None:
    once = condition_after(problem(known="C"))
    assert condition_after(problem(known="C"), problem(known="C")) == once
    assert condition_after(problem(), problem().replace("||20230101", "||"))["onsetDateTime"] == "2023-01-01"


def test_a_goal_and_a_plan_say_what_they_are_for() -> None:
    gol = "GOL|AD|20240301|IOP18^Pressure below 18^L|G1^ZEHR|||20240301|20240601||||||||||active"
    pth = "PTH|AD|GLAU^Pathway^L|PW1^ZEHR|20240301|active"
    told = after(message("PPP^PCB", "0800", PID, pth, PRB.format("AD", "", "", ""), gol))
    (goal,), (plan,), (condition,) = told["Goal"], told["CarePlan"], told["Condition"]
    assert goal["addresses"] == plan["addresses"] == [{"reference": f"Condition/{condition['id']}"}]
    assert plan["goal"] == [{"reference": f"Goal/{goal['id']}"}]
    deleted = after(message("PGL^PC8", "0800", PID, gol.replace("GOL|AD", "GOL|")))
    assert deleted["Goal"][0]["lifecycleStatus"] == "entered-in-error"


def test_what_stands_behind_a_problem_belongs_to_it() -> None:
    told = after(
        message(
            "PPR^PC1", "0800", PID, PRB.format("AD", "", "", ""), "NTE|1||Known",
            "VAR|V1|20240301||11^Good^Ann|L^Late|Came late", "ROL|1|AD|AT|12^Best^Bob", "OBX|1|NM|IOP^Pressure^L||24|||||F",
        )
    )  # fmt: skip
    (condition,), (observation,) = told["Condition"], told["Observation"]
    assert [note["text"] for note in condition["note"]] == ["Known", "Late\nCame late"]
    assert condition["evidence"] == [{"detail": [{"reference": f"Observation/{observation['id']}"}]}]
    assert condition["asserter"] != condition["note"][1]["authorReference"]


def referral(event: str = "I12", at: str = "0800", status: str = "A", kind: str = "REF") -> str:
    return message(
        f"{kind}^{event}", at, f"RF1|{status}|R|OPH^Ophthalmology^L|||RF7^ZEHR|20240301|20240601",
        "PRD|RP|Good^Ann|||||1234567893^NPI", "PRD|RT|Best^Bob|||||9876543217^NPI", PID,
    )  # fmt: skip


def request_after(*messages: str) -> dict[str, Any]:
    (request,) = after(*messages)["ServiceRequest"]
    return request


def test_a_referral_says_who_sends_whom_to_whom() -> None:
    told = after(referral())
    names = {f"Practitioner/{one['id']}": one["name"][0]["family"] for one in told["Practitioner"]}
    (request,) = told["ServiceRequest"]
    assert names[request["requester"]["reference"]] == "Good"
    assert [names[one["reference"]] for one in request["performer"]] == ["Best"]
    assert request["subject"]["reference"] == f"Patient/{told['Patient'][0]['id']}"


@pytest.mark.parametrize("order", list(permutations(["I12", "I13", "I14"])))
def test_a_cancelled_referral_stays_cancelled_in_whatever_order_its_messages_come(order: tuple[str, ...]) -> None:
    times = {"I12": "0800", "I13": "0900", "I14": "1000"}
    assert request_after(*(referral(event, times[event]) for event in order))["status"] == "revoked"


def test_the_answer_to_a_referral_tells_its_state() -> None:
    assert request_after(referral(status="P"), referral(at="0900", status="R", kind="RRI"))["status"] == "revoked"
