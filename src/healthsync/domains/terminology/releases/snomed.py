"""SNOMED CT in Release Format 2, snapshot files (SNOMED CT Release File Specifications, §4 and §5).

Concepts, is-a relationships, terms, the preferred terms of a language reference set, and maps to ICD-10.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator

from healthsync.domains.terminology.model import (
    CodeSystem,
    Coding,
    Concept,
    ConceptMap,
    Designation,
    MapEntry,
    Property,
)
from healthsync.domains.terminology.releases.files import Files, version_in
from healthsync.domains.terminology.releases.release import PublishedMap, PublishedSystem, Release
from healthsync.errors import InvalidInput

SNOMED = "http://snomed.info/sct"

_IS_A, _FULLY_SPECIFIED, _SYNONYM = "116680003", "900000000000003001", "900000000000013009"
_PREFERRED, _DEFINED = "900000000000548007", "900000000000073002"
_US_ENGLISH = "900000000000509007"
_EDITIONS = {"INT": "900000000000207008", "US1000124": "731000124108"}
"""Modules that name an edition in its version URI, by the namespace part of the file names."""
_ICD_10 = {"447562003": "http://hl7.org/fhir/sid/icd-10", "6011000124106": "http://hl7.org/fhir/sid/icd-10-cm"}
"""Map reference sets."""

_CONCEPT = ("id", "active", "effectiveTime", "moduleId", "definitionStatusId")
_DESCRIPTION = ("id", "active", "conceptId", "languageCode", "typeId", "term")
_LANGUAGE = ("active", "refsetId", "referencedComponentId", "acceptabilityId")
_RELATIONSHIP = ("active", "sourceId", "destinationId", "typeId")


def read(files: Files, version: str | None) -> Release:
    """A snapshot. Without a version it is `http://snomed.info/sct/<edition>/version/<date>` of the file names."""
    concepts = files.need(r"x?sct2_concept_snapshot_.*\.txt", "sct2_Concept_Snapshot_….txt")
    version = version or _version(concepts)
    header = CodeSystem(
        SNOMED,
        version,
        "SNOMED_CT",
        "SNOMED CT",
        properties={"sufficientlyDefined": "boolean", "effectiveTime": "string", "moduleId": "code"},
    )
    system = PublishedSystem(header, _concepts(files, concepts), _edges(files), _designations(files))
    return Release(version, [system], list(_maps(files, version)))


def _version(name: str) -> str:
    date, namespace = version_in(name, r"_(\d{8})\.txt"), version_in(name, r"_([A-Z]+\d*)_\d{8}\.txt")
    if date is None:
        raise InvalidInput("which release of SNOMED CT is this? Say it by --version http://snomed.info/sct/…/version/…")
    edition = _EDITIONS.get(namespace or "")
    return f"{SNOMED}/{edition}/version/{date}" if edition else date


def _concepts(files: Files, name: str) -> Iterator[Concept]:
    displays = _displays(files)
    rows = files.table(name, _CONCEPT, delimiter="\t")
    for ordinal, row in enumerate(rows):
        told = (
            Property("sufficientlyDefined", "boolean", str(row["definitionStatusId"] == _DEFINED).lower()),
            Property("effectiveTime", "string", row["effectiveTime"]),
            Property("moduleId", "code", row["moduleId"]),
        )
        display = displays.get(int(row["id"]))
        yield Concept(row["id"], display, None, ordinal, inactive=row["active"] != "1", properties=told)


def _displays(files: Files) -> dict[int, str]:
    """Concept -> its preferred synonym, else its fully specified name."""
    preferred = _preferred(files)
    found: dict[int, str] = {}
    names: dict[int, str] = {}
    for row in _descriptions(files):
        concept = int(row["conceptId"])
        if row["typeId"] == _SYNONYM and _in(preferred, int(row["id"])):
            found[concept] = row["term"]
        elif row["typeId"] == _FULLY_SPECIFIED:
            names[concept] = row["term"]
    return names | found


def _descriptions(files: Files) -> Iterator[dict[str, str]]:
    name = files.find(r"x?sct2_description_snapshot.*\.txt")
    if name is None:
        raise InvalidInput(f"{files.path.name} holds no sct2_Description_Snapshot….txt beside the concepts")
    for row in files.table(name, _DESCRIPTION, delimiter="\t"):
        if row["active"] == "1":
            yield row


def _preferred(files: Files) -> array[int]:
    """The descriptions that US English prefers (another language set when there is none of it), sorted."""
    name = files.find(r"x?der2_crefset_languagesnapshot.*\.txt")
    kept, others = array("Q"), array("Q")
    if name is not None:
        for row in files.table(name, _LANGUAGE, delimiter="\t"):
            if row["active"] == "1" and row["acceptabilityId"] == _PREFERRED:
                (kept if row["refsetId"] == _US_ENGLISH else others).append(int(row["referencedComponentId"]))
    return array("Q", sorted(kept or others))


def _in(ordered: array[int], value: int) -> bool:
    at = bisect_left(ordered, value)
    return at < len(ordered) and ordered[at] == value


def _edges(files: Files) -> Iterator[tuple[str, str]]:
    name = files.find(r"x?sct2_relationship_snapshot.*\.txt")
    if name is None:
        raise InvalidInput(f"{files.path.name} holds no sct2_Relationship_Snapshot….txt beside the concepts")
    for row in files.table(name, _RELATIONSHIP, delimiter="\t"):
        if row["active"] == "1" and row["typeId"] == _IS_A:
            yield row["sourceId"], row["destinationId"]


def _designations(files: Files) -> Iterator[tuple[str, Designation]]:
    for row in _descriptions(files):
        use = {"system": SNOMED, "code": row["typeId"]}
        yield row["conceptId"], Designation(row["term"], row["languageCode"] or None, use)


def _maps(files: Files, version: str) -> Iterator[PublishedMap]:
    name = files.find(r"x?der2_iis+c+refset_extendedmapsnapshot.*\.txt")
    if name is None:
        return
    for refset, target in _ICD_10.items():
        yield PublishedMap(ConceptMap(f"{SNOMED}?fhir_cm={refset}", version), _map(files, name, refset, target))


def _map(files: Files, name: str, refset: str, target: str) -> Iterator[MapEntry]:
    """The lines of an extended map. A rule that is not always true is told as what it depends on."""
    columns = ("active", "refsetId", "referencedComponentId", "mapTarget", "mapRule", "mapAdvice")
    for row in files.table(name, columns, delimiter="\t"):
        if row["active"] != "1" or row["refsetId"] != refset:
            continue
        code, rule = row["referencedComponentId"], row["mapRule"]
        if not row["mapTarget"]:
            yield MapEntry(SNOMED, code, "unmatched", None, row["mapAdvice"] or None)
            continue
        depends = () if rule in ("TRUE", "OTHERWISE TRUE", "") else (("rule", rule),)
        coding = Coding(target, row["mapTarget"])
        yield MapEntry(SNOMED, code, "relatedto", coding, row["mapAdvice"] or None, depends_on=depends)
