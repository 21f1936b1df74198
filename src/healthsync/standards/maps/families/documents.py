"""MDM: documents, their addenda, replacements and cancellation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from healthsync.standards.hl7v2 import Segment
from healthsync.standards.maps import reports, results
from healthsync.standards.maps.families.orders import Orders
from healthsync.standards.maps.reading import Handler
from healthsync.standards.maps.scribe import Draft
from healthsync.standards.maps.tables import tables


class Documents(Orders):
    """MDM (v2.5.1 §9.6): TXA is a DocumentReference, the OBX behind it are its content.

    Text in several OBX is one text; values that are no text are Observations that the document relates to.
    """

    messages: ClassVar[Mapping[str, frozenset[str]]] = {"MDM": frozenset(f"T{number:02}" for number in range(1, 12))}
    maps = (*Orders.maps, "TXA[DocumentReference]")

    def begin_patient(self) -> None:
        super().begin_patient()
        self.document: Draft | None = None
        self.lines: list[Segment] = []
        self.ordered: list[Draft] = []

    def finish(self) -> None:
        self._end_document()
        super().finish()

    def _pid(self, pid: Segment) -> None:
        self._end_document()
        super()._pid(pid)

    def _begin(self, draft: Draft) -> None:
        super()._begin(draft)
        self.ordered.append(draft)

    def _txa(self, txa: Segment) -> None:
        assert self.patient
        self.end_order()
        self._end_document()
        event = tables().document_events[self.trigger]
        program = self.programs["TXA[DocumentReference]"]
        self.document = reports.document(txa, event, program, self.patient, self.visit, self.scribe)
        for order in self.ordered:
            reports.relate(self.document, order, self.scribe)
        self.order = None
        self.noted = self.told_of = None

    def _obx(self, obx: Segment) -> None:
        if self.document and (results.holds_document(obx) or obx.get(2) in reports.TEXT):
            self.lines.append(obx)
            self.noted = None
            return
        super()._obx(obx)
        if self.document and self.noted:
            reports.relate(self.document, self.noted, self.scribe)

    def _end_document(self) -> None:
        if self.document:
            reports.tell_content(self.document, self.lines, self.scribe)
        self.document, self.lines = None, []

    handlers: ClassVar[Mapping[str, Handler]] = {**Orders.handlers, "TXA": _txa, "OBX": _obx}
