"""Composition/id/$document (composition-operation-document.html): a document of what is stored, through the gate."""

from __future__ import annotations

import pytest
from tests.consents import opt_out

from healthsync.standards.fhir import validate

WORLD = [
    {"resourceType": "Practitioner", "id": "dr", "name": [{"family": "Moreau"}]},
    {"resourceType": "Patient", "id": "p", "name": [{"family": "Quennell"}], "birthDate": "1971-03-09"},
    {"resourceType": "Patient", "id": "q", "name": [{"family": "Odell"}], "birthDate": "1950-01-02"},
    {"resourceType": "Observation", "id": "hb", "status": "final", "code": {"text": "Hb"},
     "subject": {"reference": "Patient/p"}, "valueInteger": 13},
    {"resourceType": "Observation", "id": "of-another", "status": "final", "code": {"text": "Hb"},
     "subject": {"reference": "Patient/q"}, "valueInteger": 14},
    {"resourceType": "Composition", "id": "letter", "status": "final", "type": {"text": "letter"},
     "date": "2024-01-01", "title": "Letter", "subject": {"reference": "Patient/p"},
     "author": [{"reference": "Practitioner/dr"}, {"reference": "Practitioner/nobody"}],
     "section": [{"title": "Results", "entry": [{"reference": "Observation/hb"}],
                  "section": [{"title": "More", "entry": [{"reference": "Observation/of-another"},
                                                          {"reference": "Observation/hb"}]}]}]},
]  # fmt: skip


@pytest.fixture
async def world(admin):
    """A letter and what it is about."""
    for resource in WORLD:
        answer = await admin.put(f"/fhir/{resource['resourceType']}/{resource['id']}", json=resource)
        assert answer.status_code == 201, answer.text
    return admin


def _ids(bundle: dict) -> list[str]:
    return [entry["resource"]["id"] for entry in bundle["entry"]]


async def test_a_document_holds_the_composition_first_and_each_resource_that_it_names_once(world):
    answer = await world.get("/fhir/Composition/letter/$document")
    document = answer.json()
    assert (answer.status_code, document["type"]) == (200, "document")
    assert _ids(document)[0] == "letter"
    assert sorted(_ids(document)[1:]) == ["dr", "hb", "of-another", "p"]
    assert validate.structure(document) == []
    again = (await world.post("/fhir/Composition/letter/$document", json={"resourceType": "Parameters"})).json()
    assert document["identifier"] != again["identifier"], "each document is one of its own"
    kept = await world.post("/fhir/Bundle", json=document)
    assert kept.status_code == 201, kept.text


async def test_what_consent_withholds_is_in_no_document(world, client_as, hub):
    physician = await client_as("physician")
    await world.post("/fhir/Consent", json=opt_out("q"))
    document = (await physician.get("/fhir/Composition/letter/$document")).json()
    assert sorted(_ids(document)[1:]) == ["dr", "hb", "p"]
    async with hub.database.connection() as tx:
        rows = await hub.audit.search(tx, patient="Patient/p")
    assert "$document" in {row.entry["interaction"] for row in rows}
    await world.post("/fhir/Consent", json=opt_out("p"))
    assert (await physician.get("/fhir/Composition/letter/$document")).status_code == 404


@pytest.mark.parametrize(("path", "status"), [("nobody/$document", 404), ("letter/$document?persist=true", 400)])
async def test_a_document_that_cannot_be_made_is_told_why(world, path, status):
    answer = await world.get(f"/fhir/Composition/{path}")
    assert (answer.status_code, answer.json()["resourceType"]) == (status, "OperationOutcome")
