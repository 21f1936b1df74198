"""Statistical linking of files: which records of one file or several are of one person, without any known pair.

Fellegi–Sunter with weights learned from the files themselves (EM over pairs of one person, of relatives and of
strangers), a person gate against twins and namesakes, and average linkage into persons. Everything is a pure function
of arrays, and the outcome does not depend on the order of the records. The model is a value that can be written down
and used again, for one pair (`Explainer`) or for many (`link`).
"""

from healthsync.domains.identity.linkage.columns import FIELDS, Meaning, meaning_of, parse_map
from healthsync.domains.identity.linkage.evaluating import Evaluation, evaluate
from healthsync.domains.identity.linkage.explaining import Explainer, Explanation
from healthsync.domains.identity.linkage.gate import reason_codes
from healthsync.domains.identity.linkage.linking import Linkage, Progress, Tier, link
from healthsync.domains.identity.linkage.model import LinkageModel, Profile, shipped_profile
from healthsync.domains.identity.linkage.population import COLUMNS, Population
from healthsync.domains.identity.linkage.sql import Compared, as_sql
from healthsync.domains.identity.linkage.standardising import Records, standardise

__all__ = [
    "COLUMNS",
    "FIELDS",
    "Compared",
    "Evaluation",
    "Explainer",
    "Explanation",
    "Linkage",
    "LinkageModel",
    "Meaning",
    "Population",
    "Profile",
    "Progress",
    "Records",
    "Tier",
    "as_sql",
    "evaluate",
    "link",
    "meaning_of",
    "parse_map",
    "reason_codes",
    "shipped_profile",
    "standardise",
]
