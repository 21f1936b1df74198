"""What HL7 published with R4, compiled when it is asked for; what was used last is kept."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from healthsync.domains.terminology import compiling
from healthsync.domains.terminology.model import ValueSet
from healthsync.domains.terminology.sources import MemorySystem
from healthsync.domains.terminology.translation import MapInUse
from healthsync.standards.fhir import published


@lru_cache(maxsize=64)
def code_system(url: str) -> MemorySystem | None:
    """A code system of R4."""
    document = published.resource("CodeSystem", url)
    if document is None:
        return None
    compiled = compiling.code_system(document)
    return MemorySystem(replace(compiled, header=replace(compiled.header, is_shipped=True)))


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
