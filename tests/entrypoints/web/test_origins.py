"""Pages of other origins (security.html#cors)."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers
from starlette.responses import Response

from healthsync.entrypoints.web.origins import Origins
from healthsync.settings import load_settings

APP = "https://app.example.org"


def asking(origin: str) -> Headers:
    return Headers({"origin": origin, "access-control-request-method": "PUT"})


def told(origins: Origins, origin: str) -> str | None:
    answer = Response()
    origins.mark(Headers({"origin": origin}), answer)
    return answer.headers.get("access-control-allow-origin")


@pytest.fixture
def configured(tmp_path):
    """The origins that a configuration allows."""

    def make(text: str) -> Origins:
        file = tmp_path / "healthsync.yaml"
        file.write_text(f"healthsync:\n  http:\n    origins: {text}\n")
        return Origins(load_settings(file, environ={}, overrides={"development": True}).http.origins)

    return make


@pytest.mark.shows("http.origins")
def test_only_pages_of_the_configured_origins_may_ask_and_read(configured):
    origins = configured("['https://app.example.org']")
    assert origins.preflight("OPTIONS", asking(APP)) is not None
    assert told(origins, APP) == APP
    for other in ("https://example.org", "http://app.example.org", "https://app.example.org.evil.example", "null"):
        assert origins.preflight("OPTIONS", asking(other)) is None
        assert told(origins, other) is None


def test_an_answer_that_depends_on_the_origin_says_so_to_caches(configured):
    answer = Response()
    configured("['https://app.example.org']").mark(Headers({"origin": "https://example.org"}), answer)
    assert answer.headers["vary"] == "Origin"


def test_no_page_may_ask_where_no_origin_is_configured(configured):
    origins = configured("[]")
    assert origins.preflight("OPTIONS", asking(APP)) is None
    assert told(origins, APP) is None


def test_a_request_that_is_no_preflight_goes_on_to_its_address(configured):
    origins = configured("['*']")
    assert origins.preflight("OPTIONS", Headers({"origin": APP})) is None
    assert origins.preflight("PUT", asking(APP)) is None
    assert origins.preflight("OPTIONS", Headers({"access-control-request-method": "PUT"})) is None
