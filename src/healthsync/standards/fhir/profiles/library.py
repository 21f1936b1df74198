"""The conformance resources that are loaded, by canonical URL and version (references.html#canonical)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from healthsync.standards.fhir import json, published

STRUCTURE_DEFINITION = "http://hl7.org/fhir/StructureDefinition/"


@dataclass(slots=True)
class Entry:
    """A conformance resource that is read when it is first asked for."""

    resource_type: str
    url: str
    version: str
    content: bytes | dict[str, Any]

    def resource(self) -> dict[str, Any]:
        """The resource itself."""
        if isinstance(self.content, bytes):
            self.content = json.parse(self.content)
        return self.content


class Library:
    """What packages brought. Without a version, the newest one is meant; of one version, what came last."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._by_url: dict[tuple[str, str], dict[str, Entry]] = {}
        for entry in entries:
            self._by_url.setdefault((entry.resource_type, entry.url), {})[entry.version] = entry
        self._newest = {key: versions[max(versions, key=_order)] for key, versions in self._by_url.items()}

    @classmethod
    def of(cls, resources: Iterable[dict[str, Any]]) -> Library:
        """A library of resources that are read already."""
        return cls(Entry(r["resourceType"], r["url"], r.get("version", ""), r) for r in resources)

    def find(self, resource_type: str, canonical: str) -> dict[str, Any] | None:
        """The resource of `url` or `url|version`; None when it is not loaded."""
        url, _, version = canonical.partition("#")[0].partition("|")
        if version:
            entry = self._by_url.get((resource_type, url), {}).get(version)
        else:
            entry = self._newest.get((resource_type, url))
        return None if entry is None else entry.resource()

    def structure(self, canonical: str) -> dict[str, Any] | None:
        """A profile or extension; the types of R4 themselves are not in here."""
        return self.find("StructureDefinition", canonical)

    def terminology(self, resource_type: str, canonical: str) -> dict[str, Any] | None:
        """A ValueSet or CodeSystem: of a package, else as HL7 published it with R4."""
        return self.find(resource_type, canonical) or published.resource(resource_type, canonical.partition("|")[0])


def _order(version: str) -> tuple[tuple[int, int, str], ...]:
    """6.10.0 is newer than 6.9.0, and 1.0.0 than 1.0.0-ballot."""
    release, _, label = version.partition("-")
    numbers = tuple((1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.split(r"\.", release))
    return (*numbers, (0, 0, label) if label else (1, 0, ""))
