"""$expand as validators ask for it: definitions come along with the question, and the shape of the answer is told.

(valueset-operation-expand.html, the requirements of the HL7 terminology ecosystem on its servers.)
"""

from __future__ import annotations

from typing import Any

import pytest

from .test_terminology import named, post

S, V = "http://example.org/CodeSystem/tools", "http://example.org/ValueSet/tools"
EXT = "http://hl7.org/fhir/StructureDefinition/"
PROPERTY = "http://hl7.org/fhir/5.0/StructureDefinition/extension-ValueSet.expansion.contains.property"


def system(*concepts: dict[str, Any], **said: Any) -> dict[str, Any]:
    """Tools: a saw is a cutter, and so is a knife."""
    told = concepts or (
        {"code": "cutter", "display": "Cutter", "concept": [{"code": "saw", "display": "Saw"}, {"code": "knife"}]},
        {"code": "hammer", "display": "Hammer"},
    )
    about = {"url": S, "version": "1.0", "status": "active", "content": "complete", "caseSensitive": True}
    return {"resourceType": "CodeSystem", **about, "concept": list(told), **said}


def value_set(*includes: dict[str, Any], url: str = V, **said: Any) -> dict[str, Any]:
    compose = {"include": list(includes or ({"system": S},)), **said.pop("compose", {})}
    return {"resourceType": "ValueSet", "url": url, "version": "1", "status": "active", "compose": compose, **said}


def parameters(**asked: Any) -> list[dict[str, Any]]:
    """Parameters by name; a list is one that repeats."""
    kinds = {bool: "valueBoolean", int: "valueInteger", str: "valueString", dict: "resource"}
    pairs = [(name, each) for name, value in asked.items() for each in (value if isinstance(value, list) else [value])]
    return [{"name": name, kinds[type(value)]: value} for name, value in pairs]


async def expanded(client, *resources: dict[str, Any], status: int = 200, **asked: Any) -> dict[str, Any]:
    """The answer about the first value set among the resources."""
    first = next(each for each in resources if each["resourceType"] == "ValueSet")
    given = parameters(url=first["url"], **{"tx-resource": list(resources)}, **asked)
    return await post(client, "ValueSet/$expand", *given, status=status)


def tree(contains: list[dict[str, Any]]) -> list[Any]:
    """The codes of an expansion, those with others below them as (code, [...])."""
    return [(each["code"], tree(each["contains"])) if "contains" in each else each["code"] for each in contains]


def told(entry: dict[str, Any]) -> dict[str, Any]:
    """The properties of an entry of an expansion."""
    found = {}
    for extension in entry.get("extension", []):
        if extension["url"] == PROPERTY:
            code, value = extension["extension"]
            found[code["valueCode"]] = next(v for k, v in value.items() if k != "url")
    return found


BELOW = {"system": S, "filter": [{"property": "concept", "op": "is-a", "value": "cutter"}]}
TWO = {"system": S, "filter": [{"property": "code", "op": "regex", "value": ".*"}, *BELOW["filter"]]}
FLAT = ["cutter", "saw", "knife", "hammer"]


@pytest.mark.parametrize(
    ("includes", "asked", "shape"),
    [
        ([{"system": S}], {}, [("cutter", ["saw", "knife"]), "hammer"]),
        ([{"system": S}], {"excludeNested": False}, [("cutter", ["saw", "knife"]), "hammer"]),
        ([{"system": S}], {"excludeNested": True}, FLAT),
        ([{"system": S}], {"count": 2}, ["cutter", "saw"]),
        ([{"system": S}], {"offset": 1}, ["saw", "knife", "hammer"]),
        ([BELOW], {}, [("cutter", ["saw", "knife"])]),
        ([TWO], {}, ["cutter", "saw", "knife"]),
        ([{"system": S, "concept": [{"code": "saw"}, {"code": "cutter"}]}], {}, ["saw", "cutter"]),
        ([{"system": S}, {"system": S, "concept": [{"code": "saw"}]}], {}, FLAT),
        ([{"system": S}, BELOW], {}, FLAT),
        ([{"valueSet": [f"{V}/all"]}], {}, FLAT),
    ],
)
async def test_an_expansion_follows_the_hierarchy_where_its_definition_does(admin, includes, asked, shape):
    resources = value_set(*includes), value_set(url=f"{V}/all"), system()
    assert tree((await expanded(admin, *resources, **asked))["expansion"]["contains"]) == shape


