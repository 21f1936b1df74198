"""CPT, UMLS and VSAC files that the operator has a licence for."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any
from xml.etree import ElementTree

from healthsync.domains.terminology.model import CodeSystem, Coding, Concept, ConceptMap, Designation, MapEntry
from healthsync.domains.terminology.releases.files import Files, version_in
from healthsync.domains.terminology.releases.release import PublishedMap, PublishedSystem, Release
from healthsync.errors import InvalidInput

CPT, UMLS = "http://www.ama-assn.org/go/cpt", "http://terminology.hl7.org/CodeSystem/umls"

MOST_BYTES = 256 * 1024 * 1024

_SOURCES = {
    "SNOMEDCT_US": "http://snomed.info/sct",
    "LNC": "http://loinc.org",
    "ICD10CM": "http://hl7.org/fhir/sid/icd-10-cm",
    "ICD10PCS": "http://www.cms.gov/Medicare/Coding/ICD10",
    "ICD9CM": "http://hl7.org/fhir/sid/icd-9-cm",
    "RXNORM": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "CPT": CPT,
    "HCPCS": "https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
    "CVX": "http://hl7.org/fhir/sid/cvx",
    "ATC": "http://www.whocc.no/atc",
    "MSH": "urn:oid:2.16.840.1.113883.6.177",
}
"""Vocabularies of the UMLS whose codes are told apart in its map, by their short name (SAB)."""

_OIDS = {
    "2.16.840.1.113883.6.96": "http://snomed.info/sct",
    "2.16.840.1.113883.6.1": "http://loinc.org",
    "2.16.840.1.113883.6.90": "http://hl7.org/fhir/sid/icd-10-cm",
    "2.16.840.1.113883.6.103": "http://hl7.org/fhir/sid/icd-9-cm",
    "2.16.840.1.113883.6.4": "http://www.cms.gov/Medicare/Coding/ICD10",
    "2.16.840.1.113883.6.88": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "2.16.840.1.113883.6.12": CPT,
    "2.16.840.1.113883.6.285": "https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
    "2.16.840.1.113883.12.292": "http://hl7.org/fhir/sid/cvx",
    "2.16.840.1.113883.6.238": "urn:oid:2.16.840.1.113883.6.238",
}


def read_cpt(files: Files, version: str | None) -> Release:
    """The consolidated code list of the AMA: tabs, a head with `CPT Code`, `Long`, `Medium`, `Short`, `Consumer`."""
    name = files.need(r"consolidated.*code.*list.*\.txt", "Consolidated_Code_List.txt")
    version = version or version_in(f"{files.path.name}/{name}", r"(20\d\d)")
    if version is None:
        raise InvalidInput("which year's CPT is this? Say it by --version 2026")
    header = CodeSystem(CPT, version, "CPT", "Current Procedural Terminology")
    return Release(version, [PublishedSystem(header, _cpt(files, name))])


def _cpt(files: Files, name: str) -> Iterator[Concept]:
    head: list[str] = []
    seen: set[str] = set()
    for line in files.lines(name):
        cells = line.split("\t")
        if not head:  # the licence stands before the table
            head = cells if "CPT Code" in cells else []
            continue
        row = dict(zip(head, (cell.strip() for cell in cells), strict=False))
        code = row.get("CPT Code", "")
        if not code or code in seen:
            continue
        seen.add(code)
        texts = [(kind, row[kind]) for kind in ("Medium", "Short", "Consumer") if row.get(kind)]
        others = tuple(Designation(text, "en", {"system": CPT, "code": kind}) for kind, text in texts)
        spanish = row.get("Spanish Consumer")
        told = (*others, Designation(spanish, "es")) if spanish else others
        yield Concept(code, row.get("Long") or row.get("Medium"), None, len(seen) - 1, designations=told)
    if not seen:
        raise InvalidInput(f"{name} has no table with a column CPT Code")


def read_umls(files: Files, version: str | None) -> Release:
    """MRCONSO.RRF (UMLS Reference Manual, §3.3.4): concepts by CUI with their English names, and which codes of other
    systems each of them is."""
    name = files.need(r"mrconso\.rrf", "MRCONSO.RRF")
    version = version or version_in(f"{files.path.name}/{name}", r"(20\d\d[A-Z]{2})")
    if version is None:
        raise InvalidInput("which release of the UMLS is this? Say it by --version 2026AA")
    header = CodeSystem(UMLS, version, "UMLS", "Unified Medical Language System")
    codes = PublishedMap(ConceptMap("urn:healthsync:umls:codes", version), _umls_codes(files, name))
    return Release(version, [PublishedSystem(header, _umls_concepts(files, name))], [codes])


def _umls_concepts(files: Files, name: str) -> Iterator[Concept]:
    """Columns: CUI LAT TS LUI STT SUI ISPREF AUI SAUI SCUI SDUI SAB TTY CODE STR SRL SUPPRESS CVF."""
    for number, (cui, rows) in enumerate(groupby(files.pipes(name, 17), key=lambda row: row[0])):
        atoms = [row for row in rows if row[1] == "ENG"]
        best = next((a for a in atoms if (a[2], a[4], a[6]) == ("P", "PF", "Y")), atoms[0] if atoms else None)
        names = list(dict.fromkeys(a[14] for a in atoms if best is not None and a[14] != best[14]))[:20]
        others = tuple(Designation(text, "en") for text in names)
        yield Concept(cui, best[14] if best else None, None, number, designations=others)


def _umls_codes(files: Files, name: str) -> Iterator[MapEntry]:
    for cui, rows in groupby(files.pipes(name, 17), key=lambda row: row[0]):
        codes = {(_SOURCES[row[11]], row[13]) for row in rows if row[11] in _SOURCES and row[16] != "O"}
        for system, code in sorted(codes):
            yield MapEntry(system, code, "equivalent", Coding(UMLS, cui))


def read_vsac(files: Files, version: str | None) -> Release:
    """Value sets of the VSAC: answers of its SVS service (XML) or exported spreadsheets (CSV), any number of files."""
    names = files.find_all(r".*\.(xml|csv|txt)")
    if not names:
        raise InvalidInput(f"{files.path.name} holds no XML or CSV export of the VSAC")
    return Release(version or "vsac", value_sets=_vsac(files, names))


def _vsac(files: Files, names: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    for name in names:
        if name.lower().endswith(".xml"):
            yield from _svs(files, name)
        else:
            yield _spreadsheet(files, name)


def _svs(files: Files, name: str) -> Iterator[Mapping[str, Any]]:
    """RetrieveValueSetResponse or RetrieveMultipleValueSetsResponse (IHE ITI TF-2, §3.48 and §3.60)."""
    try:
        # The operator's own file; expat itself bounds what entities may grow to.
        root = ElementTree.parse(files.text(name, MOST_BYTES)).getroot()  # noqa: S314
    except ElementTree.ParseError:
        raise InvalidInput(f"{name} is no XML that can be read") from None
    found = [e for e in root.iter() if _tag(e) in ("DescribedValueSet", "ValueSet")]
    if not found:
        raise InvalidInput(f"{name} is no answer of the VSAC with a value set")
    for each in found:
        concepts = [
            (c.get("code", ""), c.get("displayName"), c.get("codeSystem", ""), c.get("codeSystemVersion"))
            for c in each.iter()
            if _tag(c) == "Concept"
        ]
        oid = each.get("ID") or each.get("id") or ""
        yield _value_set(oid, each.get("displayName"), each.get("version"), concepts, name)


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _spreadsheet(files: Files, name: str) -> Mapping[str, Any]:
    """Lines `Value Set Name`, `OID`, `Definition Version` …, then a table with `Code` and `Code System OID`."""
    said: dict[str, str] = {}
    head: list[str] = []
    concepts: list[tuple[str, str | None, str, str | None]] = []
    lines = list(files.lines(name))
    delimiter = "\t" if any("\t" in line for line in lines[:30]) else ","
    for row in csv.reader(lines, delimiter=delimiter):
        cells = [cell.strip() for cell in row]
        if not head:
            if "Code" in cells and any("Code System" in cell for cell in cells):
                head = cells
            elif len(cells) > 1 and cells[0]:
                said[cells[0].rstrip(":").casefold()] = cells[1]
            continue
        at = dict(zip(head, cells, strict=False))
        if at.get("Code"):
            system = at.get("Code System OID") or at.get("Code System") or ""
            text = at.get("Description") or at.get("Descriptor")
            concepts.append((at["Code"], text, system, at.get("Code System Version")))
    if not head:
        raise InvalidInput(f"{name} has no table with the columns Code and Code System OID")
    oid = said.get("oid") or said.get("value set oid") or ""
    return _value_set(oid, said.get("value set name"), said.get("definition version"), concepts, name)


def _value_set(
    oid: str,
    title: str | None,
    version: str | None,
    concepts: Iterable[tuple[str, str | None, str, str | None]],
    name: str,
) -> Mapping[str, Any]:
    if not re.fullmatch(r"\d+(\.\d+)+", oid):
        raise InvalidInput(f"{name} does not say the OID of its value set")
    groups: dict[tuple[str, str | None], list[dict[str, str]]] = {}
    for code, display, system, of_version in concepts:
        url = _OIDS.get(system) or (f"urn:oid:{system}" if re.fullmatch(r"[\d.]+", system) else system)
        told = {"code": code, **({"display": display} if display else {})}
        groups.setdefault((url, of_version or None), []).append(told)
    # The version of the members' systems is what VSAC saw; pinning it would ask for releases that are not loaded here.
    include = [{"system": system, "concept": listed} for (system, _), listed in groups.items()]
    told = {"version": version, "title": title}
    return {
        "resourceType": "ValueSet",
        "id": oid,
        "url": f"http://cts.nlm.nih.gov/fhir/ValueSet/{oid}",
        **{key: value for key, value in told.items() if value},
        "status": "active",
        "compose": {"include": include},
    }
