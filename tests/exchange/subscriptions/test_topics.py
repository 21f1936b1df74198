"""Topic-based subscriptions (Subscriptions R5 Backport 1.1 for R4): notifications, numbers, heartbeat, operations."""

from __future__ import annotations

from datetime import timedelta

import pytest

from healthsync.errors import InvalidInput, NotFound
from healthsync.exchange.administration.operators import Actor
from healthsync.standards.fhir import json, validate

from .conftest import BACKPORT, PATIENT


async def _encounter(hub, admin, patient_id: str, status: str = "in-progress", id_: str | None = None):
    encounter = {
        "resourceType": "Encounter",
        "status": status,
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
        "subject": {"reference": f"Patient/{patient_id}"},
    }
    if id_ is not None:
        return await hub.write.update(admin, {**encounter, "id": id_})
    return await hub.write.create(admin, encounter)


async def test_a_handshake_proves_the_receiver_and_then_the_subscription_is_active(
    hub, admin, subscribe_to_topic, receiver, shown
):
    id_ = await subscribe_to_topic(admin, "encounter-start", "id-only", channel={"endpoint": receiver.url})
    (request,) = receiver.requests
    assert request.headers["content-type"] == "application/fhir+json"
    assert request.json["type"] == "history"
    assert request.json["meta"]["profile"] == [f"{BACKPORT}backport-subscription-notification-r4"]
    told = request.parameters
    assert told["subscription"] == {"reference": f"https://hub.example.org/fhir/Subscription/{id_}"}
    assert (told["type"], told["status"], told["events-since-subscription-start"]) == ("handshake", "requested", "0")
    assert request.json["entry"][0]["request"]["url"].endswith(f"/Subscription/{id_}/$status")
    assert not [i for i in validate.structure(json.parse(request.body)) if i.is_error]
    assert (await shown(admin, id_))["status"] == "active"


async def test_a_refused_handshake_is_an_error_at_once(hub, admin, subscribe_to_topic, receiver, shown):
    receiver.answers = [403]
    id_ = await subscribe_to_topic(admin, "encounter-start", "id-only", channel={"endpoint": receiver.url})
    assert (await shown(admin, id_))["status"] == "error"


@pytest.mark.parametrize(
    ("content", "entries", "focus"), [("empty", 1, False), ("id-only", 2, True), ("full-resource", 2, True)]
)
async def test_a_notification_carries_what_the_content_level_says(
    hub, admin, subscribe_to_topic, receiver, content, entries, focus
):
    await subscribe_to_topic(admin, "encounter-start", content, channel={"endpoint": receiver.url})
    patient = await hub.write.create(admin, PATIENT)
    stored = await _encounter(hub, admin, patient.id)
    await hub.notify_subscribers.drain()
    request = receiver.requests[-1]
    told = request.parameters
    assert (told["type"], told["status"], told["events-since-subscription-start"]) == (
        "event-notification",
        "active",
        "1",
    )
    event = {part["name"]: part for part in told["notification-event"]}
    assert event["event-number"]["valueString"] == "1"
    assert ("focus" in event) is focus
    assert ("topic" in told) is (content != "empty")
    assert len(request.json["entry"]) == entries
    if focus:
        place = f"https://hub.example.org/fhir/Encounter/{stored.id}"
        assert event["focus"]["valueReference"]["reference"] == request.json["entry"][1]["fullUrl"] == place
        assert ("resource" in request.json["entry"][1]) is (content == "full-resource")
    assert not [i for i in validate.structure(json.parse(request.body)) if i.is_error]


async def test_an_encounter_start_is_told_when_it_begins_to_hold_and_not_again(
    hub, admin, subscribe_to_topic, receiver
):
    await subscribe_to_topic(admin, "encounter-start", "id-only", channel={"endpoint": receiver.url})
    patient = await hub.write.create(admin, PATIENT)
    stored = await _encounter(hub, admin, patient.id, "planned")
    await hub.notify_subscribers.drain()
    assert len(receiver.requests) == 1
    await _encounter(hub, admin, patient.id, "in-progress", stored.id)
    await _encounter(hub, admin, patient.id, "onleave", stored.id)
    await _encounter(hub, admin, patient.id, "finished", stored.id)
    await hub.notify_subscribers.drain()
    assert len(receiver.requests) == 2
    assert receiver.requests[1].json["entry"][1]["request"]["method"] == "PUT"


