"""The FHIR repository: versions, history, search index, compartments.

Content is opaque here: clear JSON text and ciphertexts, as `exchange.ingest` hands them over and
`exchange.disclose` takes them back; only those two may import this package. Index values of sealed elements are
keyed tokens (`index.py`). Every read takes a `Visibility`: the condition on rows that the gate decided, part of the
SQL of every count and page.
"""

from healthsync.domains.records.errors import VersionConflict
from healthsync.domains.records.history import HistoryOfOne, HistoryQuery
from healthsync.domains.records.index import IndexRows, RecordIndex
from healthsync.domains.records.model import EVERYTHING, Change, Page, StoredResource, Visibility, Wanted
from healthsync.domains.records.search import Position, SearchPlan, plan_search
from healthsync.domains.records.search_terms import Codes, Contained, Keys, OfType, Resolved, Targets, TermMaker
from healthsync.domains.records.service import Look, RecordsService

__all__ = [
    "EVERYTHING",
    "Change",
    "Codes",
    "Contained",
    "HistoryOfOne",
    "HistoryQuery",
    "IndexRows",
    "Keys",
    "Look",
    "OfType",
    "Page",
    "Position",
    "RecordIndex",
    "RecordsService",
    "Resolved",
    "SearchPlan",
    "StoredResource",
    "Targets",
    "TermMaker",
    "VersionConflict",
    "Visibility",
    "Wanted",
    "plan_search",
]
