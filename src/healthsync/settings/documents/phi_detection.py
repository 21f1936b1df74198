"""`phi_detection`: what is PHI."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from healthsync.settings.documents.names import Names, pattern_faults
from healthsync.settings.reading import setting


@dataclass(frozen=True, slots=True)
class DetectionRule:
    """PHI that is found by a pattern or by the name of a column."""

    type: str = setting("What is found.")
    action: Literal["encrypt", "mask", "tokenize", "redact"] = setting("What happens to it.")
    pattern: str | None = setting("A regular expression for free text.", default=None)
    fields: tuple[str, ...] = setting("Columns of patients.", default=())

    def faults(self) -> Iterator[tuple[str, str]]:
        """What the values say against each other."""
        if bool(self.pattern) == bool(self.fields):
            yield "type", "a rule needs either a pattern or fields"
        elif self.pattern:
            yield from pattern_faults("pattern", self.pattern)


@dataclass(frozen=True, slots=True)
class SensitiveField:
    """A column that is protected by decision."""

    name: str = setting("A column.")
    sensitivity: Literal["low", "normal", "high"] = setting("How much harm a disclosure does.")
    encryption: Literal["aes-256-gcm"] = setting("The cipher.", default="aes-256-gcm")


@dataclass(frozen=True, slots=True)
class SensitiveTable:
    """Columns of one table that are protected by decision."""

    table: str = setting("A logical table.")
    fields: tuple[SensitiveField, ...] = setting("Its columns.")


@dataclass(frozen=True, slots=True)
class PhiDetection:
    """What is PHI."""

    auto_detect: tuple[DetectionRule, ...] = setting("PHI by pattern or name.", default=())
    manual_fields: tuple[SensitiveTable, ...] = setting("PHI by decision.", default=())


@dataclass(frozen=True, slots=True)
class PhiDetectionDocument:
    """What is PHI."""

    phi_detection: PhiDetection = setting(
        "What is PHI.",
        later="identifiers, names, dates of birth, addresses and every free text are sealed by type; "
        "further rules are not built yet",
    )

    def describe(self, names: Names) -> Iterator[str]:
        """A sentence for each rule."""
        for at, rule in enumerate(self.phi_detection.auto_detect):
            for position, column in enumerate(rule.fields):
                names.column("patients", column, f"phi_detection.auto_detect[{at}].fields[{position}]")
            found = f"text like {rule.pattern}" if rule.pattern else f"columns {', '.join(rule.fields)}"
            yield f"{rule.type}: {found} → {rule.action}"
        for at, table in enumerate(self.phi_detection.manual_fields):
            for position, one in enumerate(table.fields):
                key = f"phi_detection.manual_fields[{at}].fields[{position}].name"
                meaning = names.column(table.table, one.name, key)
                where = f" ({meaning.fhir_type}.{meaning.path})" if meaning else ""
                yield f"{table.table}.{one.name}{where}: {one.sensitivity} sensitivity → {one.encryption}"
