"""Whatever a client sends, the hub answers: no 5xx, always an OperationOutcome, in bounded time and memory.

Everything here goes to a real process over a socket. Bounds are several times what a quiet machine needs.
"""

from __future__ import annotations

import gzip
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from healthsync.standards.fhir.definitions import resource_types

from ..promises.hub_process import HubProcess  # noqa: TID252 — tests is no package that could be named

SECONDS = 20.0
MEMORY_BYTES = 700_000_000
"""How much the serving process may grow in all of these tests together; a body of 64 MB is allowed."""


@pytest.fixture(scope="module", autouse=True)
def bounded_memory(real_hub: HubProcess) -> Iterator[None]:
    """What the process holds at its peak stays bounded over all tests of this module, and it is the same process."""
    process = psutil.Process(real_hub.pid)
    before = process.memory_info().rss
    yield
    assert real_hub.is_running
    peak = int(next(line for line in _status(real_hub.pid) if line.startswith("VmHWM")).split()[1]) * 1024
    assert peak - before < MEMORY_BYTES, f"the hub grew by {(peak - before) / 1e6:.0f} MB"


def _status(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()


def ask(fhir: httpx.Client, method: str, path: str, *, seconds: float = SECONDS, **more: Any) -> httpx.Response:
    """Send, and hold the promises of this module."""
    began = time.monotonic()
    answer = fhir.request(method, path, **more)
    took = time.monotonic() - began
    assert answer.status_code < 500, (method, path[:200], answer.status_code, answer.text[:500])
    if answer.status_code >= 400:
        outcome = answer.json()
        assert outcome["resourceType"] == "OperationOutcome", (path[:200], outcome)
        assert outcome["issue"], path[:200]
        assert all(issue["severity"] in ("fatal", "error", "warning", "information") for issue in outcome["issue"])
    assert took < seconds, f"{method} {path[:200]} took {took:.1f} s"
    return answer


def refused(answer: httpx.Response) -> str:
    """The words of a refusal."""
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.text[:500])
    issue = answer.json()["issue"][0]
    text = issue.get("diagnostics") or issue.get("details", {}).get("text", "")
    assert text
    return text


# Bodies

_DEEP = 100_000
_BODIES: dict[str, bytes] = {
    "nested arrays": b'{"resourceType":"Patient","name":' + b"[" * _DEEP + b"]" * _DEEP + b"}",
    "nested objects": b'{"resourceType":"Patient","extension":[' + b'{"extension":[' * _DEEP + b"]}" * _DEEP + b"]}",
    "arrays that never end": b"[" * _DEEP,
    "a key twice": b'{"resourceType":"Patient","gender":"male","gender":"female"}',
    "a key twice, written in two ways": b'{"resourceType":"Patient","gender":"male","g\\u0065nder":"female"}',
    "a key twice, deep inside": b'{"resourceType":"Patient","name":[{"family":"a","period":{"start":"2020","start":"2021"}}]}',
    "nothing": b"",
    "white space": b"  \r\n ",
    "null": b"null",
    "a number": b"1",
    "a text": b'"Patient"',
    "an array": b"[]",
    "no resource type": b"{}",
    "a resource type that is no text": b'{"resourceType":{"a":1}}',
    "a resource type of no release": b'{"resourceType":"Patientt"}',
    "half of a document": b'{"resourceType":"Pati',
    "something behind it": b'{"resourceType":"Patient"} {}',
    "no UTF-8": b'{"resourceType":"Patient","name":[{"family":"\xff\xfe"}]}',
    "UTF-16": '{"resourceType":"Patient"}'.encode("utf-16"),
    "half a surrogate pair": b'{"resourceType":"Patient","name":[{"family":"\\ud800"}]}',
    "NUL in a text": b'{"resourceType":"Patient","name":[{"family":"a\\u0000b"}]}',
    "NUL in a code": b'{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"urn:a\\u0000","code":"\\u0000"}]}}',
    "NUL in a key": b'{"resourceType":"Patient","na\\u0000me":[]}',
    "NaN": b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":NaN}}',
    "Infinity": b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":Infinity}}',
    "nulls everywhere": b'{"resourceType":"Patient","name":[null,null],"gender":null,"birthDate":null}',
    "empty objects": b'{"resourceType":"Patient","name":[{}],"contact":[{}],"link":[{}]}',
    "XML": b'<Patient xmlns="http://hl7.org/fhir"/>',
    "an entity that grows": b'<!DOCTYPE a [<!ENTITY b "c">]><Patient xmlns="http://hl7.org/fhir">&b;</Patient>',
    "YAML": b"resourceType: Patient",
    "an executable narrative": json.dumps({
        "resourceType": "Patient",
        "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml"><script>alert(1)</script></div>'},
    }).encode(),
    "a narrative of entities": json.dumps({
        "resourceType": "Patient",
        "text": {"status": "generated", "div": '<!DOCTYPE d [<!ENTITY a "aaaa">]><div xmlns="http://www.w3.org/1999/xhtml">&a;</div>'},
    }).encode(),
}  # fmt: skip


