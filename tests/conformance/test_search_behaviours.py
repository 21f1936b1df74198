"""search.html over HTTP, one behaviour a row: what a small known world answers, in what shape, and what is refused."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from ..promises.hub_process import HubProcess, ended  # noqa: TID252 — tests is no package that could be named
from . import search_questions
from .search_world import WORLD


@pytest.fixture(scope="module")
def world() -> Iterator[httpx.Client]:
    """A hub that holds the world and nothing else, and a client that may do everything there."""
    folder = Path(tempfile.mkdtemp(prefix="hs-search-", dir="/tmp"))
    folder.chmod(0o755)  # as root the server's PostgreSQL runs as another user, who must be able to enter
    with ended(HubProcess.init(folder / "hub", "--development")) as hub:
        hub.start()
        key = hub.ask("client", "create", "searcher", "--role", "admin")["api_key"]
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=f"http://{hub.http}/fhir/", headers=headers, timeout=60) as client:
            _put(client, *WORLD)
            yield client
    shutil.rmtree(folder, ignore_errors=True)


def _put(client: httpx.Client, *resources: dict[str, Any]) -> None:
    entries = [
        {"resource": each, "request": {"method": "PUT", "url": f"{each['resourceType']}/{each['id']}"}}
        for each in resources
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    answer = client.post("", content=json.dumps(bundle), headers={"Content-Type": "application/fhir+json"})
    assert answer.status_code == 200, answer.text


def _bundle(client: httpx.Client, question: str, **options: Any) -> dict[str, Any]:
    answer = client.get(question, **options)
    assert answer.status_code == 200, (question, answer.text)
    return answer.json()


def _ids(bundle: dict[str, Any], mode: str = "match") -> list[str]:
    return [each["resource"]["id"] for each in bundle.get("entry", ()) if each["search"]["mode"] == mode]


def _links(bundle: dict[str, Any]) -> dict[str, str]:
    return {link["relation"]: link["url"] for link in bundle["link"]}


def _asked(url: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(url).query, keep_blank_values=True)


def _rows(text: str) -> list[tuple[str, str]]:
    rows = (line.partition("->") for line in text.strip().splitlines())
    return [(question.strip(), answer.strip()) for question, _, answer in rows]


# --- what is found ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "answer"),
    [row for text in search_questions.TABLES.values() for row in _rows(text)],
    ids=lambda text: text if "?" in text else "",
)
def test_a_search_finds_what_the_standard_says(world: httpx.Client, question: str, answer: str) -> None:
    base = str(world.base_url).removesuffix("/")
    found = world.get(question.replace("{base}", base))
    if answer.isdecimal():
        assert found.status_code == int(answer), found.text
        assert found.json()["resourceType"] == "OperationOutcome"
        return
    assert found.status_code == 200, found.text
    bundle = found.json()
    assert sorted(_ids(bundle)) == sorted(answer.split())
    assert bundle["total"] == len(answer.split())


@pytest.mark.parametrize(("question", "answer"), _rows(search_questions.INCLUDES))
def test_an_include_brings_each_resource_once_and_counts_none(world: httpx.Client, question: str, answer: str) -> None:
    bundle = _bundle(world, question)
    matched, _, included = answer.partition("+")
    assert sorted(_ids(bundle)) == sorted(matched.split())
    assert sorted(_ids(bundle, "include")) == sorted(included.split())
    assert bundle["total"] == len(matched.split())


@pytest.mark.parametrize(("question", "answer"), _rows(search_questions.SORTS))
def test_hits_come_in_the_order_that_was_asked_for(world: httpx.Client, question: str, answer: str) -> None:
    assert _ids(_bundle(world, question)) == answer.split()
    pages, url = [], f"{question}&_count=2"
    while url:
        page = _bundle(world, url)
        pages += _ids(page)
        url = _links(page).get("next", "")
    assert pages == answer.split()


def test_a_contained_resource_is_shown_with_the_address_of_what_contains_it(world: httpx.Client) -> None:
    """search.html#contained: with `_containedType=contained` the hit is the contained resource itself."""
    asked = "Practitioner?family=aldous,innerdoc,twodoc&_containedType=contained&_contained="
    base = str(world.base_url)
    shown = {each["fullUrl"].removeprefix(base): each["resource"] for each in _bundle(world, f"{asked}true")["entry"]}
    assert shown.keys() == {"Observation/t-8#dr", "Observation/t-11#a"}
    assert shown["Observation/t-11#a"]["name"] == [{"family": "Twodoc"}]
    both = _bundle(world, f"{asked}both&_elements=gender")
    assert sorted(each["fullUrl"].rpartition("/")[2] for each in both["entry"]) == ["dr1", "t-11#a", "t-8#dr"]
    assert not any("name" in each["resource"] for each in both["entry"])
    assert "total" not in both  # what is counted are resources, not what they contain


