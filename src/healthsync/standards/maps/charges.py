"""FT1: what a patient is charged for (HL7 v2.5.1 §6.5.1)."""

from __future__ import annotations

from healthsync.standards.hl7v2 import Segment
from healthsync.standards.maps import numbers
from healthsync.standards.maps.clinical import UNKNOWN, coded_key
from healthsync.standards.maps.compiler import Program
from healthsync.standards.maps.encounter import first_repetition
from healthsync.standards.maps.identifiers import identifier
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.periods import period
from healthsync.standards.maps.scribe import Draft, Scribe, clean, part

CHARGE, CREDIT = "CG", "CD"
"""Table 0017. Payments, co-payments and adjustments are no charges: FHIR R4 has no place for a ledger."""
_OF_CHARGES = frozenset({CHARGE, CREDIT, "C", ""})


def charge(
    ft1: Segment, program: Program, patient: Draft, visit: Draft | None, account: Draft | None, scribe: Scribe
) -> Draft | None:
    """FT1[ChargeItem]. Key: the transaction (FT1-2), else of whom, what, when and which of the message.

    A credit takes a charge back: a ChargeItem of its own with an amount below zero.
    """
    kind = clean(ft1.get(6)).strip().upper()
    if kind not in _OF_CHARGES:
        scribe.issue("transaction-is-no-charge", "FT1-6")
        scribe.unmapped["FT1"] += 1
        return None
    number = clean(ft1.get(2)).strip()
    of_whom = (visit or account or patient).key
    what = coded_key(ft1, 7, scribe) or coded_key(ft1, 25, scribe)
    named = f"number|{number}" if number else f"{what}|{clean(ft1.get(4)).strip()}|#{clean(ft1.get(1)).strip()}"
    taken_back = "credit|" if kind == CREDIT else ""
    draft = scribe.draft("ChargeItem", f"{of_whom}|{taken_back}{named}")
    resource = draft.resource
    resource.update(status="billable", subject=patient.reference)
    if number:
        resource["identifier"] = [identifier(number, "", "", "", scribe)]
    if visit:
        resource["context"] = visit.reference
    if account:
        resource["account"] = [account.reference]
    program.run(ft1, draft, scribe)
    resource.setdefault("code", UNKNOWN)
    _tell_when(ft1, resource, scribe)
    _tell_amount(ft1, resource, kind == CREDIT, scribe)
    return draft


def _tell_when(ft1: Segment, resource: Resource, scribe: Scribe) -> None:
    """FT1-4: a time, or from v2.5 on a range (DR)."""
    rep = first_repetition(ft1, 4)
    if rep is None:
        return
    scribe.path = "FT1-4"
    if part(rep, 2):
        if told := period(rep, scribe):
            resource["occurrencePeriod"] = told
    elif told := scribe.date_time(part(rep, 1)):
        resource["occurrenceDateTime"] = told


def _tell_amount(ft1: Segment, resource: Resource, credit: bool, scribe: Scribe) -> None:
    """FT1-11, the amount of all units; else FT1-12, of one, times FT1-10."""
    scribe.path = "FT1-11"
    whole, one = first_repetition(ft1, 11), first_repetition(ft1, 12)
    amount = numbers.decimal(part(whole, 1)) if whole else None
    if amount is None and one and (of_one := numbers.decimal(part(one, 1))) is not None:
        count = numbers.decimal(clean(ft1.get(10)).strip() or "1")
        amount = of_one * count if count is not None else None
    if amount is None:
        if whole or one:
            scribe.issue("invalid-number")
        return
    money: Resource = {"value": -abs(amount) if credit else amount}
    if currency := next((part(rep, 1, 2) for rep in (whole, one) if rep and part(rep, 1, 2)), ""):
        if len(currency) == 3 and currency.isalpha():
            money["currency"] = currency.upper()
        else:
            scribe.issue("code-not-in-table")
    resource["priceOverride"] = money
