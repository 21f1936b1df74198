"""Who is who: the master patient index.

A *source patient* is a Patient as one source sent it, and stays so. A *person* is the set of source patients that an
append-only log of link events puts together; its enterprise id is never given to anybody else, and a former one leads
to the present one. The golden record is computed from the members whenever it is asked for, by rules
that are data and by what a person pinned, and never stored.

Deterministic rules decide (`matching`), with vetoes and gates, and where they do not, statistical weights or points
(`deciding`); whatever is doubtful is flagged for a person, and what a person decides stands against them, both ways.
Invariants: replaying the log gives the tables; merge followed by unlink gives both persons back; no name, number or
date stands in these tables, only keyed tokens.
"""

from healthsync.domains.identity.block_keys import Block, checked
from healthsync.domains.identity.deciding import (
    ByPoints,
    ByRules,
    ByWeights,
    Decider,
    Explanation,
    points_of,
    shipped_points,
)
from healthsync.domains.identity.demographics import demographics_of
from healthsync.domains.identity.errors import ReasonNotACode, UnknownPatient
from healthsync.domains.identity.golden import GoldenRecord, SourceRecord, golden_record
from healthsync.domains.identity.links import replay
from healthsync.domains.identity.matching import Agreement, Candidate, Comparison, Grade, Rule, compare
from healthsync.domains.identity.model import (
    Decision,
    Demographics,
    Flag,
    IdentityOutcome,
    LinkEvent,
    LinkEventKind,
    LinkState,
    LoadPatients,
    MergeOutcome,
    SourcePatient,
)
from healthsync.domains.identity.named_rules import NamedRules, load_named_rules, shipped_named_rules
from healthsync.domains.identity.review.reporting import IdentityReport, ImpossibleOverlap, SharedNumber, overlaps
from healthsync.domains.identity.review.rules import Choice, ReviewTerms, Step, Task, TaskKind, TaskState, UnknownTask
from healthsync.domains.identity.review.service import Evidence, ReviewService, TaskHistory
from healthsync.domains.identity.scoring import Score, score
from healthsync.domains.identity.service import IdentityService
from healthsync.domains.identity.survivorship import Survivorship, load_rules, shipped_rules
from healthsync.domains.identity.weighing import Weights, shipped_weights

__all__ = [
    "Agreement",
    "Block",
    "ByPoints",
    "ByRules",
    "ByWeights",
    "Candidate",
    "Choice",
    "Comparison",
    "Decider",
    "Decision",
    "Demographics",
    "Evidence",
    "Explanation",
    "Flag",
    "GoldenRecord",
    "Grade",
    "IdentityOutcome",
    "IdentityReport",
    "IdentityService",
    "ImpossibleOverlap",
    "LinkEvent",
    "LinkEventKind",
    "LinkState",
    "LoadPatients",
    "MergeOutcome",
    "NamedRules",
    "ReasonNotACode",
    "ReviewService",
    "ReviewTerms",
    "Rule",
    "Score",
    "SharedNumber",
    "SourcePatient",
    "SourceRecord",
    "Step",
    "Survivorship",
    "Task",
    "TaskHistory",
    "TaskKind",
    "TaskState",
    "UnknownPatient",
    "UnknownTask",
    "Weights",
    "checked",
    "compare",
    "demographics_of",
    "golden_record",
    "load_named_rules",
    "load_rules",
    "overlaps",
    "points_of",
    "replay",
    "score",
    "shipped_named_rules",
    "shipped_points",
    "shipped_rules",
    "shipped_weights",
]
