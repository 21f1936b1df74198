"""create, update, patch, delete: one resource through the gate in (http.html#create, #update, #patch, #delete).

Each also by a condition instead of an id (`…_where`).
"""

from __future__ import annotations

import asyncio
import random
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from msgspec import structs

from healthsync.domains.access import Interaction, Requester, RolePolicy, granted
from healthsync.domains.access.scopes import visible_elements
from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.errors import Conflict, HealthSyncError, InvalidInput, NotFound, Refused, Unavailable
from healthsync.exchange.disclose import Disclose, Refusal, Withheld
from healthsync.exchange.ingest import (
    ANY_VERSION,
    NO_VERSION,
    Hidden,
    Incoming,
    Ingest,
    Key,
    Known,
    PreconditionFailed,
    Stored,
    Submission,
    is_overtaken,
)
from healthsync.exchange.interactions.conditions import Conditions, Match, one, target_of_update
from healthsync.exchange.interactions.patches import Patch
from healthsync.exchange.offer import NotOffered
from healthsync.exchange.recording import audit_event
from healthsync.exchange.reference_policy import NOT_STORED, ReferencePolicy
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.database import Database, Transaction
from healthsync.infrastructure.turns import Turns
from healthsync.standards.fhir.bundles import Pairs, parse_query
from healthsync.standards.fhir.meta import loses_security
from healthsync.standards.fhir.summary import is_subsetted

_ETAG = re.compile(r'(?:W/)?"([^"]*)"')
_ACTIONS = {
    "create": Action.CREATE,
    "update": Action.UPDATE,
    "patch": Action.UPDATE,
    "delete": Action.DELETE,
    "transaction": Action.EXECUTE,
}
_SERVERS = ("versionId", "lastUpdated")
"""Of meta, what the server decides: sent back as it was read, it is no change."""

DECLASSIFIERS = frozenset({"admin"})
"""Roles that may take a security label away by a patch or `$meta-delete`: what it protected is shown to more people."""

_ATTEMPTS = 10
_LONGEST_WAIT_SECONDS = 0.05
_PATIENCE_SECONDS = 5.0
MOST_DELETED = 1000
"""Resources that one conditional delete may take."""

_T = TypeVar("_T")


