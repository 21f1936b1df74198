"""Reference integrity through the gate: writes, transactions, deletes, and messages that arrive out of order."""

from __future__ import annotations

import asyncio

import pytest
import yaml

from healthsync.bootstrap import build_hub
from healthsync.domains.audit import Action
from healthsync.errors import Conflict, InvalidInput
from healthsync.exchange.authenticate import Requester
from healthsync.exchange.ingest import Incoming, InvalidResource, Submission, submission_audit
from healthsync.infrastructure.clock import SystemClock
from healthsync.settings import load_settings

ADMIN = Requester("tester", ("admin",), "TREAT")
LOINC = {"coding": [{"system": "http://loinc.org", "code": "718-7"}]}


@pytest.fixture
async def hub_with(hub, database, tmp_path):
    """A hub whose fhir.reference_integrity is as asked."""
    opened = []

    def make(mode: str | None, **by_type: str):
        fhir = {"reference_integrity": mode} if mode else {}
        if by_type:
            fhir["reference_integrity_by_type"] = by_type
        file = tmp_path / "healthsync.yaml"
        file.write_text(yaml.safe_dump({"healthsync": {"fhir": fhir}}))
        overrides = {"audit.heads_path": str(tmp_path / "heads"), "development": True}
        opened.append(
            build_hub(load_settings(file, environ={}, overrides=overrides), hub.keyring, database, SystemClock())
        )
        return opened[-1]

    yield make
    for one in opened:
        await one.close()


def observation(**elements) -> dict:
    return {"resourceType": "Observation", "status": "final", "code": LOINC, **elements}


