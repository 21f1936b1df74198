"""FHIR addresses as the names v2 knows authorities and coding systems by: `standards.maps.systems` read backwards."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote

from healthsync.standards.maps.outbound.tables import outbound_tables
from healthsync.standards.maps.tables import tables

_V2_TABLE = re.compile(r"http://terminology\.hl7\.org/CodeSystem/v2-(\d{4})")


@lru_cache(maxsize=4096)
def authority(system: str) -> tuple[str, str, str]:
    """(namespace, universal id, its type) of an assigning authority: an HD."""
    if system.startswith("urn:healthsync:authority:"):
        return unquote(system.removeprefix("urn:healthsync:authority:")), "", ""
    if system.startswith("urn:oid:"):
        return "", system.removeprefix("urn:oid:"), "ISO"
    if system.startswith("urn:uuid:"):
        return "", system.removeprefix("urn:uuid:"), "UUID"
    if oid := next((name for name, known in tables().systems.items() if known == system and name[0].isdigit()), ""):
        return "", oid, "ISO"
    return ("", system, "URI") if system else ("", "", "")


@lru_cache(maxsize=4096)
def code_system(system: str) -> str:
    """The name of a coding system (table 0396) as CWE.3 writes it."""
    if known := outbound_tables().systems.get(system):
        return known
    if match := _V2_TABLE.fullmatch(system):
        return f"HL7{match[1]}"
    if system.startswith("urn:healthsync:local:"):
        return unquote(system.removeprefix("urn:healthsync:local:").partition(":")[2]) or "L"
    for prefix in ("urn:healthsync:codesystem:", "urn:oid:"):
        if system.startswith(prefix):
            return unquote(system.removeprefix(prefix))
    return system
