"""DFT and BAR: charges, and accounts that are opened, changed and closed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from healthsync.standards.hl7v2 import Segment
from healthsync.standards.maps import charges, times
from healthsync.standards.maps.families.registration import Registration
from healthsync.standards.maps.reading import Handler
from healthsync.standards.maps.scribe import Draft
from healthsync.standards.maps.tables import tables


class Charges(Registration):
    """DFT (v2.5.1 §6.4.3, §6.4.8): FT1 is a charge; procedures and diagnoses behind it belong to the visit."""

    messages: ClassVar[Mapping[str, frozenset[str]]] = {"DFT": frozenset({"P03", "P11"})}
    maps = (*Registration.maps, "FT1[ChargeItem]")

    def _ft1(self, ft1: Segment) -> None:
        assert self.patient
        program = self.programs["FT1[ChargeItem]"]
        self.noted = charges.charge(ft1, program, self.patient, self.visit, self.account, self.scribe)

    handlers: ClassVar[Mapping[str, Handler]] = {**Registration.handlers, "FT1": _ft1}


class Billing(Registration):
    """BAR (v2.5.1 §6.4.1 ff.): the account of PID-18, with its visits, diagnoses, procedures and insurances."""

    @classmethod
    def takes(cls, code: str, trigger: str) -> bool:
        return code == "BAR" and trigger in tables().billings

    def _pid(self, pid: Segment) -> None:
        super()._pid(pid)
        if self.account is None:
            if self.patient and tables().billings[self.trigger]:
                self.scribe.issue("account-without-number", "PID-18")
            return
        self._tell_account(self.account)

    def _tell_account(self, account: Draft) -> None:
        happened = times.date_time(self.event_text, self.scribe.zone)
        account.as_of = happened or ""
        if status := tables().billings[self.trigger]:
            account.resource["status"] = status
            del account.unless["status"]
        account.partial = ("servicePeriod",)
        if happened and self.trigger == "P06":
            account.resource["servicePeriod"] = {"end": happened}

    def _pv1(self, pv1: Segment) -> None:
        super()._pv1(pv1)
        begun = self.visit and self.visit.resource.get("period", {}).get("start")
        if begun and self.account and self.trigger == "P01":
            self.account.resource["servicePeriod"] = {"start": begun}

    handlers: ClassVar[Mapping[str, Handler]] = {**Registration.handlers, "PV1": _pv1}
