"""`patient_validation` and `observation_validation`: what good data looks like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal

from healthsync.settings.documents.names import Names, pattern_faults
from healthsync.settings.reading import OTHER_KEYS, setting
from healthsync.standards.units import ucum_code


@dataclass(frozen=True, slots=True)
class FieldRule:
    """What a value of one field must satisfy."""

    format: Literal["YYYY-MM-DD"] | None = setting("Form of a date.", default=None)
    min: date | float | None = setting("Smallest value.", default=None)
    max: Literal["today"] | date | float | None = setting("Largest value.", default=None)
    allowed_values: tuple[str, ...] | None = setting("The only values.", default=None)
    pattern: str | None = setting("A regular expression.", default=None)

    def faults(self) -> Iterator[tuple[str, str]]:
        """What the values say against each other."""
        if self.pattern:
            yield from pattern_faults("pattern", self.pattern)

    def describe(self) -> str:
        """The rule as a phrase."""
        return ", ".join(
            said
            for said in (
                self.format or "",
                f"{_value(self.min)} to {_value(self.max)}" if self.min is not None or self.max is not None else "",
                f"one of {', '.join(self.allowed_values)}" if self.allowed_values else "",
                f"like {self.pattern}" if self.pattern else "",
            )
            if said
        )


@dataclass(frozen=True, slots=True)
class PatientValidation:
    """What a patient must satisfy."""

    required_fields: tuple[str, ...] = setting("Columns that must be there.", default=())
    rules: dict[str, FieldRule] = setting("A rule for a column of patients.", default=None, name=OTHER_KEYS)


@dataclass(frozen=True, slots=True)
class ValueRange:
    """The plausible range of a measurement."""

    min: float = setting("Smallest plausible value.")
    max: float = setting("Largest plausible value.")
    unit: str = setting("Unit of the two; values are converted before they are compared.")


@dataclass(frozen=True, slots=True)
class ObservationValidation:
    """What an observation must satisfy."""

    value_ranges: dict[str, ValueRange] = setting("Plausible ranges by measurement.")


@dataclass(frozen=True, slots=True)
class ValidationRulesDocument:
    """What good data looks like."""

    patient_validation: PatientValidation | None = setting("What a patient must satisfy.", default=None)
    observation_validation: ObservationValidation | None = setting("What an observation must satisfy.", default=None)

    def describe(self, names: Names) -> Iterator[str]:
        """A sentence for each rule."""
        if self.patient_validation:
            for at, column in enumerate(self.patient_validation.required_fields):
                names.column("patients", column, f"patient_validation.required_fields[{at}]")
            yield f"a patient needs {', '.join(self.patient_validation.required_fields)}"
            for column, rule in (self.patient_validation.rules or {}).items():
                names.column("patients", column, f"patient_validation.{column}")
                yield f"patients.{column}: {rule.describe()}"
        if self.observation_validation:
            for name, limits in self.observation_validation.value_ranges.items():
                meaning = names.measurement(name, f"observation_validation.value_ranges.{name}")
                unit = ucum_code(limits.unit) or limits.unit
                stored = f", compared in {meaning.unit}" if meaning and meaning.unit != unit else ""
                yield f"{name}: {limits.min:g} to {limits.max:g} {unit}{stored}"


def _value(limit: date | float | str | None) -> str:
    return f"{limit:g}" if isinstance(limit, float) else str(limit)