@pytest.mark.parametrize("name", _BODIES)
def test_a_body_that_is_no_resource_is_refused_with_a_reason(fhir: httpx.Client, name: str) -> None:
    refused(ask(fhir, "POST", "Patient", content=_BODIES[name]))


@pytest.mark.parametrize("name", _BODIES)
@pytest.mark.parametrize("path", ["", "Patient/hostile", "Patient/$validate", "Patient/_search"])
def test_no_body_makes_any_address_fail(fhir: httpx.Client, name: str, path: str) -> None:
    ask(fhir, "PUT" if path == "Patient/hostile" else "POST", path, content=_BODIES[name])


_NUMBERS = (
    "1e400",
    "-1e400",
    "1e999999999",
    "1e-999999999",
    "9" * 10_000,
    "0." + "1" * 10_000,
    "1e",
    "01",
    "+1",
    ".5",
    "-0",
)


@pytest.mark.parametrize("number", _NUMBERS, ids=lambda number: number[:14])
def test_huge_numbers_neither_fail_nor_stop_the_hub(fhir: httpx.Client, number: str) -> None:
    code = '"resourceType":"Observation","status":"final","code":{"text":"huge"}'
    ask(fhir, "POST", "Observation", content=f'{{{code},"valueQuantity":{{"value":{number}}}}}'.encode())
    ask(fhir, "POST", "Observation", content=f'{{{code},"valueInteger":{number}}}'.encode())
    ask(fhir, "POST", "Observation", content=f'{{{code},"valueSampledData":{{"period":{number}}}}}'.encode())
    for prefix in ("", "gt", "ap", "ne"):
        ask(fhir, "GET", "Observation", params={"value-quantity": f"{prefix}{number}"})
        ask(fhir, "GET", "RiskAssessment", params={"probability": f"{prefix}{number}"})


@pytest.mark.parametrize(
    "moment",
    ["9999-12-31T23:59:59+14:00", "0001-01-01T00:00:00-14:00", "0000", "10000-01-01", "99999999999", "2026-02-30", "-1",
     "2026-01-01T24:00:00Z", "2016-12-31T23:59:60Z", "2026-01-01T00:00:00+99:99", "2026-01-01T00:00:00." + "9" * 1000 + "Z"],
)  # fmt: skip
def test_no_date_is_too_strange(fhir: httpx.Client, moment: str) -> None:
    ask(fhir, "POST", "Patient", json={"resourceType": "Patient", "birthDate": moment})
    ask(fhir, "POST", "Encounter", json={
        "resourceType": "Encounter", "status": "planned", "class": {"code": "AMB"}, "period": {"start": moment, "end": moment},
    })  # fmt: skip
    for prefix in ("", "eq", "ne", "gt", "le", "sa", "eb", "ap"):
        for address in ("Patient?birthdate", "Encounter?date", "Patient?_lastUpdated", "Patient/_history?_since"):
            path, _, name = address.partition("?")
            ask(fhir, "GET", path, params={name: prefix + moment})


