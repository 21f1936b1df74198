"""The RESTful API of R4 as a stranger probes it, request by request (http.html, json.html, bundle.html, fhirpatch.html).

Each line of a table is one behaviour: what is sent, and the statuses that the specification leaves open for it. The
tests of `entrypoints/web` say why things are so; these find what nobody thought of.
"""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

Json = dict[str, Any]
INVALID = {400, 422}
"""http.html#create: 400 for what does not parse or breaks basic rules, 422 for what breaks profiles and business rules."""

JSON_PATCH = {"Content-Type": "application/json-patch+json"}


def patient(**elements: Any) -> Json:
    return {"resourceType": "Patient", **elements}


def bundle(kind: str, *entries: Json) -> Json:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def entry(method: str, url: str, resource: Json | None = None, full_url: str | None = None, **request: str) -> Json:
    made: Json = {"request": {"method": method, "url": url, **request}}
    if resource is not None:
        made["resource"] = resource
    if full_url is not None:
        made["fullUrl"] = full_url
    return made


def urn() -> str:
    return f"urn:uuid:{uuid.uuid4()}"


def is_outcome(answer: httpx.Response) -> bool:
    outcome = answer.json()
    return outcome["resourceType"] == "OperationOutcome" and all("code" in issue for issue in outcome["issue"])


@pytest.fixture(scope="module")
def stored(fhir: httpx.Client) -> str:
    """The id of a patient that is only read."""
    answer = fhir.post("Patient", json=patient(name=[{"family": "A", "given": ["B"]}], birthDate="1980-02-03"))
    return str(answer.json()["id"])


@pytest.fixture
def made(fhir: httpx.Client) -> Callable[..., str]:
    """Make a resource and answer its id."""

    def make(resourceType: str = "Patient", **elements: Any) -> str:
        answer = fhir.post(resourceType, json={"resourceType": resourceType, **elements})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    return make


# --- addresses and methods ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Foo", "patient", "PATIENT", "Resource", "DomainResource", "Element", "HumanName"])
@pytest.mark.parametrize(
    ("method", "rest"), [("GET", "/1"), ("GET", ""), ("GET", "/_history"), ("DELETE", "/1"), ("GET", "/1/_history/1")]
)
def test_what_is_no_type_of_r4_is_nowhere(fhir: httpx.Client, name: str, method: str, rest: str) -> None:
    answer = fhir.request(method, name + rest)
    assert answer.status_code == 404 and is_outcome(answer)


@pytest.mark.parametrize(
    ("path", "statuses"),
    [
        ("Patient/none", {404}),
        ("Patient/a_b", {404}),
        ("Patient/a%20b", {404}),
        ("Patient/%C3%A9", {404}),
        ("Patient/" + "a" * 65, {404}),
        ("Patient/%2e%2e%2fmetadata", {404}),
        ("Patient/none/_history", {404}),
        ("Patient/none/_history/1", {404}),
        ("Patient/{id}/_history/2", {404}),
        ("Patient/{id}/_history/0", {404}),
        ("Patient/{id}/_history/01", {404}),
        ("Patient/{id}/_history/-1", {404}),
        ("Patient/{id}/_history/abc", {404}),
        ("Patient/{id}/$nothing", {404}),
        ("Patient/$nothing", {404}),
        ("$nothing", {404}),
        ("Patient/{id}", {200}),
        ("Patient/{id}/", {200}),
        ("%50atient/{id}", {200}),
        ("Patient/?_count=1", {200}),
        ("metadata/", {200}),
        ("Patient/{id}?_unheardOf=1", {200}),
        ("Patient/{id}/_history/1", {200}),
    ],
)
def test_an_address_is_found_or_not(fhir: httpx.Client, stored: str, path: str, statuses: set[int]) -> None:
    answer = fhir.get(path.format(id=stored))
    assert answer.status_code in statuses
    assert answer.status_code < 400 or is_outcome(answer)


@pytest.mark.parametrize(
    ("method", "path", "takes"),
    [
        ("PUT", "", "POST"),
        ("DELETE", "", "POST"),
        ("PATCH", "", "POST"),
        ("POST", "Patient/{id}", "PUT"),
        ("PUT", "Patient/{id}/_history/1", "GET"),
        ("DELETE", "Patient/{id}/_history", "GET"),
        ("POST", "Patient/_history", "GET"),
        ("DELETE", "_history", "GET"),
        ("PUT", "Patient/_search", "POST"),
        ("POST", "metadata", "GET"),
        ("DELETE", "metadata", "GET"),
        ("GET", "Patient/{id}/$meta-add", "POST"),
        ("TRACE", "Patient", "GET"),
    ],
)
def test_an_address_that_does_not_take_a_method_says_which_it_takes(
    fhir: httpx.Client, stored: str, method: str, path: str, takes: str
) -> None:
    answer = fhir.request(method, path.format(id=stored))
    assert answer.status_code == 405 and is_outcome(answer)
    assert takes in answer.headers["Allow"]


@pytest.mark.parametrize("path", ["Patient/{id}", "Patient/{id}/_history/1", "Patient?_count=1", "metadata"])
def test_head_has_the_headers_of_get_and_no_body(fhir: httpx.Client, stored: str, path: str) -> None:
    answer = fhir.head(path.format(id=stored))
    assert (answer.status_code, answer.text) == (200, "")
    assert int(answer.headers["Content-Length"]) > 0


# --- formats (http.html#mime-type) --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/fhir+json", 200),
        ("application/fhir+json; charset=utf-8", 200),
        ('application/fhir+json; charset="UTF-8"', 200),
        ("application/fhir+json; fhirVersion=4.0", 200),
        ("application/json", 200),
        ("application/json+fhir", 200),
        ("text/json", 200),
        ("APPLICATION/FHIR+JSON", 200),
        ("*/*", 200),
        ("application/*", 200),
        ("", 200),
        ("application/fhir+xml;q=0.9, application/fhir+json;q=0.1", 200),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", 200),
        ("application/fhir+json; fhirVersion=3.0", 406),
        ("application/fhir+json; fhirVersion=5.0", 406),
        ("application/fhir+json;q=0", 406),
        ("application/fhir+xml", 406),
        ("application/xml", 406),
        ("text/turtle", 406),
        ("image/png", 406),
    ],
)
def test_accept_chooses_the_format(fhir: httpx.Client, stored: str, accept: str, status: int) -> None:
    answer = fhir.get(f"Patient/{stored}", headers={"Accept": accept})
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/fhir+json; charset=utf-8"


