"""Patient/$match and Patient/$idi-match: who somebody is, as far as the requester may know."""

from __future__ import annotations

import pytest
from tests.consents import opt_out

from healthsync.domains.identity import SourcePatient
from healthsync.exchange.operations.match import input_weight

GRADE = "http://hl7.org/fhir/StructureDefinition/match-grade"
SSN = {"system": "http://hl7.org/fhir/sid/us-ssn", "value": "412-55-1234"}
SIGNE = {
    "resourceType": "Patient",
    "identifier": [SSN, {"system": "urn:oid:9.9", "value": "S-1", "type": {"coding": [{"code": "MR"}]}}],
    "name": [{"family": "Holmgren", "given": ["Signe"]}],
    "birthDate": "1967-12-13",
    "gender": "female",
    "address": [{"use": "home", "line": ["12 Oak Street"], "city": "Salem", "postalCode": "40501"}],
    "telecom": [{"system": "phone", "value": "859 555 0133"}],
}
MISSPELT = {key: SIGNE[key] for key in ("resourceType", "birthDate", "address", "telecom")} | {
    "name": [{"family": "Holmgreen", "given": ["Signe"]}]
}


async def known(client, patient: dict) -> str:
    answer = await client.post("/fhir/Patient", json=patient)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def match(client, patient: dict | None, operation: str = "$match", **more):
    values = {"onlyCertainMatches": "valueBoolean", "count": "valueInteger"}
    parameters = [{"name": name, values[name]: value} for name, value in more.items()]
    parameters += [{"name": "resource", "resource": patient}] if patient else []
    return await client.post(f"/fhir/Patient/{operation}", json={"resourceType": "Parameters", "parameter": parameters})


def graded(answer) -> list[tuple[str, str]]:
    """(id, grade) of each entry."""
    assert answer.status_code == 200, answer.text
    entries = answer.json().get("entry", [])
    scores = [entry["search"]["score"] for entry in entries]
    assert all(0 <= score <= 1 for score in scores)
    return [(entry["resource"]["id"], entry["search"]["extension"][0]["valueCode"]) for entry in entries]


async def test_a_misspelt_patient_is_found_with_score_and_grade(admin):
    id_ = await known(admin, SIGNE)
    await known(admin, MISSPELT | {"name": [{"family": "Lind", "given": ["Per"]}]})
    answer = await match(admin, MISSPELT)
    assert graded(answer) == [(id_, "certain")]
    bundle = answer.json()
    assert (bundle["type"], bundle["total"]) == ("searchset", 1)
    assert bundle["entry"][0]["search"]["extension"][0]["url"] == GRADE
    assert bundle["entry"][0]["resource"]["name"][0]["family"] == "Holmgren"


async def test_a_twin_is_possible_and_never_certain(admin):
    id_ = await known(admin, SIGNE)
    twin = SIGNE | {"identifier": [], "name": [{"family": "Holmgren", "given": ["Karen"]}]}
    assert graded(await match(admin, twin)) in ([(id_, "possible")], [])
    assert graded(await match(admin, twin, onlyCertainMatches=True)) == []


async def test_only_certain_matches_are_records_of_one_person_or_none(admin):
    one = await known(admin, SIGNE)
    other = await known(admin, SIGNE | {"identifier": [SSN]})  # linked: the same person
    found = graded(await match(admin, SIGNE))
    assert {id_ for id_, _ in found} == {one, other}
    assert graded(await match(admin, SIGNE, onlyCertainMatches=True)) == found
    assert graded(await match(admin, SIGNE, count=1)) == found[:1]


async def test_several_persons_who_are_certain_are_no_certain_match(admin, hub, database):
    """IHE ITI-119, case 5: records of two persons, told apart by people who saw their papers."""
    one = await known(admin, SIGNE)
    other = await known(admin, SIGNE | {"identifier": [SSN]})
    async with database.transaction() as tx:
        keys = dict(await tx.fetch("SELECT patient_id, patient_key FROM identity_patient"))
        await hub.identity.split(tx, SourcePatient(keys[other], other, "s"), "Ann", "papers-seen")
    assert {id_ for id_, grade in graded(await match(admin, SIGNE)) if grade == "certain"} == {one, other}
    assert graded(await match(admin, SIGNE, onlyCertainMatches=True)) == []


async def test_a_patient_may_be_sent_alone_and_is_recorded_as_the_transaction_of_ihe(admin):
    """IHE ITI-119 §2:3.119.4.1.2 and §2:3.119.5.1.2."""
    id_ = await known(admin, SIGNE)
    assert graded(await admin.post("/fhir/Patient/$match", json=MISSPELT)) == [(id_, "certain")]
    assert graded(await admin.post("/fhir/Patient/$idi-match", json=SIGNE)) == [(id_, "certain")]
    events = [e["resource"] for e in (await admin.get("/fhir/AuditEvent?_count=2")).json()["entry"]]
    assert [[coding["code"] for coding in event["subtype"]] for event in events] == [
        ["operation"],
        ["search", "ITI-119"],
    ]