@pytest.mark.parametrize("place", ["name", "identifier", "narrative", "code", "extension", "id"])
def test_a_text_of_ten_megabytes_is_stored_or_refused(fhir: httpx.Client, place: str) -> None:
    long = "a" * 10_000_000
    resource: dict[str, Any] = {"resourceType": "Patient"}
    match place:
        case "name":
            resource["name"] = [{"family": long}]
        case "identifier":
            resource["identifier"] = [{"system": "urn:example", "value": long}]
        case "narrative":
            div = f'<div xmlns="http://www.w3.org/1999/xhtml">{long}</div>'
            resource["text"] = {"status": "generated", "div": div}
        case "code":
            resource["maritalStatus"] = {"coding": [{"system": "urn:example", "code": long}]}
        case "extension":
            resource["extension"] = [{"url": "urn:example", "valueString": long}]
        case "id":
            resource["id"] = long
    answer = ask(fhir, "POST", "Patient", json=resource)
    if answer.status_code == 201:
        fhir.delete(f"Patient/{answer.json()['id']}")


def test_a_body_over_the_limit_is_refused(fhir: httpx.Client) -> None:
    refused(ask(fhir, "POST", "Patient", content=b'{"resourceType":"Patient","a":"' + b"a" * 70_000_000 + b'"}'))


def test_a_small_body_that_unpacks_to_a_large_one_is_not_unpacked(fhir: httpx.Client) -> None:
    bomb = gzip.compress(b'{"resourceType":"Patient","a":"' + b"a" * 500_000_000 + b'"}')
    refused(ask(fhir, "POST", "Patient", content=bomb, headers={"Content-Encoding": "gzip"}))


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_a_bundle_of_a_hundred_thousand_entries_is_refused_in_words(fhir: httpx.Client, kind: str) -> None:
    entry = '{"resource":{"resourceType":"Basic","code":{"text":"many"}},"request":{"method":"POST","url":"Basic"}}'
    bundle = f'{{"resourceType":"Bundle","type":"{kind}","entry":[{",".join([entry] * 100_000)}]}}'
    words = refused(ask(fhir, "POST", "", content=bundle.encode()))
    assert "entries" in words


def test_a_bundle_of_many_reads_does_not_answer_without_end(fhir: httpx.Client) -> None:
    """Each entry asks for a large resource; together they would be 1.5 GB."""
    large = {"resourceType": "Basic", "id": "large", "code": {"text": "x" * 500_000}}
    assert fhir.put("Basic/large", json=large).status_code in (200, 201)
    reads = [{"request": {"method": "GET", "url": "Basic/large"}}] * 3000
    answer = ask(fhir, "POST", "", json={"resourceType": "Bundle", "type": "batch", "entry": reads}, seconds=60)
    assert answer.status_code == 200
    assert len(answer.content) < 100_000_000
    statuses = [entry["response"]["status"][:3] for entry in answer.json()["entry"]]
    assert (statuses[0], statuses[-1], len(statuses)) == ("200", "413", 3000)


