"""Handlers of an application inside the hub: the same core as outside, without a socket in between."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from pkgutil import resolve_name

from healthsync.errors import ConfigurationError, HealthSyncError
from healthsync.infrastructure.telemetry import logger
from healthsync.sdk import AsyncHealthSync, HealthSync
from healthsync.sdk.transports import Transport

_log = logger(__name__)
_AGAIN_SECONDS = 5.0

Face = HealthSync | AsyncHealthSync


def load_application(reference: str) -> Face:
    """The `HealthSync` that MODULE:NAME names; modules of the working directory are found.

    Raises ConfigurationError when there is none, or it has no handlers.
    """
    module, separator, name = reference.partition(":")
    if not (module and separator and name):
        raise ConfigurationError(f"--app is MODULE:NAME, such as lab_results:hs, not {reference}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = resolve_name(reference)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"--app {reference} cannot be loaded ({type(error).__name__}: {error})") from error
    if not isinstance(found, Face):
        raise ConfigurationError(f"--app {reference} is a {type(found).__name__}, not a HealthSync")
    if not _core(found).registry.handlers:
        raise ConfigurationError(f"--app {reference} has no handlers; decorate a function with @hs.on_hl7('ORU^R01')")
    _default_name(found, module)
    return found


async def run_handlers(application: Face, inside: Transport, stop: asyncio.Event) -> None:
    """Run the handlers until `stop` is set. An API key that is refused is tried again: it may be made by then."""
    while not stop.is_set():
        try:
            application.attach(inside)
            await _core(application).run(stop)
        except HealthSyncError as problem:
            _log.error("the handlers of the application do not run; tried again", reason=problem.code, exc_info=problem)
        except Exception:
            _log.exception("the handlers of the application failed; tried again")
        else:
            return
        try:
            async with asyncio.timeout(_AGAIN_SECONDS):
                await stop.wait()
        except TimeoutError:
            continue


def _core(application: Face) -> AsyncHealthSync:
    return application.core if isinstance(application, HealthSync) else application


def _default_name(application: Face, module: str) -> None:
    """Without a name of its own an application is called as its module, here and with `healthsync handlers run`."""
    _core(application).default_name = module.rpartition(".")[2]
