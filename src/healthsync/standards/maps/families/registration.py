"""What admissions, charges and referrals have in common: segments about a person's care team, account and history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from healthsync.standards.hl7v2 import Segment
from healthsync.standards.maps import accounts, allergies, beds, procedures, statements
from healthsync.standards.maps.families.results import Results
from healthsync.standards.maps.reading import Handler
from healthsync.standards.maps.scribe import Draft


class Registration(Results):
    """The segments of chapters 3 and 6 (v2.5.1) that several families of messages share."""

    messages: ClassVar[Mapping[str, frozenset[str]]] = {}
    maps = (*Results.maps, "IAM[AllergyIntolerance]", "PR1[Procedure]", "GT1[RelatedPerson]", "IN2[Coverage]")

    def begin_patient(self) -> None:
        super().begin_patient()
        self.account: Draft | None = None
        self.procedure: Draft | None = None

    def _pid(self, pid: Segment) -> None:
        super()._pid(pid)
        assert self.patient
        self.account = accounts.account(pid, self.patient, self.scribe)

    def _pd1(self, pd1: Segment) -> None:
        super()._pd1(pd1)
        assert self.patient
        statements.living_will(pd1, self.patient, self.scribe)

    def _pv1(self, pv1: Segment) -> None:
        super()._pv1(pv1)
        if self.visit and self.account:
            self.visit.resource["account"] = [self.account.reference]

    def key_in_passing(self, pv1: Segment) -> str | None:
        """An event about a visit names it; another without a number would be a visit more each time it is told."""
        return None

    def _in1(self, in1: Segment) -> None:
        super()._in1(in1)
        if self.account and self.coverage:
            accounts.cover(self.account, self.coverage, self.scribe)

    def _in2(self, in2: Segment) -> None:
        if self.coverage is None:
            self.scribe.unmapped["IN2"] += 1
            return
        self.programs["IN2[Coverage]"].run(in2, self.coverage, self.scribe)

    def _gt1(self, gt1: Segment) -> None:
        assert self.patient
        accounts.guarantor(gt1, self.programs["GT1[RelatedPerson]"], self.patient, self.account, self.scribe)
        self.noted = None

    def _iam(self, iam: Segment) -> None:
        assert self.patient
        self.noted = allergies.reaction(iam, self.programs["IAM[AllergyIntolerance]"], self.patient, self.scribe)

    def _pr1(self, pr1: Segment) -> None:
        assert self.patient
        program = self.programs["PR1[Procedure]"]
        self.noted = self.procedure = procedures.procedure(pr1, program, self.patient, self.visit, self.scribe)

    def _pda(self, pda: Segment) -> None:
        assert self.patient
        statements.death(pda, self.patient, self.scribe)
        self.noted = None

    def _acc(self, acc: Segment) -> None:
        assert self.patient
        statements.accident(acc, self.patient, self.visit, self.scribe)
        self.noted = None

    def _db1(self, db1: Segment) -> None:
        assert self.patient
        statements.disability(db1, self.patient, self.scribe)
        self.noted = None

    def _npu(self, npu: Segment) -> None:
        beds.bed_status(npu, self.scribe)

    def _prt(self, prt: Segment) -> None:
        """PRT behind an order or result is read as there."""
        Registration._rol(self, prt) if self.about() else Results.handlers["PRT"](self, prt)

    def about(self) -> Draft | None:
        return self.procedure if self.before == "PR1" else super().about()

    handlers: ClassVar[Mapping[str, Handler]] = {
        **Results.handlers,
        "PD1": _pd1,
        "PV1": _pv1,
        "IN1": _in1,
        "IN2": _in2,
        "GT1": _gt1,
        "IAM": _iam,
        "PR1": _pr1,
        "PDA": _pda,
        "ACC": _acc,
        "DB1": _db1,
        "NPU": _npu,
        "PRT": _prt,
    }
