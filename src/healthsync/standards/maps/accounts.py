"""Accounts (PID-18), who answers for them (GT1) and which insurances cover them (IN1)."""

from __future__ import annotations

from healthsync.standards.hl7v2 import Segment
from healthsync.standards.maps.clinical import SELF, concept
from healthsync.standards.maps.compiler import Program
from healthsync.standards.maps.encounter import first_repetition
from healthsync.standards.maps.identifiers import cx_identifier, key_of
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.parties import organization
from healthsync.standards.maps.scribe import Draft, Scribe, clean, part


def account_key(segment: Segment, number: int, scribe: Scribe) -> str | None:
    """The business key of the account that a field (PID-18, MRG-3) names, or None."""
    rep = first_repetition(segment, number)
    found = cx_identifier(rep, scribe) if rep else None
    return f"account|{key_of(found)}" if found else None


def account(pid: Segment, patient: Draft, scribe: Scribe) -> Draft | None:
    """PID[Account]. An account that was closed stays so; BAR opens and closes it."""
    rep = first_repetition(pid, 18)
    found = cx_identifier(rep, scribe, "AN") if rep else None
    if found is None:
        return None
    draft = scribe.draft("Account", f"account|{key_of(found)}")
    draft.resource.update(identifier=[found], status="active", subject=[patient.reference])
    draft.unless["status"] = ("*",)
    return draft


def cover(account: Draft, coverage: Draft, scribe: Scribe) -> None:
    """IN1 in the message of an account: what is paid by whom first (IN1-22, else its order)."""
    entry: Resource = {"coverage": coverage.reference}
    if order := coverage.resource.get("order"):
        entry["priority"] = order
    scribe.add_once(account.resource.setdefault("coverage", []), entry)


def guarantor(gt1: Segment, program: Program, patient: Draft, account: Draft | None, scribe: Scribe) -> None:
    """GT1[RelatedPerson]: who pays (v2.5.1 §6.5.5): the patient himself, an organisation or somebody else.

    Key of the person: his number (GT1-2), else name and relationship.
    """
    party = _party(gt1, program, patient, scribe)
    if party is None:
        scribe.unmapped["GT1"] += 1
        return
    if account is not None:
        scribe.add_once(account.resource.setdefault("guarantor", []), {"party": party})


def _party(gt1: Segment, program: Program, patient: Draft, scribe: Scribe) -> Resource | None:
    if gt1.get(11) in SELF:
        program.run(gt1, Draft({"resourceType": "RelatedPerson"}, ""), scribe)  # says of the patient what PID says
        return patient.reference
    employer = first_repetition(gt1, 21)
    name, number = first_repetition(gt1, 3), first_repetition(gt1, 2)
    named = "^".join(part(name, at) for at in (1, 2)).lower() if name else ""
    if employer and not named.strip("^"):
        return organization(employer, scribe)
    found = cx_identifier(number, scribe) if number else None
    if not found and not named.strip("^"):
        return None
    told = key_of(found) if found else f"{named}|{clean(gt1.get(11))}"
    draft = scribe.draft("RelatedPerson", f"{patient.key}|guarantor|{told}")
    program.run(gt1, draft, scribe)
    draft.resource["patient"] = patient.reference
    scribe.add_once(draft.resource.setdefault("relationship", []), concept("v3-RoleClass", "GUAR"))
    return draft.reference
