"""What a dump of the database would show: every row of every table as text, without its compression."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from healthsync.infrastructure.database.pool import Database

_TABLES = """
SELECT quote_ident(nspname) || '.' || quote_ident(relname) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind = 'r' AND nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1
"""
_BLOCK_BYTES = 1 << 20
_BYTEA = re.compile(rb"\\+x((?:[0-9a-f]{2})+)")


async def tables_as_text(database: Database) -> AsyncIterator[tuple[str, bytes]]:
    """(table, rows as text) in blocks of about a megabyte; binary columns as the bytes that they hold."""
    async with database.transaction(read_only=True) as tx:
        for table in [row[0] for row in await tx.fetch(_TABLES)]:
            block, size = [], 0
            async for row in tx.connection.cursor(f"SELECT t::text FROM {table} t", prefetch=500):
                block.append(row[0])
                size += len(row[0])
                if size > _BLOCK_BYTES:
                    yield table, _with_bytes("\n".join(block).encode())
                    block, size = [], 0
            yield table, _with_bytes("\n".join(block).encode())


def _with_bytes(text: bytes) -> bytes:
    return _BYTEA.sub(lambda match: bytes.fromhex(match[1].decode()), text)
