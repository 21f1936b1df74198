"""The schema as a person reads it, made from PostgreSQL's own catalogue: `docs/reference/schema.md`.

    python -m healthsync.infrastructure.database.catalogue > docs/reference/schema.md

A test compares that file with a freshly migrated database, so it cannot tell what is no longer true.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg

from healthsync.infrastructure.database.embedded import EmbeddedPostgres
from healthsync.infrastructure.database.migrate import migrate
from healthsync.infrastructure.database.pool import Database, Transaction
from healthsync.infrastructure.database.queries import Queries

_queries = Queries("healthsync.infrastructure.database", "catalogue.sql")
_HEAD = """# Database schema

Generated from the catalogue of a freshly migrated database by `make docs`; do not edit. Why the tables are as they
are stands in the migrations (`src/healthsync/infrastructure/database/migrations/`).
"""


async def describe(database: Database) -> str:
    """The tables, columns, constraints, indexes, triggers and functions of the database, in Markdown."""
    async with database.transaction(read_only=True) as tx:
        parts = [_HEAD]
        for table in await tx.fetch(_queries.tables):
            parts += await _table(tx, table)
        if routines := await tx.fetch(_queries.routines):
            parts += ["## Functions\n", *(_item(row["name"], row["comment"]) for row in routines), ""]
    return "\n".join(parts)


async def _table(tx: Transaction, table: asyncpg.Record) -> list[str]:
    lines = [f"## {table['name']}\n", *([f"{table['comment']}\n"] if table["comment"] else [])]
    lines += ["| Column | Type | Rule | Meaning |", "|---|---|---|---|"]
    lines += [_column(row) for row in await tx.fetch(_queries.columns, table["oid"])]
    definitions = list(_definitions(table["name"], await tx.fetch(_queries.constraints, table["oid"])))
    definitions += _definitions(table["name"], await tx.fetch(_queries.indexes, table["oid"]))
    definitions += _definitions(table["name"], await tx.fetch(_queries.triggers, table["oid"]))
    return [*lines, "", *definitions, *([""] if definitions else [])]


def _column(row: asyncpg.Record) -> str:
    rule = ["required"] if row["required"] else []
    rule += [f"`{row['preset']}`"] if row["preset"] else []
    comment = (row["comment"] or "").replace("|", "&#124;")
    return f"| {row['name']} | {row['type']} | {' '.join(rule)} | {comment} |"


def _definitions(table: str, rows: list[asyncpg.Record]) -> Iterator[str]:
    """One line each; what the heading says already (the table, the schema) is left out."""
    for row in rows:
        definition = row["definition"].replace(f" ON public.{table} USING", "").replace("public.", "")
        definition = definition.replace(f"INDEX {row['name']} ", "INDEX ")
        yield _item(row["name"], f"`{definition}`")


def _item(name: str, text: str | None) -> str:
    return f"- {name}: {text}" if text else f"- {name}"


async def _describe_fresh_database() -> str:
    with tempfile.TemporaryDirectory(prefix="healthsync-") as folder:
        Path(folder).chmod(0o755)  # as root the server runs as another user, who must be able to enter
        server = EmbeddedPostgres(Path(folder), durable=False)
        database = await Database.connect(await server.start())
        try:
            await migrate(database)
            return await describe(database)
        finally:
            await database.close()
            await server.stop()


if __name__ == "__main__":
    sys.stdout.write(asyncio.run(_describe_fresh_database()))
