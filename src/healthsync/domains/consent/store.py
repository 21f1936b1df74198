"""Rows of directives, and the SQL face of the decision."""

from __future__ import annotations

from collections.abc import Sequence

from healthsync.domains.consent.model import Directive, Effect
from healthsync.infrastructure.database import Guard, Lookup, Queries, Transaction

_SQL = Queries("healthsync.domains.consent")


async def add(tx: Transaction, directive: Directive, given_for: int, person: Sequence[int]) -> None:
    """Write a directive for every source patient of the person."""
    await tx.execute(
        _SQL.add,
        directive.consent_id,
        list({given_for, *person}),
        given_for,
        directive.decision,
        sorted(directive.purposes),
        directive.starts_at,
        directive.ends_at,
        directive.because,
    )


async def withdraw(tx: Transaction, consent_id: str) -> None:
    """Remove the directive of one Consent."""
    await tx.execute(_SQL.withdraw, consent_id)


async def any_given(tx: Transaction, person: Sequence[int]) -> bool:
    """Whether anything was decided by or for a member of a person; directives are written at once, and none waits."""
    text = _array(person)
    return bool(await tx.look_up(_ANY_GIVEN, {text: (text,)}, beside=True))


def none_given(tx: Transaction, person: Sequence[int]) -> None:
    """Make sure of that when the unit of work writes."""
    tx.guard(_NONE_GIVEN, _array(person))


async def align(tx: Transaction, person: Sequence[int]) -> None:
    """Give every member of a person the directives given for any member, and none given for others."""
    await tx.execute(_SQL.forget_others, person)
    await tx.execute(_SQL.spread, person)


def _array(keys: Sequence[int]) -> str:
    return "{" + ",".join(map(str, keys)) + "}"


_ANY_GIVEN = Lookup(_SQL.any_given, lambda row: row["person"])
_NONE_GIVEN = Guard(
    lambda persons: (f"EXISTS ({_SQL.any_given})", ["{" + ",".join(f'"{text}"' for text in persons) + "}"])
)


async def directives(tx: Transaction, patient_key: int) -> list[Directive]:
    """The directives that protect one source patient."""
    return [
        Directive(
            row["consent_id"],
            Effect(row["decision"]),
            frozenset(row["purposes"]),
            row["starts_at"],
            row["ends_at"],
            row["because"],
        )
        for row in await tx.fetch(_SQL.directives, patient_key)
    ]


def predicate(patient_key: str, first: int, *, opt_in: bool) -> str:
    """The decision over the directives of `patient_key` for purpose $first at instant $(first+1)."""
    applies = (
        f"SELECT 1 FROM consent_directive d WHERE d.patient_key = {patient_key}"
        f" AND d.starts_at <= ${first + 1} AND ${first + 1} < d.ends_at"
        f" AND (d.purposes = '{{}}' OR ${first}::text = ANY (d.purposes))"
    )
    permitted = f"NOT EXISTS ({applies} AND d.decision = 'deny')"
    if opt_in:
        permitted += f" AND EXISTS ({applies} AND d.decision = 'permit')"
    return f"({patient_key} IS NULL OR ({permitted}))"
