"""A FHIR package is loaded or taken out: from then on the hub knows other profiles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.domains.conformance import ConformanceService, LoadedPackage
from healthsync.domains.terminology import TerminologyService
from healthsync.exchange.own_parameters import OwnParameters
from healthsync.infrastructure.database import Database, Transaction
from healthsync.standards.fhir.own_parameters import UnservedParameter, is_official
from healthsync.standards.fhir.profiles import read

__all__ = ["Added", "LoadedPackage", "ManagePackages"]


@dataclass(frozen=True, slots=True)
class Added:
    """What was loaded and what was not.

    missing  packages that it builds on and that are not loaded: value sets or base profiles may be missing
    refused  (URL, why) of code systems, value sets and concept maps that the terminology cannot use
    unsearched (URL, why) of search parameters that searches do not use; those of official codes are not among them
    """

    package: LoadedPackage
    missing: list[str]
    refused: list[tuple[str, str]]
    unsearched: list[tuple[str, str]]


class ManagePackages:
    """Changes of what the hub knows, each recorded. A running hub follows within a second.

    Profiles go to conformance, codes to the terminology, search parameters to those of this hub: what a package brings
    is validated by, can be asked for, and is searched by as soon as a job has indexed it.
    """

    def __init__(
        self,
        *,
        database: Database,
        conformance: ConformanceService,
        terminology: TerminologyService,
        audit: AuditService,
        own_parameters: OwnParameters,
    ) -> None:
        self._database, self._conformance, self._terminology, self._audit = database, conformance, terminology, audit
        self._own_parameters = own_parameters

    async def add(self, data: bytes, operator: str) -> Added:
        """Load a FHIR package (.tgz). Raises InvalidInput, or Conflict when this version is loaded."""
        package = read(data)
        async with self._database.transaction() as tx:
            loaded = await self._conformance.add(tx, package)
            codes = await self._terminology.load(tx, package.resources, _origin(loaded))
            missing = await self._conformance.missing(tx, loaded)
            unsearched = await self._search_by(tx, package.resources)
            await self._audit.record(tx, _event(Action.CREATE, "add-package", loaded, operator))
        return Added(loaded, missing, list(codes.refused), unsearched)

    async def packages(self) -> list[LoadedPackage]:
        """What is loaded, by name and version."""
        async with self._database.connection() as tx:
            return await self._conformance.packages(tx)

    async def remove(self, name: str, version: str | None, operator: str) -> list[LoadedPackage]:
        """Take out one version, or all. Raises NotFound."""
        async with self._database.transaction() as tx:
            before = await self._conformance.search_parameters(tx)
            gone = await self._conformance.remove(tx, name, version)
            await self._forget(tx, before)
            for package in gone:
                await self._terminology.unload(tx, _origin(package))
                await self._audit.record(tx, _event(Action.DELETE, "remove-package", package, operator))
        return gone

    async def _search_by(self, tx: Transaction, resources: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
        """Announce the search parameters among some resources; answers those that searches do not use, and why."""
        unsearched = []
        for resource in resources:
            if resource["resourceType"] == "SearchParameter" and not is_official(resource):
                try:
                    await self._own_parameters.take(tx, _known_by_url(resource), None, deleted=False)
                except UnservedParameter as why:
                    await self._own_parameters.take(tx, _known_by_url(resource), None, deleted=True)
                    unsearched.append((resource["url"], str(why)))
        return unsearched

    async def _forget(self, tx: Transaction, before: Mapping[str, Mapping[str, Any]]) -> None:
        """What no package brings any longer goes; what another version still brings means what it says there."""
        left = await self._conformance.search_parameters(tx)
        for url in sorted(before.keys() - left.keys()):
            await self._own_parameters.take(tx, _known_by_url(before[url]), None, deleted=True)
        await self._search_by(tx, [left[url] for url in sorted(left) if left[url] != before[url]])


def _known_by_url(parameter: Mapping[str, Any]) -> dict[str, Any]:
    """Ids in packages are anybody's: a url is no legal id, so that it never meets one of a stored SearchParameter."""
    return {**parameter, "id": parameter["url"]}


def _origin(package: LoadedPackage) -> str:
    return f"{package.name}#{package.version}"


def _event(action: Action, interaction: str, package: LoadedPackage, operator: str) -> AuditEvent:
    entity = f"Package/{package.name[:64]}/{package.version[:64]}"
    return AuditEvent(
        action=action, interaction=interaction, outcome=Outcome.PERMITTED, user=operator, entities=(entity,)
    )
