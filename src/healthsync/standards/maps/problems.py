"""PRB, GOL, PTH, VAR: problems, goals, pathways and what did not go as planned (HL7 v2.5.1 §12.4).

Each is named by its instance (PRB-4, GOL-4, PTH-3), else by whom it is of and its code. The action code of its segment
decides, else the event: DE and DELETE take it back.
"""

from __future__ import annotations

from collections.abc import Iterable

from healthsync.standards.hl7v2 import Segment
from healthsync.standards.maps.clinical import UNKNOWN, coded_key, concept
from healthsync.standards.maps.compiler import Program
from healthsync.standards.maps.encounter import first_repetition
from healthsync.standards.maps.identifiers import ei_identifier, key_of
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.parties import practitioner
from healthsync.standards.maps.scribe import Draft, Scribe, clean, part

_DELETE = frozenset({"DE", "UN"})
"""Table 0287: delete, unlink."""
_DELETES = frozenset({"PC3", "PC8", "PCD", "PCJ"})
"""Events that delete a problem, a goal, a pathway (problem- or goal-oriented)."""


def _is_deleted(segment: Segment, trigger: str) -> bool:
    action = clean(segment.get(1)).strip().upper()
    return action in _DELETE if action else trigger in _DELETES


def _draft(kind: str, segment: Segment, code: int, instance: int, patient: Draft, scribe: Scribe) -> Draft | None:
    rep = first_repetition(segment, instance)
    if rep and (found := ei_identifier(rep, scribe)):
        return scribe.draft(kind, f"instance|{key_of(found)}")
    told = coded_key(segment, code, scribe)
    if not told:
        scribe.issue("code-missing", f"{segment.name}-{code}")
        return None
    return scribe.draft(kind, f"{patient.key}|{segment.name.lower()}|{told}")


def _state(segment: Segment, number: int, states: dict[str, str], scribe: Scribe) -> str | None:
    """A life cycle, told by users in words of their own (tables 0442, 0407 are user-defined)."""
    rep = first_repetition(segment, number)
    if rep is None:
        return None
    for component in (1, 2):
        word = part(rep, component).lower().replace(" ", "-")
        if word in states:
            return states[word]
    scribe.issue("code-not-in-table", f"{segment.name}-{number}")
    return None


_CLINICAL = {
    "a": "active", "active": "active", "ongoing": "active", "i": "inactive", "inactive": "inactive",
    "r": "resolved", "resolved": "resolved", "completed": "resolved", "closed": "resolved", "recurrence": "recurrence",
    "relapse": "relapse", "remission": "remission",
}  # fmt: skip
_VERIFICATION = {
    "c": "confirmed", "confirmed": "confirmed", "p": "provisional", "provisional": "provisional", "d": "differential",
    "differential": "differential", "u": "unconfirmed", "unconfirmed": "unconfirmed", "s": "unconfirmed",
    "suspected": "unconfirmed", "r": "refuted", "refuted": "refuted", "ruled-out": "refuted",
}  # fmt: skip


def problem(
    prb: Segment, program: Program, patient: Draft, visit: Draft | None, trigger: str, scribe: Scribe
) -> Draft | None:
    """PRB[Condition], an entry of the problem list."""
    draft = _draft("Condition", prb, 3, 4, patient, scribe)
    if draft is None:
        return None
    resource = draft.resource
    resource["subject"] = patient.reference
    resource["category"] = [concept("condition-category", "problem-list-item")]
    if visit:
        resource["encounter"] = visit.reference
    program.run(prb, draft, scribe)
    resource.setdefault("code", UNKNOWN)
    if _is_deleted(prb, trigger):
        resource["verificationStatus"] = concept("condition-ver-status", "entered-in-error")
        draft.action = "entered-in-error"
        draft.cleared.append("clinicalStatus")  # con-5
        return draft
    if known := _state(prb, 13, _VERIFICATION, scribe):
        resource["verificationStatus"] = concept("condition-ver-status", known)
    else:
        draft.cleared.append("verificationStatus")
    abated = "abatementDateTime" in resource
    state = _state(prb, 14, _CLINICAL, scribe) or ("resolved" if abated else "active")
    if abated and state not in ("inactive", "resolved", "remission"):
        state = "resolved"  # con-4: what has abated is not active
    resource["clinicalStatus"] = concept("condition-clinical", state)
    if not abated and state in ("active", "recurrence", "relapse"):
        draft.cleared.append("abatementDateTime")
    return draft


