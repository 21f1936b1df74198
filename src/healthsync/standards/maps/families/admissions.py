"""ADT: visits, persons, and numbers that turn out to be one person's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from healthsync.standards.hl7v2 import Segment
from healthsync.standards.maps.families.results import Results
from healthsync.standards.maps.model import PatientMerge
from healthsync.standards.maps.reading import Handler, key_of, preferred
from healthsync.standards.maps.tables import Event, tables


class Admissions(Results):
    """ADT (v2.5.1 §3.3). An admission may tell results too: OBX without an order."""

    @classmethod
    def takes(cls, code: str, trigger: str) -> bool:
        return code == "ADT" and (trigger in tables().events or trigger in tables().merges)

    @staticmethod
    def event_of(trigger: str) -> Event:
        return tables().events.get(trigger, Event(person_only=True))

    def _mrg(self, mrg: Segment) -> None:
        """MRG-1: the numbers that are no longer in use. A patient merged into itself stays as it is."""
        retired = list(self.identifiers_of(mrg, 1))
        if self.trigger not in tables().merges or self.patient is None or self.pid is None or not retired:
            self.scribe.unmapped["MRG"] += 1
            return
        key = key_of(preferred(retired))
        if key == self.patient.key:
            self.scribe.issue("merge-into-itself", "MRG-1")
            return
        survivors = tuple(number for at in (3, 2, 4) for number in self.identifiers_of(self.pid, at))
        identify = self.scribe.ctx.resource_id
        self.merges.append(
            PatientMerge(
                self.patient.key, self.patient.resource["id"], survivors, key, identify("Patient", key), tuple(retired)
            )
        )

    handlers: ClassVar[Mapping[str, Handler]] = {**Results.handlers, "MRG": _mrg}
