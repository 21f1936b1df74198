"""Access, consent and audit on every surface that carries patient data."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.consents import opt_out

from healthsync.exchange.surfaces import SURFACES, Gate

PATIENT_SURFACES = [s for s in SURFACES if s.channel == "http" and s.carries_patient_data]


async def _known(admin, patient) -> str:
    return (await admin.post("/fhir/Patient", json=patient)).json()["id"]


async def _refuse_consent(admin, patient_id: str, **provision) -> str:
    consent = opt_out(patient_id, **provision)
    answer = await admin.post("/fhir/Consent", json=consent)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def _request_for(surface, id_: str) -> tuple[str, str, dict]:
    kind = "Observation" if "{compartment}" in surface.path else "Patient"
    path = surface.path.format(
        type=kind,
        compartment="Patient",
        id=id_,
        version="1",
        collection="patients",
        file="1",
        application="lab",
        topic="results",
    )
    body = {"resourceType": "Patient", "id": id_, "active": True}
    if surface.name.endswith("_where"):
        path += "?identifier=MRN-000111"
    if surface.name.startswith("fhir.graphql"):
        query = "{name{family}}" if "instance" in surface.name else "{PatientList{name{family}}}"
        path += f"?query={query}" if surface.method == "GET" else ""
        body = {"query": query}
    if surface.name.startswith("fhir.patch"):
        parts = [{"name": "type", "valueCode": "delete"}, {"name": "path", "valueString": "Patient.gender"}]
        body = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}
    if surface.name == "fhir.everything_post":
        body = {"resourceType": "Parameters", "parameter": [{"name": "_count", "valueInteger": 1}]}
    if surface.name in ("fhir.meta_add", "fhir.meta_delete"):
        meta = {"tag": [{"system": "urn:x", "code": "y"}]}
        body = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": meta}]}
    if surface.name in ("fhir.docref", "fhir.lastn"):
        path += f"?patient={id_}" + ("&category=laboratory" if surface.name == "fhir.lastn" else "")
    if surface.name in ("fhir.docref.post", "fhir.lastn.post"):
        asked = [{"name": "patient", "valueId": id_}, {"name": "category", "valueCode": "laboratory"}]
        body = {"resourceType": "Parameters", "parameter": asked[: 2 if "lastn" in surface.name else 1]}
    if surface.name == "fhir.find_list":
        path += f"?patient={id_}&name=current-problems"
    if surface.name == "fhir.find_list.post":
        asked = [{"name": "patient", "valueId": id_}, {"name": "name", "valueCode": "current-problems"}]
        body = {"resourceType": "Parameters", "parameter": asked}
    if surface.name == "fhir.graph":
        path += "?graph=urn:graph"
    if surface.name == "fhir.graph.post":
        body = {"resourceType": "Parameters", "parameter": [{"name": "graph", "valueUri": "urn:graph"}]}
    if surface.name == "fhir.ihe_pix":
        path += "?sourceIdentifier=urn:oid:1.2.3|MRN-000111"
    if surface.name == "fhir.ihe_pix.post":
        asked = {"name": "sourceIdentifier", "valueString": "urn:oid:1.2.3|MRN-000111"}
        body = {"resourceType": "Parameters", "parameter": [asked]}
    if surface.name in ("fhir.match", "fhir.idi_match"):
        told = {
            "birthDate": "1980-01-01",
            "name": [{"family": "Holm", "given": ["Signe"]}],
            "telecom": [{"system": "phone", "value": "5550101"}],
        }
        body = {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": body | told}]}
    if surface.name.startswith("fhir.export") or surface.name == "fhir.document.post":
        body = {"resourceType": "Parameters"}
    if surface.name == "fhir.merge":
        named = [
            {"name": f"{n}-patient", "valueReference": {"reference": f"Patient/{id_}"}} for n in ("source", "target")
        ]
        body = {"resourceType": "Parameters", "parameter": named}
    if surface.name == "fhir.import":
        body = {"input": [{"url": "a.ndjson"}]}
    if surface.name == "healthsync.messages_replay":
        body = {"source": "mercy"}
    if surface.name == "healthsync.message_copy":
        path, body = path.replace(id_, "1"), {"content": "MSH|^~\\&|A|B|C|D|2026||ADT^A01|1|P|2.5.1\r", "reason": "t-1"}
    if surface.name == "fhir.bundle":
        body = {
            "resourceType": "Bundle",
            "type": "batch",
            "entry": [{"request": {"method": "GET", "url": f"Patient/{id_}"}}],
        }
    if surface.name.startswith(("applications.", "streams.", "alerts.", "audit.")):
        body = {"instance": "1", "results": [], "payload": {}, "type": "critical_lab", "action": "sync"}
    if surface.name == "integrations.hl7_parse":
        body = {"message": "MSH|^~\\&|A|B|C|D|2024||ADT^A04|1|P|2.5.1\rPID|1||MRN-000111||Quennell"}
    return surface.method, path, body


def test_every_route_is_registered_with_its_gate(application):
    served = {route.surface.name for route in application.router.routes}
    assert served == {surface.name for surface in SURFACES if surface.channel == "http"}
    for surface in SURFACES:
        assert surface.gate is not Gate.NONE or surface.because, f"{surface.name} says not why it needs no gate"


@pytest.mark.parametrize("surface", PATIENT_SURFACES, ids=lambda s: s.name)
async def test_a_stranger_gets_401_on_every_surface_with_patient_data(surface, client_as, admin, patient):
    id_ = await _known(admin, patient)
    stranger = await client_as()
    method, path, body = _request_for(surface, id_)
    answer = await stranger.request(method, path, json=body)
    assert answer.status_code == 401
    assert "quennell" not in answer.text.lower()


@pytest.mark.parametrize("surface", PATIENT_SURFACES, ids=lambda s: s.name)
async def test_with_the_audit_log_unwritable_every_surface_answers_503_and_no_byte_of_phi(
    surface, admin, patient, database
):
    id_ = await _known(admin, patient)
    async with database.transaction() as tx:
        await tx.execute("ALTER TABLE audit_event RENAME TO audit_event_away")
    method, path, body = _request_for(surface, id_)
    if surface.path.endswith("/_search"):
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        content = (
            "_id=x"
            if "Observation" in path
            else "_type=Patient&_id=x"
            if path == "/fhir/_search"
            else "family=quennell"
        )
        answer = await admin.request(method, path, content=content, headers=form)
    else:
        answer = await admin.request(method, path, json=body, headers={"Prefer": "respond-async"})
    assert "quennell" not in answer.text.lower()
    assert "MRN-000111" not in answer.text
    if surface.name == "fhir.bundle":
        assert answer.json()["entry"][0]["response"]["status"].startswith("503")
    else:
        assert answer.status_code == 503, answer.text


async def test_every_answer_and_every_refusal_has_its_audit_row(admin, client_as, patient, hub, database):
    id_ = await _known(admin, patient)
    nurse = await client_as("nurse")
    stranger = await client_as()
    await admin.get(f"/fhir/Patient/{id_}")
    await admin.get("/fhir/Patient?family=quennell")
    await admin.get("/fhir/Patient/unknown-one")
    await nurse.get("/fhir/Coverage/c1")
    await stranger.get(f"/fhir/Patient/{id_}")
    async with database.connection() as tx:
        rows = await hub.audit.search(tx)
    seen = [(row.entry["interaction"], row.entry["outcome"], row.entry.get("reason")) for row in rows]
    for expected in [
        ("create", "0", None),
        ("read", "0", None),
        ("search-type", "0", None),
        ("read", "4", "unknown"),
        ("read", "4", "role"),
        ("authenticate", "4", "credential"),
    ]:
        assert expected in seen, seen
    assert not any("quennell" in str(row.entry).lower() for row in rows)


@pytest.mark.shows("consent.policy")
async def test_an_opt_out_hides_the_patient_and_his_data_everywhere(admin, client_as, patient, observation):
    id_ = await _known(admin, patient)
    observed = (await admin.post("/fhir/Observation", json=observation(id_))).json()["id"]
    await _refuse_consent(admin, id_)
    physician = await client_as("physician")
    for path in (
        f"/fhir/Patient/{id_}",
        f"/fhir/Patient/{id_}/_history",
        f"/fhir/Patient/{id_}/_history/1",
        f"/fhir/Observation/{observed}",
        f"/fhir/Patient/{id_}/$everything",
        f"/api/v1/healthsync/patients/pat_{id_}",
    ):
        assert (await physician.get(path)).status_code == 404, path
    for query in ("Patient?family=quennell", f"Observation?patient={id_}", "Patient?_summary=count", "Observation?"):
        answer = (await physician.get(f"/fhir/{query}")).json()
        assert (answer["total"], answer.get("entry", [])) == (0, [])


async def test_revoked_consent_hides_the_resource_from_search_totals_and_withdrawal_brings_it_back(
    admin, client_as, patient
):
    id_ = await _known(admin, patient)
    physician = await client_as("physician")
    assert (await physician.get("/fhir/Patient?_summary=count")).json()["total"] == 1
    consent = await _refuse_consent(admin, id_)
    assert (await physician.get("/fhir/Patient?_summary=count")).json()["total"] == 0
    await admin.delete(f"/fhir/Consent/{consent}")
    assert (await physician.get("/fhir/Patient?_summary=count")).json()["total"] == 1


async def test_a_denial_for_one_purpose_leaves_the_others(admin, client_as, patient):
    id_ = await _known(admin, patient)
    purpose = [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HPAYMT"}]
    await _refuse_consent(admin, id_, purpose=purpose)
    physician, billing = await client_as("physician"), await client_as("billing")
    assert (await physician.get(f"/fhir/Patient/{id_}")).status_code == 200
    assert (await billing.get(f"/fhir/Patient/{id_}")).status_code == 404


async def test_a_consent_that_is_not_understood_denies(admin, client_as, patient):
    id_ = await _known(admin, patient)
    await _refuse_consent(admin, id_, type="permit", dataPeriod={"start": "2020"})
    assert (await (await client_as("physician")).get(f"/fhir/Patient/{id_}")).status_code == 404


async def test_consent_given_at_one_facility_protects_the_person_at_the_other(admin, client_as, patient):
    one = await _known(admin, patient)
    await _refuse_consent(admin, one)
    other = await _known(admin, {**patient, "identifier": [{"system": "urn:oid:4.5.6", "value": "X-9"}]})
    assert (await (await client_as("physician")).get(f"/fhir/Patient/{other}")).status_code == 404


async def test_the_roles_limit_types_and_interactions(client_as, admin, patient):
    id_ = await _known(admin, patient)
    researcher, nurse, physician = [await client_as(role) for role in ("researcher", "nurse", "physician")]
    assert (await researcher.get(f"/fhir/Patient/{id_}")).status_code == 403
    assert (await researcher.get("/fhir/Patient?family=quennell")).status_code == 403
    assert (await nurse.get(f"/fhir/Patient/{id_}")).status_code == 200
    assert (await nurse.put(f"/fhir/Patient/{id_}", json={**patient, "id": id_})).status_code == 403
    assert (await physician.delete(f"/fhir/Patient/{id_}")).status_code == 403


async def test_billing_sees_of_a_patient_only_what_billing_needs(client_as, admin, patient):
    id_ = await _known(admin, patient)
    seen = (await (await client_as("billing")).get(f"/fhir/Patient/{id_}")).json()
    assert set(seen) == {"resourceType", "id", "meta", "identifier", "name"}
    assert seen["meta"]["tag"][0]["code"] == "SUBSETTED"


@pytest.mark.parametrize(
    ("purpose", "status"),
    [
        ("treatment", 200),
        ("TREAT", 200),
        (None, 200),
        ("research", 403),
        ("HPAYMT", 403),
        ("curiosity", 400),
        ("PATRQT", 400),
    ],
)
async def test_the_purpose_of_use_must_be_known_and_open_to_the_role(client_as, admin, patient, purpose, status):
    id_ = await _known(admin, patient)
    physician = await client_as("physician")
    headers = {"X-Purpose": purpose} if purpose else {}
    assert (await physician.get(f"/fhir/Patient/{id_}", headers=headers)).status_code == status


async def test_a_revoked_key_opens_nothing(hub, client_as, admin, patient):
    id_ = await _known(admin, patient)
    physician = await client_as("physician")
    assert (await physician.get(f"/fhir/Patient/{id_}")).status_code == 200
    async with hub.database.transaction() as tx:
        for client in await hub.access.clients(tx):
            if "physician" in client.roles:
                await hub.access.revoke_client(tx, client.client_id)
    assert (await physician.get(f"/fhir/Patient/{id_}")).status_code == 401


async def test_concurrent_reads_are_each_recorded(admin, patient, hub, database):
    id_ = await _known(admin, patient)
    answers = await asyncio.gather(*(admin.get(f"/fhir/Patient/{id_}") for _ in range(40)))
    assert {answer.status_code for answer in answers} == {200}
    async with database.connection() as tx:
        rows = await hub.audit.search(tx, count=500)
    assert sum(row.entry["interaction"] == "read" for row in rows) == 40


async def test_an_auditor_sees_who_looked_and_his_look_is_recorded_too(admin, client_as, patient):
    id_ = await _known(admin, patient)
    physician = await client_as("physician")
    await physician.get(f"/fhir/Patient/{id_}")
    found = (await admin.get(f"/fhir/AuditEvent?patient={id_}&date=ge2020-01-01")).json()
    codes = [entry["resource"]["subtype"][0]["code"] for entry in found["entry"]]
    assert codes == ["read", "create"]
    again = (await admin.get("/fhir/AuditEvent?_count=1")).json()
    assert again["entry"][0]["resource"]["subtype"][0]["code"] == "search-type"
    following = next(link["url"] for link in again["link"] if link["relation"] == "next")
    assert (await admin.get(following)).json()["entry"][0]["resource"]["id"] != again["entry"][0]["resource"]["id"]


async def test_an_event_of_the_audit_log_is_read_at_its_full_url_and_that_is_recorded(admin, client_as, patient):
    await _known(admin, patient)
    (found,) = (await admin.get("/fhir/AuditEvent?_count=1")).json()["entry"]
    answer = await admin.get(found["fullUrl"])
    assert (answer.status_code, answer.json(), answer.headers["ETag"]) == (200, found["resource"], 'W/"1"')
    assert (await admin.get(found["fullUrl"], headers={"If-None-Match": 'W/"1"'})).status_code == 304
    (looked,) = (await admin.get("/fhir/AuditEvent?_count=1")).json()["entry"]
    assert looked["resource"]["subtype"][0]["code"] == "read"
    assert looked["resource"]["entity"][0]["what"]["reference"] == f"AuditEvent/{found['resource']['id']}"
    for nobody in ("0", "x", "9" * 17, "9" * 40):
        assert (await admin.get(f"/fhir/AuditEvent/{nobody}")).status_code == 404
        (looked,) = (await admin.get("/fhir/AuditEvent?_count=1")).json()["entry"]  # to look in vain is to look too
        assert looked["resource"]["entity"][0]["what"]["reference"] == f"AuditEvent/{nobody}"
        assert looked["resource"]["outcome"] != "0"
    assert (await (await client_as("physician")).get(found["fullUrl"])).status_code == 403


@pytest.mark.parametrize(("role", "path", "status"), [
    ("physician", "AuditEvent", 403), ("admin", "AuditEvent?agent=x", 400), ("admin", "AuditEvent?patient=a,b", 400),
    ("admin", "AuditEvent?_count=0", 200), ("admin", "AuditEvent?patient=x&date=lt2020&_summary=count", 200),
])  # fmt: skip
async def test_the_audit_log_is_for_auditors_and_searched_by_patient_and_date(client_as, role, path, status):
    assert (await (await client_as(role)).get(f"/fhir/{path}")).status_code == status


async def test_an_audit_event_or_person_cannot_be_written(admin):
    for resource_type in ("AuditEvent", "Person"):
        assert (await admin.post(f"/fhir/{resource_type}", json={"resourceType": resource_type})).status_code == 405


async def test_a_person_is_shown_as_the_projection_of_his_source_patients(admin, client_as, hub, database, patient):
    one = await _known(admin, patient)
    other = await _known(admin, {**patient, "identifier": [{"system": "urn:oid:4.5.6", "value": "X-9"}]})
    async with database.connection() as tx:
        key = await tx.fetchval("SELECT pid FROM resource WHERE id = $1", one)
        enterprise = (await hub.identity.enterprise_ids(tx, [key]))[key]
    person = (await admin.get(f"/fhir/Person/{enterprise}")).json()
    assert {link["target"]["reference"] for link in person["link"]} == {f"Patient/{one}", f"Patient/{other}"}
    assert {i["value"] for i in person["identifier"]} == {"MRN-000111", "X-9"}
    await _refuse_consent(admin, one)
    assert (await (await client_as("physician")).get(f"/fhir/Person/{enterprise}")).status_code == 404
    assert (await admin.get("/fhir/Person/nobody")).status_code == 404


@pytest.mark.shows("fhir.capabilities", "fhir.supported_resources", "fhir.base_url")
async def test_the_configuration_restricts_what_clients_may_use(database, tmp_path, client_as, hub):
    import httpx

    from healthsync.bootstrap import build_hub
    from healthsync.entrypoints.web.application import Application
    from healthsync.infrastructure.clock import SystemClock
    from healthsync.settings import load_settings

    file = tmp_path / "healthsync.yaml"
    file.write_text(
        "healthsync: {fhir: {base_url: 'https://fhir.example.org/api', capabilities: [read, search],"
        " supported_resources: [Patient]}}"
    )
    limited = build_hub(load_settings(file, environ={}), hub.keyring, database, SystemClock())

    async def ready() -> dict:
        return {}

    _, key = await limited.register_client("x", ["admin"])
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/fhir+json"}
    transport = httpx.ASGITransport(app=Application(limited, ready))
    async with httpx.AsyncClient(transport=transport, base_url="http://hub", headers=headers) as client:
        statement = (await client.get("/api/metadata")).json()
        assert [(r["type"], [i["code"] for i in r["interaction"]]) for r in statement["rest"][0]["resource"]] == [
            ("Patient", ["read", "search-type"])
        ]
        assert (
            (await client.get("/api/Patient"))
            .json()["link"][0]["url"]
            .startswith("https://fhir.example.org/api/Patient")
        )
        assert (await client.post("/fhir/Patient", json={"resourceType": "Patient"})).status_code == 405
        assert (await client.get("/fhir/Observation/x")).status_code == 404
    await limited.close()


@pytest.mark.parametrize("path", ["/fhir/Patient/{}", "/fhir/Patient/{}/_history", "/fhir/Patient/{}/_history/1", "/fhir/Patient/{}/$everything",
                                  "/fhir/Person/{}", "/fhir/Patient/{}/$golden", "/api/v1/healthsync/patients/{}"])  # fmt: skip
async def test_an_id_that_nobody_has_is_recorded_sealed_because_it_may_be_a_record_number(path, hub, admin):
    assert (await admin.get(path.format("MRN-000111"))).status_code == 404
    async with hub.database.connection() as tx:
        entry = await tx.fetchval("SELECT entry::text FROM audit_event ORDER BY position DESC LIMIT 1")
    assert "MRN-000111" not in entry
    assert "MRN-000111" in hub.audit.open_query(json.loads(entry))


@pytest.mark.shows("authentication.jwt.issuer", "authentication.jwt.audience", "authentication.jwt.jwks_path")
async def test_a_signed_token_of_the_configured_issuer_opens_the_door(database, tmp_path, hub, patient):
    import json as plain_json
    import time

    import httpx
    from joserfc import jwt
    from joserfc.jwk import ECKey, KeySet

    from healthsync.bootstrap import build_hub
    from healthsync.entrypoints.web.application import Application
    from healthsync.infrastructure.clock import SystemClock
    from healthsync.settings import load_settings

    key = ECKey.generate_key("P-384", {"kid": "k"})
    (tmp_path / "jwks.json").write_text(plain_json.dumps(KeySet([key]).as_dict(private=False)))
    file = tmp_path / "healthsync.yaml"
    file.write_text("healthsync: {authentication: {jwt: {issuer: idp, audience: hub, jwks_path: jwks.json}}}")
    trusting = build_hub(load_settings(file, environ={}), hub.keyring, database, SystemClock())

    def headers(**claims) -> dict:
        body = {"iss": "idp", "aud": "hub", "sub": "dr-1", "roles": ["physician"], "exp": time.time() + 60} | claims
        token = jwt.encode({"alg": "ES384", "kid": "k"}, body, key, algorithms=["ES384"])
        return {"Authorization": f"Bearer {token}", "Content-Type": "application/fhir+json"}

    async def ready() -> dict:
        return {}

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=Application(trusting, ready)), base_url="http://hub"
    ) as client:
        created = await client.post("/fhir/Patient", json=patient, headers=headers())
        path = f"/fhir/Patient/{created.json()['id']}"
        assert (await client.get(path, headers=headers())).status_code == 200
        assert (await client.get(path, headers=headers(scope="user/Observation.rs"))).status_code == 403
        assert (await client.get(path, headers=headers(aud="other"))).status_code == 401
    async with database.connection() as tx:
        rows = await hub.audit.search(tx, agent="dr-1")
    assert rows
    await trusting.close()
