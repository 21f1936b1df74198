"""PostgreSQL: a pool, one unit of work, named SQL and forward migrations.

A flow opens `async with database.transaction() as tx` and passes `tx` down; nobody below commits. Writes that wait for
the end (`tx.later`) travel together. `database.unit_of_work()` begins only when it must; one that need not begin shares
its statement with others. Connections carry no session state (asyncpg's pool reset is off, which saves a quarter of
PostgreSQL's CPU), so only `SET LOCAL` and transaction-level locks are allowed.
"""

from healthsync.infrastructure.database.deferred import Copied, Parts, Writer
from healthsync.infrastructure.database.guards import Guard, Outdated
from healthsync.infrastructure.database.migrate import migrate
from healthsync.infrastructure.database.pool import Beside, Database, Lookup, Transaction, is_deadlock
from healthsync.infrastructure.database.queries import Queries

__all__ = [
    "Beside", "Copied", "Database", "Guard", "Lookup", "Outdated", "Parts", "Queries", "Transaction", "Writer",
    "is_deadlock", "migrate",
]  # fmt: skip
