"""HL7 v2 authorities (HD) as Organizations."""

from __future__ import annotations

from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.scribe import Scribe
from healthsync.standards.maps.tables import tables

_URI = "urn:ietf:rfc:3986"


def authority(namespace: str, universal_id: str, kind: str, scribe: Scribe) -> Resource | None:
    """HD[Organization]: a Reference to the organisation that the authority is.

    It is called by the address that stands as system of its numbers, by its universal id with the type of table 0301,
    and by its name in the sending system.
    """
    if not namespace and not universal_id:
        return None
    address_of = scribe.authority(namespace, universal_id)
    draft = scribe.draft("Organization", f"{_URI}|{address_of}")
    if "identifier" not in draft.resource:
        numbers_of: list[Resource] = [{"system": _URI, "value": address_of}]
        if universal_id:
            told = universal_number(universal_id, kind)
            if address_of.endswith(universal_id.lower()):
                numbers_of[0] = {**told, **numbers_of[0]}
            elif own := tables().systems.get(kind):
                numbers_of.append({**told, "system": own})
            else:
                numbers_of.append(told)
        if namespace:
            numbers_of.append({"value": namespace})
            draft.resource.setdefault("name", namespace)
        draft.resource["identifier"] = numbers_of
    return draft.reference


def universal_number(universal_id: str, kind: str) -> Resource:
    """HD.2 and HD.3 as a number with its type of table 0301."""
    if not kind:
        return {"value": universal_id}
    return {
        "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0301", "code": kind}]},
        "value": universal_id,
    }
