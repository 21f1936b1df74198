"""A hub inside this process, on an embedded PostgreSQL: to time and to profile single steps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from benchmarks.hubs import data_folder
from healthsync.bootstrap import Hub, open_hub
from healthsync.domains.directory import Peer

LOCAL = Peer("127.0.0.1")


@asynccontextmanager
async def open_fresh_hub() -> AsyncIterator[Hub]:
    """A hub on a fresh data folder, without servers and workers."""
    async with data_folder() as folder, open_hub(folder) as hub:
        yield hub


async def receive(hub: Hub, batch: Iterable[bytes]) -> None:
    """Accept messages as the MLLP server does."""
    for message in batch:
        await hub.receive_message(message, LOCAL)


async def process_all(hub: Hub) -> int:
    """Process what waits, as a worker does; returns how many."""
    total = 0
    while tried := await hub.process_message(50):
        total += tried
    return total
