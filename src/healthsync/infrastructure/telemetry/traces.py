"""OpenTelemetry hooks: spans that cost next to nothing until an operator installs and configures the SDK."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace

from healthsync.infrastructure.telemetry.phi_filter import filtered

_tracer = trace.get_tracer("healthsync")


def _is_listened_to() -> bool:
    """Whether an operator has installed the SDK; without it not even the attributes are made."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


@contextmanager
def span(name: str, /, **codes: Any) -> Iterator[trace.Span]:
    """A span around a piece of work. `name` is a constant; `codes` pass the PHI filter, an error leaves its class."""
    if not _is_listened_to():
        yield trace.INVALID_SPAN
        return
    attributes = {f"healthsync.{key}": value for key, value in filtered(codes)[0].items() if value is not None}
    with _tracer.start_as_current_span(
        name, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield current
        except Exception as error:
            current.set_status(trace.StatusCode.ERROR, type(error).__name__)
            raise
