"""Functional lists (lifecycle.html#current): "the current problems" of a patient, whichever List says what they are.

R4 names some and leaves open how a server knows what is on them. Here a List that somebody keeps for it (current, of
this patient, with a code of that meaning) decides; where there is none, the states of the resources do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from healthsync.standards.fhir.criteria import Criterion, Node, Or
from healthsync.standards.fhir.query_values import ReferenceValue

Pairs = Sequence[tuple[str, str]]

_LOINC, _USE = "http://loinc.org", "http://terminology.hl7.org/CodeSystem/list-example-use-codes"


@dataclass(frozen=True, slots=True)
class CurrentList:
    """A functional list: the codes of a List that is kept for it, and of each type that it may name what is current."""

    codes: tuple[str, ...]
    current: Mapping[str, Pairs]

    def kept_for(self, patient: str) -> list[tuple[str, str]]:
        """The search for Lists of a patient (`Patient/id`), the newest first."""
        asked = {"subject": patient, "status": "current", "code": ",".join(self.codes), "_sort": "-_lastUpdated"}
        return list(asked.items())


_BELIEVED = ("verification-status:not", "entered-in-error,refuted")
_ALLERGIES: Pairs = (("clinical-status", "active"), _BELIEVED)

CURRENT_LISTS = {
    "$current-problems": CurrentList(
        (f"{_LOINC}|11450-4", f"{_USE}|problems"),
        {"Condition": (("clinical-status", "active,recurrence,relapse"), _BELIEVED)},
    ),
    "$current-medications": CurrentList(
        (f"{_LOINC}|10160-0", f"{_USE}|medications"),
        {
            "MedicationStatement": (("status", "active"),),
            "MedicationRequest": (("status", "active"), ("intent:not", "proposal,plan,option")),
        },
    ),
    "$current-allergies": CurrentList((f"{_LOINC}|48765-2", f"{_USE}|allergies"), {"AllergyIntolerance": _ALLERGIES}),
    "$current-drug-allergies": CurrentList(
        (f"{_LOINC}|11382-9",), {"AllergyIntolerance": (*_ALLERGIES, ("category", "medication"))}
    ),
}
"""By the names that R4 gives them."""


def sole_patient(criteria: Iterable[Node]) -> str | None:
    """`Patient/id` of the one patient whom a search is about, by `patient`, `subject` or his compartment."""
    named = {target for node in criteria for target in _patients(node)}
    return named.pop() if len(named) == 1 else None


def _patients(node: Node) -> list[str]:
    if isinstance(node, Or):
        return [target for each in node.nodes for target in _patients(each)]
    if (
        not isinstance(node, Criterion)
        or node.modifier is not None
        or node.parameter.name not in ("patient", "subject")
    ):
        return []
    targets = [target for value in node.values if isinstance(value, ReferenceValue) for target in value.targets]
    return [target for target in targets if target.startswith("Patient/")]
