"""A model learns from what people decided about who is who; and which model decides.

It is a job: the decided pairs are looked at batch by batch through the gate out, which lets numbers from short scales
pass and no value, and each look is in the audit log with all whom it concerned. Then the model learns, and is judged
beside the weights and beside the model that decides now. It decides nothing until an administrator says so, and the hub
was started anew.

What learns is imported when it is asked for: a hub that learns nothing does not load it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.domains.identity import Decider, demographics_of, shipped_weights
from healthsync.domains.quality import QualityService, Reporting
from healthsync.errors import InvalidInput
from healthsync.exchange.administration.operators import Actor
from healthsync.exchange.disclose import Disclose
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.database import Database
from healthsync.infrastructure.jobs import Job, JobTable

if TYPE_CHECKING:
    from healthsync.domains.identity.learning import Example, ReviewedPair
    from healthsync.domains.identity.learning.service import LearningService, StoredModel

__all__ = ["KIND", "LearnIdentity", "model_document"]

KIND = "identity-learn"
"""The kind of its jobs."""

BATCH = 100

_SAMPLE = "sample"
"""The source of a labelled file."""


class LearnIdentity:
    """The flow, and the handler of its jobs. `key` proves models, `link` is the probability from which one links."""

    def __init__(
        self,
        *,
        database: Database,
        key: bytes,
        deciding: Decider,
        link: float,
        disclose: Disclose,
        quality: QualityService,
        audit: AuditService,
        table: JobTable,
        clock: Clock,
    ) -> None:
        self._database, self._key, self._deciding, self._link = database, key, deciding, link
        self._disclose, self._quality, self._audit, self._table = disclose, quality, audit, table
        self._clock = clock

    @cached_property
    def _learning(self) -> LearningService:
        from healthsync.domains.identity.learning.service import LearningService

        return LearningService(self._key, shipped_weights(), self._clock)

    async def start(
        self,
        by: Actor,
        *,
        owner: str,
        dry_run: bool = False,
        claimed: bool = False,
        labelled: Sequence[tuple[Mapping[str, Any], str]] = (),
    ) -> Job:
        """A job that learns; with `dry_run` it tells how good the model would be, and keeps none.

        `labelled` are Patients of a sample, each with who it is: what the weights doubt among them counts as reviewed
        before all else, and only its numbers are kept. Raises TooManyJobs while one of this owner's is at work,
        InvalidInput where there is too little to learn from.
        """
        from healthsync.domains.identity.learning import check_enough, weights_of
        from healthsync.domains.identity.learning.labelled import compared_pairs, doubted

        weights = weights_of(self._deciding)
        if weights is None:
            raise InvalidInput(
                "a model learns beside the statistical weights (mpi.profile: statistical); this hub decides otherwise",
                code="business-rule",
            )
        says, truth = [demographics_of(patient) for patient, _ in labelled], [who for _, who in labelled]
        sample = doubted(compared_pairs(says, truth), weights, _SAMPLE)
        request = {"dry_run": dry_run, "user": by.name, "client": by.client, "roles": list(by.roles)}
        request |= {"labelled": msgspec.to_builtins(sample)}
        async with self._database.transaction() as tx:
            await self._audit.record(tx, _event(request, Action.EXECUTE, "identity-learn", "IdentityModel"))
            check_enough([each.is_one for each in (*sample, *await self._learning.reviewed_pairs(tx))])
            return await self._table.add(tx, KIND, owner, request, claimed=claimed, most_unfinished=1)

    async def __call__(self, job: Job) -> Mapping[str, Any]:
        """Do a job. One that was interrupted begins anew: the same reviews give the same model."""
        from healthsync.domains.identity.learning import Example, train

        async with self._database.connection() as tx:
            pairs = await self._learning.reviewed_pairs(tx)
            active = await self._learning.active(tx)
            quality = await self._quality_of_sources()
        examples = msgspec.convert(job.request["labelled"], list[Example])
        result: dict[str, Any] = {"labelled": len(examples)}
        for begin in range(0, len(pairs), BATCH):
            examples += await self._examples(job, pairs[begin : begin + BATCH])
            await self._advance(job, f"{min(begin + BATCH, len(pairs))} of {len(pairs)} reviews")
        await self._advance(job, "learning")
        previous = active.model if active and not active.fault else None
        trained = await asyncio.to_thread(
            train, examples, shipped_weights(), quality, link=self._link, previous=previous
        )
        result |= {"left_out": result["labelled"] + len(pairs) - len(examples), "version": trained.version}
        result |= trained.facts
        if job.request["dry_run"]:
            return {"number": None, "dry_run": True, **result}
        async with self._database.transaction() as tx:
            kept = await self._learning.keep(tx, trained, job.request["user"])
            entity = f"IdentityModel/{kept.number}"
            await self._audit.record(tx, _event(job.request, Action.CREATE, "identity-learn", entity))
        return {"number": kept.number, "dry_run": False, **result}

    async def models(self, by: Actor) -> list[StoredModel]:
        """All models that were kept, the oldest first."""
        await self._audit.record_and_commit(_event(_request(by), Action.READ, "identity-models", "IdentityModel"))
        async with self._database.connection() as tx:
            return await self._learning.models(tx)

    async def model(self, by: Actor, number: int) -> StoredModel:
        """One of them. Raises NotFound."""
        event = _event(_request(by), Action.READ, "identity-models", f"IdentityModel/{number}")
        await self._audit.record_and_commit(event)
        async with self._database.connection() as tx:
            return await self._learning.model(tx, number)

    async def use(self, by: Actor, number: int | None, *, although_worse: bool = False) -> None:
        """Choose which model decides, or none; from the next start of the hub on. Raises NotFound, Conflict,
        InvalidInput."""
        async with self._database.transaction() as tx:
            await self._learning.use(tx, number, by.name, although_worse=although_worse)
            entity = "IdentityModel/none" if number is None else f"IdentityModel/{number}"
            await self._audit.record(tx, _event(_request(by), Action.UPDATE, "identity-use-model", entity))

    async def _examples(self, job: Job, pairs: Sequence[ReviewedPair]) -> list[Example]:
        from healthsync.domains.identity.learning import Example

        told = tuple(sorted({f"Patient/{each.patient_id}" for pair in pairs for each in (pair.one, pair.other)}))
        event = _event(job.request, Action.READ, "identity-learn", f"Job/{job.id}", *told, patients=told)
        seen = await self._disclose.seen([(pair.one.patient_id, pair.other.patient_id) for pair in pairs], event)
        return [
            Example(pair.number, look, (pair.one.source, pair.other.source), pair.is_one)
            for pair, look in zip(pairs, seen, strict=True)
            if look is not None
        ]

    async def _quality_of_sources(self) -> dict[str, float]:
        """The mean points of each source's messages, 0 to 1."""
        async with self._database.transaction(read_only=True) as tx:
            days = await self._quality.report(tx, Reporting())
        points, messages = defaultdict(float), defaultdict(int)
        for day in days:
            points[day.source] += day.points * day.messages
            messages[day.source] += day.messages
        return {source: round(points[source] / count / 100, 4) for source, count in sorted(messages.items())}

    async def _advance(self, job: Job, step: str) -> None:
        async with self._database.transaction() as tx:
            await self._table.advance(tx, job, {}, step=step)


def model_document(stored: StoredModel) -> dict[str, Any]:
    """A model for programs."""
    return {
        "number": stored.number,
        "version": stored.version,
        "trainedAt": stored.trained_at.isoformat(),
        "trainedBy": stored.trained_by,
        "active": stored.is_active,
        "fault": stored.fault,
        "dependsOn": stored.model and dict(stored.model.depends),
        "facts": stored.model and stored.model.facts,
    }


def _request(by: Actor) -> dict[str, Any]:
    return {"user": by.name, "client": by.client, "roles": by.roles}


def _event(
    request: Mapping[str, Any], action: Action, interaction: str, *entities: str, patients: tuple[str, ...] = ()
) -> AuditEvent:
    return AuditEvent(
        action=action,
        interaction=interaction,
        outcome=Outcome.PERMITTED,
        user=request["user"],
        client=request["client"],
        roles=tuple(request["roles"]),
        entities=entities,
        patients=patients,
    )