def test_several_fields_of_a_name_are_one_list(fhir: httpx.Client, stored: str) -> None:
    """RFC 9110 §5.3, RFC 7240 §2."""
    accept = httpx.Headers([("Accept", "application/fhir+xml"), ("Accept", "application/fhir+json")])
    assert fhir.get(f"Patient/{stored}", headers=accept).status_code == 200
    known = httpx.Headers([("If-None-Match", 'W/"9"'), ("If-None-Match", 'W/"1"')])
    assert fhir.get(f"Patient/{stored}", headers=known).status_code == 304
    wishes = httpx.Headers([("Prefer", "handling=strict"), ("Prefer", "return=minimal")])
    assert fhir.post("Patient", json=patient(), headers=wishes).content == b""


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        *((each, 200) for each in ("json", "JSON", "text/json", "application/json", "application/fhir+json")),
        *((each, 200) for each in ("application%2Ffhir%2Bjson", "application/json%2Bfhir")),
        *((each, 406) for each in ("xml", "text/xml", "application/xml", "application/fhir%2Bxml", "ttl", "html")),
    ],
)
def test_the_format_parameter_outranks_accept(fhir: httpx.Client, stored: str, wanted: str, status: int) -> None:
    other = "application/fhir+xml" if status == 200 else "application/fhir+json"
    assert fhir.get(f"Patient/{stored}?_format={wanted}", headers={"Accept": other}).status_code == status


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/fhir+json", 201),
        ("application/fhir+json; charset=UTF-8", 201),
        ("application/fhir+json; fhirVersion=4.0", 201),
        ("application/json", 201),
        ("APPLICATION/JSON", 201),
        ("text/json", 201),
        ("application/json+fhir", 201),
        ("application/fhir+json; charset=iso-8859-1", 415),
        ("application/fhir+json; fhirVersion=5.0", 415),
        ("application/fhir+xml", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
    ],
)
def test_the_format_of_a_body_must_be_known(fhir: httpx.Client, content_type: str, status: int) -> None:
    answer = fhir.post("Patient", content=b'{"resourceType":"Patient"}', headers={"Content-Type": content_type})
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        ("gzip", gzip.compress(b'{"resourceType":"Patient"}'), 201),
        ("GZIP", gzip.compress(b'{"resourceType":"Patient"}'), 201),
        ("identity", b'{"resourceType":"Patient"}', 201),
        ("gzip", b'{"resourceType":"Patient"}', 400),
        ("gzip", gzip.compress(b'{"resourceType":"Patient"}')[:-9], 400),
        ("gzip", gzip.compress(b"[" + b" " * 70_000_000), 413),
        ("br", b"...", 415),
        ("gzip, gzip", b"...", 415),
    ],
    ids=["gzip", "in capitals", "identity", "not compressed", "cut off", "a bomb", "unknown", "twice"],
)
def test_a_body_may_be_compressed_by_gzip(fhir: httpx.Client, coding: str, body: bytes, status: int) -> None:
    answer = fhir.post("Patient", content=body, headers={"Content-Encoding": coding})
    assert answer.status_code == status
    assert status == 201 or is_outcome(answer)


def test_a_body_may_come_in_chunks_and_wait_for_the_server(fhir: httpx.Client) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'{"resourceType":'
        yield b'"Patient"}'

    assert fhir.post("Patient", content=chunks()).status_code == 201
    waiting = fhir.post("Patient", content=b'{"resourceType":"Patient"}', headers={"Expect": "100-continue"})
    assert waiting.status_code == 201


# --- what a resource may look like (json.html, datatypes.html) ----------------------------------------------------

_DIV = '"text":{"status":"generated","div":"<div xmlns=\\"http://www.w3.org/1999/xhtml\\">%s</div>"}'
_EXT = '"extension":[{"url":"http://example.org/x",%s}]'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"null",
        b'{"resourceType":"Patient"} x',
        b'{"resourceType":"Patient",}',
        b"{'resourceType':'Patient'}",
        b'{"resourceType":"Patient","active":tru}',
        b'{"resourceType":"Patient","multipleBirthInteger":02}',
        b'{"resourceType":"Patient" /*c*/}',
        b'{"resourceType":"Patient","gender":"male","gender":"female"}',
        b'{"resourceType":"Patient","name":[{"family":"a\\u0000b"}]}',
        b'{"resourceType":"Patient","name":[{"family":"\\ud800"}]}',
        b"\xff\xfe{",
    ],
)
def test_what_is_no_json_is_a_bad_request(fhir: httpx.Client, body: bytes) -> None:
    answer = fhir.post("Patient", content=body)
    assert answer.status_code == 400 and is_outcome(answer)


@pytest.mark.parametrize(
    "elements",
    [
        '"foo":1',
        '"fhir_comments":["x"]',
        '"name":[]',
        '"maritalStatus":{}',
        '"gender":""',
        '"gender":null',
        '"name":{"family":"x"}',
        '"gender":["male"]',
        '"active":"true"',
        '"gender":"man"',
        '"birthDate":1980',
        '"birthDate":"1980-13-01"',
        '"birthDate":"1980-02-30"',
        '"birthDate":"80-01-01"',
        '"birthDate":"0000"',
        '"birthDate":"1980-02-03T00:00:00Z"',
        '"deceasedDateTime":"1980-02-03T10:00:00"',
        '"deceasedDateTime":"1980-02-03T24:00:00Z"',
        '"deceasedBoolean":true,"deceasedDateTime":"1980"',
        '"deceased":true',
        '"deceasedString":"x"',
        '"multipleBirthInteger":2.5',
        '"multipleBirthInteger":2147483648',
        '"name":[{"given":["A",null]}]',
        '"name":[{"given":["A",null],"_given":[null,null]}]',
        '"name":[{"given":["A",null,null],"_given":[null,{"id":"a","extension":[{"url":"urn:x","valueCode":"b"}]}]}]',
        '"birthDate":"1980","_birthDate":{}',
        '"extension":[{"valueString":"x"}]',
        '"extension":[{"url":"http://example.org/x"}]',
        _EXT % '"valueString":"x","extension":[{"url":"a","valueString":"b"}]',
        _EXT % '"valueString":"x","valueCode":"b"',
        _EXT % '"valueDecimal":"1.0"',
        _EXT % '"valueOid":"urn:oid:1.2.x"',
        _EXT % '"valueUuid":"urn:uuid:x"',
        _EXT % '"valueTime":"25:00:00"',
        _EXT % '"valueInstant":"2020-01-01"',
        _EXT % '"valueCode":" a"',
        _EXT % '"valueUnsignedInt":-1',
        '"contained":[{"resourceType":"Organization","id":"o","name":"x"}]',
        '"contained":[{"resourceType":"Organization","name":"x"}]',
        '"contained":[{"resourceType":"Organization","id":"o","name":"x"},{"resourceType":"Organization","id":"o",'
        '"name":"y"}],"managingOrganization":{"reference":"#o"}',
        '"contained":[{"resourceType":"Organization","id":"o","name":"x","meta":{"versionId":"1"}}],'
        '"managingOrganization":{"reference":"#o"}',
        '"managingOrganization":{"reference":"Patient/1"}',
        '"managingOrganization":{"reference":"#nobody"}',
        '"identifier":[{"system":"http://a b","value":"1"}]',
        '"name":[{"family":"x","period":{"start":"2020","end":"2010"}}]',
        '"telecom":[{"value":"1"}]',
        '"telecom":[{"system":"phone","value":"1","rank":0}]',
        '"contact":[{"gender":"male"}]',
        '"link":[{"other":{"reference":"Patient/nobody"}}]',
        '"photo":[{"contentType":"image/png","data":"A$"}]',
        '"photo":[{"contentType":"image/png","data":"AAAAA"}]',
        '"photo":[{"data":"AAAA"}]',
        _DIV % "<script>x</script>",
        _DIV % '<p onclick=\\"x\\">x</p>',
        _DIV % " ",
        '"text":{"div":"<div xmlns=\\"http://www.w3.org/1999/xhtml\\">x</div>"}',
    ],
)
def test_what_breaks_a_rule_of_r4_is_refused_with_its_place(fhir: httpx.Client, elements: str) -> None:
    answer = fhir.post("Patient", content=('{"resourceType":"Patient",' + elements + "}").encode())
    assert answer.status_code in INVALID and is_outcome(answer)
    assert all(issue["expression"][0].startswith("Patient") for issue in answer.json()["issue"])


