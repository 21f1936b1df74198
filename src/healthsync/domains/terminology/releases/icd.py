"""ICD-10-CM, ICD-9-CM and the General Equivalence Mappings, as CDC/NCHS and CMS publish them (public domain)."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

from healthsync.domains.terminology.model import CodeSystem, Coding, Concept, ConceptMap, MapEntry
from healthsync.domains.terminology.releases.files import Files, version_in
from healthsync.domains.terminology.releases.release import PublishedMap, PublishedSystem, Release
from healthsync.errors import InvalidInput

ICD_10_CM, ICD_9_CM = "http://hl7.org/fhir/sid/icd-10-cm", "http://hl7.org/fhir/sid/icd-9-cm"

_DIED = frozenset("78")
"""Sixth characters of S06 (intracranial injury) that mean death: there is no later encounter (note of the category)."""

PACKAGE = "simple_icd_10_cm"
"""The Python package whose data folder has the tabular list; with it `load icd-10-cm` needs no path."""


def read_icd_10_cm(files: Files, version: str | None) -> Release:
    """ICD-10-CM from the order file (icd10cm_order_2026.txt) or the tabular list (icd10cm_tabular_2026.xml)."""
    if (name := files.find(r"icd10.*order.*\.txt")) is not None:
        version = version or version_in(name, r"(20\d\d)")
        concepts: Iterator[Concept] = _of_order_file(files, name)
    else:
        name = files.need(r"icd-?10.*tabular.*\.xml", "icd10cm_order_….txt and no icd10cm_tabular_….xml")
        version = version or version_in(name, r"(20\d\d)")
        concepts = _of_tabular_list(files, name)
    if version is None:
        raise InvalidInput("which year's ICD-10-CM is this? Say it by --version 2026")
    header = CodeSystem(ICD_10_CM, version, "ICD10CM", "ICD-10-CM", case_sensitive=False)
    return Release(version, [PublishedSystem(header, concepts)])


def packaged() -> Path:
    """The folder of the Python package with the tabular list. Raises InvalidInput when it is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise InvalidInput(
            "name the file or folder of ICD-10-CM as it was published, or install the package simple-icd-10-cm and call"
            " this again without a path"
        )
    return Path(next(iter(found.submodule_search_locations))) / "data"


def dotted(code: str) -> str:
    """A diagnosis code of ICD-10-CM as it is written: with a dot behind the category."""
    code = code.strip().replace(".", "").upper()
    return code if len(code) <= 3 else f"{code[:3]}.{code[3:]}"


def dotted_9(code: str) -> str:
    """A diagnosis code of ICD-9-CM as it is written: three digits before the dot, four characters of an E code."""
    code = code.strip().replace(".", "").upper()
    at = 4 if code.startswith("E") else 3
    return code if len(code) <= at else f"{code[:at]}.{code[at:]}"


def _of_order_file(files: Files, name: str) -> Iterator[Concept]:
    """Columns (icd10OrderFiles.pdf): number 1-5, code 7-13, valid for billing 15, short text 17-76, long text 78-."""
    known: set[str] = set()
    ordinal = -1
    for number, line in enumerate(files.lines(name), 1):
        if not line.strip():
            continue
        code, valid, text = line[6:13].strip(), line[14:15], line[77:].strip() or line[16:76].strip()
        if not line[:5].strip().isdecimal() or not code.isalnum() or valid not in ("0", "1"):
            raise InvalidInput(f"{name}, line {number}: this is no order file of ICD-10-CM")
        above = next((code[:end] for end in range(len(code) - 1, 2, -1) if code[:end] in known), None)
        known.add(code)
        ordinal += 1
        parents = (dotted(above),) if above else ()
        yield Concept(dotted(code), text, None, ordinal, abstract=valid == "0", parents=parents)


def _of_tabular_list(files: Files, name: str) -> Iterator[Concept]:
    """Chapters, sections and diagnoses, with the codes that a seventh character makes of them."""
    try:
        with files.opened(name) as file:
            for number, concept in enumerate(_walked(_events(file))):
                yield replace(concept, ordinal=number)
    except ElementTree.ParseError:
        raise InvalidInput(f"{name} is no XML that can be read") from None


def _events(file: IO[bytes]) -> Iterator[tuple[str, ElementTree.Element]]:
    # The operator's own file; expat itself bounds what entities may grow to.
    return ElementTree.iterparse(file, ("start", "end"))  # noqa: S314


def _walked(events: Iterator[tuple[str, ElementTree.Element]]) -> Iterator[Concept]:
    root = ""
    for event, element in events:
        if event == "start":
            root = root or element.tag
            continue
        if root != "ICD10CM.tabular":
            raise InvalidInput("this is no tabular list of ICD-10-CM")
        if element.tag == "chapter":
            yield from _chapter(element)
            element.clear()


