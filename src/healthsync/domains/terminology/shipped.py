"""What HL7 published with R4, compiled when it is asked for; what was used last is kept."""

from __future__ import annotations

import csv
from dataclasses import replace
from functools import lru_cache
from importlib.resources import files

from healthsync.domains.terminology import compiling
from healthsync.domains.terminology.model import CodeSystem, CompiledCodeSystem, Concept, Property, ValueSet
from healthsync.domains.terminology.sources import MemorySystem
from healthsync.domains.terminology.translation import MapInUse
from healthsync.standards.fhir import published

LOINC = "http://loinc.org"


def _loinc_core() -> MemorySystem:
    text = (files("healthsync.domains.terminology") / "data" / "loinc_core.csv").read_text(encoding="utf-8")
    concepts = tuple(
        Concept(
            row["code"],
            row["display"],
            ordinal=n,
            properties=(Property("EXAMPLE_UCUM_UNITS", "string", row["unit"]),) if row["unit"] else (),
        )
        for n, row in enumerate(csv.DictReader(text.splitlines()))
    )
    header = CodeSystem(
        LOINC,
        name="LOINC",
        content="fragment",
        case_sensitive=False,
        properties={"EXAMPLE_UCUM_UNITS": "string"},
        language="en",
        is_shipped=True,
        names_only=True,
    )
    return MemorySystem(CompiledCodeSystem(header, concepts))


@lru_cache(maxsize=64)
def code_system(url: str) -> MemorySystem | None:
    """A code system of R4, or the core of LOINC: some common tests and vital signs, for their names."""
    if url == LOINC:
        return _loinc_core()
    document = published.resource("CodeSystem", url)
    if document is None:
        return None
    compiled = compiling.code_system(document)
    return MemorySystem(replace(compiled, header=replace(compiled.header, is_shipped=True)))


@lru_cache(maxsize=1)
def headers() -> tuple[CodeSystem, ...]:
    """What is said of each code system of R4."""
    documents = [published.resource("CodeSystem", url) for url in published.index()["CodeSystem"]]
    return tuple(replace(compiling.header(each), is_shipped=True) for each in documents if each is not None)


@lru_cache(maxsize=128)
def value_set(url: str) -> ValueSet | None:
    """A value set of R4."""
    document = published.resource("ValueSet", url)
    return None if document is None else compiling.value_set(document)


@lru_cache(maxsize=1)
def maps() -> tuple[MapInUse, ...]:
    """The concept maps of R4, all of them: they are few."""
    documents = [published.resource("ConceptMap", url) for url in published.index()["ConceptMap"]]
    return tuple(MapInUse.of(compiling.concept_map(document)) for document in documents if document is not None)
