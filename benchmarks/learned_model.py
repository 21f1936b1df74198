"""The learned model: `python -m benchmarks.learned_model`. Needs `pip install healthsync[learned]`.

Invented people, of whom the truth is known, stand in for stewards: every pair that the weights leave to a person is
decided. A model learns from one town and is tried on others that it has not seen, and on the relatives of the tests'
third generator. Printed: automatic links (wrong ones too), pairs to review and how well the model tells them apart,
microseconds of CPU for a pair, and the CPU of learning from 10,000 reviews.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import click
from tests.domains.identity.learning.reviews import WEIGHTS, said
from tests.domains.identity.linkage.relatives import Relatives
from tests.domains.identity.linkage.test_relatives import patient

from healthsync.domains.identity import Decider, Demographics
from healthsync.domains.identity.learning import ByLearned, Example, LearnedModel, Reader, train
from healthsync.domains.identity.learning.labelled import compared_pairs, doubted
from healthsync.domains.identity.learning.training import rated
from healthsync.domains.identity.levels import levels_between
from healthsync.domains.identity.linkage import Population

_Pair = tuple[Demographics, Demographics, bool]
_REPEATED = 0.35
_REVIEWS = 10_000


def town(size: int, seed: int) -> list[_Pair]:
    """The pairs that the index compares in a town of the population generator."""
    people = Population(seed=seed, twins=0.06).records(size, repeated=_REPEATED)
    return list(compared_pairs([said(person) for person in people], [person.truth for person in people]))


def relatives(size: int, seed: int) -> list[_Pair]:
    """The same of the tests' third generator, and its pairs of relatives."""
    place = Relatives(seed).fill(people=size, of_each_kind=size // 75, again=size // 3)
    says = [patient(row) for row in place.rows]
    return [*compared_pairs(says, place.truth)] + [(says[one], says[other], False) for _, one, other in place.pairs]


def _tell(name: str, decide: Decider, pairs: Sequence[_Pair]) -> None:
    links: Counter[bool] = Counter()
    flagged: Counter[bool] = Counter()
    begun = time.process_time()
    for one, other, is_one in pairs:
        found = decide(one, other)
        links[is_one] += found.links
        flagged[is_one] += bool(found.reasons)
    spent = 1e6 * (time.process_time() - begun) / len(pairs)
    true = sum(is_one for _, _, is_one in pairs)
    recall, precision = links[True] / true, links[True] / max(links.total(), 1)
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    click.echo(
        f"  {name:<26} links {links[True]} right {links[False]} wrong, recall {recall:.4f} F1 {f1:.4f}; "
        f"to review {flagged[True]} of one person, {flagged[False]} of two; {spent:.0f} µs a pair"
    )


def _tell_ranking(model: LearnedModel, examples: Sequence[Example]) -> None:
    vectors = {
        each.number: (*each.seen.signals, *model.rates.steps(*([source] for source in each.sources)))
        for each in examples
    }
    ours = rated(examples, {number: model.probability(vector) for number, vector in vectors.items()})
    weights = rated(examples, {each.number: each.seen.by_weights for each in examples})
    for name, rates in (("model", ours), ("weights", weights)):
        click.echo(
            f"  of {rates.pairs} pairs to review, {name:<8} precision {rates.precision:.4f} recall {rates.recall:.4f} "
            f"F1 {rates.f1:.4f} log loss {rates.log_loss:.4f}"
        )


def _tell_cost(model: LearnedModel, pairs: Sequence[_Pair]) -> None:
    reader = Reader(model, WEIGHTS.weights)
    levels = [(levels_between(one, other), one, other) for one, other, _ in pairs[:20_000]]
    begun = time.process_time()
    vectors = [reader.vector(*each) for each in levels]
    made = time.process_time()
    for vector in vectors:
        model.probability(vector)
    scored = time.process_time()
    for vector in vectors[:2000]:
        model.steps(vector)
    told = time.process_time()
    click.echo(
        f"a pair: vector {1e6 * (made - begun) / len(levels):.1f} µs, "
        f"score {1e6 * (scored - made) / len(levels):.1f} µs, "
        f"waterfall {1e6 * (told - scored) / len(vectors[:2000]):.0f} µs of CPU"
    )


@click.command()
@click.option("--size", default=20_000, show_default=True, help="Records in each town.")
def main(size: int) -> None:
    """Learn from one town, try on others."""
    examples = doubted(town(size, 1), WEIGHTS, "town")
    model = train(examples, WEIGHTS.weights)
    click.echo(
        f"{len(examples)} reviews, {sum(each.is_one for each in examples)} of one person; {len(model.to_json())} bytes"
    )
    many = [replace(examples[at % len(examples)], number=at + 1) for at in range(_REVIEWS)]
    begun = time.process_time()
    train(many, WEIGHTS.weights)
    click.echo(f"learning from {_REVIEWS} reviews, with cross-validation: {time.process_time() - begun:.1f} s of CPU")
    for name, pairs in (
        ("another town", town(size, 1001)),
        ("relatives, third generator", relatives(size // 2, 2026)),
    ):
        click.echo(f"{name}: {len(pairs)} pairs")
        _tell("weights", WEIGHTS, pairs)
        _tell("learned, as shipped (99)", ByLearned(WEIGHTS, model), pairs)
        _tell("learned, certain from 99.5", ByLearned(WEIGHTS, model, certain=0.995), pairs)
        _tell("and dismiss below 5", ByLearned(WEIGHTS, model, certain=0.995, dismiss=0.05), pairs)
        _tell_ranking(model, doubted(pairs, WEIGHTS, "town"))
    _tell_cost(model, pairs)


if __name__ == "__main__":
    main()