def _chapter(chapter: ElementTree.Element) -> Iterator[Concept]:
    code = chapter.findtext("name", "")
    yield Concept(code, chapter.findtext("desc", ""), abstract=True)
    for section in chapter.findall("section"):
        if (id_ := section.get("id", "")) and section.find("diag") is not None:
            text = re.sub(r"\s*\([A-Z0-9-]+\)$", "", section.findtext("desc", "").strip())
            if section.find("diag/name") is not None and id_ != section.findtext("diag/name"):
                yield Concept(id_, text, abstract=True, parents=(code,))
            else:
                id_ = code  # a section of one category has the category's own name
            for diagnosis in section.findall("diag"):
                yield from _diagnosis(diagnosis, id_, {})


def _diagnosis(diagnosis: ElementTree.Element, above: str, sevenths: dict[str, str]) -> Iterator[Concept]:
    code, text = diagnosis.findtext("name", "").strip(), diagnosis.findtext("desc", "").strip()
    own = {e.get("char", ""): (e.text or "").strip() for e in diagnosis.findall("sevenChrDef/extension")}
    sevenths = own or sevenths
    below = diagnosis.findall("diag")
    extended = sevenths if not below and len(code.replace(".", "")) < 7 else {}
    yield Concept(code, text, abstract=bool(below or extended), parents=(above,))
    for nested in below:
        yield from _diagnosis(nested, code, sevenths)
    padded = code.replace(".", "").ljust(6, "X")
    if padded.startswith("S06") and padded[5] in _DIED:
        extended = {"A": extended["A"]} if "A" in extended else {}
    for character, meaning in extended.items():
        yield Concept(dotted(padded + character), f"{text}, {meaning}", parents=(code,))


def read_icd_9_cm(files: Files, version: str | None) -> Release:
    """ICD-9-CM diagnoses from the list of CMS (CMS32_DESC_LONG_DX.txt): code, blanks, text."""
    name = files.need(r"cms\d+_desc_long_dx\.txt", "CMS…_DESC_LONG_DX.txt")
    version = version or version_in(name.upper(), r"CMS(\d+)_") or "32"

    def concepts() -> Iterator[Concept]:
        for number, line in enumerate(filter(str.strip, files.lines(name))):
            code, _, text = line.partition(" ")
            if not re.fullmatch(r"[0-9EV][0-9]{2,4}", code) or not text.strip():
                raise InvalidInput(f"{name}: this is no list of ICD-9-CM diagnoses")
            yield Concept(dotted_9(code), text.strip(), None, number)

    return Release(version, [PublishedSystem(CodeSystem(ICD_9_CM, version, "ICD9CM", "ICD-9-CM"), concepts())])


def read_gems(files: Files, version: str | None) -> Release:
    """The General Equivalence Mappings of diagnoses, both ways (2018_I9gem.txt, 2018_I10gem.txt).

    A line has source, target and five flags: approximate, no map, combination, scenario, choice list. One exact target
    is equivalent and one approximate is inexact; of a combination no single line says what the code means, so each is
    narrower and left to a person.
    """
    found = files.find_all(r".*i(9|10)gem.*\.txt")
    if not found:
        raise InvalidInput(f"{files.path.name} holds no …_I9gem.txt or …_I10gem.txt; give them as CMS published them")
    version = version or version_in(found[0], r"(20\d\d)") or "2018"
    return Release(version, maps=[_gem(files, name, version) for name in found])


def _gem(files: Files, name: str, version: str) -> PublishedMap:
    forward = re.search(r"i9gem", name, re.IGNORECASE) is not None
    here, there = (ICD_9_CM, ICD_10_CM) if forward else (ICD_10_CM, ICD_9_CM)
    way = "icd-9-cm-to-icd-10-cm" if forward else "icd-10-cm-to-icd-9-cm"
    write, write_target = (dotted_9, dotted) if forward else (dotted, dotted_9)

    def rows() -> Iterator[tuple[str, str, str]]:
        for number, line in enumerate(filter(str.strip, files.lines(name)), 1):
            parts = line.split()
            if len(parts) != 3 or not re.fullmatch(r"[01][01][01]\d\d", parts[2]):
                raise InvalidInput(f"{name}, line {number}: this is no General Equivalence Mapping")
            yield parts[0], parts[1], parts[2]

    def entries() -> Iterator[MapEntry]:
        for code, lines in groupby(rows(), key=lambda row: row[0]):
            for _, target, (approximate, none, combination, *_rest) in lines:
                if none == "1":
                    yield MapEntry(here, write(code), "unmatched", None)
                    continue
                near = "narrower" if combination == "1" else "inexact" if approximate == "1" else "equivalent"
                yield MapEntry(here, write(code), near, Coding(there, write_target(target)))

    return PublishedMap(ConceptMap(f"urn:healthsync:gem:{way}", version), entries(), applied=forward)
