"""Releases of LOINC, SNOMED CT, RxNorm and the like, from files that the operator owns: in, listed, out again.

A release is loaded in one commit: until then everybody sees what was there before, and a file that turns out to be
wrong changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.domains.terminology import KINDS, Files, LoadedRelease, TerminologyService, packaged
from healthsync.errors import InvalidInput
from healthsync.infrastructure.database import Database

__all__ = ["KINDS", "LoadTerminology", "LoadedRelease"]

ICD_10_CM = "icd-10-cm"


class LoadTerminology:
    """The flow, for the operator of the data folder."""

    def __init__(self, database: Database, terminology: TerminologyService, audit: AuditService) -> None:
        self._database, self._terminology, self._audit = database, terminology, audit

    async def load(
        self,
        kind: str,
        path: Path | None,
        version: str | None,
        operator: str,
        progress: Callable[[int], None] = lambda _: None,
    ) -> tuple[str, dict[str, int]]:
        """Load a release; answers its version and what it holds (URL -> concepts or lines).

        Without a path ICD-10-CM comes from the Python package that has it. Raises InvalidInput for files that are not
        of this kind.
        """
        if path is None and kind != ICD_10_CM:
            raise InvalidInput(f"name the file, folder or archive of {kind} as it was published")
        release = KINDS[kind](Files(path or packaged(), progress), version)
        async with self._database.transaction() as tx:
            counts = await self._terminology.load_release(tx, kind, release)
            await self._audit.record(tx, _event(Action.CREATE, "load-terminology", kind, operator))
        return release.version, counts

    async def releases(self) -> list[LoadedRelease]:
        """What is loaded."""
        async with self._database.connection() as tx:
            return await self._terminology.releases(tx)

    async def unload(self, kind: str, version: str, operator: str) -> None:
        """Take a release out. Raises UnknownTerminology."""
        async with self._database.transaction() as tx:
            await self._terminology.unload_release(tx, kind, version)
            await self._audit.record(tx, _event(Action.DELETE, "unload-terminology", kind, operator))


def _event(action: Action, interaction: str, kind: str, operator: str) -> AuditEvent:
    return AuditEvent(
        action=action,
        interaction=interaction,
        outcome=Outcome.PERMITTED,
        user=operator,
        entities=(f"Terminology/{kind}",),
    )
