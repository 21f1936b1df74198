"""REF and RRI: referrals, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from healthsync.standards.hl7v2 import Segment
from healthsync.standards.maps import referrals, times
from healthsync.standards.maps.codes import codeable_concept
from healthsync.standards.maps.encounter import first_repetition
from healthsync.standards.maps.families.registration import Registration
from healthsync.standards.maps.model import Conversion
from healthsync.standards.maps.reading import Handler
from healthsync.standards.maps.scribe import Draft


class Referrals(Registration):
    """REF, RRI (v2.5.1 §11.5): RF1 and the providers stand before the patient; PR1 is what he is referred for."""

    messages: ClassVar[Mapping[str, frozenset[str]]] = dict.fromkeys(
        ("REF", "RRI"), frozenset({"I12", "I13", "I14", "I15"})
    )
    maps = (*Registration.maps, "RF1[ServiceRequest]")
    early = frozenset({"RF1", "PRD", "CTD"})

    def run(self) -> Conversion:
        self.request: Draft | None = None
        self.requests: list[Draft] = []
        self.subject: Draft | None = None
        return super().run()

    def _rf1(self, rf1: Segment) -> None:
        draft = self.request = self.noted = referrals.referral(rf1, self.trigger == "I14", self.scribe)
        if draft is not None:
            self.requests.append(draft)
            draft.as_of = times.date_time(self.event_text, self.scribe.zone) or ""
            self.programs["RF1[ServiceRequest]"].run(rf1, draft, self.scribe)

    def finish(self) -> None:
        super().finish()
        for request in self.requests:
            assert self.subject
            request.resource["subject"] = self.subject.reference
            referrals.settle(request)

    def _pid(self, pid: Segment) -> None:
        super()._pid(pid)
        self.subject = self.subject or self.patient

    def _pv1(self, pv1: Segment) -> None:
        super()._pv1(pv1)
        if self.request and self.visit:
            self.request.resource.setdefault("encounter", self.visit.reference)

    def _prd(self, prd: Segment) -> None:
        referrals.provider(prd, self.request, self.scribe)

    def _ctd(self, ctd: Segment) -> None:
        referrals.contact(ctd, self.scribe)

    def _pr1(self, pr1: Segment) -> None:
        """What is asked for: nothing has been done yet."""
        rep = first_repetition(pr1, 3)
        self.scribe.path = "PR1-3"
        told = codeable_concept(rep, self.scribe) if rep else None
        if self.request is None or told is None:
            super()._pr1(pr1)
        elif "code" not in self.request.resource:
            self.request.resource["code"] = told
        elif told != self.request.resource["code"]:
            self.request.resource.setdefault("orderDetail", []).append(told)

    def _dg1(self, dg1: Segment) -> None:
        super()._dg1(dg1)
        reason = first_repetition(dg1, 3)
        if self.request and reason and (told := codeable_concept(reason, self.scribe)):
            self.scribe.add_once(self.request.resource.setdefault("reasonCode", []), told)

    handlers: ClassVar[Mapping[str, Handler]] = {
        **Registration.handlers,
        "RF1": _rf1,
        "PRD": _prd,
        "CTD": _ctd,
        "PV1": _pv1,
        "PR1": _pr1,
        "DG1": _dg1,
    }
