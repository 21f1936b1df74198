"""$graphql through the whole hub."""

from __future__ import annotations

import json

import pytest
from graphql import build_client_schema, get_introspection_query, parse, validate, validate_schema
from tests.consents import opt_out


@pytest.fixture
async def ids(admin, patient, observation) -> dict[str, str]:
    """A patient with two names and three observations."""
    patient = {
        **patient,
        "name": [
            {"use": "official", "family": "Quennell", "given": ["Ottoline", "May"]},
            {"use": "usual", "given": ["Otto"]},
            {"use": "maiden", "family": "Ames", "given": ["Ottoline"]},
        ],
        "birthDate": "1971-03-09",
        "_birthDate": {"extension": [{"url": "http://example.org/t", "valueDateTime": "1971-03-09T10:28:45Z"}]},
    }
    id_ = (await admin.post("/fhir/Patient", json=patient)).json()["id"]
    body = observation(id_)
    observed = [
        (await admin.post("/fhir/Observation", json={**body, "status": status})).json()["id"]
        for status in ("final", "final", "preliminary")
    ]
    return {"patient": id_, "observation": observed[0]}


async def _ask(client, query: str, path: str = "$graphql", **more) -> dict:
    answer = await client.post(f"/fhir/{path}", content=json.dumps({"query": query, **more}))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    return answer.json()["data"]


async def _fault(client, query: str, path: str = "$graphql", **more) -> tuple[int, str]:
    answer = await client.post(f"/fhir/{path}", content=json.dumps({"query": query, **more}))
    body = answer.json()
    assert body["data"] is None
    (error,) = body["errors"]
    issue = error["extensions"]["resource"]["issue"][0]
    assert issue["diagnostics"] == error["message"]
    return answer.status_code, issue["code"]


async def test_a_resource_is_asked_for_by_its_id_and_answers_with_the_fields_asked_for(admin, ids):
    query = (
        '{ Patient(id: "%s") { id gender name { family given } birthDate _birthDate { extension { valueDateTime } } } }'
    )
    found = (await _ask(admin, query % ids["patient"]))["Patient"]
    assert found["id"] == ids["patient"]
    assert found["name"][1] == {"given": ["Otto"]}
    assert found["_birthDate"] == {"extension": [{"valueDateTime": "1971-03-09T10:28:45Z"}]}
    assert set(found) == {"id", "gender", "name", "birthDate", "_birthDate"}


async def test_a_query_on_an_instance_begins_inside_it(admin, ids):
    path = f"Patient/{ids['patient']}/$graphql"
    assert await _ask(admin, "{ gender resourceType }", path) == {"gender": "female", "resourceType": "Patient"}
    answer = await admin.get(f"/fhir/{path}", params={"query": "{name(use: official){family}}"})
    assert answer.json() == {"data": {"name": [{"family": "Quennell"}]}}
    text = await admin.post(f"/fhir/{path}", content="{gender}", headers={"Content-Type": "application/graphql"})
    assert text.json() == {"data": {"gender": "female"}}


async def test_numbers_keep_their_digits(admin, ids):
    body = json.dumps({"query": "{ valueQuantity { value unit } }"})
    answer = await admin.post(f"/fhir/Observation/{ids['observation']}/$graphql", content=body)
    assert '"value":13.5' in answer.text


async def test_aliases_variables_fragments_and_conditions_work_as_graphql_says(admin, ids):
    query = """
        query ($id: ID!, $more: Boolean = false) {
            one: Patient(id: $id) { ...who  birthDate @include(if: $more)  sex: gender @skip(if: $more) }
        }
        fragment who on Patient { name(use: "maiden") { family } }
    """
    data = await _ask(admin, query, variables={"id": ids["patient"]})
    assert data == {"one": {"name": [{"family": "Ames"}], "sex": "female"}}
    data = await _ask(admin, query, variables={"id": ids["patient"], "more": True})
    assert data == {"one": {"name": [{"family": "Ames"}], "birthDate": "1971-03-09"}}
    assert (await _fault(admin, query))[1] == "required"


