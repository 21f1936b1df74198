"""SearchParameter resources on their way to what searches by them.

    (1) judge    an active one must be servable and an administrator's, or searches do not use it
    (2) announce in the commit that stores the resource: every process learns of it within a second
    (3) index    a job of the workers adds what resources lack (`exchange.operations.reindex`), then searches may use it

A draft, a retired or a deleted one is dropped from search in the commit that says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from healthsync.domains.access import Requester
from healthsync.domains.privacy import SealingPolicy, SensitivityClass
from healthsync.domains.search_parameters import SearchParameterService
from healthsync.errors import Unavailable
from healthsync.infrastructure.database import Database, Transaction
from healthsync.infrastructure.jobs import JobTable
from healthsync.standards.fhir import own_parameters, search_parameters

JOB_KIND = "reindex"
JOB_OWNER = "operator"
ADMINISTRATOR = "admin"


class OwnParameters:
    """What ingest and the entry points ask of the added search parameters."""

    def __init__(
        self, database: Database, parameters: SearchParameterService, jobs: JobTable, policy: SealingPolicy
    ) -> None:
        self._database, self._parameters, self._jobs, self._policy = database, parameters, jobs, policy
        self._asking = False

    async def refresh(self, tx: Transaction) -> None:
        """Know the parameters as they were a second ago at the latest; mostly a comparison of times."""
        if self._parameters.is_due:
            await self._parameters.refresh(tx)

    async def refresh_before_reading(self) -> None:
        """The same before a search is read. Without a database the search itself will say so."""
        if not self._parameters.is_due or self._asking:
            return
        self._asking = True
        try:
            with suppress(Unavailable):
                async with self._database.connection() as tx:
                    await self._parameters.refresh(tx)
        finally:
            self._asking = False

    async def take(
        self, tx: Transaction, resource: Mapping[str, Any], requester: Requester | None, *, deleted: bool
    ) -> None:
        """A SearchParameter that is just being stored, by `requester` or (None) the operator.

        Raises UnservedParameter for one that searches cannot or may not use.
        """
        facts = None if deleted else own_parameters.read(resource)
        if facts is not None and requester is not None and ADMINISTRATOR not in requester.roles:
            raise own_parameters.UnservedParameter("only an administrator changes what everyone can search by")
        if facts is not None and facts["type"] in ("number", "quantity"):
            self._refuse_identifying(facts)
        fresh = await self._parameters.take(tx, resource["id"], facts)
        if fresh is not None:
            await self._jobs.add(tx, JOB_KIND, JOB_OWNER, {"number": fresh.number, "round": fresh.round})

    def _refuse_identifying(self, facts: Mapping[str, Any]) -> None:
        """Numbers are readable in the index, so none of a direct identifier may be there."""
        for base in facts["base"]:
            for path in (path for paths in search_parameters.leaves_of(base, facts) for path in paths):
                element = path.partition(".")[0].partition("[")[0]
                if self._policy.types.get(base, {}).get(element) == SensitivityClass.IDENTITY:
                    raise own_parameters.UnservedParameter(
                        "the expression leads into what identifies a person, whose numbers are not indexed",
                        "SearchParameter.expression",
                    )
