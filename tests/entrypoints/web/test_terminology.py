"""The terminology operations over HTTP, as terminology-service.html and the pages of the operations say."""

from __future__ import annotations

import pytest

from healthsync.exchange.administration.rebuild_terminology import rebuild_terminology
from healthsync.exchange.surfaces import SURFACES

ANIMALS = "http://example.org/CodeSystem/animals"
GENDERS = "http://hl7.org/fhir/ValueSet/administrative-gender"
LOINC_LIKE = "http://example.org/CodeSystem/tests"

SYSTEM = {
    "resourceType": "CodeSystem",
    "id": "animals",
    "url": ANIMALS,
    "version": "1",
    "name": "Animals",
    "status": "active",
    "content": "complete",
    "caseSensitive": True,
    "property": [{"code": "legs", "type": "integer"}, {"code": "tame", "type": "boolean"}],
    "concept": [
        {
            "code": "mammal",
            "display": "Mammal",
            "concept": [
                {
                    "code": "cat",
                    "display": "Cat",
                    "definition": "A small one.",
                    "designation": [{"language": "de", "value": "Katze"}],
                    "property": [{"code": "legs", "valueInteger": 4}, {"code": "tame", "valueBoolean": True}],
                },
                {"code": "dog", "display": "Dog"},
            ],
        }
    ],
}
VALUE_SET = {
    "resourceType": "ValueSet",
    "id": "pets",
    "url": "http://example.org/ValueSet/pets",
    "version": "2",
    "name": "Pets",
    "status": "draft",
    "compose": {
        "include": [{"system": ANIMALS, "filter": [{"property": "concept", "op": "descendent-of", "value": "mammal"}]}]
    },
}
MAP = {
    "resourceType": "ConceptMap",
    "id": "latin",
    "url": "http://example.org/ConceptMap/latin",
    "status": "draft",
    "group": [
        {
            "source": ANIMALS,
            "target": "http://example.org/latin",
            "element": [
                {"code": "cat", "target": [{"code": "felis", "display": "Felis", "equivalence": "equivalent"}]}
            ],
        }
    ],
}


@pytest.fixture
async def loaded(admin):
    """A client of a hub that has the resources above."""
    for resource in (SYSTEM, VALUE_SET, MAP):
        answer = await admin.put(f"/fhir/{resource['resourceType']}/{resource['id']}", json=resource)
        assert answer.status_code == 201, answer.text
    return admin


def named(parameters: dict, name: str) -> list:
    """The values of a parameter of an answer."""
    found = [p for p in parameters.get("parameter", []) if p["name"] == name]
    return [next(v for k, v in p.items() if k != "name") for p in found]


async def ask(client, path: str, status: int = 200) -> dict:
    """GET an operation."""
    answer = await client.get(f"/fhir/{path}")
    assert answer.status_code == status, answer.text
    return answer.json()


async def post(client, path: str, *parameters: dict, status: int = 200) -> dict:
    """POST an operation with a Parameters resource."""
    answer = await client.post(f"/fhir/{path}", json={"resourceType": "Parameters", "parameter": list(parameters)})
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_a_stored_value_set_is_expanded_by_url_by_instance_and_as_given(loaded):
    by_url = await ask(loaded, "ValueSet/$expand?url=http://example.org/ValueSet/pets")
    by_version = await ask(loaded, "ValueSet/$expand?url=http://example.org/ValueSet/pets&valueSetVersion=2")
    by_instance = await ask(loaded, "ValueSet/pets/$expand")
    given = await post(loaded, "ValueSet/$expand", {"name": "valueSet", "resource": VALUE_SET})
    for expanded in (by_url, by_version, by_instance, given):
        assert [c["code"] for c in expanded["expansion"]["contains"]] == ["cat", "dog"]
        assert expanded["expansion"]["total"] == 2
        assert (expanded["url"], expanded["version"], expanded["status"]) == (VALUE_SET["url"], "2", "draft")
    assert by_url["expansion"]["contains"][0] == {"system": ANIMALS, "code": "cat", "display": "Cat"}
    assert {"name": "used-codesystem", "valueUri": f"{ANIMALS}|1"} in by_url["expansion"]["parameter"]