@pytest.mark.parametrize(
    "elements",
    [
        '"birthDate":"1980"',
        '"birthDate":"1980-02"',
        '"birthDate":"9999-12-31"',
        '"deceasedDateTime":"1980-02-03T10:00:00+01:00"',
        '"deceasedDateTime":"1980-02-03T10:00:00.123456Z"',
        '"multipleBirthInteger":2147483647',
        '"birthDate":"1980","_birthDate":{"id":"a"}',
        '"_birthDate":{"extension":[{"url":"http://example.org/x","valueCode":"unknown"}]}',
        '"name":[{"given":["A",null,"B"],"_given":[null,{"extension":[{"url":"urn:x","valueString":"q"}]},null]}]',
        '"name":[{"text":"a\\tb\\nc"}]',
        '"name":[{"family":"e\u0301 \u00e9 \U0001f600"}]',
        '"language":"de-CH"',
        '"photo":[{"contentType":"image/png","data":"AA AA"}]',
        _EXT % '"valueInstant":"2020-01-01T00:00:00.1+14:00"',
        _EXT % '"valueDecimal":1.00',
        _EXT % '"valueDecimal":-0.000',
        _EXT % '"valueDecimal":123456789012345678901234567890.10',
        '"contained":[{"resourceType":"Organization","id":"o","name":"x"}],"managingOrganization":{"reference":"#o"}',
        _DIV % "a <b>b</b>",
    ],
)
def test_what_r4_allows_comes_back_to_the_letter(fhir: httpx.Client, elements: str) -> None:
    answer = fhir.post("Patient", content=('{"resourceType":"Patient",' + elements + "}").encode())
    assert answer.status_code == 201, answer.text
    again = fhir.get(f"Patient/{answer.json()['id']}").text
    assert json.loads("{" + elements + "}").items() <= json.loads(again).items()
    assert elements.rpartition(":")[2].rstrip("]}") in again or "\\" in elements


# --- writes and their conditions ----------------------------------------------------------------------------------


def test_a_create_answers_with_place_version_and_date_and_its_own_id(fhir: httpx.Client) -> None:
    meta = {
        "versionId": "77",
        "lastUpdated": "2001-01-01T00:00:00Z",
        "source": "urn:mine",
        "profile": ["http://example.org/p"],
        "tag": [{"system": "urn:t", "code": "t"}],
        "security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "N"}],
    }
    answer = fhir.post("Patient", json=patient(id="mine", meta=meta))
    kept, headers = answer.json(), answer.headers
    assert answer.status_code == 201 and kept["id"] != "mine"
    assert headers["Location"].endswith(f"/fhir/Patient/{kept['id']}/_history/1")
    assert headers["ETag"] == 'W/"1"' and headers["Last-Modified"].endswith("GMT")
    assert kept["meta"]["versionId"] == "1" and kept["meta"]["lastUpdated"] > "2026"
    assert {name: kept["meta"][name] for name in ("source", "profile", "tag", "security")} == {
        name: meta[name] for name in ("source", "profile", "tag", "security")
    }


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (patient(id="{id}", gender="male"), 200),
        (patient(id="other"), 400),
        (patient(), 400),
        ({"resourceType": "Observation", "id": "{id}"}, 400),
        ({"id": "{id}"}, 400),
    ],
)
def test_an_update_is_of_the_resource_that_the_address_names(
    fhir: httpx.Client, made: Callable[..., str], body: Json, status: int
) -> None:
    id_ = made()
    answer = fhir.put(f"Patient/{id_}", json={**body, **({"id": id_} if body.get("id") == "{id}" else {})})
    assert answer.status_code == status


@pytest.mark.parametrize("id_", ["a_b", "a" * 65, "a%20b", "%C3%A9"])
def test_an_update_under_what_can_be_no_id_is_a_bad_request(fhir: httpx.Client, id_: str) -> None:
    answer = fhir.put(f"Patient/{id_}", json=patient(id=id_))
    assert answer.status_code == 400 and is_outcome(answer)


def test_a_part_of_a_resource_is_never_written_over_the_whole(fhir: httpx.Client, made: Callable[..., str]) -> None:
    """search.html#summary: the tag is there so that what is left out is not taken away by sending the rest back."""
    id_ = made(gender="male", birthDate="1980-02-03")
    part = fhir.get(f"Patient/{id_}?_elements=gender").json()
    assert "birthDate" not in part
    written = [
        fhir.put(f"Patient/{id_}", json=part),
        fhir.put(f"Patient?_id={id_}", json=part),
        fhir.post("Patient", json=part),
        fhir.post("", json=bundle("transaction", entry("PUT", f"Patient/{id_}", part))),
    ]
    assert [(answer.status_code, is_outcome(answer)) for answer in written] == [(422, True)] * 4
    (each,) = fhir.post("", json=bundle("batch", entry("PUT", f"Patient/{id_}", part))).json()["entry"]
    assert each["response"]["status"].startswith("422")
    assert fhir.get(f"Patient/{id_}").json()["birthDate"] == "1980-02-03"