async def test_a_concept_of_two_parents_has_no_one_place_in_a_tree(admin):
    both = {"code": "both", "property": [{"code": "parent", "valueCode": "a"}, {"code": "parent", "valueCode": "b"}]}
    two = system({"code": "a"}, {"code": "b"}, both, property=[{"code": "parent", "type": "code"}])
    assert tree((await expanded(admin, value_set(), two))["expansion"]["contains"]) == ["a", "b", "both"]


async def test_every_way_to_say_that_a_concept_is_not_for_use_is_told_as_its_status(admin):
    def having(code: str, prop: str, **value: Any) -> dict[str, Any]:
        return {"code": code, "property": [{"code": prop, **value}]}

    odd = system(
        having("old", "status", valueCode="retired"),
        having("off", "inactive", valueBoolean=True),
        having("out", "deprecated", valueBoolean=True),
        having("new", "status", valueCode="active"),
        having("test", "status", valueCode="experimental"),
        {
            "code": "gone",
            "extension": [{"url": f"{EXT}structuredefinition-standards-status", "valueCode": "withdrawn"}],
        },
        having("group", "abstract", valueBoolean=True),
        {"code": "plain"},
    )
    entries = {each["code"]: each for each in (await expanded(admin, value_set(), odd))["expansion"]["contains"]}
    assert {code: told(each).get("status") for code, each in entries.items()} == {
        **{"old": "retired", "off": "inactive", "out": "deprecated", "new": None, "test": "experimental"},
        **{"gone": "withdrawn", "group": None, "plain": None},
    }
    assert {code for code, each in entries.items() if each.get("inactive")} == {"old", "off", "gone"}
    assert {code for code, each in entries.items() if each.get("abstract")} == {"group"}
    active = await expanded(admin, value_set(), odd, activeOnly=True)
    assert {"old", "off", "gone"}.isdisjoint(each["code"] for each in active["expansion"]["contains"])


async def test_what_a_system_or_value_set_says_of_how_a_concept_is_shown_is_repeated(admin, loaded_system):
    style = {"url": f"{EXT}rendering-style", "valueString": "color: red"}
    label = {"url": f"{EXT}codesystem-label", "valueString": "a)"}
    weight = {"url": f"{EXT}itemWeight", "valueDecimal": 1.5}
    shown = system({"code": "saw", "extension": [style, label, weight]}, {"code": "knife"})
    await loaded_system(shown)
    own = {"url": f"{EXT}valueset-deprecated", "valueBoolean": True}
    order = {"url": f"{EXT}valueset-conceptOrder", "valueDecimal": 2}
    lists = value_set({"system": S, "concept": [{"code": "knife", "extension": [own, order]}, {"code": "saw"}]})
    for along in ((), (shown,)):
        answer = await expanded(admin, lists, *along)
        knife, saw = answer["expansion"]["contains"]
        assert own in knife["extension"] and told(knife) == {"order": 2}
        assert style in saw["extension"] and told(saw) == {"label": "a)", "weight": 1.5}
        defined = [e["extension"] for e in answer["expansion"]["extension"]]
        assert [{p["url"]: p.get("valueCode", p.get("valueUri")) for p in each} for each in defined] == [
            {"code": code, "uri": f"http://hl7.org/fhir/concept-properties#{name}"}
            for code, name in (("order", "order"), ("label", "label"), ("weight", "itemWeight"))
        ]


@pytest.fixture
def loaded_system(admin):
    """Stores a code system, so that it is read from the tables."""

    async def store(resource: dict[str, Any]) -> None:
        answer = await admin.put("/fhir/CodeSystem/tools", json={**resource, "id": "tools"})
        assert answer.status_code == 201, answer.text

    return store


@pytest.mark.parametrize(
    ("of_system", "of_set", "warning"),
    [
        ({"status": "draft"}, {}, "draft"),
        ({"status": "draft"}, {"status": "draft"}, None),
        ({"experimental": True}, {}, "experimental"),
        ({"experimental": True, "status": "draft"}, {}, "experimental"),
        ({"experimental": True}, {"experimental": True}, None),
        ({"status": "retired"}, {}, "retired"),
        (
            {"extension": [{"url": f"{EXT}structuredefinition-standards-status", "valueCode": "withdrawn"}]},
            {},
            "withdrawn",
        ),
    ],
)
async def test_an_expansion_warns_of_what_it_uses_and_does_not_say_itself(admin, of_system, of_set, warning):
    answer = await expanded(admin, value_set(**of_set), system(**of_system))
    warnings = [p for p in answer["expansion"]["parameter"] if p["name"].startswith("warning-")]
    assert warnings == ([{"name": f"warning-{warning}", "valueUri": f"{S}|1.0"}] if warning else [])