PREFERRED = {
    "system": "http://terminology.hl7.org/CodeSystem/hl7TermMaintInfra",
    "code": "preferredForLanguage",
    "display": "Preferred For Language",
}


async def test_an_expansion_is_narrowed_paged_and_shown_in_a_language(loaded):
    url = "ValueSet/$expand?url=http://example.org/ValueSet/pets"
    page = (await ask(loaded, f"{url}&offset=1&count=1"))["expansion"]
    assert ([c["code"] for c in page["contains"]], page["total"], page["offset"]) == (["dog"], 2, 1)
    assert [c["code"] for c in (await ask(loaded, f"{url}&filter=do"))["expansion"]["contains"]] == ["dog"]
    assert "contains" not in (await ask(loaded, f"{url}&filter=whale"))["expansion"]
    german = (await ask(loaded, f"{url}&displayLanguage=de&includeDesignations=true"))["expansion"]["contains"]
    assert (german[0]["display"], german[0]["designation"], german[1]["display"]) == (
        *("Katze", [{"use": PREFERRED, "value": "Cat"}], "Dog"),
    )


async def test_what_hl7_published_is_there_from_the_start(admin):
    genders = await ask(admin, f"ValueSet/$expand?url={GENDERS}")
    assert [c["code"] for c in genders["expansion"]["contains"]] == ["male", "female", "other", "unknown"]
    assert (await ask(admin, "ValueSet/administrative-gender/$expand"))["expansion"]["total"] == 4
    table = await ask(admin, "ValueSet/$expand?url=http://terminology.hl7.org/ValueSet/v2-0001")
    assert "F" in {c["code"] for c in table["expansion"]["contains"]}


async def test_what_hl7_published_is_read_like_a_stored_resource_until_someone_stores_his_own(admin, client_as, hub):
    from healthsync.standards.fhir import validate

    for reference in ("ValueSet/administrative-gender", "CodeSystem/v3-ActReason", "ConceptMap/cm-address-use-v2"):
        answer = await admin.get(f"/fhir/{reference}")
        assert (answer.status_code, answer.headers["ETag"]) == (200, 'W/"1"'), reference
        assert "/".join((answer.json()["resourceType"], answer.json()["id"])) == reference
        assert [issue for issue in validate.structure(answer.json()) if issue.is_error] == []
        assert (await (await client_as()).get(f"/fhir/{reference}")).status_code == 401
    assert (await admin.get("/fhir/Patient/administrative-gender")).status_code == 404
    own = VALUE_SET | {"id": "administrative-gender"}
    assert (await admin.put("/fhir/ValueSet/administrative-gender", json=own)).status_code == 201
    assert (await admin.get("/fhir/ValueSet/administrative-gender")).json()["url"] == VALUE_SET["url"]