_LIFE_CYCLE = {
    "a": "active", "active": "active", "p": "proposed", "proposed": "proposed", "planned": "planned",
    "accepted": "accepted", "h": "on-hold", "on-hold": "on-hold", "suspended": "on-hold", "c": "completed",
    "completed": "completed", "achieved": "completed", "i": "cancelled", "cancelled": "cancelled",
    "canceled": "cancelled", "rejected": "rejected",
}  # fmt: skip


def goal(gol: Segment, program: Program, patient: Draft, trigger: str, scribe: Scribe) -> Draft | None:
    """GOL[Goal]."""
    draft = _draft("Goal", gol, 3, 4, patient, scribe)
    if draft is None:
        return None
    resource = draft.resource
    resource["subject"] = patient.reference
    program.run(gol, draft, scribe)
    resource.setdefault("description", UNKNOWN)
    resource["lifecycleStatus"] = _state(gol, 18, _LIFE_CYCLE, scribe) or "active"
    if _is_deleted(gol, trigger):
        resource["lifecycleStatus"] = "entered-in-error"
        draft.action = "entered-in-error"
    return draft


_PATHWAY = {
    "a": "active", "active": "active", "p": "draft", "planned": "draft", "h": "on-hold", "on-hold": "on-hold",
    "suspended": "on-hold", "c": "completed", "completed": "completed", "i": "revoked", "cancelled": "revoked",
    "canceled": "revoked", "discontinued": "revoked",
}  # fmt: skip


def pathway(
    pth: Segment, program: Program, patient: Draft, visit: Draft | None, trigger: str, scribe: Scribe
) -> Draft | None:
    """PTH[CarePlan]."""
    draft = _draft("CarePlan", pth, 2, 3, patient, scribe)
    if draft is None:
        return None
    resource = draft.resource
    resource.update(intent="plan", subject=patient.reference)
    if visit:
        resource["encounter"] = visit.reference
    program.run(pth, draft, scribe)
    rep = first_repetition(pth, 2)
    if rep and (title := part(rep, 2) or part(rep, 9)):
        resource["title"] = title
    resource["status"] = _state(pth, 5, _PATHWAY, scribe) or "active"
    if _is_deleted(pth, trigger):
        resource["status"] = "entered-in-error"
        draft.action = "entered-in-error"
    return draft


def variance(var: Segment, about: Draft, scribe: Scribe) -> bool:
    """VAR: what went otherwise, as a note on what it went otherwise with. False when it says nothing."""
    lines = [clean(rep.text).strip() for rep in var.field(6).repetitions if rep.raw and not rep.is_null]
    kind = first_repetition(var, 5)
    text = "\n".join([*(part(rep, 2) or part(rep, 1) for rep in (kind,) if rep), *lines]).strip()
    if not text:
        return False
    made: Resource = {"text": text}
    scribe.path = "VAR-2"
    if told := scribe.date_time(clean(var.get(3)).strip() or clean(var.get(2)).strip()):
        made["time"] = told
    author = first_repetition(var, 4)
    if author and (who := practitioner(author, scribe)):
        made.update({"authorReference": who} if "reference" in who else {"authorString": who["display"]})
    about.resource.setdefault("note", []).append(made)
    return True


def join(plan: Draft | None, goals: Iterable[Draft], problems: Iterable[Draft]) -> None:
    """What a goal or a plan is for: the problems and goals of its message."""
    addressed = [one.reference for one in problems]
    for each in (*goals, *((plan,) if plan else ())):
        if addressed:
            each.resource["addresses"] = addressed
    if plan and (references := [one.reference for one in goals]):
        plan.resource["goal"] = references
