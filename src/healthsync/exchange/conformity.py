"""What a resource must be to be taken: FHIR R4, the profiles that this hub requires, and those that it claims itself.

Required profiles (`fhir.required_profiles`) are the hub's own demand and always refuse. What a resource claims in
`meta.profile` is a promise of its author: `fhir.profile_validation` says whether breaking it refuses or is only told.
A snapshot that the hub itself mapped from a message is held to R4 only: its shape is the map's, not the sender's, and
refusing it would lose a message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from healthsync.domains.conformance import ConformanceService
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.database import Transaction
from healthsync.standards.fhir import validate
from healthsync.standards.fhir.outcome import Issue
from healthsync.standards.fhir.profiles import Profiles, declared

Policy = Literal["enforce", "warn", "off"]


class Conformity:
    """The demands of one hub. `required` is resource type -> profiles, of which a resource must meet one."""

    def __init__(
        self, conformance: ConformanceService, clock: Clock, required: Mapping[str, Sequence[str]], policy: Policy
    ) -> None:
        self._conformance, self._clock, self._required, self._policy = conformance, clock, required, policy

    async def profiles(self, tx: Transaction) -> Profiles:
        """The profiles that are loaded or stored."""
        return await self._conformance.profiles(tx)

    async def take(self, tx: Transaction, resource: Mapping[str, Any], *, counts: bool) -> None:
        """A resource by which others may be judged was stored, or (`counts` False) no longer counts."""
        if resource["resourceType"] in ConformanceService.RESOURCE_TYPES:
            await self._conformance.take(tx, resource, counts=counts)

    def at_the_gate(
        self, profiles: Profiles, resource: dict[str, Any], written: bytes, *, is_snapshot: bool = False
    ) -> list[Issue]:
        """What hinders a resource, whose JSON is `written`, from being stored, and as warnings what does not."""
        issues = validate.structure(resource, profiles.modifiers, written)
        if issues or is_snapshot:
            return issues
        if resource["resourceType"] not in self._required and "profile" not in resource.get("meta", ()):
            return []
        now = self._clock.now()
        required = self._of_required(profiles, resource, now)
        claimed = [] if self._policy == "off" else self._of_claimed(profiles, resource, now)
        if self._policy == "warn":
            claimed = [replace(issue, severity="warning") for issue in claimed]
        return list(dict.fromkeys(_errors(required) + claimed))

    def examine(self, profiles: Profiles, resource: dict[str, Any], asked: Sequence[str] = ()) -> list[Issue]:
        """Everything there is to say about a resource: what `$validate` answers.

        It is held to the profiles asked for, those it claims and those this hub requires; resources inside to what
        they claim.
        """
        issues = validate.examine(resource, profiles.modifiers)
        if any(issue.is_error for issue in issues):
            return issues
        now = self._clock.now()
        for url in asked:
            issues += _held_to(profiles, resource, url, now)
        issues += self._of_required(profiles, resource, now)
        for path, inner in validate.with_inner(resource):
            for url, position in declared(inner):
                if profiles.is_loaded(url):
                    issues += profiles.check(inner, url, path, now)
                else:
                    told = f"{url} is not loaded, so it was not checked; {_REMEDY}"
                    issues.append(Issue("warning", "structure", f"{path}.meta.profile[{position}]", told))
        return list(dict.fromkeys(issues))

    def _of_required(self, profiles: Profiles, resource: dict[str, Any], now: datetime) -> list[Issue]:
        """Nothing when one of the required profiles is met, else what the nearest one finds."""
        urls = self._required.get(resource["resourceType"], ())
        found = [_held_to(profiles, resource, url, now) for url in urls]
        return min(found, key=lambda issues: len(_errors(issues)), default=[])

    def _of_claimed(self, profiles: Profiles, resource: dict[str, Any], now: datetime) -> list[Issue]:
        loaded = [url for url, _ in declared(resource) if profiles.is_loaded(url)]
        return [issue for url in loaded for issue in _errors(profiles.check(resource, url, now=now))]


_REMEDY = "try: healthsync package add, or store its StructureDefinition"


def _errors(issues: list[Issue]) -> list[Issue]:
    return [issue for issue in issues if issue.is_error]


def _held_to(profiles: Profiles, resource: dict[str, Any], url: str, now: datetime) -> list[Issue]:
    if profiles.type_of(url) is None:
        told = f"the profile {url} is not loaded; {_REMEDY}"
        return [Issue("error", "not-found", resource["resourceType"], told)]
    return profiles.check(resource, url, now=now)
