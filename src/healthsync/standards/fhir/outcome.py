"""What went wrong, in FHIR's words: issues, OperationOutcome and the HTTP status that fits (operationoutcome.html)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from healthsync.errors import HealthSyncError

# http.html#status-codes and operationoutcome.html: the status that a refusal with this issue type answers.
_STATUS = {
    "structure": 400,
    "invalid": 400,
    "value": 400,
    "required": 400,
    "code-invalid": 400,
    "not-supported": 400,
    "processing": 422,
    "invariant": 422,
    "business-rule": 422,
    "extension": 422,
    "login": 401,
    "unknown": 401,
    "expired": 401,
    "security": 403,
    "forbidden": 403,
    "suppressed": 403,
    "not-found": 404,
    "deleted": 410,
    "conflict": 409,
    "duplicate": 409,
    "multiple-matches": 412,
    "too-long": 413,
    "too-costly": 422,
    "throttled": 429,
    "lock-error": 503,
    "no-store": 503,
    "transient": 503,
    "timeout": 503,
    "incomplete": 503,
    "exception": 500,
}

MESSAGE_ID = "http://hl7.org/fhir/StructureDefinition/operationoutcome-message-id"


@dataclass(frozen=True, slots=True)
class Issue:
    """One finding. `code` is from http://hl7.org/fhir/issue-type, `expression` a FHIRPath such as `Patient.name[0]`.

    `diagnostics` is a sentence for the person who must act; it never holds a value of the resource. `details` is a
    CodeableConcept where a specification has codes for what is wrong, `message_id` the name by which validators know
    the sentence.
    """

    severity: str  # fatal | error | warning | information
    code: str
    expression: str | None
    diagnostics: str
    details: Mapping[str, Any] | None = None
    message_id: str | None = None

    @property
    def is_error(self) -> bool:
        return self.severity in {"fatal", "error"}

    def inside(self, place: str) -> Issue:
        """The same finding where the resource stands at `place` of another: `Patient.name` is `place.name`."""
        _, dot, rest = (self.expression or "").partition(".")
        return replace(self, expression=f"{place}{dot}{rest}")

    def as_json(self) -> dict[str, Any]:
        issue: dict[str, Any] = {"severity": self.severity, "code": self.code, "diagnostics": self.diagnostics}
        if self.expression:
            issue["expression"] = [self.expression]
        if self.details:
            issue["details"] = dict(self.details)
        if self.message_id:
            issue["extension"] = [{"url": MESSAGE_ID, "valueString": self.message_id}]
        return issue


def error(code: str, diagnostics: str, expression: str | None = None) -> Issue:
    return Issue("error", code, expression, diagnostics)


def from_error(problem: HealthSyncError) -> Issue:
    """The issue that an error of ours means; its message is written for strangers, so it may go out."""
    told = (getattr(problem, name, None) for name in ("details", "message_id"))
    return Issue("error", problem.code, getattr(problem, "expression", None), str(problem), *told)


def operation_outcome(issues: Iterable[Issue]) -> dict[str, Any]:
    """An OperationOutcome; without any issue it says that all is well, since one issue is required."""
    listed = [issue.as_json() for issue in issues]
    if not listed:
        listed = [Issue("information", "informational", None, "No issues were found.").as_json()]
    return {"resourceType": "OperationOutcome", "issue": listed}


def http_status(code: str) -> int:
    """The HTTP status suggested for a refusal with this issue type; 500 for a code that is not known here."""
    return _STATUS.get(code, 500)
