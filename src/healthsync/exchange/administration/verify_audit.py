"""Write the audit log out, and check it against its signed heads: with the hub, or where there is none."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import aclosing
from typing import TextIO

from healthsync.domains.audit import AuditService, Report, TreeHead, verify
from healthsync.domains.audit.export import from_line, to_line
from healthsync.domains.audit.heads import from_line as head_from_line
from healthsync.errors import InvalidInput

__all__ = ["Report", "export_audit", "verify_audit", "verify_export"]


async def export_audit(audit: AuditService, out: TextIO) -> int:
    """Write the whole log, one line of JSON an event; returns the number of lines."""
    lines = 0
    async with aclosing(audit.export()) as rows:
        async for row in rows:
            out.write(to_line(row) + "\n")
            lines += 1
    return lines


async def verify_audit(audit: AuditService, heads: Iterable[str] = ()) -> Report:
    """Check the log of an open hub against its published heads, those of its database, and the lines of a kept copy."""
    return await audit.verify(_heads(heads))


def verify_export(export: Iterable[str], heads: Iterable[str], public_key: str | None = None) -> Report:
    """Check exported lines against the lines of a heads file; needs neither hub nor database.

    `public_key` is the hub's, in hex; without it a forger who also replaced the first head stays unseen. Raises
    InvalidInput when a file is not what it should be.
    """
    rows = (from_line(line) for line in export if line.strip())
    return verify(rows, _heads(heads), public_key=_key(public_key) if public_key else None)


def _heads(lines: Iterable[str]) -> list[TreeHead]:
    return [head_from_line(line) for line in lines if line.strip()]


def _key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise InvalidInput("the public key is 64 hexadecimal digits; healthsync audit export --json shows it")
    return key