def test_a_transaction_of_entries_that_name_each_other_in_a_ring_ends(fhir: httpx.Client) -> None:
    count = 300
    urls = [f"urn:uuid:00000000-0000-4000-8000-{n:012}" for n in range(count)]
    entries = [
        {
            "fullUrl": url,
            "resource": {
                "resourceType": "Observation",
                "status": "final",
                "code": {"text": "ring"},
                "derivedFrom": [{"reference": urls[(n + 1) % count]}],
            },
            "request": {"method": "POST", "url": "Observation"},
        }
        for n, url in enumerate(urls)
    ]
    answer = ask(fhir, "POST", "", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 200, answer.text[:500]
    follow = "_include:iterate=Observation:derived-from&_revinclude:iterate=Observation:derived-from"
    ask(fhir, "GET", f"Observation?_count=1&code:text=ring&{follow}")


# Searches

_INJECTIONS = (
    "'", "''", '"', "';--", "' OR '1'='1", "1; DROP TABLE resource;--", "\\", "%", "_", "%27", "$1", "{0}", "%s", "%(a)s",
    "a' UNION SELECT 1--", "\x00", "\ud7ff\U0001f600", "pg_sleep(9)", "');SELECT pg_sleep(9);--", "|", "||", "$", "$$", ",",
    ",,,", "\\,", "\\|\\$\\\\", "|||", "http://a|b|c", "Patient/", "/", "//", "../..", "#", "a" * 5000, "-", "gt", "ap",
)  # fmt: skip


def _parameters(fhir: httpx.Client) -> dict[str, list[str]]:
    statement = fhir.get("metadata").json()
    return {
        resource["type"]: [parameter["name"] for parameter in resource.get("searchParam", ())]
        for resource in statement["rest"][0]["resource"]
    }


def test_no_parameter_of_any_type_lets_a_text_into_the_statement(fhir: httpx.Client) -> None:
    """Every parameter of every type gets some of the texts in turn; together all of them, with and without modifiers."""
    before = fhir.get("Patient", params={"_summary": "count"}).json()["total"]
    texts, modifiers = (
        itertools.cycle(_INJECTIONS),
        itertools.cycle(("", ":exact", ":contains", ":not", ":missing", ":x'")),
    )
    for resource_type, names in _parameters(fhir).items():
        for name in names:
            ask(fhir, "GET", resource_type, params={name + next(modifiers): next(texts), "_count": "1"})
    assert fhir.get("Patient", params={"_summary": "count"}).json()["total"] == before


@pytest.mark.parametrize("text", _INJECTIONS, ids=range(len(_INJECTIONS)))
def test_no_text_does_harm_anywhere_in_a_request(fhir: httpx.Client, text: str) -> None:
    for name in ("_id", "_sort", "_include", "_revinclude", "_has:Observation:subject:code", "_filter", "_elements", "_type",
                 "_lastUpdated", "_tag", "_profile", "_security", "_list", "_content", "_text", "_summary", "_total", "_count",
                 "_format", "_pretty", "_cursor", "_contained", "_score", "_query", "name", "identifier", "birthdate",
                 "general-practitioner:Practitioner.name", "organization.name"):  # fmt: skip
        ask(fhir, "GET", "Patient", params={name: text})
        ask(fhir, "POST", "Patient/_search", data={name: text},
            headers={"Content-Type": "application/x-www-form-urlencoded"})  # fmt: skip
    ask(fhir, "GET", "Patient", params={text: "a"})
    ask(
        fhir,
        "GET",
        "Observation",
        params={"code-value-quantity": f"{text}${text}", "subject": text, "value-quantity": text},
    )
    header = text.encode("ascii", "ignore").decode().replace("\x00", "").strip() or "x"
    resource = {"resourceType": "Patient", "active": True}
    for name in ("If-None-Exist", "Prefer", "X-Purpose", "X-Request-Id", "Accept", "If-Match", "If-None-Match",
                 "If-Modified-Since"):  # fmt: skip
        ask(fhir, "POST", "Patient", json=resource, headers={name: header})
        ask(fhir, "PUT", "Patient/hostile", json={**resource, "id": "hostile"}, headers={name: header})
        ask(fhir, "GET", "Patient/hostile", headers={name: header})


@pytest.mark.parametrize("path", ["Patient/%00", "Patient/..%2f..%2fetc%2fpasswd", "Patient/%27", "Patient/" + "a" * 65,
                                  "Patient/a/_history/%00", "Patient/a/_history/99999999999999999999", "Patient//", "//",
                                  "Patient/a/_history/-1", "Patient/a/b/c/d/e", "%F0%9F%98%80", "Patient/%FF", "$", "$nothing",
                                  "Patient/$nothing", "Patient/a/$nothing", "Patient/a/*", "Patient/a/Nothing", "_history/1",
                                  "Nothing/_search", "metadata/x", "Patient/" + "a" * 60_000])  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "HEAD", "SEARCH"])
def test_no_address_and_no_method_fails(fhir: httpx.Client, method: str, path: str) -> None:
    answer = fhir.request(method, path, content=b"{}" if method in ("PUT", "POST", "PATCH") else None)
    assert answer.status_code < 500
    assert answer.status_code >= 400 or method in ("GET", "HEAD", "OPTIONS")


_EXPRESSIONS = (
    "(a+)+$",
    "((((a*)*)*)*)*b",
    "%" * 5000,
    "_" * 5000,
    "a%" * 2000,
    "[a-z]{1,5000}",
    "\\" * 4999,
    "(?:.*){99}x",
)


@pytest.mark.parametrize("text", _EXPRESSIONS, ids=range(len(_EXPRESSIONS)))
@pytest.mark.parametrize("parameter", ["name:contains", "address:contains", "name:exact", "name", "_content", "_text",
                                       "identifier:text", "_filter"])  # fmt: skip
