"""fhirclient (PyPI), the SMART client of Boston Children's Hospital: its models check each answer strictly."""

from __future__ import annotations

import uuid

import pytest
from fhirclient import client as smart
from fhirclient.models.bundle import Bundle, BundleEntry, BundleEntryRequest
from fhirclient.models.codeableconcept import CodeableConcept
from fhirclient.models.encounter import Encounter
from fhirclient.models.fhirreference import FHIRReference
from fhirclient.models.humanname import HumanName
from fhirclient.models.observation import Observation
from fhirclient.models.patient import Patient
from fhirclient.server import FHIRNotFoundException, FHIRServer
from requests import HTTPError

from .conftest import Server


@pytest.fixture
def hub(server: Server) -> FHIRServer:
    found = smart.FHIRClient(settings={"app_id": "tests", "api_base": server.base}).server
    assert found is not None
    found.session.headers["Authorization"] = f"Bearer {server.key}"
    found.prepare()
    return found


def _patient(family: str) -> Patient:
    patient = Patient({"resourceType": "Patient", "gender": "female", "birthDate": "1971-08-30"})
    name = HumanName()
    name.family, name.given = family, ["Grace"]
    patient.name = [name]
    return patient


def _created(resource, hub: FHIRServer):
    """fhirclient answers a create with the JSON of what was stored."""
    return type(resource)(resource.create(hub))


def _family() -> str:
    return f"Smart{uuid.uuid4().hex[:10]}"


def test_the_capability_statement_fits_its_model(hub: FHIRServer) -> None:
    statement = hub.capabilityStatement
    assert statement.fhirVersion == "4.0.1"
    offered = {resource.type: resource for resource in statement.rest[0].resource}
    assert {"Patient", "Observation", "Encounter"} <= set(offered)
    assert {"read", "create", "update", "search-type"} <= {i.code for i in offered["Patient"].interaction}


def test_a_patient_is_created_and_read(hub: FHIRServer) -> None:
    family = _family()
    made = _created(_patient(family), hub)
    read = Patient.read(made.id, hub)
    assert (read.name[0].family, read.birthDate.isostring, read.meta.versionId) == (family, "1971-08-30", "1")


def test_an_update_makes_the_next_version(hub: FHIRServer) -> None:
    patient = Patient.read(_created(_patient(_family()), hub).id, hub)
    patient.gender = "other"
    answer = patient.update(hub)
    assert answer["meta"]["versionId"] == "2"
    assert Patient.read(patient.id, hub).gender == "other"


def test_a_deleted_patient_cannot_be_read(hub: FHIRServer) -> None:
    patient = Patient.read(_created(_patient(_family()), hub).id, hub)
    patient.delete(hub)
    with pytest.raises(HTTPError) as gone:
        Patient.read(patient.id, hub)
    assert gone.value.response.status_code == 410


def test_what_never_was_is_not_found(hub: FHIRServer) -> None:
    with pytest.raises(FHIRNotFoundException):
        Patient.read(str(uuid.uuid4()), hub)


def test_a_search_follows_its_pages_to_the_end(hub: FHIRServer) -> None:
    family = _family()
    made = {_created(_patient(family), hub).id for _ in range(7)}
    pages = list(Patient.where({"family": family, "_count": "3"}).perform_iter(hub))
    assert [len(page.entry) for page in pages] == [3, 3, 1]
    assert {entry.resource.id for page in pages for entry in page.entry} == made
    resources = list(Patient.where({"family": family, "_count": "2"}).perform_resources_iter(hub))
    assert {resource.id for resource in resources} == made


def test_a_search_includes_the_patient_of_an_encounter(hub: FHIRServer) -> None:
    patient = _created(_patient(_family()), hub)
    encounter = Encounter(
        {
            "resourceType": "Encounter",
            "status": "finished",
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
            "subject": {"reference": f"Patient/{patient.id}"},
        }
    )
    made = _created(encounter, hub)
    found = list(Encounter.where({"subject": f"Patient/{patient.id}"}).include("subject").perform_resources_iter(hub))
    assert {(r.resource_type, r.id) for r in found} == {("Encounter", made.id), ("Patient", patient.id)}


def test_a_reference_resolves_on_the_server(hub: FHIRServer) -> None:
    patient = _created(_patient(_family()), hub)
    observation = Observation({"resourceType": "Observation", "status": "final", "code": {"text": "resolved"}})
    subject = FHIRReference()
    subject.reference = f"Patient/{patient.id}"
    observation.subject = subject
    read = Observation.read(_created(observation, hub).id, hub)
    resolved = read.subject.resolved(Patient)
    assert isinstance(resolved, Patient)
    assert resolved.id == patient.id


def test_a_search_by_date_and_quantity_gives_models_with_numbers(hub: FHIRServer) -> None:
    patient = _created(_patient(_family()), hub)
    for value in (98, 120, 150):
        Observation(
            {
                "resourceType": "Observation",
                "status": "final",
                "code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]},
                "subject": {"reference": f"Patient/{patient.id}"},
                "effectiveDateTime": "2026-02-03",
                "valueQuantity": {"value": value, "system": "http://unitsofmeasure.org", "code": "mm[Hg]"},
            }
        ).create(hub)
    query = {"subject": f"Patient/{patient.id}", "date": "ge2026-02-03", "value-quantity": "gt110"}
    found = list(Observation.where(query).perform_resources_iter(hub))
    assert sorted(observation.valueQuantity.value for observation in found) == [120, 150]


def test_a_transaction_stores_all_of_its_entries(hub: FHIRServer) -> None:
    patient_url = f"urn:uuid:{uuid.uuid4()}"
    observation = Observation({"resourceType": "Observation", "status": "final", "code": {"text": "joined"}})
    observation.subject = FHIRReference({"reference": patient_url})
    bundle = Bundle({"resourceType": "Bundle", "type": "transaction"})
    bundle.entry = [_entry(_patient(_family()), patient_url), _entry(observation)]
    answer = Bundle(bundle.create(hub))
    assert answer.type == "transaction-response"
    assert [entry.response.status[:3] for entry in answer.entry] == ["201", "201"]
    stored = Observation.read_from(answer.entry[1].response.location.partition("/_history")[0], hub)
    assert stored.subject.reference.startswith("Patient/")


def _entry(resource, url: str | None = None) -> BundleEntry:
    entry, request = BundleEntry(), BundleEntryRequest()
    request.method, request.url = "POST", resource.resource_type
    entry.resource, entry.request, entry.fullUrl = resource, request, url
    return entry


def test_history_is_a_bundle_of_versions(hub: FHIRServer) -> None:
    patient = Patient.read(_created(_patient(_family()), hub).id, hub)
    patient.maritalStatus = CodeableConcept({"text": "married"})
    patient.update(hub)
    history = Bundle.read_from(f"Patient/{patient.id}/_history", hub)
    assert history.type == "history"
    assert [entry.resource.meta.versionId for entry in history.entry] == ["2", "1"]
