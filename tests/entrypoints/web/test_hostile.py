"""Requests that mean harm: each gets an OperationOutcome, in bounded time, and never a fault of the server."""

from __future__ import annotations

import json
import re
import time

import pytest

from healthsync.exchange.surfaces import SURFACES, Surface

DEEP = (
    b'{"resourceType":"Organization","name":"x","extension":['
    + b'{"url":"u","extension":[' * 5000
    + b"]}" * 5000
    + b"]}"
)
TWICE = b'{"resourceType":"Organization","name":"x","name":"y"}'
HUGE_NUMBER = (
    b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":1e999999999}}'
)
LONG_NUMBER = (
    b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":1'
    + b"0" * 100_000
    + b"}}"
)
NUL = b'{"resourceType":"Organization","name":"a\\u0000b"}'
SURROGATE = b'{"resourceType":"Organization","name":"\\ud800"}'
NOT_UTF8 = b'{"resourceType":"Organization","name":"\xff\xfe"}'
NAN = b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":NaN}}'


async def test_documents_that_mean_harm_are_refused(admin):
    for content in (
        DEEP,
        TWICE,
        HUGE_NUMBER,
        LONG_NUMBER,
        NUL,
        SURROGATE,
        NOT_UTF8,
        NAN,
        b"[" * 100_000,
        b"\xef\xbb\xbf",
    ):
        kind = "Observation" if b"Observation" in content else "Organization"
        for method, path, media_type in [
            ("POST", f"/fhir/{kind}", "application/fhir+json"),
            ("POST", "/fhir", "application/fhir+json"),
            ("PATCH", f"/fhir/{kind}/x", "application/json-patch+json"),
        ]:
            answer = await admin.request(method, path, content=content, headers={"Content-Type": media_type})
            assert answer.status_code in (400, 404), (content[:60], path, answer.text)
            assert answer.json()["resourceType"] == "OperationOutcome"


async def test_a_long_text_is_stored_or_refused_but_breaks_nothing(admin):
    body = {"resourceType": "Organization", "name": "x" * 10_000_000}
    started = time.perf_counter()
    answer = await admin.post("/fhir/Organization", json=body)
    assert answer.status_code in (201, 400, 413, 422)
    assert time.perf_counter() - started < 20
    assert (await admin.get("/fhir/metadata")).status_code == 200


async def test_a_bundle_of_a_hundred_thousand_entries_is_refused_at_once(admin):
    entry = {
        "request": {"method": "POST", "url": "Organization"},
        "resource": {"resourceType": "Organization", "name": "x"},
    }
    content = json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": [entry] * 100_000}).encode()
    started = time.perf_counter()
    answer = await admin.post("/fhir", content=content)
    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (413, "too-long")
    assert time.perf_counter() - started < 10
    assert (await admin.get("/fhir/Organization?_summary=count")).json()["total"] == 0


@pytest.mark.parametrize("surface", [each for each in SURFACES if each.channel == "http"], ids=lambda each: each.name)
async def test_the_nul_character_in_an_address_is_no_fault_of_the_server(admin, surface: Surface):
    """PostgreSQL has no text with it: nothing is found there, and no parameter can be meant so."""
    for address, status in (
        (re.sub(r"\{\w+\}", "%00", surface.path), 404),
        (re.sub(r"\{\w+\}", "1", surface.path.replace("{type}", "Patient")) + "?id=%00", 400),
    ):
        if "%00" in address:
            answer = await admin.request(surface.method, address)
            assert answer.status_code == status, (address, answer.text)


async def test_odd_urls_and_headers_are_answered(admin):
    for method, path, headers in [
        ("GET", "/fhir/Patient/%00", {}),
        ("GET", "/fhir/Patient/..%2f..%2fetc", {}),
        ("GET", "/fhir//Patient//1", {}),
        ("GET", "/fhir/Patient/1/_history/99999999999999999999", {}),
        ("GET", "/fhir/Patient/1/_history/%D9%A1", {}),
        ("GET", "/fhir/Patient/1", {"If-None-Match": '"' * 5000}),
        ("GET", "/fhir/Patient/1", {"If-Modified-Since": "Thu, 99 Foo 99999"}),
        ("GET", "/fhir/Patient/1", {"Accept": ";;q=,,"}),
        ("GET", "/fhir/Patient/1", {"Accept": "application/json;q=NaN"}),
        ("PUT", "/fhir/Patient/1", {"If-Match": "W/" + "9" * 500, "Content-Type": "application/fhir+json"}),
        ("DELETE", "/fhir/Patient/1", {"If-Match": 'W/"٣"'.encode()}),
        ("GET", "/fhir/Patient/_history?_since=9999-12-31T23:59:59.999999Z", {}),
        ("GET", "/fhir/_history?_at=0001", {}),
        ("GET", "/fhir/Patient/1?_elements=" + "," * 5000, {}),
        ("GET", "/fhir/Patient/1", {"Prefer": "return=" * 500}),
        ("POST", "/fhir/Patient", {"Content-Type": "application/fhir+json;" * 100}),
    ]:
        answer = await admin.request(method, path, headers=headers)
        assert answer.status_code < 500, (method, path, headers, answer.text)
