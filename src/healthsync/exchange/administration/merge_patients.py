"""Patient/$merge: two records of one source are one person's, and one goes out of use (FHIR R6 ballot,
patient-operation-merge, as R4 servers implement it; HL7 v2 A40 does the same).

Nothing is copied and no reference is rewritten: what was recorded under the retired number stays there, and is found
through the person. Therefore a merge can be taken back at any time, which the operation of FHIR does not offer:
`POST /api/v1/healthsync/identity/unmerge`, or `Patient/$merge` the other way round to change sides.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from healthsync.domains.access import Requester
from healthsync.domains.audit import Action, AuditService, Outcome
from healthsync.errors import HealthSyncError, InvalidInput, Unavailable
from healthsync.exchange.administration.operators import STEWARDS, Actor, Operators
from healthsync.exchange.administration.steward_identity import StewardIdentity
from healthsync.exchange.disclose import Disclose, Disclosed
from healthsync.exchange.ingest import Incoming
from healthsync.exchange.recording import audit_event
from healthsync.standards.fhir import references
from healthsync.standards.fhir.outcome import Issue
from healthsync.standards.fhir.parameters import Parameters

_TAKEN = (
    "source-patient",
    "source-patient-identifier",
    "target-patient",
    "target-patient-identifier",
    "result-patient",
    "preview",
)
_REASON = "fhir-merge"


@dataclass(frozen=True, slots=True)
class Merged:
    """What was done, or would be: issues for the sender, and the target as he may see it (None: he may not)."""

    issues: list[Issue]
    result: Disclosed | None


PrepareUpdate = Callable[[Requester, dict[str, Any]], Awaitable[Incoming]]
"""Makes an update of a resource for the gate in. Raises Refused when the requester's roles do not give it."""


class MergePatients:
    """The operation."""

    def __init__(
        self,
        stewards: StewardIdentity,
        operators: Operators,
        prepare: PrepareUpdate,
        disclose: Disclose,
        audit: AuditService,
    ) -> None:
        self._stewards, self._operators, self._prepare = stewards, operators, prepare
        self._disclose, self._audit = disclose, audit

    async def __call__(self, requester: Requester, asked: Parameters) -> Merged:
        """Merge, or with `preview` tell whether it would go. Raises Refused, NotFound or InvalidInput, recorded."""
        await self._operators.require(requester, "$merge", "Patient", STEWARDS)
        try:
            return await self._merge(requester, asked.only(_TAKEN))
        except Unavailable:
            raise
        except HealthSyncError as problem:
            event = audit_event(requester, Action.UPDATE, "$merge", Outcome.REFUSED, ["Patient"], reason=problem.code)
            await self._audit.record_and_commit(event)
            raise

    async def _merge(self, requester: Requester, asked: Parameters) -> Merged:
        source, target = await self._named(asked, "source-patient"), await self._named(asked, "target-patient")
        preview, result = asked.flag("preview", False), asked.object("result-patient")
        incoming = await self._result(requester, result, target, asked) if result is not None else None
        await self._stewards.merge(
            Actor.of(requester),
            target,
            source,
            _REASON,
            result=incoming,
            requester=requester,
            is_preview=preview,
        )
        told = "the merge would be carried out; nothing was changed" if preview else "the records are merged"
        shown = await self._disclose.read(requester, "Patient", target)
        return Merged(
            [Issue("information", "informational", None, told)], shown if isinstance(shown, Disclosed) else None
        )

    async def _named(self, asked: Parameters, name: str) -> str:
        """The patient that a reference, identifiers, or both name."""
        reference, identifiers = asked.object(name), asked.all(f"{name}-identifier")
        if reference is None and not identifiers:
            raise InvalidInput(f"say which patient: {name} or {name}-identifier", code="required")
        if not all(isinstance(identifier, Mapping) for identifier in identifiers):
            raise InvalidInput(f"{name}-identifier is an Identifier", code="value")
        found = await self._stewards.patient_with(identifiers) if identifiers else None
        if reference is None:
            assert found is not None, "one of the two is given"
            return found
        parsed = references.parse(str(reference.get("reference", "")))
        if parsed.type != "Patient" or not parsed.id:
            raise InvalidInput(f"{name} is a reference Patient/[id]", code="value")
        if found is not None and found != parsed.id:
            raise InvalidInput(f"{name} and {name}-identifier name two patients", code="business-rule")
        return parsed.id

    async def _result(
        self, requester: Requester, result: Mapping[str, Any], target: str, asked: Parameters
    ) -> Incoming:
        """The target as it shall read afterwards; who sends it must be allowed to update the patient."""
        if result.get("resourceType") != "Patient" or result.get("id") != target:
            raise InvalidInput("result-patient is the target Patient, under its id", code="business-rule")
        kept = {(number.get("system"), number.get("value")) for number in result.get("identifier", ())}
        wanted = asked.all("target-patient-identifier")
        if not {(number.get("system"), number.get("value")) for number in wanted} <= kept:
            raise InvalidInput("result-patient keeps the identifiers that name the target", code="business-rule")
        return await self._prepare(requester, dict(result))