UNANSWERABLE = [
    ("ValueSet/$expand", 400, "required"),
    ("ValueSet/$expand?url=http://nowhere", 404, "not-found"),
    ("ValueSet/nobody/$expand", 404, "not-found"),
    ("ValueSet/$expand?url=http://hl7.org/fhir/ValueSet/ucum-units", 422, "too-costly"),
    (f"ValueSet/$expand?url={GENDERS}&count=many", 400, "value"),
    (f"ValueSet/$expand?url={GENDERS}&count=-1", 400, "value"),
    (f"ValueSet/$expand?url={GENDERS}&activeOnly=perhaps", 400, "value"),
    ("ValueSet/$expand?url=a%00b", 400, "value"),
    (f"ValueSet/$expand?url={GENDERS}&filter={'x' * 5000}", 400, "value"),
    (f"ValueSet/$expand?url={GENDERS}&filter=a%00b", 400, "value"),
    ("CodeSystem/$lookup?system=http://loinc.org&code=a%00b", 400, "value"),
    ("ConceptMap/$translate?source=a%00b&system=s&code=c", 400, "value"),
    (f"ValueSet/$expand?url={GENDERS}&context=x", 400, "not-supported"),
    (f"ValueSet/$expand?url={GENDERS}&url={GENDERS}", 400, "value"),
    ("ValueSet/$validate-code?url=http://nowhere&code=x&system=y", 404, "not-found"),
    (f"ValueSet/$validate-code?url={GENDERS}", 400, "required"),
    ("CodeSystem/$lookup?system=http://nowhere&code=x", 404, "not-found"),
    ("CodeSystem/$lookup?system=http://hl7.org/fhir/administrative-gender&code=x", 404, "not-found"),
    ("CodeSystem/$lookup?code=male", 400, "required"),
    ("CodeSystem/$subsumes?codeA=a&codeB=b", 400, "required"),
    ("CodeSystem/$subsumes?codeA=a&codeB=b&system=http://nowhere", 404, "not-found"),
    ("ConceptMap/$translate?url=http://nowhere&code=a&system=b", 404, "not-found"),
]


async def test_what_cannot_be_answered_says_why(admin):
    for path, status, code in UNANSWERABLE:
        outcome = await ask(admin, path, status)
        assert (outcome["resourceType"], outcome["issue"][0]["code"]) == ("OperationOutcome", code), path


async def test_a_code_is_validated_in_every_way_to_say_it(loaded):
    coding = {"system": ANIMALS, "code": "cat", "display": "Cat"}
    for told in (
        await ask(loaded, f"ValueSet/$validate-code?url={VALUE_SET['url']}&system={ANIMALS}&code=cat&display=Cat"),
        await ask(loaded, f"ValueSet/pets/$validate-code?system={ANIMALS}&code=cat"),
        await post(loaded, "ValueSet/pets/$validate-code", {"name": "coding", "valueCoding": coding}),
        await post(
            loaded,
            "ValueSet/pets/$validate-code",
            {"name": "codeableConcept", "valueCodeableConcept": {"coding": [{"system": "s", "code": "x"}, coding]}},
        ),
        await ask(loaded, f"CodeSystem/$validate-code?url={ANIMALS}&code=cat"),
        await ask(loaded, "CodeSystem/animals/$validate-code?code=cat&display=katze"),
    ):
        assert (named(told, "result"), named(told, "display"), named(told, "message")) == ([True], ["Cat"], [])


async def test_what_a_validator_always_sends_changes_no_verdict_and_its_modes_do(admin):
    shape = [
        *({"name": name, "valueBoolean": True} for name in ("excludeNested", "includeDefinition", "diagnostics")),
        *({"name": name, "valueString": "x"} for name in ("cache-id", "x-system-cache-id", "property")),
        *({"name": name, "valueInteger": 1000} for name in ("count", "_limit")),
    ]
    url, system = {"name": "url", "valueUri": GENDERS}, "http://hl7.org/fhir/administrative-gender"

    async def verdict(coding: dict, *more: dict, of: dict = url) -> bool:
        asked = {"name": "coding", "valueCoding": {"system": system, **coding}}
        told = await post(admin, "ValueSet/$validate-code", of, asked, *shape, *more)
        return named(told, "result")[0]

    wrong, foreign = {"code": "male", "display": "Man"}, {"system": "http://hl7.org/fhir/name-use", "code": "usual"}
    lenient = {"name": "mode", "valueString": "lenient-display-validation"}
    only = {"name": "valueSetMode", "valueString": "CHECK_MEMBERSHIP_ONLY"}
    without = {"name": "valueSetMode", "valueString": "NO_MEMBERSHIP_CHECK"}
    everything = {"name": "url", "valueUri": "http://hl7.org/fhir/ValueSet/@all"}
    assert [await verdict(wrong, *more) for more in ((), (lenient,), (only,))] == [False, True, True]
    assert [await verdict(foreign, *more) for more in ((), (without,))] == [False, True]
    assert await verdict(foreign, of=everything) and not await verdict({**foreign, "code": "x"}, of=everything)


