"""Couples of records of two sources that only a person can judge, and what a steward decides about them who knows."""

from __future__ import annotations

from typing import Any

from healthsync.bootstrap import Hub
from healthsync.domains.identity.nicknames import family_shares
from healthsync.exchange.administration.steward_identity import Choice

from .test_review import ANN, CLINIC, HOSPITAL, person, put, tasks

PAIRS = 24
FAMILIES = [name for name in family_shares() if len(name) > 5][200:4200:25]


def couple(at: int, *, is_one: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same name and birth date at two sources; one person's in the same town, two persons' in other states."""
    family, born = FAMILIES[at], f"19{50 + at % 40}-0{1 + at % 9}-1{at % 10}"
    town, far = ("Salem", "KY", "40501"), ("Salem", "KY", "41777") if is_one else ("Everett", "WA", "98201")
    one, other = (
        person(f"{side}{at}", f"{at}", authority=authority, family=family, born=born, sex=None)
        | {"address": [{"line": [street], "city": city, "state": state, "postalCode": code}]}
        for side, authority, street, (city, state, code) in (
            ("a", HOSPITAL, f"{at}12 Oak Street", town), ("b", CLINIC, f"{at}77 Birch Lane", far),
        )
    )  # fmt: skip
    return one, other


async def review(hub: Hub, first: int = 0, pairs: int = PAIRS, *, but: frozenset[int] = frozenset()) -> None:
    """Pairs of records, half of them one person's, and what a steward decides who knows."""
    for at in range(first, first + 2 * pairs):
        one, other = couple(at, is_one=bool(at % 2))
        await put(hub, one)
        await put(hub, other, source="west")
    for task in await tasks(hub):
        number = int(task.one.patient_id[1:])
        if number not in but:
            await hub.steward_identity.decide(
                ANN, task.number, Choice.LINK if number % 2 else Choice.APART, "papers-seen"
            )
