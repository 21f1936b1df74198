"""A model learned from pairs that people decided about. Pure; needs `pip install healthsync[learned]`.

Gradient boosting of small trees over the vectors of `features` (LightGBM: Ke et al. 2017). More agreement never lowers
a score: the trees are held to it. One thread, a fixed seed and pairs in order of their review: the same reviews give
the same model, to the last digit. No leaf rests on fewer than `LEAST_IN_LEAF` pairs.

How good it is, is told by cross-validation: each fifth of the pairs is judged by a model that learned from the others,
and beside it by the weights. Sources are rated by the pairs that were decided before.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import floor, log
from typing import Any

import msgspec

from healthsync.domains.identity.learning.deciding import Seen
from healthsync.domains.identity.learning.features import FEATURES, SourceRates, depends_on
from healthsync.domains.identity.learning.model import LearnedModel
from healthsync.domains.identity.learning.trees import Branch, Leaf, Tree, Trees
from healthsync.domains.identity.weighing import Weights
from healthsync.errors import ConfigurationError, InvalidInput

LEAST_PAIRS, LEAST_OF_EACH = 200, 50
"""Reviewed pairs without which nothing is learned, and how many of them one person's, and two persons'."""

LEAST_IN_LEAF = 20
FOLDS = 5
ROUNDS = 100
_SEED = 20_260_101
_PRIOR_PAIRS = 10
"""As many pairs of the mean stand beside those of a source, so that one review does not make a reputation."""

_BINS = (0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 0.99, 1.0)


@dataclass(frozen=True, slots=True)
class Example:
    """A pair that somebody decided about: the number of its review, how it looks, the two sources, and the decision."""

    number: int
    seen: Seen
    sources: tuple[str, str]
    is_one: bool


@dataclass(frozen=True, slots=True)
class Rates:
    """How good judgements are: at even odds precision, recall and F1; the mean log loss (less is better); and, of
    automatic links past the gate, how many there are and how many are wrong."""

    pairs: int
    precision: float
    recall: float
    f1: float
    log_loss: float
    links: int
    wrong_links: int


@dataclass(frozen=True, slots=True)
class Bin:
    """Pairs whose probability lies between two: how many, what was said and what was right, on average."""

    low: float
    high: float
    pairs: int
    said: float
    right: float


def check_enough(decisions: Sequence[bool]) -> None:
    """Raises InvalidInput that says how many reviews there are and how many it takes."""
    links = sum(decisions)
    apart = len(decisions) - links
    if len(decisions) < LEAST_PAIRS or min(links, apart) < LEAST_OF_EACH:
        raise InvalidInput(
            f"too little was reviewed to learn from: there are {len(decisions)} decided pairs, {links} of one person "
            f"and {apart} of two; it takes {LEAST_PAIRS}, and {LEAST_OF_EACH} of each",
            code="business-rule",
        )


def rates_of(examples: Iterable[Example], quality: Mapping[str, float]) -> SourceRates:
    """How reliable the sources of reviewed pairs are. `quality` is the mean points of their messages, 0 to 1."""
    ledger = _Ledger()
    for example in examples:
        ledger.add(example)
    return SourceRates(ledger.rates(), _with_mean(quality))


def train(
    examples: Sequence[Example],
    weights: Weights,
    quality: Mapping[str, float] | None = None,
    *,
    link: float = 0.99,
    previous: LearnedModel | None = None,
) -> LearnedModel:
    """Learn from reviewed pairs, and tell how good that is. Raises InvalidInput for too few, ConfigurationError where
    the library is not installed.

    `previous` is the model that decides now: the two are compared on the reviews that came after it has learned.
    """
    ordered = sorted(examples, key=lambda example: example.number)
    check_enough([example.is_one for example in ordered])
    boosting = _boosting()
    rates = rates_of(ordered, quality or {})
    vectors = _vectors(ordered, rates.quality)
    labels = [int(example.is_one) for example in ordered]
    judged: dict[int, float] = {}
    for fold in range(FOLDS):
        seen = [at for at in range(len(ordered)) if at % FOLDS != fold]
        trees = _boosted(boosting, [vectors[at] for at in seen], [labels[at] for at in seen])
        part = LearnedModel(trees, rates, {})
        judged |= {ordered[at].number: part.probability(vectors[at]) for at in range(fold, len(ordered), FOLDS)}
    trees = _boosted(boosting, vectors, labels)
    old = None
    if previous is not None:
        later = [example for example in ordered if example.number > previous.facts["reviews"]["until"]]
        old = later, {each.number: _judged_by(previous, each) for each in later}
    facts = facts_of(ordered, judged, link, old, previous)
    return LearnedModel(trees, rates, depends_on(weights), facts)


def facts_of(
    examples: Sequence[Example],
    judged: Mapping[int, float],
    link: float,
    old: tuple[Sequence[Example], Mapping[int, float]] | None,
    previous: LearnedModel | None,
) -> dict[str, Any]:
    """What a model says of itself: its training set by hash and counts, how good it is beside the weights and, on the
    pairs that neither learned from, beside the model before it; and than which of them it is `worse`."""
    own = rated(examples, judged, link)
    weights = rated(examples, {example.number: example.seen.by_weights for example in examples})
    worse = ["weights"] if _is_worse(own, weights) else []
    facts: dict[str, Any] = {
        "reviews": {
            "pairs": len(examples),
            "links": sum(example.is_one for example in examples),
            "labelled": sum(example.number < 0 for example in examples),
            "until": max(example.number for example in examples),
            "sha256": set_hash(examples),
        },
        "link": link,
        "model": asdict(own),
        "weights": asdict(weights),
        "calibration": [asdict(each) for each in calibration(examples, judged)],
    }
    if old is not None and previous is not None:
        later, before = old
        now, then = rated(later, judged, link), rated(later, before, link)
        facts["since"] = {"version": previous.version, "model": asdict(now), "previous": asdict(then)}
        worse += [previous.version] if _is_worse(now, then) else []
    return {**facts, "worse": worse}


def set_hash(examples: Sequence[Example]) -> str:
    """Of a training set: which reviews, what they say and what was decided."""
    rows = [msgspec.to_builtins(example) for example in sorted(examples, key=lambda example: example.number)]
    return hashlib.sha256(msgspec.json.encode(rows)).hexdigest()


def rated(examples: Sequence[Example], said: Mapping[int, float], link: float | None = None) -> Rates:
    """How good probabilities are. From `link` on they link what the weights doubt; without it the weights decide."""
    both = Counter((said[each.number] >= 0.5, each.is_one) for each in examples)
    linked = [
        each
        for each in examples
        if (said[each.number] >= link if link is not None and each.seen.is_open else each.seen.is_linked)
    ]
    right, wrong, missed = both[True, True], both[True, False], both[False, True]
    precision, recall = (right / part if part else 1.0 for part in (right + wrong, right + missed))
    loss = sum(-log(_within(said[each.number] if each.is_one else 1 - said[each.number])) for each in examples)
    return Rates(
        pairs=len(examples),
        precision=round(precision, 6),
        recall=round(recall, 6),
        f1=round(2 * precision * recall / (precision + recall), 6) if precision + recall else 0.0,
        log_loss=round(loss / len(examples), 6) if examples else 0.0,
        links=len(linked),
        wrong_links=sum(not each.is_one for each in linked),
    )


def calibration(examples: Sequence[Example], said: Mapping[int, float]) -> list[Bin]:
    """Whether as many are right as was said."""
    bins = []
    for low, high in pairwise(_BINS):
        inside = [each for each in examples if low <= said[each.number] < high or said[each.number] == high == 1]
        if inside:
            of_all = len(inside)
            average = sum(said[each.number] for each in inside) / of_all
            bins.append(Bin(low, high, of_all, round(average, 4), round(sum(e.is_one for e in inside) / of_all, 4)))
    return bins


def _is_worse(one: Rates, other: Rates) -> bool:
    """By log loss, or because more links are wrong."""
    return one.pairs > 0 and (one.log_loss > other.log_loss or one.wrong_links > other.wrong_links)


def _judged_by(model: LearnedModel, example: Example) -> float:
    one, other = example.sources
    return model.probability((*example.seen.signals, *model.rates.steps([one], [other])))


def _vectors(ordered: Sequence[Example], quality: Mapping[str, float]) -> list[tuple[int, ...]]:
    """Of examples in order, with what was known of their sources when they were decided."""
    ledger, vectors = _Ledger(), []
    for example in ordered:
        known = SourceRates(ledger.rates(), quality)
        vectors.append((*example.seen.signals, *known.steps(*([source] for source in example.sources))))
        ledger.add(example)
    return vectors


class _Ledger:
    """Decided pairs by source."""

    def __init__(self) -> None:
        self._ones: Counter[str] = Counter()
        self._pairs: Counter[str] = Counter()

    def add(self, example: Example) -> None:
        for source in {*example.sources, ""}:
            self._pairs[source] += 1
            self._ones[source] += example.is_one

    def rates(self) -> dict[str, float]:
        """The share that was one person, by source, and under "" of all."""
        mean = (self._ones[""] + 1) / (self._pairs[""] + 2)
        shares = {
            source: (self._ones[source] + _PRIOR_PAIRS * mean) / (pairs + _PRIOR_PAIRS)
            for source, pairs in self._pairs.items()
        }
        return {source: round(share, 4) for source, share in (shares | {"": mean}).items()}


def _with_mean(rates: Mapping[str, float]) -> dict[str, float]:
    return {**rates, "": round(sum(rates.values()) / len(rates), 4)} if rates else {"": 1.0}


def _within(probability: float) -> float:
    return min(max(probability, 1e-6), 1 - 1e-6)


def _boosting() -> Any:
    try:
        import lightgbm
    except (ImportError, OSError):  # OSError: the library of the system that it calls (libgomp) is not there
        raise ConfigurationError(
            "training needs LightGBM, which is not installed here: pip install 'healthsync[learned]' (and, on slim "
            "images, the system's libgomp1)"
        ) from None
    return lightgbm


def _boosted(boosting: Any, vectors: Sequence[Sequence[int]], labels: Sequence[int]) -> Trees:
    import numpy as np

    booster = boosting.train(
        {
            "objective": "binary",
            "learning_rate": 0.1,
            "num_leaves": 8,
            "max_depth": 3,
            "min_data_in_leaf": LEAST_IN_LEAF,
            "min_data_in_bin": 1,
            "lambda_l2": 1.0,
            "feature_pre_filter": False,
            "monotone_constraints": [feature.raises for feature in FEATURES],
            "monotone_constraints_method": "basic",
            "seed": _SEED,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbosity": -1,
        },
        boosting.Dataset(
            np.array(vectors, np.float64),
            np.array(labels, np.float64),
            params={"min_data_in_bin": 1, "feature_pre_filter": False, "verbosity": -1},
        ),
        num_boost_round=ROUNDS,
    )
    return Trees([_tree(tree["tree_structure"]) for tree in booster.dump_model()["tree_info"]])


def _tree(node: Mapping[str, Any]) -> Tree:
    """A tree of LightGBM's. Every feature is a whole number, so that a threshold between two is the lower one."""
    if "leaf_value" in node:
        return Leaf(node["leaf_value"], int(node.get("leaf_count") or 1))
    return Branch(
        node["split_feature"], floor(node["threshold"]), _tree(node["left_child"]), _tree(node["right_child"]),
        int(node["internal_count"]),
    )  # fmt: skip