def transaction(*resources: dict) -> dict:
    entries = [
        {"resource": r, "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}} for r in resources
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


async def stored(hub, reference: str) -> dict | None:
    from healthsync.standards.fhir import json

    found = await hub.disclose.read(ADMIN, *reference.split("/"))
    return json.parse(found.text.encode()) if hasattr(found, "text") else None


@pytest.mark.shows("fhir.reference_integrity")
async def test_enforce_refuses_a_dangling_reference_and_stores_nothing(hub_with):
    hub = hub_with("enforce")
    with pytest.raises(InvalidResource) as refused:
        await hub.write.create(ADMIN, observation(performer=[{"reference": "Practitioner/nobody"}]))
    assert (refused.value.code, refused.value.expression) == ("business-rule", "Observation.performer[0]")
    resource = {**observation(performer=[{"reference": "Practitioner/nobody"}]), "id": "o1"}
    with pytest.raises(InvalidResource):
        await hub.write.update(ADMIN, resource)
    assert await stored(hub, "Observation/o1") is None
    await hub.write.update(ADMIN, {"resourceType": "Practitioner", "id": "nobody"})
    assert (await hub.write.update(ADMIN, resource)).outcome == "created"


async def test_enforce_refuses_a_patient_who_was_deleted(hub_with):
    hub = hub_with("enforce")
    await hub.write.update(ADMIN, {"resourceType": "Patient", "id": "p1"})
    await hub.write.delete(ADMIN, "Patient", "p1")
    with pytest.raises(InvalidResource) as refused:
        await hub.write.create(ADMIN, observation(subject={"reference": "Patient/p1"}))
    assert refused.value.expression == "Observation.subject"


async def test_a_circle_in_one_transaction_is_stored_and_a_hole_in_it_undoes_all(hub_with):
    hub = hub_with("enforce")
    one = {"resourceType": "Organization", "id": "a", "name": "A", "partOf": {"reference": "Organization/b"}}
    other = {"resourceType": "Organization", "id": "b", "name": "B", "partOf": {"reference": "Organization/a"}}
    await hub.process_bundle(ADMIN, transaction(one, other))
    assert (await stored(hub, "Organization/b"))["partOf"] == {"reference": "Organization/a"}
    hole = {**other, "id": "c", "partOf": {"reference": "Organization/nowhere"}}
    with pytest.raises(InvalidResource):
        await hub.process_bundle(
            ADMIN, transaction({**one, "id": "d", "partOf": {"reference": "Organization/c"}}, hole)
        )
    assert await stored(hub, "Organization/d") is None


async def test_by_default_a_dangling_reference_is_stored_with_a_warning(hub_with):
    hub = hub_with(None)
    done = await hub.write.create(ADMIN, observation(encounter={"reference": "Encounter/later"}))
    assert done.outcome == "created"
    assert [(i.severity, i.code, i.expression) for i in done.warnings] == [
        ("warning", "not-found", "Observation.encounter")
    ]
    answer = await hub.process_bundle(
        ADMIN, transaction({**observation(encounter={"reference": "Encounter/later"}), "id": "o2"})
    )
    [issue] = answer["entry"][0]["response"]["outcome"]["issue"]
    assert (issue["severity"], issue["expression"]) == ("warning", ["Observation.encounter"])


async def test_by_default_a_patient_who_is_missing_gets_a_placeholder_and_the_writer_a_warning(hub_with):
    hub = hub_with(None)
    done = await hub.write.create(ADMIN, observation(subject={"reference": "Patient/later"}))
    assert [(i.severity, i.code, i.expression) for i in done.warnings] == [
        ("warning", "not-found", "Observation.subject")
    ]
    assert (await stored(hub, "Patient/later"))["meta"]["tag"][0]["code"] == "placeholder"
    await hub.write.update(ADMIN, {"resourceType": "Patient", "id": "later", "gender": "male"})
    assert "tag" not in (await stored(hub, "Patient/later"))["meta"]


async def test_many_at_once_about_a_patient_who_is_missing_are_all_stored(hub_with):
    hub = hub_with(None)
    about = observation(subject={"reference": "Patient/later"})
    done = await asyncio.gather(*(hub.write.create(ADMIN, about) for _ in range(8)))
    assert [each.outcome for each in done] == ["created"] * 8


async def test_off_needs_a_patient_all_the_same(hub_with):
    hub = hub_with("off")
    with pytest.raises(InvalidInput) as refused:
        await hub.write.create(ADMIN, observation(subject={"reference": "Patient/later"}))
    assert refused.value.code == "not-found"


async def test_what_dangles_is_counted(hub_with):
    from healthsync.infrastructure.telemetry import metrics

    def counted() -> float:
        lines = metrics.render([]).decode().splitlines()
        values = [line.split()[-1] for line in lines if line.startswith("healthsync_references_dangling_total{")]
        return sum(map(float, values))

    hub, before = hub_with("warn"), counted()
    await hub.write.create(
        ADMIN, observation(encounter={"reference": "Encounter/a"}, focus=[{"reference": "Device/b"}])
    )
    assert counted() - before == 2


async def test_placeholders_stand_in_until_the_real_one_arrives(hub_with):
    hub = hub_with("placeholder")
    resource = {**observation(), "id": "o1", "subject": {"reference": "Patient/p9"}}
    resource["performer"] = [{"reference": "Organization/lab"}]
    answer = await hub.process_bundle(ADMIN, transaction(resource))
    assert len(answer["entry"]) == 1
    for reference in ("Patient/p9", "Organization/lab"):
        assert (await stored(hub, reference))["meta"]["tag"][0]["code"] == "placeholder"
    done = await hub.write.update(ADMIN, {"resourceType": "Patient", "id": "p9", "gender": "female"})
    assert (done.outcome, done.version) == ("updated", 2)
    assert "tag" not in (await stored(hub, "Patient/p9"))["meta"]


async def test_a_placeholder_is_recorded_in_the_audit_log(hub_with, database):
    hub = hub_with("placeholder")
    await hub.write.create(ADMIN, observation(performer=[{"reference": "Practitioner/new"}]))
    async with database.connection() as tx:
        rows = await hub.audit.search(tx)
    assert any("Practitioner/new" in str(row.entry) for row in rows)


async def test_off_stores_without_a_word(hub_with):
    done = await hub_with("off").write.create(ADMIN, observation(encounter={"reference": "Encounter/later"}))
    assert done.warnings == ()


async def test_what_partners_send_in_is_not_refused_under_enforce(hub_with):
    hub = hub_with("enforce")
    resource = {**observation(encounter={"reference": "Encounter/comes-later"}), "id": "m1"}
    audit = submission_audit(Action.EXECUTE, "message")
    async with hub.database.transaction() as tx:
        result = await hub.ingest(tx, Submission("partner", [Incoming(resource, "update")], audit))
    assert result.stored[0].outcome == "created"


@pytest.mark.parametrize("mode", ["enforce", "warn", "placeholder", "off"])
async def test_a_reference_to_nothing_inside_is_refused_under_every_policy(hub_with, mode):
    with pytest.raises(InvalidResource):
        await hub_with(mode).write.create(ADMIN, observation(performer=[{"reference": "#nobody"}]))


async def test_a_logical_reference_is_kept_as_it_is(hub_with):
    hub, someone = hub_with("enforce"), {"type": "Patient", "identifier": {"system": "urn:x", "value": "z"}}
    done = await hub.write.create(ADMIN, observation(subject=someone))
    assert (await stored(hub, f"Observation/{done.id}"))["subject"] == someone


async def test_enforce_keeps_what_others_refer_to_and_tells_types_and_counts_only(hub_with):
    hub = hub_with("enforce")
    await hub.write.update(ADMIN, {"resourceType": "Practitioner", "id": "dr"})
    for name in ("o1", "o2"):
        await hub.write.update(ADMIN, {**observation(performer=[{"reference": "Practitioner/dr"}]), "id": name})
    with pytest.raises(Conflict) as refused:
        await hub.write.delete(ADMIN, "Practitioner", "dr")
    assert "2 Observation" in str(refused.value)
    assert "o1" not in str(refused.value)
    assert await stored(hub, "Practitioner/dr") is not None
    await hub.write.update(ADMIN, {**observation(), "id": "o1"})
    await hub.write.delete(ADMIN, "Observation", "o2")
    await hub.write.delete(ADMIN, "Practitioner", "dr")
    assert await stored(hub, "Practitioner/dr") is None


async def test_what_refers_to_each_other_may_go_in_one_transaction(hub_with):
    hub = hub_with("enforce")
    await hub.write.update(ADMIN, {"resourceType": "Practitioner", "id": "dr"})
    await hub.write.update(ADMIN, {**observation(performer=[{"reference": "Practitioner/dr"}]), "id": "o1"})
    entries = [{"request": {"method": "DELETE", "url": url}} for url in ("Practitioner/dr", "Observation/o1")]
    await hub.process_bundle(ADMIN, {"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert await stored(hub, "Practitioner/dr") is None


@pytest.mark.parametrize("mode", ["warn", "placeholder", "off"])
async def test_other_policies_let_it_go(hub_with, mode):
    hub = hub_with(mode)
    await hub.write.update(ADMIN, {"resourceType": "Practitioner", "id": "dr"})
    await hub.write.update(ADMIN, {**observation(performer=[{"reference": "Practitioner/dr"}]), "id": "o1"})
    await hub.write.delete(ADMIN, "Practitioner", "dr")
    assert await stored(hub, "Practitioner/dr") is None


@pytest.mark.shows("fhir.reference_integrity_by_type")
async def test_the_policy_of_single_types_outranks_the_one_of_all(hub_with):
    hub = hub_with("enforce", Observation="warn")
    done = await hub.write.create(ADMIN, observation(encounter={"reference": "Encounter/later"}))
    assert len(done.warnings) == 1
    with pytest.raises(InvalidResource):
        await hub.write.create(
            ADMIN, {"resourceType": "Patient", "managingOrganization": {"reference": "Organization/x"}}
        )


async def test_a_delete_waits_for_a_reference_that_is_being_written_and_is_refused_then(hub_with):
    hub = hub_with("enforce")
    await hub.write.update(ADMIN, {"resourceType": "Practitioner", "id": "dr"})
    resource = {**observation(performer=[{"reference": "Practitioner/dr"}]), "id": "o1"}
    async with hub.database.transaction() as tx:
        await hub.write.submit(tx, ADMIN, "update", [Incoming(resource, "update")])
        deleting = asyncio.create_task(hub.write.delete(ADMIN, "Practitioner", "dr"))
        done, _ = await asyncio.wait([deleting], timeout=0.3)
        assert not done, "the delete went on before the reference was there"
    with pytest.raises(Conflict):
        await deleting
    assert await stored(hub, "Practitioner/dr") is not None
