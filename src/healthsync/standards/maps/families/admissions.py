"""ADT: visits, persons, and numbers that turn out to be one person's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar

from healthsync.standards.hl7v2 import Segment
from healthsync.standards.maps import encounter, renumbering, times
from healthsync.standards.maps.families.registration import Registration
from healthsync.standards.maps.model import Conversion, PatientLink, Resource
from healthsync.standards.maps.reading import Handler
from healthsync.standards.maps.scribe import clean
from healthsync.standards.maps.tables import Event, Renumbering, tables

_NO_RENUMBERING = Renumbering()


class Admissions(Registration):
    """ADT (v2.5.1 §3.3). An admission may tell results too: OBX without an order."""

    patientless = frozenset({"A20"})
    early = frozenset({"NPU"})

    @classmethod
    def takes(cls, code: str, trigger: str) -> bool:
        return code == "ADT" and (trigger in tables().events or trigger in tables().renumberings)

    @staticmethod
    def event_of(trigger: str) -> Event:
        return tables().events.get(trigger, Event(person_only=True))

    def begin_patient(self) -> None:
        super().begin_patient()
        self.prior: Segment | None = None

    def run(self) -> Conversion:
        self.renumbering = tables().renumberings.get(self.trigger, _NO_RENUMBERING)
        self.persons: list[tuple[Resource, ...]] = []
        conversion = super().run()
        if self.renumbering.link:
            for other in self.persons[1:]:
                self.merges.append(PatientLink(self.renumbering.link, self.persons[0], other))  # type: ignore[arg-type]
        return conversion

    def _pid(self, pid: Segment) -> None:
        super()._pid(pid)
        assert self.patient
        self.patient.as_of = self._sent_at()
        if self.event.active is not None:
            self.patient.resource["active"] = self.event.active
        if self.renumbering.link:
            self.persons.append(renumbering.numbers_of(self, pid))

    def _sent_at(self) -> str:
        """When the message was written (MSH-7), which tells an old address from a new one; empty for a time to come."""
        sent = clean(self.message.timestamp).strip()
        at = times.moment(sent, self.scribe.zone)
        is_past = at is not None and at < self.scribe.ctx.received_at + timedelta(days=1)
        return (times.date_time(sent, self.scribe.zone) or "") if is_past else ""

    def _pv1(self, pv1: Segment) -> None:
        super()._pv1(pv1)
        if self.prior is not None:
            self.merges += renumbering.of_visit(self, pv1, self.prior, self.renumbering)

    def _pv2(self, pv2: Segment) -> None:
        super()._pv2(pv2)
        if self.visit and self.event.cancels:
            encounter.announced_no_more(self.visit, self.event)

    def _mrg(self, mrg: Segment) -> None:
        """MRG: numbers that are no longer in use, or were given to another patient; PV1 may follow it."""
        found = renumbering.of_patient(self, mrg, self.renumbering)
        self.merges += found
        names_visit = "visit" in (*self.renumbering.merges, self.renumbering.moves)
        if not found and not names_visit:
            self.scribe.unmapped["MRG"] += 1
        self.prior = mrg if names_visit else None

    handlers: ClassVar[Mapping[str, Handler]] = {
        **Registration.handlers,
        "PV1": _pv1,
        "PV2": _pv2,
        "MRG": _mrg,
    }