# --- the shape of the answer --------------------------------------------------------------------------------------


def test_an_entry_has_its_address_and_says_why_it_is_there(world: httpx.Client) -> None:
    bundle = _bundle(world, "Patient?_id=p1&_include=Patient:organization&_nonsense=1")
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "searchset")
    entries = {each["search"]["mode"]: each for each in bundle["entry"]}
    assert entries["match"]["fullUrl"] == f"{world.base_url}Patient/p1"
    assert entries["include"]["fullUrl"] == f"{world.base_url}Organization/org2"
    assert entries["outcome"]["resource"]["resourceType"] == "OperationOutcome"
    assert entries["outcome"]["resource"]["issue"][0]["severity"] == "warning"


@pytest.mark.parametrize(
    ("question", "pairs"),
    [
        ("Patient?family=mü&gender=female", [("family", "mü"), ("gender", "female")]),
        ("Patient?identifier=urn:oid:1.2.3|MRN-1", [("identifier", "urn:oid:1.2.3|MRN-1")]),
        ("Patient?birthdate=ge1971&birthdate=le1972", [("birthdate", "ge1971"), ("birthdate", "le1972")]),
        ("Patient?_sort=-birthdate&_count=10", [("_sort", "-birthdate"), ("_count", "10")]),
        ("Patient?_include=Patient:organization&_id=p1", [("_include", "Patient:organization"), ("_id", "p1")]),
        ("Patient?_nonsense=1&gender=male", [("gender", "male")]),
        ("Patient?_format=json&gender=male", [("gender", "male")]),
        ("?_type=Patient&_id=p1", [("_type", "Patient"), ("_id", "p1")]),
        ("Patient/p1/Observation?code=A", [("code", "A")]),
    ],
)
def test_the_self_link_tells_what_was_processed(
    world: httpx.Client, question: str, pairs: list[tuple[str, str]]
) -> None:
    link = _links(_bundle(world, question))["self"]
    assert _asked(link) == pairs
    path = question.partition("?")[0]
    assert urlsplit(link).path == f"/fhir/{path}".removesuffix("/")
    assert _ids(_bundle(world, link)) == _ids(_bundle(world, question))


def test_lenient_handling_leaves_what_it_passed_over_out_of_the_self_link(world: httpx.Client) -> None:
    bundle = _bundle(world, "Patient?gender=male&nonsense=1", headers={"Prefer": "handling=lenient"})
    assert _asked(_links(bundle)["self"]) == [("gender", "male")]
    assert len(_ids(bundle)) == 1
    assert len([each for each in bundle["entry"] if each["search"]["mode"] == "outcome"]) == 1


def test_a_page_link_holds_no_value_that_was_asked_for(world: httpx.Client) -> None:
    first = _bundle(world, "Patient?birthdate=ge1971&_count=1")
    address = _links(first)["next"]
    assert "1971" not in address
    second = _bundle(world, address)
    assert _links(second)["self"] == address
    assert {*_ids(first)}.isdisjoint(_ids(second))


def test_the_last_page_has_no_next_link(world: httpx.Client) -> None:
    assert "next" not in _links(_bundle(world, "Patient?_count=4"))
    assert "next" in _links(_bundle(world, "Patient?_count=3"))
    assert "next" not in _links(_bundle(world, "Patient?_count=0"))


@pytest.mark.parametrize(
    "wish", ["handling=strict", "return=minimal, handling=strict", "respond-async; handling=strict"]
)
def test_strict_handling_passes_over_nothing(world: httpx.Client, wish: str) -> None:
    assert world.get("Patient?_nonsense=1", headers={"Prefer": wish}).status_code == 400
    assert world.get("Patient?nonsense=1", headers={"Prefer": wish}).status_code == 400
    assert world.get("Patient?gender=male", headers={"Prefer": wish}).status_code == 200


