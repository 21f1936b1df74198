"""Directives, and how a FHIR Consent becomes one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from healthsync.standards.fhir import dates

FOREVER = datetime(9999, 12, 31, tzinfo=UTC)
ALWAYS = datetime(1, 1, 2, tzinfo=UTC)


class Effect(StrEnum):
    """http://hl7.org/fhir/consent-provision-type"""

    PERMIT = "permit"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Directive:
    """What one consent says for one patient. `purposes` empty means every purpose; the period is half-open."""

    consent_id: str
    decision: Effect
    purposes: frozenset[str]
    starts_at: datetime
    ends_at: datetime
    because: str


_POLICY_RULES = {"OPTIN": Effect.PERMIT, "OPTINR": Effect.PERMIT, "OPTOUT": Effect.DENY, "OPTOUTE": Effect.DENY}
_UNDERSTOOD = frozenset({"type", "period", "purpose"})


def compile_consent(consent: Mapping[str, Any]) -> Directive | None:
    """The directive of a Consent, or None when it is not active.

    Nested provisions, actors, labels, data and unknown modifiers narrow a consent in ways that this version does not
    evaluate: such a consent denies (`not-understood`), it is never passed over. It denies the purposes that it is
    about, so that one about research does not close the record to who treats the patient; all, when it names none.
    """
    if consent.get("status") != "active":
        return None
    identity = str(consent.get("id", ""))
    provision = consent.get("provision") or {}
    understood = not (set(provision) - _UNDERSTOOD) and not consent.get("modifierExtension")
    base = provision.get("type")
    because = "provision"
    if base is None:
        because = "policy-rule"
        codes = {coding.get("code") for coding in (consent.get("policyRule") or {}).get("coding", [])}
        rules = {_POLICY_RULES[code] for code in codes if code in _POLICY_RULES}
        base = rules.pop() if len(rules) == 1 else Effect.DENY
    starts_at, ends_at = _period(provision.get("period"))
    purposes = frozenset(coding["code"] for coding in provision.get("purpose", []) if coding.get("code"))
    if not understood or len(purposes) != len(provision.get("purpose", [])):
        concerned = _concerned(consent, provision)
        return Directive(identity, Effect.DENY, concerned, starts_at, ends_at, "not-understood")
    return Directive(identity, Effect(base), purposes, starts_at, ends_at, because)


def _concerned(consent: Mapping[str, Any], provision: Mapping[str, Any]) -> frozenset[str]:
    """The purposes that a consent which cannot be read is about; empty, for all, when it does not name each by code."""
    parts = list(_parts(provision))
    named = [coding.get("code") for part in parts for coding in part.get("purpose", [])]
    modified = "modifierExtension" in consent or any("modifierExtension" in part for part in parts)
    return frozenset() if modified or not provision.get("purpose") or not all(named) else frozenset(named)


def _parts(provision: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A provision and the provisions inside it."""
    yield provision
    for inner in provision.get("provision", []):
        yield from _parts(inner)


def _period(period: Mapping[str, Any] | None) -> tuple[datetime, datetime]:
    period = period or {}
    start = dates.interval(period["start"])[0] if period.get("start") else ALWAYS
    end = dates.interval(period["end"])[1] if period.get("end") else FOREVER
    return max(start, ALWAYS), min(end, FOREVER)
