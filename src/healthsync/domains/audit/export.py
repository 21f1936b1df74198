"""The log as lines of JSON, so that it can be verified where there is no database.

    {"entry":{…},"leaf_hash":"9f…","leaf_index":0,"position":1,"xid":812}

`leaf_index` is left out while an event waits for the sequencer; a leaf whose row is gone has only `leaf_index` and
`position`.
"""

from __future__ import annotations

import msgspec

from healthsync.domains.audit.model import AuditRow, MissingRow
from healthsync.errors import InvalidInput

_encode = msgspec.json.Encoder(order="deterministic").encode


def to_line(row: AuditRow | MissingRow) -> str:
    """A row as one line of JSON."""
    document: dict = {"position": row.position}
    if row.leaf_index is not None:
        document["leaf_index"] = row.leaf_index
    if isinstance(row, AuditRow):
        document |= {"entry": row.entry, "leaf_hash": row.leaf_hash.hex(), "xid": row.xid}
    return _encode(document).decode()


def from_line(line: str) -> AuditRow | MissingRow:
    """Read what `to_line` wrote. Raises InvalidInput."""
    try:
        document = msgspec.json.decode(line)
        if "entry" not in document:
            return MissingRow(document["position"], document["leaf_index"])
        leaf_hash = bytes.fromhex(document["leaf_hash"])
        return AuditRow(document["position"], document["xid"], document["entry"], leaf_hash, document.get("leaf_index"))
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        raise InvalidInput("this is no audit export; write one with: healthsync audit export --out FILE") from None
