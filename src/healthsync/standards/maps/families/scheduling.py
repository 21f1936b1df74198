"""SIU: appointments that were made, moved, changed, cancelled, missed. SRM: one that is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from healthsync.standards.hl7v2 import Segment
from healthsync.standards.maps import appointments, times
from healthsync.standards.maps.families.registration import Registration
from healthsync.standards.maps.model import Conversion
from healthsync.standards.maps.reading import Handler
from healthsync.standards.maps.scribe import Draft
from healthsync.standards.maps.tables import Booking, tables

REQUEST = "S01"
"""The trigger event of SRM that asks for a new appointment."""


class Scheduling(Registration):
    """SIU (v2.5.1 §10.4). SCH stands before the patients; what is booked (AIS, AIG, AIL, AIP) behind them.

    SRM^S01 (§10.3.1) asks for an appointment with ARQ in its place: it is *proposed* until a SIU says what was booked.
    """

    maps = (*Registration.maps, "SCH[Appointment]", "ARQ[Appointment]")
    early = frozenset({"SCH", "ARQ", "TQ1", "NTE", "RGS", "AIS", "AIG", "AIL", "AIP"})

    @classmethod
    def takes(cls, code: str, trigger: str) -> bool:
        return trigger in tables().bookings and code == ("SRM" if trigger == REQUEST else "SIU")

    patientless = frozenset({REQUEST, *(f"S{number}" for number in range(12, 27))})

    def run(self) -> Conversion:
        self.booking: Booking = tables().bookings[self.trigger]
        self.appointment: Draft | None = None
        self.sch: Segment | None = None
        return super().run()

    def finish(self) -> None:
        """What is known only behind the last segment: an end, a status without a time, a slot."""
        super().finish()
        if self.appointment is None:
            return
        appointments.settle(self.appointment, self.message.segments, self.booking, self.scribe)
        if self.booking.slot and self.sch:
            appointments.blocked(self.sch, self.booking, self.appointment, self.scribe)

    def _sch(self, sch: Segment) -> None:
        if draft := self._begin_appointment(sch):
            appointments.tell_appointment(sch, draft, self.booking, self.scribe)

    def _arq(self, arq: Segment) -> None:
        if draft := self._begin_appointment(arq):
            appointments.tell_request(arq, draft, self.booking, self.scribe)

    def _begin_appointment(self, sch: Segment) -> Draft | None:
        """The appointment of SCH or ARQ, both of which begin with its numbers."""
        self.finish()
        self.sch = sch
        draft = self.appointment = self.noted = appointments.appointment(sch, self.scribe)
        if draft is None:
            return None
        draft.as_of = times.date_time(self.event_text, self.scribe.zone) or ""
        self.programs[f"{sch.name}[Appointment]"].run(sch, draft, self.scribe)
        if self.patient:
            appointments.takes_part(draft, self.patient.reference, self.scribe)
        return draft

    def _pid(self, pid: Segment) -> None:
        super()._pid(pid)
        assert self.patient
        if self.appointment:
            appointments.takes_part(self.appointment, self.patient.reference, self.scribe)

    def _pv1(self, pv1: Segment) -> None:
        super()._pv1(pv1)
        if self.visit and self.appointment and not self.booking.slot:
            self.visit.resource["appointment"] = [self.appointment.reference]

    def _tq1(self, tq1: Segment) -> None:
        if self.appointment:
            appointments.timed(tq1, self.appointment, self.scribe)

    def _rgs(self, _rgs: Segment) -> None:
        """RGS groups what is booked together: it says nothing of its own but its action, which they repeat."""
        self.noted = None

    def _ais(self, ais: Segment) -> None:
        if self.appointment:
            appointments.service(ais, self.appointment, self.booking, self.scribe)
        self.noted = self.appointment

    def _booked(self, segment: Segment) -> None:
        if self.appointment:
            appointments.resource_booked(segment, self.appointment, self.booking, self.scribe)
        self.noted = self.appointment

    handlers: ClassVar[Mapping[str, Handler]] = {
        **Registration.handlers,
        "SCH": _sch,
        "ARQ": _arq,
        "PV1": _pv1,
        "TQ1": _tq1,
        "RGS": _rgs,
        "AIS": _ais,
        "AIG": _booked,
        "AIL": _booked,
        "AIP": _booked,
    }
