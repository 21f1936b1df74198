"""The verbs of learned models: what they learn from, keep one, choose which decides."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from healthsync.domains.identity.learning import store
from healthsync.domains.identity.learning.model import LearnedModel
from healthsync.domains.identity.learning.store import ReviewedPair
from healthsync.domains.identity.weighing import Weights
from healthsync.errors import Conflict, InvalidInput, NotFound
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.database import Transaction


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model as it is kept. `model` is None where the row is not as this hub wrote it; `fits` says whether it reads
    pairs as the hub compares them today."""

    number: int
    version: str
    trained_at: datetime
    trained_by: str
    is_active: bool
    model: LearnedModel | None
    fits: bool

    @property
    def fault(self) -> str | None:
        """Why it cannot decide."""
        if self.model is None:
            return "it is not as this hub wrote it"
        return None if self.fits else "it learned from levels or weights that this hub has no more; train anew"


class LearningService:
    """Keeps models, proven by a key of the hub. Every verb runs in the caller's transaction."""

    def __init__(self, key: bytes, weights: Weights, clock: Clock) -> None:
        self._key, self._weights, self._clock = key, weights, clock

    async def reviewed_pairs(self, tx: Transaction) -> list[ReviewedPair]:
        """What people decided in the review queue, in order: what stands today of each pair."""
        return await store.reviewed_pairs(tx)

    async def keep(self, tx: Transaction, model: LearnedModel, by: str) -> StoredModel:
        """Keep a model; the one that is here already where the same was learned before."""
        at, document = self._clock.now(), model.to_json()
        await store.add_model(tx, model.version, at, by, document, self._proof(model.version, at, by, document))
        return next(one for one in await self.models(tx) if one.version == model.version)

    async def models(self, tx: Transaction) -> list[StoredModel]:
        """All models, the oldest first."""
        return [self._stored(row) for row in await store.models(tx)]

    async def model(self, tx: Transaction, number: int) -> StoredModel:
        """One model. Raises NotFound."""
        for one in await self.models(tx):
            if one.number == number:
                return one
        raise NotFound("there is no such model; healthsync identity models list shows those that there are")

    async def active(self, tx: Transaction) -> StoredModel | None:
        """The model that was chosen to decide."""
        return next((one for one in await self.models(tx) if one.is_active), None)

    async def use(self, tx: Transaction, number: int | None, by: str, *, although_worse: bool = False) -> None:
        """Choose the model that decides, or none. Raises NotFound, Conflict for one that cannot decide, InvalidInput
        for one that was found to be worse than what it stood beside, unless it is wanted all the same."""
        if number is not None:
            chosen = await self.model(tx, number)
            if chosen.model is None or chosen.fault:
                raise Conflict(f"model {number} cannot decide: {chosen.fault}")
            if (worse := chosen.model.facts["worse"]) and not although_worse:
                raise InvalidInput(
                    f"model {number} judges the same reviews worse than {' and '.join(worse)}; it is used all the same "
                    "only when that is said",
                    code="business-rule",
                )
        await store.use_model(tx, self._clock.now(), by, number, although_worse)

    def _stored(self, row: Any) -> StoredModel:
        number, version, at, by, document, proof, is_active = row
        model = None
        if hmac.compare_digest(self._proof(version, at, by, document), proof):
            try:
                model = LearnedModel.from_json(document)
            except InvalidInput:  # it learned from other features
                model = None
        fits = model is not None and model.fits(self._weights)
        return StoredModel(number, version, at, by, is_active, model, fits)

    def _proof(self, version: str, at: datetime, by: str, document: str) -> bytes:
        told = msgspec.json.encode([version, int(at.timestamp() * 1_000_000), by, document])
        return hmac.new(self._key, told, "sha256").digest()
