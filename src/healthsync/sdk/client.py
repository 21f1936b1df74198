"""The core: everything that a program asks of a hub, to be awaited."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from healthsync.errors import ConfigurationError
from healthsync.sdk.api import Api, instant, segment
from healthsync.sdk.handling import current
from healthsync.sdk.messages import Hl7, to_fhir
from healthsync.sdk.model import Publication
from healthsync.sdk.registry import Function, Registry
from healthsync.sdk.transports import HttpTransport, Transport

if TYPE_CHECKING:
    from healthsync.sdk.running import OnError

DEFAULT_URL = "http://127.0.0.1:8080"
LATER = {
    "cds": "clinical decision support",
    "orders": "orders",
    "devices": "devices",
    "deidentify": "de-identification",
    "research": "the research warehouse",
    "integrations": "integrations with other systems",
}
"""Parts of the SDK of the requirements that later versions bring."""


class Alerts:
    """`hs.alerts`: what somebody should see."""

    def __init__(self, core: AsyncHealthSync) -> None:
        self._core = core

    async def send(
        self, *, type: str, recipients: Sequence[str] = (), patients: Sequence[str] | None = None, **content: Any
    ) -> str:
        """Keep an alert in the hub, sealed and recorded, and announce it (`alert.raised`); answers its id.

        `type` is a code such as `critical_lab`. Everything else is yours: `patient_mrn=…, result=…`. `patients` are
        references whose consent decides who sees it; inside a handler those of the message. A handler that is called
        again for the same message sends the same alert, not another one.
        """
        handling = current.get()
        if patients is None:
            patients = handling.patients if handling is not None else ()
        body: dict[str, Any] = {**content, "type": type, "recipients": list(recipients), "patients": list(patients)}
        if handling is not None and handling.sequence is not None:
            body["message_sequence"] = handling.sequence
        once_key = handling.once_key(f"alert.{type}") if handling is not None else None
        return (await self._core.api.call("POST", "/alerts", body, once_key=once_key))["id"]

    async def list(self, *, type: str | None = None, count: int = 100) -> list[dict[str, Any]]:
        """The newest alerts, of a type or of all."""
        query = f"?count={count}" + (f"&type={segment(type)}" if type else "")
        return (await self._core.api.call("GET", f"/alerts{query}"))["alerts"]


class Audit:
    """`hs.audit`: the hub's audit log."""

    def __init__(self, core: AsyncHealthSync) -> None:
        self._core = core

    async def log(
        self,
        *,
        action: str,
        resource: str | None = None,
        resource_id: str | None = None,
        purpose: str | None = None,
        **details: Any,
    ) -> None:
        """Record what was done with data outside the hub: `action` is a code, `purpose` a purpose of use, `details`
        (`destination=…, user=…`) are sealed."""
        named = {"action": action, "resource": resource, "resource_id": resource_id, "purpose": purpose}
        note = {**details, **{name: value for name, value in named.items() if value is not None}}
        await self._core.api.call("POST", "/audit", note)


