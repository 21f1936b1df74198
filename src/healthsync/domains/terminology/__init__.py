"""What do codes mean, which belong to a value set, and what are they in another system? FHIR CodeSystem, ValueSet and
ConceptMap compiled to tables, and the questions of the terminology module (terminology-service.html) asked of them.

What HL7 published with R4 is there from the start and is never written; resources that arrive by `ingest` and those of
FHIR packages are compiled into tables, which can be built again from them. A loaded resource goes before a published
one with the same URL.

Invariants: a concept is in an expansion exactly when `$validate-code` says that it belongs; an import that leads back
to its own value set is refused; nothing enumerates more than `MAX_EXPANSION` concepts; a code system that is not known
here is never guessed at.
"""

from healthsync.domains.terminology.errors import TooCostly, UnknownCodeSystem, UnknownTerminology
from healthsync.domains.terminology.expansion import MAX_EXPANSION
from healthsync.domains.terminology.model import (
    CodeSystem,
    Coding,
    Concept,
    Designation,
    Expansion,
    Member,
    Property,
    Subsumption,
    Translation,
    Validation,
)
from healthsync.domains.terminology.service import Loaded, TerminologyService
from healthsync.domains.terminology.validation import Context

__all__ = [
    "MAX_EXPANSION",
    "CodeSystem",
    "Coding",
    "Concept",
    "Context",
    "Designation",
    "Expansion",
    "Loaded",
    "Member",
    "Property",
    "Subsumption",
    "TerminologyService",
    "TooCostly",
    "Translation",
    "UnknownCodeSystem",
    "UnknownTerminology",
    "Validation",
]
