"""A model that learns from what people decided: optional, trained on command, and explained.

The weights decide, and ask people where they doubt. What those decide teaches a model about just these doubts
(`training`, which needs a library for gradient boosting; nothing else here does). Deciding takes plain arithmetic
(`trees`). Invariants: a model holds numbers from short scales, codes and names of sources, never what a record says;
no model links what the rules, the gate or a person keep apart (`deciding`); the same reviews give the same model.
"""

from healthsync.domains.identity.learning.deciding import ByLearned, Seen, seen, weights_of
from healthsync.domains.identity.learning.features import FEATURES, Measures, SourceRates
from healthsync.domains.identity.learning.model import LearnedModel, Reader
from healthsync.domains.identity.learning.store import ReviewedPair
from healthsync.domains.identity.learning.training import Example, check_enough, train

__all__ = [
    "FEATURES",
    "ByLearned",
    "Example",
    "LearnedModel",
    "Measures",
    "Reader",
    "ReviewedPair",
    "Seen",
    "SourceRates",
    "check_enough",
    "seen",
    "train",
    "weights_of",
]
