"""Invented people, whose doubtful pairs somebody has reviewed who knows the truth."""

from __future__ import annotations

from functools import cache
from itertools import combinations

from healthsync.domains.identity import ByWeights, Demographics, demographics_of, shipped_weights
from healthsync.domains.identity.block_keys import block_keys
from healthsync.domains.identity.learning import Example, LearnedModel, Measures, SourceRates, seen
from healthsync.domains.identity.learning.features import depends_on
from healthsync.domains.identity.learning.trees import Leaf, Trees
from healthsync.domains.identity.linkage import Population
from healthsync.domains.identity.linkage.population import Person
from healthsync.domains.identity.service import LARGEST_BLOCK

WEIGHTS = ByWeights(shipped_weights())
MEASURES = Measures(WEIGHTS.weights)


def said(person: Person) -> Demographics:
    """What a generated record says."""
    return demographics_of({
        "identifier": [{"system": "http://hl7.org/fhir/sid/us-ssn", "value": person.ssn}],
        "name": [
            {"family": person.family, "given": [person.given, *person.middle.split()], "suffix": [person.suffix]}
        ],
        "birthDate": person.written_date or str(person.birth_date),
        "gender": {"M": "male", "F": "female"}.get(person.sex),
        "address": [
            {"line": [person.street], "city": person.city, "state": person.state, "postalCode": person.postal_code}
        ],
        "telecom": [{"system": "phone", "value": person.phone}, {"system": "email", "value": person.email}],
    })  # fmt: skip


@cache
def compared(size: int, seed: int) -> tuple[tuple[Demographics, Demographics, bool], ...]:
    """The pairs that the index would compare, and whether they are one person; relatives are many here."""
    people = Population(seed=seed, twins=0.3, look_alike_twins=0.6, juniors=0.6).records(size, repeated=0.35)
    says = [said(person) for person in people]
    blocks: dict[object, list[int]] = {}
    for at, one in enumerate(says):
        for key in block_keys(one):
            blocks.setdefault(key, []).append(at)
    pairs = {pair for block in blocks.values() if len(block) <= LARGEST_BLOCK for pair in combinations(block, 2)}
    return tuple((says[a], says[b], people[a].truth == people[b].truth) for a, b in sorted(pairs))


@cache
def reviewed(size: int = 5000, seed: int = 1) -> tuple[Example, ...]:
    """The decisions about the pairs that the weights leave to a person; three sources, one of which sends doubles."""
    doubts = [pair for pair in compared(size, seed) if WEIGHTS(*pair[:2]).reasons]
    return tuple(
        Example(number, seen(WEIGHTS, one, other), ("east", ("west", "north")[number % 2]), is_one)
        for number, (one, other, is_one) in enumerate(doubts, 1)
    )


def always(log_odds: float) -> LearnedModel:
    """A model that says the same of everybody."""
    return LearnedModel(Trees([Leaf(log_odds, 1)]), SourceRates({}, {}), depends_on(WEIGHTS.weights))