class Write:
    """The writing interactions.

    update_create    whether an update may create a resource under the id that it names
    delete_several   whether a conditional delete may take more than one resource
    """

    def __init__(
        self,
        *,
        database: Database,
        ingest: Ingest,
        disclose: Disclose,
        audit: AuditService,
        roles: RolePolicy,
        clock: Clock,
        references: ReferencePolicy | None = None,
        update_create: bool = True,
        delete_several: bool = False,
    ) -> None:
        self._database, self._ingest, self._disclose = database, ingest, disclose
        self._audit, self._roles, self._references, self.now = audit, roles, references, clock.now
        self.update_create, self.delete_several = update_create, delete_several
        self.conditions = Conditions(disclose, audit)
        self._turns = Turns(_PATIENCE_SECONDS)

    async def create(
        self, requester: Requester, resource: dict[str, Any], *, if_none_exist: str | None = None
    ) -> Stored:
        """Store a new resource under an id of the hub's choosing; an id that the sender wrote is not kept.

        With `if_none_exist` (a query) a single match is answered instead, as "unchanged".
        Raises Refused, InvalidInput, Conflict.
        """
        resource_type = resource["resourceType"]
        condition = None if if_none_exist is None else parse_query(if_none_exist)
        await self._authorise(requester, Interaction.CREATE, resource_type, condition)

        async def work(tx: Transaction) -> Stored:
            if condition is not None:
                match = one(await self._matches(tx, requester, resource_type, condition))
                if match is not None:
                    return found(match)
            incoming = Incoming(self.new(resource), "create", is_fresh=True)
            return await self._submit_one(tx, requester, "create", incoming)

        # Its id is new; but somebody may be first with a stand-in for the patient that it names.
        return await self.until_done((), work, repeats=True)

    def new(self, resource: dict[str, Any]) -> dict[str, Any]:
        """The resource under a new id."""
        return {**as_sent(resource), "id": self._ingest.new_id()}

    async def update(self, requester: Requester, resource: dict[str, Any], *, if_match: int | None = None) -> Stored:
        """Store a resource under its id, new or as a next version; the same content again makes no version.

        Raises Refused, Withheld (404), InvalidInput, PreconditionFailed; NotOffered where clients may not choose ids.
        """
        await self.authorise(requester, Interaction.UPDATE, resource["resourceType"])
        key = (resource["resourceType"], resource["id"])

        async def work(tx: Transaction) -> Stored:
            if not self.update_create:
                await self.check_id(tx, requester, key, await self.states(tx, requester, [key]))
            incoming = Incoming(as_sent(resource), "update", if_match=if_match, keeps=True)
            return await self._submit_one(tx, requester, "update", incoming)

        return await self.until_done([key], work)

    async def prepare_update(self, requester: Requester, resource: dict[str, Any]) -> Incoming:
        """An update that somebody else submits along with what else belongs to it. Raises Refused."""
        await self.authorise(requester, Interaction.UPDATE, resource["resourceType"])
        return Incoming(as_sent(resource), "update", keeps=True)

    async def update_where(
        self, requester: Requester, resource: dict[str, Any], condition: Pairs, *, if_match: int | None = None
    ) -> Stored:
        """Update the one resource that a condition finds, or create it (http.html#cond-update).

        Raises as `update`; InvalidInput also for several matches (412) or another id than that of the match (400),
        Conflict (409) when nothing is found and the id that the resource names is taken.
        """
        resource_type = resource["resourceType"]
        await self._authorise(requester, Interaction.UPDATE, resource_type, condition)

        async def work(tx: Transaction) -> Stored:
            match = one(await self._matches(tx, requester, resource_type, condition))
            id_ = await self.id_for_update(tx, requester, resource_type, match, resource.get("id"))
            incoming = Incoming(as_sent({**resource, "id": id_}), "update", if_match=if_match, keeps=True)
            return await self._submit_one(tx, requester, "update", incoming)

        return await self.until_done([(resource_type, *condition)], work)

    async def patch(
        self, requester: Requester, resource_type: str, id_: str, patch: Patch, *, if_match: int | None = None
    ) -> Stored:
        """Change a resource that the requester may see as a whole; the outcome is validated like an update.

        Raises Refused, Withheld (404, 410), InvalidInput, PreconditionFailed.
        """
        await self.authorise(requester, Interaction.UPDATE, resource_type)

        async def work(tx: Transaction) -> Stored:
            return await self._patch(tx, requester, resource_type, id_, patch, if_match)

        return await self.until_done([(resource_type, id_)], work)

    async def patch_where(
        self, requester: Requester, resource_type: str, condition: Pairs, patch: Patch, *, if_match: int | None = None
    ) -> Stored:
        """Patch the one resource that a condition finds. Raises as `patch`; NotFound without a match."""
        await self._authorise(requester, Interaction.UPDATE, resource_type, condition)

        async def work(tx: Transaction) -> Stored:
            match = one(await self._matches(tx, requester, resource_type, condition))
            if match is None:
                raise NotFound("the condition finds nothing to patch")
            return await self._patch(tx, requester, resource_type, match.id, patch, if_match)

        return await self.until_done([(resource_type, *condition)], work)

    async def delete(
        self, requester: Requester, resource_type: str, id_: str, *, if_match: int | None = None
    ) -> Stored | None:
        """Mark a resource deleted; its history stays. One that is not there, or not for this requester, is no error
        (http.html#delete): None. Raises Refused, Conflict, PreconditionFailed."""
        await self.authorise(requester, Interaction.DELETE, resource_type)
        key = (resource_type, id_)

        async def work(tx: Transaction) -> Stored | None:
            states = await self.states(tx, requester, [key])
            if not await self.deletable_at(tx, requester, key, states, if_match):
                return None
            gone = deletion(resource_type, id_, if_match, states[key])
            return await self._submit_one(tx, requester, "delete", gone)

        return await self.until_done([key], work)

    async def delete_where(
        self, requester: Requester, resource_type: str, condition: Pairs, *, if_match: int | None = None
    ) -> list[Stored]:
        """Delete what a condition finds: nothing, one or, where that is allowed, several resources.

        Raises InvalidInput (`multiple-matches`, 412) for more than may go, PreconditionFailed for another version.
        """
        await self._authorise(requester, Interaction.DELETE, resource_type, condition)

        async def work(tx: Transaction) -> list[Stored]:
            matches = self.deletable(await self._matches(tx, requester, resource_type, condition, self.most_deleted))
            gone = [deletion(resource_type, match.id, if_match, made_of=match.version) for match in matches]
            return await self.submit(tx, requester, "delete", gone) if gone else []

        return await self.until_done([(resource_type, *condition)], work)

    # --- what a transaction shares with these ---------------------------------------------------------------------

    @asynccontextmanager
    async def unit(self, *, repeats: bool = False) -> AsyncIterator[Transaction]:
        """One commit. What was withheld in it is recorded although nothing is stored, and answered as if it were not
        there. Raises Outdated with `repeats`, after which it is done again without."""
        try:
            async with self._database.unit_of_work(repeats=repeats) as tx:
                yield tx
            await self._ingest.report()
        except Withheld as refused:
            await self._audit.record_and_commit(refused.event)
            raise refused.as_if or refused from None

    async def until_done(
        self,
        names: Collection[Hashable],
        work: Callable[[Transaction], Awaitable[_T]],
        *,
        repeats: bool = False,
    ) -> _T:
        """One commit, and once more when somebody else was first with what it writes: nothing of it is stored then, so
        that of several writers at one moment each succeeds, and the last one wins (http.html#update).

        `work` looks anew each time: who sent If-Match or a condition is refused by what stands then. Whoever was
        overtaken has a turn for its `names`, which those wait for who come later; other processes are met by chance
        only. Raises Conflict or Unavailable when that does not end, and what `unit` raises.
        """
        leave = await self._turns.take(names) if self._turns.are_taken(names) else None
        try:
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    async with self.unit(repeats=repeats and attempt == 1) as tx:
                        return await work(tx)
                except Exception as problem:
                    if not is_overtaken(problem) or (attempt == _ATTEMPTS and isinstance(problem, Conflict)):
                        raise
                if leave is None:
                    leave = await self._turns.take(names)
                else:
                    await asyncio.sleep(random.uniform(0, _LONGEST_WAIT_SECONDS))  # noqa: S311 - spreads, hides nothing
        finally:
            if leave is not None:
                leave()
        raise Unavailable("others write the same resources all the time; repeat it later")

    async def authorise(self, requester: Requester, needed: Interaction, resource_type: str) -> None:
        """Raises Refused, after recording it, when the roles do not give the interaction, or show only a part of what
        it would replace or delete; NotOffered for a view."""
        if not granted(self._roles, requester, needed, resource_type) or self._sees_a_part(
            requester, needed, resource_type
        ):
            await self._audit.record_and_commit(
                self._event(requester, needed.name.lower(), Outcome.REFUSED, (resource_type,), "role")
            )
            raise Refused(f"the roles of this client do not allow {needed.name.lower()} on {resource_type}")
        if resource_type in NOT_STORED and needed is not Interaction.SEARCH:
            raise NotOffered(f"{resource_type} is a view of what the hub knows and cannot be written", ("GET",))

    async def submit(
        self, tx: Transaction, requester: Requester, interaction: str, incoming: Sequence[Incoming]
    ) -> list[Stored]:
        """Bring resources in under one audit event; the caller commits."""
        event = self._event(requester, interaction, Outcome.PERMITTED, (), None)
        submission = Submission(requester.client_id, incoming, event, references=self._references, requester=requester)
        try:
            return (await self._ingest(tx, submission)).stored
        except Hidden as hidden:
            entity = "/".join(hidden.key)
            raise await self._disclose.withheld(tx, requester, interaction, entity, hidden.patient_key) from None

    async def states(self, tx: Transaction, requester: Requester, keys: Sequence[Key]) -> Mapping[Key, Known]:
        """Which resources were ever here, and whether they still are and may be shown."""
        return await self._ingest.states(tx, requester, keys)

    async def check_id(self, tx: Transaction, requester: Requester, key: Key, states: Mapping[Key, Known]) -> None:
        """Raises NotOffered (405) for an id that was never here, where clients may not choose ids."""
        known = states.get(key)
        if not self.update_create and (known is None or not known.permitted):
            told = NotOffered(f"{key[0]}/{key[1]} is not here, and clients do not choose ids: POST it", ("GET",))
            raise await self._absent(tx, requester, "update", key, known, told)

    async def deletable_at(
        self, tx: Transaction, requester: Requester, key: Key, states: Mapping[Key, Known], if_match: int | None
    ) -> bool:
        """Whether there is something to delete for this requester: what is withheld is as if it were not there, and the
        refusal is recorded. Raises PreconditionFailed where a version of nothing is named."""
        known = states.get(key)
        if known is not None and known.is_here:
            return True
        if if_match not in (None, NO_VERSION):
            told = PreconditionFailed(f"{'/'.join(key)} is not here")
            raise await self._absent(tx, requester, "delete", key, known, told)
        if known is not None and not known.permitted:
            refused = await self._disclose.withheld(tx, requester, "delete", "/".join(key), known.patient_key)
            await self._audit.record(tx, refused.event)
        return False

    async def _absent(
        self,
        tx: Transaction,
        requester: Requester,
        interaction: str,
        key: Key,
        known: Known | None,
        told: HealthSyncError,
    ) -> HealthSyncError:
        """What is answered for a resource that is not here; the same, but recorded, for one that is withheld."""
        if known is None or known.permitted:
            return told
        return await self._disclose.withheld(tx, requester, interaction, "/".join(key), known.patient_key, told)

    def _sees_a_part(self, requester: Requester, needed: Interaction, resource_type: str) -> bool:
        """Whether an update would drop, or a delete take along, elements that the roles hide."""
        changes = needed in (Interaction.UPDATE, Interaction.DELETE)
        return changes and bool(visible_elements(self._roles, requester, resource_type))

    async def id_for_update(
        self, tx: Transaction, requester: Requester, resource_type: str, match: Match | None, written: Any
    ) -> str:
        """The id under which a conditional update stores (http.html#cond-update). Raises InvalidInput, Conflict."""
        id_ = target_of_update(match, written)
        if match is not None or id_ is None:
            return match.id if match is not None else str(uuid.uuid4())
        states = await self.states(tx, requester, [(resource_type, id_)])
        known = states.get((resource_type, id_))
        if known is not None and known.is_here:
            raise Conflict(f"the condition finds nothing, but {resource_type}/{id_} is here already")
        await self.check_id(tx, requester, (resource_type, id_), states)
        return id_

    async def patched(
        self,
        tx: Transaction,
        requester: Requester,
        resource_type: str,
        id_: str,
        patch: Patch,
        if_match: int | None,
    ) -> Incoming | Stored:
        """The resource after a patch, to be submitted; what it is already when the patch changes nothing."""
        now = await self._disclose.editable(tx, requester, resource_type, id_)
        if if_match not in (None, ANY_VERSION, now.version):
            told = "here already" if if_match == NO_VERSION else f"not at version {if_match}; read it again and repeat"
            raise PreconditionFailed(f"{resource_type}/{id_} is {told}")
        after = patch(now.resource)
        if loses_security(now.resource, after) and not DECLASSIFIERS & set(requester.roles):
            raise Withheld(
                Refusal("forbidden", "only an administrator may take a security label away"),
                self._event(requester, "patch", Outcome.REFUSED, (f"{resource_type}/{id_}",), "security-label"),
            )
        if after == now.resource:  # nothing is stored, but it is shown: that is recorded like a read
            event = self._event(requester, "patch", Outcome.PERMITTED, (f"{resource_type}/{id_}",), None)
            await self._audit.record(tx, structs.replace(event, patients=now.patients))
            return Stored(resource_type, id_, now.version, now.updated_at, "unchanged", now.resource)
        return Incoming(as_sent(after), "update", made_of=now.version)

    @property
    def most_deleted(self) -> int:
        """Matches of a conditional delete worth looking for."""
        return MOST_DELETED + 1 if self.delete_several else 2

    def deletable(self, matches: Sequence[Match]) -> Sequence[Match]:
        """The matches of a conditional delete. Raises InvalidInput (412) when they are more than may go."""
        if not self.delete_several:
            one(matches)
        if len(matches) > MOST_DELETED:
            raise InvalidInput(f"the condition fits more than {MOST_DELETED} resources", code="multiple-matches")
        return matches

    async def _patch(
        self,
        tx: Transaction,
        requester: Requester,
        resource_type: str,
        id_: str,
        patch: Patch,
        if_match: int | None,
    ) -> Stored:
        after = await self.patched(tx, requester, resource_type, id_, patch, if_match)
        return after if isinstance(after, Stored) else await self._submit_one(tx, requester, "patch", after)

    async def _submit_one(self, tx: Transaction, requester: Requester, interaction: str, incoming: Incoming) -> Stored:
        return (await self.submit(tx, requester, interaction, [incoming]))[0]

    async def _authorise(
        self, requester: Requester, needed: Interaction, resource_type: str, condition: Pairs | None
    ) -> None:
        await self.authorise(requester, needed, resource_type)
        if condition is not None:  # what a condition finds is learned by it
            await self.authorise(requester, Interaction.SEARCH, resource_type)

    async def _matches(
        self, tx: Transaction, requester: Requester, resource_type: str, condition: Pairs, most: int = 2
    ) -> Sequence[Match]:
        asked = (resource_type, tuple(condition))
        return (await self.conditions.resolve(tx, requester, [asked], most=most))[asked]

    def _event(
        self, requester: Requester, interaction: str, outcome: Outcome, entities: tuple[str, ...], reason: str | None
    ) -> AuditEvent:
        action = _ACTIONS.get(interaction, Action.EXECUTE)
        return audit_event(requester, action, interaction, outcome, entities, reason=reason)


