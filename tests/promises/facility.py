"""A sender that does not give up: it resends what was not acknowledged until it is, as interface engines do."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field

from .hub_process import HubProcess, MllpConnection, adt, oru


@dataclass
class Patient:
    """One patient of a facility; `number` is that of the last message about it, and stands in its phone number."""

    mrn: str
    name: str
    number: int = 0
    results: list[int] = field(default_factory=list)


def phone(number: int) -> str:
    """The phone number of a patient after message `number`."""
    return f"617555{number:04}"


class Facility(threading.Thread):
    """One connection with several patients. Messages about different patients are under way at the same time, but
    only one about each, so that the order in which the hub takes them is the order of their numbers."""

    def __init__(self, hub: HubProcess, name: str, patients: int, seed: int, *, per_second: float) -> None:
        super().__init__(name=name, daemon=True)
        self.hub, self.per_second, self.random = hub, per_second, random.Random(seed)
        self.patients = [Patient(f"{name}{n:03}", f"Case{name}{n}^Given{n}") for n in range(patients)]
        self.acknowledged: list[str] = []
        """Control ids in the order of their acknowledgements."""
        self.refused: list[str] = []
        """Answers that no sender should get here."""
        self.resent = 0
        self._leave = threading.Event()
        self._connection: MllpConnection | None = None

    def leave(self) -> None:
        """Begin nothing new; what is under way is still sent until it is acknowledged."""
        self._leave.set()

    def run(self) -> None:
        while not self._leave.is_set():
            window = self.random.sample(self.patients, self.random.randint(1, 4))
            self._deliver({f"{p.mrn}-{p.number + 1}": self._next(p) for p in window})
            time.sleep(len(window) / self.per_second * self.random.uniform(0.5, 1.5))
        self._hang_up()

    def _next(self, patient: Patient) -> bytes:
        patient.number += 1
        number, control_id = patient.number, f"{patient.mrn}-{patient.number}"
        if self.random.random() < 0.3:
            patient.results.append(number)
            return oru(control_id, self.name, patient.mrn, patient.name, phone=phone(number), value=number)
        return adt(control_id, self.name, patient.mrn, patient.name, phone=phone(number))

    def _deliver(self, messages: dict[str, bytes]) -> None:
        waiting = dict(messages)
        while waiting:
            try:
                self._round(waiting)
            except OSError:
                self._hang_up()
            if waiting:
                self.resent += len(waiting)
                time.sleep(0.05)

    def _round(self, waiting: dict[str, bytes]) -> None:
        """Send all that wait and read the answers; takes out of `waiting` what was acknowledged."""
        connection = self._connection = self._connection or self.hub.connect()
        for message in waiting.values():
            connection.post(message)
        for _ in range(len(waiting)):
            if (answer := connection.answer()) is None:
                raise ConnectionResetError
            if answer.code in ("AA", "CA"):
                del waiting[answer.control_id]
                self.acknowledged.append(answer.control_id)
            elif answer.code != "AE":  # AE: send it again later
                self.refused.append(answer.text)

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
