"""`clinical_rules`: clinical decision support."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from healthsync.settings.documents.names import Names, Trigger
from healthsync.settings.reading import setting


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison, or several under `all` or `any`."""

    field: str | None = setting("A measurement of the dictionary.", default=None)
    operator: Literal[">", ">=", "<", "<=", "=", "!="] | None = setting("The comparison.", default=None)
    value: float | None = setting("In the canonical unit of the measurement.", default=None)
    all: tuple[Condition, ...] | None = setting("Every one must hold.", default=None)
    any: tuple[Condition, ...] | None = setting("One must hold.", default=None)

    def faults(self) -> Iterator[tuple[str, str]]:
        """What the values say against each other."""
        comparison = (self.field, self.operator, self.value)
        compares = comparison != (None, None, None)
        if sum((compares, self.all is not None, self.any is not None)) != 1:
            yield "field", "write one of: field with operator and value · all · any"
        elif compares and None in comparison:
            yield "field", "a comparison needs field, operator and value"

    def describe(self, names: Names, key: str) -> str:
        """The condition as a sentence."""
        for word, joined in ((" and ", "all"), (" or ", "any")):
            parts = getattr(self, joined)
            if parts is not None:
                said = [part.describe(names, f"{key}.{joined}[{at}]") for at, part in enumerate(parts)]
                return word.join(f"({one})" if " and " in one or " or " in one else one for one in said)
        meaning = names.measurement(self.field or "", f"{key}.field")
        return f"{self.field} {self.operator} {self.value:g} {meaning.unit if meaning else ''}".rstrip()


@dataclass(frozen=True, slots=True)
class Check:
    """A look-up in a knowledge source."""

    type: Literal["interaction_db", "allergy", "duplicate_therapy", "dose_range"] = setting("What is looked up.")
    source: str = setting("The knowledge source; the operator owns its data.")
    severity_threshold: Literal["minor", "moderate", "major", "contraindicated"] = setting(
        "The least severe finding that counts.", default="major"
    )


@dataclass(frozen=True, slots=True)
class Action:
    """What a finding does."""

    type: Literal["alert", "order_set", "block", "task"] = setting("The kind of action.")
    severity: Literal["info", "warning", "critical"] | None = setting("Of an alert.", default=None)
    recipients: tuple[str, ...] = setting("Roles or groups that are told.", default=())
    suggest: str | None = setting("The order set that is suggested.", default=None)
    if_severity: Literal["minor", "moderate", "major", "contraindicated"] | None = setting(
        "Only for findings of this severity.", default=None
    )

    def describe(self) -> str:
        """The action as a phrase."""
        said = {
            "alert": f"{self.severity or ''} alert to {', '.join(self.recipients) or 'nobody'}".strip(),
            "order_set": f"suggest {self.suggest}",
        }.get(self.type, self.type)
        return said + (f" if {self.if_severity}" if self.if_severity else "")


@dataclass(frozen=True, slots=True)
class ClinicalRule:
    """One rule."""

    name: str = setting("The rule's name.")
    actions: tuple[Action, ...] = setting("What a finding does.")
    description: str = setting("What it is for.", default="")
    conditions: Condition | None = setting("When it finds something.", default=None)
    trigger: Trigger | None = setting("The change that starts it.", default=None)
    check: Check | None = setting("The look-up that decides.", default=None)

    def faults(self) -> Iterator[tuple[str, str]]:
        """What the values say against each other."""
        if self.conditions is None and self.check is None:
            yield "name", "a rule needs conditions or a check"


@dataclass(frozen=True, slots=True)
class ClinicalRulesDocument:
    """Clinical decision support."""

    clinical_rules: tuple[ClinicalRule, ...] = setting(
        "Clinical rules.", later="clinical decision support is not built yet"
    )

    def describe(self, names: Names) -> Iterator[str]:
        """A sentence for each rule."""
        for at, rule in enumerate(self.clinical_rules):
            key = f"clinical_rules[{at}]"
            when = []
            if rule.trigger and names.table(rule.trigger.table, f"{key}.trigger.table"):
                when.append(f"on {rule.trigger.operation} of {rule.trigger.table}")
            if rule.check:
                when.append(f"{rule.check.type} of {rule.check.source}, {rule.check.severity_threshold} or worse")
            if rule.conditions:
                when.append(f"when {rule.conditions.describe(names, f'{key}.conditions')}")
            yield f"rule {rule.name}: {'; '.join(when)} → {' · '.join(action.describe() for action in rule.actions)}"