async def test_the_likeliest_match_comes_first_and_nobody_is_an_empty_bundle(admin):
    """IHE ITI-119, cases 2, 6 and 7."""
    exact = await known(admin, SIGNE)
    likely = await known(admin, MISSPELT)
    assert [id_ for id_, _ in graded(await match(admin, SIGNE))] == [exact, likely]
    nobody = await match(admin, {"resourceType": "Patient", "name": [{"family": "Quist"}], "birthDate": "1901-01-02"})
    assert (nobody.status_code, nobody.json()["total"], nobody.json().get("entry", [])) == (200, 0, [])


async def test_a_number_that_was_merged_away_stands_for_its_survivor(admin, hub, database):
    one = await known(admin, SIGNE)
    other = await known(admin, SIGNE | {"identifier": [SSN], "name": [{"family": "Holmgrene", "given": ["Signe"]}]})
    async with database.transaction() as tx:
        keys = dict(await tx.fetch("SELECT patient_id, patient_key FROM identity_patient"))
        survivor, retired = (SourcePatient(keys[id_], id_, "s") for id_ in (one, other))
        await hub.identity.merge(tx, survivor, retired, "Ann", "papers-seen")
    assert [id_ for id_, _ in graded(await match(admin, MISSPELT))] == [one]


async def test_what_consent_withholds_is_no_entry(admin, client_as):
    id_ = await known(admin, SIGNE)
    physician = await client_as("physician")
    assert graded(await match(physician, SIGNE)) == [(id_, "certain")]
    consent = opt_out(id_)
    assert (await admin.post("/fhir/Consent", json=consent)).status_code == 201
    answer = await match(physician, SIGNE)
    assert (graded(answer), answer.json()["total"]) == ([], 0)


async def test_elements_that_a_role_does_not_show_take_no_part(admin, client_as):
    """A role that sees number and name of a patient cannot find out the birth date by trying."""
    await known(admin, SIGNE)
    billing = await client_as("billing")
    guess = SIGNE | {"identifier": []}
    assert graded(await match(admin, guess))[0][1] == "certain"
    assert graded(await match(billing, guess)) == []
    found = await match(billing, SIGNE)
    assert set(found.json()["entry"][0]["resource"]) <= {"resourceType", "id", "meta", "identifier", "name", "active"}


async def test_a_role_without_patients_and_a_stranger_are_refused(admin, client_as):
    assert (await match(await client_as(), SIGNE)).status_code == 401
    assert (await match(await client_as("researcher"), SIGNE)).status_code == 403


async def test_asking_stores_nothing_but_its_audit_event(admin, hub, database):
    id_ = await known(admin, SIGNE)
    async with database.connection() as tx:
        before = await tx.fetchval("SELECT count(*) FROM identity_link_event")
        await match(admin, MISSPELT)
        assert await tx.fetchval("SELECT count(*) FROM identity_link_event") == before
        found = [row for row in await hub.audit.search(tx) if row.entry["interaction"] == "$match"]
    assert [f"Patient/{id_}" in str(row.entry) for row in found] == [True]
    assert "Holmgreen" not in str(found[0].entry), "the question is sealed"


async def test_a_question_that_cannot_be_answered_is_refused_with_a_reason(admin):
    for parameters, code in (
        ([], "required"),
        ([{"name": "resource", "resource": {"resourceType": "Person"}}], "required"),
        ([{"name": "resource", "resource": SIGNE}, {"name": "count", "valueInteger": 0}], "value"),
        ([{"name": "resource", "resource": SIGNE}, {"name": "count", "valueInteger": 101}], "value"),
        ([{"name": "resource", "resource": SIGNE}, {"name": "onlyCertainMatches", "valueString": "no"}], "value"),
        ([{"name": "resource", "resource": SIGNE}, {"name": "fuzzy", "valueBoolean": True}], "not-supported"),
        ([{"name": "resource", "resource": SIGNE | {"birthDate": "12/13/1967"}}], "invalid"),
        ([{"name": "resource", "resource": SIGNE | {"gender": "F"}}], "code-invalid"),
    ):
        answer = await admin.post("/fhir/Patient/$match", json={"resourceType": "Parameters", "parameter": parameters})
        assert (answer.status_code, answer.json()["issue"][0]["code"]) == (400, code), answer.text


@pytest.mark.parametrize(
    ("patient", "weight"),
    [
        ({}, 0),
        ({"birthDate": "1967-12-13", "name": [{"family": "Holmgren", "given": ["Signe"]}]}, 5),
        (MISSPELT, 10),
        (MISSPELT | {"telecom": []}, 9),
        (MISSPELT | {"address": [{"line": ["12 Oak"], "city": "Salem"}], "telecom": []}, 5),
        ({"identifier": [{"value": "X1", "type": {"coding": [{"code": "DL"}]}}]}, 10),
        ({"identifier": [{"type": {"coding": [{"code": "DL"}]}}]}, 0),
    ],
)
def test_what_is_told_of_a_patient_has_the_weight_of_the_guide(patient, weight):
    assert input_weight(patient) == weight


async def test_idi_match_needs_enough_to_tell_a_person(admin):
    id_ = await known(admin, SIGNE)
    assert graded(await match(admin, MISSPELT, "$idi-match")) == [(id_, "certain")]
    too_little = {"resourceType": "Patient", "birthDate": "1967-12-13", "name": SIGNE["name"]}
    answer = await match(admin, too_little, "$idi-match")
    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (422, "business-rule")
    assert "1967" not in answer.text