@pytest.mark.parametrize(
    ("condition", "here", "nowhere"),
    [
        ({"If-Match": 'W/"1"'}, 200, 412),
        ({"If-Match": '"1"'}, 200, 412),
        ({"If-Match": 'W/"2"'}, 412, 412),
        ({"If-Match": 'W/"abc"'}, 412, 412),
        ({"If-Match": "*"}, 200, 412),
        ({"If-Match": "1"}, 400, 400),
        ({"If-None-Match": "*"}, 412, 201),
        ({"If-None-Match": 'W/"1"'}, 400, 400),
        ({"If-None-Match": "*", "If-Match": 'W/"1"'}, 400, 400),
    ],
)
def test_the_condition_of_an_update_holds_or_nothing_is_stored(
    fhir: httpx.Client, made: Callable[..., str], condition: dict[str, str], here: int, nowhere: int
) -> None:
    """RFC 9110 §13.1: a condition that is passed over would overwrite what somebody else wrote."""
    old, new = made(), uuid.uuid4().hex
    assert fhir.put(f"Patient/{old}", json=patient(id=old, active=True), headers=condition).status_code == here
    assert ("active" in fhir.get(f"Patient/{old}").json()) == (here == 200)
    assert fhir.put(f"Patient/{new}", json=patient(id=new), headers=condition).status_code == nowhere
    assert (fhir.get(f"Patient/{new}").status_code == 200) == (nowhere == 201)


@pytest.mark.parametrize(
    ("condition", "status"), [('W/"1"', 200), ('W/"9"', 412), ("*", 200), ("nonsense", 400), ('"abc"', 412)]
)
def test_the_condition_of_a_patch_and_of_a_delete(
    fhir: httpx.Client, made: Callable[..., str], condition: str, status: int
) -> None:
    id_, headers = made(active=True), {"If-Match": condition}
    change = [{"op": "replace", "path": "/active", "value": True}]
    assert fhir.patch(f"Patient/{id_}", json=change, headers=JSON_PATCH | headers).status_code == status
    assert fhir.delete(f"Patient/{id_}", headers=headers).status_code == (204 if status == 200 else status)
    assert fhir.delete(f"Patient/{uuid.uuid4()}", headers=headers).status_code == (412 if status == 200 else status)


def test_the_condition_of_a_delete_by_criteria_is_about_what_they_find(
    fhir: httpx.Client, made: Callable[..., str]
) -> None:
    """Passed over, it would take away what somebody else has written since."""
    id_ = made()
    stale = {"If-Match": 'W/"7"'}
    assert fhir.delete(f"Patient?_id={id_}", headers=stale).status_code == 412
    for kind, status in (("batch", 200), ("transaction", 412)):
        answer = fhir.post("", json=bundle(kind, entry("DELETE", f"Patient?_id={id_}", ifMatch='W/"7"')))
        assert answer.status_code == status
        assert status == 412 or answer.json()["entry"][0]["response"]["status"].startswith("412")
    assert fhir.get(f"Patient/{id_}").status_code == 200
    assert fhir.delete(f"Patient?_id={id_}", headers={"If-Match": 'W/"1"'}).status_code == 204


def test_what_may_only_be_done_to_nothing_is_not_done_to_what_is_there(
    fhir: httpx.Client, made: Callable[..., str]
) -> None:
    """RFC 9110 §13.1.2: `If-None-Match: *` is false where there is something, whatever the method."""
    id_, new = made(), {"If-None-Match": "*"}
    change = [{"op": "add", "path": "/active", "value": True}]
    for path in (f"Patient/{id_}", f"Patient?_id={id_}"):
        assert fhir.put(path, json=patient(id=id_, active=True), headers=new).status_code == 412
        assert fhir.patch(path, json=change, headers=JSON_PATCH | new).status_code == 412
        assert fhir.delete(path, headers=new).status_code == 412
        for kind in ("batch", "transaction"):
            for method, body in (("PUT", patient(id=id_, active=True)), ("DELETE", None)):
                answer = fhir.post("", json=bundle(kind, entry(method, path, body, ifNoneMatch="*")))
                entries = answer.json().get("entry", ())
                assert [answer.status_code, *(each["response"]["status"][:3] for each in entries)][-1] in (412, "412")
    assert fhir.get(f"Patient/{id_}").headers["ETag"] == 'W/"1"'
    assert fhir.delete(f"Patient/{uuid.uuid4()}", headers=new).status_code == 204


def test_of_what_was_deleted_the_deletion_is_gone_and_the_versions_before_stay(
    fhir: httpx.Client, made: Callable[..., str]
) -> None:
    id_ = made()
    assert fhir.delete(f"Patient/{id_}").status_code == 204
    assert [fhir.get(f"Patient/{id_}{rest}").status_code for rest in ("", "/_history/1", "/_history/2")] == [
        410,
        200,
        410,
    ]
    assert fhir.delete(f"Patient/{id_}").status_code == 204
    patched = fhir.patch(f"Patient/{id_}", json=[], headers=JSON_PATCH)
    assert patched.status_code == 410 and patched.json()["issue"][0]["code"] == "deleted"
    again = fhir.put(f"Patient/{id_}", json=patient(id=id_))
    assert (again.status_code, again.headers["ETag"]) == (201, 'W/"3"')
    history = fhir.get(f"Patient/{id_}/_history").json()
    assert [each["request"]["method"] for each in history["entry"]] == ["PUT", "DELETE", "POST"]
    assert ["resource" in each for each in history["entry"]] == [True, False, True]


