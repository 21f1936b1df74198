"""batch and transaction (http.html#transaction).

A transaction is one submission (`transaction.py`); a batch is a row of independent requests, each with its own answer.
What only reads, and every operation, is answered by whoever answers its address outside of a Bundle: one parser, one
meaning.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from healthsync.domains.access import Requester
from healthsync.errors import HealthSyncError, InvalidInput, NotSupported
from healthsync.exchange.interactions.failures import outcome_of, status_of
from healthsync.exchange.interactions.transaction import Answer, RunTransaction
from healthsync.exchange.interactions.write import Write
from healthsync.exchange.offer import Offer
from healthsync.exchange.surfaces import WRITING_OPERATIONS
from healthsync.standards.fhir import bundles
from healthsync.standards.fhir.bundles import Entry, Method, Response
from healthsync.standards.fhir.outcome import Issue, operation_outcome

Preferred = Literal["minimal", "representation", "OperationOutcome"]
"""What a write answers with (http.html#ops: Prefer: return=…)."""

MOST_ANSWER_BYTES = 64 * 1024 * 1024
"""What the reads of one Bundle may answer together: all of it stands in memory before the first byte leaves."""

Dispatch = Callable[[Entry], Awaitable[Response]]
"""Answers a read, a search or an operation as its address does, for the requester of the Bundle."""


@dataclass(frozen=True, slots=True)
class ProcessBundle:
    """Runs batches and transactions of at most `most_entries` entries."""

    write: Write
    offer: Offer
    most_entries: int

    async def __call__(
        self,
        requester: Requester,
        bundle: dict[str, Any],
        *,
        dispatch: Dispatch | None = None,
        preferred: Preferred = "minimal",
        base: str = "",
    ) -> dict[str, Any]:
        """The response Bundle; `base` is the address before the resources in it.

        A transaction raises what its first bad entry deserves, and stores nothing; a batch answers entry by entry.
        """
        kind = bundles.kind(bundle, most_entries=self.most_entries)
        run = _Run(requester, RunTransaction(self.write, self.offer), _Bounded(dispatch or _nobody), preferred)
        if kind == "transaction":
            answers = await run.transaction(bundles.transaction(bundle))
        else:
            answers = [await run.alone(entry) for entry in bundles.batch(bundle)]
        return bundles.responses(kind, answers, base=base)


@dataclass(frozen=True, slots=True)
class _Run:
    """One Bundle on its way."""

    requester: Requester
    store: RunTransaction
    dispatch: Dispatch
    preferred: Preferred

    async def transaction(self, entries: Sequence[Entry]) -> list[Response]:
        """(1) refuse what cannot be part of one commit, (2) store all that writes, (3) then read."""
        for entry in entries:  # (1)
            if not WRITING_OPERATIONS.isdisjoint(entry.path):
                raise NotSupported(f"Bundle.entry[{entry.position}]: an operation that writes runs in a batch only")
        stored = await self.store(self.requester, [entry for entry in entries if entry.writes])  # (2)
        answers = {position: await self._written(answer) for position, answer in stored.items()}
        for entry in entries:
            if not entry.writes:
                answers[entry.position] = await self.dispatch(entry)  # (3)
        return [answers[position] for position in sorted(answers)]

    async def alone(self, entry: Entry | InvalidInput) -> Response:
        """One entry of a batch."""
        try:
            if isinstance(entry, InvalidInput):
                raise entry
            return (await self.transaction([entry]))[0] if entry.writes else await self.dispatch(entry)
        except HealthSyncError as problem:
            return Response(status_of(problem), outcome=outcome_of(problem))

    async def _written(self, answer: Answer) -> Response:
        stored = answer.stored
        if stored is None:
            return Response(204)
        representation: bundles.Body | None = None
        if self.preferred == "representation" and stored.outcome != "deleted":
            representation = dict(stored.resource) if answer.is_whole else await self._shown(answer)
        shown = self.preferred == "OperationOutcome" or bool(stored.warnings)
        return Response(
            {"created": 201, "deleted": 204}.get(stored.outcome, 200),
            resource=representation,
            location=f"{stored.resource_type}/{stored.id}/_history/{stored.version}",
            etag=f'W/"{stored.version}"',
            last_modified=stored.updated_at.isoformat(timespec="milliseconds"),
            outcome=operation_outcome(stored.warnings) if shown else None,
            key=(stored.resource_type, stored.id),
        )

    async def _shown(self, answer: Answer) -> bundles.Body | None:
        """What a conditional create found, if the requester may see it."""
        assert answer.stored is not None
        path = (answer.stored.resource_type, answer.stored.id)
        return (await self.dispatch(Entry(answer.position, Method.GET, path, []))).resource


class _Bounded:
    """A dispatch whose answers together stay below MOST_ANSWER_BYTES; what comes after is refused, entry by entry."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch, self._bytes = dispatch, 0

    async def __call__(self, entry: Entry) -> Response:
        if self._bytes > MOST_ANSWER_BYTES:
            told = f"the answers before this one fill {MOST_ANSWER_BYTES} bytes; ask for it in a Bundle of its own"
            issue = Issue("error", "too-costly", f"Bundle.entry[{entry.position}]", told)
            return Response(413, outcome=operation_outcome([issue]))
        answer = await self._dispatch(entry)
        if isinstance(answer.resource, msgspec.Raw):
            self._bytes += len(answer.resource)
        return answer


async def _nobody(entry: Entry) -> Response:
    raise NotSupported(f"Bundle.entry[{entry.position}]: only what writes can be carried out here")