@pytest.mark.parametrize(
    "question",
    ["Patient?birthdate=junk", "Observation?subject.nonsense=1", "Patient?_has:Observation:patient:nonsense=1",
     "Patient?_filter=nonsense eq 1", "Patient?family:nonsense=x", "Patient?active:missing=maybe"],
)  # fmt: skip
def test_lenient_handling_never_widens_what_was_asked_for(world: httpx.Client, question: str) -> None:
    assert world.get(question, headers={"Prefer": "handling=lenient"}).status_code == 400


@pytest.mark.parametrize(
    ("question", "shown", "hidden"),
    [
        ("_summary=true", {"name", "birthDate", "identifier"}, {"text", "maritalStatus", "communication"}),
        ("_summary=text", {"text", "meta"}, {"name", "birthDate"}),
        ("_summary=data", {"name", "maritalStatus"}, {"text"}),
        ("_summary=false", {"name", "text", "maritalStatus"}, set()),
        ("_elements=gender,birthDate", {"gender", "birthDate", "meta"}, {"name", "text"}),
        ("_elements=Patient.gender", {"gender"}, {"name"}),
        ("_elements=name.family", {"name"}, {"gender"}),
    ],
)
def test_a_search_shows_as_much_as_was_asked_for(
    world: httpx.Client, question: str, shown: set[str], hidden: set[str]
) -> None:
    (entry,) = _bundle(world, f"Patient?_id=p1&{question}")["entry"]
    resource = entry["resource"]
    assert shown <= resource.keys()
    assert hidden.isdisjoint(resource)
    subsetted = "SUBSETTED" in [tag["code"] for tag in resource["meta"].get("tag", ())]
    assert subsetted == (question != "_summary=false")


@pytest.mark.parametrize("question", ["_summary=count", "_count=0", "_summary=count&_include=Patient:organization"])
def test_a_count_has_a_total_and_no_entry(world: httpx.Client, question: str) -> None:
    bundle = _bundle(world, f"Patient?{question}")
    assert bundle["total"] == 4
    assert "entry" not in bundle


