"""The verbs of conformance."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from healthsync.domains.conformance import store
from healthsync.domains.conformance.model import LoadedPackage
from healthsync.errors import Conflict, NotFound
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.database import Transaction
from healthsync.standards.fhir.profiles import Library, Package, Profiles, is_kept

LOOK_EVERY = timedelta(seconds=1)
"""How often the packages are asked whether they have changed."""


class ConformanceService:
    """The packages of one hub, what is stored in it, and the profiles compiled from both."""

    RESOURCE_TYPES = frozenset({"StructureDefinition", "ValueSet", "CodeSystem"})
    """Resources by which the validator judges when they are stored here."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._profiles = Profiles()
        self._revision = 0
        self._look_at: datetime | None = None

    async def add(self, tx: Transaction, package: Package) -> LoadedPackage:
        """Load a FHIR package. Raises Conflict when this version is loaded."""
        loaded = LoadedPackage(package.name, package.version, self._clock.now(), package.dependencies, _counts(package))
        if not await store.add(tx, loaded, package.digest, package.resources):
            raise Conflict(f"{package.name} {package.version} is loaded already; remove it first to load it anew")
        return loaded

    async def packages(self, tx: Transaction) -> list[LoadedPackage]:
        """What is loaded, by name and version."""
        return await store.packages(tx)

    async def missing(self, tx: Transaction, package: LoadedPackage) -> list[str]:
        """Packages that it builds on and that are not loaded; R4 itself and its terminology are always there."""
        known = {loaded.name for loaded in await store.packages(tx)}
        return [f"{name} {version}" for name, version in package.dependencies.items() if name not in known | _BUILT_IN]

    async def remove(self, tx: Transaction, name: str, version: str | None = None) -> list[LoadedPackage]:
        """Take out one version, or all of them. Raises NotFound."""
        gone = [p for p in await store.packages(tx) if p.name == name and version in {None, p.version}]
        if not gone:
            raise NotFound("no such package is loaded; see: healthsync package list")
        for package in gone:
            await store.remove(tx, package.name, package.version)
        return gone

    async def take(self, tx: Transaction, resource: Mapping[str, Any], *, counts: bool) -> None:
        """A resource of these types was stored, or (`counts` False) deleted or written by one who may not decide what
        is valid here: what the validator knows follows."""
        if counts and resource.get("status") != "retired" and is_kept(resource):
            await store.store(tx, resource)
        else:
            await store.forget(tx, resource["resourceType"], resource["id"])
        if resource["resourceType"] == "StructureDefinition":  # asked for at once; value sets follow within a second
            tx.after_commit(self._look_soon)

    def _look_soon(self) -> None:
        self._look_at = None

    async def search_parameters(self, tx: Transaction) -> dict[str, dict[str, Any]]:
        """Url -> SearchParameter of the packages that are loaded; of several versions what was loaded last."""
        return await store.search_parameters(tx)

    async def profiles(self, tx: Transaction) -> Profiles:
        """The compiled profiles, as they were defined a second ago at the latest."""
        now = self._clock.now()
        if self._look_at is None or now >= self._look_at:
            revision = await store.revision(tx)
            if revision != self._revision:
                self._profiles = Profiles(Library(await store.for_validation(tx)), await store.modifiers(tx))
                self._revision = revision
            self._look_at = now + LOOK_EVERY
        return self._profiles


_BUILT_IN = frozenset({"hl7.fhir.r4.core", "hl7.terminology.r4", "hl7.terminology"})


def _counts(package: Package) -> dict[str, int]:
    kinds = [resource["resourceType"] for resource in package.resources]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}
