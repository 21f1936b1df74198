"""Survivorship rules: which value of an element stands in the golden record. Data, see `survivorship.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal, get_args

import yaml

from healthsync.errors import ConfigurationError

Keep = Literal["all", "one", "record"]
Criterion = Literal["pinned", "real", "verified", "trusted", "exact", "frequent", "complete", "recent"]

ELEMENTS = (
    "identifier", "name", "gender", "birthDate", "deceased", "multipleBirth", "telecom", "address", "maritalStatus",
    "communication", "contact", "generalPractitioner",
)  # fmt: skip
"""Elements of a Patient that can survive; `deceased` and `multipleBirth` stand for both of their types."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What survives of one element, and what decides."""

    keep: Keep
    order: tuple[Criterion, ...] = ()


Rules = Mapping[str, Rule]
"""By element, in the order of the golden record."""


@cache
def shipped_rules() -> Rules:
    """The rules that ship with the hub."""
    return load_rules(files("healthsync.domains.identity").joinpath("survivorship.yaml").read_text(encoding="utf-8"))


def load_rules(document: str) -> Rules:
    """The rules of a YAML document. Raises ConfigurationError that names the entry and what it may be."""
    try:
        read = yaml.safe_load(document)
    except yaml.YAMLError:
        raise ConfigurationError("survivorship: this is no YAML") from None
    elements = read.get("elements") if isinstance(read, Mapping) else None
    if not isinstance(elements, Mapping) or not elements:
        raise ConfigurationError("survivorship: `elements` is missing")
    return {element: _rule(element, entry) for element, entry in elements.items()}


@dataclass(frozen=True, slots=True)
class Survivorship:
    """The rules of a hub, and its trust in sources (more is better, 0 where nothing is said)."""

    rules: Rules = field(default_factory=shipped_rules)
    source_trust: Mapping[str, int] = field(default_factory=dict)

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements of which one record is chosen."""
        return tuple(element for element, rule in self.rules.items() if rule.keep != "all")

    def trust_in(self, source: str) -> int:
        """The trust in a source."""
        return self.source_trust.get(source, 0)


def _rule(element: object, entry: Any) -> Rule:
    if element not in ELEMENTS:
        raise ConfigurationError(f"survivorship: {element!s:.40} is none of {', '.join(ELEMENTS)}")
    keep = entry.get("keep") if isinstance(entry, Mapping) else None
    if keep not in ("all", "one", "record"):
        raise ConfigurationError(f"survivorship: {element}: keep is one of {', '.join(get_args(Keep))}")
    order = entry.get("order", ())
    if not isinstance(order, list | tuple) or not set(order) <= set(get_args(Criterion)):
        raise ConfigurationError(f"survivorship: {element}: order is a list of {', '.join(get_args(Criterion))}")
    if keep != "all" and not order:
        raise ConfigurationError(f"survivorship: {element}: order is missing; nothing decides which value survives")
    return Rule(keep, tuple(order))
