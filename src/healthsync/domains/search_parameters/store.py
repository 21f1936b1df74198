"""Rows of added search parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from healthsync.domains.search_parameters.model import AddedParameter, State
from healthsync.infrastructure.database import Queries, Transaction
from healthsync.standards.fhir import json

_SQL = Queries("healthsync.domains.search_parameters")


async def revision(tx: Transaction) -> int:
    """A number that every change replaces."""
    return (await tx.look(_SQL.revision))[0]["revision"]


async def raise_revision(tx: Transaction) -> None:
    """Tell every process; whoever changes something calls this first, and others wait until he has committed."""
    await tx.execute(_SQL.raise_revision)


async def everything(tx: Transaction) -> list[AddedParameter]:
    """Every meaning, retired ones too, in the order of the numbers."""
    return [
        AddedParameter(
            row["number"],
            row["resource_id"],
            json.parse(row["facts"].encode()),
            row["state"],
            row["percent"],
            row["round"],
        )
        for row in await tx.look(_SQL.all)
    ]


async def add(tx: Transaction, resource_id: str, facts: Mapping[str, Any]) -> int:
    """A new meaning, announced; answers its number."""
    written = json.dump(dict(facts)).decode()
    return await tx.fetchval(_SQL.add, resource_id, facts["url"], facts["code"], list(facts["base"]), written)


async def announce(tx: Transaction, number: int, resource_id: str) -> None:
    """A retired meaning is announced again."""
    await tx.execute(_SQL.announce, number, resource_id)


async def retire(tx: Transaction, numbers: Sequence[int]) -> None:
    """Nobody searches by these any longer."""
    await tx.execute(_SQL.retire, list(numbers))


async def move(tx: Transaction, parameter: AddedParameter, before: State, after: State) -> bool:
    """From one state to the next; False when it was not in the first, or is in another round."""
    return await tx.fetchval(_SQL.move, parameter.number, parameter.round, before, after) is not None


async def progress(tx: Transaction, numbers: Sequence[int], percent: int) -> None:
    """Keep how far indexing has come."""
    await tx.execute(_SQL.progress, list(numbers), percent)


async def now(tx: Transaction) -> datetime:
    """The database's own clock."""
    return await tx.fetchval(_SQL.now)


async def settled(tx: Transaction, since: datetime, seconds: float) -> bool:
    """Whether every transaction that was open up to `seconds` after an instant has ended."""
    return await tx.fetchval(_SQL.settled, since, seconds)
