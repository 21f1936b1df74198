"""Names of v2 authorities and coding systems as the addresses FHIR knows them by.

A universal id is an address already (OID, UUID, URI); known names are in the overrides; any other name becomes a urn
of our own, so that it stays the same and agrees with nothing else.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote

from healthsync.standards.authorities import NO_AUTHORITIES, Authorities
from healthsync.standards.maps.tables import tables

_OID = re.compile(r"[0-2](?:\.\d+)+")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
URI = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:\S+")


@lru_cache(maxsize=4096)
def authority_system(namespace: str, universal_id: str, source: str, authorities: Authorities = NO_AUTHORITIES) -> str:
    """The Identifier.system of an assigning authority (HD).

    A universal id is an address already (OID, UUID, URI); a namespace becomes a urn of our own; no authority at all
    means that of the sending system. Of one that goes by several names the table of `authorities` says which stands.
    """
    return authorities.system(_system(namespace, universal_id, source), source)


def _system(namespace: str, universal_id: str, source: str) -> str:
    systems = tables().systems
    for name in (universal_id, namespace):
        if name in systems:
            return systems[name]
    if _OID.fullmatch(universal_id):
        return f"urn:oid:{universal_id}"
    if _UUID.fullmatch(universal_id):
        return f"urn:uuid:{universal_id.lower()}"
    if URI.fullmatch(universal_id):
        return universal_id
    return f"urn:healthsync:authority:{quote(universal_id or namespace or source, safe='')}"


@lru_cache(maxsize=4096)
def code_system(name: str, source: str) -> str | None:
    """The Coding.system of a v2 coding system name (CWE.3, table 0396); None when none was sent.

    `L` and `99…` are local to the sender and must not agree with those of another one.
    """
    if not name:
        return None
    upper = name.upper()
    systems = tables().systems
    if upper in systems:
        return systems[upper]
    if match := re.fullmatch(
        r"HL7-?(\d{1,4})|2\.16\.840\.1\.113883\.12\.(\d{1,4})", upper
    ):  # name or OID of a v2 table
        return f"http://terminology.hl7.org/CodeSystem/v2-{int(match[1] or match[2]):04d}"
    if upper == "L" or upper.startswith("99"):
        return f"urn:healthsync:local:{quote(source, safe='')}" + ("" if upper == "L" else f":{quote(name, safe='')}")
    if _OID.fullmatch(name):
        return f"urn:oid:{name}"
    if URI.fullmatch(name):
        return name
    return f"urn:healthsync:codesystem:{quote(name, safe='')}"
