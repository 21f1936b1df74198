"""VXU: vaccines given, refused and reported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from healthsync.standards.hl7v2 import Segment
from healthsync.standards.maps import vaccines
from healthsync.standards.maps.families.results import Results
from healthsync.standards.maps.orders import Order
from healthsync.standards.maps.reading import Handler
from healthsync.standards.maps.scribe import Draft


class Vaccines(Results):
    """VXU (v2.5.1 §4.17): each ORC with RXA is an Immunization; OBX behind it tell of the dose, or are results.

    An OBX before any ORC is about the person. A group without a dose (CVX 998) has observations only.
    """

    messages: ClassVar[Mapping[str, frozenset[str]]] = {"VXU": frozenset({"V04"})}
    maps = (*Results.maps, "ORC[Immunization]", "RXA[Immunization]", "RXR[Immunization]")

    def begin_patient(self) -> None:
        super().begin_patient()
        self.dose: Draft | None = None
        self.details: vaccines.Details | None = None

    def _orc(self, orc: Segment) -> None:
        super()._orc(orc)
        self.dose = self.details = None
        self.named = ""

    @property
    def awaits_order(self) -> bool:
        return super().awaits_order and self.dose is None

    def _rxa(self, rxa: Segment) -> None:
        assert self.patient
        order = Order(self.orc)
        if vaccines.is_dose(rxa):
            draft = vaccines.immunization(rxa, order, self.programs, self.patient, self.visit, self.scribe)
            self.dose, self.details = draft, vaccines.Details(draft, self.scribe)
            self.named = draft.key
        else:
            self.scribe.unmapped["RXA"] += 1
            self.dose = self.details = None
            self.named = f"{self.patient.key}|{vaccines.NO_VACCINE}|{rxa.get(3)}"
        self.noted = self.told_of = self.dose
        self._told_before()

    def _rxr(self, rxr: Segment) -> None:
        if self.dose:
            self.programs["RXR[Immunization]"].run(rxr, self.dose, self.scribe)
        else:
            self.scribe.unmapped["RXR"] += 1
        self.noted = None

    def _obx(self, obx: Segment) -> None:
        if self.details and self.details.takes(obx):
            self.noted = self.told_of = self.dose
        else:
            super()._obx(obx)

    handlers: ClassVar[Mapping[str, Handler]] = {
        **Results.handlers,
        "ORC": _orc,
        "RXA": _rxa,
        "RXR": _rxr,
        "OBX": _obx,
    }
