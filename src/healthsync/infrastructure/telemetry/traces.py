"""OpenTelemetry hooks: spans that cost next to nothing until an operator installs and configures the SDK."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from typing import Any

from opentelemetry import trace

from healthsync.infrastructure.telemetry.phi_filter import filtered

_tracer = trace.get_tracer("healthsync")


def _is_listened_to() -> bool:
    """Whether an operator has installed the SDK; without it not even the attributes are made."""
    return _is_installed(int(time.monotonic()))


@lru_cache(1)
def _is_installed(second: int) -> bool:
    """Asked once a second: the answer is looked for in the environment of the process."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def span(name: str, /, **codes: Any) -> AbstractContextManager[trace.Span]:
    """A span around a piece of work. `name` is a constant; `codes` pass the PHI filter, an error leaves its class."""
    return _span(name, codes) if _is_listened_to() else _UNHEARD


_UNHEARD = nullcontext(trace.INVALID_SPAN)


@contextmanager
def _span(name: str, codes: Mapping[str, Any]) -> Iterator[trace.Span]:
    attributes = {f"healthsync.{key}": value for key, value in filtered(codes)[0].items() if value is not None}
    with _tracer.start_as_current_span(
        name, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield current
        except Exception as error:
            current.set_status(trace.StatusCode.ERROR, type(error).__name__)
            raise
