"""Invented people, whose doubtful pairs somebody has reviewed who knows the truth."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from healthsync.domains.identity import ByWeights, Demographics, demographics_of, shipped_weights
from healthsync.domains.identity.learning import Example, LearnedModel, Measures, SourceRates
from healthsync.domains.identity.learning.features import depends_on
from healthsync.domains.identity.learning.labelled import compared_pairs, doubted
from healthsync.domains.identity.learning.trees import Leaf, Trees
from healthsync.domains.identity.linkage import Population
from healthsync.domains.identity.linkage.population import Person

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
    return tuple(compared_pairs([said(person) for person in people], [person.truth for person in people]))


@cache
def reviewed(size: int = 5000, seed: int = 1) -> tuple[Example, ...]:
    """The decisions about the pairs that the weights leave to a person; three sources, one of which sends doubles."""
    return tuple(
        replace(example, number=number, sources=("east", ("west", "north")[number % 2]))
        for number, example in enumerate(doubted(compared(size, seed), WEIGHTS, "east"), 1)
    )


def always(log_odds: float) -> LearnedModel:
    """A model that says the same of everybody."""
    return LearnedModel(Trees([Leaf(log_odds, 1)]), SourceRates({}, {}), depends_on(WEIGHTS.weights))
