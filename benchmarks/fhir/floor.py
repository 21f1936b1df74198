"""What is left of a hub when everything is taken away: the same web server, driver and PostgreSQL, one statement a
request. What a create or a read costs here no hub in Python on asyncpg goes below; started by `fhir_floor` only.

    python -m benchmarks.fhir.floor serve --data FOLDER …

POST keeps the body in one row and answers when it is durable; GET answers the row of its last path segment.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import asyncpg
import uvloop

from healthsync.entrypoints.web.server import WebServer
from healthsync.infrastructure.database.embedded import EmbeddedPostgres

_HEADERS = [(b"content-type", b"application/fhir+json")]


class Floor:
    """The ASGI application."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """One request."""
        if scope["method"] == "GET":
            number = int(scope["path"].rpartition("/")[2])
            status, body = 200, await self._pool.fetchval("SELECT content FROM floor WHERE number = $1", number)
        else:
            status, body = 201, b""
            while (part := await receive()) and (body := body + part["body"]) and part.get("more_body"):
                continue
            number = await self._pool.fetchval("INSERT INTO floor (content) VALUES ($1) RETURNING number", body)
        headers = [*_HEADERS, (b"content-length", b"%d" % len(body)), (b"location", b"/fhir/floor/%d" % number)]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def serve(folder: Path) -> None:
    """Until it is told to end."""
    server, ended = EmbeddedPostgres(folder), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with asyncpg.create_pool(await server.start(), min_size=8, max_size=8) as pool:
        await pool.execute("CREATE TABLE floor (number bigserial PRIMARY KEY, content bytea NOT NULL)")
        web = WebServer(Floor(pool), "127.0.0.1", 0)
        host, port = await web.start()
        sys.stdout.write(json.dumps({"http": f"{host}:{port}", "mllp": ""}) + "\n")
        sys.stdout.flush()
        await ended.wait()
        await web.stop()
    await server.stop()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[sys.argv.index("--data") + 1])))
