"""Is this the log that was signed? Pure: needs rows and heads, no database and no secret.

What it can show: any change, loss, insertion or reordering of events under a head that the verifier holds. What it
cannot: an event that was removed before the sequencer reached it (about a second), or anything later than the last
head. So keep copies of the heads elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from healthsync.domains.audit import canonical, heads, merkle
from healthsync.domains.audit.model import AuditRow, MissingRow, TreeHead

CLOCK_TOLERANCE = timedelta(minutes=10)
"""How far the time of an event may lie from the heads around it: clocks differ, and transactions take time."""

MOST_FINDINGS = 100


@dataclass(frozen=True, slots=True)
class Finding:
    """One contradiction: its code, and a sentence that says where."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a verification found. The log holds when there are no findings."""

    events: int
    """Leaves of the tree."""
    waiting: int
    """Events that the sequencer had not reached."""
    heads: int
    """Signed heads that were compared."""
    signed_size: int
    """Leaves under the largest head; those after it stand under none yet."""
    signed_at: datetime | None
    """Time of the largest head."""
    findings: tuple[Finding, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing contradicts the heads."""
        return not self.findings

    def sentence(self) -> str:
        """The result for a person."""
        if self.findings:
            return (
                f"The audit log does NOT hold: {len(self.findings)} contradiction(s) in {self.events} events against "
                f"{self.heads} signed heads. First: {self.findings[0].detail}"
            )
        signed = (
            f", the last of {self.signed_at:%Y-%m-%d %H:%M:%S} UTC over {self.signed_size}" if self.signed_at else ""
        )
        waiting = f"; {self.waiting} wait for the sequencer" if self.waiting else ""
        return f"The audit log holds: {self.events} events agree with {self.heads} signed heads{signed}{waiting}."


def verify(
    rows: Iterable[AuditRow | MissingRow],
    published: Iterable[TreeHead],
    *,
    public_key: bytes | None = None,
    hub_id: str | None = None,
) -> Report:
    """Compare a whole export (leaves in order, then the rest) with heads.

    Without `public_key` or `hub_id` those of the first head are taken: then only a change of them is found.
    """
    verifier = Verifier(published, public_key=public_key, hub_id=hub_id)
    for row in rows:
        verifier.feed(row)
    return verifier.report()


class Verifier:
    """`verify`, one row at a time, for logs that do not fit into memory."""

    def __init__(
        self, published: Iterable[TreeHead], *, public_key: bytes | None = None, hub_id: str | None = None
    ) -> None:
        self._findings: list[Finding] = []
        self._tree = merkle.Frontier()
        self._waiting = 0
        self._last = (0, 0)
        self._heads = self._accepted(list(published), public_key, hub_id)
        self._covering = iter(self._heads)
        self._next_head = next(self._covering, None)
        self._agreed: TreeHead | None = None

    def feed(self, row: AuditRow | MissingRow) -> None:
        """Look at the next row."""
        if row.leaf_index is None:
            self._loose(row)
            return
        if row.leaf_index != self._tree.size:
            self._find("leaf-missing", f"leaf {self._tree.size} is missing before leaf {row.leaf_index}")
        if isinstance(row, MissingRow):
            self._find("event-deleted", f"the event of leaf {row.leaf_index} (position {row.position}) is gone")
            self._tree.append(bytes(32))
        else:
            self._leaf(row)
        self._compare_heads()

    def report(self) -> Report:
        """The result, after the last row."""
        if self._next_head is not None:
            size = self._heads[-1].tree_size
            self._find("truncated", f"the log has {self._tree.size} leaves, but a head signs {size}")
        largest = self._heads[-1] if self._heads else None
        return Report(
            events=self._tree.size,
            waiting=self._waiting,
            heads=len(self._heads),
            signed_size=largest.tree_size if largest else 0,
            signed_at=largest.signed_at if largest else None,
            findings=tuple(self._findings),
        )

    def _accepted(self, published: list[TreeHead], public_key: bytes | None, hub_id: str | None) -> list[TreeHead]:
        """Heads that count, smallest first: signed by the one key, of the one hub, and never two of one size."""
        accepted: dict[int, TreeHead] = {}
        for head in sorted(published, key=lambda head: head.tree_size):
            public_key, hub_id = public_key or head.public_key, hub_id or head.hub_id
            same_size = accepted.setdefault(head.tree_size, head)
            if head.public_key != public_key:
                self._find("key-changed", f"the head of {head.tree_size} leaves is signed by another key")
            elif not heads.is_signed(head):
                self._find("signature", f"the signature of the head of {head.tree_size} leaves is not valid")
            elif head.hub_id != hub_id:
                self._find("other-hub", f"the head of {head.tree_size} leaves belongs to another hub")
            elif same_size.root_hash != head.root_hash:
                self._find("split-view", f"two heads of {head.tree_size} leaves have different roots")
        ordered = list(accepted.values())
        for earlier, later in pairwise(ordered):
            if later.signed_at < earlier.signed_at:
                self._find("clock", f"the head of {later.tree_size} leaves is older than that of {earlier.tree_size}")
        return ordered

    def _leaf(self, row: AuditRow) -> None:
        if merkle.leaf_hash(canonical.row_bytes(row)) != row.leaf_hash:
            self._find("event-changed", f"the event of leaf {row.leaf_index} (position {row.position}) was changed")
        if (row.xid, row.position) <= self._last:
            self._find("order", f"leaf {row.leaf_index} (position {row.position}) stands out of order")
        self._last = (row.xid, row.position)
        self._check_time(row)
        self._tree.append(row.leaf_hash)

    def _loose(self, row: AuditRow) -> None:
        self._waiting += 1
        if merkle.leaf_hash(canonical.row_bytes(row)) != row.leaf_hash:
            self._find("event-changed", f"the event at position {row.position}, not yet a leaf, was changed")
        if (row.xid, row.position) < self._last:
            self._find("event-inserted", f"the event at position {row.position} was put behind the sequencer's back")

    def _check_time(self, row: AuditRow) -> None:
        try:
            recorded_at = datetime.fromisoformat(row.entry["recorded_at"])
        except (KeyError, TypeError, ValueError):
            self._find("clock", f"the event of leaf {row.leaf_index} (position {row.position}) has no time")
            return
        if self._agreed and recorded_at < self._agreed.signed_at - CLOCK_TOLERANCE:
            self._find(
                "clock", f"leaf {row.leaf_index} (position {row.position}) is dated before the head that precedes it"
            )
        if self._next_head and recorded_at > self._next_head.signed_at + CLOCK_TOLERANCE:
            self._find(
                "clock", f"leaf {row.leaf_index} (position {row.position}) is dated after the head that covers it"
            )

    def _compare_heads(self) -> None:
        head = self._next_head
        if head is None or head.tree_size > self._tree.size:
            return
        if head.root_hash != self._tree.root():
            since = self._agreed.tree_size if self._agreed else 0
            self._find(
                "root", f"the {head.tree_size} leaves are not those that were signed; the head of {since} agreed"
            )
        else:
            self._agreed = head
        self._next_head = next(self._covering, None)

    def _find(self, code: str, detail: str) -> None:
        if len(self._findings) < MOST_FINDINGS:
            self._findings.append(Finding(code, detail))
