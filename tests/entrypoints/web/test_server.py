"""The HTTP server under uvicorn's application: its address, and requests whose head does not end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from healthsync.entrypoints.web import server
from healthsync.entrypoints.web.server import WebServer
from healthsync.errors import ConfigurationError

REQUEST = b"GET / HTTP/1.1\r\nHost: hub\r\n"


async def hello(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.fixture
async def address(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[str, int]]:
    monkeypatch.setattr(server, "MOST_HEAD_SECONDS", 0.3)
    web = WebServer(hello, "127.0.0.1", 0)
    yield await web.start()
    await web.stop()


async def test_an_address_that_is_taken_is_told_in_one_sentence(address):
    with pytest.raises(
        ConfigurationError, match=rf"{address[1]} \(Address already in use\); choose another with --http"
    ):
        WebServer(hello, *address)


@pytest.mark.parametrize("head", [b"", b"GET ", REQUEST, REQUEST * 2], ids=["nothing", "a method", "a header", "two"])
async def test_a_head_that_takes_too_long_ends_the_connection(address, head):
    reader, writer = await asyncio.open_connection(*address)
    began = time.monotonic()
    writer.write(head)
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert time.monotonic() - began < 2
    writer.close()


async def test_a_head_that_is_too_long_is_answered_while_it_goes_on(address):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(REQUEST + b"X: y\r\n" * 20_000)
    assert (await reader.read(12)) == b"HTTP/1.1 400"
    writer.close()


async def test_requests_one_after_the_other_may_last_longer_than_one_head(address):
    reader, writer = await asyncio.open_connection(*address)
    for _ in range(4):
        await asyncio.sleep(0.15)
        writer.write(REQUEST + b"X: " + b"y" * 30_000 + b"\r\n\r\n")
        assert b"200" in await reader.readline()
        await reader.readuntil(b"hello")
    await asyncio.sleep(0.5)
    writer.write(REQUEST + b"\r\n")
    assert b"200" in await reader.readline()
    writer.close()
