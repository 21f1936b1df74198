"""`deidentification`: how research data is de-identified."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from healthsync.settings.documents.names import Names
from healthsync.settings.reading import setting


@dataclass(frozen=True, slots=True)
class Transformation:
    """What happens to one field."""

    field: str = setting("A column of patients, or `dates` for every date.")
    action: Literal["remove", "pseudonymize", "generalize", "shift", "mask", "keep"] = setting("What happens to it.")
    salt: str | None = setting("Enters the pseudonym beside the hub's own secret.", default=None)
    to: Literal["year_only", "first_3_digits", "age_range", "state"] | None = setting(
        "The coarser form of `generalize`.", default=None
    )
    if_age_over_89: Literal["cap_at_90", "remove"] | None = setting("45 CFR 164.514(b)(2)(i)(C).", default=None)
    if_population_under_20k: Literal["set_to_000", "remove"] | None = setting(
        "45 CFR 164.514(b)(2)(i)(B).", default=None
    )
    range_days: tuple[int, ...] | None = setting("Smallest and largest shift.", default=None)
    preserve_intervals: bool = setting("One shift for all dates of a patient.", default=True)

    def faults(self) -> Iterator[tuple[str, str]]:
        """What the values say against each other."""
        if self.action == "generalize" and self.to is None:
            yield "action", "generalize needs `to`"
        if self.action == "shift" and (
            self.range_days is None or len(self.range_days) != 2 or self.range_days[0] > self.range_days[1]
        ):
            yield "range_days", "a shift needs [smallest, largest] in days, such as [-365, 365]"


@dataclass(frozen=True, slots=True)
class Verification:
    """What a data set must satisfy before it leaves."""

    k_anonymity: int = setting("Smallest group that may share quasi-identifiers.", minimum=2)
    quasi_identifiers: tuple[str, ...] = setting("Columns of patients.")


@dataclass(frozen=True, slots=True)
class DeidentificationRules:
    """How research data is de-identified."""

    method: Literal["safe_harbor", "expert_determination"] = setting("45 CFR 164.514(b)(2) or (b)(1).")
    transformations: tuple[Transformation, ...] = setting("What happens to each field.")
    verification: Verification | None = setting("What must hold at the end.", default=None)


@dataclass(frozen=True, slots=True)
class DeidentificationDocument:
    """How research data is de-identified."""

    deidentification: DeidentificationRules = setting(
        "How research data is de-identified.", later="the research warehouse is not built yet"
    )

    def describe(self, names: Names) -> Iterator[str]:
        """A sentence for each field, and what the method means together with them."""
        rules = self.deidentification
        for at, step in enumerate(rules.transformations):
            if step.field != "dates":
                names.column("patients", step.field, f"deidentification.transformations[{at}].field")
            extent = f" by {step.range_days[0]} to {step.range_days[1]} days" if step.range_days else ""
            yield f"{step.field}: {step.action}{f' to {step.to}' if step.to else ''}{extent}" + "".join(
                f", {word}"
                for word in (
                    f"over 89: {step.if_age_over_89}" if step.if_age_over_89 else "",
                    f"under 20,000 people: {step.if_population_under_20k}" if step.if_population_under_20k else "",
                )
                if word
            )
        if rules.verification:
            for at, column in enumerate(rules.verification.quasi_identifiers):
                names.column("patients", column, f"deidentification.verification.quasi_identifiers[{at}]")
            columns = ", ".join(rules.verification.quasi_identifiers)
            yield f"verified: k ≥ {rules.verification.k_anonymity} over {columns}"
        if any(step.action in {"shift", "pseudonymize"} for step in rules.transformations):
            yield "a shifted date or salted number is not Safe Harbor: the manifest says expert_determination_required"
