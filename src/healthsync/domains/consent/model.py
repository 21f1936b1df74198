"""Directives, and how a FHIR Consent becomes one."""

from __future__ import annotations

from collections.abc import Mapping
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
    evaluate: such a consent denies every purpose (`not-understood`), it is never passed over.
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
        return Directive(identity, Effect.DENY, frozenset(), starts_at, ends_at, "not-understood")
    return Directive(identity, Effect(base), purposes, starts_at, ends_at, because)


def _period(period: Mapping[str, Any] | None) -> tuple[datetime, datetime]:
    period = period or {}
    start = dates.interval(period["start"])[0] if period.get("start") else ALWAYS
    end = dates.interval(period["end"])[1] if period.get("end") else FOREVER
    return max(start, ALWAYS), min(end, FOREVER)
