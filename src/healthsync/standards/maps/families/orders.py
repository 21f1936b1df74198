"""ORM, OML, OMG, OMI, OMP, OMD: orders of tests, procedures, medicines and diets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from healthsync.standards.hl7v2 import Repetition, Segment
from healthsync.standards.maps import clinical, diets, medications, orders, results
from healthsync.standards.maps.encounter import first_repetition
from healthsync.standards.maps.families.results import Results
from healthsync.standards.maps.orders import Order
from healthsync.standards.maps.reading import Handler
from healthsync.standards.maps.scribe import Draft

_SPECIMEN_FIRST = frozenset({"O33", "O35", "O39"})
"""Specimen-centred orders: SPM (and SAC) stand before the orders about them (v2.5.1 §4.4.8, §4.4.10)."""


_OF_ORDERS = tuple(name for name in Results.maps if not name.endswith("[DiagnosticReport]"))

_SUPPORT = {"ServiceRequest": "supportingInfo", "MedicationRequest": "supportingInformation"}
"""Where an order refers to what was answered with it."""


class Orders(Results):
    """Orders (v2.5.1 §4.4): ORC with OBR is a ServiceRequest, with RXO a MedicationRequest, with ODS a NutritionOrder.

    An ORC without any of them says something about an order that was sent before: a ServiceRequest, or in messages of
    pharmacies a MedicationRequest. OBX answer questions of the order (supportingInfo), DG1 are its reasons.
    """

    messages: ClassVar[Mapping[str, frozenset[str]]] = {
        "ORM": frozenset({"O01"}),
        "OML": frozenset({"O21", "O33", "O35", "O39"}),
        "OMG": frozenset({"O19"}),
        "OMI": frozenset({"O23"}),
        "OMP": frozenset({"O09"}),
        "OMD": frozenset({"O03"}),
    }
    maps = (*_OF_ORDERS, *medications.MAPS, "ODS[NutritionOrder]")
    of_medicines: ClassVar[frozenset[str]] = frozenset({"OMP"})
    """Messages in which an ORC alone is about a medicine."""

    def begin_patient(self) -> None:
        super().begin_patient()
        self.replaced: Draft | None = None

    def _orc(self, orc: Segment) -> None:
        self.end_order()
        self.orc, self.obr, self.order = orc, None, None
        self.noted = self.told_of = self.specimen = None

    def end_order(self) -> None:
        """An ORC without detail is an order too; a medicine is written down when all of its segments have come."""
        if self.awaits_order and self.patient:
            self._begin(self._order_alone())
        self._finish_medicine()
        super().end_order()
        self.orc = None

    def _finish_medicine(self) -> None:
        if self.order and self.order.resource["resourceType"] == "MedicationRequest":
            medications.finish(self.order, self.scribe)

    def _order_alone(self) -> Draft:
        assert self.patient
        order = Order(self.orc)
        if self.message.message_code in self.of_medicines:
            return medications.request(order, None, self.programs, self.patient, self.visit, self.scribe)
        return orders.service_request(order, self.programs, self.patient, self.visit, self.scribe)

    def _begin(self, draft: Draft) -> None:
        """The order in hand is this one."""
        assert self.patient
        control = self.orc.get(1) if self.orc else ""
        kind = draft.resource["resourceType"]
        if control == "RO" and self.replaced and self.replaced.resource["resourceType"] == kind:
            if _is_service(draft):
                draft.resource.setdefault("replaces", [self.replaced.reference])
            elif kind == "MedicationRequest":
                draft.resource["priorPrescription"] = self.replaced.reference
        if control in ("RP", "RU"):
            self.replaced = draft
        if self.order is not draft:
            self._finish_medicine()
        self.order = self.noted = self.told_of = draft
        self.named = Order(self.orc, self.obr).key(self.patient, self.scribe)
        self._told_before()

    def _obr(self, obr: Segment) -> None:
        assert self.patient
        if self.obr is not None:
            self.orc = None
        self.obr, self.specimen = obr, None
        order = Order(self.orc, obr)
        draft = orders.service_request(order, self.programs, self.patient, self.visit, self.scribe)
        self._begin(draft)
        if self.about_specimen:
            self._specimen_of_order(self.about_specimen)
        elif not self._specimen_follows(obr) and (
            made := results.specimen_of_order(
                obr, self.programs["OBR[Specimen]"], self.patient, self.named, self.scribe
            )
        ):
            self._specimen_of_order(made)

    def _specimen_of_order(self, draft: Draft) -> None:
        assert self.order
        if _is_service(self.order):
            self.scribe.add_once(self.order.resource.setdefault("specimen", []), draft.reference)

    def _spm(self, spm: Segment) -> None:
        assert self.patient
        first = self.trigger in _SPECIMEN_FIRST
        if first:
            self.end_order()
            self.order, self.obr, self.named = None, None, ""
        draft = results.specimen(spm, self.programs["SPM[Specimen]"], self.patient, self.named, self.scribe)
        if first:
            self.about_specimen = draft
        elif self.order:
            if self.obr and "specimen" not in self.order.resource:
                results.complete_specimen(draft, self.obr, self.programs["OBR[Specimen]"], self.scribe)
            self._specimen_of_order(draft)
        self.specimen = self.noted = draft
        self.told_of = None

    def _obx(self, obx: Segment) -> None:
        super()._obx(obx)
        seen = self.noted
        if self.order and seen and seen.resource["resourceType"] == "Observation":
            element = _SUPPORT.get(self.order.resource["resourceType"])
            if element:
                self.scribe.add_once(self.order.resource.setdefault(element, []), seen.reference)

    def _dg1(self, dg1: Segment) -> None:
        assert self.patient
        program = self.programs["DG1[Condition]"]
        draft = clinical.diagnosis(dg1, program, self.patient, self.visit, self.scribe)
        if draft and self.order and self.order.resource["resourceType"] in _SUPPORT:
            self.scribe.add_once(self.order.resource.setdefault("reasonReference", []), draft.reference)
        self.noted = None

    # --- medicines and diets ---

    def _time_order(self, tq1: Segment, order: Draft) -> None:
        if _is_service(order):
            super()._time_order(tq1, order)
        elif order.resource["resourceType"] == "MedicationRequest":
            medications.timing(tq1, self.programs["TQ1[MedicationRequest]"], order, self.scribe)
        else:
            self.scribe.unmapped["TQ1"] += 1

    def _medicine(self, medicine: Repetition | None = None) -> Draft:
        """The MedicationRequest in hand; begun where the ORC (or nothing) stands alone."""
        assert self.patient
        if self.order and self.order.resource["resourceType"] == "MedicationRequest":
            return self.order
        order = Order(self.orc)
        draft = medications.request(order, medicine, self.programs, self.patient, self.visit, self.scribe)
        self._begin(draft)
        return draft

    def _rxo(self, rxo: Segment) -> None:
        draft = self._medicine(first_repetition(rxo, 1))
        medications.ordered(rxo, self.programs["RXO[MedicationRequest]"], draft, self.scribe)
        self.noted = draft

    def _rxr(self, rxr: Segment) -> None:
        if self.order and self.order.resource["resourceType"] == "MedicationRequest":
            medications.route(rxr, self.programs["RXR[MedicationRequest]"], self.order, self.scribe)
        else:
            self.scribe.unmapped["RXR"] += 1
        self.noted = None

    def _rxc(self, rxc: Segment) -> None:
        if self.order and self.order.resource["resourceType"] == "MedicationRequest":
            medications.component(rxc, self.order, self.scribe)
        else:
            self.scribe.unmapped["RXC"] += 1
        self.noted = None

    def _ods(self, ods: Segment) -> None:
        assert self.patient
        order = Order(self.orc)
        program = self.programs["ODS[NutritionOrder]"]
        draft = diets.nutrition_order(ods, order, program, self.patient, self.visit, self.event_text, self.scribe)
        self._begin(draft)

    handlers: ClassVar[Mapping[str, Handler]] = {
        **Results.handlers,
        "ORC": _orc,
        "OBR": _obr,
        "OBX": _obx,
        "SPM": _spm,
        "DG1": _dg1,
        "RXO": _rxo,
        "RXR": _rxr,
        "RXC": _rxc,
        "ODS": _ods,
    }


def _is_service(draft: Draft) -> bool:
    return draft.resource["resourceType"] == "ServiceRequest"
