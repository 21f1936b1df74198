"""What can go wrong in terminology."""

from __future__ import annotations

from healthsync.errors import InvalidInput, NotFound


class UnknownTerminology(NotFound):
    """No value set, code system, concept map or concept of this name is known here."""


class UnknownCodeSystem(UnknownTerminology):
    """A value set needs a code system that is not loaded, so that nothing true can be said. `url` names it."""

    def __init__(self, url: str) -> None:
        super().__init__(f"the code system {url} is not loaded here; load it, or a package that holds it")
        self.url = url


class TooCostly(InvalidInput):
    """The answer would take more concepts or steps than this hub spends on one (issue type `too-costly`)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="too-costly")


class NotAsOf(InvalidInput):
    """What was asked about an earlier date was loaded after it, and how it was before is not kept."""

    def __init__(self, reference: str) -> None:
        super().__init__(
            f"{reference} was loaded here after that date, and what it said before is not kept; ask without a date",
            code="not-supported",
        )
