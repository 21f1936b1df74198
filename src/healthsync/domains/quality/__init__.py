"""How good is what a source sends? Every message gets points from 0 to 100, in five dimensions and over all.

A rubric (`rubric.yaml`: one reviewed line for each rule, in the manner of HL7's PIQI framework) and the rules of the
operator's `validation_rules` document are compiled once to functions over the resources of a message. A dimension's
points are the weight of what passed of the weight of what could be judged; what there was nothing to judge of does not
count. The score is the mean of the dimensions, rounded down. Bands and actions: settlement 14 (90, 75, 60).

Invariants: a rule is pure; scoring never changes a resource and never refuses a message by itself; what is kept of a
score are points, ids of rules and counts, never a value.
"""

from healthsync.domains.quality.model import (
    Action,
    Bands,
    Content,
    Contract,
    DayOfSource,
    Dimension,
    MessageScore,
    Reporting,
    Rule,
    Score,
)
from healthsync.domains.quality.rubric import Rubric, load_rubric
from healthsync.domains.quality.scoring import judge
from healthsync.domains.quality.service import QualityService

__all__ = [
    "Action",
    "Bands",
    "Content",
    "Contract",
    "DayOfSource",
    "Dimension",
    "MessageScore",
    "QualityService",
    "Reporting",
    "Rubric",
    "Rule",
    "Score",
    "judge",
    "load_rubric",
]
