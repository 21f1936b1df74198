"""May this patient's data be given out for this purpose? Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from healthsync.domains.consent.model import Directive, Effect

PATIENT_REQUEST = "PATRQT"
"""v3-ActReason: the patient asks for his own data, which no directive of his can forbid."""


class ConsentPolicy(StrEnum):
    """What holds for a patient who has said nothing."""

    OPT_OUT = "opt-out"
    """Permitted until the patient objects."""

    OPT_IN = "opt-in"
    """Denied until the patient agrees."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer, with its reason: a code and, where one decided, the Consent."""

    permitted: bool
    because: str
    consent_id: str | None = None


def decide(directives: Iterable[Directive], purpose: str, at: datetime, policy: ConsentPolicy) -> Decision:
    """(1) the patient's own request passes, (2) else a deny decides, (3) else a permit, (4) else the policy."""
    if purpose == PATIENT_REQUEST:  # (1)
        return Decision(True, "patient-request")
    applicable = [d for d in directives if d.starts_at <= at < d.ends_at and (not d.purposes or purpose in d.purposes)]
    for directive in applicable:  # (2)
        if directive.decision is Effect.DENY:
            return Decision(False, directive.because, directive.consent_id)
    for directive in applicable:  # (3)
        return Decision(True, directive.because, directive.consent_id)
    return Decision(policy is ConsentPolicy.OPT_OUT, f"policy-{policy}")  # (4)
