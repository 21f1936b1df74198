"""Rows of quality."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import asyncpg
import msgspec

from healthsync.domains.quality.model import (
    Action,
    Contract,
    DayOfSource,
    Dimension,
    MessageScore,
    Reporting,
    Score,
)
from healthsync.infrastructure.database import Queries, Transaction

_SQL = Queries("healthsync.domains.quality")
_LAST = 2**63 - 1


async def keep(tx: Transaction, scores: Sequence[MessageScore]) -> None:
    """Write scores."""
    await tx.execute(
        _SQL.keep_scores,
        [one.sequence for one in scores],
        [one.received_on for one in scores],
        [one.score.points for one in scores],
        *([one.score.dimensions.get(dimension) for one in scores] for dimension in Dimension),
        [one.source for one in scores],
        [one.type for one in scores],
        [one.action.value for one in scores],
        [msgspec.json.encode(one.score.failed).decode() for one in scores],
    )


async def scores(tx: Transaction, sequences: Sequence[int]) -> list[MessageScore]:
    """Scores of messages."""
    return [_score(row) for row in await tx.fetch(_SQL.scores, sequences)]


async def report(tx: Transaction, asked: Reporting) -> list[DayOfSource]:
    """Points, actions and failed rules by source and day."""
    bounds = (asked.since, asked.until, asked.source)
    failed: dict[tuple[str, date], dict[str, int]] = {}
    for row in await tx.fetch(_SQL.failed_rules, *bounds):
        failed.setdefault((row["source"], row["day"]), {})[row["rule"]] = row["count"]
    return [_day(row, failed.get((row["source"], row["day"]), {})) for row in await tx.fetch(_SQL.report, *bounds)]


async def to_review(tx: Transaction, source: str | None, before: int | None, limit: int) -> list[int]:
    """Messages that somebody should look at."""
    rows = await tx.fetch(_SQL.to_review, source, _LAST if before is None else before, limit)
    return [row["sequence"] for row in rows]


async def contracts(tx: Transaction) -> list[Contract]:
    """All contracts."""
    return [Contract(**row) for row in await tx.fetch(_SQL.contracts)]


async def agree(tx: Transaction, contract: Contract, now: datetime) -> None:
    """Write a contract."""
    await tx.execute(
        _SQL.agree, contract.source, contract.excellent, contract.good, contract.minimum, contract.rejects, now,
        contract.changed_by,
    )  # fmt: skip


async def dissolve(tx: Transaction, source: str) -> bool:
    """Remove a contract; False when there was none."""
    return await tx.fetchval(_SQL.dissolve, source) is not None


def _score(row: asyncpg.Record) -> MessageScore:
    dimensions = {dimension: row[dimension.value] for dimension in Dimension if row[dimension.value] is not None}
    score = Score(row["score"], dimensions, msgspec.json.decode(row["failed"]))
    return MessageScore(row["sequence"], row["source"], row["type"], row["received_on"], score, Action(row["action"]))


def _day(row: asyncpg.Record, failed: dict[str, int]) -> DayOfSource:
    return DayOfSource(
        source=row["source"],
        day=row["day"],
        messages=row["messages"],
        points=row["points"],
        dimensions={each: row[each.value] for each in Dimension if row[each.value] is not None},
        actions={action: row[action.value] for action in Action},
        failed=dict(sorted(failed.items(), key=lambda entry: (-entry[1], entry[0]))),
    )
