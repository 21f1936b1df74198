"""How well the persons found agree with those that are known. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

R = TypeVar("R", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Score:
    """Precision, recall and F1, by pairs of records and by record (B³, Bagga and Baldwin 1998), each from 0 to 1."""

    records: int
    persons_found: int
    persons_known: int
    precision: float
    recall: float
    f1: float
    b3_precision: float
    b3_recall: float
    b3_f1: float


def score(found: Mapping[R, Hashable], truth: Mapping[R, Hashable]) -> Score:
    """Compare `found` (record → person) with `truth`; records that stand in one of them only do not count."""
    both = [(found[record], truth[record]) for record in found if record in truth]
    shared = Counter(both)
    ours, theirs = Counter(person for person, _ in both), Counter(person for _, person in both)
    agreed = _pairs(shared.values())
    precision, recall = _share(agreed, _pairs(ours.values())), _share(agreed, _pairs(theirs.values()))
    b3_precision = _share(sum(n * n / ours[person] for (person, _), n in shared.items()), len(both))
    b3_recall = _share(sum(n * n / theirs[person] for (_, person), n in shared.items()), len(both))
    return Score(
        len(both), len(ours), len(theirs),
        precision, recall, _f1(precision, recall), b3_precision, b3_recall, _f1(b3_precision, b3_recall),
    )  # fmt: skip


def _pairs(sizes: Iterable[int]) -> int:
    return sum(n * (n - 1) // 2 for n in sizes)


def _share(part: float, whole: float) -> float:
    """`part` of `whole`; of nothing, all is right."""
    return part / whole if whole else 1.0


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
