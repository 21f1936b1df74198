"""A process beside this one that is given frames on its standard input and answers each, in order, on its output.

It ends with its input: whoever started it may be killed at any time, and nobody is left behind.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import BinaryIO

_LENGTH_BYTES = 4
_PATIENCE_SECONDS = 10.0


class ProcessGone(Exception):
    """The process ended; what became of its last frames is not known."""


class Piped:
    """A process that answers frames. Several may ask at once: it works on one while the next waits in the pipe."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._asked: deque[asyncio.Future[bytes]] = deque()
        self._gone = False
        self._reader = asyncio.create_task(self._read(), name="piped")

    @classmethod
    async def start(cls, command: Sequence[str], environment: Mapping[str, str]) -> Piped:
        """Start it; its errors go to ours. Ctrl-C does not reach it, the end of its input does."""
        pipe = asyncio.subprocess.PIPE
        return cls(
            await asyncio.create_subprocess_exec(
                *command, env=environment, stdin=pipe, stdout=pipe, start_new_session=True
            )
        )

    async def ask(self, frame: bytes) -> bytes:
        """The answer to a frame. Raises ProcessGone."""
        if self._gone:
            raise ProcessGone
        assert self._process.stdin is not None
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked.append(answer)
        with suppress(ConnectionError):  # the reader sees the end as well, and tells all who wait
            self._process.stdin.write(_framed(frame))
            await self._process.stdin.drain()
        return await answer

    async def close(self) -> None:
        """Let it end when it has answered, or end it; at once when the caller is cancelled meanwhile."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS if not self._asked else 0):
                await self._process.wait()
        except TimeoutError:
            pass
        finally:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            await self._reader

    async def _read(self) -> None:
        assert self._process.stdout is not None
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                length = await self._process.stdout.readexactly(_LENGTH_BYTES)
                answer = await self._process.stdout.readexactly(int.from_bytes(length, "big"))
                asked = self._asked.popleft()
                if not asked.done():
                    asked.set_result(answer)
        self._gone = True
        for asked in self._asked:
            if not asked.done():
                asked.set_exception(ProcessGone())


async def answer_frames(answer: Callable[[bytes], Awaitable[bytes]]) -> None:
    """The side of the process that was started: answer frames until there are no more."""
    out = sys.stdout.buffer
    async for frame in _frames(sys.stdin.buffer):
        out.write(_framed(await answer(frame)))
        out.flush()


async def _frames(source: BinaryIO) -> AsyncIterator[bytes]:
    """The next frame is read only when it is asked for, so that few wait in memory."""
    while len(length := await asyncio.to_thread(source.read, _LENGTH_BYTES)) == _LENGTH_BYTES:
        yield await asyncio.to_thread(source.read, int.from_bytes(length, "big"))


def _framed(content: bytes) -> bytes:
    return len(content).to_bytes(_LENGTH_BYTES, "big") + content
