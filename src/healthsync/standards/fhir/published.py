"""The terminology that HL7 published with R4: code systems, value sets, concept maps, the v2 tables and v3 systems.

Distilled by `tools/build_terminology.py` into `data/terminology.zip` (see its NOTICE); a resource is read when it is
asked for. What comes back is fresh at each call: who needs it often keeps it.
"""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec


@cache
def _archive() -> zipfile.ZipFile:
    data = files("healthsync.standards.fhir").joinpath("data/terminology.zip").read_bytes()
    return zipfile.ZipFile(io.BytesIO(data))


@cache
def index() -> dict[str, dict[str, dict[str, Any]]]:
    """Resource type (`CodeSystem`, `ValueSet`, `ConceptMap`) -> canonical URL -> `id`, `version`, `member`."""
    return msgspec.json.decode(_archive().read("index.json"))


RESOURCE_TYPES = frozenset({"CodeSystem", "ValueSet", "ConceptMap"})

PUBLISHED_AT = datetime(2019, 10, 30, tzinfo=UTC)
"""The day of FHIR R4 4.0.1."""


def resource(resource_type: str, url: str) -> dict[str, Any] | None:
    """The resource of this canonical URL (without version); None when there is none, or none that may be shipped."""
    entry = index()[resource_type].get(url)
    return None if entry is None else msgspec.json.decode(_archive().read(entry["member"]))


def url_of(resource_type: str, id_: str) -> str | None:
    """The canonical URL of the resource with this id; None when R4 publishes none."""
    return _urls(resource_type).get(id_) if resource_type in RESOURCE_TYPES else None


@cache
def _urls(resource_type: str) -> dict[str, str]:
    return {entry["id"]: url for url, entry in index()[resource_type].items()}
