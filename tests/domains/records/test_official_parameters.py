"""Every official search parameter finds by SQL what its own FHIRPath expression yields; sealed elements by their tokens."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from healthsync.domains.records import RecordIndex, TermMaker, Visibility
from healthsync.domains.records.search_terms import Sql
from healthsync.domains.records.statements import INDEXING
from healthsync.infrastructure.crypto import BlindIndex
from healthsync.standards.fhir import query
from healthsync.standards.fhir.definitions import resource_types

from ...standards.fhir.made_resources import made, questions  # noqa: TID252 — tests is no package that could be named

INDEX = RecordIndex(BlindIndex(bytes(32)))
NOW = datetime(2026, 11, 27, tzinfo=UTC)


@pytest.mark.slow
async def test_every_official_parameter_finds_by_sql_what_its_expression_yields(database):
    lost, asked = set(), 0
    for resource_type in sorted(resource_types()):
        terms = TermMaker(INDEX, NOW)
        async with database.transaction() as tx:
            resources = dict(enumerate(made(resource_type), 1))
            tx.later(INDEXING, [(pid, pid, INDEX.rows(resource)) for pid, resource in resources.items()])
            wanted: dict[tuple[str, str], set[int]] = {}
            for pid, resource in resources.items():
                for question in questions(resource):
                    wanted.setdefault((question.name, question.right), set()).add(pid)
            for (name, value), pids in wanted.items():
                (node,) = query.parse(resource_type, [(name, value)]).criteria
                term = terms.term((resource_type,), node)
                if term.rows is not None:
                    sql = Sql(Visibility())
                    found = await tx.fetch(f"SELECT x.pid FROM {term.rows(sql, 'x')}", *sql.parameters)
                    asked += 1
                    if not pids <= {row["pid"] for row in found}:
                        lost.add((resource_type, name, value))
    assert lost == set()
    assert asked > 2500
