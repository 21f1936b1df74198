"""Which function handles what."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from healthsync.errors import ConfigurationError

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Handler:
    """A function and what it wants; `timeout_seconds` is how long one call may take."""

    name: str
    function: Callable[..., Any]
    wants: tuple[str, ...]
    timeout_seconds: float

    @property
    def is_async(self) -> bool:
        """Whether it is awaited; any other function is called in a thread."""
        return inspect.iscoroutinefunction(self.function)


class Registry:
    """The handlers of an application, by name."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}

    def add(self, function: Callable[..., Any], wants: Sequence[str], name: str | None, timeout_seconds: float) -> None:
        """Register a function. Raises ConfigurationError when its name is taken: a name holds a place in the stream."""
        chosen = name or getattr(function, "__name__", "") or type(function).__name__
        known = self.handlers.get(chosen)
        if known is not None and known.function is not function:
            raise ConfigurationError(f"two handlers are named {chosen}; give one another name=…")
        together = (*known.wants, *wants) if known is not None else tuple(wants)
        self.handlers[chosen] = Handler(chosen, function, tuple(dict.fromkeys(together)), timeout_seconds)
