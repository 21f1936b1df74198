"""rest-hook subscriptions by R4 criteria, told to a real receiver."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from healthsync.errors import Refused

from .conftest import PATIENT


async def _told(hub, receiver, count: int):
    await hub.notify_subscribers.drain()
    assert len(receiver.requests) == count, [r.path for r in receiver.requests]
    return receiver.requests


async def test_without_payload_the_receiver_gets_an_empty_post_with_its_headers(hub, admin, subscribe, receiver, shown):
    id_ = await subscribe(admin, "Patient?gender=female", endpoint=f"{receiver.url}/hook", header=["X-Secret: abc: d"])
    assert (await shown(admin, id_))["status"] == "active"
    await hub.write.create(admin, PATIENT)
    (request,) = await _told(hub, receiver, 1)
    assert (request.method, request.path, request.body) == ("POST", "/hook", b"")
    assert request.headers["x-secret"] == "abc: d"


async def test_with_payload_the_resource_is_put_under_the_endpoint_as_service_base(hub, admin, subscribe, receiver):
    await subscribe(admin, "/Patient?gender=female", endpoint=f"{receiver.url}/base/", payload="application/fhir+json")
    stored = await hub.write.create(admin, PATIENT)
    (request,) = await _told(hub, receiver, 1)
    assert (request.method, request.path) == ("PUT", f"/base/Patient/{stored.id}")
    assert request.headers["content-type"] == "application/fhir+json"
    assert request.json["name"] == PATIENT["name"]


async def test_only_what_meets_the_criteria_is_told_and_a_deletion_is_not(hub, admin, subscribe, receiver, observation):
    await subscribe(admin, "Observation?code=http://loinc.org|718-7&status=final", endpoint=receiver.url)
    patient = await hub.write.create(admin, PATIENT)
    await hub.write.create(admin, observation(patient.id, "2345-7"))
    await hub.write.create(admin, observation(patient.id, status="preliminary"))
    await _told(hub, receiver, 0)
    stored = await hub.write.create(admin, observation(patient.id))
    await _told(hub, receiver, 1)
    await hub.write.delete(admin, "Observation", stored.id)
    await _told(hub, receiver, 1)


async def test_what_was_stored_before_the_subscription_became_active_is_not_told(hub, admin, subscribe, receiver):
    await hub.write.create(admin, PATIENT)
    await subscribe(admin, "Patient", endpoint=receiver.url)
    await _told(hub, receiver, 0)
    await hub.write.create(admin, PATIENT)
    await _told(hub, receiver, 1)


async def test_changes_are_told_in_their_order_each_with_its_own_content(hub, admin, subscribe, receiver):
    await subscribe(admin, "Patient", endpoint=receiver.url, payload="application/fhir+json")
    stored = await hub.write.create(admin, PATIENT)
    for year in range(1972, 1979):
        await hub.write.update(admin, {**PATIENT, "id": stored.id, "birthDate": f"{year}-03-09"})
    requests = await _told(hub, receiver, 8)
    assert [r.json["birthDate"][:4] for r in requests] == [str(year) for year in range(1971, 1979)]
    assert [r.json["meta"]["versionId"] for r in requests] == [str(n) for n in range(1, 9)]


async def test_nothing_leaves_after_the_patient_withdrew_consent_not_even_an_empty_post(
    hub, admin, client_of, subscribe, receiver, observation, object_to_disclosure, database
):
    physician = await client_of(hub, "physician")
    await subscribe(physician, "Observation", endpoint=receiver.url)
    patient = await hub.write.create(admin, PATIENT)
    await hub.write.create(admin, observation(patient.id))
    await object_to_disclosure(admin, patient.id)
    await hub.write.create(admin, observation(patient.id, "2345-7"))
    await _told(hub, receiver, 0)
    async with database.connection() as tx:
        rows = [row.entry for row in await hub.audit.search(tx)]
    refused = [row for row in rows if row["interaction"] == "notification"]
    assert {(row["client"], row["outcome"], row["reason"]) for row in refused} == {
        (physician.client_id, "4", "consent")
    }


async def test_consent_withdrawn_between_two_attempts_stops_the_second(
    hub, admin, client_of, clock, subscribe, receiver, observation, object_to_disclosure
):
    physician = await client_of(hub, "physician")
    await subscribe(physician, "Observation", endpoint=receiver.url, payload="application/fhir+json")
    patient = await hub.write.create(admin, PATIENT)
    receiver.answers = [500, 200]
    await hub.write.create(admin, observation(patient.id))
    await _told(hub, receiver, 1)
    await object_to_disclosure(admin, patient.id)
    clock.at += timedelta(hours=1)
    await _told(hub, receiver, 1)


async def test_each_notification_is_in_the_audit_log_with_the_subscriber_as_agent(
    hub, admin, client_of, subscribe, receiver, database
):
    physician = await client_of(hub, "physician")
    await subscribe(physician, "Patient", endpoint=receiver.url)
    stored = await hub.write.create(admin, PATIENT)
    await _told(hub, receiver, 1)
    async with database.connection() as tx:
        rows = [row.entry for row in await hub.audit.search(tx)]
    (row,) = [row for row in rows if row["interaction"] == "notification"]
    assert (row["client"], row["outcome"]) == (physician.client_id, "0")
    assert row["entities"] == row["patients"] == [f"Patient/{stored.id}"]


async def test_with_the_audit_log_unwritable_nothing_leaves(hub, admin, subscribe, receiver, database):
    await subscribe(admin, "Patient", endpoint=receiver.url)
    await hub.write.create(admin, PATIENT)
    await hub.notify_subscribers.queue()
    async with database.transaction() as tx:
        await tx.execute("ALTER TABLE audit_event RENAME TO audit_event_away")
    turn = await hub.notify_subscribers.claim()
    with pytest.raises(Exception):  # noqa: B017
        await hub.notify_subscribers.tell(turn)
    assert receiver.requests == []


async def test_a_revoked_client_is_told_nothing_and_its_subscription_is_off(
    hub, admin, client_of, subscribe, receiver, database, shown
):
    physician = await client_of(hub, "physician")
    id_ = await subscribe(physician, "Patient", endpoint=receiver.url)
    async with database.transaction() as tx:
        await hub.access.revoke_client(tx, physician.client_id)
    await hub.write.create(admin, PATIENT)
    await _told(hub, receiver, 0)
    resource = await shown(admin, id_)
    assert resource["status"] == "off"
    assert "client" in resource["error"]


async def test_a_type_that_the_roles_do_not_open_is_never_told(
    hub, admin, client_of, subscribe, receiver, shown, database
):
    physician = await client_of(hub, "physician")
    id_ = await subscribe(physician, "Patient", endpoint=receiver.url)
    async with database.transaction() as tx:
        await tx.execute("UPDATE access_client SET roles = '{billing,physician}'")
        await tx.execute("UPDATE access_client SET roles = '{researcher}' WHERE client_id = $1", physician.client_id)
    await hub.write.create(admin, PATIENT)
    await _told(hub, receiver, 0)
    assert (await shown(admin, id_))["status"] == "off"


async def test_the_payload_holds_only_the_elements_that_the_roles_show(
    hub, admin, database, client_of, subscribe, receiver
):
    client = await client_of(hub, "physician")
    await subscribe(client, "Patient", endpoint=receiver.url, payload="application/fhir+json")
    async with database.transaction() as tx:
        await tx.execute("UPDATE access_client SET roles = '{billing}' WHERE client_id = $1", client.client_id)
    await hub.write.create(admin, PATIENT)
    await _told(hub, receiver, 0)  # TREAT is no purpose of billing


async def test_a_failure_waits_doubles_and_ends_in_error_until_the_client_asks_again(
    make_hub, admin, client_of, clock, subscribe, receiver, shown, hub, database
):
    hub = make_hub(max_attempts=3, backoff_seconds=4.0)
    id_ = await subscribe(admin, "Patient", endpoint=receiver.url)
    receiver.answers = [500]
    await hub.write.create(admin, PATIENT)
    await _told(hub, receiver, 1)
    clock.at += timedelta(seconds=1.9)
    await _told(hub, receiver, 1)
    clock.at += timedelta(seconds=2.2)
    await _told(hub, receiver, 2)
    clock.at += timedelta(seconds=3.9)
    await _told(hub, receiver, 2)
    clock.at += timedelta(seconds=4.2)
    await _told(hub, receiver, 3)
    resource = await shown(admin, id_)
    assert (resource["status"], resource["error"]) == ("error", "the receiver answered HTTP 500")
    await hub.write.create(admin, PATIENT)
    clock.at += timedelta(days=1)
    await _told(hub, receiver, 3)
    async with database.connection() as tx:
        names = [row["data"] for row in await tx.fetch("SELECT data FROM event_log WHERE name LIKE 'subscription.%'")]
    assert [json.loads(one)["status"] for one in names] == ["active", "error"]
    receiver.answers = [200]
    await hub.write.update(admin, {**resource, "status": "requested"})
    await _told(hub, receiver, 5)
    assert (await shown(admin, id_))["status"] == "active"
    assert "error" not in await shown(admin, id_)


async def test_an_attempt_counts_from_nothing_after_a_success(make_hub, admin, clock, subscribe, receiver, shown):
    hub = make_hub(max_attempts=2, backoff_seconds=1.0)
    id_ = await subscribe(admin, "Patient", endpoint=receiver.url)
    for _round in range(3):
        receiver.answers = [500, 200]
        await hub.write.create(admin, PATIENT)
        await hub.notify_subscribers.drain()
        clock.at += timedelta(seconds=5)
        await hub.notify_subscribers.drain()
    assert (await shown(admin, id_))["status"] == "active"
    assert len(receiver.requests) == 6


async def test_a_receiver_that_is_gone_switches_the_subscription_off(hub, admin, subscribe, receiver, shown):
    id_ = await subscribe(admin, "Patient", endpoint=receiver.url)
    receiver.answers = [410]
    await hub.write.create(admin, PATIENT)
    await _told(hub, receiver, 1)
    await hub.write.create(admin, PATIENT)
    await _told(hub, receiver, 1)
    assert (await shown(admin, id_))["status"] == "off"


async def test_a_redirect_is_not_followed_and_counts_as_a_failure(hub, admin, subscribe, receiver, clock):
    await subscribe(admin, "Patient", endpoint=receiver.url, payload="application/fhir+json")
    receiver.answers = [307, 200]
    await hub.write.create(admin, PATIENT)
    assert "/elsewhere" not in {r.path for r in await _told(hub, receiver, 1)}
    clock.at += timedelta(minutes=5)
    await _told(hub, receiver, 2)


@pytest.mark.shows("subscriptions.timeout_seconds")
async def test_a_slow_receiver_is_given_up_after_the_timeout_and_told_again(
    make_hub, admin, subscribe, receiver, clock
):
    hub = make_hub(timeout_seconds=0.2)
    await subscribe(admin, "Patient", endpoint=receiver.url)
    receiver.delay_seconds = 0.6
    await hub.write.create(admin, PATIENT)
    await _told(hub, receiver, 1)
    receiver.delay_seconds = 0
    clock.at += timedelta(minutes=5)
    await _told(hub, receiver, 2)


async def test_a_receiver_that_is_down_misses_nothing(hub, admin, subscribe, receiver, clock):
    url = receiver.url
    await subscribe(admin, "Patient", endpoint=url, payload="application/fhir+json")
    # Nobody listens on this port of this machine.
    hub.notify_subscribers._hooks._pool  # noqa: B018
    original = hub.notify_subscribers._hooks.send

    async def to_nobody(method, _url, *rest):
        return await original(method, "http://127.0.0.1:9/x", *rest)

    hub.notify_subscribers._hooks.send = to_nobody
    first = await hub.write.create(admin, PATIENT)
    await _told(hub, receiver, 0)
    second = await hub.write.create(admin, PATIENT)
    hub.notify_subscribers._hooks.send = original
    clock.at += timedelta(minutes=5)
    assert [r.json["id"] for r in await _told(hub, receiver, 2)] == [first.id, second.id]


async def test_a_process_that_dies_after_sending_leaves_the_event_to_be_told_again(
    hub, make_hub, admin, subscribe, receiver, clock
):
    await subscribe(admin, "Patient", endpoint=receiver.url, payload="application/fhir+json")
    stored = await hub.write.create(admin, PATIENT)
    await hub.notify_subscribers.queue()
    turn = await hub.notify_subscribers.claim()
    assert turn is not None  # … and here the process is killed
    other = make_hub()
    await _told(other, receiver, 0)
    clock.at += timedelta(seconds=10)
    (request,) = await _told(other, receiver, 1)
    assert request.json["id"] == stored.id


@pytest.mark.shows("subscriptions.max_waiting")
async def test_more_waiting_changes_than_allowed_switch_the_subscription_off(
    make_hub, admin, subscribe, receiver, shown
):
    hub = make_hub(max_waiting=3, max_attempts=1)
    id_ = await subscribe(admin, "Patient", endpoint=receiver.url)
    receiver.answers = [500]
    await hub.write.create(admin, PATIENT)
    await hub.notify_subscribers.drain()
    assert (await shown(admin, id_))["status"] == "error"
    for _ in range(4):
        await hub.write.create(admin, PATIENT)
    await hub.notify_subscribers.drain()
    resource = await shown(admin, id_)
    assert resource["status"] == "off"
    assert "more than 3" in resource["error"]


async def test_a_subscription_ends_at_its_end(hub, admin, subscribe, receiver, shown, clock):
    stored = await hub.write.create(
        admin,
        {
            "resourceType": "Subscription",
            "status": "requested",
            "reason": "test",
            "criteria": "Patient",
            "end": (clock.at + timedelta(hours=1)).isoformat(timespec="seconds"),
            "channel": {"type": "rest-hook", "endpoint": receiver.url},
        },
    )
    await hub.notify_subscribers.drain()
    clock.at += timedelta(hours=2)
    await hub.write.create(admin, PATIENT)
    await _told(hub, receiver, 0)
    assert (await shown(admin, stored.id))["status"] == "off"


async def test_a_deleted_subscription_is_told_nothing(hub, admin, subscribe, receiver):
    id_ = await subscribe(admin, "Patient", endpoint=receiver.url)
    await hub.write.create(admin, PATIENT)
    await hub.write.delete(admin, "Subscription", id_)
    await _told(hub, receiver, 0)


async def test_what_is_not_understood_is_an_error_that_says_why(hub, admin, subscribe, shown):
    id_ = await subscribe(admin, "Observation?patient.name=x", endpoint="https://example.org")
    resource = await shown(admin, id_)
    assert resource["status"] == "error"
    assert "no chains" in resource["error"]


@pytest.mark.shows("subscriptions.allowed_hosts")
async def test_a_receiver_inside_the_network_is_not_connected_to_unless_the_operator_named_it(
    make_hub, admin, subscribe, shown
):
    hub = make_hub(allowed_hosts=[], max_attempts=1)
    id_ = await subscribe(admin, "Patient", endpoint="https://169.254.169.254/latest")
    await hub.write.create(admin, PATIENT)
    await hub.notify_subscribers.drain()
    resource = await shown(admin, id_)
    assert resource["status"] == "error"
    assert "lies inside" in resource["error"]


async def test_secrets_and_criteria_are_not_readable_in_the_database(hub, admin, subscribe, receiver, database):
    await subscribe(
        admin, "Patient?family=Quennell", endpoint=f"{receiver.url}/path-word", header=["X-Key: s3cr3t-w0rd"]
    )
    async with database.connection() as tx:
        tables = [r["tablename"] for r in await tx.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        texts = [str(r[0]) for t in tables for r in await tx.fetch(f'SELECT x::text FROM "{t}" x')]
    for word in ("s3cr3t-w0rd", "Quennell", "path-word"):
        assert not [text for text in texts if word.lower() in text.lower()]


@pytest.mark.shows("subscriptions.token_days")
async def test_a_subscription_of_a_signed_token_ends_after_the_days_of_the_setting(
    make_hub, database, receiver, shown, admin, clock
):
    hub = make_hub(token_days=2)
    from healthsync.domains.access import Requester

    doctor = Requester("ehr", ("physician",), "TREAT", user="dr-1")
    resource = {"resourceType": "Subscription", "status": "requested", "reason": "x", "criteria": "Patient",
                "channel": {"type": "rest-hook", "endpoint": receiver.url}}  # fmt: skip
    stored = await hub.write.create(doctor, resource)
    await hub.notify_subscribers.drain()
    await hub.write.create(admin, PATIENT)
    await _told(hub, receiver, 1)
    clock.at += timedelta(days=3)
    await hub.write.create(admin, PATIENT)
    await _told(hub, receiver, 1)
    assert (await shown(admin, stored.id))["status"] == "off"


async def test_a_change_inside_a_transaction_and_by_a_message_is_told_too(hub, admin, subscribe, receiver, observation):
    await subscribe(admin, "Observation", endpoint=receiver.url)
    patient = await hub.write.create(admin, PATIENT)
    entries = [
        {"resource": observation(patient.id, code), "request": {"method": "POST", "url": "Observation"}}
        for code in ("718-7", "2345-7")
    ]
    await hub.process_bundle(admin, {"resourceType": "Bundle", "type": "transaction", "entry": entries})
    await _told(hub, receiver, 2)


async def test_headers_are_shown_to_their_writer_alone_and_nobody_else_can_point_them_elsewhere(
    hub, admin, client_of, subscribe, receiver, shown
):
    writer, other = await client_of(hub, "physician"), await client_of(hub, "admin")
    id_ = await subscribe(writer, "Patient", endpoint=receiver.url, header=["X-Key: s3cr3t"])
    assert (await shown(writer, id_))["channel"]["header"] == ["X-Key: s3cr3t"]
    seen = await shown(other, id_)
    assert "header" not in seen["channel"]
    with pytest.raises(Refused):
        await hub.write.update(other, {**seen, "status": "requested"})
    await hub.write.update(writer, {**await shown(writer, id_), "status": "off"})
    with pytest.raises(Refused):
        await hub.write.update(other, {**seen, "status": "requested"})
    await hub.write.delete(other, "Subscription", id_)
