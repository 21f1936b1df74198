"""`$validate`: would this resource be taken, and what should be better? (resource-operation-validate.html)

    (1) examine   by the same rules as the gate in, with its warnings
    (2) rehearse  with a mode: do all that the interaction would do, and undo it
    (3) record    in the audit log, before the answer

The answer is always an OperationOutcome; only who may not ask is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from healthsync.domains.access import Requester
from healthsync.domains.audit import Action, AuditService, Outcome
from healthsync.exchange.conformity import Conformity
from healthsync.exchange.recording import audit_event
from healthsync.infrastructure.database import Database
from healthsync.standards.fhir.outcome import Issue, error

Kind = Literal["create", "update", "delete"]
MODES = ("create", "update", "delete", "profile")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: a resource of the type and, on an instance, the id of the URL; how; against which profiles."""

    resource_type: str
    resource: dict[str, Any] | None
    id: str | None = None
    mode: Literal["create", "update", "delete", "profile"] | None = None
    profiles: tuple[str, ...] = ()


class Rehearse(Protocol):
    """A write that is undone (`interactions.rehearsal`)."""

    async def authorise(self, requester: Requester, kind: Kind, resource_type: str) -> None:
        """Raises Refused for who may not do this in earnest."""

    async def __call__(
        self, requester: Requester, kind: Kind, resource_type: str, id_: str | None, resource: dict[str, Any] | None
    ) -> list[Issue]:
        """What the gate would say."""
        ...


class Validate:
    """The operation."""

    def __init__(self, *, database: Database, conformity: Conformity, rehearse: Rehearse, audit: AuditService) -> None:
        self._database, self._conformity, self._rehearse, self._audit = database, conformity, rehearse, audit

    async def __call__(self, requester: Requester, question: Question) -> list[Issue]:
        """The issues; none when all is well.

        Raises Refused when a mode is asked for whose interaction the requester may not use.
        """
        kind: Kind | None = None if question.mode == "profile" else question.mode
        if kind is not None:
            await self._rehearse.authorise(requester, kind, question.resource_type)
        issues = _contradictions(question)
        if not issues and question.resource is not None and kind != "delete":
            issues = await self._examine(question.resource, question.profiles)  # (1)
        if kind is not None and not any(issue.is_error for issue in issues):
            asked = (question.resource_type, question.id, question.resource)
            issues = [*issues, *await self._rehearse(requester, kind, *asked)]  # (2)
        await self._record(requester, question)  # (3)
        return list(dict.fromkeys(issues))

    async def _examine(self, resource: dict[str, Any], asked: Sequence[str]) -> list[Issue]:
        async with self._database.connection() as tx:
            profiles = await self._conformity.profiles(tx)
        return self._conformity.examine(profiles, resource, asked)

    async def _record(self, requester: Requester, question: Question) -> None:
        entity = f"{question.resource_type}/{question.id}" if question.id else question.resource_type
        event = audit_event(requester, Action.EXECUTE, "$validate", Outcome.PERMITTED, (entity,))
        await self._audit.record_and_commit(event)


def _contradictions(question: Question) -> list[Issue]:
    """What the question itself lacks."""
    resource, resource_type = question.resource, question.resource_type
    if question.mode == "profile" and not question.profiles:
        return [error("required", "the mode profile needs the parameter profile")]
    if question.mode in {"update", "delete"} and question.id is None:
        return [error("invalid", f"ask the mode {question.mode} of an instance: POST {resource_type}/id/$validate")]
    if question.mode == "delete":
        return []
    if resource is None:
        return [error("required", "give the resource, alone or as the parameter resource of a Parameters resource")]
    if resource.get("resourceType") != resource_type:
        told = f"the resource must be of the type of the URL, {resource_type}"
        return [error("invalid", told, "Resource.resourceType")]
    if question.id is not None and resource.get("id", question.id) != question.id:
        return [error("invalid", "the resource must carry the id of its URL", f"{resource_type}.id")]
    return []
