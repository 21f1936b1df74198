"""Type/id/$graph (resource-operation-graph.html): what belongs to a resource, as a GraphDefinition says, through the gate."""

from __future__ import annotations

import pytest
from tests.consents import opt_out

URL = "http://example.org/fhir/GraphDefinition/chart"
GRAPH = {
    "resourceType": "GraphDefinition",
    "id": "chart",
    "url": URL,
    "name": "Chart",
    "version": "2",
    "status": "active",
    "start": "Patient",
    "link": [
        {"path": "Patient.managingOrganization", "target": [{"type": "Organization", "link": [
            {"path": "Organization.partOf", "target": [{"type": "Organization"}]}]}]},
        {"path": "Patient.generalPractitioner", "target": [{"type": "Practitioner"}]},
        {"target": [{"type": "Observation", "params": "patient={ref}&code=718-7", "link": [
            {"path": "performer"}]}]},
    ],
}  # fmt: skip


def _observation(id_: str, code: str, **more) -> dict:
    coding = {"system": "http://loinc.org", "code": code}
    subject = {"reference": "Patient/p"}
    return {"resourceType": "Observation", "id": id_, "status": "final", "code": {"coding": [coding]},
            "subject": subject, **more}  # fmt: skip


WORLD = [
    {"resourceType": "Organization", "id": "house", "name": "House"},
    {"resourceType": "Organization", "id": "ward", "name": "Ward", "partOf": {"reference": "Organization/house"}},
    {"resourceType": "Practitioner", "id": "dr", "name": [{"family": "Moreau"}]},
    {"resourceType": "Patient", "id": "p", "name": [{"family": "Quennell"}], "birthDate": "1971-03-09",
     "managingOrganization": {"reference": "Organization/ward"},
     "generalPractitioner": [{"reference": "Organization/house"}, {"reference": "Practitioner/nobody"}]},
    _observation("hb", "718-7", performer=[{"reference": "Practitioner/dr"}]),
    _observation("other", "2345-7"),
    GRAPH,
]  # fmt: skip


@pytest.fixture
async def world(admin):
    """A patient with what belongs to him."""
    for resource in WORLD:
        answer = await admin.put(f"/fhir/{resource['resourceType']}/{resource['id']}", json=resource)
        assert answer.status_code == 201, answer.text
    return admin


async def _graph(client, graph: str = URL, of: str = "Patient/p") -> set[str]:
    answer = await client.get(f"/fhir/{of}/$graph", params={"graph": graph})
    assert answer.status_code == 200, answer.text
    bundle = answer.json()
    assert bundle["type"] == "collection"
    found = [entry["fullUrl"].removeprefix("http://hub/fhir/") for entry in bundle["entry"]]
    assert found == list(dict.fromkeys(found)), "each once"
    assert found[0] == of
    return set(found)


ALL = {"Patient/p", "Organization/ward", "Organization/house", "Observation/hb", "Practitioner/dr"}


@pytest.mark.parametrize("named", [URL, f"{URL}|2", "GraphDefinition/chart"])
async def test_a_graph_follows_paths_and_parameters_to_the_end(world, named):
    assert await _graph(world, named) == ALL


async def test_a_graph_is_also_asked_for_by_post(world):
    body = {"resourceType": "Parameters", "parameter": [{"name": "graph", "valueUri": URL}]}
    answer = await world.post("/fhir/Patient/p/$graph", json=body)
    assert (answer.status_code, len(answer.json()["entry"])) == (200, len(ALL))


async def test_a_graph_shows_what_each_requester_may_see_and_is_recorded(world, client_as, hub):
    nurse = await client_as("nurse")  # whose role opens no GraphDefinition
    assert (await nurse.get(f"/fhir/Patient/p/$graph?graph={URL}")).status_code == 404
    physician = await client_as("physician")
    assert await _graph(physician) == ALL
    async with hub.database.connection() as tx:
        rows = await hub.audit.search(tx, patient="Patient/p")
    assert "$graph" in {row.entry["interaction"] for row in rows}
    await world.post("/fhir/Consent", json=opt_out("p"))
    assert (await physician.get(f"/fhir/Patient/p/$graph?graph={URL}")).status_code == 404


@pytest.mark.parametrize(
    ("of", "query", "status"),
    [
        ("Patient/p", "", 400),
        ("Patient/p", "?graph=urn:nobody", 404),
        ("Patient/nobody", f"?graph={URL}", 404),
        ("Organization/ward", f"?graph={URL}", 400),
        ("Patient/p", f"?graph={URL}&depth=2", 400),
    ],
)
async def test_a_question_that_has_no_graph_is_told_why(world, of, query, status):
    answer = await world.get(f"/fhir/{of}/$graph{query}")
    assert (answer.status_code, answer.json()["resourceType"]) == (status, "OperationOutcome")


async def test_parameters_of_a_link_must_be_about_the_resource(world):
    for params in ("code=718-7", "patient=Patient/p", "colour={ref}"):
        target = {"type": "Observation", "params": params}
        await world.put("/fhir/GraphDefinition/chart", json={**GRAPH, "link": [{"target": [target]}]})
        assert (await world.get(f"/fhir/Patient/p/$graph?graph={URL}")).status_code == 400, params
