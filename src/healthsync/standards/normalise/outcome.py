"""What every normaliser answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Normalised(Generic[T]):
    """What was written, and its normal form.

    original  as it was written
    value     the normal form; None where there is none
    changes   codes of what was changed or assumed on the way: `day-first`, `century-assumed`, `title-case`
    problem   the code why there is no value: `ambiguous-date`; None where there is one, and for an empty text
    """

    original: str
    value: T | None = None
    changes: tuple[str, ...] = ()
    problem: str | None = None

    @classmethod
    def refused(cls, original: str, problem: str) -> Normalised[T]:
        """No value, and why."""
        return cls(original, None, (), problem)
