"""ORU and OUL: reports and results of orders, documents among them, and what devices measure."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import lru_cache
from itertools import pairwise
from typing import ClassVar

from healthsync.standards.hl7v2 import Message, Segment
from healthsync.standards.maps import devices, documents, orders, participants, results, times, waveforms
from healthsync.standards.maps.encounter import NOT_A_VISIT
from healthsync.standards.maps.identifiers import key_of
from healthsync.standards.maps.model import MappingContext, Resource
from healthsync.standards.maps.orders import Order
from healthsync.standards.maps.reading import Handler, Reading
from healthsync.standards.maps.scribe import Draft, clean
from healthsync.standards.maps.tables import tables

ASKED_AT_ORDER = frozenset({"QST", "SCI"})
"""OBX-29: an answer given with the order, not a result (guide: ORU_R01, OBX)."""

_TOLD_AT = frozenset(
    {"Observation", "DiagnosticReport", "Immunization", "MedicationAdministration", "MedicationDispense"}
)
"""What is kept with the time at which it was told: see `merging.merged`."""


class Results(Reading):
    """ORU (v2.5.1 §7.3.1) and OUL (§7.3.5 to §7.3.8): OBR begins a report, the OBX and SPM behind it belong to it.

    In OUL^R22 and R23 a specimen stands first and its orders behind it, and in all OUL the ORC follows its OBR.
    """

    messages: ClassVar[Mapping[str, frozenset[str]]] = {
        "ORU": frozenset({"R01", "R30", "R31", "R32", "R40", "W01"}),
        "OUL": frozenset({"R21", "R22", "R23", "R24"}),
    }
    maps = (
        *Reading.maps, "ORC[DiagnosticReport]", "OBR[DiagnosticReport]", "OBX[Observation]", "SPM[Specimen]",
        "OBR[Specimen]", "SAC[Specimen]", "ORC[ServiceRequest]", "OBR[ServiceRequest]", "TQ1[ServiceRequest]",
        "PRT[Device]",
    )  # fmt: skip

    def __init__(self, message: Message, trigger: str, ctx: MappingContext) -> None:
        super().__init__(message, trigger, ctx)
        self.results = results.Results(self.programs["OBX[Observation]"], self.scribe)
        self.documents = documents.Collector(self.scribe)
        self.has_devices = b"^MDC" in message.raw
        self.has_samples = any(kind in message.raw for kind in _named_by(message.separators.field))
        self.orc_follows = message.message_code == "OUL" and trigger != "R21"
        self.behind: dict[int, str] = {}
        """Which OBR of the message → the name of the segment behind it."""
        self.with_specimen: set[int] = set()
        """The OBR that have an SPM before the next one."""
        self.first_order: dict[int, Segment] = {}
        """Which PV1 of the message → the first ORC or OBR of the same patient that has a number."""
        last = visit = 0
        for segment, following in pairwise(message.segments):
            if following.name in ("PID", "PV1"):
                visit = following.index if following.name == "PV1" else 0
            elif visit and following.name in ("ORC", "OBR") and (following.get(2) or following.get(3)):
                self.first_order[visit], visit = following, 0
            if segment.name == "OBR":
                self.behind[segment.index] = following.name
                last = segment.index
            if following.name == "SPM":
                self.with_specimen.add(last)

    def begin_patient(self) -> None:
        super().begin_patient()
        self.orc: Segment | None = None
        self.obr: Segment | None = None
        self.order: Draft | None = None
        self.report: Draft | None = None
        self.specimen: Draft | None = None
        self.about_specimen: Draft | None = None
        self.told_of: Draft | None = None
        self.category: str | None = None
        self.named = ""
        self.parent: Draft | None = None
        self.waiting: list[Segment] = []
        self.devices = devices.Containment()

    def finish(self) -> None:
        super().finish()
        self.end_order()
        self.documents.finish()
        told_at = times.date_time(self.event_text, self.scribe.zone) or ""
        for draft in self.scribe.drafts.values():
            if draft.resource["resourceType"] in _TOLD_AT:
                draft.as_of = told_at

    def end_order(self) -> None:
        """The order in hand ends: another ORC, another patient or the end of the message."""
        for segment in self.waiting:
            self.scribe.unmapped[segment.name] += 1
        self.waiting = []

    def _pid(self, pid: Segment) -> None:
        if self.patient:
            self.end_order()
        super()._pid(pid)

    def key_in_passing(self, pv1: Segment) -> str | None:
        """The visit in which the first of the orders was placed, or that this message alone tells of."""
        assert self.patient
        if pv1.get(2) == NOT_A_VISIT:
            return None
        if first := self.first_order.get(pv1.index):
            order = Order(first)
            number = order.number(2, self.scribe) or order.number(3, self.scribe)
            if number:
                return f"{self.patient.key}|order|{key_of(number)}"
        return f"{self.patient.key}|message|{self.control_id}|{clean(self.message.timestamp)}"

    def _take(self, segment: Segment) -> None:
        if self.documents.open and segment.name not in ("OBX", "NTE"):
            self.documents.finish()
        super()._take(segment)

    # --- orders ---

    def _orc(self, orc: Segment) -> None:
        if self.orc_follows and self.obr is not None:
            self.orc = orc
            self._tell_order()
            return
        self.end_order()
        self.orc, self.obr, self.order = orc, None, None
        self.noted = self.told_of = self.report = self.specimen = None

    def _obr(self, obr: Segment) -> None:
        assert self.patient
        scribe = self.scribe
        if self.obr is not None:
            self.orc = None
        draft = results.report(obr, self.orc, self.programs["OBR[DiagnosticReport]"], self.patient, self.visit, scribe)
        self.named = results.order_name(obr, self.orc, self.patient, scribe)
        self.category = tables().categories.get(obr.get(24), self.usual_category)
        self.report = self.noted = self.told_of = draft
        self.obr, self.order, self.specimen = obr, None, None
        self.parent = results.parent_result(obr, scribe)
        if not (self.orc_follows and self._next_to(obr) == "ORC"):
            self._tell_order()
        if self.about_specimen:
            self._specimen_of_report(self.about_specimen)
        elif not self._specimen_follows(obr):
            self._specimen_of_obr(obr)

    def _tell_order(self) -> None:
        """The order beside its report (guide: where ORC is sent); OBR-2 alone names one too."""
        assert self.patient and self.obr and self.report
        if self.orc is None and not self.obr.get(2):
            return
        order = Order(self.orc, self.obr)
        self.order = orders.service_request(order, self.programs, self.patient, self.visit, self.scribe, of_result=True)
        self.report.resource["basedOn"] = [self.order.reference]
        self._told_before()

    def _told_before(self) -> None:
        """What stood between ORC and the segment that says what is ordered."""
        waiting, self.waiting = self.waiting, []
        begun = self.noted
        for segment in waiting:
            self.noted = begun
            self._take(segment)
        self.noted = begun

    @property
    def awaits_order(self) -> bool:
        """Whether ORC has come and what it orders has not."""
        return self.orc is not None and self.obr is None and self.order is None

    def _tq1(self, tq1: Segment) -> None:
        if self.awaits_order:
            self.waiting.append(tq1)
        elif self.order is None:
            self.scribe.unmapped["TQ1"] += 1
        else:
            self._time_order(tq1, self.order)
        self.noted = self.order

    def _time_order(self, tq1: Segment, order: Draft) -> None:
        orders.timing(tq1, self.programs["TQ1[ServiceRequest]"], order, self.scribe)

    # --- results ---

    def _obx(self, obx: Segment) -> None:
        assert self.patient
        if self.documents.open and self.documents.takes(obx):
            return
        if self.has_devices and self.devices.node(obx, self.scribe):
            self.noted = None
            return
        if self.has_samples and self.results.channel.tell(obx, self.scribe):
            self.noted = None
            return
        draft = self._observation(obx)
        if self.report:
            self._result_of_report(obx, draft, self.report)
        if self.parent:
            results.link_to_parent(draft, self.parent, self.scribe)
        if specimen := self.specimen or self.about_specimen:
            draft.resource["specimen"] = specimen.reference
        self.noted = self.told_of = draft
        if results.holds_document(obx):
            self.documents.begin(obx, draft, self.report, self.order)

    def _observation(self, obx: Segment) -> Draft:
        assert self.patient
        context = self.visit or self.patient
        named = self.named or f"{(self.about_specimen or context).key}|{clean(obx.get(14))}"
        draft = self.results.observation(obx, named, self.patient, self.visit, self.category)
        if self.has_devices:
            self.devices.tell(obx, draft, self.scribe)
        return draft

    def _result_of_report(self, obx: Segment, draft: Draft, report: Draft) -> None:
        if self.order and len(obx) >= 29 and obx.get(29) in ASKED_AT_ORDER:
            self.order.resource.setdefault("supportingInfo", []).append(draft.reference)
        else:
            report.resource.setdefault("result", []).append(draft.reference)
        if "effectiveDateTime" not in draft.resource:
            _inherit_time(draft.resource, report.resource)

    # --- specimens ---

    def _spm(self, spm: Segment) -> None:
        assert self.patient
        if self.orc_follows and self.trigger != "R24":
            self.named, self.report, self.obr, self.orc = "", None, None, None
        draft = results.specimen(spm, self.programs["SPM[Specimen]"], self.patient, self.named, self.scribe)
        if self.report:
            first = "specimen" not in self.report.resource
            self._specimen_of_report(draft)
            if first and self.obr:  # what the OBR says of it, where SPM says nothing
                results.complete_specimen(draft, self.obr, self.programs["OBR[Specimen]"], self.scribe)
        elif self.orc_follows:
            self.about_specimen = draft
        self.specimen = self.noted = draft
        self.told_of = None

    def _sac(self, sac: Segment) -> None:
        if specimen := self.specimen or self.about_specimen:
            self.programs["SAC[Specimen]"].run(sac, specimen, self.scribe)
        else:
            self.scribe.unmapped["SAC"] += 1
        self.noted = None

    def _specimen_of_report(self, draft: Draft) -> None:
        assert self.report
        self.scribe.add_once(self.report.resource.setdefault("specimen", []), draft.reference)

    def _specimen_follows(self, obr: Segment) -> bool:
        """Whether an SPM stands before the next OBR."""
        return obr.index in self.with_specimen

    def _next_to(self, obr: Segment) -> str:
        """The name of the segment behind an OBR."""
        return self.behind.get(obr.index, "")

    def _specimen_of_obr(self, obr: Segment) -> None:
        assert self.patient
        if draft := results.specimen_of_order(
            obr, self.programs["OBR[Specimen]"], self.patient, self.named, self.scribe
        ):
            self._specimen_of_report(draft)
            self.specimen = draft

    # --- who takes part, and notes ---

    def _nte(self, nte: Segment) -> None:
        if self.noted is None and self.awaits_order:
            self.waiting.append(nte)
        else:
            super()._nte(nte)

    def _prt(self, prt: Segment) -> None:
        """PRT is about the segment before it (v2.7 §7.4.4)."""
        if self.awaits_order:
            self.waiting.append(prt)
        elif not participants.tell(prt, self.told_of, self.order, self.programs["PRT[Device]"], self.scribe):
            self.scribe.unmapped["PRT"] += 1

    handlers: ClassVar[Mapping[str, Handler]] = {
        **Reading.handlers,
        "ORC": _orc,
        "OBR": _obr,
        "OBX": _obx,
        "SPM": _spm,
        "SAC": _sac,
        "TQ1": _tq1,
        "PRT": _prt,
        "NTE": _nte,
    }


@lru_cache(maxsize=16)
def _named_by(bar: str) -> tuple[bytes, ...]:
    """How a message names the types of samples in OBX-2."""
    return tuple(f"{bar}{kind}{bar}".encode() for kind in waveforms.SAMPLES)


def _inherit_time(observation: Resource, report: Resource) -> None:
    """OBX-14 empty: the time of the order's OBR-7 (v2.5.1 §7.4.2.14)."""
    for name in ("effectivePeriod", "effectiveDateTime"):
        if name in report:
            observation[name] = deepcopy(report[name])
            return
