"""A FHIR package is loaded or taken out: from then on the hub knows other profiles."""

from __future__ import annotations

from dataclasses import dataclass

from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.domains.conformance import ConformanceService, LoadedPackage
from healthsync.domains.terminology import TerminologyService
from healthsync.infrastructure.database import Database
from healthsync.standards.fhir.profiles import read

__all__ = ["Added", "LoadedPackage", "ManagePackages"]


@dataclass(frozen=True, slots=True)
class Added:
    """What was loaded and what was not.

    missing  packages that it builds on and that are not loaded: value sets or base profiles may be missing
    refused  (URL, why) of code systems, value sets and concept maps that the terminology cannot use
    """

    package: LoadedPackage
    missing: list[str]
    refused: list[tuple[str, str]]


class ManagePackages:
    """Changes of what the hub knows, each recorded. A running hub follows within a second.

    Profiles go to conformance, codes to the terminology: what a package brings is validated by and can be asked for.
    """

    def __init__(
        self,
        *,
        database: Database,
        conformance: ConformanceService,
        terminology: TerminologyService,
        audit: AuditService,
    ) -> None:
        self._database, self._conformance, self._terminology, self._audit = database, conformance, terminology, audit

    async def add(self, data: bytes, operator: str) -> Added:
        """Load a FHIR package (.tgz). Raises InvalidInput, or Conflict when this version is loaded."""
        package = read(data)
        async with self._database.transaction() as tx:
            loaded = await self._conformance.add(tx, package)
            codes = await self._terminology.load(tx, package.resources, _origin(loaded))
            missing = await self._conformance.missing(tx, loaded)
            await self._audit.record(tx, _event(Action.CREATE, "add-package", loaded, operator))
        return Added(loaded, missing, list(codes.refused))

    async def packages(self) -> list[LoadedPackage]:
        """What is loaded, by name and version."""
        async with self._database.connection() as tx:
            return await self._conformance.packages(tx)

    async def remove(self, name: str, version: str | None, operator: str) -> list[LoadedPackage]:
        """Take out one version, or all. Raises NotFound."""
        async with self._database.transaction() as tx:
            gone = await self._conformance.remove(tx, name, version)
            for package in gone:
                await self._terminology.unload(tx, _origin(package))
                await self._audit.record(tx, _event(Action.DELETE, "remove-package", package, operator))
        return gone


def _origin(package: LoadedPackage) -> str:
    return f"{package.name}#{package.version}"


def _event(action: Action, interaction: str, package: LoadedPackage, operator: str) -> AuditEvent:
    entity = f"Package/{package.name[:64]}/{package.version[:64]}"
    return AuditEvent(
        action=action, interaction=interaction, outcome=Outcome.PERMITTED, user=operator, entities=(entity,)
    )
