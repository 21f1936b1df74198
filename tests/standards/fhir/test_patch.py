"""http.html#patch: JSON Patch (RFC 6902) and FHIRPath Patch (fhirpatch.html)."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import element_paths, patch

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "active": True,
    "name": [
        {"use": "official", "family": "Quennell", "given": ["Ada", "May"], "_given": [None, {"id": "second"}]},
        {"use": "usual", "text": "A. Quennell"},
    ],
    "birthDate": "1971-03-09",
    "_birthDate": {"extension": [{"url": "urn:time", "valueDateTime": "1971-03-09T01:02:03Z"}]},
    "deceasedBoolean": False,
    "contact": [{"name": {"family": "Ames"}}],
    "contained": [{"resourceType": "Organization", "id": "o", "name": "Ward"}],
    "extension": [{"url": "urn:x", "valueCode": "a"}],
    "multipleBirthInteger": 2,
}
OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "o",
    "status": "final",
    "code": {"text": "weight"},
    "valueQuantity": {"value": Decimal("72.50"), "unit": "kg"},
    "component": [{"code": {"text": "part"}, "valueString": "a"}],
}


def operation(kind: str, path: str, **parts: Any) -> dict:
    listed = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": path}]
    return {"name": "operation", "part": [*listed, *({"name": name, **part} for name, part in parts.items())]}


def patched(resource: dict, *operations: dict) -> dict:
    return patch.fhirpath_patch(resource, {"resourceType": "Parameters", "parameter": list(operations)})


def text(value: str) -> dict:
    return {"valueString": value}


def number(value: int) -> dict:
    return {"valueInteger": value}


# --- where elements stand -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "places"),
    [
        ("Patient", [("", None, "Patient")]),
        ("name", [("name", 0, "HumanName"), ("name", 1, "HumanName")]),
        ("Patient.name.where(use = 'official').given[1]", [("given", 1, "string")]),
        ("Patient.name.last()", [("name", 1, "HumanName")]),
        ("Patient.deceased", [("deceasedBoolean", None, "boolean")]),
        ("Patient.contact.name", [("name", None, "HumanName")]),
        ("Patient.contact", [("contact", 0, "Patient.contact")]),
        ("Patient.contained.name", [("name", None, "string")]),
        ("Patient.extension('urn:x').value", [("valueCode", None, "code")]),
        ("Patient.birthDate.extension('urn:time').value", [("valueDateTime", None, "dateTime")]),
        ("Patient.name[0].given[1].id", [("id", None, "string")]),
        ("Patient.maritalStatus", []),
        ("Patient.name.count()", []),
    ],
)
def test_a_path_finds_places(path: str, places: list) -> None:
    assert [(found.name, found.index, found.path) for found in element_paths.find(PATIENT, path)] == places


@pytest.mark.parametrize(
    "path", ["name.where(", "name[", "x" * 1001, "name.given.where($this.matches('(a+)+$'))", "1 +"]
)
def test_text_that_is_no_path_or_may_run_for_years_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput):
        element_paths.find(PATIENT, path)


# --- FHIRPath Patch -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operations", "changed"),
    [
        ([operation("add", "Patient", name=text("gender"), value={"valueCode": "female"})], {"gender": "female"}),
        (
            [operation("add", "Patient.contact[0]", name=text("gender"), value={"valueCode": "male"})],
            {"contact": [{"name": {"family": "Ames"}, "gender": "male"}]},
        ),
        (
            [
                operation(
                    "add",
                    "Patient",
                    name=text("contact"),
                    value={
                        "part": [
                            {"name": "name", "valueHumanName": {"text": "B"}},
                            {"name": "relationship", "valueCodeableConcept": {"text": "kin"}},
                            {"name": "relationship", "valueCodeableConcept": {"text": "carer"}},
                        ]
                    },
                )
            ],
            {
                "contact": [
                    {"name": {"family": "Ames"}},
                    {"name": {"text": "B"}, "relationship": [{"text": "kin"}, {"text": "carer"}]},
                ]
            },
        ),
        (
            [operation("insert", "Patient.name[0].given", index=number(1), value=text("Eve"))],
            {
                "name": [
                    {
                        "use": "official",
                        "family": "Quennell",
                        "given": ["Ada", "Eve", "May"],
                        "_given": [None, None, {"id": "second"}],
                    },
                    PATIENT["name"][1],
                ]
            },
        ),
        (
            [operation("insert", "Patient.telecom", index=number(0), value={"valueContactPoint": {"value": "1"}})],
            {"telecom": [{"value": "1"}]},
        ),
        (
            [operation("move", "Patient.name[0].given", source=number(1), destination=number(0))],
            {
                "name": [
                    {
                        "use": "official",
                        "family": "Quennell",
                        "given": ["May", "Ada"],
                        "_given": [{"id": "second"}, None],
                    },
                    PATIENT["name"][1],
                ]
            },
        ),
        (
            [operation("delete", "Patient.name[0].given[1]")],
            {"name": [{"use": "official", "family": "Quennell", "given": ["Ada"]}, PATIENT["name"][1]]},
        ),
        ([operation("delete", "Patient.contact"), operation("delete", "Patient.contact")], {"contact": None}),
        ([operation("delete", "Patient.birthDate")], {"birthDate": None, "_birthDate": None}),
        ([operation("delete", "Patient.birthDate.extension('urn:time')")], {"_birthDate": None}),
        ([operation("delete", "Patient.maritalStatus")], {}),
        (
            [operation("replace", "Patient.deceased", value={"valueDateTime": "2020-01-01"})],
            {"deceasedBoolean": None, "deceasedDateTime": "2020-01-01"},
        ),
        (
            [operation("replace", "Patient.birthDate", value={"valueDate": "1972"})],
            {"birthDate": "1972", "_birthDate": None},
        ),
        (
            [operation("replace", "Patient.contained[0].name", value=text("Annex"))],
            {"contained": [{"resourceType": "Organization", "id": "o", "name": "Annex"}]},
        ),
        (
            [
                operation(
                    "add",
                    "Patient.birthDate",
                    name=text("extension"),
                    value={"valueExtension": {"url": "urn:y", "valueCode": "b"}},
                )
            ],
            {"_birthDate": {"extension": [*PATIENT["_birthDate"]["extension"], {"url": "urn:y", "valueCode": "b"}]}},
        ),
        (
            [operation("add", "Patient.active", name=text("id"), value=text("here"))],
            {"_active": {"id": "here"}},
        ),
    ],
)
def test_an_operation_changes_what_it_names_and_nothing_else(operations: list, changed: dict) -> None:
    before = copy.deepcopy(PATIENT)
    after = patched(PATIENT, *operations)
    assert before == PATIENT
    expected = {name: value for name, value in {**PATIENT, **changed}.items() if value is not None}
    assert after == expected


def test_a_choice_has_one_value_and_its_property_follows_the_type() -> None:
    replaced = patched(OBSERVATION, operation("replace", "Observation.value", value=text("heavy")))
    assert "valueQuantity" not in replaced
    assert replaced["valueString"] == "heavy"
    with pytest.raises(InvalidInput, match="already"):
        patched(OBSERVATION, operation("add", "Observation", name=text("value"), value=text("heavy")))
    exact = patched(
        OBSERVATION, operation("replace", "Observation.value.value", value={"valueDecimal": Decimal("72.60")})
    )
    assert str(exact["valueQuantity"]["value"]) == "72.60"


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (operation("delete", "Patient.name"), "processing"),
        (operation("delete", "Patient"), "processing"),
        (operation("replace", "Patient", value=text("x")), "processing"),
        (operation("replace", "Patient.gender", value={"valueCode": "male"}), "processing"),
        (operation("replace", "Patient.id", value={"valueId": "q"}), "business-rule"),
        (operation("add", "Patient", name=text("nickname"), value=text("x")), "processing"),
        (operation("add", "Patient", name=text("birthDate"), value={"valueDate": "1972"}), "processing"),
        (operation("add", "Patient", value=text("x")), "required"),
        (operation("add", "Patient", name=text("gender")), "required"),
        (operation("add", "Patient", name=text("gender"), value={}), "structure"),
        (operation("insert", "Patient.name", index=number(3), value={"valueHumanName": {}}), "processing"),
        (operation("insert", "Patient.birthDate", index=number(0), value={"valueDate": "1"}), "processing"),
        (operation("insert", "Patient.name", value={"valueHumanName": {}}), "required"),
        (operation("move", "Patient.name", source=number(0), destination=number(2)), "processing"),
        (operation("move", "Patient.name", source=number(-1), destination=number(0)), "processing"),
        (operation("shift", "Patient.name"), "code-invalid"),
        ({"name": "operation"}, "structure"),
        ({"name": "operation", "part": ["x"]}, "structure"),
        ({"name": "operation", "part": [{"name": "type", "valueCode": ["add"]}]}, "code-invalid"),
        ("operation", "structure"),
    ],
)
def test_an_operation_that_does_not_fit_is_refused_at_its_place(broken: Any, code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        patched(PATIENT, operation("delete", "Patient.active"), broken)
    assert refused.value.code == code
    if code != "business-rule":
        assert refused.value.expression == "Parameters.parameter[1]"


def test_what_is_no_patch_is_refused() -> None:
    for parameters in (
        {"resourceType": "Patient"},
        {"resourceType": "Parameters"},
        {"resourceType": "Parameters", "parameter": {}},
    ):
        with pytest.raises(InvalidInput):
            patch.fhirpath_patch(PATIENT, parameters)


# --- JSON Patch ---------------------------------------------------------------------------------------------------


def test_a_json_patch_keeps_digits_and_leaves_nothing_empty() -> None:
    after = patch.json_patch(
        OBSERVATION,
        [
            {"op": "test", "path": "/valueQuantity/value", "value": Decimal("72.5")},
            {"op": "copy", "from": "/valueQuantity", "path": "/component/0/valueQuantity"},
            {"op": "remove", "path": "/component/0/valueString"},
            {"op": "remove", "path": "/code/text"},
        ],
    )
    assert str(after["component"][0]["valueQuantity"]["value"]) == "72.50"
    assert "code" not in after
    assert OBSERVATION["code"] == {"text": "weight"}


@pytest.mark.parametrize(
    ("operations", "code"),
    [
        ([{"op": "test", "path": "/active", "value": 1}], "processing"),
        ([{"op": "test", "path": "/nothing", "value": None}], "processing"),
        ([{"op": "remove", "path": "/nothing"}], "processing"),
        ([{"op": "add", "path": "/name/7", "value": {}}], "processing"),
        ([{"op": "add", "path": "/active/x", "value": {}}], "processing"),
        ([{"op": "replace", "path": "", "value": []}], "processing"),
        ([{"op": "remove", "path": "/id"}], "business-rule"),
        ([{"op": "replace", "path": "", "value": {"resourceType": "Patient", "id": "q"}}], "business-rule"),
        ([{"op": "remove"}], "structure"),
        ([{"op": "remove", "path": 3}], "structure"),
        ([{"path": "/active"}], "structure"),
        ([{"op": "frobnicate", "path": "/active"}], "structure"),
        ([{"op": "copy", "path": "/x"}], "structure"),
        ([{"op": "copy", "from": 3, "path": "/x"}], "structure"),
        ([{"op": "move", "from": "/name", "path": "/name/0"}], "processing"),
        (["remove"], "structure"),
        ({"op": "remove", "path": "/active"}, "structure"),
        ([{"op": "test", "path": "/active", "value": True}] * 10_001, "too-long"),
    ],
)
def test_a_json_patch_that_does_not_fit_is_refused_without_a_value(operations: Any, code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        patch.json_patch(PATIENT, operations)
    assert refused.value.code == code
    assert "Quennell" not in str(refused.value)


def test_copies_that_double_the_document_again_and_again_are_stopped() -> None:
    grow = [{"op": "copy", "from": "/name", "path": f"/name/{number}/extension"} for number in (0, 1)] * 40
    with pytest.raises(InvalidInput) as refused:
        patch.json_patch(PATIENT, grow)
    assert refused.value.code == "too-costly"


@given(st.permutations(["Ada", "May", "Eve"]), st.integers(0, 2), st.integers(0, 2))
def test_moving_there_and_back_is_no_change(given_names: list[str], source: int, destination: int) -> None:
    person = {"resourceType": "Patient", "id": "p", "name": [{"given": given_names}]}
    there = operation("move", "Patient.name[0].given", source=number(source), destination=number(destination))
    back = operation("move", "Patient.name[0].given", source=number(destination), destination=number(source))
    assert patched(person, there, back) == person


def test_operations_that_nest_deeper_and_deeper_are_stopped() -> None:
    nested: Any = {"extension": []}
    for _ in range(20):
        nested = {"extension": [nested]}
    path, deeper = "/extension", []
    for _ in range(200):
        deeper.append({"op": "add", "path": f"{path}/-", "value": nested})
        path += "/0" + "/extension/0" * 20 + "/extension"
    with pytest.raises(InvalidInput) as refused:
        patch.json_patch({"resourceType": "Basic", "id": "b", "extension": []}, deeper)
    assert refused.value.code == "structure"


def test_a_merge_patch_replaces_properties_and_null_takes_them_away() -> None:
    change = {"gender": "female", "active": None, "maritalStatus": {"text": "single", "coding": None}}
    after = patch.merge_patch(PATIENT, change)
    assert after["gender"] == "female"
    assert "active" not in after
    assert after["maritalStatus"] == {"text": "single"}
    assert after["name"] is not None
    with pytest.raises(InvalidInput):
        patch.merge_patch(PATIENT, {"id": "q"})


POINTERS = st.sampled_from(
    ["", "/", "/name", "/name/-", "/name/0/given/1", "/active", "/name/9", "/a~1b", "name", "/name/01"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "frob"]) | VALUES,
                "path": POINTERS | VALUES,
                "from": POINTERS | VALUES,
                "value": VALUES,
            },
        ),
        max_size=4,
    )
)
def test_whatever_is_sent_as_a_json_patch_gives_a_resource_or_a_refusal(operations: list) -> None:
    try:
        after = patch.json_patch(PATIENT, operations)
    except InvalidInput:
        return
    assert (after["resourceType"], after["id"]) == ("Patient", "p")


@given(
    st.lists(
        st.builds(
            lambda kind, path, parts: operation(kind, path, **parts),
            st.sampled_from(["add", "insert", "delete", "replace", "move"]),
            st.sampled_from(
                ["Patient", "Patient.name", "name[0].given", "name[0].given[1]", "active", "deceased", "birthDate"]
            ),
            st.dictionaries(
                st.sampled_from(["name", "value", "index", "source", "destination"]),
                st.sampled_from(
                    [
                        text("given"),
                        text("name"),
                        {"valueBoolean": True},
                        number(0),
                        number(5),
                        {"part": [{"name": "family", "valueString": "x"}]},
                        {"part": [{}]},
                        {},
                    ]
                ),
            ),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_whatever_is_sent_as_a_fhirpath_patch_gives_a_resource_or_a_refusal(operations: list) -> None:
    try:
        after = patched(PATIENT, *operations)
    except InvalidInput:
        return
    assert (after["resourceType"], after["id"]) == ("Patient", "p")