async def test_the_arguments_of_a_list_choose_among_its_elements(admin, ids):
    for arguments, families in [
        ('fhirpath: "family.exists()"', ["Quennell", "Ames"]),
        ("use: maiden", ["Ames"]),
        ("_count: 1", ["Quennell"]),
        ("_offset: 2, _count: 5", ["Ames"]),
        ('fhirpath: "family.exists()", _offset: 1', ["Ames"]),
        ("use: old", []),
    ]:
        data = await _ask(admin, f"{{ name({arguments}) {{ family }} }}", f"Patient/{ids['patient']}/$graphql")
        assert [n.get("family") for n in data.get("name", [])] == families, arguments


async def test_directives_flatten_as_the_page_shows(admin, ids):
    for query, answer in [
        (
            "{ name @flatten { given family } }",
            {"given": ["Ottoline", "May", "Otto", "Ottoline"], "family": ["Quennell", "Ames"]},
        ),
        (
            "{ name @flatten { given @first family } }",
            {"given": ["Ottoline", "Otto", "Ottoline"], "family": ["Quennell", "Ames"]},
        ),
        ("{ name @flatten @first { given family @singleton } }", {"given": ["Ottoline", "May"], "family": "Quennell"}),
        ("{ name @first { family } }", {"name": {"family": "Quennell"}}),
        (
            '{ name @flatten @slice(path: "use") { given family @singleton } }',
            {
                "given.official": ["Ottoline", "May"],
                "family.official": "Quennell",
                "given.usual": ["Otto"],
                "given.maiden": ["Ottoline"],
                "family.maiden": "Ames",
            },
        ),
        (
            '{ name @flatten @slice(path: "$index") { family @singleton } }',
            {"family.0": "Quennell", "family.2": "Ames"},
        ),
    ]:
        assert await _ask(admin, query, f"Patient/{ids['patient']}/$graphql") == answer, query


async def test_singleton_refuses_several_values(admin, ids):
    query = "{ name @flatten { family @singleton } }"
    assert await _fault(admin, query, f"Patient/{ids['patient']}/$graphql") == (412, "multiple-matches")


async def test_a_list_takes_search_parameters_with_underscores_and_arrays(admin, ids):
    query = '{ ObservationList(status: [final, preliminary], code: "http://loinc.org|718-7", _sort: "_lastUpdated") { status } }'
    data = await _ask(admin, query)
    assert [o["status"] for o in data["ObservationList"]] == ["final", "final", "preliminary"]
    data = await _ask(admin, '{ PatientList(address_city: "holbrook", birthdate: "ge1970") { id } }')
    assert data == {"PatientList": [{"id": ids["patient"]}]}
    data = await _ask(admin, '{ PatientList(family: "Quennell", fhirpath: "gender = \'male\'") { id } }')
    assert data == {}


async def test_a_connection_pages_by_cursors_that_hold_no_value_in_clear(admin, ids):
    query = "{ ObservationConnection(%s) { count offset pagesize next edges { mode resource { id } } } }"
    page = (await _ask(admin, query % 'code: "718-7", _count: 2'))["ObservationConnection"]
    assert (page["count"], page["offset"], page["pagesize"], len(page["edges"])) == (3, 0, 2, 2)
    assert page["edges"][0]["mode"] == "match"
    assert "718-7" not in page["next"]
    rest = (await _ask(admin, query % f'cursor: "{page["next"]}"'))["ObservationConnection"]
    assert (rest["offset"], len(rest["edges"])) == (2, 1)
    assert "next" not in rest
    seen = {edge["resource"]["id"] for edge in page["edges"] + rest["edges"]}
    assert len(seen) == 3
    assert (await _fault(admin, query % 'cursor: "x"'))[1] == "value"
    assert (await _fault(admin, query % f'cursor: "{page["next"]}", code: "x"'))[1] == "not-supported"
    assert (await _fault(admin, query.replace("Observation", "Patient") % f'cursor: "{page["next"]}"'))[1] == "value"


async def test_references_are_followed_and_reverse_lists_found(admin, ids):
    path = f"Observation/{ids['observation']}/$graphql"
    query = "{ subject { reference who: resource { ... on Patient { gender } ... on Group { name } } } }"
    data = await _ask(admin, query, path)
    assert data["subject"] == {"reference": f"Patient/{ids['patient']}", "who": {"gender": "female"}}
    query = "{ subject { resource(type: Group) { name } resource(type: Patient) { birthDate } } }"
    assert await _ask(admin, query, path) == {"subject": {"resource": {"birthDate": "1971-03-09"}}}
    query = "{ ObservationList(_reference: patient, status: final) { id } }"
    data = await _ask(admin, query, f"Patient/{ids['patient']}/$graphql")
    assert len(data["ObservationList"]) == 2
    query = "{ ObservationConnection(_reference: subject) { count } }"
    assert await _ask(admin, query, f"Patient/{ids['patient']}/$graphql") == {"ObservationConnection": {"count": 3}}


