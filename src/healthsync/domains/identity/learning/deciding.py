"""A learned model where the weights doubt. Pure.

It speaks about the pairs that the weights link and flag, or flag, and about no others: those are what people review, so
that it knows them. Vetoes, gates, the person gate and the rules stand before it as they stand before the weights: what
they keep apart it never sees, and a link that the rules make stays one. What is no more than name, birth date and sex
is never certain to it either.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import NamedTuple

from healthsync.domains.identity.deciding import ByWeights, Decider, Explanation, bits_of
from healthsync.domains.identity.learning.features import Measures
from healthsync.domains.identity.learning.model import LearnedModel, Reader
from healthsync.domains.identity.levels import Levels, levels_between, names_of
from healthsync.domains.identity.matching import Comparison, Rule
from healthsync.domains.identity.model import Demographics
from healthsync.domains.identity.weighing import Step, Weights, gate


@dataclass(frozen=True, slots=True)
class ByLearned:
    """The rules, the weights, and a model where they doubt.

    From the probability `certain` on two records are linked without a flag (1: never), from `link` on linked and
    flagged; below, a person looks; below `dismiss` nobody need.
    """

    weights: ByWeights
    model: LearnedModel
    certain: float = 1.0
    link: float = 0.99
    dismiss: float = 0.0
    _reader: Reader = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_reader", Reader(self.model, self.weights.weights))

    @property
    def version(self) -> str:
        """Of the rules, the weights and the model."""
        return f"{self.weights.version}+{self.model.version}"

    def __call__(self, one: Demographics, other: Demographics) -> Comparison:
        """Compare two records."""
        found = self.weights(one, other)
        if not is_doubted(found):
            return found
        levels = levels_between(one, other)
        if gate(levels):
            return found
        return self._judge(found, levels, self.model.probability(self._reader.vector(levels, one, other)))

    def _judge(self, found: Comparison, levels: Levels, likely: float) -> Comparison:
        flags = tuple(flag for flag in found.flags if flag == "sex-conflict")
        evidence = (*(f"{name}:{level}" for name, level in names_of(levels)), *self._versions)
        if self.certain < 1 and likely >= self.certain and levels.tells_more:
            return Comparison(Rule.CERTAIN, evidence, (), (), flags, likely)
        if found.rule is Rule.NAME_BIRTH_DATE_SEX:
            return replace(found, evidence=(*found.evidence, *self._versions), score=likely)
        if likely < self.dismiss:
            return Comparison(None, evidence, (), (), (), likely)
        rule = Rule.PROBABLE if likely >= self.link and is_enough(levels) else Rule.POSSIBLE
        return Comparison(rule, evidence, (), (), (str(rule), *flags), likely)

    @property
    def _versions(self) -> tuple[str, ...]:
        return f"weights:{self.weights.weights.version}", f"model:{self.model.version}"

    def explain(self, one: Demographics, other: Demographics) -> Explanation:
        """What each feature adds to the log2 odds of the model, of any pair that a person is asked about; of others
        what the weights say. What a gate keeps apart stays so, however likely it is."""
        by_weights, judged = self.weights.explain(one, other), self(one, other)
        if not judged.reasons and self.weights(one, other) == judged:
            return replace(by_weights, model=self.version, judged=judged)
        vector = self._reader.vector(levels_between(one, other), one, other)
        prior, steps = self.model.steps(vector)
        review, link, certain = map(bits_of, (self.dismiss, self.link, self.certain))
        told = tuple(Step(step.about, step.level, round(step.bits, 3)) for step in steps)
        return replace(
            by_weights, model=self.version, prior=round(prior, 3), steps=told,
            review=review, link=link, certain=certain, judged=judged,
        )  # fmt: skip


class Seen(NamedTuple):
    """How a pair looks to who learns from it: its vector without sources, the probability by weights, whether rules and
    weights link it, and whether a model would have the say."""

    signals: tuple[int, ...]
    by_weights: float
    is_linked: bool
    is_open: bool


def weights_of(decider: Decider) -> ByWeights | None:
    """The weights beside which a model stands; None in a hub that does not decide by them."""
    if isinstance(decider, ByLearned):
        return decider.weights
    return decider if isinstance(decider, ByWeights) else None


def seen(weights: ByWeights, one: Demographics, other: Demographics) -> Seen:
    """Look at two records."""
    found, levels = weights(one, other), levels_between(one, other)
    is_open = (
        is_doubted(found) and found.rule is not Rule.NAME_BIRTH_DATE_SEX and is_enough(levels) and not gate(levels)
    )
    likely = weights.weights.weigh(one, other).probability
    return Seen(_measures(weights.weights).signals(levels, one, other), round(likely, 6), found.links, is_open)


@cache
def _measures(weights: Weights) -> Measures:
    return Measures(weights)


def is_enough(levels: Levels) -> bool:
    """Whether more agrees than an imprecise name, birth date and sex."""
    return levels.tells_more or levels.given == levels.family == 1


def is_doubted(found: Comparison) -> bool:
    """Whether the rules and the weights leave a pair to a person, and nothing forbids a link."""
    return found.rule in _DOUBTS and bool(found.flags) and not found.vetoes and not found.gates


_DOUBTS = frozenset({Rule.PROBABLE, Rule.POSSIBLE, Rule.NAME_BIRTH_DATE_SEX, Rule.NAME_BIRTH_DATE, Rule.SSN})
