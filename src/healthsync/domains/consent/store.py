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


async def align(tx: Transaction, person: list[int]) -> None:
    """Give every member of a person the directives given for any member, and none given for others."""
    text = "{" + ",".join(map(str, person)) + "}"
    if not await tx.look_up(_ANY_GIVEN, {text: (text,)}, beside=True):  # directives are written at once: none waits
        if tx.is_guarded:
            tx.guard(_NONE_GIVEN, text)
        return
    await tx.execute(_SQL.forget_others, person)
    await tx.execute(_SQL.spread, person)


async def _none_given(tx: Transaction, persons: Sequence[str]) -> list[bool]:
    given = {row["person"] for row in await tx.look_up(_ANY_GIVEN, {text: (text,) for text in persons})}
    return [text not in given for text in persons]


_ANY_GIVEN = Lookup(_SQL.any_given, lambda row: row["person"])
_NONE_GIVEN = Guard(_none_given)


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