@pytest.mark.parametrize(
    "condition", ["", "foo=bar", "_count=1", "_sort=name", "identifier={s}|1&foo=1", "identifier", "name="]
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_condition_that_is_none_writes_nothing(fhir: httpx.Client, method: str, condition: str) -> None:
    asked = condition.format(s=f"urn:x:{uuid.uuid4()}")
    path, headers = (f"Patient?{asked}" if method != "POST" else "Patient"), {}
    if method == "POST":
        headers["If-None-Exist"] = asked
    if method == "PATCH":
        headers |= JSON_PATCH
    body = {"POST": patient(), "PUT": patient(), "PATCH": [], "DELETE": None}[method]
    answer = fhir.request(method, path, json=body, headers=headers) if method != "DELETE" else fhir.delete(path)
    assert answer.status_code == 400 and is_outcome(answer)


# --- patches ------------------------------------------------------------------------------------------------------

_BEFORE = {"name": [{"family": "F", "given": ["A", "B"]}], "active": True, "birthDate": "1980-01-01"}


@pytest.mark.parametrize(
    ("operations", "path", "after"),
    [
        ([{"op": "add", "path": "/gender", "value": "male"}], ("gender",), "male"),
        ([{"op": "add", "path": "/name/0/given/-", "value": "C"}], ("name", 0, "given"), ["A", "B", "C"]),
        ([{"op": "add", "path": "/name/0/given/0", "value": "C"}], ("name", 0, "given"), ["C", "A", "B"]),
        ([{"op": "remove", "path": "/birthDate"}], ("birthDate",), None),
        ([{"op": "remove", "path": "/name/0"}], ("name",), None),
        ([{"op": "replace", "path": "/name/0/family", "value": "G"}], ("name", 0, "family"), "G"),
        ([{"op": "copy", "from": "/name/0/given/0", "path": "/name/0/given/-"}], ("name", 0, "given"), ["A", "B", "A"]),
        ([{"op": "move", "from": "/name/0/given/0", "path": "/name/0/given/1"}], ("name", 0, "given"), ["B", "A"]),
        (
            [{"op": "test", "path": "/active", "value": True}, {"op": "replace", "path": "/active", "value": False}],
            ("active",),
            False,
        ),
        ([], ("active",), True),
    ],
)
def test_a_json_patch_does_what_rfc_6902_says(
    fhir: httpx.Client, made: Callable[..., str], operations: Any, path: tuple[str | int, ...], after: Any
) -> None:
    answer = fhir.patch(f"Patient/{made(**_BEFORE)}", json=operations, headers=JSON_PATCH)
    assert answer.status_code == 200, answer.text
    found: Any = answer.json()
    for step in path:
        found = found.get(step) if isinstance(step, str) else found[step]
    assert found == after


@pytest.mark.parametrize(
    "operations",
    [
        [{"op": "test", "path": "/active", "value": False}],
        [{"op": "add", "path": "/gender", "value": "male"}, {"op": "test", "path": "/active", "value": False}],
        [{"op": "remove", "path": "/gender"}],
        [{"op": "replace", "path": "/gender", "value": "male"}],
        [{"op": "add", "path": "/telecom/-", "value": {"system": "phone", "value": "1"}}],
        [{"op": "add", "path": "/name/0/given/9", "value": "C"}],
        [{"op": "foo", "path": "/active"}],
        [{"op": "add", "value": 1}],
        [{"op": "add", "path": "/gender"}],
        [{"op": "add", "path": "gender", "value": "male"}],
        {"op": "add", "path": "/gender", "value": "male"},
        [{"op": "replace", "path": "/id", "value": "x"}],
        [{"op": "replace", "path": "/resourceType", "value": "Group"}],
        [{"op": "replace", "path": "/active", "value": "x"}],
        [{"op": "add", "path": "/foo", "value": "x"}],
        "no patch",
    ],
)
def test_a_json_patch_that_does_not_apply_changes_nothing(
    fhir: httpx.Client, made: Callable[..., str], operations: Any
) -> None:
    id_ = made(**_BEFORE)
    answer = fhir.patch(f"Patient/{id_}", json=operations, headers=JSON_PATCH)
    assert answer.status_code in INVALID and is_outcome(answer)
    assert fhir.get(f"Patient/{id_}").headers["ETag"] == 'W/"1"'


def operation(**parts: Any) -> Json:
    """An operation of a FHIRPath Patch, its parts by name."""
    kinds = {str: "valueString", int: "valueInteger"}
    listed = [{"name": "type", "valueCode": parts.pop("type")}]
    listed += [{"name": n, **(v if isinstance(v, dict) else {kinds[type(v)]: v})} for n, v in parts.items()]
    return {"name": "operation", "part": listed}


_GIVEN = "Patient.name[0].given"


@pytest.mark.parametrize(
    ("change", "status", "name", "after"),
    [
        (operation(type="add", path="Patient", name="gender", value={"valueCode": "male"}), 200, "gender", "male"),
        (
            operation(type="add", path="Patient", name="deceased", value={"valueBoolean": True}),
            200,
            "deceasedBoolean",
            True,
        ),
        (operation(type="replace", path="Patient.birthDate", value={"valueDate": "1990"}), 200, "birthDate", "1990"),
        (operation(type="delete", path="Patient.birthDate"), 200, "birthDate", None),
        (operation(type="delete", path="Patient.gender"), 200, "gender", None),
        (
            operation(type="add", path="Patient.name[0]", name="given", value={"valueString": "C"}),
            200,
            "given",
            ["A", "B", "C"],
        ),
        (operation(type="delete", path=_GIVEN + ".where($this='A')"), 200, "given", ["B"]),
        (operation(type="insert", path=_GIVEN, value={"valueString": "C"}, index=1), 200, "given", ["A", "C", "B"]),
        (operation(type="move", path=_GIVEN, source=0, destination=1), 200, "given", ["B", "A"]),
        (operation(type="delete", path="Patient.name.given"), 422, None, None),
        (operation(type="replace", path="Patient.gender", value={"valueCode": "male"}), 422, None, None),
        (operation(type="add", path="Patient", name="birthDate", value={"valueDate": "1990"}), 422, None, None),
        (operation(type="insert", path=_GIVEN, value={"valueString": "C"}, index=9), 422, None, None),
        (operation(type="move", path=_GIVEN, source=0, destination=7), 422, None, None),
        (operation(type="add", path="Patient", name="foo", value={"valueString": "x"}), 422, None, None),
        (operation(type="replace", path="Patient.id", value={"valueId": "x"}), 422, None, None),
        (operation(type="foo", path="Patient"), 400, None, None),
        (operation(type="replace", path="Patient.((", value={"valueString": "x"}), 400, None, None),
        (operation(type="add", path="Patient", name="gender"), 400, None, None),
        ({"name": "other"}, 400, None, None),
    ],
)
def test_a_fhirpath_patch_does_what_the_page_says(
    fhir: httpx.Client, made: Callable[..., str], change: Json, status: int, name: str | None, after: Any
) -> None:
    body = {"resourceType": "Parameters", "parameter": [change]}
    answer = fhir.patch(f"Patient/{made(**_BEFORE)}", json=body)
    assert answer.status_code == status, answer.text
    if name is not None:
        changed = answer.json()
        assert (changed["name"][0] if name == "given" else changed).get(name) == after


@pytest.mark.parametrize("content_type", ["application/merge-patch+json", "application/xml-patch+xml", "text/plain"])
def test_a_patch_of_another_format_is_415(fhir: httpx.Client, stored: str, content_type: str) -> None:
    answer = fhir.patch(f"Patient/{stored}", content=b"{}", headers={"Content-Type": content_type})
    assert answer.status_code == 415 and is_outcome(answer)
    assert answer.headers["accept-patch"] == "application/json-patch+json, application/fhir+json"  # RFC 5789 §2.2


@pytest.mark.parametrize("path", ["gender", "$.gender", "name/0"])
def test_a_json_patch_whose_path_is_no_pointer_is_a_bad_request(fhir: httpx.Client, stored: str, path: str) -> None:
    """RFC 5789 §2.2: 400 for a patch that is malformed, 422 for one that cannot be applied; RFC 6901 §3: `/` begins."""
    operations = [{"op": "add", "path": path, "value": "male"}]
    assert fhir.patch(f"Patient/{stored}", json=operations, headers=JSON_PATCH).status_code == 400


# --- batch and transaction ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (entry("POST", "Patient", patient()), 201),
        (entry("GET", "Patient/{id}"), 200),
        (entry("GET", "/Patient/{id}"), 200),
        (entry("HEAD", "Patient/{id}"), 200),
        (entry("GET", "Patient/{id}", ifNoneMatch='W/"1"'), 304),
        (entry("GET", "Patient/{id}", ifNoneMatch="*"), 304),
        (entry("GET", "Patient/{id}/_history/1"), 200),
        (entry("GET", "Patient/{id}/_history/7"), 404),
        (entry("GET", "Patient/{id}/_history"), 200),
        (entry("GET", "Patient?_id={id}"), 200),
        (entry("GET", "Patient/{id}", ifModifiedSince="2020-01-01T00:00:00Z"), 200),
        (entry("GET", "Patient/{id}", ifModifiedSince="2999-01-01T00:00:00.000+14:00"), 304),
        (entry("GET", "Patient/{id}", ifModifiedSince="yesterday"), 200),
        (entry("GET", "metadata"), 200),
        (entry("GET", "?_type=Patient&_id={id}"), 200),
        (entry("POST", "_search?_type=Patient&_id={id}"), 200),
        (entry("POST", "Patient/_search?_id={id}"), 200),
        (entry("GET", "Patient/none"), 404),
        (entry("GET", "Foo/1"), 404),
        (entry("GET", "Patient?foo=bar"), 400),
        (entry("DELETE", "Patient/none"), 204),
        (entry("DELETE", "Patient"), 400),
        (entry("PUT", "Patient/x", patient()), 400),
        (entry("PUT", "Patient/{id}", patient(id="{id}"), ifMatch='W/"9"'), 412),
        (entry("PUT", "Patient/{id}", patient(id="{id}"), ifMatch="*"), 200),
        (entry("PUT", "Patient/{id}", patient(id="{id}"), ifNoneMatch="*"), 412),
        (entry("POST", "Patient"), 400),
        (entry("POST", "Patient", {"resourceType": "Group"}), 400),
        (entry("POST", "Patient", patient(gender="x")), 400),
        (entry("POST", "Patient/{id}", patient()), 400),
        (entry("POST", "", bundle("batch")), 400),
        (entry("FOO", "Patient"), 400),
        (entry("get", "Patient"), 400),
        ({"resource": patient()}, 400),
        ({"request": {"method": "GET"}}, 400),
    ],
)
def test_an_entry_of_a_batch_is_answered_as_its_request_is(
    fhir: httpx.Client, made: Callable[..., str], asked: Json, status: int
) -> None:
    id_ = made()
    asked = json.loads(json.dumps(asked).replace("{id}", id_))
    answer = fhir.post("", json=bundle("batch", asked, entry("GET", f"Patient/{id_}")))
    assert answer.status_code == 200 and answer.json()["type"] == "batch-response"
    first, second = answer.json()["entry"]
    assert first["response"]["status"][:3] == str(status)
    assert status < 400 or first["response"]["outcome"]["resourceType"] == "OperationOutcome"
    assert second["response"]["status"][:3] == "200"


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_a_resource_in_an_answer_has_its_full_url(fhir: httpx.Client, made: Callable[..., str], kind: str) -> None:
    """bundle.html#bundle-unique: Bundle.entry.fullUrl is that of the resource, without a version; what has none, such
    as the searchset that a search answers, has no fullUrl."""
    id_ = made()
    asked = bundle(
        kind,
        entry("PUT", f"Patient/{id_}", patient(id=id_, active=True)),
        entry("POST", "Patient", patient()),
        entry("GET", f"Patient/{id_}"),
        entry("GET", f"Patient/{id_}/_history/1"),
        entry("GET", f"Patient?_id={id_}"),
        entry("GET", "Patient/none"),
    )
    answer = fhir.post("", json=asked, headers={"Prefer": "return=representation"}).json()
    assert len(answer["entry"]) == 6
    for each in answer["entry"]:
        shown = each.get("resource", {})
        place = f"{fhir.base_url}{shown['resourceType']}/{shown['id']}" if "id" in shown else None
        assert each.get("fullUrl") == place


