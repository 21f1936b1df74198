"""What do codes mean, which belong to a value set, and what are they in another system? FHIR CodeSystem, ValueSet and
ConceptMap compiled to tables, and the questions of the terminology module (terminology-service.html) asked of them.

What HL7 published with R4 is there from the start and is never written; resources that arrive by `ingest` and those of
FHIR packages are compiled into tables, which can be built again from them. A loaded resource goes before a published
one with the same URL.

Invariants: a concept is in an expansion exactly when `$validate-code` says that it belongs; an import that leads back
to its own value set is refused; nothing enumerates more than `MAX_EXPANSION` concepts; a code system that is not known
here is never guessed at.
"""

from healthsync.domains.terminology import languages
from healthsync.domains.terminology.checking import Asked
from healthsync.domains.terminology.errors import (
    TX_ISSUE_TYPE,
    TooCostly,
    UnknownCodeSystem,
    UnknownTerminology,
    Unusable,
)
from healthsync.domains.terminology.expansion import MAX_EXPANSION
from healthsync.domains.terminology.local_maps import line as map_line
from healthsync.domains.terminology.local_maps import read as read_map
from healthsync.domains.terminology.local_maps import system_named
from healthsync.domains.terminology.model import (
    CodeSystem,
    Coding,
    Concept,
    Designation,
    Expansion,
    Finding,
    LoadedRelease,
    LocalMap,
    MapEntry,
    Member,
    Property,
    Subsumption,
    Translation,
    Validation,
    ValueSet,
    WorkItem,
    WorkState,
)
from healthsync.domains.terminology.releases import KINDS, Files, Progress
from healthsync.domains.terminology.releases.icd import packaged
from healthsync.domains.terminology.service import EVERYTHING, Loaded, LocalChange, TerminologyService
from healthsync.domains.terminology.sources import STANDARD_PROPERTIES
from healthsync.domains.terminology.standardising import TRANSLATED_BY, Translations, is_added, may_be_told, standardise
from healthsync.domains.terminology.versions import Policy, canonical

__all__ = [
    "EVERYTHING",
    "KINDS",
    "MAX_EXPANSION",
    "STANDARD_PROPERTIES",
    "TRANSLATED_BY",
    "TX_ISSUE_TYPE",
    "Asked",
    "CodeSystem",
    "Coding",
    "Concept",
    "Designation",
    "Expansion",
    "Files",
    "Finding",
    "Loaded",
    "LoadedRelease",
    "LocalChange",
    "LocalMap",
    "MapEntry",
    "Member",
    "Policy",
    "Progress",
    "Property",
    "Subsumption",
    "TerminologyService",
    "TooCostly",
    "Translation",
    "Translations",
    "UnknownCodeSystem",
    "UnknownTerminology",
    "Unusable",
    "Validation",
    "ValueSet",
    "WorkItem",
    "WorkState",
    "canonical",
    "is_added",
    "languages",
    "map_line",
    "may_be_told",
    "packaged",
    "read_map",
    "standardise",
    "system_named",
]
