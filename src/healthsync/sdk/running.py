"""Handlers at work: lease, call, settle.

What is in hand is bounded: no more is leased than `concurrency` handlers take up soon, and what was handled counts
until the hub knows. While a handler works its lease is renewed; when this process dies the hub gives its deliveries to
another, or to it again. A hub that does not answer is asked again, for as long as it takes.
"""

from __future__ import annotations

import asyncio
import base64
import contextvars
import os
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any

from healthsync.errors import ConfigurationError, HealthSyncError, Unavailable
from healthsync.sdk.api import Api, instant, segment
from healthsync.sdk.handling import Handling, current
from healthsync.sdk.model import Ack, Event, HL7Message
from healthsync.sdk.registry import Handler

OnError = Callable[[BaseException, "HL7Message | Event"], None]

_WAIT_SECONDS = 20.0
_AHEAD = 4
"""Deliveries that are leased for each that is handled at the same time: the next is there when one ends."""
_PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)
_GRACE_SECONDS = 10.0


class Runner:
    """Runs the handlers of one application."""

    def __init__(
        self,
        api: Api,
        application: str,
        handlers: Mapping[str, Handler],
        *,
        concurrency: int,
        on_error: OnError | None = None,
    ) -> None:
        from healthsync.infrastructure.telemetry import logger

        if not handlers:
            raise ConfigurationError("no handler is registered; decorate a function with @hs.on_hl7(…) or @hs.on(…)")
        self._api, self._handlers, self._on_error = api, handlers, on_error
        self._path = f"/applications/{segment(application)}"
        self._instance = f"{socket.gethostname()[:40]}:{os.getpid()}:{secrets.token_hex(4)}"
        self._free = asyncio.Semaphore(concurrency)
        self._most = concurrency * _AHEAD
        self._in_hand: set[int] = set()
        self._calls: set[asyncio.Task[None]] = set()
        self._results: list[dict[str, Any]] = []
        self._has_results, self._has_room = asyncio.Event(), asyncio.Event()
        self._log = logger(__name__)

    async def run(self, stop: asyncio.Event) -> None:
        """Handle until `stop` is set; calls under way are finished. Raises Refused when the key may not handle."""
        lease_seconds = await self._insist(self._register, stop)
        if lease_seconds is None:
            return
        loops = [
            asyncio.create_task(self._leasing()),
            asyncio.create_task(self._settling()),
            asyncio.create_task(self._renewing(lease_seconds / 3)),
        ]
        stopping = asyncio.create_task(stop.wait())
        try:
            ended, _ = await asyncio.wait([stopping, *loops], return_when=asyncio.FIRST_COMPLETED)
            await _cancel(loops[0])
            if not loops[1].done():
                await self._finish()
            for task in ended - {stopping}:
                task.result()
        finally:
            for task in (stopping, *loops, *self._calls):
                await _cancel(task)

    async def _register(self) -> float:
        named = [{"name": handler.name, "wants": handler.wants} for handler in self._handlers.values()]
        return float((await self._api.call("PUT", self._path, {"handlers": named}))["lease_seconds"])

    async def _leasing(self) -> None:
        while True:
            self._has_room.clear()
            room = self._most - len(self._in_hand)
            if room <= 0:
                await self._has_room.wait()
                continue
            asked = {"instance": self._instance, "limit": min(room, 100), "wait_seconds": _WAIT_SECONDS}
            answer = await self._insist(
                lambda asked=asked: self._api.call("POST", f"{self._path}/lease", asked, timeout_seconds=90)
            )
            for delivery in answer["deliveries"]:
                self._in_hand.add(delivery["id"])
                task = asyncio.create_task(self._handle(delivery))
                self._calls.add(task)
                task.add_done_callback(self._calls.discard)

    async def _settling(self) -> None:
        while True:
            await self._has_results.wait()
            self._has_results.clear()
            results, self._results = self._results, []
            if results:
                await self._insist(
                    lambda results=results: self._api.call("POST", f"{self._path}/settle", {"results": results})
                )
                self._in_hand.difference_update(result["id"] for result in results)
                self._has_room.set()

    async def _renewing(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            if self._in_hand:
                await self._insist(lambda: self._api.call("POST", f"{self._path}/renew", {"instance": self._instance}))

    async def _insist(self, call: Callable[[], Any], stop: asyncio.Event | None = None) -> Any:
        """Call until the hub answers; None when it was stopped meanwhile. Refusals are raised."""
        for attempt in range(1_000_000_000):
            try:
                return await call()
            except Unavailable:
                if attempt == 0:
                    self._log.warning("the hub does not answer; asked again until it does")
            if stop is not None and stop.is_set():
                return None
            pause = _PAUSES[min(attempt, len(_PAUSES) - 1)]
            await asyncio.sleep(pause * (0.5 + secrets.randbelow(1000) / 2000))

    async def _finish(self) -> None:
        """Let calls under way end, and tell the hub."""
        if self._calls:
            await asyncio.wait(self._calls, timeout=_GRACE_SECONDS)
        try:
            async with asyncio.timeout(_GRACE_SECONDS):
                while self._results or self._in_hand - self._running():
                    self._has_room.clear()
                    await self._has_room.wait()
        except TimeoutError:
            return

    def _running(self) -> set[int]:
        """The deliveries whose calls have not ended."""
        return {int(task.get_name()) for task in self._calls}

    # --- one delivery ---

    async def _handle(self, delivery: Mapping[str, Any]) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.set_name(str(delivery["id"]))
        result: dict[str, Any] = {"id": delivery["id"], "lease": delivery["lease"]}
        handler = self._handlers.get(delivery["handler"])
        if handler is None:  # of another version of this application
            result["failed_for"] = "no-such-handler"
        else:
            async with self._free:
                result |= await self._call(handler, delivery)
        self._results.append(result)
        self._has_results.set()

    async def _call(self, handler: Handler, delivery: Mapping[str, Any]) -> dict[str, Any]:
        """What the hub is told of one call."""
        given = _message(delivery) if delivery["kind"] == "hl7" else _event(delivery)
        patients = given.patients if isinstance(given, HL7Message) else ()
        token = current.set(Handling(delivery["id"], delivery.get("sequence"), patients))
        try:
            async with asyncio.timeout(handler.timeout_seconds):
                returned = await (handler.function(given) if handler.is_async else _in_thread(handler.function, given))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._failed(handler, delivery, given, error)
            return {"failed_for": "timeout" if isinstance(error, TimeoutError) else type(error).__name__[:64]}
        finally:
            current.reset(token)
        return {"answer": base64.b64encode(returned.content).decode()} if isinstance(returned, Ack) else {}

    def _failed(
        self, handler: Handler, delivery: Mapping[str, Any], given: HL7Message | Event, error: Exception
    ) -> None:
        self._log.warning("a handler failed; it is called again", task=handler.name, attempt=delivery["attempt"],
                          sequence=delivery.get("sequence"), exc_info=error)  # fmt: skip
        if self._on_error is not None:
            try:
                self._on_error(error, given)
            except Exception as second:
                self._log.warning("on_error failed itself", exc_info=second)


async def _in_thread(function: Callable[[Any], Any], given: Any) -> Any:
    """Call it in a thread of its own, which nobody waits for when it takes too long: Python cannot end one."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def tell(value: Any, error: BaseException | None) -> None:
        if not done.done():
            done.set_exception(error) if error is not None else done.set_result(value)

    def work() -> None:
        value, failure = None, None
        try:
            value = context.run(function, given)
        except BaseException as error:  # SystemExit in a handler must not end its thread unheard
            failure = error if isinstance(error, Exception) else HealthSyncError(type(error).__name__)
        try:
            loop.call_soon_threadsafe(tell, value, failure)
        except RuntimeError:
            return  # the loop has ended

    threading.Thread(target=work, name="healthsync-handler", daemon=True).start()
    return await done


def _message(delivery: Mapping[str, Any]) -> HL7Message:
    data = delivery["data"]
    return HL7Message(
        type=delivery["name"],
        content=base64.b64decode(delivery["content"]),
        source=data["source"],
        sequence=delivery["sequence"],
        state=data["state"],
        received_at=instant(data["received_at"]),
        patients=tuple(data["patients"]),
        attempt=delivery["attempt"],
    )


def _event(delivery: Mapping[str, Any]) -> Event:
    details = dict(delivery["data"])
    data = details.pop("resource", None)
    data = details.pop("payload", data)
    occurred_at = instant(delivery["occurred_at"])
    return Event(delivery["name"], delivery["subject"], occurred_at, data, details, delivery["attempt"])


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])
