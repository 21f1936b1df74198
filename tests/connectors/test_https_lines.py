"""Lines of files on other servers."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from healthsync.connectors.https_lines import HttpsLines
from healthsync.errors import InvalidInput, Unavailable

TEXTS = [f'{{"n":{n}}}'.encode() for n in range(5_000)]
WHOLE = b"\n".join(TEXTS)
FILES = {
    "/plain": WHOLE,
    "/gzip": gzip.compress(WHOLE),
    "/damaged": gzip.compress(WHOLE)[:40] + b"xxxx" * 999,
    "/empty": b"",
}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server outside the process; whether it speaks TLS is its address's business."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path in FILES else 302)
            self.send_header("Location", "/plain")
            self.end_headers()
            self.wfile.write(FILES.get(self.path, b""))

        def log_message(self, *_: object) -> None:
            return None

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    http.server_close()


@pytest.mark.parametrize("name", ["plain", "gzip"])
async def test_lines_come_with_the_offset_behind_them_from_any_offset_on(server: str, name: str) -> None:
    whole = [entry async for entry in HttpsLines()(f"{server}/{name}", 0)]
    assert [line for line, _ in whole] == TEXTS
    assert whole[-1][1] == len(WHOLE)
    later = [entry async for entry in HttpsLines()(f"{server}/{name}", whole[2_999][1])]
    assert later == whole[3_000:]


async def test_an_empty_file_has_no_lines(server: str) -> None:
    assert [entry async for entry in HttpsLines()(f"{server}/empty", 0)] == []


@pytest.mark.parametrize("path", ["/damaged", "/elsewhere"])
async def test_a_damaged_file_and_a_redirect_are_refused(server: str, path: str) -> None:
    with pytest.raises(InvalidInput):
        async for _ in HttpsLines()(server + path, 0):
            pass


async def test_a_server_that_does_not_answer_is_told(server: str) -> None:
    with pytest.raises(Unavailable):
        await anext(HttpsLines()("http://127.0.0.1:1/x", 0))
