"""Resources after a correction of numbers: who took over, what a retired visit or account leaves, to whom things moved.

Pure: document in, document out; the given documents stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from healthsync.standards.fhir import compartments, references
from healthsync.standards.maps.identifiers import preferred
from healthsync.standards.maps.model import Resource

_OWN = frozenset({"resourceType", "id", "meta", "status", "subject", "partOf", "text"})
"""What a record says of itself alone."""


def taken_over(patient: Resource, survivor_id: str | None) -> Resource:
    """A patient whose number went out of use in favour of another's; with None, one whose number is in use."""
    if survivor_id is not None:
        link = {"other": {"reference": f"Patient/{survivor_id}"}, "type": "replaced-by"}
        return {**patient, "active": False, "link": [link]}
    links = [link for link in patient.get("link", ()) if link.get("type") != "replaced-by"]
    if patient.get("active", True) and links == patient.get("link", []):
        return patient
    active = {**{name: value for name, value in patient.items() if name != "link"}, "active": True}
    return {**active, "link": links} if links else active


def replaced_by(patient: Resource) -> Resource | None:
    """The Reference to who takes the place of a patient that is not in use any more (patient.html#links)."""
    if patient.get("active") is not False:
        return None
    links = (link for link in patient.get("link", ()) if link.get("type") == "replaced-by")
    return next((link.get("other") for link in links), None)


def filled(survivor: Resource, gone: Resource) -> Resource:
    """The surviving visit or account: what it does not say itself, the retired one may have said; its old numbers."""
    missing = {name: value for name, value in gone.items() if name not in survivor and name not in _OWN}
    known = [(number.get("system"), number.get("value")) for number in survivor.get("identifier", ())]
    former = [
        {**number, "use": "old"}
        for number in gone.get("identifier", ())
        if (number.get("system"), number.get("value")) not in known
    ]
    result = {**survivor, **missing}
    if former:
        result["identifier"] = [*survivor.get("identifier", ()), *former]
    return result


def retired(gone: Resource, survivor: Resource) -> Resource:
    """A visit or account whose number was merged away: not to be counted, and part of the survivor."""
    status = "entered-in-error" if gone["resourceType"] == "Encounter" else "inactive"
    part_of = {"reference": f"{survivor['resourceType']}/{survivor['id']}"}
    return moved({**gone, "status": status, "partOf": part_of}, next(iter(compartments.patients_of(survivor)), None))


def other_patients(gone: Resource, survivor: Resource) -> dict[str, str]:
    """How references to the patient of a retired record read now, where the survivor is somebody else's."""
    owner = next(iter(compartments.patients_of(survivor)), None)
    former = compartments.patients_of(gone)
    return {f"Patient/{id_}": f"Patient/{owner}" for id_ in former if owner and id_ != owner}


def moved(resource: Resource, patient_id: str | None) -> Resource:
    """The resource as that of another patient."""
    if patient_id is None:
        return resource
    former = [id_ for id_ in compartments.patients_of(resource) if id_ != patient_id]
    return references.rewrite(resource, {f"Patient/{id_}": f"Patient/{patient_id}" for id_ in former})


def out_of_use(patient: Resource) -> Resource:
    """What a message says of a patient whose number was merged away: nothing about whether it is in use."""
    return {name: value for name, value in patient.items() if name not in ("active", "link")}


def number_of(patient: Resource) -> Resource:
    """The number that names a patient, as Reference.identifier."""
    number = preferred(patient["identifier"])
    return {name: number[name] for name in ("system", "value") if name in number}


def filed_for(resource: Resource, numbers: Mapping[str, Resource]) -> Resource:
    """The resource with, at each reference to these patients, the number that it was sent for."""
    if not numbers or resource["resourceType"] == "Provenance":
        return resource

    def told(value: Any) -> Any:
        if isinstance(value, list):
            return [told(each) for each in value]
        if not isinstance(value, dict):
            return value
        number = numbers.get(value["reference"]) if isinstance(value.get("reference"), str) else None
        return {**value, "identifier": number} if number else {name: told(each) for name, each in value.items()}

    return told(resource)


def given_back(resource: Resource, patient: Resource, former_id: str, survivor_id: str) -> Resource:
    """The resource as that of `survivor_id`, where `former_id` has it under a number of `patient` (see `filed_for`)."""
    numbers = {(number.get("system"), number.get("value")) for number in patient.get("identifier", ())}
    itself = patient.get("id") == survivor_id

    def told(value: Any) -> Any:
        if isinstance(value, list):
            return [told(each) for each in value]
        if not isinstance(value, dict):
            return value
        number = value.get("identifier")
        if value.get("reference") == f"Patient/{former_id}" and isinstance(number, dict):
            if (number.get("system"), number.get("value")) not in numbers:
                return value
            kept = {name: each for name, each in value.items() if name != "identifier" or not itself}
            return {**kept, "reference": f"Patient/{survivor_id}"}
        return {name: told(each) for name, each in value.items()}

    return told(resource)
