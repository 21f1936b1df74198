"""Forward migrations: `NNNN_pre_name.sql` may run while the old version still serves, `NNNN_post_name.sql` after it.

Files that are new to a database run once, in order, in one transaction under an advisory lock, and their hashes are
kept: a file that was changed after it ran is an error, because two sites would then have different schemas under one
number.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files

from healthsync.errors import ConfigurationError
from healthsync.infrastructure.database.pool import Database, Transaction

_FILE = re.compile(r"^(\d{4})_(pre|post)_(\w+)\.sql$")
_LOCK = 0x4865_616C_7468  # "Health": one migrator at a time


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration file."""

    number: int
    phase: str
    name: str
    sql: str

    def __str__(self) -> str:
        return f"{self.number:04}_{self.phase}_{self.name}"

    @property
    def digest(self) -> str:
        """SHA-256 of the text, in hex."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """All migration files of this version, in order. Raises ConfigurationError on a wrong name or a repeated number."""
    entries = files("healthsync.infrastructure.database").joinpath("migrations").iterdir()
    return in_order({entry.name: entry.read_text(encoding="utf-8") for entry in entries if entry.name.endswith(".sql")})


def in_order(texts: dict[str, str]) -> list[Migration]:
    """The migrations in files of these names, in the order in which they run."""
    found: dict[tuple[int, bool], Migration] = {}
    for file, sql in texts.items():
        match = _FILE.match(file)
        if not match:
            raise ConfigurationError(f"migration {file} is not named NNNN_pre_name.sql or NNNN_post_name.sql")
        migration = Migration(int(match[1]), match[2], match[3], sql)
        other = found.setdefault((migration.number, migration.phase == "post"), migration)
        if other is not migration:
            raise ConfigurationError(f"migrations {other} and {migration} have one number; give the newer the next")
    return [found[place] for place in sorted(found)]


async def migrate(database: Database) -> list[str]:
    """Bring the database to this version; returns the names of what ran. Safe to call from several processes at once.

    Raises ConfigurationError when a file was changed after it ran, or a newer version of the hub was here.
    """
    async with database.transaction() as tx:
        await tx.execute("SET LOCAL statement_timeout = 0")  # a migration may take long, and so may waiting for one
        await tx.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await tx.execute(
            "CREATE TABLE IF NOT EXISTS schema_migration (number int, phase text, name text NOT NULL,"
            " digest text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (number, phase, name))"
        )
        to_run = await _pending(tx, migrations())
        for migration in to_run:
            await tx.execute(migration.sql)
            await tx.execute(
                "INSERT INTO schema_migration (number, phase, name, digest) VALUES ($1, $2, $3, $4)",
                migration.number, migration.phase, migration.name, migration.digest,
            )  # fmt: skip
    return [str(migration) for migration in to_run]


async def pending(database: Database) -> list[str]:
    """The names of the migrations that `migrate` would run, in order. Raises ConfigurationError as it would."""
    async with database.transaction(read_only=True) as tx:
        if await tx.fetchval("SELECT to_regclass('schema_migration')") is None:
            return [str(migration) for migration in migrations()]
        return [str(migration) for migration in await _pending(tx, migrations())]


async def _pending(tx: Transaction, known: list[Migration]) -> list[Migration]:
    rows = await tx.fetch("SELECT number, phase, name, digest FROM schema_migration ORDER BY number, phase DESC")
    done = {f"{row['number']:04}_{row['phase']}_{row['name']}": row["digest"] for row in rows}
    if newer := sorted(done.keys() - set(map(str, known))):
        raise ConfigurationError(f"the database was changed by a newer HealthSync ({newer[-1]}); install that version")
    if changed := [one for one in known if done.get(str(one), one.digest) != one.digest]:
        raise ConfigurationError(
            f"migration {changed[0]} was changed after it ran here; restore the file and write a new migration instead"
        )
    return [one for one in known if str(one) not in done]
