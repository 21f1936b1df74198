"""The audit log as FHIR AuditEvents: who looked at what, for those who may know.

The log is the truth and the resource a view of it: an AuditEvent is never created, updated or deleted by a client.
Looking is recorded like any other look.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from healthsync.domains.access import Interaction, Requester, RolePolicy, granted
from healthsync.domains.audit import Action, AuditService, Outcome
from healthsync.errors import InvalidInput, NotFound, NotSupported, Refused
from healthsync.exchange.disclose import Disclosed
from healthsync.exchange.recording import audit_event
from healthsync.infrastructure.database import Database
from healthsync.standards.fhir import json
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
        await self._authorise(requester, Interaction.SEARCH)
        patient, since, until = _criteria(query)
        async with self._database.connection() as tx:
            rows = await self._audit.search(
                tx, patient=patient, since=since, until=until, before=before, count=count + 1
            )
        shown, more = rows[:count], len(rows) > count
        await self._record(requester, Interaction.SEARCH, Outcome.PERMITTED, None, [patient] if patient else [])
        return [self._audit.as_fhir(row) for row in shown], shown[-1].position if more and shown else None

    async def read(self, requester: Requester, id_: str) -> Disclosed:
        """One event of the log, which never changes. Raises Refused, NotFound."""
        await self._authorise(requester, Interaction.READ)
        async with self._database.connection() as tx:
            before = int(id_) + 1 if _POSITION.fullmatch(id_) else 0
            rows = await self._audit.search(tx, before=before, count=1) if before else []
        if not rows or str(rows[0].position) != id_:
            await self._record(requester, Interaction.READ, Outcome.REFUSED, "unknown", [], f"AuditEvent/{id_}")
            raise NotFound("there is no such resource, or it may not be shown to you")
        recorded = datetime.fromisoformat(rows[0].entry["recorded_at"])
        event = json.dump(self._audit.as_fhir(rows[0])).decode()
        await self._record(requester, Interaction.READ, Outcome.PERMITTED, None, [], f"AuditEvent/{id_}")
        return Disclosed("AuditEvent", id_, 1, recorded, False, event)

    async def _authorise(self, requester: Requester, wanted: Interaction) -> None:
        if AUDITORS & set(requester.roles) and granted(self._roles, requester, wanted, "AuditEvent"):
            return
        await self._record(requester, wanted, Outcome.REFUSED, "role", [])
        raise Refused("the roles of this client do not open the audit log")

    async def _record(
        self,
        requester: Requester,
        interaction: Interaction,
        outcome: Outcome,
        reason: str | None,
        patients: Sequence[str],
        entity: str = "AuditEvent",
    ) -> None:
        action, name = _RECORDED[interaction]
        event = audit_event(requester, action, name, outcome, [entity], patients=patients, reason=reason)
        await self._audit.record_and_commit(event)


_RECORDED = {Interaction.SEARCH: (Action.EXECUTE, "search-type"), Interaction.READ: (Action.READ, "read")}
_POSITION = re.compile(r"[1-9][0-9]{0,17}")


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
