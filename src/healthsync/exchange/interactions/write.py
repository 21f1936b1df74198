"""create, update, delete: one resource through the gate in (http.html#create, #update, #delete)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from typing import Any

from healthsync.domains.access import Interaction, Requester, RolePolicy, granted
from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.errors import InvalidInput, Refused
from healthsync.exchange.disclose import Disclose
from healthsync.exchange.ingest import Incoming, Ingest, Stored, Submission
from healthsync.exchange.recording import audit_event
from healthsync.infrastructure.database import Database, Transaction
from healthsync.standards.fhir.bundles import Pairs, parse_query
from healthsync.standards.fhir.query import parse_condition

_ETAG = re.compile(r'(?:W/)?"(\d{1,9})"')
_ACTIONS = {"create": Action.CREATE, "update": Action.UPDATE, "delete": Action.DELETE, "transaction": Action.EXECUTE}


class Write:
    """The writing interactions."""

    def __init__(
        self, *, database: Database, ingest: Ingest, disclose: Disclose, audit: AuditService, roles: RolePolicy
    ) -> None:
        self._database, self._ingest, self._disclose = database, ingest, disclose
        self._audit, self._roles = audit, roles

    async def create(
        self, requester: Requester, resource: dict[str, Any], *, if_none_exist: str | None = None
    ) -> Stored:
        """Store a new resource under an id of the hub's choosing; an id that the sender wrote is not kept.

        With `if_none_exist` (a query) a single match is answered instead. Raises Refused, InvalidInput, Conflict.
        """
        await self.authorise(requester, Interaction.CREATE, resource["resourceType"])
        async with self._database.transaction() as tx:
            if if_none_exist is not None:
                found = await self.match(tx, requester, resource["resourceType"], parse_query(if_none_exist))
                if found is not None:
                    return found
            incoming = Incoming({**resource, "id": str(uuid.uuid4())}, "create")
            return (await self.submit(tx, requester, "create", [incoming]))[0]

    async def update(self, requester: Requester, resource: dict[str, Any], *, if_match: int | None = None) -> Stored:
        """Store a resource under its id, new or as a next version. Raises Refused, InvalidInput, PreconditionFailed."""
        await self.authorise(requester, Interaction.UPDATE, resource["resourceType"])
        async with self._database.transaction() as tx:
            return (await self.submit(tx, requester, "update", [Incoming(resource, "update", if_match=if_match)]))[0]

    async def delete(self, requester: Requester, resource_type: str, id_: str, *, if_match: int | None = None) -> None:
        """Mark a resource deleted; its history stays. One that is gone already is no error (http.html#delete)."""
        await self.authorise(requester, Interaction.DELETE, resource_type)
        stub = {"resourceType": resource_type, "id": id_}
        async with self._database.transaction() as tx:
            head = await self._ingest.head(tx, (resource_type, id_))
            if head is not None and not head["deleted"]:
                await self.submit(tx, requester, "delete", [Incoming(stub, "delete", if_match=if_match)])

    async def authorise(self, requester: Requester, needed: Interaction, resource_type: str) -> None:
        """Raises Refused, after recording it, when the roles do not give the interaction."""
        if granted(self._roles, requester, needed, resource_type):
            return
        await self._audit.record_and_commit(
            self._event(requester, needed.name.lower(), Outcome.REFUSED, (resource_type,), "role")
        )
        raise Refused(f"the roles of this client do not allow {needed.name.lower()} on {resource_type}")

    async def submit(
        self, tx: Transaction, requester: Requester, interaction: str, incoming: Sequence[Incoming]
    ) -> list[Stored]:
        """Bring resources in under one audit event; the caller commits."""
        event = self._event(requester, interaction, Outcome.PERMITTED, (), None)
        return (await self._ingest(tx, Submission(requester.client_id, incoming, event))).stored

    async def match(self, tx: Transaction, requester: Requester, resource_type: str, condition: Pairs) -> Stored | None:
        """The one resource that a condition finds among those the requester may see.

        Raises InvalidInput: `multiple-matches` (412) for several, or when the condition is none.
        """
        found = await self._disclose.match(tx, requester, parse_condition(resource_type, condition))
        # What a condition finds tells that someone exists: that is recorded like a read.
        entities = tuple(row.reference for row in found) or (resource_type,)
        await self._audit.record(tx, self._event(requester, "conditional", Outcome.PERMITTED, entities, None))
        if len(found) > 1:
            raise InvalidInput("the condition fits several resources; make it more precise", code="multiple-matches")
        if not found:
            return None
        one = found[0]
        stub = {"resourceType": one.resource_type, "id": one.id}
        return Stored(one.resource_type, one.id, one.version, one.updated_at, "unchanged", stub)

    def _event(
        self, requester: Requester, interaction: str, outcome: Outcome, entities: tuple[str, ...], reason: str | None
    ) -> AuditEvent:
        action = _ACTIONS.get(interaction, Action.EXECUTE)
        return audit_event(requester, action, interaction, outcome, entities, reason=reason)


def if_match_version(etag: str | None) -> int | None:
    """The version that If-Match names (http.html#concurrency). Raises InvalidInput when it names none."""
    if etag is None:
        return None
    match = _ETAG.fullmatch(etag.strip())
    if match is None:
        raise InvalidInput('If-Match takes a version such as W/"3"', code="value")
    return int(match[1])
