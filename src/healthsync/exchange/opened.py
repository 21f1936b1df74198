"""Resources that were opened a moment ago, kept readable in memory, so that searches do not open them again and again.

What is kept is never an answer by itself: a requester gets it after the gate's decision on a row that the database gave
out for this request, and only where the row's stored bytes are the very ones that were opened
(decision 21 has the reasons and the price).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from healthsync.domains.records import StoredResource
from healthsync.standards.fhir import json

_FOR_THE_ENTRY = 400
"""Bytes that an entry takes beside its texts, roughly."""
_DOCUMENT_FACTOR = 6
"""A document takes about so many times the memory of its text."""


@dataclass(slots=True)
class Opened:
    """A resource as text and, once somebody asked for it, as a document, which nobody may change."""

    stored: StoredResource
    text: str
    _document: dict[str, Any] | None = None

    def is_of(self, row: StoredResource) -> bool:
        """Whether opening this row would give the same: the seal is made of nothing else."""
        mine = self.stored
        return (
            mine.version == row.version
            and mine.packed == row.packed
            and mine.identity == row.identity
            and mine.narrative == row.narrative
            and mine.key_version == row.key_version
            and mine.key_scope == row.key_scope
        )

    @property
    def document(self) -> dict[str, Any]:
        """The resource with numbers as Decimals."""
        if self._document is None:
            self._document = json.read_stored(self.text.encode())
        return self._document

    @property
    def bytes(self) -> int:
        """Memory that it takes, roughly and whether it was parsed or not."""
        stored = sum(len(part) for part in (self.stored.packed, self.stored.identity, self.stored.narrative) if part)
        return stored + (1 + _DOCUMENT_FACTOR) * len(self.text) + _FOR_THE_ENTRY


class OpenedResources:
    """The resources that were asked for last, `most_bytes` of them; 0 keeps none."""

    def __init__(self, most_bytes: int) -> None:
        self._most, self._taken = most_bytes, 0
        self._kept: OrderedDict[int, Opened] = OrderedDict()

    def of(self, row: StoredResource) -> Opened | None:
        """What was kept of this row."""
        opened = self._kept.get(row.pid)
        if opened is None or not opened.is_of(row):
            return None
        self._kept.move_to_end(row.pid)
        return opened

    def keep(self, row: StoredResource, text: str) -> Opened:
        """Keep what a row opened to, in the place of what was kept longest."""
        opened = Opened(row, text)
        self._drop(self._kept.pop(row.pid, None))
        self._kept[row.pid] = opened
        self._taken += opened.bytes
        while self._taken > self._most:
            self._drop(self._kept.popitem(last=False)[1])
        return opened

    def _drop(self, opened: Opened | None) -> None:
        if opened is not None:
            self._taken -= opened.bytes