async def test_a_reference_that_leads_nowhere_is_an_error_unless_optional(admin, ids, observation):
    body = {**observation(ids["patient"]), "performer": [{"reference": "Practitioner/nobody"}]}
    id_ = (await admin.post("/fhir/Observation", json=body)).json()["id"]
    path = f"Observation/{id_}/$graphql"
    assert await _fault(admin, "{ performer { resource { ... on Practitioner { active } } } }", path) == (
        404,
        "not-found",
    )
    query = "{ performer { reference resource(optional: true) { ... on Practitioner { active } } } }"
    assert await _ask(admin, query, path) == {"performer": [{"reference": "Practitioner/nobody"}]}


async def test_contained_resources_are_found_inside(admin, ids, observation):
    body = {
        **observation(ids["patient"]),
        "contained": [{"resourceType": "Practitioner", "id": "p", "active": True}],
        "performer": [{"reference": "#p"}],
    }
    id_ = (await admin.post("/fhir/Observation", json=body)).json()["id"]
    data = await _ask(
        admin, "{ performer { resource { id ... on Practitioner { active } } } }", f"Observation/{id_}/$graphql"
    )
    assert data == {"performer": [{"resource": {"id": "p", "active": True}}]}


async def test_what_is_wrong_is_said_in_graphqls_shape_with_its_status(admin):
    for query, expected in [
        ("{ Patient", (400, "structure")),
        ("{ Patient(id: 1) { colour } }", (400, "not-supported")),
        ("{ PatientList(colour: red) { id } }", (400, "not-supported")),
        ("{ PatientList(_summary: count) { id } }", (400, "not-supported")),
        ("{ AuditEventList { id } }", (400, "not-supported")),
        ('{ Patient(id: "nobody") { id } }', (404, "not-found")),
    ]:
        assert await _fault(admin, query) == expected, query
    assert (await admin.get("/fhir/$graphql")).status_code == 400
    for listed in (None, {}, [None]):
        nothing = json.dumps({"resourceType": "Parameters", "parameter": listed})
        assert (await admin.post("/fhir/$graphql", content=nothing)).status_code == 400


async def test_a_fhirpath_with_a_regular_expression_is_refused(admin, ids):
    query = "{ name(fhirpath: \"family.matches('(a+)+b')\") { family } }"
    assert await _fault(admin, query, f"Patient/{ids['patient']}/$graphql") == (400, "not-supported")


async def test_an_error_names_the_place_in_the_query(admin):
    answer = await admin.post("/fhir/$graphql", content=json.dumps({"query": "{\n  Patient(id: 1) { colour } }"}))
    assert answer.json()["errors"][0]["locations"] == [{"line": 2, "column": 20}]


@pytest.mark.shows("graphql.max_depth", "graphql.max_fields", "graphql.max_reads")
async def test_a_query_that_costs_too_much_is_refused_before_it_is_run(admin, ids, hub):
    deep = "{ Observation(id: 1) " + "{ subject { resource { ... on Patient { link { other { resource " * 5 + "{ id }" + " } } } } } }" * 5 + "}"  # fmt: skip
    assert (await _fault(admin, deep))[1] == "too-costly"
    bomb = "query { ...f0 } " + " ".join(
        f"fragment f{n} on Query {{ ...f{n + 1} ...f{n + 1} ...f{n + 1} ...f{n + 1} }}" for n in range(10)
    )
    bomb += " fragment f10 on Query { Patient(id: 1) { id } }"
    assert (await _fault(admin, bomb))[1] in ("too-costly", "invalid")
    wide = "{" + " ".join(f"a{n}: Patient(id: x{n}) {{ id }}" for n in range(600)) + "}"
    assert (await _fault(admin, wide))[1] in ("too-costly", "not-found")
    hub.graphql._max_reads = 1
    query = "{ ObservationList(status: final) { id } other: ObservationList(status: preliminary) { id } }"
    assert (await _fault(admin, query))[1] == "too-costly"


