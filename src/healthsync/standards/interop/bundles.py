"""Resources in a Bundle (bundle.html, http.html#transaction)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

from healthsync.errors import InvalidInput

BundleType = Literal["transaction", "batch", "collection"]


def create_fhir_bundle(
    resources: Iterable[Mapping[str, Any]], bundle_type: BundleType = "transaction"
) -> dict[str, Any]:
    """A Bundle of resources. In a transaction or batch one with an id is stored under it (PUT), any other is new (POST,
    under a `urn:uuid` by which others may refer to it).

    Raises InvalidInput for another kind of Bundle or something that is no resource.
    """
    if bundle_type not in get_args(BundleType):
        raise InvalidInput("a Bundle is made as transaction, batch or collection", code="value")
    is_request = bundle_type != "collection"
    return {
        "resourceType": "Bundle",
        "type": bundle_type,
        "entry": [_entry(resource, is_request) for resource in resources],
    }


def _entry(resource: Mapping[str, Any], is_request: bool) -> dict[str, Any]:
    resource_type, id_ = resource.get("resourceType"), resource.get("id")
    if not isinstance(resource_type, str):
        raise InvalidInput("each entry of a Bundle is a resource with its resourceType", code="structure")
    entry: dict[str, Any] = {"resource": dict(resource)}
    if id_ is None:
        entry = {"fullUrl": f"urn:uuid:{uuid.uuid4()}", **entry}
    if is_request and id_ is None:
        entry["request"] = {"method": "POST", "url": resource_type}
    elif is_request:
        entry["request"] = {"method": "PUT", "url": f"{resource_type}/{id_}"}
    return entry
