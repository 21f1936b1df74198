"""The processes that share one import: this one reads, stores portions itself and hands others out to its helpers.

Every portion is one commit, whoever makes it, with its number noted in the position of the job: so a portion whose
helper died, of which nobody knows whether it was committed, may be given to somebody else. Of two lines about one
resource the later stands at the end: portions that share a resource are not stored at the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from healthsync.errors import HealthSyncError, Unavailable
from healthsync.infrastructure.jobs import ClaimLost, Job
from healthsync.infrastructure.piped import Piped, ProcessGone
from healthsync.infrastructure.telemetry import logger

_ALONE = 8
"""Portions that are stored before helpers are started: each takes seconds to start and a hundred megabytes."""
_AT_A_HELPER = 2
"""Portions that a helper has: one it works on, and the next, so that it never waits for this process."""

_log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Portion:
    """Lines (number, offset, text) that are stored in one commit; `number` among all of the import, from 0; `behind`
    the place to go on from (pass, file, line, offset)."""

    number: int
    file: int
    lines: list[tuple[int, int, bytes]]
    behind: tuple[int, int, int, int]


Store = Callable[[Portion], Awaitable[None]]
Start = Callable[[], Awaitable[Piped]]


def beginning() -> dict[str, Any]:
    """The position of an import that has not begun."""
    return {"pass": 0, "file": 0, "line": 0, "offset": 0, "next": 0, "ahead": []}


def is_done(position: Mapping[str, Any], number: int) -> bool:
    """Whether a portion was committed already."""
    return number < position["next"] or any(each[0] == number for each in position["ahead"])


def moved(position: Mapping[str, Any], portion: Portion) -> dict[str, Any]:
    """The position when a portion is stored as well: the place behind all that are stored without a gap, and what is
    stored ahead of it."""
    ahead = {number: behind for number, *behind in position["ahead"]} | {portion.number: list(portion.behind)}
    place, following = [position[name] for name in _PLACE], position["next"]
    while following in ahead:
        place = ahead.pop(following)
        following += 1
    waiting = [[number, *behind] for number, behind in sorted(ahead.items())]
    return {**dict(zip(_PLACE, place, strict=True)), "next": following, "ahead": waiting}


_PLACE = ("pass", "file", "line", "offset")


class Crew:
    """Those who store the portions of one job: this process, and up to `helpers` more that `start` starts."""

    def __init__(self, job: Job, store: Store, start: Start | None, helpers: int) -> None:
        self._job, self._store, self._start = job, store, start
        self._wanted = helpers if start is not None else 0
        self._helpers: list[Piped] = []
        self._stored = 0

    async def work(self, portions: AsyncIterator[Portion]) -> None:
        """Store all of these; when it returns each is committed. Raises what the first that fails raises."""
        source = _Shared(portions)
        try:
            async with asyncio.TaskGroup() as group:
                for helper in self._helpers:
                    self._engage(group, helper, source)
                while (portion := await source.take()) is not None:
                    await self._store(portion)
                    source.stored(portion)
                    self._stored += 1
                    if self._stored == _ALONE:
                        for _ in range(self._wanted):
                            group.create_task(self._hire(group, source))
        except BaseExceptionGroup as problems:
            raise problems.exceptions[0] from None

    async def close(self) -> None:
        """Let the helpers end."""
        await asyncio.gather(*(helper.close() for helper in self._helpers))

    async def _hire(self, group: asyncio.TaskGroup, source: _Shared) -> None:
        assert self._start is not None
        helper = await self._start()
        self._helpers.append(helper)
        with suppress(ProcessGone):
            claim = str(self._job.claim)
            await _asked(helper, msgspec.msgpack.encode((str(self._job.id), claim)))
            self._engage(group, helper, source)

    def _engage(self, group: asyncio.TaskGroup, helper: Piped, source: _Shared) -> None:
        for _ in range(_AT_A_HELPER):
            group.create_task(self._hand_out(helper, source))

    async def _hand_out(self, helper: Piped, source: _Shared) -> None:
        while (portion := await source.take()) is not None:
            try:
                await _asked(helper, msgspec.msgpack.encode(portion))
            except ProcessGone:
                _log.warning("a process of an import ended; its work is done by the others", kind=self._job.kind)
                await self._store(portion)
                source.stored(portion)
                return
            source.stored(portion)


class Helper:
    """The other side: stores what it is handed. `open_job` finds the job under a claim, `store` stores a portion of
    it."""

    def __init__(
        self, open_job: Callable[[UUID, UUID], Awaitable[Job]], store: Callable[[Job, Portion], Awaitable[None]]
    ) -> None:
        self._open_job, self._store_of = open_job, store
        self._job: Job | None = None

    async def __call__(self, frame: bytes) -> bytes:
        """Answer a frame of `Crew`: the job first, then its portions."""
        try:
            if self._job is None:
                job, claim = msgspec.msgpack.decode(frame, type=tuple[UUID, UUID])
                self._job = await self._open_job(job, claim)
            else:
                await self._store_of(self._job, msgspec.msgpack.decode(frame, type=Portion))
        except ClaimLost:
            return msgspec.msgpack.encode("lost")
        except Unavailable:
            return msgspec.msgpack.encode("unavailable")
        except Exception:
            _log.exception("a process of an import failed")
            return msgspec.msgpack.encode("failed")
        return msgspec.msgpack.encode("")


async def _asked(helper: Piped, frame: bytes) -> None:
    """Raises what the helper could not do."""
    match msgspec.msgpack.decode(await helper.ask(frame)):
        case "":
            return
        case "lost":
            raise ClaimLost("the job was cancelled or is another worker's")
        case "unavailable":
            raise Unavailable("the database does not answer a process of the import, or others keep it from writing")
        case _:
            raise HealthSyncError("a process of the import failed; it was logged")


class _Shared:
    """Portions that several take in turn, none before those that it shares a resource with are stored."""

    def __init__(self, portions: AsyncIterator[Portion]) -> None:
        self._portions, self._turn = portions, asyncio.Lock()
        self._at_work: dict[int, set[_Named]] = {}
        self._one_less = asyncio.Event()

    async def take(self) -> Portion | None:
        """The next; None when there is none."""
        async with self._turn:
            portion = await anext(self._portions, None)
            if portion is None:
                return None
            named = {name for _, _, text in portion.lines if (name := _named(text)) is not None}
            while not all(named.isdisjoint(others) for others in self._at_work.values()):
                self._one_less.clear()
                await self._one_less.wait()
            self._at_work[portion.number] = named
            return portion

    def stored(self, portion: Portion) -> None:
        """What was taken is committed."""
        del self._at_work[portion.number]
        self._one_less.set()


class _Named(msgspec.Struct, frozen=True, rename="camel"):
    """Which resource a line is about; of a line that gets a new id it is one without."""

    resource_type: str = ""
    id: str = ""


_names = msgspec.json.Decoder(_Named)


def _named(text: bytes) -> _Named | None:
    """None for what is no resource with an id of its own."""
    try:
        named = _names.decode(text)
    except msgspec.MsgspecError:
        return None
    return named if named.id else None
