"""Destinations of HL7 v2 messages are added, watched, paused, emptied of dead letters, and removed.

An operator on the data folder is named by his user name; over the API it takes a client with the role admin. Every
change is recorded. Lists show control ids, types, states and reasons; only `content` opens a message, which is an
access to patient data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from healthsync.domains.access import Interaction, Requester, RolePolicy, granted, purpose_of_use
from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.domains.deliveries import (
    DeliveryService,
    DeliveryState,
    Destination,
    DestinationState,
    Queue,
    Standing,
    StoredDelivery,
    Tls,
)
from healthsync.domains.privacy import DataKeys
from healthsync.errors import InvalidInput, NotFound, Refused
from healthsync.exchange.deliver_messages import key_scope
from healthsync.exchange.recording import audit_event
from healthsync.exchange.send_message import SendMessage
from healthsync.infrastructure.database import Database, Transaction

ADMINISTRATORS = frozenset({"admin"})
"""Roles that may decide where patient data is sent."""

By = Requester | str
"""A client of the API, or the user name of an operator."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A destination and its queue."""

    standing: Standing
    queue: Queue
    circuit: str


class ManageDestinations:
    """The flow."""

    def __init__(
        self,
        *,
        database: Database,
        deliveries: DeliveryService,
        send_message: SendMessage,
        data_keys: DataKeys,
        audit: AuditService,
        roles: RolePolicy,
    ) -> None:
        self._database, self._deliveries, self._send = database, deliveries, send_message
        self._data_keys, self._audit, self._roles = data_keys, audit, roles

    async def add(self, by: By, terms: Mapping[str, Any]) -> Shown:
        """Register a destination from what was written (see `Destination`); changes are sent from now on.

        Raises InvalidInput for terms that do not hold, Conflict when the name is taken, Refused.
        """
        await self._authorise(by, "add-destination")
        destination = _destination(terms)
        if not self._roles.knows(destination.role):
            known = ", ".join(sorted(self._roles.interactions))
            raise InvalidInput(f"no role is named {destination.role}; roles are {known}", code="value")
        try:
            purpose_of_use(self._roles, (destination.role,), destination.purpose_of_use)
        except Refused:
            raise InvalidInput(
                f"the role {destination.role} has no purpose {destination.purpose_of_use}", code="value"
            ) from None
        async with self._database.transaction() as tx:
            standing = await self._deliveries.add(tx, destination)
            await self._record(tx, by, Action.CREATE, "add-destination", destination.name)
        return self._shown(standing, Queue())

    async def listed(self, by: By) -> list[Shown]:
        """All destinations. Raises Refused."""
        await self._authorise(by, "list-destinations")
        async with self._database.connection() as tx:
            queues = await self._deliveries.queues(tx)
            standings = await self._deliveries.standings(tx)
        return [self._shown(each, queues.get(each.destination.name, Queue())) for each in standings]

    async def show(self, by: By, name: str) -> Shown:
        """One destination. Raises NotFound, Refused."""
        await self._authorise(by, "show-destination")
        async with self._database.connection() as tx:
            standing = await self._deliveries.standing(tx, name)
            return self._shown(standing, (await self._deliveries.queues(tx, name))[name])

    async def pause(self, by: By, name: str, *, paused: bool) -> None:
        """Pause, or resume. What happens meanwhile waits. Raises NotFound, Refused."""
        verb = "pause-destination" if paused else "resume-destination"
        await self._authorise(by, verb)
        async with self._database.transaction() as tx:
            state = DestinationState.PAUSED if paused else DestinationState.ACTIVE
            await self._deliveries.set_state(tx, name, state)
            await self._record(tx, by, Action.UPDATE, verb, name)

    async def remove(self, by: By, name: str, *, discard: bool = False) -> Queue:
        """Take it out; returns what was discarded. Raises NotFound, Refused, Conflict while messages wait or are dead
        and may not be discarded."""
        await self._authorise(by, "remove-destination")
        async with self._database.transaction() as tx:
            queue = await self._deliveries.remove(tx, name, discard=discard)
            await self._record(tx, by, Action.DELETE, "remove-destination", name)
        return queue

    async def deliveries(
        self, by: By, name: str, *, state: str = "dead", before: int | None = None, limit: int = 100
    ) -> list[StoredDelivery]:
        """A page of deliveries without their content, newest first. Raises NotFound, Refused, InvalidInput."""
        await self._authorise(by, "list-deliveries")
        if state not in set(DeliveryState):
            raise InvalidInput(f"no state is named so; states are {', '.join(DeliveryState)}", code="value")
        async with self._database.connection() as tx:
            return await self._deliveries.listed(tx, name, DeliveryState(state), before=before, limit=limit)

    async def retry(self, by: By, name: str, sequences: Sequence[int] | None) -> list[int]:
        """Dead letters back at their old place: these, or all (None). What has no content is built now, by the gate.

        Returns those that wait again. Raises NotFound, Refused.
        """
        await self._authorise(by, "retry-delivery")
        async with self._database.transaction() as tx:
            standing = await self._deliveries.standing(tx, name)
            for sequence, occasion in await self._deliveries.unbuilt(tx, name, sequences):
                await self._send.rebuild(tx, standing.destination, sequence, occasion)
            back = await self._deliveries.retry(tx, name, sequences)
            await self._record(tx, by, Action.EXECUTE, "retry-delivery", name)
        return back

    async def set_aside(self, by: By, name: str, sequence: int) -> None:
        """Take a waiting message out of the queue, so that the younger ones may go on. Raises NotFound, Refused."""
        await self._authorise(by, "set-aside-delivery")
        async with self._database.transaction() as tx:
            await self._deliveries.set_aside(tx, name, sequence)
            await self._record(tx, by, Action.UPDATE, "set-aside-delivery", name)

    async def content(self, operator: str, name: str, sequence: int, reason: str) -> tuple[bytes, str]:
        """A message and what the partner wrote about it. `reason` is a code without spaces, such as a ticket's number.

        The access is committed to the audit log before anything is returned. Raises NotFound.
        """
        async with self._database.transaction() as tx:
            control_id, version, payload, detail = await self._deliveries.content(tx, name, sequence)
            place = (key_scope(name), version or 0)
            keys = await self._data_keys.of_versions(tx, [place])
            if payload is None or place not in keys:
                raise NotFound(f"message {sequence} has no content (any more)")
            found = self._deliveries.open_content(name, control_id, keys[place], payload, detail)
            await self._audit.record(
                tx,
                AuditEvent(
                    action=Action.READ,
                    interaction="show-delivery",
                    outcome=Outcome.PERMITTED,
                    user=operator,
                    purpose_of_use="HOPERAT",
                    reason=reason,
                    entities=(_entity(name),),
                ),
            )
        return found

    def _shown(self, standing: Standing, queue: Queue) -> Shown:
        return Shown(standing, queue, self._deliveries.circuit(standing).value)

    async def _authorise(self, by: By, interaction: str) -> None:
        if isinstance(by, str):
            return
        if ADMINISTRATORS & set(by.roles) and granted(self._roles, by, Interaction.UPDATE, "Endpoint"):
            return
        event = audit_event(by, Action.EXECUTE, interaction, Outcome.REFUSED, ["Destination"], reason="role")
        await self._audit.record_and_commit(event)
        raise Refused("the roles of this client do not allow deciding where messages are sent; it takes admin")

    async def _record(self, tx: Transaction, by: By, action: Action, interaction: str, name: str) -> None:
        if isinstance(by, str):
            event = AuditEvent(action=action, interaction=interaction, outcome=Outcome.PERMITTED, user=by,
                               entities=(_entity(name),))  # fmt: skip
        else:
            event = audit_event(by, action, interaction, Outcome.PERMITTED, [_entity(name)])
        await self._audit.record(tx, event)