A, B = "urn:uuid:00000000-0000-4000-8000-00000000000a", "urn:oid:1.2.36.1"


def observation(subject: str, **elements: Any) -> Json:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": subject},
        **elements,
    }


@pytest.mark.parametrize(
    "entries",
    [
        [entry("POST", "Observation", observation(A)), entry("POST", "Patient", patient(), A)],
        [entry("POST", "Observation", observation(B)), entry("POST", "Patient", patient(), B)],
        [
            entry("POST", "Observation", observation("Patient/77"), "http://example.org/fhir/Observation/1"),
            entry("POST", "Patient", patient(id="77"), "http://example.org/fhir/Patient/77"),
        ],
        [
            entry("POST", "Observation", observation("http://example.org/fhir/Patient/77")),
            entry("POST", "Patient", patient(id="77"), "http://example.org/fhir/Patient/77"),
        ],
        [
            entry("POST", "Observation", observation("Patient?identifier={s}|1")),
            entry("POST", "Patient", patient(identifier=[{"system": "{s}", "value": "1"}])),
        ],
        [
            entry("POST", "Observation", observation(A)),
            entry("PUT", "Patient?identifier={s}|1", patient(identifier=[{"system": "{s}", "value": "1"}]), A),
        ],
        [
            entry("POST", "Observation", observation(A)),
            entry(
                "POST",
                "Patient",
                patient(identifier=[{"system": "{s}", "value": "1"}]),
                A,
                ifNoneExist="identifier={s}|1",
            ),
        ],
    ],
    ids=["uuid", "oid", "relative", "absolute", "conditional", "conditional update", "conditional create"],
)
def test_references_of_a_transaction_lead_to_what_its_entries_become(fhir: httpx.Client, entries: list[Json]) -> None:
    body = json.loads(json.dumps(bundle("transaction", *entries)).replace("{s}", f"urn:x:{uuid.uuid4()}"))
    answer = fhir.post("", json=body, headers={"Prefer": "return=representation"})
    assert answer.status_code == 200, answer.text
    one, other = (each["resource"] for each in answer.json()["entry"])
    assert one["subject"]["reference"] == f"Patient/{other['id']}"
    for each in answer.json()["entry"]:
        assert {"status", "location", "etag", "lastModified"} <= each["response"].keys()


