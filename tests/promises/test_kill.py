"""kill -9 of the hub, of PostgreSQL and of workers at random moments under load: nothing acknowledged is lost.

What is compared is what the senders know (which control ids were acknowledged, in which order) with what the hub shows
afterwards through its commands and its FHIR API.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psutil
import pytest

from .facility import Facility, Patient, phone
from .hub_process import HubProcess, until

SEED = 20261125
ENOUGH = 500
"""Messages: on a slow machine the senders go on a little after the last kill."""
ROUNDS = ["hub"] * 7 + ["postgresql"] * 6 + ["worker"] * 3 + ["backend"] * 3 + ["hub and postgresql"] * 2

pytestmark = pytest.mark.slow


def kill(pid: int | None) -> None:
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def kill_hub(hub: HubProcess, _chance: random.Random) -> None:
    hub.kill()
    hub.start()


def kill_postgresql(hub: HubProcess, _chance: random.Random) -> None:
    postmaster = hub.postmaster_pid
    kill(postmaster)
    until(lambda: hub.postmaster_pid not in (None, postmaster), "the hub starts PostgreSQL again")


def kill_worker(hub: HubProcess, _chance: random.Random) -> None:
    before = hub.worker_pids()
    for pid in before:
        kill(pid)
    until(lambda: set(hub.worker_pids()) - set(before), "the hub starts workers again")


def kill_backend(hub: HubProcess, chance: random.Random) -> None:
    assert hub.postmaster_pid is not None
    kill(chance.choice(psutil.Process(hub.postmaster_pid).children()).pid)


def kill_both(hub: HubProcess, _chance: random.Random) -> None:
    kill(hub.postmaster_pid)
    kill_hub(hub, _chance)


KILLS = {
    "hub": kill_hub,
    "postgresql": kill_postgresql,
    "worker": kill_worker,
    "backend": kill_backend,
    "hub and postgresql": kill_both,
}


@pytest.fixture(scope="module")
def hub(new_hub: Callable[..., HubProcess]) -> HubProcess:
    """A hub with two workers, so that the order of a lane is not the work of chance."""
    hub = new_hub("hub", "--development", HEALTHSYNC_WORKER__PROCESSES="2")
    hub.start()
    return hub


@pytest.fixture(scope="module")
def facilities(hub: HubProcess) -> list[Facility]:
    """Four connections with six patients each; what they sent while everything was killed again and again."""
    facilities = [
        Facility(hub, name, 6, SEED + n, per_second=20) for n, name in enumerate(("NORTH", "EAST", "SOUTH", "WEST"))
    ]
    for facility in facilities:
        facility.start()
    chance = random.Random(SEED)
    for what in chance.sample(ROUNDS, len(ROUNDS)):
        time.sleep(chance.uniform(0.1, 0.8))
        KILLS[what](hub, chance)
    until(hub.is_ready, "the hub is ready after the last kill")
    until(lambda: sum(len(facility.acknowledged) for facility in facilities) > ENOUGH, "enough was acknowledged")
    for facility in facilities:
        facility.leave()
    for facility in facilities:
        facility.join(60)
        assert not facility.is_alive(), "a sender still waits for an acknowledgement"
    hub.wait_until_processed(180)
    return facilities


@pytest.fixture(scope="module")
def messages(hub: HubProcess, facilities: list[Facility]) -> list[dict[str, Any]]:
    """Every message in store, in the order in which they were accepted."""
    return sorted(hub.lines("messages", "list", "--limit", "0"), key=lambda message: message["sequence"])


@pytest.fixture(scope="module")
def admin(hub: HubProcess, facilities: list[Facility]) -> Iterator[httpx.Client]:
    with hub.client() as client:
        yield client


@pytest.fixture(scope="module")
def patient_ids(admin: httpx.Client, facilities: list[Facility]) -> dict[str, str]:
    """The id of every patient by its number; each is there once."""
    return {
        patient.mrn: one(admin.get("/fhir/Patient", params={"identifier": patient.mrn}).json())["id"]
        for facility in facilities
        for patient in facility.patients
        if patient.number
    }


def one(bundle: dict[str, Any]) -> dict[str, Any]:
    assert bundle["total"] == 1
    return bundle["entry"][0]["resource"]


def pages(client: httpx.Client, url: str) -> Iterator[dict[str, Any]]:
    """The resources of a Bundle and of those that follow it."""
    following: str | None = url
    while following:
        bundle = client.get(following).raise_for_status().json()
        yield from (entry["resource"] for entry in bundle.get("entry", ()))
        following = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), None)


def of_patients(facilities: list[Facility], judge: Callable[[Patient], Any]) -> dict[str, Any]:
    """What `judge` finds, by number of the patient; nothing for a patient with whom all is well."""
    found = {p.mrn: judge(p) for facility in facilities for p in facility.patients if p.number}
    return {mrn: finding for mrn, finding in found.items() if finding}


def test_the_load_was_real(facilities):
    assert len(ROUNDS) >= 20
    assert sum(len(facility.acknowledged) for facility in facilities) > ENOUGH
    assert sum(facility.resent for facility in facilities) > 0


def test_no_sender_was_refused(facilities):
    assert [text for facility in facilities for text in facility.refused] == []


def test_every_acknowledged_message_is_in_store_exactly_once(facilities, messages):
    stored = Counter(message["control_id"] for message in messages)
    acknowledged = {control_id for facility in facilities for control_id in facility.acknowledged}
    assert {control_id: stored[control_id] for control_id in acknowledged if stored[control_id] != 1} == {}


def test_nothing_is_in_store_twice_and_nothing_that_nobody_sent(facilities, messages):
    sent = Counter(f"{p.mrn}-{n}" for f in facilities for p in f.patients for n in range(1, p.number + 1))
    assert Counter(message["control_id"] for message in messages) - sent == Counter()
    numbered_not_measured = {"implausible-quantity"}  # the results count up
    assert [message for message in messages if not numbered_not_measured.issuperset(message["warnings"])] == []


def test_everything_that_was_accepted_is_processed(messages):
    assert [message for message in messages if message["state"] != "processed"] == []


def test_messages_about_a_patient_were_accepted_in_the_order_in_which_they_were_sent(facilities, messages):
    order = [message["control_id"] for message in messages]

    def judge(patient: Patient) -> list[str]:
        mine = [control_id for control_id in order if control_id.rpartition("-")[0] == patient.mrn]
        return mine if mine != [f"{patient.mrn}-{n}" for n in range(1, patient.number + 1)] else []

    assert of_patients(facilities, judge) == {}


def test_every_message_made_one_version_of_its_patient_in_order(facilities, admin, patient_ids):
    def judge(patient: Patient) -> list[str]:
        history = pages(admin, f"/fhir/Patient/{patient_ids[patient.mrn]}/_history")
        versions = sorted((int(r["meta"]["versionId"]), r["telecom"][0]["value"]) for r in history)
        wanted = [(n, phone(n)) for n in range(1, patient.number + 1)]
        return [] if versions == wanted else versions

    assert of_patients(facilities, judge) == {}


def test_every_result_is_there_once_and_was_written_once(facilities, admin, patient_ids):
    def judge(patient: Patient) -> list[Any]:
        found = pages(admin, f"/fhir/Observation?subject=Patient/{patient_ids[patient.mrn]}")
        results = sorted((r["valueQuantity"]["value"], r["meta"]["versionId"]) for r in found)
        return [] if results == [(n, "1") for n in patient.results] else results

    assert of_patients(facilities, judge) == {}


def test_the_audit_log_holds_and_nothing_in_it_waits(hub, facilities):
    report = until(lambda: (r := hub.ask("audit", "verify"))["waiting"] == 0 and r, "the audit log is sequenced")
    assert report["holds"], report
    assert report["signed_size"] == report["events"] > 0


def test_nothing_that_went_wrong_is_told_as_a_traceback(hub, facilities):
    assert "Traceback" not in hub.stderr()