def as_sent(resource: dict[str, Any]) -> dict[str, Any]:
    """The resource without what the server writes into it (resource.html#Meta).

    Raises InvalidInput for a part of a resource: stored, it would take the rest away (search.html#summary).
    """
    meta = resource.get("meta")
    if not isinstance(meta, dict):
        return resource
    if is_subsetted(meta):
        told = "this is a part of a resource, as _summary or _elements show it; read it whole, change and send that"
        raise InvalidInput(told, code="business-rule", expression="Resource.meta.tag")
    if not any(name in meta for name in _SERVERS):
        return resource
    kept = {name: value for name, value in meta.items() if name.lstrip("_") not in _SERVERS}
    return {**resource, "meta": kept} if kept else {name: value for name, value in resource.items() if name != "meta"}


def deletion(
    resource_type: str,
    id_: str,
    if_match: int | None = None,
    found: Known | None = None,
    made_of: int | None = None,
) -> Incoming:
    """A resource that goes; `found` is what the sender saw of it, `made_of` the version that a condition fits."""
    stub = {"resourceType": resource_type, "id": id_}
    return Incoming(stub, "delete", if_match=if_match, found=found, made_of=made_of)


def found(match: Match) -> Stored:
    """What a conditional create answers for the resource that it found: all but the content."""
    stub = {"resourceType": match.resource_type, "id": match.id}
    return Stored(match.resource_type, match.id, match.version, match.updated_at, "unchanged", stub)


def expected_version(if_match: str | None, if_none_match: str | None = None) -> int | None:
    """The version that a write expects: of If-Match (http.html#concurrency), 0, which no resource has, when that is no
    number; ANY_VERSION for `If-Match: *`, NO_VERSION for `If-None-Match: *` (RFC 9110 §13.1); None without conditions.

    Raises InvalidInput when If-Match is no entity tag, or If-None-Match of a write names versions.
    """
    if if_none_match is not None:
        if if_match is not None or if_none_match.strip() != "*":
            raise InvalidInput("a write takes If-Match, or If-None-Match: * for what must be new", code="value")
        return NO_VERSION
    return if_match_version(if_match)


def if_match_version(etag: str | None) -> int | None:
    """As `expected_version`, of If-Match alone."""
    if etag is None:
        return None
    if etag.strip() == "*":
        return ANY_VERSION
    match = _ETAG.fullmatch(etag.strip())
    if match is None:
        raise InvalidInput('If-Match takes a version such as W/"3"', code="value")
    return int(match[1]) if match[1].isascii() and match[1].isdecimal() and len(match[1]) < 10 else 0