@pytest.mark.parametrize(
    ("entries", "statuses"),
    [
        ([entry("POST", "Observation", observation(A))], {400, 404, 422}),
        ([entry("POST", "Observation", observation("Patient?identifier=urn:nobody|1"))], {400, 404, 412, 422}),
        ([entry("POST", "Observation", observation("Nothing?identifier=urn:nobody|1"))], {400}),
        ([entry("POST", "Patient", patient(), A), entry("POST", "Patient", patient(), A)], INVALID),
        ([entry("PUT", "Patient/{id}", patient(id="{id}")), entry("DELETE", "Patient/{id}")], INVALID),
        ([entry("PUT", "Patient/{id}", patient(id="{id}")), entry("PUT", "Patient/{id}", patient(id="{id}"))], INVALID),
        ([entry("PUT", "Patient/{id}", patient(id="{id}"), ifMatch='W/"9"')], {412}),
        ([entry("PUT", "Patient/{id}", patient(id="{id}"), ifNoneMatch="*")], {412}),
        ([entry("PUT", "Patient/{id}", patient(id="x"))], {400}),
        ([entry("POST", "Foo", {"resourceType": "Foo"})], {400, 404}),
        ([entry("PATCH", "Patient/{id}", patient())], INVALID),
        ([{"resource": patient()}], INVALID),
        ([entry("POST", "Patient/{id}/$meta-add", {"resourceType": "Parameters"})], INVALID),
    ],
)
def test_a_transaction_that_fails_stores_nothing_of_it(
    fhir: httpx.Client, made: Callable[..., str], entries: list[Json], statuses: set[int]
) -> None:
    id_, system = made(), f"urn:x:{uuid.uuid4()}"
    good = entry("POST", "Patient", patient(identifier=[{"system": system, "value": "1"}]))
    body = json.loads(json.dumps(bundle("transaction", good, *entries)).replace("{id}", id_))
    answer = fhir.post("", json=body)
    assert answer.status_code in statuses and is_outcome(answer)
    assert fhir.get("Patient", params={"identifier": f"{system}|1"}).json()["total"] == 0
    assert fhir.get(f"Patient/{id_}").headers["ETag"] == 'W/"1"'


def test_a_transaction_deletes_before_it_looks_for_what_exists(fhir: httpx.Client, made: Callable[..., str]) -> None:
    """http.html#trules: first DELETE, then POST, whatever the order of the entries."""
    system = f"urn:x:{uuid.uuid4()}"
    mine = patient(identifier=[{"system": system, "value": "1"}])
    old, condition = made(identifier=mine["identifier"]), f"identifier={system}|1"
    answer = fhir.post(
        "",
        json=bundle(
            "transaction",
            entry("GET", f"Patient?{condition}"),
            entry("POST", "Patient", mine, ifNoneExist=condition),
            entry("DELETE", f"Patient/{old}"),
        ),
    )
    found, created, deleted = answer.json()["entry"]
    assert [each["response"]["status"][:3] for each in (created, deleted)] == ["201", "204"]
    (only,) = found["resource"]["entry"]
    assert only["resource"]["id"] in created["response"]["location"]


def test_two_entries_of_a_transaction_may_not_create_by_the_same_condition_of_an_update(fhir: httpx.Client) -> None:
    system = f"urn:x:{uuid.uuid4()}"
    mine = patient(identifier=[{"system": system, "value": "1"}])
    twice = [entry("PUT", f"Patient?identifier={system}|1", mine) for _ in range(2)]
    assert fhir.post("", json=bundle("transaction", *twice)).status_code in INVALID
    assert fhir.get("Patient", params={"identifier": f"{system}|"}).json()["total"] == 0


def test_what_only_answers_may_be_posted_in_a_transaction_and_sees_what_it_stored(fhir: httpx.Client) -> None:
    """http.html#trules. The transaction among the examples of R4 has such an entry."""
    system = f"urn:x:{uuid.uuid4()}"
    answer = fhir.post(
        "",
        json=bundle(
            "transaction",
            entry("POST", f"Patient/_search?identifier={system}|"),
            entry("POST", "CodeSystem/$lookup", {"resourceType": "Parameters"}),
            entry("POST", "Patient/$validate", patient()),
            entry("POST", "Patient", patient(identifier=[{"system": system, "value": "1"}])),
        ),
    )
    found, looked_up, validated, stored = answer.json()["entry"]
    assert [each["response"]["status"][:3] for each in (looked_up, validated, stored)] == ["400", "200", "201"]
    assert found["resource"]["total"] == 1


def test_a_document_that_a_transaction_stores_keeps_its_own_references(fhir: httpx.Client) -> None:
    """Its urns name what is inside of it, also where an entry of the transaction has the same."""
    document = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {"fullUrl": A, "resource": {"resourceType": "Organization", "name": "x"}},
            {"fullUrl": urn(), "resource": {"resourceType": "Location", "managingOrganization": {"reference": A}}},
        ],
    }
    answer = fhir.post(
        "", json=bundle("transaction", entry("POST", "Bundle", document), entry("POST", "Patient", patient(), A))
    )
    assert answer.status_code == 200, answer.text
    kept = fhir.get(answer.json()["entry"][0]["response"]["location"]).json()
    assert kept["entry"] == document["entry"]


def test_what_is_wrong_in_a_transaction_is_told_with_its_entry(fhir: httpx.Client) -> None:
    bad = patient(gender="x", name=[{"foo": "x"}])
    answer = fhir.post(
        "", json=bundle("transaction", entry("POST", "Patient", patient()), entry("POST", "Patient", bad))
    )
    assert answer.status_code == 400
    told = [issue["expression"] for issue in answer.json()["issue"]]
    assert sorted(told) == [["Bundle.entry[1].resource.gender"], ["Bundle.entry[1].resource.name[0]"]]


@pytest.mark.parametrize(
    ("bad", "expression"),
    [
        (entry("PATCH", "Patient?identifier={s}|none", {"resourceType": "Parameters"}), None),
        (entry("PUT", "Patient?identifier={s}|1", patient()), "Bundle.entry[2]"),
        (entry("POST", "Observation", observation(A)), "Bundle.entry[2].resource.subject.reference"),
        (entry("POST", "Observation", observation("Patient?identifier={s}|none")), "Bundle.entry[2]"),
        (entry("POST", "Observation", observation("Nothing?identifier={s}|none")), "Bundle.entry[2]"),
    ],
)
def test_the_entry_that_makes_a_transaction_fail_is_told(
    fhir: httpx.Client, made: Callable[..., str], bad: Json, expression: str | None
) -> None:
    system = f"urn:x:{uuid.uuid4()}"
    for _ in range(2):
        made(identifier=[{"system": system, "value": "1"}])
    sent = bundle("transaction", *(entry("POST", "Patient", patient()) for _ in range(2)), bad)
    (issue,) = fhir.post("", json=json.loads(json.dumps(sent).replace("{s}", system))).json()["issue"]
    assert (issue.get("expression") or [None])[0] == expression
    assert expression or "Bundle.entry[2]" in issue["diagnostics"]


@pytest.mark.parametrize("kind", ["collection", "searchset", "document", "message", "history", "batch-response", "foo"])
def test_only_batches_and_transactions_are_carried_out(fhir: httpx.Client, kind: str) -> None:
    answer = fhir.post("", json=bundle(kind))
    assert answer.status_code in INVALID and is_outcome(answer)


