"""`patient_matching`: how records of one person are found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from healthsync.settings.documents.names import Names
from healthsync.settings.reading import setting


@dataclass(frozen=True, slots=True)
class ScoredField:
    """How one field counts."""

    name: str = setting("A column of patients.")
    weight: float = setting("Points for agreement.", minimum=0)
    match_type: Literal["exact", "fuzzy"] = setting("How two values are compared.")
    algorithm: Literal["jaro_winkler", "levenshtein", "address_normalize", "soundex", "metaphone"] | None = setting(
        "Of a fuzzy comparison.", default=None
    )
    threshold: float | None = setting(
        "Likeness from which a fuzzy comparison agrees.", default=None, minimum=0, maximum=1
    )

    def faults(self) -> Iterator[tuple[str, str]]:
        """What the values say against each other."""
        if self.match_type == "fuzzy" and self.algorithm is None:
            yield "algorithm", "is missing: a fuzzy comparison needs an algorithm"


@dataclass(frozen=True, slots=True)
class Scoring:
    """How fields count."""

    fields: tuple[ScoredField, ...] = setting("The fields.")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where a score leads."""

    auto_merge: float = setting("From here two records are linked (reversibly).", minimum=0, maximum=100)
    review: float = setting("From here a person decides.", minimum=0, maximum=100)
    no_match: float = setting("Below, two records are different persons.", minimum=0, maximum=100)

    def faults(self) -> Iterator[tuple[str, str]]:
        """What the values say against each other."""
        if not self.no_match <= self.review <= self.auto_merge:
            yield "review", "the thresholds must rise: no_match ≤ review ≤ auto_merge"


@dataclass(frozen=True, slots=True)
class PatientMatching:
    """How records of one person are found."""

    algorithm: Literal["probabilistic", "deterministic"] = setting("How records are compared.")
    blocking_keys: tuple[tuple[str, ...], ...] = setting("Only records that share one of these are compared.")
    scoring: Scoring = setting("How fields count.")
    thresholds: Thresholds = setting("Where a score leads.")


@dataclass(frozen=True, slots=True)
class PatientMatchingDocument:
    """How records of one person are found."""

    patient_matching: PatientMatching = setting("How records of one person are found.")

    def describe(self, names: Names) -> Iterator[str]:
        """Blocking, scoring and thresholds, a sentence each."""
        rules = self.patient_matching
        for at, block in enumerate(rules.blocking_keys):
            for position, column in enumerate(block):
                names.column("patients", column, f"patient_matching.blocking_keys[{at}][{position}]")
        yield f"compared: records that share {' or '.join(' + '.join(block) for block in rules.blocking_keys)}"
        total = sum(one.weight for one in rules.scoring.fields)
        for at, one in enumerate(rules.scoring.fields):
            names.column("patients", one.name, f"patient_matching.scoring.fields[{at}].name")
            how = one.match_type if one.algorithm is None else f"{one.match_type}, {one.algorithm}"
            least = f" ≥ {one.threshold:g}" if one.threshold is not None else ""
            yield f"{one.name}: {one.weight:g} of {total:g} points, {how}{least}"
        limits = rules.thresholds
        yield (
            f"score = 100 × points ÷ {total:g}: link from {limits.auto_merge:g}, review from {limits.review:g}, "
            f"different below {limits.no_match:g}"
        )
