"""How good a linkage is where the truth is known. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from healthsync.domains.identity.linkage.linking import Linkage
from healthsync.domains.identity.linkage.standardising import Records
from healthsync.domains.identity.nicknames import census_shares
from healthsync.domains.identity.scoring import Score, score

THRESHOLDS = (0.05, 0.2, 0.5, 0.8, 0.9, 0.95, 0.99, 0.998, 0.9999)
_EDGES = (0.05, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0)


@dataclass(frozen=True, slots=True)
class Rates:
    """Precision, recall and F1 of a set of pairs."""

    pairs: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """The pairs between two probabilities: how many, what was said of them on average, and how many were right."""

    low: float
    high: float
    pairs: int
    said: float
    right: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a linkage is worth. Rates are shares; `false_automatic` is per 10,000 records, `review` per record.

    `blocking_recall` is the share of the true pairs that share a block key, `compared_recall` of those that were looked
    at when components had been completed; `pairs_compared` is that share of all pairs of records.
    """

    persons: Score
    automatic: Rates
    linked: Rates
    blocking_recall: float
    compared_recall: float
    pairs_compared: float
    false_automatic: float
    review: float
    subgroups: dict[str, tuple[int, float]]
    thresholds: dict[float, Rates]
    calibration: tuple[Calibration, ...]


def evaluate(linkage: Linkage, truth: Sequence[str], origins: Sequence[str] | None = None) -> Evaluation:
    """Compare a linkage with `truth` (who each record is, in the order of `linkage.records`).

    `origins` are those of the names, where they are known; else a first name is of the US census or not.
    """
    codes = _codes(truth)
    true_pairs = sum(n * (n - 1) // 2 for n in Counter(codes.tolist()).values())
    right = codes[linkage.left] == codes[linkage.right]
    automatic, linked, review = linkage.tier == 0, linkage.linked, linkage.tier == 2
    compared_left, compared_right = linkage.compared
    found = codes[compared_left] == codes[compared_right]
    size = len(linkage.records)
    return Evaluation(
        persons=score(dict(enumerate(linkage.persons.tolist())), dict(enumerate(truth))),
        automatic=_rates(right[automatic], true_pairs),
        linked=_rates(right[linked], true_pairs),
        blocking_recall=float(found[: linkage.candidates].sum()) / true_pairs if true_pairs else 1.0,
        compared_recall=float(found.sum()) / true_pairs if true_pairs else 1.0,
        pairs_compared=len(found) / max(size * (size - 1) / 2, 1),
        false_automatic=10_000 * float((~right[automatic]).sum()) / max(size, 1),
        review=float(review.sum()) / max(size, 1),
        subgroups=dict(_subgroups(linkage, codes, origins)),
        thresholds={at: _rates(right[linkage.probability >= at], true_pairs) for at in THRESHOLDS},
        calibration=tuple(_calibration(linkage.probability, right)),
    )


def _codes(values: Sequence[Hashable]) -> NDArray[np.int64]:
    index = {value: at for at, value in enumerate(dict.fromkeys(values))}
    return np.array([index[value] for value in values], np.int64)


def _rates(right: NDArray[np.bool_], true_pairs: int) -> Rates:
    found = int(right.sum())
    precision = found / len(right) if len(right) else 1.0
    recall = found / true_pairs if true_pairs else 1.0
    return Rates(len(right), precision, recall, 2 * precision * recall / (precision + recall) if found else 0.0)


def _calibration(probability: NDArray[np.float64], right: NDArray[np.bool_]) -> Iterator[Calibration]:
    for low, high in pairwise(_EDGES):
        inside = (probability >= low) & ((probability < high) | (high == 1.0))
        if inside.any():
            yield Calibration(
                low, high, int(inside.sum()), float(probability[inside].mean()), float(right[inside].mean())
            )


def _subgroups(
    linkage: Linkage, codes: NDArray[np.int64], origins: Sequence[str] | None
) -> Iterator[tuple[str, tuple[int, float]]]:
    """For each group its true pairs and the share that was linked; a pair belongs to the group of its first record."""
    order = np.argsort(codes, kind="stable")
    firsts, seconds = [], []
    for distance in range(1, len(order)):
        at = np.flatnonzero(codes[order[:-distance]] == codes[order[distance:]])
        if not len(at):
            break
        firsts.append(order[at])
        seconds.append(order[at + distance])
    if not firsts:
        return
    first, second = np.concatenate(firsts), np.concatenate(seconds)
    linked = linkage.persons[first] == linkage.persons[second]
    for name, members in _groups(linkage.records, origins):
        inside = members[first]
        if inside.any():
            yield name, (int(inside.sum()), float(linked[inside].mean()))


def _groups(records: Records, origins: Sequence[str] | None) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    columns = records.columns
    if "sex" in columns:
        column = columns["sex"]
        for code, value in enumerate(column.values):
            yield f"sex {value}", column.codes == code
    if "birth_date" in columns:
        column = columns["birth_date"]
        years = np.array([int(value[:4]) if value[:4].isdigit() else 0 for value in column.values] + [0])[column.codes]
        newest = int(years.max(initial=0))
        ages = (("under 18", 0, 17), ("18 to 64", 18, 64), ("65 and older", 65, 200))
        for name, low, high in ages:
            yield f"age {name}", (years > 0) & (newest - years >= low) & (newest - years <= high)
    if origins is not None:
        for origin in sorted(set(origins)):
            yield f"names {origin}", np.array([one == origin for one in origins], bool)
    elif "given" in columns:
        column = columns["given"]
        census = np.array([value in census_shares() for value in column.values] + [False], bool)[column.codes]
        yield "names of the US census", census
        yield "other names", ~census & (column.codes >= 0)
    if "ssn" in columns:
        yield "no SSN", columns["ssn"].codes < 0