def test_no_pattern_takes_long(fhir: httpx.Client, parameter: str, text: str) -> None:
    person = {"resourceType": "Patient", "name": [{"family": "a" * 200}]}
    fhir.put("Patient/pattern", json={**person, "id": "pattern"})
    value = f'name co "{text}"' if parameter == "_filter" else text
    ask(fhir, "GET", "Patient", params={parameter: value}, seconds=5)


@pytest.mark.parametrize(
    "expression",
    ["(" * 10_000, "(" * 5000 + "name eq a" + ")" * 5000, "not " * 5000 + "(name eq a)", " and ".join(["name eq a"] * 5000),
     "name eq " + "a" * 50_000, "name[" * 1000, "a.b." * 5000 + "c eq d", 'name eq "' + '\\"' * 5000, "name eq a or" * 3000],
    ids=range(9),
)  # fmt: skip
def test_no_filter_expression_exhausts_the_hub(fhir: httpx.Client, expression: str) -> None:
    ask(fhir, "POST", "Patient/_search", data={"_filter": expression}, seconds=5,
        headers={"Content-Type": "application/x-www-form-urlencoded"})  # fmt: skip


_CHAIN = "subject:Patient.general-practitioner:Practitioner"
_COSTLY = {
    "a chain without end": "Observation?" + "patient.link." * 200 + "name=a",
    "a typed chain of thirty": "Organization?" + "partof:Organization." * 30 + "name=a",
    "a chain over every type": "Provenance?target.subject.general-practitioner.organization.partof.partof.name=a",
    "fifty chains": "Observation?" + "&".join(f"{_CHAIN}.name={n}" for n in range(50)),
    "reverse chains in each other": "Patient?" + "_has:Observation:subject:" * 40 + "code=a",
    "fifty reverse chains": "Patient?" + "&".join(f"_has:Observation:subject:code={n}" for n in range(50)),
    "five thousand values": "Observation?code=" + ",".join(map(str, range(5000))),
    "two thousand parameters": "Observation?" + "&".join(f"code={n}" for n in range(2000)),
    "every include": "Observation?_include=*&_revinclude=*",
    "every include of what comes": "Observation?_include:iterate=*&_revinclude:iterate=*&_count=1000",
    "a hundred includes": "Observation?" + "&".join(["_include:iterate=Observation:has-member"] * 100),
    "a hundred sorts": "Observation?_sort=" + ",".join(["-date", "code", "_lastUpdated"] * 33),
    "composites of composites": "Observation?code-value-quantity=" + ",".join(["8480-6$gt1"] * 500),
    "a million a page": "Observation?_count=1000000",
    "a page of a number without end": "Observation?_count=" + "9" * 400,
    "a negative page": "Observation?_count=-1",
    "a page of words": "Observation?_count=many",
    "types without end": "?_type=" + ",".join([*resource_types()] * 20) + "&_lastUpdated=gt2020",
    "history without end": "_history?_count=1000000",
}


@pytest.mark.parametrize("name", _COSTLY)
def test_no_search_costs_without_bounds(fhir: httpx.Client, name: str) -> None:
    path, _, query = _COSTLY[name].partition("?")
    if len(query) > 8000:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = ask(fhir, "POST", f"{path}/_search".lstrip("/"), content=query.encode(), headers=form)
    else:
        answer = ask(fhir, "GET", f"{path}?{query}")
    if answer.status_code == 200:
        assert len(answer.json().get("entry", ())) <= 5000


def test_a_million_a_page_is_answered_with_a_page_of_a_thousand(fhir: httpx.Client) -> None:
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [
        {"resource": {"resourceType": "Basic", "code": {"text": "page"}}, "request": {"method": "POST", "url": "Basic"}}
    ] * 1200}  # fmt: skip
    assert fhir.post("", json=bundle).status_code == 200
    page = ask(fhir, "GET", "Basic?_count=1000000").json()
    assert len(page["entry"]) <= 1000
    assert any(link["relation"] == "next" for link in page["link"])


# Connections


def test_after_all_of_this_the_hub_works_as_before(fhir: httpx.Client) -> None:
    made = fhir.post("Patient", json={"resourceType": "Patient", "name": [{"family": "Afterwards"}]})
    assert made.status_code == 201
    assert fhir.get(f"Patient/{made.json()['id']}").status_code == 200
