"""The scenarios; importing this package registers them in the order in which they run."""

from benchmarks.scenarios import fhir, fhir_bulk, footprint, intake, normal_forms, parts, processing, reading

__all__ = ["fhir", "fhir_bulk", "footprint", "intake", "normal_forms", "parts", "processing", "reading"]
from benchmarks.scenarios import deliveries

__all__ = ["deliveries", "fhir", "fhir_bulk", "footprint", "intake", "parts", "processing", "reading"]
from benchmarks.scenarios import fhir, fhir_bulk, footprint, handlers, intake, parts, processing, reading

__all__ = ["fhir", "fhir_bulk", "footprint", "handlers", "intake", "parts", "processing", "reading"]
