"""The delivery that is being handled: what is sent meanwhile knows where it comes from, and is sent once."""

from __future__ import annotations

from collections import Counter
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(slots=True)
class Handling:
    """A delivery in the hands of a handler."""

    delivery_id: int
    sequence: int | None
    patients: tuple[str, ...]
    _sent: Counter[str] = field(default_factory=Counter)

    def once_key(self, what: str) -> str:
        """The key of the next thing of this kind: the same when the delivery is handled again."""
        self._sent[what] += 1
        return f"delivery-{self.delivery_id}.{what}.{self._sent[what]}"


current: ContextVar[Handling | None] = ContextVar("healthsync_handling", default=None)
"""None outside of handlers."""
