"""ORU: reports and results of orders."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import ClassVar

from healthsync.standards.hl7v2 import Message, Segment
from healthsync.standards.maps import results
from healthsync.standards.maps.model import MappingContext, Resource
from healthsync.standards.maps.reading import Handler, Reading
from healthsync.standards.maps.scribe import Draft, clean
from healthsync.standards.maps.tables import tables


class Results(Reading):
    """ORU (v2.5.1 §7.3): OBR begins a report, the OBX and SPM behind it belong to it."""

    messages: ClassVar[Mapping[str, frozenset[str]]] = {"ORU": frozenset({"R01", "R30", "R40"})}
    maps = (*Reading.maps, "ORC[DiagnosticReport]", "OBR[DiagnosticReport]", "OBX[Observation]", "SPM[Specimen]")

    def __init__(self, message: Message, trigger: str, ctx: MappingContext) -> None:
        super().__init__(message, trigger, ctx)
        self.results = results.Results(self.programs["OBX[Observation]"], self.scribe)

    def begin_patient(self) -> None:
        super().begin_patient()
        self.orc: Segment | None = None
        self.report: Draft | None = None
        self.specimen: Draft | None = None
        self.category: str | None = None
        self.named = ""

    def _orc(self, orc: Segment) -> None:
        self.orc = orc
        self.noted = self.report = self.specimen = None

    def _obr(self, obr: Segment) -> None:
        assert self.patient
        scribe = self.scribe
        draft = results.report(obr, self.orc, self.programs["OBR[DiagnosticReport]"], self.patient, self.visit, scribe)
        self.named = results.order_name(obr, self.orc, self.patient, scribe)
        self.category = tables().categories.get(obr.get(24), self.usual_category)
        self.report = self.noted = draft
        self.orc = self.specimen = None

    def _obx(self, obx: Segment) -> None:
        assert self.patient
        named = self.named or f"{(self.visit or self.patient).key}|{clean(obx.get(14))}"
        draft = self.results.observation(obx, named, self.patient, self.visit, self.category)
        if self.report:
            self.report.resource.setdefault("result", []).append(draft.reference)
            if "effectiveDateTime" not in draft.resource:
                _inherit_time(draft.resource, self.report.resource)
        if self.specimen:
            draft.resource["specimen"] = self.specimen.reference
        self.noted = draft

    def _spm(self, spm: Segment) -> None:
        assert self.patient
        draft = results.specimen(spm, self.programs["SPM[Specimen]"], self.patient, self.named, self.scribe)
        if self.report:
            specimens = self.report.resource.setdefault("specimen", [])
            if draft.reference not in specimens:
                specimens.append(draft.reference)
        self.specimen = self.noted = draft

    handlers: ClassVar[Mapping[str, Handler]] = {**Reading.handlers, "ORC": _orc, "OBR": _obr, "OBX": _obx, "SPM": _spm}


def _inherit_time(observation: Resource, report: Resource) -> None:
    """OBX-14 empty: the time of the order's OBR-7 (v2.5.1 §7.4.2.14)."""
    for name in ("effectiveDateTime", "effectivePeriod"):
        if name in report:
            observation[name] = deepcopy(report[name])
