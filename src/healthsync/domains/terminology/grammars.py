"""Code systems that are a grammar, not a list: units, languages, media types. Any well-formed code is a concept."""

from __future__ import annotations

import re
from collections.abc import Mapping

from healthsync.domains.terminology.model import CodeSystem, Concept
from healthsync.standards import ucum

_LANGUAGE = re.compile(
    r"(?:[a-z]{2,3}(?:-[a-z]{3}){0,3}|[a-z]{4,8})(?:-[a-z]{4})?(?:-(?:[a-z]{2}|\d{3}))?"
    r"(?:-(?:[a-z\d]{5,8}|\d[a-z\d]{3})){0,8}(?:-[a-wy-z\d](?:-[a-z\d]{2,8}){1,8}){0,8}(?:-x(?:-[a-z\d]{1,8}){1,8})?",
    re.IGNORECASE,
)
"""RFC 5646 §2.1, langtag, with its repetitions bounded."""

_MEDIA_TYPE = re.compile(
    r"[\w!#$&^.+-]{1,127}/[\w!#$&^.+-]{1,127}(?:; ?[\w-]{1,64}=(?:[\w.+/-]{1,128}|\"[^\"\\]{0,128}\"))*", re.ASCII
)
"""RFC 6838 §4.2, with parameters as RFC 2045 §5.1 writes them."""

UCUM = "http://unitsofmeasure.org"

SYSTEMS: Mapping[str, CodeSystem] = {
    system.url: system
    for system in (
        CodeSystem(UCUM, version="2.2", name="UCUM", title="Unified Code for Units of Measure"),
        CodeSystem("urn:ietf:bcp:47", name="BCP47", title="Tags for Identifying Languages", case_sensitive=False),
        CodeSystem("urn:ietf:bcp:13", name="BCP13", title="Media Types", case_sensitive=False),
    )
}


def concept(system: str, code: str) -> Concept | None:
    """The concept of a well-formed code; None when the code breaks the grammar. A unit is spelled out."""
    if system == UCUM:
        return Concept(code, code, ucum.describe(code)) if ucum.is_valid(code) else None
    grammar = _LANGUAGE if system == "urn:ietf:bcp:47" else _MEDIA_TYPE
    return Concept(code, code) if len(code) <= 256 and grammar.fullmatch(code) else None
