"""The same for a program that does not await: each call is carried out by the core, on a loop beside the caller."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from healthsync.errors import ConfigurationError
from healthsync.sdk.client import AsyncHealthSync, absent
from healthsync.sdk.model import Publication
from healthsync.sdk.registry import Function
from healthsync.sdk.transports import Transport

if TYPE_CHECKING:
    from healthsync.sdk.running import OnError

_T = TypeVar("_T")


class _Beside:
    """The loop on which the core works: one of the hub's, or one in a thread of its own that begins with the first
    call."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()

    def use(self, loop: asyncio.AbstractEventLoop) -> None:
        """Work on a loop that runs already."""
        self._loop = loop

    def call(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Carry out and wait. Raises what the work raises; ConfigurationError on the loop itself, which cannot wait."""
        with contextlib.suppress(RuntimeError):
            if asyncio.get_running_loop() is self._loop:
                work.close()
                raise ConfigurationError("inside `async def` handlers use AsyncHealthSync, whose calls are awaited")
        return asyncio.run_coroutine_threadsafe(work, self._running()).result()

    def start(self, work: Coroutine[Any, Any, _T]) -> Any:
        """Carry out; returns the future."""
        return asyncio.run_coroutine_threadsafe(work, self._running())

    def soon(self, action: Callable[[], Any]) -> None:
        """Run an action on the loop."""
        self._running().call_soon_threadsafe(action)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._loop.is_closed():
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="healthsync", daemon=True).start()
            return self._loop


class Alerts:
    """`hs.alerts`: what somebody should see."""

    def __init__(self, core: AsyncHealthSync, beside: _Beside) -> None:
        self._core, self._beside = core, beside

    def send(
        self, *, type: str, recipients: Sequence[str] = (), patients: Sequence[str] | None = None, **content: Any
    ) -> str:
        """Keep an alert in the hub; answers its id. See `client.Alerts.send`."""
        work = self._core.alerts.send(type=type, recipients=recipients, patients=patients, **content)
        return self._beside.call(work)

    def list(self, *, type: str | None = None, count: int = 100) -> list[dict[str, Any]]:
        """The newest alerts, of a type or of all."""
        return self._beside.call(self._core.alerts.list(type=type, count=count))


class Audit:
    """`hs.audit`: the hub's audit log."""

    def __init__(self, core: AsyncHealthSync, beside: _Beside) -> None:
        self._core, self._beside = core, beside

    def log(
        self,
        *,
        action: str,
        resource: str | None = None,
        resource_id: str | None = None,
        purpose: str | None = None,
        **details: Any,
    ) -> None:
        """Record what was done with data outside the hub. See `client.Audit.log`."""
        note = self._core.audit.log(
            action=action, resource=resource, resource_id=resource_id, purpose=purpose, **details
        )
        self._beside.call(note)


class HealthSync:
    """A hub, for a program that does not await. Arguments are those of `AsyncHealthSync`.

    Nothing is connected before it is needed, so that a module may make one and be imported.
    """

    def __init__(
        self,
        api_key: str | None = None,
        url: str | None = None,
        *,
        name: str | None = None,
        purpose: str | None = None,
        concurrency: int = 8,
        timeout_seconds: float = 30.0,
        verify: str | bool = True,
        on_error: OnError | None = None,
    ) -> None:
        self._core = AsyncHealthSync(
            api_key,
            url,
            name=name,
            purpose=purpose,
            concurrency=concurrency,
            timeout_seconds=timeout_seconds,
            verify=verify,
            on_error=on_error,
        )
        self._beside = _Beside()
        self.alerts = Alerts(self._core, self._beside)
        self.audit = Audit(self._core, self._beside)
        self.hl7 = self._core.hl7

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(absent(name))

    @property
    def name(self) -> str:
        """The name of the application, under which the hub keeps its place."""
        return self._core.name

    @property
    def core(self) -> AsyncHealthSync:
        """What carries the calls out."""
        return self._core

    def attach(self, transport: Transport) -> None:
        """Work inside a hub, on the loop that is running. Raises ConfigurationError without a key."""
        self._core.attach(transport)
        self._beside.use(asyncio.get_running_loop())

    def use_hub(self, url: str) -> None:
        """Ask the hub at this address from now on."""
        self._core.use_hub(url)

    def on_hl7(
        self, *types: str, name: str | None = None, timeout_seconds: float | None = None
    ) -> Callable[[Function], Function]:
        """Call the decorated function with each `HL7Message` of these types: `ORU^R01`, `ORU^*`, `*`."""
        return self._core.on_hl7(*types, name=name, timeout_seconds=timeout_seconds)

    def on(
        self, *events: str, name: str | None = None, timeout_seconds: float | None = None
    ) -> Callable[[Function], Function]:
        """Call the decorated function with each `Event` of these names: `patient.merged`, `patient.*`."""
        return self._core.on(*events, name=name, timeout_seconds=timeout_seconds)

    def subscribe(
        self, *topics: str, name: str | None = None, timeout_seconds: float | None = None
    ) -> Callable[[Function], Function]:
        """Call the decorated function with an `Event` for whatever is published under these topics."""
        return self._core.subscribe(*topics, name=name, timeout_seconds=timeout_seconds)

    def run(self) -> None:
        """Handle what the hub has for this application until Ctrl-C or SIGTERM; calls under way are finished.

        Raises Refused when the key is not valid or its role does not handle, ConfigurationError without handlers.
        """
        stop = asyncio.Event()
        running = self._beside.start(self._core.run(stop))
        with _signals(lambda: self._beside.soon(stop.set)):
            running.result()

    def publish(
        self, topic: str, payload: Any, *, key: str | None = None, patients: Sequence[str] | None = None
    ) -> int:
        """Publish under a topic of your own; answers the position. See `AsyncHealthSync.publish`."""
        return self._beside.call(self._core.publish(topic, payload, key=key, patients=patients))

    def read(self, topic: str, *, after: int = 0, count: int = 100) -> list[Publication]:
        """What was published under a topic behind a position, oldest first, as far as consent lets it out."""
        return self._beside.call(self._core.read(topic, after=after, count=count))

    def to_fhir(self, message: Any, **context: Any) -> dict[str, Any]:
        """A message as a FHIR Bundle, a patient record as a Patient; see `messages.to_fhir`."""
        return self._core.to_fhir(message, **context)

    def close(self) -> None:
        """End the connections to the hub."""
        self._beside.call(self._core.close())

    def __enter__(self) -> HealthSync:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def _signals(action: Callable[[], Any]) -> Iterator[None]:
    """Ctrl-C and SIGTERM do `action`, where signals can be heard: in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: action()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, known in before.items():
            signal.signal(number, known)
