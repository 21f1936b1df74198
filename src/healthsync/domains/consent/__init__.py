"""May this patient's data be given out for this purpose? FHIR Consent compiled to directives, directives to a
decision.

Semantics (decision record 0011): only active consents inside their period count, judged when asked; a consent's
base is its root provision.type, else its policyRule, else deny; deny overrides across consents; what cannot be
understood denies, and its directive says `not-understood`. Without any directive the hub's policy decides
(`consent.policy`: opt-out permits, opt-in denies).

The decision has two faces, `decide` for one patient and `sql_predicate` for a search; a property test holds them
equal.
"""

from healthsync.domains.consent.decision import ConsentPolicy, Decision, decide
from healthsync.domains.consent.model import Directive, Effect, compile_consent
from healthsync.domains.consent.service import ConsentService

__all__ = ["ConsentPolicy", "ConsentService", "Decision", "Directive", "Effect", "compile_consent", "decide"]