async def test_a_code_system_that_comes_along_is_the_one_that_is_asked(admin):
    own = {"name": "codeSystem", "resource": SYSTEM}
    for code, result in (("cat", True), ("whale", False)):
        told = await post(admin, "CodeSystem/$validate-code", own, {"name": "code", "valueCode": code})
        assert (named(told, "result"), named(told, "system")) == ([result], [ANIMALS])
    by_name = await ask(admin, "CodeSystem/$validate-code?system=http://hl7.org/fhir/administrative-gender&code=male")
    assert named(by_name, "result") == [True]


async def test_a_wrong_code_or_display_is_told_with_the_right_one(loaded):
    wrong = await ask(loaded, f"ValueSet/pets/$validate-code?system={ANIMALS}&code=mammal")
    assert named(wrong, "result") == [False]
    assert "value set" in named(wrong, "message")[0]
    display = await ask(loaded, f"ValueSet/pets/$validate-code?system={ANIMALS}&code=cat&display=Tiger")
    assert (named(display, "result"), named(display, "display")) == ([False], ["Cat"])
    (issues,) = (p["resource"]["issue"] for p in display["parameter"] if p["name"] == "issues")
    assert [(i["severity"], i["details"]["coding"][0]["code"], i["expression"]) for i in issues] == [
        ("error", "invalid-display", ["display"])
    ]
    german = await ask(loaded, f"ValueSet/pets/$validate-code?system={ANIMALS}&code=cat&displayLanguage=de")
    assert named(german, "display") == ["Katze"]
    unknown = await ask(loaded, f"CodeSystem/$validate-code?url={ANIMALS}&code=whale")
    assert (named(unknown, "result"), "CodeSystem" in named(unknown, "message")[0]) == ([False], True)


async def test_a_lookup_has_names_designations_and_properties(loaded):
    told = await ask(loaded, f"CodeSystem/$lookup?system={ANIMALS}&code=cat")
    assert (named(told, "name"), named(told, "version"), named(told, "display")) == (["Animals"], ["1"], ["Cat"])
    assert named(told, "designation") == [
        [{"name": "language", "valueCode": "de"}, {"name": "value", "valueString": "Katze"}]
    ]
    values = {p[0]["valueCode"]: p[1] for p in named(told, "property")}
    described = {p[0]["valueCode"]: p[2]["valueString"] for p in named(told, "property") if len(p) > 2}
    assert described == {"parent": "Mammal"}
    assert values["legs"] == {"name": "value", "valueInteger": 4}
    assert values["tame"] == {"name": "value", "valueBoolean": True}
    assert values["parent"] == {"name": "value", "valueCode": "mammal"}
    assert named(told, "definition") == ["A small one."]
    only = await post(
        loaded,
        "CodeSystem/$lookup",
        {"name": "coding", "valueCoding": {"system": ANIMALS, "code": "mammal"}},
        {"name": "property", "valueCode": "child"},
    )
    assert [p[1]["valueCode"] for p in named(only, "property")] == ["cat", "dog"]
    assert named(only, "designation") == []


async def test_subsumption_is_told_for_codes_and_codings(loaded):
    told = await ask(loaded, f"CodeSystem/$subsumes?system={ANIMALS}&codeA=mammal&codeB=cat")
    assert named(told, "outcome") == ["subsumes"]
    assert named(await ask(loaded, "CodeSystem/animals/$subsumes?codeA=cat&codeB=mammal"), "outcome") == ["subsumed-by"]
    codings = [
        {"name": f"coding{side}", "valueCoding": {"system": ANIMALS, "code": code}}
        for side, code in (("A", "cat"), ("B", "dog"))
    ]
    assert named(await post(loaded, "CodeSystem/$subsumes", *codings), "outcome") == ["not-subsumed"]


