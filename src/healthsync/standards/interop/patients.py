"""The record as a FHIR Patient, and a FHIR Patient as the record (patient.html)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from healthsync.errors import InvalidInput
from healthsync.standards.interop.record import Address, read_record

_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"
_MEDICAL_RECORD = {"coding": [{"system": _TYPES, "code": "MR", "display": "Medical record number"}]}


def to_fhir_patient(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record as a FHIR R4 Patient; what it does not say is absent.

    Raises InvalidInput for a field that cannot be read; see `record.read_record`.
    """
    read = read_record(record)
    patient: dict[str, Any] = {"resourceType": "Patient"}
    if read.id:
        patient["id"] = read.id
    if read.mrn:
        system = {"system": read.mrn_system} if read.mrn_system else {}
        patient["identifier"] = [{"use": "usual", "type": _MEDICAL_RECORD, **system, "value": read.mrn}]
    given = [name for name in (read.first_name, read.middle_name) if name]
    if given or read.last_name:
        family = {"family": read.last_name} if read.last_name else {}
        patient["name"] = [{"use": "official", **family, **({"given": given} if given else {})}]
    telecom = [
        {"system": kind, "value": value} for kind, value in (("phone", read.phone), ("email", read.email)) if value
    ]
    if telecom:
        patient["telecom"] = telecom
    if read.gender:
        patient["gender"] = read.gender
    if read.born:
        patient["birthDate"] = read.born
    if read.address is not None:
        patient["address"] = [_fhir_address(read.address)]
    return patient


def from_fhir_patient(patient: Mapping[str, Any]) -> dict[str, Any]:
    """The record that a FHIR Patient tells: its official or usual name, its medical record number, its first phone and
    mail address; fields that it does not tell are absent. Raises InvalidInput when it is no Patient.
    """
    if patient.get("resourceType") != "Patient":
        raise InvalidInput("this is no FHIR Patient: resourceType must be Patient", code="structure")
    name, number = _name(patient), _medical_record_number(patient)
    given = [text for text in _listed(name, "given") if isinstance(text, str)]
    record = {
        "id": patient.get("id"),
        "mrn": number.get("value"),
        "mrnSystem": number.get("system"),
        "firstName": given[0] if given else None,
        "middleName": " ".join(given[1:]) or None,
        "lastName": name.get("family"),
        "dateOfBirth": patient.get("birthDate"),
        "gender": patient.get("gender"),
        "email": _contact(patient, "email"),
        "phone": _contact(patient, "phone"),
        "address": _plain_address(next(iter(_objects(patient, "address")), None)),
    }
    return {field: value for field, value in record.items() if value is not None}


def _fhir_address(address: Address) -> dict[str, Any]:
    parts = {
        "line": list(address.line),
        "city": address.city,
        "state": address.state,
        "postalCode": address.postal_code,
        "country": address.country,
    }
    return {name: value for name, value in parts.items() if value}


def _plain_address(address: Mapping[str, Any] | None) -> Any:
    """One text where there is only a line, as the record had it; the parts otherwise."""
    if address is None:
        return None
    lines = [line for line in _listed(address, "line") if isinstance(line, str)]
    names = ("city", "state", "postalCode", "country")
    parts = {name: address[name] for name in names if isinstance(address.get(name), str)}
    if not parts:
        text = ", ".join(lines) or address.get("text")
        return text if isinstance(text, str) else None
    return {**({"line": ", ".join(lines)} if lines else {}), **parts}


def _name(patient: Mapping[str, Any]) -> Mapping[str, Any]:
    names = _objects(patient, "name")
    ranked = sorted(names, key=lambda name: {"official": 0, "usual": 1, None: 2}.get(name.get("use"), 3))
    return ranked[0] if ranked else {}


def _medical_record_number(patient: Mapping[str, Any]) -> Mapping[str, Any]:
    numbers = [number for number in _objects(patient, "identifier") if isinstance(number.get("value"), str)]
    ranked = sorted(numbers, key=lambda number: not _is_medical_record(number))
    return ranked[0] if ranked else {}


def _is_medical_record(number: Mapping[str, Any]) -> bool:
    kind = number.get("type")
    return (
        any(coding.get("code") == "MR" for coding in _objects(kind, "coding")) if isinstance(kind, Mapping) else False
    )


def _contact(patient: Mapping[str, Any], kind: str) -> str | None:
    values = (point.get("value") for point in _objects(patient, "telecom") if point.get("system") == kind)
    return next((value for value in values if isinstance(value, str)), None)


def _objects(holder: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    return [item for item in _listed(holder, name) if isinstance(item, Mapping)]


def _listed(holder: Mapping[str, Any], name: str) -> list[Any]:
    value = holder.get(name)
    return value if isinstance(value, list) else []
