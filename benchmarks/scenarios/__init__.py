"""The scenarios; importing this package registers them in the order in which they run."""

from benchmarks.scenarios import (
    deliveries,
    fhir,
    fhir_bulk,
    footprint,
    handlers,
    intake,
    linking,
    normal_forms,
    parsers,
    parts,
    processing,
    reading,
)

__all__ = [
    "deliveries",
    "fhir",
    "fhir_bulk",
    "footprint",
    "handlers",
    "intake",
    "linking",
    "normal_forms",
    "parsers",
    "parts",
    "processing",
    "reading",
]
