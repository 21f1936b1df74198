"""RDE, RGV, RDS, RAS: medicines encoded, arranged to be given, dispensed and given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from healthsync.standards.hl7v2 import Segment
from healthsync.standards.maps import medications
from healthsync.standards.maps.encounter import first_repetition
from healthsync.standards.maps.families.orders import Orders
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.orders import Order
from healthsync.standards.maps.reading import Handler
from healthsync.standards.maps.scribe import Draft


class Pharmacy(Orders):
    """Pharmacy messages (v2.5.1 §4.13): RXE is a MedicationRequest, RXG one for a single giving, RXD a
    MedicationDispense, RXA in RAS a MedicationAdministration; each names its order.
    """

    messages: ClassVar[Mapping[str, frozenset[str]]] = {
        "RDE": frozenset({"O01", "O11", "O25"}),
        "RGV": frozenset({"O01", "O15"}),
        "RDS": frozenset({"O01", "O13"}),
        "RAS": frozenset({"O01", "O17"}),
    }
    maps = (
        *Orders.maps, "RXD[MedicationDispense]", "RXR[MedicationDispense]", "RXA[MedicationAdministration]",
        "ORC[MedicationAdministration]", "RXR[MedicationAdministration]", "RXG[MedicationRequest]",
    )  # fmt: skip
    of_medicines: ClassVar[frozenset[str]] = frozenset({"RDE"})

    def begin_patient(self) -> None:
        super().begin_patient()
        self.done: Draft | None = None

    def _orc(self, orc: Segment) -> None:
        super()._orc(orc)
        self.done = None

    def end_order(self) -> None:
        super().end_order()
        self._end_giving()

    def _end_giving(self) -> None:
        """What is to be given is written down when its timing and route have come."""
        if self.done and self.is_to_be_given:
            medications.finish(self.done, self.scribe)

    @property
    def is_to_be_given(self) -> bool:
        """Whether the last thing told is an order for one giving, not something done."""
        return self.done is not None and self.done.resource["resourceType"] == "MedicationRequest"

    @property
    def awaits_order(self) -> bool:
        return super().awaits_order and self.done is None

    def _order_alone(self) -> Draft:
        return self._medicine() if self.message.message_code != "RDE" else super()._order_alone()

    def _rxe(self, rxe: Segment) -> None:
        draft = self._medicine(first_repetition(rxe, 2))
        medications.encoded(rxe, self.programs["RXE[MedicationRequest]"], draft, self.scribe)
        self.noted = draft

    def _rxg(self, rxg: Segment) -> None:
        assert self.patient
        self._end_giving()
        order, program = Order(self.orc), self.programs["RXG[MedicationRequest]"]
        draft = medications.arranged(rxg, order, program, self.patient, self.visit, self.scribe)
        if by := self._ordered(order):
            draft.resource["basedOn"] = [by]
        self._finished(draft)

    def _rxd(self, rxd: Segment) -> None:
        assert self.patient
        order, program = Order(self.orc), self.programs["RXD[MedicationDispense]"]
        draft = medications.dispensed(rxd, order, program, self.patient, self.visit, self.scribe)
        if by := self._ordered(order):
            draft.resource["authorizingPrescription"] = [by]
        self._finished(draft)

    def _rxa(self, rxa: Segment) -> None:
        assert self.patient
        order = Order(self.orc)
        draft = medications.given(rxa, order, self.programs, self.patient, self.visit, self.scribe)
        if by := self._ordered(order):
            draft.resource["request"] = by
        self._finished(draft)

    def _finished(self, draft: Draft) -> None:
        """What was done is what a route and a note behind it are about; the waiting ones were about the order."""
        self.done = self.noted = self.told_of = draft
        self._told_before()

    def _ordered(self, order: Order) -> Resource | None:
        """The order of what was done: in this message, or by its number."""
        if self.order:
            return self.order.reference
        found = medications.identifiers(order, self.scribe)
        return {"type": "MedicationRequest", "identifier": found[0]} if found else None

    def _rxr(self, rxr: Segment) -> None:
        if self.done is None:
            super()._rxr(rxr) if self.order else self.waiting.append(rxr)
        elif self.done and self.is_to_be_given:
            medications.route(rxr, self.programs["RXR[MedicationRequest]"], self.done, self.scribe)
        elif self.done.resource["resourceType"] == "MedicationAdministration":
            program = self.programs["RXR[MedicationAdministration]"]
            medications.route_of_given(rxr, program, self.done, self.scribe)
        else:
            self.programs["RXR[MedicationDispense]"].run(rxr, self.done, self.scribe)
        self.noted = None

    def _tq1(self, tq1: Segment) -> None:
        if self.done and self.is_to_be_given:
            medications.timing(tq1, self.programs["TQ1[MedicationRequest]"], self.done, self.scribe)
        else:
            super()._tq1(tq1)

    def _time_order(self, tq1: Segment, order: Draft) -> None:
        if self.done is None:
            super()._time_order(tq1, order)
        else:
            self.scribe.unmapped["TQ1"] += 1

    handlers: ClassVar[Mapping[str, Handler]] = {
        **Orders.handlers,
        "ORC": _orc,
        "TQ1": _tq1,
        "RXE": _rxe,
        "RXG": _rxg,
        "RXD": _rxd,
        "RXA": _rxa,
        "RXR": _rxr,
    }
