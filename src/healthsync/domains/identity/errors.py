"""What can go wrong in identity."""

from __future__ import annotations

from healthsync.errors import NotFound


class UnknownPatient(NotFound):
    """A source patient was named that was never registered."""

    def __init__(self, patient_id: str) -> None:
        super().__init__(f"Patient/{patient_id} is not registered in the master patient index; register it first")
