"""What can go wrong in terminology."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from healthsync.errors import InvalidInput, NotFound

TX_ISSUE_TYPE = "http://hl7.org/fhir/tools/CodeSystem/tx-issue-type"
"""What is wrong, in the terms of the HL7 terminology ecosystem."""


def _details(kind: str, text: str) -> dict[str, Any]:
    return {"coding": [{"system": TX_ISSUE_TYPE, "code": kind}], "text": text}


class UnknownTerminology(NotFound):
    """No value set, code system, concept map or concept of this name is known here."""

    @property
    def details(self) -> Mapping[str, Any]:
        """OperationOutcome.issue.details."""
        return _details("not-found", str(self))


class Unusable(InvalidInput):
    """A definition or a parameter cannot be followed; `kind` is a code of TX_ISSUE_TYPE."""

    def __init__(self, message: str, *, kind: str, code: str = "invalid") -> None:
        super().__init__(message, code=code)
        self.kind = kind

    @property
    def details(self) -> Mapping[str, Any]:
        """OperationOutcome.issue.details."""
        return _details(self.kind, str(self))


class UnknownCodeSystem(UnknownTerminology):
    """A value set needs a code system that is not loaded, so that nothing true can be said. `url` names it."""

    def __init__(self, url: str, version: str | None = None, known: Sequence[str] = ()) -> None:
        if version is None:
            told = f"A definition for CodeSystem '{url}' could not be found: load it, or a package that holds it"
        else:
            told = (
                f"A definition for CodeSystem '{url}' version '{version}' could not be found, so the value set cannot"
                f" be expanded. Valid versions: {' or '.join(sorted(known))}"
            )
        super().__init__(told)
        self.url = url


def circular(name: str, path: Sequence[str]) -> Unusable:
    """A value set imports itself, by the way of others or directly."""
    told = f"Found a circularity pointing to {name} processing ValueSet with pathway [{', '.join(path)}]"
    return Unusable(told, kind="vs-invalid", code="processing")


class TooCostly(InvalidInput):
    """The answer would take more concepts or steps than this hub spends on one (issue type `too-costly`)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="too-costly")


class NotAsOf(InvalidInput):
    """What was asked about an earlier date was loaded after it, and how it was before is not kept."""

    def __init__(self, reference: str) -> None:
        super().__init__(
            f"{reference} was loaded here after that date, and what it said before is not kept; ask without a date",
            code="not-supported",
        )
