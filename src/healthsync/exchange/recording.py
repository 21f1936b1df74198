"""How a request of someone who was recognised is written into the audit log."""

from __future__ import annotations

from collections.abc import Sequence

from healthsync.domains.access import Requester
from healthsync.domains.audit import Action, AuditEvent, Outcome


def audit_event(
    requester: Requester,
    action: Action,
    interaction: str,
    outcome: Outcome,
    entities: Sequence[str],
    *,
    patients: Sequence[str] = (),
    reason: str | None = None,
    query: str | None = None,
) -> AuditEvent:
    """The event of one interaction; `entities` and `patients` are references, `query` is sealed by the log."""
    return AuditEvent(
        action=action,
        interaction=interaction,
        outcome=outcome,
        client=requester.client_id,
        user=requester.user,
        organisation=requester.organisation,
        roles=requester.roles,
        purpose_of_use=requester.purpose_of_use,
        entities=tuple(entities),
        patients=tuple(patients),
        reason=reason,
        source_address=requester.source_address,
        query=query,
        consent_mode="enforced",
    )
