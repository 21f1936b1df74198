"""Messages through a whole hub in one process, and a client that registers handlers and leases what waits for them."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from healthsync.bootstrap import Hub, build_hub
from healthsync.domains.access import Requester
from healthsync.domains.directory import Peer
from healthsync.exchange.applications.deliveries import Ending, Handed, Registration, read_want
from healthsync.infrastructure.clock import Clock
from healthsync.settings import load_settings

LOCAL = Peer("127.0.0.1")
_numbers = itertools.count(1)


class MovableClock:
    """The system's clock, put forward by hand."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self.ahead = clock, timedelta()

    def now(self):
        return self._clock.now() + self.ahead


def oru(mrn: str, *, flag: str = "HH", trigger: str = "ORU^R01^ORU_R01", ack: str = "") -> bytes:
    """A potassium of a patient of the facility MERCY."""
    number = next(_numbers)
    return (
        f"MSH|^~\\&|LAB|MERCY|HUB|HIE|20260301120000+0000||{trigger}|C{number}|P|2.5.1|||{ack}\r"
        f"PID|1||{mrn}^^^MERCY^MR||Quennell^Ottoline||19700101|F\r"
        f"OBR|1||{mrn}-{number}^LAB|2823-3^Potassium^LN|||20260301115900+0000|||||||||||||||20260301120000+0000||LAB|F\r"
        f"OBX|1|NM|2823-3^Potassium^LN||6.8|mmol/L|3.5-5.1|{flag}|||F|||20260301115900+0000\r"
    ).encode()


@dataclass
class World:
    """A hub, and one application on it."""

    hub: Hub
    clock: MovableClock
    requester: Requester

    async def take_in(self, *messages: bytes) -> list[bytes | None]:
        """Accept messages, process them, and fan out what happened."""
        answers = [await self.hub.receive_message(message, LOCAL) for message in messages]
        await self.settle_down()
        return answers

    async def settle_down(self) -> None:
        while await self.hub.process_message():
            pass
        while await self.hub.fan_out():
            pass

    async def register(self, application: str = "lab", **handlers: str | list[str]) -> None:
        registrations = [
            Registration(name, tuple(map(read_want, [wants] if isinstance(wants, str) else wants)))
            for name, wants in handlers.items()
        ]
        await self.hub.deliveries.register(self.requester, application, registrations)

    async def lease(
        self, application: str = "lab", *, limit: int = 100, wait: float = 0, instance: str = "i1"
    ) -> list[Handed]:
        return await self.hub.deliveries.lease(self.requester, application, instance, limit=limit, wait_seconds=wait)

    async def end(self, *handed: Handed, failed: str | None = None, answer: bytes | None = None) -> list[int]:
        endings = [Ending(one.leased.id, one.leased.lease, failed, answer) for one in handed]
        return await self.hub.deliveries.settle(self.requester, "lab", endings)

    async def audited(self, interaction: str) -> list[dict[str, Any]]:
        async with self.hub.database.connection() as tx:
            rows = await self.hub.audit.search(tx, count=1000)
        return [row.entry for row in rows if row.entry["interaction"] == interaction]

    def as_role(self, *roles: str, **more: Any) -> Requester:
        return structs.replace(self.requester, client_id="-".join(roles), roles=roles, **more)


@pytest.fixture
async def world(hub: Hub, database, tmp_path) -> World:
    """A hub whose clock can be put forward."""
    return _world(hub, database, tmp_path)


def _world(hub: Hub, database, tmp_path, **overrides: Any) -> World:
    settings = load_settings(
        None, environ={}, overrides={"audit.heads_path": str(tmp_path / "heads"), "development": True, **overrides}
    )
    clock = MovableClock(hub.clock)
    moved = build_hub(settings, hub.keyring, database, clock)
    return World(moved, clock, Requester("app-client", ("system",), "TREAT"))


@pytest.fixture
def world_with(hub: Hub, database, tmp_path) -> Callable[..., World]:
    """The same, with settings by dotted key."""
    return lambda **settings: _world(hub, database, tmp_path, **{k.replace("__", "."): v for k, v in settings.items()})


Make = Callable[..., Awaitable[World]]
