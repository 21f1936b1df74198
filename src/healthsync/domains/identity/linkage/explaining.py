"""Why a pair scored as it did: a waterfall of bits, field by field. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from healthsync.domains.identity.linkage.comparing import Comparer, levels_of
from healthsync.domains.identity.linkage.gate import reason_codes, reasons_against
from healthsync.domains.identity.linkage.model import Floats, LinkageModel, frequency_bits, scores
from healthsync.domains.identity.linkage.standardising import Records


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a waterfall: what it is about, the level of agreement, and what it adds (bits)."""

    about: str
    level: str
    bits: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """The score of one pair: `steps` add up to `weight`, and with `prior` to the log2 odds of `probability`."""

    steps: tuple[Step, ...]
    prior: float
    weight: float
    probability: float
    reasons: tuple[str, ...]


class Explainer:
    """Explains pairs of one set of records by one model."""

    def __init__(self, records: Records, model: LinkageModel) -> None:
        self._model, self._comparer = model, Comparer(records)
        wanted = {"street", "postal_code", "city", *self._comparer.fields} & records.columns.keys()
        self._frequencies: Mapping[str, Floats] = frequency_bits(model, records, wanted)

    def explain(self, left: int, right: int) -> Explanation:
        """The waterfall of the records at places `left` and `right`."""
        compared = self._comparer.compare(np.array([left], np.int32), np.array([right], np.int32))
        scored = scores(self._model, compared, self._frequencies)
        steps = []
        for name, levels in compared.levels.items():
            level = int(levels[0])
            if level and name in self._model.fields:
                steps.append(Step(name, levels_of(name)[level - 1], float(self._model.fields[name].bits[level])))
        for place, (column, codes) in compared.agreed.items():
            name = place.partition(":")[0]
            rarity = float(self._frequencies[column][codes[0]]) if column in self._frequencies else 0.0
            if codes[0] >= 0 and name in self._model.fields and rarity:
                steps.append(Step(name, "rare value" if rarity > 0 else "frequent value", rarity))
        weight = float(scored.weight[0])
        taken_off = weight - sum(step.bits for step in steps)
        if abs(taken_off) > 1e-9:
            steps.append(Step("household", "relatives agree as well", taken_off))
        reasons = reason_codes(int(reasons_against(self._comparer, compared)[0]))
        return Explanation(tuple(steps), self._model.prior_bits, weight, float(scored.probability[0]), reasons)
