"""PV1, PV2, DG1 and the events: what is known of a visit after messages in any order."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from healthsync.standards.fhir import validate
from healthsync.standards.maps import merged
from healthsync.standards.maps.merging import AS_OF

from .golden_pairs import after, converted

PID = "PID|1||P1^^^ZHOSP^MR||Linnet^Ora^^^^^L||19640428|F"


def adt(
    event: str,
    *,
    at: str,
    pid: str = PID,
    place: str = "W1^101^A^ZHOSP",
    admitted: str = "",
    discharged: str = "",
    visit: str = "V1",
    klass: str = "I",
) -> str:
    pv1 = [
        "PV1",
        "1",
        klass,
        place,
        *[""] * 15,
        f"{visit}^^^ZHOSP^VN" if visit else "",
        *[""] * 24,
        admitted,
        discharged,
    ]
    return "\n".join(
        [
            rf"MSH|^~\&|ZHIS|ZHOSP|ZHUB|ZHIE|{at}+0000||ADT^{event}|{event}{at}|P|2.5.1",
            f"EVN|{event}|{at}+0000",
            pid,
            "|".join(pv1),
        ]
    )


def told(*messages: str) -> list[dict[str, Any]]:
    """The Encounters after these messages, in this order."""
    store: dict[str, dict[str, Any]] = {}
    for text in messages:
        for mapped in converted(text).resources:
            store[mapped.reference] = merged(store.get(mapped.reference), mapped)
            assert validate.structure(store[mapped.reference]) == []
    return [resource for resource in store.values() if resource["resourceType"] == "Encounter"]


ADMISSION = adt("A01", at="20240301080000", admitted="20240301080000+0000")
TRANSFER = adt("A02", at="20240302080000", place="ICU^3^B^ZHOSP")
DISCHARGE = adt("A03", at="20240303100000", place="ICU^3^B^ZHOSP", discharged="20240303100000+0000")
UPDATE = adt("A08", at="20240304100000", place="ICU^3^B^ZHOSP")
PERSON = adt("A31", at="20240304110000", place="", visit="", klass="N")


@pytest.mark.parametrize("order", list(permutations([ADMISSION, TRANSFER, DISCHARGE, UPDATE, PERSON])))
def test_a_visit_that_has_ended_stays_ended_in_whatever_order_its_messages_come(order: tuple[str, ...]) -> None:
    (visit,) = told(*order)
    assert visit["status"] == "finished"
    assert visit["period"] == {"start": "2024-03-01T08:00:00+00:00", "end": "2024-03-03T10:00:00+00:00"}
    assert visit["class"]["code"] == "IMP"


def test_a_discharge_without_its_time_ends_when_it_happened() -> None:
    (visit,) = told(adt("A03", at="20240303100000"))
    assert visit["period"]["end"] == "2024-03-03T10:00:00+00:00"


def test_a_cancelled_discharge_reopens_the_visit_and_takes_the_end_back() -> None:
    (visit,) = told(ADMISSION, DISCHARGE, adt("A13", at="20240303110000", place="ICU^3^B^ZHOSP"))
    assert visit["status"] == "in-progress"
    assert visit["period"] == {"start": "2024-03-01T08:00:00+00:00"}


def test_a_cancelled_admission_is_cancelled_and_a_late_resend_does_not_revive_it() -> None:
    cancel = adt("A11", at="20240301090000")
    for order in ((ADMISSION, cancel), (cancel, ADMISSION)):
        (visit,) = told(*order)
        assert visit["status"] == "cancelled"


def test_whoever_is_admitted_after_the_cancelling_is_there() -> None:
    cancel, again = adt("A11", at="20240301090000"), adt("A01", at="20240301100000")
    (visit,) = told(ADMISSION, cancel, again)
    assert visit["status"] == "in-progress"
    (visit,) = told(ADMISSION, cancel, again, cancel, adt("A08", at="20240301110000"))
    assert visit["status"] == "in-progress", "the cancelling that comes once more is the older one"


def test_a_discharge_that_comes_after_its_cancelling_ends_nothing() -> None:
    undone = adt("A13", at="20240303110000", place="ICU^3^B^ZHOSP")
    (visit,) = told(ADMISSION, TRANSFER, undone, DISCHARGE)
    assert (visit["status"], "end" in visit["period"], places(visit, "active")) == ("in-progress", False, 1)
    (visit,) = told(ADMISSION, undone, DISCHARGE, adt("A03", at="20240304100000", discharged="20240304100000+0000"))
    assert (visit["status"], visit["period"]["end"]) == ("finished", "2024-03-04T10:00:00+00:00")


def places(visit: dict[str, Any], status: str) -> int:
    return sum(place["status"] == status for place in visit["location"])


def test_a_transfer_keeps_where_the_patient_was() -> None:
    (visit,) = told(ADMISSION, TRANSFER)
    assert [place["status"] for place in visit["location"]] == ["active", "completed"]
    assert visit["location"][0]["period"] == {"start": "2024-03-02T08:00:00+00:00"}


def test_an_admission_that_comes_after_the_transfer_does_not_move_the_patient_back() -> None:
    (late,) = told(TRANSFER, ADMISSION)
    (right,) = told(ADMISSION, TRANSFER)
    assert late["location"][0]["location"] == right["location"][0]["location"]
    assert (places(late, "active"), places(late, "completed")) == (1, 1)


def test_a_cancelled_transfer_leaves_the_patient_where_he_was() -> None:
    (visit,) = told(ADMISSION, TRANSFER, adt("A12", at="20240302090000"))
    (before,) = told(ADMISSION)
    assert [place["location"] for place in visit["location"]] == [before["location"][0]["location"]]
    assert places(visit, "active") == 1


def test_a_message_about_a_person_invents_no_visit() -> None:
    for event in ("A28", "A31", "A08"):
        assert told(adt(event, at="20240301080000", visit="", klass="N")) == []


def test_an_empty_visit_segment_is_no_visit() -> None:
    text = adt("A08", at="20240301080000").rpartition("\n")[0] + "\nPV1"
    assert told(text) == []


@pytest.mark.parametrize(
    ("pv1", "pid18", "key"),
    [
        ("V1^^^ZHOSP^VN", "", "visit|urn:healthsync:authority:ZHOSP|V1"),
        ("", "ACC1^^^ZHOSP", "account|urn:healthsync:authority:ZHOSP|ACC1|20240301080000"),
        ("", "", "patient|urn:healthsync:authority:ZHOSP|P1|20240301080000"),
    ],
)
def test_a_visit_is_known_by_its_number_else_its_account_else_its_admission(pv1: str, pid18: str, key: str) -> None:
    text = adt("A01", at="20240301080000", admitted="20240301080000", visit="").replace(
        "|I|W1^101^A^ZHOSP" + "|" * 16, "|I|W1^101^A^ZHOSP" + "|" * 16 + pv1
    )
    text = text.replace("19640428|F", "19640428|F" + "|" * 10 + pid18)
    assert next(mapped.key for mapped in converted(text).resources if mapped.type == "Encounter") == key


def test_a_class_that_was_not_sent_does_not_overwrite_a_known_one() -> None:
    (visit,) = told(ADMISSION, adt("A08", at="20240304100000", klass=""))
    assert visit["class"]["code"] == "IMP"


def test_diagnoses_are_conditions_of_the_visit_and_a_deleted_one_is_entered_in_error() -> None:
    dg1 = "\nDG1|1||Z38.00^Liveborn^I10C||20240301|F"
    deleted = dg1 + "|" * 15 + "D"
    first, second = (converted(ADMISSION + text) for text in (dg1, deleted))
    condition, again = (next(m for m in c.resources if m.type == "Condition") for c in (first, second))
    assert condition.key == again.key
    assert again.action == "entered-in-error"
    after = merged(condition.resource, again)
    assert after["verificationStatus"]["coding"][0]["code"] == "entered-in-error"
    assert "clinicalStatus" not in after
    assert validate.structure(after) == []
    assert validate.structure(merged(after, condition)) == []
    encounter = next(m.resource for m in first.resources if m.type == "Encounter")
    assert encounter["diagnosis"][0]["condition"] == {"reference": condition.reference}


def test_the_other_form_of_a_choice_goes_when_the_new_one_comes() -> None:
    living = converted(adt("A08", at="20240301080000", pid=PID + "|" * 22 + "N")).resources[0]
    dead = converted(adt("A08", at="20240302080000", pid=PID + "|" * 21 + "20240302|Y")).resources[0]
    after = merged(living.resource, dead)
    assert living.resource["deceasedBoolean"] is False
    assert (after["deceasedDateTime"], "deceasedBoolean" in after) == ("2024-03-02", False)


def test_a_field_that_is_empty_this_time_keeps_what_it_told_before() -> None:
    two_numbers = PID.replace("MR|", "MR~N9^^^ZCARD^PI|")
    full = adt("A01", at="20240301080000", pid=f"{two_numbers}||2106-3|||(206)1|(206)2|||||523111234")
    bare = adt("A08", at="20240302080000", pid=f"{PID}|||||(206)3")
    first, second = (converted(text).resources[0] for text in (full, bare))
    after = merged(first.resource, second)
    assert [number["value"] for number in after["identifier"]] == ["P1", "N9", "523111234"]
    assert [phone["value"] for phone in after["telecom"]] == ["(206)3", "(206)2"]
    assert [each for each in after["extension"] if each["url"] != AS_OF] == first.resource["extension"]
    assert merged(after, second) == after


def test_a_new_number_of_the_same_authority_and_type_replaces_the_old_one() -> None:
    old, new = (
        converted(adt("A08", at="20240302080000", pid=PID.replace("MR|", f"MR~{number}^^^ZCARD^PI|"))).resources[0]
        for number in ("N1", "N2")
    )
    assert [number["value"] for number in merged(old.resource, new)["identifier"]] == ["P1", "N2"]


def test_an_update_of_the_person_that_names_a_visit_does_not_change_its_class_or_status() -> None:
    (visit,) = told(ADMISSION, DISCHARGE, adt("A31", at="20240304110000", place="", klass="N"))
    assert (visit["class"]["code"], visit["status"]) == ("IMP", "finished")


def test_a_visit_never_ends_before_it_begins() -> None:
    early = adt("A03", at="20240201100000", discharged="20240201100000")
    for order in ((ADMISSION, early), (early, ADMISSION)):
        assert len(told(*order)) == 1


RESULT = """MSH|^~\\&|LAB|ZLAB|HUB|HIE|20240301{minute}||ORU^R01|R{minute}|P|2.5.1
PID|1||P1^^^ZHOSP^MR||Doe^Jo
PV1|1|{klass}|{place}|||{prior}
ORC|RE|{number}^EHR
OBR|1|{number}^EHR||2345-7^Glucose^LN|||20240301"""


def result(
    place: str = "AMB^^^ZHOSP", *, number: str = "O1", minute: str = "1000", klass: str = "O", prior: str = ""
) -> str:
    return RESULT.format(place=place, number=number, minute=minute, klass=klass, prior=prior)


def test_a_result_says_where_the_patient_was_though_no_number_names_the_visit() -> None:
    stored = after(result())
    (visit,), (report,) = stored["Encounter"], stored["DiagnosticReport"]
    assert visit["status"] == "unknown" and "identifier" not in visit and "period" not in visit
    assert visit["location"][0]["location"]["reference"].removeprefix("Location/") in {
        place["id"] for place in stored["Location"] if place["name"] == "ZHOSP AMB"
    }
    assert report["encounter"] == {"reference": f"Encounter/{visit['id']}"}


def test_the_visit_without_a_number_is_that_of_its_order() -> None:
    assert len(after(result(), result(minute="1100"))["Encounter"]) == 1
    assert len(after(result(), result(number="O2", minute="1100"))["Encounter"]) == 2


def test_a_visit_without_a_number_and_without_a_place_says_nothing() -> None:
    for told in (result(""), result(klass="N")):
        assert "Encounter" not in after(told)
        assert [issue.code for issue in converted(told).issues if issue.path == "PV1-19"] == ["visit-without-number"]


def test_where_a_discharge_leads_to_is_one_place_for_each_kind() -> None:
    lines = DISCHARGE.split("\n")
    fields = lines[-1].split("|")
    fields[37] = "HOME&Own home"
    stored = after("\n".join([*lines[:-1], "|".join(fields)]))
    (home,) = [each for each in stored["Location"] if each["mode"] == "kind"]
    assert home["name"] == "Own home" and home["type"][0]["coding"][0]["code"] == "HOME"
    destination = stored["Encounter"][0]["hospitalization"]["destination"]
    assert destination == {"reference": f"Location/{home['id']}"}
