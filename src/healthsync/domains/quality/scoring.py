"""How good is this message?"""

from __future__ import annotations

from collections.abc import Mapping
from math import floor

from healthsync.domains.quality.model import Content, Dimension, Score
from healthsync.domains.quality.rubric import WHOLE, Rubric


def judge(content: Content, rubric: Rubric) -> Score | None:
    """The score of a message; None when it says nothing that a rule could judge."""
    passed: dict[Dimension, float] = {}
    asked: dict[Dimension, int] = {}
    failed: dict[str, int] = {}
    critically = False
    for resource in (*content.resources, _ALL):
        for rule in rubric.by_type.get(resource["resourceType"], ()):
            found = rule.judge(resource, content)
            if found is None:
                continue
            asked[rule.dimension] = asked.get(rule.dimension, 0) + rule.weight
            passed[rule.dimension] = passed.get(rule.dimension, 0.0) + rule.weight * found
            if found < 1:
                failed[rule.id] = failed.get(rule.id, 0) + 1
                critically = critically or (rule.critical and not found)
    points = {each: 100 * passed[each] / asked[each] for each in Dimension if asked.get(each)}
    if not points:
        return None
    return Score(overall(points), {dimension: floor(value) for dimension, value in points.items()}, failed, critically)


_ALL = {"resourceType": WHOLE}
"""Stands for the message as a whole."""


def overall(points: Mapping[Dimension, float]) -> int:
    """The mean of the dimensions that could be judged, rounded down: a message is never flattered into a band."""
    return floor(sum(points.values()) / len(points) + 1e-9)
