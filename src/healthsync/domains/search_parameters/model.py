"""Nouns of added search parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["announced", "indexing", "active", "retired"]


@dataclass(frozen=True, slots=True)
class AddedParameter:
    """One meaning of an added parameter; `facts` are `code`, `base`, `type`, `url`, `expression`, `target`."""

    number: int
    resource_id: str
    facts: Mapping[str, Any]
    state: State
    percent: int
    round: int
    """How often it was announced: indexing that was begun for an earlier round is void."""

    @property
    def registered(self) -> dict[str, Any]:
        """As `standards.fhir.search_parameters.use` takes it."""
        return {**self.facts, "number": self.number, "state": self.state, "percent": self.percent}
