"""HL7 v2 codes (CWE, CNE, CE, CF, ID, IS) as FHIR codes, translated by the concept maps where FHIR has its own."""

from __future__ import annotations

from collections.abc import Mapping

from healthsync.standards.hl7v2 import Repetition
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.scribe import Scribe, part
from healthsync.standards.maps.systems import code_system
from healthsync.standards.maps.tables import Concept, tables
from healthsync.standards.normalise import administrative_gender

_CODINGS = ((1, 2, 3, 7), (4, 5, 6, 8), (10, 11, 12, 13))
"""Components of CWE/CNE/CE/CF: code, display, system, version."""


def codeable_concept(rep: Repetition, scribe: Scribe, vocabulary: str = "", *, only: bool = False) -> Resource | None:
    """CWE[CodeableConcept], and CE, CNE, CF, IS, ID, which are its beginning.

    With a vocabulary the FHIR code goes first and what was sent stays beside it (`only`: instead of it, where FHIR
    requires its own code). Without a code the display is the text.
    """
    codings = _codings(rep, scribe.source)
    if vocabulary:
        codings = _translated(codings, tables().concepts[vocabulary], only, scribe)
    text = part(rep, 9)
    if not codings and not text and not only:
        text = part(rep, 2) or part(rep, 5)
    made: Resource = {}
    if codings:
        made["coding"] = codings
    if text:
        made["text"] = text
    return made or None


def _codings(rep: Repetition, source: str) -> list[Resource]:
    codings: list[Resource] = []
    count = len(rep.components)
    for code_at, display_at, system_at, version_at in _CODINGS:
        if code_at > count:
            break
        if not (code := " ".join(part(rep, code_at).split())):
            continue
        coding: Resource = {}
        system = code_system(part(rep, system_at), source) if count >= system_at else None
        if system is None and code_at == 1 and count >= 14:
            system = code_system(part(rep, 14), source)
        if system:
            coding["system"] = system
        if count >= version_at and (version := part(rep, version_at)):
            coding["version"] = version
        coding["code"] = code
        if count >= display_at and (display := part(rep, display_at)):
            coding["display"] = display
        codings.append(coding)
    return codings


def _translated(codings: list[Resource], concepts: Mapping[str, Concept], only: bool, scribe: Scribe) -> list[Resource]:
    """The codings, before them the FHIR code of the first that is of the v2 table (or says no system)."""
    for coding in codings:
        if (concept := concepts.get(coding["code"])) is None:
            continue
        table, code, display, system = concept
        of_table = f"http://terminology.hl7.org/CodeSystem/v2-{table[-4:]}"
        if coding.get("system") not in (None, of_table, system):
            continue
        told = {"system": system, "code": code, "display": display}
        made = {name: text for name, text in told.items() if text}
        if only:
            return [made]
        coding.setdefault("system", of_table)
        return codings if (system, code) == (coding["system"], coding["code"]) else [made, *codings]
    if codings and only:
        scribe.issue("code-not-in-table")
    return [] if only else codings


def coding(rep: Repetition, scribe: Scribe, vocabulary: str = "") -> Resource | None:
    """CWE[Coding]: the first coding."""
    concept = codeable_concept(rep, scribe, vocabulary)
    return concept["coding"][0] if concept and "coding" in concept else None


def code(rep: Repetition, scribe: Scribe, vocabulary: str = "") -> str | None:
    """CWE[code]: the code of the vocabulary; a code outside it is left out and reported, never passed through."""
    sent = part(rep, 1) or part(rep, 4)
    if not sent or not vocabulary:
        return sent or None
    concepts = tables().concepts[vocabulary]
    concept = concepts.get(sent) or concepts.get(sent.upper())
    if concept is not None:
        return concept[1]
    if any(row[1] == sent.lower() for row in concepts.values()):  # the FHIR code itself: `female`
        return sent.lower()
    if vocabulary == "AdministrativeSex" and (sex := administrative_gender(sent).value):
        scribe.issue("code-respelled")
        return sex
    scribe.issue("code-not-in-table")
    return None


def boolean(rep: Repetition, scribe: Scribe, vocabulary: str = "") -> bool | None:
    """ID[boolean] by table 0136."""
    sent = part(rep, 1).upper()
    if sent in ("Y", "N"):
        return sent == "Y"
    if sent:
        scribe.issue("code-not-in-table")
    return None


def restricted(rep: Repetition, _scribe: Scribe) -> Resource | None:
    """ID[restricted]: a visit under protection is confidentiality R."""
    protected = part(rep, 1).upper() == "Y"
    return {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"} if protected else None


def race(rep: Repetition, scribe: Scribe) -> Resource | None:
    """US Core race of a CDC code; other codes say something this extension cannot hold."""
    return _us_core(rep, scribe, "us-core-race", "Race")


def ethnicity(rep: Repetition, scribe: Scribe) -> Resource | None:
    """US Core ethnicity of a CDC code or of v2 table 0189."""
    return _us_core(rep, scribe, "us-core-ethnicity", "Ethnicity")


def _us_core(rep: Repetition, scribe: Scribe, name: str, vocabulary: str) -> Resource | None:
    concept = tables().concepts[vocabulary].get(part(rep, 1))
    if concept is None:
        scribe.unmapped[scribe.path] += 1
        return None
    _, code, display, system = concept
    return {
        "url": f"http://hl7.org/fhir/us/core/StructureDefinition/{name}",
        "extension": [
            {"url": "ombCategory", "valueCoding": {"system": system, "code": code, "display": display}},
            {"url": "text", "valueString": display},
        ],
    }
