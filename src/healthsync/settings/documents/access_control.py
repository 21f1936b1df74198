"""`access_control`: who may read what, by role."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from healthsync.settings.documents.names import Names
from healthsync.settings.reading import setting

CONDITION = re.compile(r"(\w+)\s*(=|!=|>=|<=|>|<)\s*(\$\{user\.(\w+)\}|'[^']*'|\d+(?:\.\d+)?)")
USER_ATTRIBUTES = ("id", "department", "organization", "facility", "role", "specialty")


@dataclass(frozen=True, slots=True)
class Grant:
    """Rows and columns that a role may read."""

    table: str = setting("A logical table.")
    fields: Literal["*"] | tuple[str, ...] = setting("`*` or columns of the table.", default="*")
    conditions: str | None = setting("Rows: `column = ${user.attribute}`, joined by AND.", default=None)
    phi_redacted: bool = setting("Withhold what identifies the person beyond the named columns.", default=False)
    anonymized: bool = setting("Answer only Safe-Harbor redacted, with small cells suppressed.", default=False)

    def describe(self, role: str, names: Names, key: str) -> str:
        """The grant as a sentence."""
        if names.table(self.table, f"{key}.table") and self.fields != "*":
            for position, column in enumerate(self.fields):
                names.column(self.table, column, f"{key}.fields[{position}]")
        columns = "every column" if self.fields == "*" else ", ".join(self.fields)
        self._check_conditions(names, f"{key}.conditions")
        return f"role {role}: {self.table}.{columns}" + (
            (f" when {self.conditions}" if self.conditions else "")
            + (", PHI redacted" if self.phi_redacted else "")
            + (", anonymised" if self.anonymized else "")
        )

    def _check_conditions(self, names: Names, key: str) -> None:
        for part in re.split(r"\s+AND\s+", self.conditions) if self.conditions else ():
            match = CONDITION.fullmatch(part.strip())
            if not match:
                names.fault(key, f"“{part}” is not understood; write: column = ${{user.attribute}}, joined by AND")
                continue
            names.column(self.table, match[1], key)
            if match[4] and match[4] not in USER_ATTRIBUTES:
                names.fault(key, f"unknown user attribute “{match[4]}”; known: {', '.join(USER_ATTRIBUTES)}")


@dataclass(frozen=True, slots=True)
class Role:
    """A role and what it may read."""

    name: str = setting("The role, as clients and tokens carry it.")
    access: tuple[Grant, ...] = setting("What the role may read.")


@dataclass(frozen=True, slots=True)
class AccessControl:
    """The roles."""

    roles: tuple[Role, ...] = setting("The roles.")


@dataclass(frozen=True, slots=True)
class AccessControlDocument:
    """Who may read what."""

    access_control: AccessControl = setting(
        "Who may read what.",
        later="the built-in roles decide; roles, conditions and redaction from this document are not built yet",
    )

    def describe(self, names: Names) -> Iterator[str]:
        """A sentence for each grant."""
        for at, role in enumerate(self.access_control.roles):
            for position, grant in enumerate(role.access):
                yield grant.describe(role.name, names, f"access_control.roles[{at}].access[{position}]")
