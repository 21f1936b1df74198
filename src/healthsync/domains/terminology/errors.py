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
    """No value set, code system, concept map or concept of this name is known here.

    `message_id` is the name by which validators know the sentence.
    """

    def __init__(self, message: str, *, message_id: str | None = None) -> None:
        super().__init__(message)
        self.message_id = message_id

    @property
    def details(self) -> Mapping[str, Any]:
        """OperationOutcome.issue.details."""
        return _details("not-found", str(self))


class Unusable(InvalidInput):
    """A definition or a parameter cannot be followed; `kind` is a code of TX_ISSUE_TYPE."""

    def __init__(self, message: str, *, kind: str, code: str = "invalid", message_id: str | None = None) -> None:
        super().__init__(message, code=code)
        self.kind, self.message_id = kind, message_id

    @property
    def details(self) -> Mapping[str, Any]:
        """OperationOutcome.issue.details."""
        return _details(self.kind, str(self))


class UnknownCodeSystem(UnknownTerminology):
    """A value set needs a code system that is not loaded, so that nothing true can be said. `url` names it."""

    def __init__(self, url: str, version: str | None = None, known: Sequence[str] = ()) -> None:
        told, kind = f"A definition for CodeSystem '{url}'", "UNKNOWN_CODESYSTEM_EXP"
        if version is not None:
            told += f" version '{version}'"
            kind = "UNKNOWN_CODESYSTEM_VERSION_EXP" if known else "UNKNOWN_CODESYSTEM_VERSION_EXP_NONE"
        told += " could not be found, so the value set cannot be expanded"
        if version is not None:
            told += f". Valid versions: {listed(known)}" if known else ". No versions of this code system are known"
        super().__init__(told, message_id=kind)
        self.url = url


def listed(versions: Sequence[str]) -> str:
    """Versions in a sentence: `1`, `1 or 2`, `1, 2 and 3`."""
    *before, last = sorted(versions)
    return f"{', '.join(before)}{' or ' if len(before) == 1 else ' and '}{last}" if before else last


def unknown_value_set(name: str) -> UnknownTerminology:
    """No value set of this canonical is known here."""
    told = f"A definition for the value Set '{name}' could not be found"
    return UnknownTerminology(told, message_id="Unable_to_resolve_value_Set_")


def circular(name: str, path: Sequence[str]) -> Unusable:
    """A value set imports itself, by the way of others or directly."""
    told = f"Found a circularity pointing to {name} processing ValueSet with pathway [{', '.join(path)}]"
    return Unusable(told, kind="vs-invalid", code="processing", message_id="VALUESET_CIRCULAR_REFERENCE")


class TooCostly(InvalidInput):
    """The answer would take more concepts or steps than this hub spends on one (issue type `too-costly`)."""

    def __init__(self, message: str, *, message_id: str | None = None) -> None:
        super().__init__(message, code="too-costly")
        self.message_id = message_id

    @property
    def details(self) -> Mapping[str, Any]:
        """OperationOutcome.issue.details."""
        return {"text": str(self)}


class NotAsOf(InvalidInput):
    """What was asked about an earlier date was loaded after it, and how it was before is not kept."""

    def __init__(self, reference: str) -> None:
        super().__init__(
            f"{reference} was loaded here after that date, and what it said before is not kept; ask without a date",
            code="not-supported",
        )