# --- GET and POST -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "form", "answer"),
    [
        ("Patient/_search", {"family": "mül"}, "p1"),
        ("Patient/_search", {"identifier": "urn:oid:1.2.3|a\\,b\\|c\\$d\\\\e"}, "p3"),
        ("Patient/_search?gender=female", {"birthdate": "1971"}, "p1"),
        ("Patient/_search?gender=male", {"gender": "female"}, ""),
        ("Patient/_search", {"family:exact": "O'Brien"}, "p3"),
        ("Patient/_search", {"_has:Observation:patient:code": "A"}, "p1"),
        ("Patient/_search?_id=p1,p2", {}, "p1 p2"),
        ("_search", {"_type": "Patient,Organization", "_id": "p1,org1"}, "p1 org1"),
        ("Patient/p1/Observation/_search", {"code": "A"}, "t-1 t-3"),
    ],
)
def test_a_form_asks_as_an_address_does(world: httpx.Client, address: str, form: dict[str, str], answer: str) -> None:
    found = world.post(address, data=form, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert found.status_code == 200, found.text
    assert sorted(_ids(found.json())) == sorted(answer.split())


def test_a_repeated_field_of_a_form_holds_each_time(world: httpx.Client) -> None:
    found = world.post("Patient/_search", data={"birthdate": ["ge1971-03", "lt1971-04"], "gender": ["male", "female"]})
    assert found.status_code == 200
    assert _ids(found.json()) == []
    assert _asked(_links(found.json())["self"])[0] == ("birthdate", "ge1971-03")


def test_a_search_has_a_head_and_refuses_a_body_that_is_no_form(world: httpx.Client) -> None:
    head = world.head("Patient?gender=female")
    assert (head.status_code, head.content) == (200, b"")
    wrong = world.post("Patient/_search", content=b"{}", headers={"Content-Type": "application/json"})
    assert wrong.status_code == 415


# --- what changes -------------------------------------------------------------------------------------------------


def test_a_search_is_about_the_current_version(world: httpx.Client) -> None:
    changing = {
        "resourceType": "Patient", "id": "changing", "gender": "unknown", "birthDate": "2001-01-01",
        "name": [{"family": "Before", "given": ["Zed"]}], "identifier": [{"system": "urn:changes", "value": "1"}],
        "telecom": [{"system": "phone", "value": "1-1"}], "address": [{"city": "Oldtown"}],
    }  # fmt: skip
    old = ["family=before", "birthdate=2001-01-01", "identifier=urn:changes|1", "phone=1-1", "address-city=oldtown",
           "gender=unknown", "given=zed", "family:contains=efor"]  # fmt: skip
    new = ["family=after", "birthdate=2002-02-02", "identifier=urn:changes|2", "phone=2-2", "address-city=newtown",
           "gender=unknown&family:exact=After", "given:missing=true"]  # fmt: skip
    changed = changing | {
        "birthDate": "2002-02-02", "name": [{"family": "After"}], "telecom": [{"system": "phone", "value": "2-2"}],
        "identifier": [{"system": "urn:changes", "value": "2"}], "address": [{"city": "Newtown"}],
    }  # fmt: skip

    def found(questions: list[str]) -> list[bool]:
        return ["changing" in _ids(_bundle(world, f"Patient?{each}")) for each in questions]

    for _ in range(2):
        _put(world, changing)
        assert found(old) == [True] * len(old)
        assert found(new) == [False] * len(new)
        _put(world, changed)
        assert found(old) == [each == "gender=unknown" for each in old]
        assert found(new) == [True] * len(new)
    assert world.delete("Patient/changing").status_code in (200, 204)
    assert found(new) == [False] * len(new)
    assert _ids(_bundle(world, "Patient?_id=changing")) == []
    _put(world, changing)
    assert found(old) == [True] * len(old)
    assert world.delete("Patient/changing").status_code in (200, 204)


def test_what_was_deleted_is_no_end_of_a_chain_and_is_not_included(world: httpx.Client) -> None:
    _put(
        world,
        {"resourceType": "Organization", "id": "gone", "name": "Goneville"},
        {"resourceType": "Organization", "id": "child", "name": "Child", "partOf": {"reference": "Organization/gone"}},
    )
    assert _ids(_bundle(world, "Organization?partof.name=goneville")) == ["child"]
    assert _ids(_bundle(world, "Organization?_has:Organization:partof:name=child")) == ["gone"]
    assert world.delete("Organization/child").status_code in (200, 204)
    assert _ids(_bundle(world, "Organization?_has:Organization:partof:name=child")) == []
    assert _ids(_bundle(world, "Organization?partof.name=goneville")) == []
    assert _ids(_bundle(world, "Organization?_id=gone&_revinclude=Organization:partof"), "include") == []
    assert world.delete("Organization/gone").status_code in (200, 204)


def test_a_hierarchy_that_leads_in_a_circle_ends_and_one_that_was_deleted_leads_nowhere(world: httpx.Client) -> None:
    def part(id_: str, of: str) -> dict[str, Any]:
        return {"resourceType": "Location", "id": id_, "partOf": {"reference": f"Location/{of}"}}

    _put(world, part("ring-1", "ring-3"), part("ring-2", "ring-1"), part("ring-3", "ring-2"))
    ring = ["ring-1", "ring-2", "ring-3"]
    for question in ("partof:below=ring-1", "partof:above=ring-1"):
        assert sorted(_ids(_bundle(world, f"Location?{question}"))) == ring
    assert world.delete("Location/ring-2").status_code in (200, 204)
    assert _ids(_bundle(world, "Location?partof:below=ring-1")) == []
    assert _ids(_bundle(world, "Location?partof:below=ring-3")) == ["ring-1"]
    for id_ in ("ring-1", "ring-3"):
        assert world.delete(f"Location/{id_}").status_code in (200, 204)


def test_last_updated_is_compared_as_an_instant(world: httpx.Client) -> None:
    resource = world.get("Patient/p1").json()
    instant = resource["meta"]["lastUpdated"]
    for prefix, fits in {"": True, "ge": True, "le": True, "gt": False, "lt": False, "sa": False, "ne": False}.items():
        question = "Patient?" + str(httpx.QueryParams({"_id": "p1", "_lastUpdated": prefix + instant}))
        assert _ids(_bundle(world, question)) == ["p1"] * fits, prefix
    assert _ids(_bundle(world, f"Patient?_id=p1&_lastUpdated={instant[:10]}")) == ["p1"]
    assert _ids(_bundle(world, f"Patient?_id=p1&_lastUpdated={instant[:4]}")) == ["p1"]
