"""Structured logs to standard error, one JSON object a line, each through the PHI filter."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import structlog

from healthsync.errors import ConfigurationError, HealthSyncError
from healthsync.infrastructure.telemetry import metrics
from healthsync.infrastructure.telemetry.phi_filter import error_text, event_text, filtered

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_RESERVED = ("event", "level", "timestamp", "logger", "exc_info")
_PACKAGE = Path(__file__).resolve().parents[2]

_withheld = metrics.counter("healthsync_log_values_withheld", "Values that the PHI filter kept out of the log.")


class _Output:
    """Where lines go and from which level on; `configure` sets it."""

    level = _LEVELS["info"]
    json = True

    def write(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)  # noqa: T201

    debug = info = warning = error = critical = write


_output = _Output()


class Logger(structlog.BoundLoggerBase):
    """Says what happened: a constant lower-case sentence and codes, never values of a patient."""

    def debug(self, event: str, /, **values: Any) -> None:
        """For developers."""
        self._proxy_to_logger("debug", event, **values)

    def info(self, event: str, /, **values: Any) -> None:
        """The ordinary course."""
        self._proxy_to_logger("info", event, **values)

    def warning(self, event: str, /, **values: Any) -> None:
        """Something an operator should look at in time."""
        self._proxy_to_logger("warning", event, **values)

    def error(self, event: str, /, **values: Any) -> None:
        """Something failed; pass `exc_info=True` inside an except block."""
        self._proxy_to_logger("error", event, **values)

    def critical(self, event: str, /, **values: Any) -> None:
        """The hub cannot go on."""
        self._proxy_to_logger("critical", event, **values)

    def exception(self, event: str, /, **values: Any) -> None:
        """`error` with the exception being handled."""
        self._proxy_to_logger("error", event, exc_info=True, **values)


def logger(name: str) -> Logger:
    """The logger of a module (`logger(__name__)`)."""
    wrapped = structlog.wrap_logger(_output, processors=_CHAIN, wrapper_class=Logger, context_class=dict)
    return wrapped.bind(logger=name)


def configure(level: str = "info", json: bool = True) -> None:
    """Set the lowest level shown and the form (JSON lines, or text for a person at a terminal).

    What libraries log through the standard module is reduced to their name, level and class of exception.
    """
    if level.lower() not in _LEVELS:
        raise ConfigurationError(f"log level must be one of {', '.join(_LEVELS)}")
    _output.level, _output.json = _LEVELS[level.lower()], json
    root = logging.getLogger()  # noqa: TID251
    root.handlers = [_LibraryHandler()]
    root.setLevel(max(_output.level, logging.WARNING))


class _LibraryHandler(logging.Handler):
    """Takes the records of libraries, whose texts we do not know and therefore do not repeat."""

    def emit(self, record: logging.LogRecord) -> None:
        level = next((name for name, number in _LEVELS.items() if record.levelno <= number), "critical")
        values = {"exc_info": record.exc_info} if record.exc_info else {}
        getattr(_library, level)("a library logged something", source=record.name, **values)


def _drop_below_level(_logger: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
    if _LEVELS[method] < _output.level:
        raise structlog.DropEvent
    return event


def _reduce_exception(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """An exception becomes its class, its cause's class, the deepest place in our code, and a message of ours."""
    error = _exception(event.pop("exc_info", None))
    if error is None:
        return event
    event["error"] = type(error).__name__
    if cause := error.__cause__:
        event["cause"] = type(cause).__name__
    if where := _deepest_place(error.__traceback__):
        event["where"] = where
    if isinstance(error, HealthSyncError):
        event["message"] = error_text(str(error))
    return event


def _exception(given: Any) -> BaseException | None:
    """The exception behind the three forms that `exc_info` may have: itself, the triple of `sys.exc_info`, or True."""
    if isinstance(given, tuple):
        return given[1]
    return sys.exception() if given is True else given


def _deepest_place(traceback: TracebackType | None) -> str | None:
    place = None
    while traceback:
        file = Path(traceback.tb_frame.f_code.co_filename)
        if file.is_relative_to(_PACKAGE):
            place = f"{file.relative_to(_PACKAGE).as_posix()}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place


def _filter(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    line = {"event": event_text(event.pop("event", "")), "logger": event.pop("logger", "")}
    message = event.pop("message", None) if "error" in event else None
    shown, hidden = filtered(event)
    if hidden:
        _withheld.inc(len(hidden))
        shown["withheld"] = hidden
    return line | shown | ({"message": message} if message else {})


def _render(given_logger: Any, method: str, event: dict[str, Any]) -> str:
    renderer = _json if _output.json else _console
    return str(renderer(given_logger, method, event))


_json = structlog.processors.JSONRenderer()
_console = structlog.dev.ConsoleRenderer(colors=False)
_CHAIN: list[Any] = [
    _drop_below_level,
    _reduce_exception,
    _filter,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    _render,
]
_library = logger("library")
logging.lastResort = _LibraryHandler(logging.WARNING)  # before `configure`, what libraries say is filtered as well