async def test_a_translation_has_its_matches_and_where_they_are_from(loaded):
    for path in (
        f"ConceptMap/$translate?url={MAP['url']}&system={ANIMALS}&code=cat",
        f"ConceptMap/latin/$translate?system={ANIMALS}&code=cat",
    ):
        told = await ask(loaded, path)
        assert named(told, "result") == [True]
        assert named(told, "match")[0] == [
            {"name": "equivalence", "valueCode": "equivalent"},
            {
                "name": "concept",
                "valueCoding": {"system": "http://example.org/latin", "code": "felis", "display": "Felis"},
            },
            {"name": "source", "valueUri": MAP["url"]},
        ]
    none = await ask(loaded, f"ConceptMap/latin/$translate?system={ANIMALS}&code=dog")
    assert (named(none, "result"), len(named(none, "message"))) == ([False], 1)
    back = await ask(loaded, "ConceptMap/latin/$translate?system=http://example.org/latin&code=felis&reverse=true")
    assert named(back, "match")[0][1]["valueCoding"]["code"] == "cat"


async def test_a_translation_is_asked_for_by_the_names_of_r5(loaded):
    cat, felis = {"system": ANIMALS, "code": "cat"}, {"system": "http://example.org/latin", "code": "felis"}
    url = {"name": "url", "valueUri": MAP["url"]}
    for name, value in (
        ("sourceCoding", {"valueCoding": cat}),
        ("sourceCodeableConcept", {"valueCodeableConcept": {"coding": [cat]}}),
    ):
        told = await post(loaded, "ConceptMap/$translate", url, {"name": name, **value})
        concepts = [p["valueCoding"] for p in named(told, "match")[0] if p["name"] == "concept"]
        assert [(each["system"], each["code"]) for each in concepts] == [(felis["system"], "felis")], name
    back = await post(loaded, "ConceptMap/$translate", url, {"name": "targetCoding", "valueCoding": felis})
    assert [p["valueCoding"]["code"] for p in named(back, "match")[0] if p["name"] == "source"] == ["cat"]


async def test_an_update_and_a_deletion_are_followed_in_the_same_commit(loaded):
    changed = SYSTEM | {"concept": [{"code": "mammal", "concept": [{"code": "whale"}]}]}
    await loaded.put("/fhir/CodeSystem/animals", json=changed)
    expanded = await ask(loaded, "ValueSet/pets/$expand")
    assert [c["code"] for c in expanded["expansion"]["contains"]] == ["whale"]
    await loaded.delete("/fhir/ValueSet/pets")
    await ask(loaded, "ValueSet/pets/$expand", 404)
    await loaded.delete("/fhir/CodeSystem/animals")
    await ask(loaded, f"CodeSystem/$lookup?system={ANIMALS}&code=whale", 404)