async def test_consent_and_roles_hold_inside_a_query(admin, client_as, ids, patient):
    physician, billing, researcher = [await client_as(role) for role in ("physician", "billing", "researcher")]
    query = f'{{ Patient(id: "{ids["patient"]}") {{ id gender name {{ family }} }} }}'
    seen = await _ask(billing, query)
    assert set(seen["Patient"]) == {"id", "name"}
    assert await _fault(researcher, query) == (403, "forbidden")
    consent = opt_out(ids["patient"])
    assert (await admin.post("/fhir/Consent", json=consent)).status_code == 201
    assert await _fault(physician, query) == (404, "not-found")
    page = await _ask(physician, "{ PatientConnection { count edges { resource { id } } } ObservationList { id } }")
    assert page == {"PatientConnection": {"count": 0}}


async def test_each_disclosed_resource_is_recorded_once_for_a_query(admin, ids, hub):
    id_ = ids["patient"]
    query = f'{{ a: Patient(id: "{id_}") {{ id }} b: Patient(id: "{id_}") {{ gender }} }}'
    async with hub.database.connection() as tx:
        before = sum(row.entry["interaction"] == "read" for row in await hub.audit.search(tx, count=500))
    await _ask(admin, query)
    async with hub.database.connection() as tx:
        after = sum(row.entry["interaction"] == "read" for row in await hub.audit.search(tx, count=500))
    assert after - before == 1


async def test_a_stranger_asks_nothing(client_as):
    stranger = await client_as()
    assert (
        await stranger.post("/fhir/$graphql", content=json.dumps({"query": "{ PatientList { id } }"}))
    ).status_code == 401


async def test_a_tool_learns_from_the_schema_what_may_be_asked_and_what_it_then_asks_is_answered(admin, ids):
    data = await _ask(admin, get_introspection_query())
    schema = build_client_schema(data)
    assert validate_schema(schema) == []
    query = """
        query Chart($id: ID!) {
            Patient(id: $id) { ...who  ObservationList(_reference: subject, _sort: "-date") { ...what } }
            ObservationConnection(subject: "%s", status: final) { __typename count edges { __typename mode } }
        }
        fragment who on Patient { __typename name(use: official) { __typename family } contact { ... on PatientContact { gender } } }
        fragment what on Observation { status subject { resource(optional: true) { id ... on Patient { gender } } } }
    """
    query %= ids["patient"]
    assert validate(schema, parse(query)) == []
    asked = await _ask(admin, query, variables={"id": ids["patient"]})
    assert asked["Patient"]["__typename"] == "Patient"
    assert asked["Patient"]["name"] == [{"__typename": "HumanName", "family": "Quennell"}]
    assert len(asked["Patient"]["ObservationList"]) == 3
    assert asked["ObservationConnection"]["__typename"] == "ObservationConnection"
    assert asked["ObservationConnection"]["edges"][0] == {"__typename": "ObservationEdge", "mode": "match"}
    for wrong in ("{ Patient(id: 1) { colour } }", "{ PersonList(name: x) { id } }", "{ Patient { id } }"):
        assert validate(schema, parse(wrong)), wrong
        await _fault(admin, wrong)


async def test_a_type_is_asked_for_by_its_name(admin):
    data = await _ask(
        admin,
        '{ part: __type(name: "PatientContact") { kind name fields { name type { kind name ofType { name } } } }'
        ' none: __type(name: "Nothing") { name } }',
    )
    assert data["none"] is None
    assert (data["part"]["kind"], data["part"]["name"]) == ("OBJECT", "PatientContact")
    telecom = {"name": "telecom", "type": {"kind": "LIST", "name": None, "ofType": {"name": "ContactPoint"}}}
    assert telecom in data["part"]["fields"]


async def test_a_wrong_or_endless_question_about_the_schema_is_refused(admin, ids):
    for query, status, code in [
        ("{ __schema { colours } }", 400, "not-supported"),
        ("{ __schema { types } }", 400, "required"),
        ("{ __type { name } }", 400, "required"),
        ("{ __schema { types { name { x } } } }", 400, "invalid"),
        ("{ Patient(id: 1) { __schema { types { name } } } }", 400, "not-supported"),
        (
            "{ __schema { types { " + "fields { type { ofType { " * 3 + "name" + " } } }" * 3 + " } } }",
            422,
            "too-costly",
        ),
    ]:
        assert await _fault(admin, query) == (status, code), query
