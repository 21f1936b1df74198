"""A process that answers frames is never left behind."""

from __future__ import annotations

import asyncio
import sys

import pytest

from healthsync.infrastructure.piped import Piped, ProcessGone

SLOW_TO_END = "import sys, time; sys.stdin.buffer.read(); time.sleep(600)"


async def test_a_process_that_does_not_end_with_its_input_is_ended_when_whoever_waits_is_cancelled() -> None:
    helper = await Piped.start([sys.executable, "-c", SLOW_TO_END], {})
    closing = asyncio.create_task(helper.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert helper._process.returncode is not None
    with pytest.raises(ProcessGone):
        await helper.ask(b"")
