"""The tables of the terminology service, made anew from the resources that they were compiled from."""

from __future__ import annotations

from healthsync.exchange.ingest import Ingest
from healthsync.infrastructure.database import Database


async def rebuild_terminology(database: Database, ingest: Ingest) -> int:
    """Compile every stored CodeSystem, ValueSet and ConceptMap in one commit; answers how many there were.

    What came with FHIR packages stays as it is: removing a package and adding it again compiles that anew.
    """
    async with database.transaction() as tx:
        return await ingest.recompile_terminology(tx)
