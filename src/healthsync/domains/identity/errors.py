"""What can go wrong in identity."""

from __future__ import annotations

from healthsync.errors import InvalidInput, NotFound


class UnknownPatient(NotFound):
    """A source patient was named that was never registered."""

    def __init__(self, patient_id: str) -> None:
        super().__init__(f"Patient/{patient_id} is not registered in the master patient index; register it first")


class ReasonNotACode(InvalidInput):
    """The reason of a decision is free text, which may name a patient; the log of links holds codes."""

    def __init__(self) -> None:
        super().__init__(
            "the reason of a link, merge or unlink is a code of letters, digits and hyphens (at most 40), "
            "such as papers-seen; a justification in words belongs in the audit record",
            code="value",
        )
