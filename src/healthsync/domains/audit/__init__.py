"""The audit log: who saw or changed what, why, and how it ended, in a Merkle log that cannot be changed unnoticed.

Answers: *was this access recorded, is the record whole, and who saw this patient's data?* By 45 CFR 164.312(b),
45 CFR 164.528 and IHE BALP; tree, hashes and proofs by RFC 9162.

Invariants:
- an event commits in the transaction of its access, or the access answers 503 (`Unavailable`);
- a row is references and codes; the search string is sealed; every column is under the row's hash;
- rows are only ever inserted; their places in the tree stand in another table, written by the sequencer;
- a head is signed only over a log that contains all published ones.
"""

from healthsync.domains.audit.errors import HistoryContradicted
from healthsync.domains.audit.model import Action, AuditEvent, AuditRow, MissingRow, Outcome, Proof, TreeHead
from healthsync.domains.audit.service import AuditService, is_accountable
from healthsync.domains.audit.verification import Finding, Report, verify

__all__ = [
    "Action",
    "AuditEvent",
    "AuditRow",
    "AuditService",
    "Finding",
    "HistoryContradicted",
    "MissingRow",
    "Outcome",
    "Proof",
    "Report",
    "TreeHead",
    "is_accountable",
    "verify",
]
