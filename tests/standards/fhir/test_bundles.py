"""bundle.html, http.html#transaction"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import bundles, json, references, validate
from healthsync.standards.fhir.bundles import Entry, Found, Method, Response, Version


def entry(method: str, url: str, resource: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    request = {
        "method": method,
        "url": url,
        **{key: more.pop(key) for key in ("ifNoneExist", "ifMatch") if key in more},
    }
    return {**({"resource": resource} if resource else {}), "request": request, **more}


def bundle(kind: str, *entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


PATIENT = {"resourceType": "Patient", "id": "1"}


def test_a_transaction_is_carried_out_in_the_order_of_the_standard() -> None:
    entries = bundles.transaction(
        bundle(
            "transaction",
            entry("GET", "Patient/1"),
            entry("PUT", "Patient/1", PATIENT),
            entry("POST", "Patient", PATIENT),
            entry("DELETE", "Patient/2"),
            entry("PATCH", "Patient/3", {"resourceType": "Parameters"}),
            entry("POST", "Patient", PATIENT),
        )
    )
    assert [(each.method.value, each.position) for each in entries] == [
        ("DELETE", 3), ("POST", 2), ("POST", 5), ("PUT", 1), ("PATCH", 4), ("GET", 0),
    ]  # fmt: skip


def test_a_bundle_may_be_too_long() -> None:
    listed = bundle("batch", *[entry("GET", "Patient/1")] * 3)
    assert bundles.kind(listed, most_entries=3) == "batch"
    with pytest.raises(InvalidInput) as refused:
        bundles.kind(listed, most_entries=2)
    assert refused.value.code == "too-long"


@pytest.mark.parametrize(
    ("url", "method", "writes", "is_operation"),
    [
        ("Patient/1", "GET", False, False),
        ("Patient/1/$everything", "GET", False, True),
        ("Patient/1/$meta-add", "POST", False, True),
        ("Patient/_search", "POST", False, True),
        ("Patient/1", "DELETE", True, False),
    ],
)
def test_operations_and_searches_are_told_from_what_writes(
    url: str, method: str, writes: bool, is_operation: bool
) -> None:
    read = bundles.read_entry(entry(method, url), 0)
    assert (read.writes, read.is_operation) == (writes, is_operation)


def test_a_faulty_entry_of_a_batch_disturbs_no_other() -> None:
    found = bundles.batch(
        bundle("batch", entry("POST", "Patient", PATIENT), {"resource": PATIENT}, entry("GET", "Patient/1"))
    )
    assert isinstance(found[0], Entry)
    assert isinstance(found[1], InvalidInput)
    assert found[1].expression == "Bundle.entry[1]"
    assert isinstance(found[2], Entry)


@pytest.mark.parametrize(
    ("faulty", "code"),
    [
        ({"resource": PATIENT}, "required"),
        ({"request": {"method": "GET"}}, "required"),
        (entry("FETCH", "Patient/1"), "code-invalid"),
        (entry("POST", "Patient"), "required"),
        (entry("POST", "Observation", PATIENT), "invalid"),
        (entry("POST", "Nobody", PATIENT), "not-found"),
        (entry("POST", "Patient/1", PATIENT), "invalid"),
        (entry("POST", "", PATIENT), "not-supported"),
        (entry("PATCH", "Patient/1", PATIENT), "required"),
        (entry("PATCH", "Patient/1"), "required"),
        ("no entry", "required"),
        ({"request": {"method": {}, "url": "Patient/1"}}, "code-invalid"),
        ({"request": {"method": "GET", "url": "Patient/1", "ifMatch": 3}}, "structure"),
        ({"request": {"method": "POST", "url": "Patient"}, "resource": [PATIENT]}, "structure"),
        (entry("PUT", "Patient/2", PATIENT), "invalid"),
        (entry("PUT", "Patient/1", {"resourceType": "Patient"}), "invalid"),
        (entry("PUT", "Patient", PATIENT), "invalid"),
        (entry("DELETE", "Patient"), "invalid"),
        (entry("DELETE", "?identifier=x"), "invalid"),
    ],
)
def test_an_entry_that_cannot_be_carried_out_ends_a_transaction(faulty: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        bundles.transaction(bundle("transaction", entry("GET", "Patient/9"), faulty))
    assert refused.value.code == code
    assert str(refused.value.expression).startswith("Bundle.entry[1]")


def test_two_entries_may_not_share_a_full_url_nor_change_one_resource() -> None:
    twin = entry("POST", "Patient", PATIENT, fullUrl="urn:uuid:1")
    with pytest.raises(InvalidInput):
        bundles.transaction(bundle("transaction", twin, twin))
    with pytest.raises(InvalidInput):
        bundles.refuse_overlaps(["Patient/1", "Patient/2", "Patient/1"])
    bundles.refuse_overlaps(["Patient/1", "Observation/1"])


@pytest.mark.parametrize("kind", ["collection", "searchset", None])
def test_only_batches_and_transactions_are_carried_out(kind: str | None) -> None:
    with pytest.raises(InvalidInput):
        bundles.kind({"resourceType": "Bundle", "type": kind}, most_entries=9)
    assert bundles.kind(bundle("batch"), most_entries=9) == "batch"


@pytest.mark.parametrize(
    ("url", "path", "query"),
    [
        ("Patient/1", ("Patient", "1"), []),
        ("/Patient/1/_history/2", ("Patient", "1", "_history", "2"), []),
        ("https://h/fhir/Patient/1", ("Patient", "1"), []),
        ("Patient?family=B%C3%A9%20%C3%9C&birthdate=gt1995&birthdate=lt2005", ("Patient",), [("family", "Bé Ü"), ("birthdate", "gt1995"), ("birthdate", "lt2005")]),
        ("Patient?identifier=urn:f%7Ca,urn:f%7Cc", ("Patient",), [("identifier", "urn:f|a,urn:f|c")]),
        ("Patient?identifier=urn:f%7Cd%5C,e", ("Patient",), [("identifier", r"urn:f|d\,e")]),
        ("Patient?name=", ("Patient",), [("name", "")]),
        ("ValueSet?url=http://a?b", ("ValueSet",), [("url", "http://a?b")]),
        ("metadata", ("metadata",), []),
        ("", (), []),
    ],
)  # fmt: skip
def test_a_url_in_a_bundle_means_what_it_means_outside(
    url: str, path: tuple[str, ...], query: list[tuple[str, str]]
) -> None:
    assert bundles.split_url(url) == (path, query)


@pytest.mark.parametrize("text", ["identifier=a%7Cb&x=1", "?identifier=a%7Cb&x=1", "Patient?identifier=a%7Cb&x=1"])
def test_the_query_of_a_condition_is_decoded(text: str) -> None:
    assert bundles.parse_query(text) == [("identifier", "a|b"), ("x", "1")]


def test_a_question_mark_inside_a_value_divides_nothing() -> None:
    assert bundles.parse_query("url=http://a?b&x=1") == [("url", "http://a?b"), ("x", "1")]


def test_type_id_and_condition_of_an_entry_are_seen() -> None:
    read = bundles.read_entry
    assert (read(entry("GET", "Patient/1"), 0).type, read(entry("GET", "Patient/1"), 0).id) == ("Patient", "1")
    assert read(entry("GET", "Patient/$match"), 0).id is None
    assert read(entry("PUT", "Patient?identifier=x", PATIENT), 0).condition == [("identifier", "x")]
    assert read(entry("POST", "Patient", PATIENT, ifNoneExist="identifier=x"), 0).condition == [("identifier", "x")]
    assert read(entry("POST", "Patient", PATIENT), 0).condition is None
    assert read(entry("GET", "Patient?identifier=x"), 0).condition is None
    assert read(entry("PUT", "Patient/1", PATIENT, ifMatch='W/"2"'), 0).if_match == 'W/"2"'


def test_references_between_entries_follow_the_identities_that_were_given() -> None:
    observation = {
        "resourceType": "Observation",
        "subject": {"reference": "urn:uuid:p"},
        "encounter": {"reference": "Encounter/7"},
    }
    entries = bundles.transaction(
        bundle(
            "transaction",
            entry("POST", "Patient", {"resourceType": "Patient"}, fullUrl="urn:uuid:p"),
            entry("POST", "Encounter", {"resourceType": "Encounter", "id": "7"}, fullUrl="http://h/fhir/Encounter/7"),
            entry("POST", "Observation", observation, fullUrl="urn:uuid:o"),
        )
    )
    links = bundles.link_map(entries, {0: "Patient/new", 1: "Encounter/new2"})
    rewritten = references.rewrite(observation, links)
    assert rewritten["subject"]["reference"] == "Patient/new"
    assert rewritten["encounter"]["reference"] == "Encounter/new2"
    assert bundles.unresolved(rewritten) == []
    assert bundles.unresolved(observation) == ["Observation.subject.reference"]


def test_conditional_references_are_found_with_their_criteria() -> None:
    resource = {
        "resourceType": "Observation",
        "subject": {"reference": "Patient?identifier=a%7Cb"},
        "performer": [{"reference": "Practitioner/1"}],
    }
    assert bundles.conditional_references(resource) == {
        "Patient?identifier=a%7Cb": ("Patient", [("identifier", "a|b")])
    }


def test_a_searchset_has_links_total_and_modes_and_is_itself_valid() -> None:
    answer = bundles.searchset(
        [
            Found("Patient", "1", PATIENT),
            Found("Practitioner", "2", {"resourceType": "Practitioner", "id": "2"}, "include"),
        ],
        base="http://h/fhir/",
        links={"self": "http://h/fhir/Patient?name=x", "next": "http://h/fhir/Patient?_cursor=y"},
        total=7,
        outcome={"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "not-supported"}]},
    )
    assert answer["total"] == 7
    assert answer["link"][1] == {"relation": "next", "url": "http://h/fhir/Patient?_cursor=y"}
    assert [each["search"]["mode"] for each in answer["entry"]] == ["match", "include", "outcome"]
    assert answer["entry"][0]["fullUrl"] == "http://h/fhir/Patient/1"
    assert validate.structure(answer) == []


def test_a_score_and_the_address_of_what_was_created_are_kept() -> None:
    scored = bundles.searchset([Found("Patient", "1", PATIENT, score=0.5)], base="http://h", links={})
    assert scored["entry"][0]["search"] == {"mode": "match", "score": 0.5}
    created = bundles.responses("transaction", [Response(201, PATIENT, key=("Patient", "1"))], base="http://h")
    assert created["entry"][0]["fullUrl"] == "http://h/Patient/1"
    told = bundles.responses("transaction", [Response(201, key=("Patient", "1"))], base="http://h")
    assert told["entry"][0] == {"response": {"status": "201 Created"}}


def test_an_empty_searchset_has_no_entry() -> None:
    answer = bundles.searchset([], base="http://h/fhir", links={"self": "http://h/fhir/Patient"}, total=0)
    assert "entry" not in answer
    assert validate.structure(answer) == []


def test_stored_text_goes_out_untouched() -> None:
    stored = b'{"resourceType":"Observation", "valueQuantity":{"value":72.50}}'
    answer = bundles.searchset([Found("Observation", "1", msgspec.Raw(stored))], base="http://h", links={})
    assert stored in json.dump(answer)


def test_a_history_shows_the_request_behind_each_version() -> None:
    at = "2020-01-01T00:00:00Z"
    answer = bundles.history(
        [
            Version("Patient", "1", 4, at, PATIENT, Method.PUT, begins=True),
            Version("Patient", "1", 3, at, None, Method.DELETE),
            Version("Patient", "1", 2, at, PATIENT, Method.PUT),
            Version("Patient", "1", 1, at, PATIENT, Method.POST, begins=True),
        ],
        base="http://h/fhir",
        links={"self": "http://h/fhir/Patient/1/_history"},
        total=4,
    )
    statuses = [each["response"]["status"] for each in answer["entry"]]
    assert statuses == ["201 Created", "204 No Content", "200 OK", "201 Created"]
    assert [each["request"]["url"] for each in answer["entry"]] == ["Patient/1", "Patient/1", "Patient/1", "Patient"]
    assert "resource" not in answer["entry"][1]
    assert answer["entry"][2]["response"]["etag"] == 'W/"2"'
    assert validate.structure(answer) == []


def test_a_batch_response_answers_each_entry() -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "not-found"}]}
    answer = bundles.responses(
        "batch",
        [
            Response(201, PATIENT, location="Patient/1/_history/1", etag='W/"1"', last_modified="2020-01-01T00:00:00Z"),
            Response(404, outcome=outcome),
        ],
        base="http://h/fhir",
    )
    assert answer["type"] == "batch-response"
    assert answer["entry"][0]["response"]["location"] == "Patient/1/_history/1"
    assert answer["entry"][1] == {"response": {"status": "404 Not Found", "outcome": outcome}}
    assert validate.structure(answer) == []
