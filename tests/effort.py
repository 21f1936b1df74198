"""How much Python does, counted: a clock would measure the machine and its other work too."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class Effort:
    """Calls of functions, Python's and built-in ones, by this thread."""

    calls = 0

    def _count(self, frame: object, event: str, argument: object) -> None:
        if event in ("call", "c_call"):
            self.calls += 1


@contextmanager
def counted() -> Iterator[Effort]:
    """The calls made inside the block, of every task of the thread's event loop."""
    effort = Effort()
    before = sys.getprofile()
    sys.setprofile(effort._count)
    try:
        yield effort
    finally:
        sys.setprofile(before)
