"""The processes that share one import: this one reads, stores portions itself and hands others out to its helpers.

Every portion is one commit, whoever makes it, with its number noted in the position of the job: so a portion whose
helper died, of which nobody knows whether it was committed, may be given to somebody else. Of two lines about one
resource the later stands at the end: portions that share a resource are not stored at the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
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
_AT_ONCE = 2
"""Portions that this process is at: while the database has one, it reads and judges the other."""
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
    """Those who store the portions of one job: this process, and up to `helpers` more that `start` starts: at once for
    what is known to be `large`."""

    def __init__(self, job: Job, store: Store, start: Start | None, helpers: int, *, large: bool = False) -> None:
        self._job, self._store, self._start = job, store, start
        self._wanted = helpers if start is not None else 0
        self._alone = 0 if large else _ALONE
        self._hiring: list[asyncio.Task[None]] = []
        self._started: list[Piped] = []
        self._ready: list[Piped] = []
        self._at_work: tuple[asyncio.TaskGroup, _Shared] | None = None
        self._stored = 0

    async def work(self, portions: AsyncIterator[Portion]) -> None:
        """Store all of these; when it returns each is committed. Raises what the first that fails raises."""
        source = _Shared(portions)
        try:
            async with asyncio.TaskGroup() as group:
                self._at_work = group, source
                try:
                    for helper in self._ready:
                        self._engage(helper)
                    self._hire_in_time()
                    # As tasks of the group: none of them goes on when another fails.
                    await asyncio.gather(*(group.create_task(self._store_here(source)) for _ in range(_AT_ONCE)))
                finally:
                    self._at_work = None  # who comes now finds nothing to do
        except BaseExceptionGroup as problems:
            raise problems.exceptions[0] from None

    async def close(self) -> None:
        """Let the helpers end."""
        for hiring in self._hiring:
            hiring.cancel()
        await asyncio.gather(*self._hiring, return_exceptions=True)
        await asyncio.gather(*(helper.close() for helper in self._started))

    async def _store_here(self, source: _Shared) -> None:
        while (portion := await source.take()) is not None:
            await self._store(portion)
            source.stored(portion)
            self._stored += 1
            self._hire_in_time()

    def _hire_in_time(self) -> None:
        if self._stored >= self._alone and not self._hiring:
            self._hiring = [asyncio.create_task(self._hire()) for _ in range(self._wanted)]

    async def _hire(self) -> None:
        """Start one, without whom the work goes on until it is ready, and altogether if it never is."""
        assert self._start is not None
        helper = await self._start()
        self._started.append(helper)
        try:
            await _asked(helper, msgspec.msgpack.encode((str(self._job.id), str(self._job.claim))))
        except (HealthSyncError, ProcessGone) as problem:
            _log.warning("a process of an import did not begin", kind=self._job.kind, cause=type(problem).__name__)
            return
        self._ready.append(helper)
        self._engage(helper)

    def _engage(self, helper: Piped) -> None:
        if self._at_work is not None:
            group, source = self._at_work
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
