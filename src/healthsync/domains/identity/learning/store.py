"""Rows of learned models, and of the reviews that they learn from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from healthsync.domains.identity.model import SourcePatient
from healthsync.infrastructure.database import Queries, Transaction

_SQL = Queries("healthsync.domains.identity")


@dataclass(frozen=True, slots=True)
class ReviewedPair:
    """Two source patients and what people decided: whether they are one person. `number` is that of the decision."""

    number: int
    one: SourcePatient
    other: SourcePatient
    is_one: bool


async def reviewed_pairs(tx: Transaction) -> list[ReviewedPair]:
    """All that people decided, in order."""
    return [
        ReviewedPair(row[0], SourcePatient(*row[1:4]), SourcePatient(*row[4:7]), row[7])
        for row in await tx.fetch(_SQL.reviewed_pairs)
    ]


async def add_model(tx: Transaction, version: str, at: datetime, by: str, document: str, proof: bytes) -> None:
    """Keep a model for good; one that is here already stays as it is."""
    await tx.execute(_SQL.add_model, version, at, by, document, proof)


async def models(tx: Transaction) -> list[Any]:
    """The rows of all models, the oldest first."""
    return await tx.fetch(_SQL.models)


async def use_model(tx: Transaction, at: datetime, by: str, model: int | None, although_worse: bool) -> None:
    """From now on this model decides."""
    await tx.execute(_SQL.use_model, at, by, model, although_worse)