def _entity(name: str) -> str:
    return f"Destination/{name}"


def document(shown: Shown) -> dict[str, Any]:
    """A destination as JSON: its terms, and how it stands."""
    standing, destination = shown.standing, shown.standing.destination
    terms = {name: getattr(destination, name) for name in destination.__slots__}
    tls = destination.tls
    terms["tls"] = {name: getattr(tls, name) for name in tls.__slots__} if tls else None
    return {
        **terms,
        "state": standing.state,
        "circuit": shown.circuit,
        "failures": standing.failures,
        "failing_since": _text(standing.failing_since),
        "retry_at": _text(standing.retry_at),
        "reason": standing.reason,
        "waiting": shown.queue.waiting,
        "dead": shown.queue.dead,
        "oldest_at": _text(shown.queue.oldest_at),
        "created_at": _text(standing.created_at),
    }


def delivery_document(delivery: StoredDelivery) -> dict[str, Any]:
    """A delivery as JSON, without content."""
    told = {name: getattr(delivery, name) for name in delivery.__slots__}
    return {**told, **{name: _text(told[name]) for name in ("queued_at", "settled_at", "next_attempt_at")}}


def _text(at: Any) -> str | None:
    return at.isoformat() if at is not None else None


_TYPES: Mapping[str, tuple[type, ...]] = {
    "str": (str,), "int": (int,), "float": (int, float, Decimal), "bool": (bool,), "str | None": (str, type(None)),
}  # fmt: skip


_LISTS = ("messages", "not_from", "domains")


def _destination(terms: Mapping[str, Any]) -> Destination:
    """A destination from what was written. Raises InvalidInput that names the entry."""
    given = dict(_checked(Destination, {k: v for k, v in terms.items() if k not in ("tls", *_LISTS)}))
    for name in _LISTS:
        value = terms.get(name, ())
        if not isinstance(value, (list, tuple)) or not all(isinstance(each, str) for each in value):
            raise InvalidInput(f"“{name}” is a list of texts", code="value")
        given[name] = tuple(value)
    if tls := terms.get("tls"):
        given["tls"] = Tls(**_checked(Tls, {} if tls is True else tls))
    for name in ("name", "host", "port"):
        if name not in given:
            raise InvalidInput(f"a destination needs “{name}”", code="required")
    return Destination(**given)


def _checked(kind: type, values: Any) -> dict[str, Any]:
    if not isinstance(values, Mapping):
        raise InvalidInput(f"{kind.__name__.lower()} is an object", code="value")
    known: dict[str, Any] = kind.__annotations__
    for name, value in values.items():
        if name not in known:
            raise InvalidInput(f"a destination has no “{str(name)[:40]}”; it has {', '.join(known)}", code="value")
        types = _TYPES.get(str(known[name]), ())
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise InvalidInput(f"“{name}” is of type {known[name]}", code="value")
    return {name: float(value) if isinstance(value, Decimal) else value for name, value in values.items()}
