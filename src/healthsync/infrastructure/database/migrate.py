"""Forward migrations: `NNNN_pre_name.sql` may run while the old version still serves, `NNNN_post_name.sql` after it has gone.

Each file runs in a transaction of its own, once, under an advisory lock, and its hash is kept: a file that was
changed after it ran is an error, because two sites would then have different schemas under one number.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files

from healthsync.errors import ConfigurationError
from healthsync.infrastructure.database.pool import Database

_FILE = re.compile(r"^(\d{4})_(pre|post)_(\w+)\.sql$")
_LOCK = 0x4865_616C_7468  # "Health": one migrator at a time


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration file."""

    number: int
    phase: str
    name: str
    sql: str

    @property
    def digest(self) -> str:
        """SHA-256 of the text, in hex."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """All migration files of this version, in order. Raises ConfigurationError on a misnamed file."""
    found = []
    for entry in files("healthsync.infrastructure.database").joinpath("migrations").iterdir():
        if not entry.name.endswith(".sql"):
            continue
        match = _FILE.match(entry.name)
        if not match:
            raise ConfigurationError(f"migration {entry.name} is not named NNNN_pre_name.sql or NNNN_post_name.sql")
        found.append(Migration(int(match[1]), match[2], match[3], entry.read_text(encoding="utf-8")))
    return sorted(found, key=lambda m: (m.number, m.phase == "post", m.name))


async def migrate(database: Database) -> list[str]:
    """Bring the database to this version; returns the names of what ran. Safe to call from several processes at once."""
    ran = []
    async with database.transaction() as tx:
        await tx.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await tx.execute(
            "CREATE TABLE IF NOT EXISTS schema_migration (number int, phase text, name text NOT NULL, digest text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (number, phase, name))"
        )
        rows = await tx.fetch("SELECT number, phase, name, digest FROM schema_migration")
        done = {(row["number"], row["phase"], row["name"]): row["digest"] for row in rows}
        for step in migrations():
            key = (step.number, step.phase, step.name)
            if key in done:
                if done[key] != step.digest:
                    raise ConfigurationError(
                        f"migration {step.number:04}_{step.phase}_{step.name} was changed after it ran here; "
                        "restore the file and write a new migration instead"
                    )
                continue
            await tx.execute(step.sql)
            await tx.execute(
                "INSERT INTO schema_migration (number, phase, name, digest) VALUES ($1, $2, $3, $4)", *key, step.digest
            )
            ran.append(f"{step.number:04}_{step.phase}_{step.name}")
    return ran
