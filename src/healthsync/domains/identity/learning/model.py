"""A learned model as it is stored: trees, the rates of sources, what it depends on and how good it was. Pure.

It is JSON of numbers, codes and names of sources: nothing that a record says of a person. Its version is a hash of what
decides, so that the same reviews give the same version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import exp, log
from typing import Any

import msgspec

from healthsync.domains.identity.learning.features import FEATURES, Measures, SourceRates, depends_on, meaning
from healthsync.domains.identity.learning.trees import Trees, from_document, to_document
from healthsync.domains.identity.levels import Levels
from healthsync.domains.identity.model import Demographics
from healthsync.domains.identity.weighing import Step, Weights
from healthsync.errors import InvalidInput

BITS = 1 / log(2)
"""Log odds in bits."""


@dataclass(frozen=True)
class LearnedModel:
    """A model. `facts` tell where it comes from and how good it is: see `training.facts_of`."""

    trees: Trees
    rates: SourceRates
    depends: Mapping[str, str]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def version(self) -> str:
        """The name under which it decides."""
        return f"learned-{hashlib.sha256(_encoded(self._core())).hexdigest()[:8]}"

    def probability(self, vector: Sequence[int]) -> float:
        """That the two records of a vector are of one person."""
        return probability(self.trees.raw(vector))

    def steps(self, vector: Sequence[int]) -> tuple[float, tuple[Step, ...]]:
        """The prior and the lines of a waterfall, in bits: they add up to the log2 odds of the probability. A line is a
        feature with what it says; what adds nothing is left out."""
        lines = [
            Step(FEATURES[at].about, meaning(at, vector[at]), bits * BITS)
            for at, bits in enumerate(self.trees.contributions(vector))
            if abs(bits) > 1e-9
        ]
        return self.trees.expected * BITS, tuple(lines)

    def fits(self, weights: Weights) -> bool:
        """Whether it reads vectors as they are made today."""
        return dict(self.depends) == depends_on(weights)

    def to_json(self) -> str:
        """The model as it is stored."""
        return _encoded({**self._core(), "facts": self.facts}).decode()

    @classmethod
    def from_json(cls, text: str) -> LearnedModel:
        """Raises InvalidInput for a text that is no model."""
        try:
            read = msgspec.json.decode(text)
            trees = Trees([from_document(tree, len(read["features"])) for tree in read["trees"]])
            rates = SourceRates(read["sources"]["confirmed"], read["sources"]["quality"])
            model = cls(trees, rates, read["depends"], read["facts"])
            named = read["features"]
        except (ValueError, KeyError, TypeError, msgspec.DecodeError):
            raise InvalidInput("this is no learned model") from None
        if named != [feature.name for feature in FEATURES]:
            raise InvalidInput("this model learned from other features than this hub has")
        return model

    def _core(self) -> dict[str, Any]:
        return {
            "features": [feature.name for feature in FEATURES],
            "depends": dict(self.depends),
            "sources": {"confirmed": dict(self.rates.confirmed), "quality": dict(self.rates.quality)},
            "trees": [to_document(tree) for tree in self.trees.trees],
        }


class Reader:
    """Makes the vectors that a model reads."""

    def __init__(self, model: LearnedModel, weights: Weights) -> None:
        self._rates, self._measures = model.rates, Measures(weights)

    def vector(self, levels: Levels, one: Demographics, other: Demographics) -> tuple[int, ...]:
        """Of two records and their levels."""
        return (*self._measures.signals(levels, one, other), *self._rates.steps(one.sources, other.sources))


def probability(raw: float) -> float:
    """Of log odds."""
    return 1 / (1 + exp(-raw)) if raw > -700 else 0.0


def _encoded(document: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(document, order="sorted")
