"""PPR, PGL, PPP, PPG: problems, goals and pathways of a patient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from healthsync.standards.hl7v2 import Segment
from healthsync.standards.maps import problems, times
from healthsync.standards.maps.families.registration import Registration
from healthsync.standards.maps.reading import Handler
from healthsync.standards.maps.scribe import Draft


class Problems(Registration):
    """Patient care (v2.5.1 §12.3): PRB, GOL and PTH, with the roles, variances, notes and results behind each."""

    messages: ClassVar[Mapping[str, frozenset[str]]] = {
        "PPR": frozenset({"PC1", "PC2", "PC3"}),
        "PGL": frozenset({"PC6", "PC7", "PC8"}),
        "PPP": frozenset({"PCB", "PCC", "PCD"}),
        "PPG": frozenset({"PCC", "PCG", "PCH", "PCJ"}),
    }
    maps = (*Registration.maps, "PRB[Condition]", "GOL[Goal]", "PTH[CarePlan]")

    def begin_patient(self) -> None:
        super().begin_patient()
        self.plan: Draft | None = None
        self.problem: Draft | None = None
        self.cared_for: Draft | None = None
        self.goals: dict[str, Draft] = {}
        self.problems: dict[str, Draft] = {}

    def _pid(self, pid: Segment) -> None:
        self._join()
        super()._pid(pid)

    def finish(self) -> None:
        self._join()
        super().finish()

    def _began(self, draft: Draft | None) -> None:
        self.noted = self.cared_for = draft
        if draft is not None:
            draft.as_of = times.date_time(self.event_text, self.scribe.zone) or ""

    def _prb(self, prb: Segment) -> None:
        assert self.patient
        program = self.programs["PRB[Condition]"]
        self.problem = problems.problem(prb, program, self.patient, self.visit, self.trigger, self.scribe)
        self._began(self.problem)
        if self.problem:
            self.problems[self.problem.name] = self.problem

    def _gol(self, gol: Segment) -> None:
        assert self.patient
        made = problems.goal(gol, self.programs["GOL[Goal]"], self.patient, self.trigger, self.scribe)
        self._began(made)
        if made:
            self.goals[made.name] = made

    def _pth(self, pth: Segment) -> None:
        assert self.patient
        if self.plan:
            self._join()
        program = self.programs["PTH[CarePlan]"]
        self.plan = problems.pathway(pth, program, self.patient, self.visit, self.trigger, self.scribe)
        self._began(self.plan)

    def _join(self) -> None:
        """What a goal or a plan is for; told when all have come, or another plan comes."""
        problems.join(self.plan, self.goals.values(), self.problems.values())

    def _var(self, var: Segment) -> None:
        if self.cared_for is None or not problems.variance(var, self.cared_for, self.scribe):
            self.scribe.unmapped["VAR"] += 1

    def _obx(self, obx: Segment) -> None:
        """A result behind a problem is its evidence."""
        super()._obx(obx)
        if self.problem and self.cared_for is self.problem and self.report is None and self.noted:
            evidence = self.problem.resource.setdefault("evidence", [])
            self.scribe.add_once(evidence, {"detail": [self.noted.reference]})

    def about(self) -> Draft | None:
        return self.cared_for if self.before in ("PRB", "GOL", "PTH") else super().about()

    handlers: ClassVar[Mapping[str, Handler]] = {
        **Registration.handlers,
        "PRB": _prb,
        "GOL": _gol,
        "PTH": _pth,
        "VAR": _var,
        "OBX": _obx,
    }