async def test_an_imported_value_set_that_is_an_experiment_is_warned_of(admin):
    answer = await expanded(
        admin, value_set({"valueSet": [f"{V}/all"]}), value_set(url=f"{V}/all", experimental=True), system()
    )
    assert {"name": "warning-experimental", "valueUri": f"{V}/all|1"} in answer["expansion"]["parameter"]
    assert {"name": "used-valueset", "valueUri": f"{V}/all|1"} in answer["expansion"]["parameter"]


async def test_the_definition_is_told_where_it_is_asked_for(admin):
    described = value_set(BELOW, description="All that cuts.")
    assert "compose" not in await expanded(admin, described, system())
    whole = await expanded(admin, described, system(), includeDefinition=True)
    assert whole["compose"] == described["compose"] and whole["description"] == "All that cuts."
    assert {"name": "includeDefinition", "valueBoolean": True} in whole["expansion"]["parameter"]


async def test_an_expansion_that_is_too_large_is_refused_or_cut_where_that_will_do(admin):
    many = system(*({"code": f"c{number}"} for number in range(10_001)))
    issue = (await expanded(admin, value_set(), many, status=422))["issue"][0]
    assert issue["code"] == "too-costly"
    for asked, shown in (({"limitedExpansion": True}, 10_000), ({"_limit": 7, "_incomplete": True}, 7)):
        answer = await expanded(admin, value_set(), many, **asked)
        assert len(answer["expansion"]["contains"]) == shown
        assert {"url": f"{EXT}valueset-toocostly", "valueBoolean": True} in answer["expansion"]["extension"]
    few = await expanded(admin, value_set(), system(), limitedExpansion=True)
    assert "extension" not in few["expansion"]


async def test_a_code_in_another_case_than_its_system_writes_it_is_that_code_where_case_does_not_matter(admin):
    listed = value_set({"system": S, "concept": [{"code": "SAW"}, {"code": "axe"}]})
    for minds, shown in ((True, []), (False, ["SAW"]), (None, ["SAW"])):
        said = {"caseSensitive": minds} if minds is not None else {}
        about = {k: v for k, v in system().items() if k != "caseSensitive"} | said
        contains = (await expanded(admin, listed, about))["expansion"].get("contains", [])
        assert [each["code"] for each in contains] == shown, minds
        assert [each["display"] for each in contains] == ["Saw"] * len(shown), minds


async def test_of_two_versions_of_a_system_the_newer_comes_first(admin):
    both = value_set({"system": S, "version": "1.0"}, {"system": S, "version": "1.10"})
    answer = await expanded(admin, both, system({"code": "old"}), system({"code": "new"}, version="1.10"))
    assert [(each["code"], each["version"]) for each in answer["expansion"]["contains"]] == [
        ("new", "1.10"),
        ("old", "1.0"),
    ]


@pytest.mark.parametrize(
    ("includes", "exclude", "shown"),
    [
        (
            ["1.0", "1.10"],
            {"version": "1.10", "concept": [{"code": "both"}]},
            [("new", "1.10"), ("both", "1.0"), ("old", "1.0")],
        ),
        (["1.0"], {"version": "1.10", "concept": [{"code": "both"}]}, [("old", "1.0")]),
        (["1.10"], {"version": "1.0"}, [("new", "1.10")]),
        ([None], {"concept": [{"code": "both"}]}, [("new", None)]),
        ([None, "1.0"], {"concept": [{"code": "both"}]}, [("new", "1.10"), ("both", "1.0"), ("old", "1.0")]),
    ],
)
async def test_an_exclusion_is_of_the_version_that_it_names(admin, includes, exclude, shown):
    old = system({"code": "both"}, {"code": "old"})
    new = system({"code": "both"}, {"code": "new"}, version="1.10")
    parts = [{"system": S, **({"version": version} if version else {})} for version in includes]
    answer = await expanded(admin, value_set(*parts, compose={"exclude": [{"system": S, **exclude}]}), old, new)
    assert [(each["code"], each.get("version")) for each in answer["expansion"]["contains"]] == shown


async def test_a_value_set_is_sent_as_the_body_with_parameters_in_the_address(admin):
    listed = value_set({"system": "http://hl7.org/fhir/administrative-gender"})
    answer = await admin.post("/fhir/ValueSet/$expand?count=2&_incomplete=true", json=listed)
    assert answer.status_code == 200, answer.text
    assert [each["code"] for each in answer.json()["expansion"]["contains"]] == ["male", "female"]
    question = {"resourceType": "Parameters", "parameter": [{"name": "valueSet", "resource": listed}]}
    told = await admin.post("/fhir/ValueSet/$validate-code?code=male&inferSystem=true", json=question)
    assert named(told.json(), "result") == [True]