async def test_links_and_unlinks_of_patients_are_told(hub, admin, subscribe_to_topic, receiver):
    await subscribe_to_topic(admin, "identity-changed", "full-resource", channel={"endpoint": receiver.url})
    one, two = [(await hub.write.create(admin, {"resourceType": "Patient", "gender": "male"})).id for _ in range(2)]
    steward = Actor("Ann")
    await hub.steward_identity.merge(steward, one, two, "papers-seen", keep_both=True)
    await hub.notify_subscribers.drain()
    await hub.steward_identity.unmerge(steward, one, two, "other-mother")
    await hub.notify_subscribers.drain()
    told = receiver.requests[1:]
    assert [request.json["entry"][1]["resource"]["id"] in (one, two) for request in told] == [True, True]
    retired = {"resourceType": "Patient", "gender": "male"}
    three, four = [(await hub.write.create(admin, retired)).id for _ in range(2)]
    await hub.write.update(admin, {**retired, "id": three, "birthDate": "1971-03-09"})
    await hub.steward_identity.merge(steward, three, four, "papers-seen", keep_both=True)
    await hub.notify_subscribers.drain()
    assert "birthDate" in receiver.requests[-1].json["entry"][1]["resource"]


async def test_filters_narrow_a_topic(hub, admin, subscribe_to_topic, receiver):
    one, other = await hub.write.create(admin, PATIENT), await hub.write.create(admin, PATIENT)
    await subscribe_to_topic(
        admin, "encounter-start", "id-only", f"Encounter?patient=Patient/{one.id}", channel={"endpoint": receiver.url}
    )
    await _encounter(hub, admin, other.id)
    await hub.notify_subscribers.drain()
    assert len(receiver.requests) == 1
    await _encounter(hub, admin, one.id)
    await hub.notify_subscribers.drain()
    assert len(receiver.requests) == 2


async def test_numbers_have_no_gap_and_a_repetition_carries_the_same_number(
    hub, admin, subscribe_to_topic, receiver, clock
):
    await subscribe_to_topic(admin, "patient-created", "id-only", channel={"endpoint": receiver.url}, timeout=30)
    receiver.answers = [200, 503, 200]
    for _ in range(3):
        await hub.write.create(admin, PATIENT)
    await hub.notify_subscribers.drain()
    clock.at += timedelta(minutes=5)
    await hub.notify_subscribers.drain()
    numbers = [r.parameters["notification-event"][0]["valueString"] for r in receiver.requests[1:]]
    assert numbers == ["1", "2", "2", "3"]


async def test_several_events_share_a_notification_up_to_the_maximum(hub, admin, subscribe_to_topic, receiver):
    await subscribe_to_topic(admin, "patient-created", "id-only", channel={"endpoint": receiver.url}, count=2)
    for _ in range(5):
        await hub.write.create(admin, PATIENT)
    await hub.notify_subscribers.drain()
    counts = [
        sum(p["name"] == "notification-event" for p in r.json["entry"][0]["resource"]["parameter"])
        for r in receiver.requests[1:]
    ]
    assert counts == [2, 2, 1]
    assert receiver.requests[-1].parameters["events-since-subscription-start"] == "5"


