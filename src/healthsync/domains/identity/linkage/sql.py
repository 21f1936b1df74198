"""The model of linking as SQL: the weight of compared pairs, where they stand in a warehouse. Pure.

What is read is a table of pairs with their levels (`Compared.rows`); what comes out are the weight, the log odds and
the probability that `scores` gives. It uses LN, POWER, CASE and COALESCE only, which every warehouse has.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from healthsync.domains.identity.linkage.comparing import Comparer, Comparison, levels_of
from healthsync.domains.identity.linkage.model import Floats, LinkageModel, frequency_bits, is_shared
from healthsync.domains.identity.linkage.standardising import Codes, Records


@dataclass(frozen=True)
class Compared:
    """Pairs with their levels: for each field its level's name ("" where one record says nothing), and how much more or
    less than usual agreement on this value weighs (`<field>_rarity`, bits)."""

    columns: tuple[str, ...]
    compared: Comparison
    rarity: dict[str, Floats]

    @classmethod
    def of(cls, records: Records, model: LinkageModel, left: Codes, right: Codes) -> Compared:
        """Compare the pairs (left, right) by the fields of the model."""
        comparer = Comparer(records)
        compared = comparer.compare(left, right)
        frequencies = frequency_bits(model, records, {column for column, _ in compared.agreed.values()})
        fields = [name for name in compared.levels if name in model.fields]
        rarity = {name: np.zeros(len(left)) for name in fields}
        for place, (column, codes) in compared.agreed.items():
            name = place.partition(":")[0]
            if name in rarity:
                rarity[name] += frequencies[column][codes]
        columns = tuple(column_of(name) + end for name in fields for end in ("", "_rarity"))
        return cls(columns, compared, rarity)

    def rows(self) -> Iterator[tuple[str | float, ...]]:
        """The values of `columns`, pair by pair."""
        parts: list[list[str] | list[float]] = []
        for name, rarity in self.rarity.items():
            names = np.array(["", *levels_of(name)], dtype=object)
            parts += [names[self.compared.levels[name]].tolist(), rarity.tolist()]
        return zip(*parts, strict=True)


def column_of(name: str) -> str:
    """The column of a field: letters, digits and underscores only."""
    return "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name).lower()


def as_sql(model: LinkageModel, table: str = "pairs") -> str:
    """A SELECT of id_a, id_b, weight (bits), log_odds (log2) and probability of the pairs of `table`."""
    weighed = [f"{_bits(name, weights.bits)} + COALESCE({column_of(name)}_rarity, 0)"
               for name, weights in model.fields.items()]  # fmt: skip
    related = [
        _bits(name, weights.household_bits)
        + (f" + COALESCE({column_of(name)}_rarity, 0)" if is_shared(weights) else "")
        for name, weights in model.fields.items()
        if weights.household_bits.any()
    ]
    prior = math.log2(model.relatives / (1 - model.matches - model.relatives)) if model.relatives > 0 else -math.inf
    odds = f"POWER(2, {prior!r} + for_relatives) * ({_kinship(model)})" if model.relatives > 0 else "0"
    return f"""-- The weights of profile {model.profile}, learned from a file. For each field `{table}` has the level of
-- agreement (NULL or '' where one record says nothing) and how much more or less agreement on this value weighs (bits).
WITH weighed AS (
  SELECT {table}.*,
    {_sum(weighed)} AS for_person,
    {_sum(related)} AS for_relatives
  FROM {table}
), scored AS (
  SELECT id_a, id_b,
    -- what two relatives would show as well is taken off
    for_person - LN(1 + {odds}) / LN(2) AS weight
  FROM weighed
)
SELECT id_a, id_b, weight, weight + {model.prior_bits!r} AS log_odds,
  1 / (1 + POWER(2, CASE WHEN weight + {model.prior_bits!r} < -60 THEN 60
                         WHEN weight + {model.prior_bits!r} > 60 THEN -60
                         ELSE -(weight + {model.prior_bits!r}) END)) AS probability
FROM scored
"""


def _sum(terms: list[str]) -> str:
    return "\n    + ".join(terms) or "0"


def _bits(name: str, bits: Floats) -> str:
    """The bits of a field's levels; a missing one weighs nothing."""
    cases = " ".join(f"WHEN '{level}' THEN {value!r}"
                     for level, value in zip(levels_of(name), bits[1:].tolist(), strict=True))  # fmt: skip
    return f"CASE {column_of(name)} {cases} ELSE 0 END"


def _kinship(model: LinkageModel) -> str:
    """How much more often than strangers relatives show these first names and birth dates, as `kinship_odds` says."""
    parts = [repr(1 - model.same_given - model.same_birth_date)]
    given = model.fields.get("given")
    if given:
        parts.append(_either("given", model.same_given, model.same_given / given.u[0]))
    if "birth_date" in model.fields:
        born = model.fields["birth_date"]
        together = _either("birth_date", model.same_birth_date, model.same_birth_date / born.u[0])
        if given:
            usual = 1 - model.alike_names
            alike = usual + model.alike_names / given.u[5]
            together += (
                f" * CASE given WHEN 'exact' THEN 0 WHEN 'nickname' THEN 0 WHEN 'alike' THEN {alike!r} "
                f"ELSE {usual!r} END"
            )
        parts.append(together)
    return " + ".join(parts)


def _either(column: str, missing: float, exact: float) -> str:
    return f"CASE COALESCE({column}, '') WHEN 'exact' THEN {exact!r} WHEN '' THEN {missing!r} ELSE 0 END"