# --- operations ---------------------------------------------------------------------------------------------------


def parameters(**values: Any) -> Json:
    return {"resourceType": "Parameters", "parameter": [{"name": name, **value} for name, value in values.items()]}


@pytest.mark.parametrize(
    ("query", "body", "status", "entries"),
    [
        ("", None, 200, 2),
        ("?_count=1", None, 200, 1),
        ("?_count=0", None, 200, 0),
        ("?_count=-1", None, 400, None),
        ("?_count=x", None, 400, None),
        ("?_type=Observation", None, 200, 1),
        ("?_type=Patient,Observation", None, 200, 2),
        ("?_type=Foo", None, 400, None),
        ("?_since=2000-01-01T00:00:00Z", None, 200, 2),
        ("?_since=2999-01-01T00:00:00Z", None, 200, 0),
        ("?_since=x", None, 400, None),
        ("?start=2020-03", None, 200, 2),
        ("?start=2020-03-06", None, 200, 1),
        ("?end=2020-03-05", None, 200, 2),
        ("?end=2020-02", None, 200, 1),
        ("?start=2020&end=2020", None, 200, 2),
        ("?start=2021&end=2022", None, 200, 1),
        ("?start=x", None, 400, None),
        ("?foo=1", None, 400, None),
        ("", "", 200, 2),
        ("", parameters(start={"valueDate": "2021"}), 200, 1),
        ("", parameters(_count={"valueInteger": 1}), 200, 1),
        ("", parameters(_type={"valueCode": "Observation"}), 200, 1),
        ("", parameters(_since={"valueInstant": "2999-01-01T00:00:00Z"}), 200, 0),
        ("", parameters(foo={"valueInteger": 1}), 400, None),
        ("", {"resourceType": "Parameters", "parameter": ["x"]}, 400, None),
        ("", {"resourceType": "Parameters", "parameter": "x"}, 400, None),
        ("", patient(), 400, None),
        ("", "{", 400, None),
    ],
)
def test_everything_takes_its_parameters_from_the_url_or_a_body(
    fhir: httpx.Client, made: Callable[..., str], query: str, body: Any, status: int, entries: int | None
) -> None:
    id_ = made()
    made(**observation(f"Patient/{id_}", effectiveDateTime="2020-03-05"))
    content = body if body is None or isinstance(body, str) else json.dumps(body)
    answer = fhir.request("GET" if body is None else "POST", f"Patient/{id_}/$everything{query}", content=content)
    assert answer.status_code == status, answer.text
    assert is_outcome(answer) if entries is None else len(answer.json().get("entry", ())) == entries


# --- search by POST and browsers ----------------------------------------------------------------------------------

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("query", "form", "headers", "found"),
    [
        ("", "_id={id}", _FORM, 1),
        ("", "_id={id}", {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}, 1),
        ("?_id={id}", "", _FORM, 1),
        ("?_id={id}", "birthdate=1980-02-03", _FORM, 1),
        ("?_id={id}", "birthdate=1999", _FORM, 0),
        ("?_id={id}", "_id=none", _FORM, 0),
        ("?_id={id}", "", {"Content-Type": ""}, 1),
        ("?_id={id}", "", {"Content-Type": "application/fhir+json"}, 1),
        ("", '{"_id":"1"}', {"Content-Type": "application/fhir+json"}, None),
    ],
)
def test_a_search_by_post_takes_the_url_and_the_form_together(
    fhir: httpx.Client, stored: str, query: str, form: str, headers: dict[str, str], found: int | None
) -> None:
    path = "Patient/_search" + query.replace("{id}", stored)
    answer = fhir.post(path, content=form.replace("{id}", stored), headers=headers)
    assert (answer.status_code, answer.json().get("total")) == ((200, found) if found is not None else (415, None))


def test_the_format_of_a_search_by_post_may_stand_in_its_form(fhir: httpx.Client) -> None:
    """http.html#parameters: a client that can set no header asks for it there."""
    for wanted, status in (("json", 200), ("application/fhir+json", 200), ("xml", 406)):
        answer = fhir.post("Patient/_search", data={"_format": wanted, "_count": "1"}, headers=_FORM)
        assert answer.status_code == status


def test_a_page_of_another_origin_may_ask_and_read_the_answer(fhir: httpx.Client, stored: str) -> None:
    """security.html#cors. The browser asks first, without a credential."""
    page = {"Origin": "https://app.example.org"}
    asking = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization,if-match"}
    allowed = httpx.options(str(fhir.base_url.join(f"Patient/{stored}")), headers=page | asking)
    assert allowed.status_code == 204 and allowed.headers["Access-Control-Allow-Origin"] == "*"
    assert "PUT" in allowed.headers["Access-Control-Allow-Methods"]
    assert {"Authorization", "If-Match"} <= set(allowed.headers["Access-Control-Allow-Headers"].split(", "))
    for path, status in ((f"Patient/{stored}", 200), ("Patient/none", 404), ("metadata", 200)):
        answer = fhir.get(path, headers=page)
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (status, "*")
        assert {"ETag", "Location"} <= set(answer.headers["Access-Control-Expose-Headers"].split(", "))
    assert "Access-Control-Allow-Credentials" not in fhir.get(f"Patient/{stored}", headers=page).headers
    assert "Access-Control-Allow-Origin" not in fhir.get(f"Patient/{stored}").headers
    assert fhir.get("metadata").json()["rest"][0]["security"]["cors"] is True


# --- the statement of what is served ------------------------------------------------------------------------------


def test_the_statement_names_what_r4_asks_of_a_server(fhir: httpx.Client) -> None:
    """capabilitystatement.html: compartments by the canonical URLs of their definitions (compartmentdefinition.html)."""
    statement = fhir.get("metadata").json()
    (rest,) = statement["rest"]
    kinds = ("device", "encounter", "patient", "practitioner", "relatedperson")
    assert rest["compartment"] == [f"http://hl7.org/fhir/CompartmentDefinition/{kind}" for kind in kinds]
    assert {"transaction", "batch", "search-system", "history-system"} <= {each["code"] for each in rest["interaction"]}
    assert (statement["kind"], statement["fhirVersion"]) == ("instance", "4.0.1")
    assert {"software", "implementation", "date", "format", "patchFormat"} <= statement.keys()
    (of_patients,) = (each for each in rest["resource"] if each["type"] == "Patient")
    told = {
        "versioning", "readHistory", "updateCreate", "conditionalCreate", "conditionalRead", "conditionalUpdate",
        "conditionalDelete", "referencePolicy", "searchInclude", "searchRevInclude", "searchParam", "operation",
    }  # fmt: skip
    assert told <= of_patients.keys()