async def test_what_consent_withholds_takes_no_number(
    hub, admin, client_of, subscribe_to_topic, receiver, object_to_disclosure, observation
):
    physician = await client_of(hub, "physician")
    await subscribe_to_topic(physician, "result-available", "id-only", channel={"endpoint": receiver.url})
    lab = {"category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}]}  # fmt: skip
    hidden, open_ = await hub.write.create(admin, PATIENT), await hub.write.create(admin, {**PATIENT, "identifier": [{"system": "urn:x", "value": "9"}], "name": [{"family": "Ames"}], "birthDate": "1950-01-01"})  # fmt: skip
    await object_to_disclosure(admin, hidden.id)
    await hub.write.create(admin, observation(hidden.id, **lab))
    await hub.write.create(admin, observation(open_.id, **lab))
    await hub.write.create(admin, observation(open_.id))  # no laboratory result
    await hub.notify_subscribers.drain()
    (request,) = receiver.requests[1:]
    assert request.parameters["notification-event"][0]["valueString"] == "1"
    assert hidden.id not in request.body.decode()


async def test_a_heartbeat_tells_that_all_is_well_when_nothing_happens(hub, admin, subscribe_to_topic, receiver, clock):
    await subscribe_to_topic(admin, "patient-created", "empty", channel={"endpoint": receiver.url}, heartbeat=60)
    clock.at += timedelta(seconds=59)
    await hub.notify_subscribers.drain()
    assert len(receiver.requests) == 1
    clock.at += timedelta(seconds=2)
    await hub.notify_subscribers.drain()
    await hub.notify_subscribers.drain()
    (request,) = receiver.requests[1:]
    assert (request.parameters["type"], request.parameters["events-since-subscription-start"]) == ("heartbeat", "0")
    assert "notification-event" not in request.parameters


async def test_status_is_shown_to_the_client_that_asked_and_to_no_other(
    hub, admin, client_of, subscribe_to_topic, receiver
):
    id_ = await subscribe_to_topic(admin, "patient-created", "empty", channel={"endpoint": receiver.url})
    other = await client_of(hub, "physician")
    bundle = await hub.subscription_operations.status(admin)
    assert (bundle["type"], bundle["total"]) == ("searchset", 1)
    names = {p["name"]: p for p in bundle["entry"][0]["resource"]["parameter"]}
    assert (names["type"]["valueCode"], names["status"]["valueCode"]) == ("query-status", "active")
    assert (await hub.subscription_operations.status(other, [id_]))["total"] == 0
    assert (await hub.subscription_operations.status(admin, None, ["error", "off"]))["total"] == 0
    with pytest.raises(InvalidInput):
        await hub.subscription_operations.status(admin, None, ["broken"])


async def test_events_are_told_again_by_their_numbers_as_far_as_they_may_be(
    hub, admin, client_of, subscribe_to_topic, receiver, object_to_disclosure
):
    physician = await client_of(hub, "physician")
    id_ = await subscribe_to_topic(physician, "patient-created", "full-resource", channel={"endpoint": receiver.url})
    ids = []
    for name in ("Ames", "Birch", "Coe", "Dunn"):
        other = {"identifier": [{"system": "urn:x", "value": name}], "name": [{"family": name}]}
        ids.append((await hub.write.create(admin, {**PATIENT, **other})).id)
    await hub.notify_subscribers.drain()
    events = hub.subscription_operations.events

    def numbers(bundle) -> list[str]:
        listed = [p for p in bundle["entry"][0]["resource"]["parameter"] if p["name"] == "notification-event"]
        return [p["part"][0]["valueString"] for p in listed]

    assert numbers(await events(physician, id_)) == ["1", "2", "3", "4"]
    assert numbers(await events(physician, id_, since=2, until=3)) == ["2", "3"]
    assert len((await events(physician, id_, content="empty"))["entry"]) == 1
    await object_to_disclosure(admin, ids[1])
    again = await events(physician, id_)
    assert numbers(again) == ["1", "3", "4"]
    assert ids[1] not in json.dump(again).decode()
    with pytest.raises(NotFound):
        await events(admin, id_)


async def test_asking_again_goes_on_with_the_numbers(hub, admin, subscribe_to_topic, receiver, shown):
    id_ = await subscribe_to_topic(admin, "patient-created", "empty", channel={"endpoint": receiver.url})
    await hub.write.create(admin, PATIENT)
    await hub.notify_subscribers.drain()
    await hub.write.update(admin, {**await shown(admin, id_), "status": "requested", "reason": "again"})
    await hub.write.create(admin, PATIENT)
    await hub.notify_subscribers.drain()
    assert receiver.requests[-1].parameters["events-since-subscription-start"] == "2"
