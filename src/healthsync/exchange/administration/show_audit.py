"""The audit log as FHIR AuditEvents: who looked at what, for those who may know.

The log is the truth and the resource a view of it: an AuditEvent is never created, updated or deleted by a client.
Looking is recorded like any other look.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from healthsync.domains.access import Interaction, Requester, RolePolicy, granted
from healthsync.domains.audit import Action, AuditService, Outcome
from healthsync.errors import InvalidInput, NotSupported, Refused
from healthsync.exchange.recording import audit_event
from healthsync.infrastructure.database import Database
from healthsync.standards.fhir.dates import Prefix
from healthsync.standards.fhir.query import Criterion, DateValue, ReferenceValue, SearchQuery

AUDITORS = frozenset({"admin"})
"""Roles that may see the log: it tells of all patients and all staff."""

SEARCHED_BY = ("date", "patient")
"""Search parameters of AuditEvent that the log answers."""


class ShowAudit:
    """The flow."""

    def __init__(self, database: Database, audit: AuditService, roles: RolePolicy) -> None:
        self._database, self._audit, self._roles = database, audit, roles

    async def search(
        self, requester: Requester, query: SearchQuery, *, before: int | None, count: int
    ) -> tuple[list[dict[str, Any]], int | None]:
        """AuditEvents, youngest first, by `patient` and `date`; and where the next page begins.

        Raises Refused, or InvalidInput for a parameter that the log cannot be searched by.
        """
        await self._authorise(requester)
        patient, since, until = _criteria(query)
        async with self._database.connection() as tx:
            rows = await self._audit.search(
                tx, patient=patient, since=since, until=until, before=before, count=count + 1
            )
        shown, more = rows[:count], len(rows) > count
        await self._record(requester, "search-type", Outcome.PERMITTED, None, [patient] if patient else [])
        return [self._audit.as_fhir(row) for row in shown], shown[-1].position if more and shown else None

    async def _authorise(self, requester: Requester) -> None:
        if AUDITORS & set(requester.roles) and granted(self._roles, requester, Interaction.SEARCH, "AuditEvent"):
            return
        await self._record(requester, "search-type", Outcome.REFUSED, "role", [])
        raise Refused("the roles of this client do not open the audit log")

    async def _record(
        self, requester: Requester, interaction: str, outcome: Outcome, reason: str | None, patients: Sequence[str]
    ) -> None:
        event = audit_event(
            requester, Action.EXECUTE, interaction, outcome, ["AuditEvent"], patients=patients, reason=reason
        )
        await self._audit.record_and_commit(event)


def _criteria(query: SearchQuery) -> tuple[str | None, datetime | None, datetime | None]:
    patient: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    for criterion in query.criteria:
        if not isinstance(criterion, Criterion) or len(criterion.values) != 1 or criterion.modifier is not None:
            raise NotSupported("the audit log is searched by one patient and a range of dates")
        (value,) = criterion.values
        if criterion.parameter.name == "patient" and isinstance(value, ReferenceValue) and value.id:
            patient = f"Patient/{value.id}"
        elif criterion.parameter.name == "date" and isinstance(value, DateValue):
            if value.prefix in (Prefix.EQUAL, Prefix.GREATER_OR_EQUAL, Prefix.GREATER, Prefix.STARTS_AFTER):
                since = value.low if value.prefix in (Prefix.EQUAL, Prefix.GREATER_OR_EQUAL) else value.high
            if value.prefix in (Prefix.EQUAL, Prefix.LESS_OR_EQUAL, Prefix.LESS, Prefix.ENDS_BEFORE):
                until = value.high if value.prefix in (Prefix.EQUAL, Prefix.LESS_OR_EQUAL) else value.low
        else:
            raise InvalidInput("the audit log is searched by patient and date", code="not-supported")
    return patient, since, until