class AsyncHealthSync:
    """A hub, for a program that awaits.

    api_key          of a client with a role that handles (`healthsync client create NAME --role system`); the
                     environment's HEALTHSYNC_API_KEY when absent
    url              of the hub; HEALTHSYNC_URL, else http://127.0.0.1:8080
    name             of the application: under it the hub keeps its place. The name of the script when absent
    purpose          purpose of use of everything it asks, such as `treatment`
    concurrency      handlers that work at the same time
    timeout_seconds  how long an answer of the hub, and one call of a handler, may take
    verify           a file of certificates to trust instead of the system's
    on_error         called with the exception and the message when a handler fails
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
        # A program of a user has no settings of a hub to ask.
        self._api_key = api_key or os.environ.get("HEALTHSYNC_API_KEY")  # noqa: TID251
        self._url = url or os.environ.get("HEALTHSYNC_URL") or DEFAULT_URL  # noqa: TID251
        self._given_name, self._purpose, self._verify = name, purpose, verify
        self._concurrency, self._timeout_seconds, self._on_error = concurrency, timeout_seconds, on_error
        self._api: Api | None = None
        self.default_name: str | None = None
        """What the application is called when it was given no name."""
        self.registry = Registry()
        self.alerts = Alerts(self)
        self.audit = Audit(self)
        self.hl7 = Hl7()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(absent(name))

    @property
    def name(self) -> str:
        """The name of the application."""
        return self._given_name or self.default_name or _script_name()

    @property
    def api(self) -> Api:
        """The hub's REST API. Raises ConfigurationError without a key."""
        if self._api is None:
            self._api = self._made(HttpTransport(self._url, verify=self._verify))
        return self._api

    def attach(self, transport: Transport) -> None:
        """Ask the hub another way: from inside of it. Raises ConfigurationError without a key."""
        self._api = self._made(transport)

    def use_hub(self, url: str) -> None:
        """Ask the hub at this address from now on."""
        self._url, self._api = url, None

    def _made(self, transport: Transport) -> Api:
        if not self._api_key:
            raise ConfigurationError(
                "give api_key=… or set HEALTHSYNC_API_KEY; make a key with: healthsync client create NAME --role system"
            )
        return Api(transport, self._api_key, self._purpose, self._timeout_seconds)

    # --- handlers ---

    def on_hl7(
        self, *types: str, name: str | None = None, timeout_seconds: float | None = None
    ) -> Callable[[Function], Function]:
        """Call the decorated function with each `HL7Message` of these types: `ORU^R01`, `ORU^*`, `*`.

        It may be a coroutine function; any other is called in a thread. What it returns from `hs.hl7.ack` is its
        application acknowledgement.
        """
        return self._handler("hl7", types, name, timeout_seconds)

    def on(
        self, *events: str, name: str | None = None, timeout_seconds: float | None = None
    ) -> Callable[[Function], Function]:
        """Call the decorated function with each `Event` of these names: `patient.merged`, `patient.*`."""
        return self._handler("event", events, name, timeout_seconds)

    def subscribe(
        self, *topics: str, name: str | None = None, timeout_seconds: float | None = None
    ) -> Callable[[Function], Function]:
        """Call the decorated function with an `Event` for whatever is published under these topics."""
        return self._handler("topic", topics, name, timeout_seconds)

    def _handler(
        self, kind: str, patterns: Sequence[str], name: str | None, timeout_seconds: float | None
    ) -> Callable[[Function], Function]:
        if not patterns:
            raise ConfigurationError("say what the handler is for, such as @hs.on_hl7('ORU^R01')")

        def register(function: Function) -> Function:
            wants = [f"{kind}:{pattern}" for pattern in patterns]
            self.registry.add(function, wants, name, timeout_seconds or self._timeout_seconds)
            return function

        return register

    async def run(self, stop: asyncio.Event | None = None) -> None:
        """Handle what the hub has for this application until `stop` is set or the task is cancelled.

        Raises Refused when the key is not valid or its role does not handle, ConfigurationError without handlers.
        """
        from healthsync.sdk.running import Runner

        runner = Runner(
            self.api, self.name, self.registry.handlers, concurrency=self._concurrency, on_error=self._on_error
        )
        await runner.run(stop or asyncio.Event())

    # --- topics ---

    async def publish(
        self, topic: str, payload: Any, *, key: str | None = None, patients: Sequence[str] | None = None
    ) -> int:
        """Publish under a topic of your own, sealed and recorded; answers the position.

        `payload` is anything that JSON can say; times, decimals, dataclasses and fields of messages too. What has the
        same `key` comes to handlers in its order. `patients` as with `alerts.send`; a handler that is called again
        publishes nothing twice.
        """
        handling = current.get()
        if patients is None:
            patients = handling.patients if handling is not None else ()
        body = {"payload": payload, "key": key, "patients": list(patients)}
        once_key = handling.once_key(f"publish.{topic}") if handling is not None else None
        return (await self.api.call("POST", f"/streams/{segment(topic)}", body, once_key=once_key))["position"]

    async def read(self, topic: str, *, after: int = 0, count: int = 100) -> list[Publication]:
        """What was published under a topic behind a position, oldest first, as far as consent lets it out."""
        page: list[Publication] = []
        while not page:
            answer = await self.api.call("GET", f"/streams/{segment(topic)}?after={after}&count={count}")
            page = [
                Publication(one["position"], instant(one["published_at"]), one["client"], one["payload"])
                for one in answer["publications"]
            ]
            if answer["position"] == after:
                break
            after = answer["position"]
        return page

    # --- conversion ---

    def to_fhir(self, message: Any, **context: Any) -> dict[str, Any]:
        """A message as a FHIR Bundle, a patient record as a Patient; see `messages.to_fhir`."""
        return to_fhir(message, **context)

    async def close(self) -> None:
        """End the connections to the hub."""
        api, self._api = self._api, None
        if api is not None:
            await api.transport.close()

    async def __aenter__(self) -> AsyncHealthSync:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def absent(name: str) -> str:
    """Why an attribute is not there."""
    if name in LATER:
        return f"hs.{name} is not part of this version: {LATER[name]} comes later"
    return f"HealthSync has no attribute {name!r}"


def _script_name() -> str:
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(main).stem if main else "application"