async def test_a_value_set_in_a_transaction_that_fails_leaves_nothing_behind(admin):
    entries = [
        {"resource": VALUE_SET, "request": {"method": "PUT", "url": "ValueSet/pets"}},
        {
            "resource": {"resourceType": "Patient", "gender": "no gender"},
            "request": {"method": "POST", "url": "Patient"},
        },
    ]
    answer = await admin.post("/fhir", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code >= 400
    await ask(admin, "ValueSet/pets/$expand", 404)


TERMINOLOGY = [s for s in SURFACES if s.path.startswith(("/fhir/ValueSet/", "/fhir/CodeSystem/", "/fhir/ConceptMap/"))]


async def test_a_stranger_is_told_nothing(client_as):
    stranger = await client_as()
    assert len(TERMINOLOGY) == 23
    for surface in TERMINOLOGY:
        path = surface.path.format(id="animals")
        answer = await stranger.request(surface.method, path, json={"resourceType": "Parameters"})
        assert answer.status_code == 401, path


MALFORMED = [
    {"resourceType": "ValueSet"},
    {"resourceType": "Parameters", "parameter": {}},
    {"resourceType": "Parameters", "parameter": [{"valueCode": "x"}]},
    {"resourceType": "Parameters", "parameter": [7]},
    {"resourceType": "Parameters", "parameter": [{"name": "url", "valueInteger": 7}]},
    {"resourceType": "Parameters", "parameter": [{"name": "valueSet", "valueString": "x"}]},
    *(
        {"resourceType": "Parameters", "parameter": [{"name": "valueSet", "resource": resource}]}
        for resource in (
            {"resourceType": "Patient"},
            VALUE_SET | {"compose": []},
            VALUE_SET | {"compose": {"include": [{"system": 5}]}},
            VALUE_SET | {"compose": {"include": [{"system": "s", "concept": [{}]}]}},
            VALUE_SET | {"compose": {"include": [{"valueSet": "http://x"}]}},
            VALUE_SET | {"compose": {"include": [{"system": "s", "filter": [{"property": "concept"}]}]}},
        )
    ),
]


async def test_a_malformed_question_is_refused(admin):
    for body in MALFORMED:
        answer = await admin.post("/fhir/ValueSet/$expand", json=body)
        assert 400 <= answer.status_code < 500, (body, answer.text)


async def test_a_question_of_any_size_is_answered_soon(admin):
    many = [{"property": "concept", "op": "is-a", "value": "x"}] * 1000
    system = "http://hl7.org/fhir/administrative-gender"
    filters = VALUE_SET | {"compose": {"include": [{"system": system, "filter": many}]}}
    await post(admin, "ValueSet/$expand", {"name": "valueSet", "resource": filters}, status=422)
    includes = VALUE_SET | {"compose": {"include": [{"system": system}] * 20_000}}
    await post(admin, "ValueSet/$expand", {"name": "valueSet", "resource": includes}, status=422)
    long = VALUE_SET | {"compose": {"include": [{"system": "s", "concept": [{"code": "c" * 4_200_000}]}]}}
    await post(admin, "ValueSet/$expand", {"name": "valueSet", "resource": long}, status=413)
    await ask(admin, f"ValueSet/$expand?url={GENDERS}&filter={'+'.join('x' * 21)}", 422)


async def test_codings_that_are_none_are_refused(admin):
    for name, value in (
        ("coding", {"valueCoding": {"system": "s"}}),
        ("coding", {"valueCoding": {"system": 5, "code": "x"}}),
        ("coding", {"valueString": "x"}),
        ("codeableConcept", {"valueCodeableConcept": {}}),
        ("codeableConcept", {"valueCodeableConcept": {"coding": "x"}}),
        ("code", {"valueCode": ""}),
    ):
        body = [{"name": "url", "valueUri": GENDERS}, {"name": name, **value}]
        await post(admin, "ValueSet/$validate-code", *body, status=400)


async def test_a_concept_that_is_only_a_text_or_has_a_coding_without_code_does_not_belong(admin):
    for concept in ({"text": "x"}, {"text": "x", "coding": [{"system": "http://x", "display": "X"}]}):
        body = [{"name": "url", "valueUri": GENDERS}, {"name": "codeableConcept", "valueCodeableConcept": concept}]
        told = await post(admin, "ValueSet/$validate-code", *body)
        assert named(told, "result") == [False] and named(told, "codeableConcept") == [concept]
        issues = named(told, "issues")[0]["issue"]
        expected = ["not-in-vs"] if "coding" not in concept else ["invalid-data", "not-in-vs"]
        assert [each["details"]["coding"][0]["code"] for each in issues] == expected


async def test_a_search_asks_the_terminology_for_in_not_in_below_and_above(loaded, patient):
    id_ = (await loaded.post("/fhir/Patient", json=patient)).json()["id"]
    for code in ("cat", "dog", "mammal"):
        observation = {
            "resourceType": "Observation",
            "status": "final",
            "code": {"coding": [{"system": ANIMALS, "code": code}]},
            "subject": {"reference": f"Patient/{id_}"},
        }
        assert (await loaded.post("/fhir/Observation", json=observation)).status_code == 201

    async def found(query: str) -> set[str]:
        entries = (await ask(loaded, f"Observation?{query}")).get("entry", [])
        return {entry["resource"]["code"]["coding"][0]["code"] for entry in entries}

    assert await found(f"code:in={VALUE_SET['url']}") == {"cat", "dog"}
    assert await found("code:in=ValueSet/pets") == {"cat", "dog"}
    assert await found(f"code:not-in={VALUE_SET['url']}") == {"mammal"}
    assert await found(f"code:below={ANIMALS}|mammal") == {"cat", "dog", "mammal"}
    assert await found(f"code:above={ANIMALS}|cat") == {"cat", "mammal"}
    await ask(loaded, "Observation?code:in=http://nowhere", 404)


async def test_the_tables_are_made_anew_from_the_resources(loaded, hub):
    async with hub.database.transaction() as tx:
        for table in ("code_system", "value_set", "map"):
            await tx.execute(f"DELETE FROM terminology_{table}")
    await ask(loaded, "ValueSet/pets/$expand", 404)
    assert await rebuild_terminology(hub.database, hub.ingest) == 3
    expanded = await ask(loaded, "ValueSet/pets/$expand")
    assert [c["code"] for c in expanded["expansion"]["contains"]] == ["cat", "dog"]


async def test_a_date_is_answered_by_what_was_loaded_then_or_not_at_all(loaded):
    asked = [
        "ValueSet/$expand?url=http://example.org/ValueSet/pets",
        "ValueSet/pets/$expand?count=1",
        "ValueSet/pets/$validate-code?code=cat&system=" + ANIMALS,
        f"CodeSystem/$validate-code?url={ANIMALS}&code=cat",
        f"CodeSystem/$lookup?system={ANIMALS}&code=cat",
    ]
    for path in asked:
        assert await ask(loaded, f"{path}&date=2999-01-01") | {"expansion": 0} == await ask(loaded, path) | {
            "expansion": 0
        }
        issue = (await ask(loaded, f"{path}&date=2020-05-01", 400))["issue"][0]
        assert (issue["code"], "date" in issue["diagnostics"]) == ("not-supported", True), path
        assert (await ask(loaded, f"{path}&date=yesterday", 400))["issue"][0]["code"] == "value"
    assert (await ask(loaded, f"ValueSet/$expand?url={GENDERS}&date=2020-05"))["expansion"]["total"] == 4


def concept(code: str) -> dict:
    """A concept of a closure table."""
    return {"name": "concept", "valueCoding": {"system": ANIMALS, "code": code}}


async def test_a_closure_table_tells_what_stands_above_what_and_belongs_to_its_client(loaded, client_as):
    name = {"name": "name", "valueString": "pets"}
    assert "group" not in await post(loaded, "$closure", name)
    assert "group" not in await post(loaded, "$closure", name, concept("cat"))
    told = await post(loaded, "$closure", name, concept("mammal"), concept("dog"))
    lines = {(e["code"], t["code"], t["equivalence"]) for e in told["group"][0]["element"] for t in e["target"]}
    assert lines == {("cat", "mammal", "subsumes"), ("dog", "mammal", "subsumes")}
    assert "group" not in await post(loaded, "$closure", name, concept("dog"))
    again = await post(loaded, "$closure", name, {"name": "version", "valueString": "1"})
    assert again["group"] == told["group"] and again["version"] == "3"
    await post(await client_as("system"), "$closure", name, concept("cat"), status=404)
    await post(loaded, "$closure", name, concept("whale"), status=404)
    await post(loaded, "$closure", name, {"name": "version", "valueString": "x"}, status=400)
    await post(loaded, "$closure", name)
    assert "group" not in await post(loaded, "$closure", name, concept("mammal"))


async def test_many_questions_are_asked_together_and_one_that_cannot_be_answered_says_so(loaded):
    def question(code: str, **more: str) -> dict:
        coding = {"name": "coding", "valueCoding": {"system": ANIMALS, "code": code}}
        parameters = [coding, *({"name": k, "valueString": v} for k, v in more.items())]
        return {"name": "validation", "resource": {"resourceType": "Parameters", "parameter": parameters}}

    url = {"name": "url", "valueUri": VALUE_SET["url"]}
    told = await post(
        loaded, "ValueSet/$batch-validate-code", url, question("cat"), question("whale"), question("cat", nonsense="x")
    )
    first, second, third = (p["resource"] for p in told["parameter"])
    assert (named(first, "result"), named(second, "result")) == ([True], [False])
    assert third["resourceType"] == "OperationOutcome"
    await post(loaded, "ValueSet/$batch-validate-code", url, status=400)


async def test_operations_are_asked_in_a_batch(loaded):
    question = {"resourceType": "Parameters", "parameter": [{"name": "url", "valueUri": VALUE_SET["url"]}]}
    coding = {"name": "coding", "valueCoding": {"system": ANIMALS, "code": "cat"}}
    asked = {**question, "parameter": [*question["parameter"], coding]}
    entries = [
        {"request": {"method": "GET", "url": f"ValueSet/$expand?url={VALUE_SET['url']}"}},
        {"request": {"method": "POST", "url": "ValueSet/$validate-code"}, "resource": asked},
        {"request": {"method": "GET", "url": f"CodeSystem/$lookup?system={ANIMALS}&code=whale"}},
    ]
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": entries}
    answer = (await loaded.post("/fhir", json=bundle)).json()
    assert [each["response"]["status"][:3] for each in answer["entry"]] == ["200", "200", "404"]


async def test_resources_and_versions_come_along_with_a_question_and_are_gone_after_it(loaded):
    newer = {**SYSTEM, "version": "2", "concept": [{"code": "yak", "display": "Yak"}]}
    everything = {"resourceType": "ValueSet", "url": "http://example.org/all", "status": "active"}
    everything["compose"] = {"include": [{"system": ANIMALS}]}
    along = [{"name": "tx-resource", "resource": r} for r in (newer, everything)]
    url = {"name": "url", "valueUri": "http://example.org/all"}

    async def codes(*more: dict) -> list[str]:
        found = await post(
            loaded, "ValueSet/$expand", url, *along, {"name": "excludeNested", "valueBoolean": True}, *more
        )
        return [c["code"] for c in found["expansion"]["contains"]]

    assert await codes() == ["yak"]
    assert "cat" in await codes({"name": "force-system-version", "valueUri": f"{ANIMALS}|1"})
    refused = {"name": "check-system-version", "valueUri": f"{ANIMALS}|3"}
    outcome = await post(loaded, "ValueSet/$expand", url, *along, refused, status=404)
    assert outcome["issue"][0]["details"]["coding"][0]["code"] == "not-found"
    await post(loaded, "ValueSet/$expand", url, status=404)
    await post(loaded, "ValueSet/$expand", url, {"name": "tx-resource", "valueString": "x"}, status=400)


async def test_an_expansion_nests_and_tells_properties_where_it_is_asked_to(loaded):
    system = {"resourceType": "ValueSet", "status": "active", "compose": {"include": [{"system": ANIMALS}]}}
    expanded = await post(
        loaded,
        "ValueSet/$expand",
        {"name": "valueSet", "resource": system},
        {"name": "excludeNested", "valueBoolean": False},
        {"name": "property", "valueString": "legs"},
    )
    (mammal,) = expanded["expansion"]["contains"]
    assert [c["code"] for c in mammal["contains"]] == ["cat", "dog"]
    (told,) = mammal["contains"][0]["extension"]
    assert told["extension"] == [{"url": "code", "valueCode": "legs"}, {"url": "value", "valueInteger": 4}]


async def test_the_language_of_the_request_is_spoken(client_as, loaded):
    german = await client_as("admin", **{"Accept-Language": "de-AT, de;q=0.8"})
    nonsense = await client_as("admin", **{"Accept-Language": "-"})
    url = "ValueSet/$expand?url=http://example.org/ValueSet/pets"
    for client, display in ((german, "Katze"), (nonsense, "Cat")):
        assert (await ask(client, url))["expansion"]["contains"][0]["display"] == display