@pytest.mark.parametrize(
    ("include", "code", "kind", "message_id", "sentence"),
    [
        (
            {"system": "http://example.org/none"},
            *("not-found", "not-found", "UNKNOWN_CODESYSTEM_EXP"),
            "A definition for CodeSystem 'http://example.org/none' could not be found, so the value set cannot be expanded",
        ),
        (
            {"system": "http://example.org/none", "version": "2"},
            *("not-found", "not-found", "UNKNOWN_CODESYSTEM_VERSION_EXP_NONE"),
            "A definition for CodeSystem 'http://example.org/none' version '2' could not be found, so the value set cannot be"
            " expanded. No versions of this code system are known",
        ),
        (
            {"system": S, "version": "2"},
            *("not-found", "not-found", "UNKNOWN_CODESYSTEM_VERSION_EXP"),
            f"A definition for CodeSystem '{S}' version '2' could not be found, so the value set cannot be expanded. Valid"
            " versions: 1.0",
        ),
        (
            {"valueSet": [f"{V}/none"]},
            *("not-found", "not-found", "Unable_to_resolve_value_Set_"),
            f"A definition for the value Set '{V}/none' could not be found",
        ),
        (
            {"valueSet": [V]},
            *("processing", "vs-invalid", "VALUESET_CIRCULAR_REFERENCE"),
            f"Found a circularity pointing to {V}|1 processing ValueSet with pathway [{V}|1]",
        ),
        (
            {"system": S, "filter": [{"property": "wings", "op": "=", "value": "2"}]},
            *("not-supported", "vs-invalid", "FILTER_NOT_UNDERSTOOD"),
            f'The filter "wings = 2" was not understood in the context of {S}',
        ),
    ],
)
async def test_what_stands_in_the_way_of_an_expansion_has_a_code_a_name_and_a_sentence(
    admin, include, code, kind, message_id, sentence
):
    statuses = {"not-found": 404, "processing": 422, "not-supported": 400}
    (issue,) = (await expanded(admin, value_set(include), system(), status=statuses[code]))["issue"]
    assert (issue["code"], issue["details"]["coding"][0]["code"], issue["details"]["text"]) == (code, kind, sentence)
    assert issue["extension"] == [{"url": f"{EXT}operationoutcome-message-id", "valueString": message_id}]


BROKEN: list[dict[str, Any]] = [
    *(
        system(**said)
        for said in (
            {"concept": "x"},
            {"concept": [{}]},
            {"concept": [7]},
            {"concept": [{"code": 7}]},
            {"concept": [{"code": "a", "extension": [7]}]},
            {"concept": [{"code": "a", "designation": [{}]}]},
            {"concept": [{"code": "a", "property": [{"valueCode": "x"}]}]},
            {"concept": [{"code": "a", "property": [{"code": "x", "value": 1}]}]},
            {"property": [{}]},
            {"version": 7},
            {"url": 7},
            {"supplements": 7, "content": "supplement"},
        )
    ),
    *(
        {**value_set(), **said}
        for said in (
            {"compose": "x"},
            {"compose": {"include": "x"}},
            {"compose": {"include": [{"system": 7}]}},
            {"compose": {"include": [{"system": S, "concept": [{}]}]}},
            {"compose": {"include": [{"system": S, "concept": [{"code": "saw", "extension": "x"}]}]}},
            {"compose": {"include": [{"system": S, "filter": [{}]}]}},
            {"compose": {"include": [{"system": S, "version": {}}]}},
            {"compose": {"include": [{"valueSet": 7}]}},
            {"compose": {"include": [{"valueSet": [7]}]}},
            {"extension": "x"},
            {"extension": [7]},
            {"version": 7},
            {"contained": [7]},
            {"language": 7},
            {"status": {}},
        )
    ),
]


async def test_definitions_that_are_no_fhir_are_answered_or_refused_and_never_a_failure(admin):
    coding = {"name": "coding", "valueCoding": {"system": S, "code": "saw"}}
    for broken in BROKEN:
        others = [each for each in (value_set(), system()) if each["resourceType"] != broken["resourceType"]]
        asked = parameters(url=V, **{"tx-resource": [broken, *others]})
        for operation, more in (("$expand", []), ("$validate-code", [coding])):
            body = {"resourceType": "Parameters", "parameter": [*asked, *more]}
            answer = await admin.post(f"/fhir/ValueSet/{operation}", json=body)
            assert answer.status_code < 500, (str(broken), operation)
