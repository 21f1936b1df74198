"""profiling.html: what a profile demands is demanded, and nothing else."""

from __future__ import annotations

import copy
import gzip
import io
import tarfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import json, validate
from healthsync.standards.fhir.outcome import Issue
from healthsync.standards.fhir.profiles import Library, Profiles, compact, declared, packages, read

BASE = "http://example.org/fhir/"
US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/"
Change = Callable[[dict[str, Any]], Any]


def profile(type_: str, *elements: dict[str, Any], url: str = "p", base: str | None = None) -> dict[str, Any]:
    return {
        "resourceType": "StructureDefinition",
        "url": BASE + url,
        "kind": "resource",
        "type": type_,
        "derivation": "constraint",
        "baseDefinition": base or f"http://hl7.org/fhir/StructureDefinition/{type_}",
        "differential": {"element": [{"path": type_}, *elements]},
    }


def errors(resource: dict[str, Any], *resources: dict[str, Any], url: str = "p") -> list[tuple[str, str]]:
    """(code, place) of each error."""
    return [(issue.code, issue.expression or "") for issue in told(resource, *resources, url=url) if issue.is_error]


def told(resource: dict[str, Any], *resources: dict[str, Any], url: str = "p") -> list[Issue]:
    assert validate.structure(resource) == []
    return Profiles(Library.of(resources)).check(resource, BASE + url)


def patient(**facts: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", **facts}


def observation(**facts: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, **facts}


def concept(code: str, system: str = "urn:s") -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


# --- single elements ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("element", "good", "bad", "fault"),
    [
        ({"path": "Patient.birthDate", "min": 1}, patient(birthDate="2000"), patient(active=True), ("structure", "Patient")),
        ({"path": "Patient.name", "max": "1"}, patient(name=[{"text": "a"}]), patient(name=[{"text": "a"}] * 2), ("structure", "Patient")),
        ({"path": "Patient.photo", "max": "0"}, patient(active=True), patient(photo=[{"url": "urn:a"}]), ("structure", "Patient")),
        ({"path": "Patient.gender", "fixedCode": "female"}, patient(gender="female"), patient(gender="male"), ("value", "Patient.gender")),
        ({"path": "Patient.maritalStatus", "patternCodeableConcept": concept("M")}, patient(maritalStatus={**concept("M"), "text": "x"}), patient(maritalStatus=concept("S")), ("value", "Patient.maritalStatus")),
        ({"path": "Patient.deceased[x]", "type": [{"code": "dateTime"}]}, patient(deceasedDateTime="2020"), patient(deceasedBoolean=True), ("structure", "Patient.deceased")),
        ({"path": "Patient.name.family", "maxLength": 3}, patient(name=[{"family": "Fox"}]), patient(name=[{"family": "Foxx"}]), ("too-long", "Patient.name[0].family")),
        ({"path": "Patient.birthDate", "minValueDate": "1900-01-01"}, patient(birthDate="1900-01-01"), patient(birthDate="1899-12-31"), ("invalid", "Patient.birthDate")),
        ({"path": "Patient.multipleBirth[x]", "maxValueInteger": 8}, patient(multipleBirthInteger=8), patient(multipleBirthInteger=9), ("invalid", "Patient.multipleBirth")),
        ({"path": "Patient.generalPractitioner", "type": [{"code": "Reference", "targetProfile": ["http://hl7.org/fhir/StructureDefinition/Practitioner"]}]}, patient(generalPractitioner=[{"reference": "Practitioner/1"}]), patient(generalPractitioner=[{"reference": "Organization/1"}]), ("structure", "Patient.generalPractitioner[0]")),
        ({"path": "Patient.contact", "constraint": [{"key": "x-1", "severity": "error", "human": "a name", "expression": "name.exists()"}]}, patient(contact=[{"name": {"text": "a"}}]), patient(contact=[{"telecom": [{"system": "phone", "value": "1"}]}]), ("invariant", "Patient.contact[0]")),
    ],
)  # fmt: skip
def test_each_kind_of_demand_is_made(element: dict[str, Any], good: Any, bad: Any, fault: tuple[str, str]) -> None:
    assert errors(good, profile("Patient", element)) == []
    assert errors(bad, profile("Patient", element)) == [fault]


def test_a_differential_need_not_name_the_type_itself() -> None:
    (named := profile("Patient", {"path": "Patient.name", "min": 1}))["differential"]["element"].pop(0)
    assert errors(patient(), named) == [("structure", "Patient")]
    assert errors(patient(name=[{"family": "x"}]), named) == []


def test_a_profile_of_endless_depth_is_said_to_be_unchecked() -> None:
    deep = profile("Patient", {"path": "Patient" + ".contact" * 5_000, "min": 1})
    (issue,) = told(patient(), deep)
    assert (issue.severity, issue.code) == ("warning", "processing")


def test_a_demand_of_a_part_is_made_only_where_its_whole_is_there() -> None:
    demand = profile("Patient", {"path": "Patient.contact.name", "min": 1})
    assert errors(patient(active=True), demand) == []
    assert errors(patient(contact=[{"telecom": [{"system": "phone", "value": "1"}]}]), demand) == [
        ("structure", "Patient.contact[0]")
    ]


def test_an_invariant_that_only_advises_is_a_warning() -> None:
    rule = {"key": "x-1", "severity": "warning", "human": "better with a name", "expression": "name.exists()"}
    (issue,) = told(
        patient(active=True),
        profile("Patient", {"path": "Patient.active", "constraint": []})
        | {"differential": {"element": [{"path": "Patient", "constraint": [rule]}]}},
    )
    assert (issue.severity, issue.code, issue.expression) == ("warning", "invariant", "Patient")
    assert issue.diagnostics == f"x-1: better with a name ({BASE}p)"


def test_an_invariant_that_cannot_be_read_is_said_to_be_unchecked() -> None:
    rule = {"key": "x-1", "severity": "error", "human": "h", "expression": "slice('a').exists()"}
    (issue,) = told(
        patient(active=True),
        profile("Patient") | {"differential": {"element": [{"path": "Patient", "constraint": [rule]}]}},
    )
    assert (issue.severity, issue.code) == ("information", "not-supported")


def test_a_profile_for_another_type_is_an_error() -> None:
    assert errors(patient(active=True), profile("Observation")) == [("structure", "Patient")]


@pytest.mark.parametrize(("name", "found"), [("Observation", ["structure"]), ("Patient", []), ("DomainResource", [])])
def test_the_definition_of_a_type_is_a_profile_of_that_type(name: str, found: list[str]) -> None:
    issues = Profiles(Library.of([])).check(patient(), f"http://hl7.org/fhir/StructureDefinition/{name}")
    assert [issue.code for issue in issues if issue.is_error] == found


def test_a_differential_lies_over_its_base_profile() -> None:
    base = profile("Patient", {"path": "Patient.name", "min": 1}, url="base")
    derived = profile("Patient", {"path": "Patient.birthDate", "min": 1}, base=BASE + "base")
    assert errors(patient(active=True), base, derived) == [("structure", "Patient")] * 2
    assert errors(patient(name=[{"text": "x"}], birthDate="2000"), base, derived) == []


@pytest.mark.parametrize("base", [BASE + "missing", BASE + "p"])
def test_a_profile_whose_base_cannot_be_found_is_said_to_be_unchecked(base: str) -> None:
    (issue,) = told(patient(active=True), profile("Patient", base=base))
    assert (issue.severity, issue.code) == ("warning", "processing")


def test_a_profile_that_is_not_loaded_is_refused() -> None:
    with pytest.raises(InvalidInput) as raised:
        told(patient(active=True), url="unknown")
    assert raised.value.code == "not-found"


# --- codes --------------------------------------------------------------------------------------------------------

SYSTEM = {
    "resourceType": "CodeSystem",
    "url": "urn:s",
    "content": "complete",
    "concept": [
        {"code": "animal", "concept": [{"code": "cat"}, {"code": "dog", "concept": [{"code": "pug"}]}]},
        {"code": "stone"},
    ],
}


def value_set(*include: dict[str, Any], url: str = "vs", **compose: Any) -> dict[str, Any]:
    return {"resourceType": "ValueSet", "url": BASE + url, "compose": {"include": list(include), **compose}}


@pytest.mark.parametrize(
    ("compose", "inside", "outside"),
    [
        ({"include": [{"system": "urn:s"}]}, ["cat", "stone"], ["tree"]),
        ({"include": [{"system": "urn:s", "concept": [{"code": "cat"}]}]}, ["cat"], ["dog"]),
        ({"include": [{"system": "urn:s", "filter": [{"property": "concept", "op": "is-a", "value": "dog"}]}]}, ["dog", "pug"], ["cat"]),
        ({"include": [{"system": "urn:s", "filter": [{"property": "concept", "op": "descendent-of", "value": "dog"}]}]}, ["pug"], ["dog"]),
        ({"include": [{"system": "urn:s"}], "exclude": [{"system": "urn:s", "concept": [{"code": "dog"}]}]}, ["cat"], ["dog"]),
        ({"include": [{"valueSet": [BASE + "cats"]}]}, ["cat"], ["dog"]),
        ({"include": [{"system": "urn:s", "valueSet": [BASE + "cats"]}]}, ["cat"], ["dog"]),
    ],
)  # fmt: skip
def test_codes_are_looked_up_in_value_sets_of_the_package(compose: Any, inside: list[str], outside: list[str]) -> None:
    codes = {"resourceType": "ValueSet", "url": BASE + "vs", "compose": compose}
    cats = value_set({"system": "urn:s", "concept": [{"code": "cat"}]}, url="cats")
    bound = {"path": "Patient.maritalStatus", "binding": {"strength": "required", "valueSet": BASE + "vs"}}
    for code in inside:
        assert errors(patient(maritalStatus=concept(code)), profile("Patient", bound), codes, cats, SYSTEM) == []
    for code in outside:
        found = errors(patient(maritalStatus=concept(code)), profile("Patient", bound), codes, cats, SYSTEM)
        assert found == [("code-invalid", "Patient.maritalStatus")]


@pytest.mark.parametrize(
    ("strength", "listed", "severity", "code"),
    [
        ("required", True, "error", "code-invalid"),
        ("extensible", True, "warning", "code-invalid"),
        ("required", False, "information", "not-supported"),
        ("extensible", False, "information", "not-supported"),
    ],
)
def test_the_strength_of_a_binding_decides_and_what_cannot_be_listed_is_said(
    strength: str, listed: bool, severity: str, code: str
) -> None:
    codes = value_set({"system": "urn:s", "concept": [{"code": "a"}]} if listed else {"system": "urn:unknown"})
    bound = {"path": "Patient.maritalStatus", "binding": {"strength": strength, "valueSet": BASE + "vs"}}
    told_of = concept("b", "urn:s" if listed else "urn:unknown")
    (issue,) = told(patient(maritalStatus=told_of), profile("Patient", bound), codes)
    assert (issue.severity, issue.code) == (severity, code)


def test_a_code_of_a_system_that_the_value_set_does_not_name_is_outside_even_when_the_rest_is_unknown() -> None:
    codes = value_set(
        {"system": "http://snomed.info/sct", "filter": [{"property": "concept", "op": "is-a", "value": "1"}]}
    )
    bound = {"path": "Patient.maritalStatus", "binding": {"strength": "required", "valueSet": BASE + "vs"}}
    assert errors(patient(maritalStatus=concept("a")), profile("Patient", bound), codes) == [
        ("code-invalid", "Patient.maritalStatus")
    ]


def test_value_sets_that_import_each_other_end() -> None:
    one, two = value_set({"valueSet": [BASE + "b"]}, url="a"), value_set({"valueSet": [BASE + "a"]}, url="b")
    bound = {"path": "Patient.maritalStatus", "binding": {"strength": "required", "valueSet": BASE + "a"}}
    (issue,) = told(patient(maritalStatus=concept("x")), profile("Patient", bound), one, two)
    assert issue.severity == "information"


# --- slicing ------------------------------------------------------------------------------------------------------


def sliced(
    type_: str, path: str, discriminator: tuple[str, str], *slices: dict[str, Any], **slicing: Any
) -> dict[str, Any]:
    """A profile with one sliced element; each slice brings its own elements (paths below `path`)."""
    kind, at = discriminator
    rule = {"discriminator": [{"type": kind, "path": at}], "rules": "open", **slicing}
    listed: list[dict[str, Any]] = [{"id": path, "path": path, "slicing": rule}]
    for number, one in enumerate(slices, 1):
        name = f"{path}:s{number}"
        own = {key: value for key, value in one.items() if key != "below"}
        listed.append({"id": name, "path": path, "sliceName": f"s{number}", **own})
        listed += [
            {"id": f"{name}.{below}", "path": f"{path}.{below}", **facts}
            for below, facts in one.get("below", {}).items()
        ]
    return profile(type_, *listed)


ONE_OF_A = {"min": 1, "max": "1", "below": {"system": {"fixedUri": "urn:a"}}}
ID_A, ID_B = {"system": "urn:a", "value": "1"}, {"system": "urn:b", "value": "1"}
IDENTIFIERS = ("value", "system")


def test_slices_are_counted_each() -> None:
    demand = sliced("Patient", "Patient.identifier", IDENTIFIERS, ONE_OF_A)
    assert errors(patient(identifier=[ID_A, ID_B, ID_B]), demand) == []
    assert errors(patient(identifier=[ID_B]), demand) == [("structure", "Patient")]
    assert errors(patient(identifier=[ID_A, ID_A]), demand) == [("structure", "Patient")]


def test_closed_slicing_takes_nothing_else() -> None:
    demand = sliced("Patient", "Patient.identifier", IDENTIFIERS, ONE_OF_A, rules="closed")
    assert errors(patient(identifier=[ID_A, ID_B]), demand) == [("structure", "Patient.identifier[1]")]


def test_open_at_end_takes_others_at_the_end_only() -> None:
    demand = sliced("Patient", "Patient.identifier", IDENTIFIERS, ONE_OF_A, rules="openAtEnd")
    assert errors(patient(identifier=[ID_A, ID_B]), demand) == []
    assert errors(patient(identifier=[ID_B, ID_A]), demand) == [("structure", "Patient.identifier[1]")]


def test_ordered_slices_stand_in_their_order() -> None:
    second = {"below": {"system": {"fixedUri": "urn:b"}}}
    demand = sliced("Patient", "Patient.identifier", IDENTIFIERS, ONE_OF_A, second, ordered=True)
    assert errors(patient(identifier=[ID_A, ID_B]), demand) == []
    assert errors(patient(identifier=[ID_B, ID_A]), demand) == [("structure", "Patient.identifier[1]")]


def test_what_is_demanded_of_a_slice_is_demanded_of_its_elements_only() -> None:
    demand = sliced(
        "Patient", "Patient.identifier", IDENTIFIERS, {"below": {"system": {"fixedUri": "urn:a"}, "value": {"min": 1}}}
    )
    assert errors(patient(identifier=[ID_A, {"system": "urn:b"}]), demand) == []
    assert errors(patient(identifier=[{"system": "urn:a"}, ID_B]), demand) == [("structure", "Patient.identifier[0]")]


def quantity_slice() -> dict[str, Any]:
    return {"max": "1", "type": [{"code": "Quantity"}], "below": {"unit": {"min": 1}}}


@pytest.mark.parametrize(
    ("demand", "good", "bad"),
    [
        pytest.param(
            sliced("Observation", "Observation.category", ("pattern", "$this"), {"min": 1, "patternCodeableConcept": concept("lab")}),
            observation(category=[concept("x"), concept("lab")]), observation(category=[concept("x")]), id="pattern at $this",
        ),
        pytest.param(
            sliced("Observation", "Observation.category", ("value", "coding.code"), {"min": 1, "below": {"coding.code": {"fixedCode": "lab"}}}),
            observation(category=[concept("lab")]), observation(category=[concept("x")]), id="value deeper down",
        ),
        pytest.param(
            sliced("Observation", "Observation.component", ("value", "code"), {"min": 1, "below": {"code": {"patternCodeableConcept": concept("sys")}}}),
            observation(component=[{"code": concept("sys")}]), observation(component=[{"code": concept("x")}]), id="value given as a pattern",
        ),
        pytest.param(
            sliced("Observation", "Observation.value[x]", ("type", "$this"), quantity_slice()),
            observation(valueQuantity={"value": 1, "unit": "kg"}), observation(valueQuantity={"value": 1}), id="type of a choice",
        ),
        pytest.param(
            sliced("Patient", "Patient.name", ("exists", "period"), {"max": "0", "below": {"period": {"min": 1}}}),
            patient(name=[{"text": "x"}]), patient(name=[{"text": "x", "period": {"start": "2020"}}]), id="exists",
        ),
        pytest.param(
            sliced("Patient", "Patient.name", ("exists", "period"), {"min": 1, "below": {"period": {"max": "0"}}}),
            patient(name=[{"text": "x"}]), patient(name=[{"text": "x", "period": {"start": "2020"}}]), id="exists not",
        ),
        pytest.param(
            sliced("Observation", "Observation.hasMember", ("type", "resolve()"), {"min": 1, "type": [{"code": "Reference", "targetProfile": ["http://hl7.org/fhir/StructureDefinition/MolecularSequence"]}]}),
            observation(hasMember=[{"reference": "MolecularSequence/1"}]), observation(hasMember=[{"reference": "Observation/1"}]), id="type of the target",
        ),
        pytest.param(
            sliced("Patient", "Patient.name", ("value", "extension('urn:kind').value"), {"min": 1, "below": {
                "extension": {"slicing": {"discriminator": [{"type": "value", "path": "url"}], "rules": "open"}},
                "extension:kind": {"path": "Patient.name.extension", "sliceName": "kind"},
                "extension:kind.url": {"path": "Patient.name.extension.url", "fixedUri": "urn:kind"},
                "extension:kind.value[x]": {"path": "Patient.name.extension.value[x]", "fixedCode": "stage"},
            }}),
            patient(name=[{"extension": [{"url": "urn:kind", "valueCode": "stage"}]}]), patient(name=[{"extension": [{"url": "urn:kind", "valueCode": "x"}]}]), id="value of an extension",
        ),
    ],
)  # fmt: skip
def test_each_kind_of_discriminator_finds_its_slice(demand: Any, good: Any, bad: Any) -> None:
    assert errors(good, demand) == []
    assert [code for code, _ in errors(bad, demand)] == ["structure"]


def test_slices_by_profile_of_what_a_reference_resolves_to() -> None:
    senior = profile("Practitioner", {"path": "Practitioner.qualification", "min": 1}, url="senior")
    demand = sliced(
        "Observation",
        "Observation.performer",
        ("profile", "resolve()"),
        {"min": 1, "type": [{"code": "Reference", "targetProfile": [BASE + "senior"]}]},
    )
    inside: dict[str, Any] = {"resourceType": "Practitioner", "id": "a"}
    bad = observation(performer=[{"reference": "#a"}], contained=[inside])
    good = observation(
        performer=[{"reference": "#a"}], contained=[inside | {"qualification": [{"code": {"text": "x"}}]}]
    )
    assert errors(good, demand, senior) == []
    assert errors(bad, demand, senior) == [("structure", "Observation")]


EXTENSION = {
    "resourceType": "StructureDefinition",
    "url": BASE + "ext",
    "kind": "complex-type",
    "type": "Extension",
    "derivation": "constraint",
    "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Extension",
    "differential": {
        "element": [
            {"path": "Extension"},
            {"path": "Extension.url", "fixedUri": BASE + "ext"},
            {"path": "Extension.value[x]", "min": 1, "type": [{"code": "code"}]},
        ]
    },
}


def test_an_extension_slice_is_known_by_its_profile_and_held_to_it() -> None:
    slices = {"min": 1, "max": "1", "type": [{"code": "Extension", "profile": [BASE + "ext"]}]}
    demand = sliced("Patient", "Patient.extension", ("value", "url"), slices)
    other = {"url": "urn:other", "valueCode": "x"}
    assert errors(patient(extension=[other, {"url": BASE + "ext", "valueCode": "x"}]), demand, EXTENSION) == []
    assert errors(patient(extension=[other]), demand, EXTENSION) == [("structure", "Patient")]
    wrong = patient(extension=[{"url": BASE + "ext", "valueString": "x"}])
    assert errors(wrong, demand, EXTENSION) == [("structure", "Patient.extension[0].value")]
    (issue,) = told(patient(extension=[{"url": BASE + "ext", "valueCode": "x"}]), demand)
    assert (issue.severity, issue.code) == ("information", "not-found")


def test_conforms_to_and_member_of_are_answered_from_the_package() -> None:
    rule = {
        "key": "x-1",
        "severity": "error",
        "human": "h",
        "expression": f"maritalStatus.memberOf('{BASE}vs') and conformsTo('{BASE}named')",
    }
    demand = profile("Patient") | {"differential": {"element": [{"path": "Patient", "constraint": [rule]}]}}
    named = profile("Patient", {"path": "Patient.name", "min": 1}, url="named")
    codes = value_set({"system": "urn:s", "concept": [{"code": "a"}]})
    assert errors(patient(maritalStatus=concept("a"), name=[{"text": "x"}]), demand, named, codes) == []
    assert errors(patient(maritalStatus=concept("a")), demand, named, codes) == [("invariant", "Patient")]
    assert errors(patient(maritalStatus=concept("b"), name=[{"text": "x"}]), demand, named, codes) == [
        ("invariant", "Patient")
    ]


# --- packages -----------------------------------------------------------------------------------------------------


def archive(**files: Any) -> bytes:
    """A package with the files `package/NAME.json`."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as packed:
        for name, content in files.items():
            data = content if isinstance(content, bytes) else json.dump(content)
            info = tarfile.TarInfo(name if "/" in name else f"package/{name}.json")
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
    return whole.getvalue()


MANIFEST = {"name": "a.b", "version": "1.0.0", "fhirVersions": ["4.0.1"]}


def test_a_package_brings_profiles_and_codes_but_no_examples_and_no_types() -> None:
    a_type = {**profile("Patient", url="t"), "derivation": "specialization"}
    example = {"package/example/x.json": patient(id="x")}
    package = read(archive(package=MANIFEST, p=profile("Patient"), s=SYSTEM, t=a_type, c=patient(id="y"), **example))
    assert (package.name, package.version) == ("a.b", "1.0.0")
    assert [resource["resourceType"] for resource in package.resources] == ["StructureDefinition", "CodeSystem"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a package",
        gzip.compress(b"x" * 10_000, mtime=0),
        archive(p=profile("Patient")),
        archive(package=MANIFEST | {"name": "../../etc"}),
        archive(package={"name": "a"}),
        archive(package=MANIFEST | {"fhirVersions": ["5.0.0"]}),
        archive(package=MANIFEST, broken=b'{"resourceType": '),
    ],
)
def test_what_is_no_package_for_r4_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        read(data)


def test_a_package_cannot_unpack_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "MOST_BYTES", 10_000)
    with pytest.raises(InvalidInput) as raised:
        read(archive(package=MANIFEST, bomb=b"0" * 20_000))
    assert raised.value.code == "too-costly"
    monkeypatch.setattr(packages, "MOST_FILES", 1)
    with pytest.raises(InvalidInput):
        read(archive(package=MANIFEST, p=profile("Patient")))


def test_a_path_that_leads_out_of_the_archive_writes_nothing(tmp_path: Path) -> None:
    evil = {"../../evil.json": patient(id="x"), "/etc/evil.json": patient(id="x")}
    assert read(archive(package=MANIFEST, **evil)).resources == []
    assert not list(tmp_path.rglob("evil*"))


def test_of_several_versions_the_newest_is_meant_when_none_is_named() -> None:
    versions = [
        profile("Patient", {"path": "Patient.name", "min": int(v.startswith("2"))}) | {"version": v}
        for v in ("1.9.0", "2.0.0", "2.0.0-ballot", "1.10.0")
    ]
    library = Library.of(versions)
    assert (library.structure(BASE + "p") or {})["version"] == "2.0.0"
    assert (library.structure(f"{BASE}p|1.9.0") or {})["version"] == "1.9.0"
    assert library.structure(f"{BASE}p|9") is None


# --- US Core ------------------------------------------------------------------------------------------------------


@cache
def _us_core(path: Path) -> tuple[Profiles, list[dict[str, Any]]]:
    data = path.read_bytes()
    examples = []
    with tarfile.open(fileobj=io.BytesIO(data)) as packed:
        for member in packed:
            content = (
                packed.extractfile(member) if "/example/" in member.name and member.name.endswith(".json") else None
            )
            if content is not None and "resourceType" in (resource := json.parse(content.read())):
                examples.append(resource)
    small = [found for resource in read(data).resources if (found := compact(resource)) is not None]
    return Profiles(Library.of(small)), examples


def us_core(folder: Path, version: str) -> tuple[Profiles, list[dict[str, Any]]]:
    return _us_core(folder / "us-core" / f"hl7.fhir.us.core-{version}.tgz")


def claims(profiles: Profiles, resource: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    for place, inner in validate.with_inner(resource):
        for url, _ in declared(inner):
            if profiles.is_loaded(url):
                yield url, inner, place


@pytest.mark.parametrize(
    ("version", "checked", "refused"),
    [
        # The flow rate of this example is in L/min, which the value set of vital signs does not hold.
        ("311", 73, {"satO2-fiO2"}),
        ("610", 182, set()),
        ("800", 219, set()),
    ],
)
def test_the_examples_of_us_core_keep_their_profiles(
    shared_data: Path, version: str, checked: int, refused: set[str]
) -> None:
    profiles, examples = us_core(shared_data, version)
    seen, broken = 0, set()
    for example in examples:
        if validate.structure(example):
            continue
        for url, inner, place in claims(profiles, example):
            seen += 1
            if any(issue.is_error for issue in profiles.check(inner, url, place)):
                broken.add(inner["id"])
    assert (seen, broken) == (checked, refused)


def test_synthea_keeps_the_us_core_profiles_that_it_was_made_for(shared_data: Path) -> None:
    profiles, _ = us_core(shared_data, "311")
    seen = 0
    for path in sorted((shared_data / "synthea" / "ms").glob("*.json.gz"))[:4]:
        for url, inner, place in claims(profiles, json.parse(gzip.decompress(path.read_bytes()))):
            seen += 1
            assert [issue for issue in profiles.check(inner, url, place) if issue.is_error] == []
    assert seen > 100


OMB = {"url": "ombCategory", "valueCoding": {"system": "urn:oid:2.16.840.1.113883.6.238", "code": "2106-3"}}
TEXT = {"url": "text", "valueString": "White"}
UCUM = {"system": "http://unitsofmeasure.org"}
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "identifier": [{"system": "urn:a", "value": "1"}],
    "name": [{"family": "Quennell"}],
    "gender": "female",
    "extension": [
        {"url": US_CORE + "us-core-race", "extension": [OMB, TEXT]},
        {"url": US_CORE + "us-core-birthsex", "valueCode": "F"},
    ],
}
PRESSURE: dict[str, Any] = {
    "resourceType": "Observation",
    "status": "final",
    "category": [concept("vital-signs", "http://terminology.hl7.org/CodeSystem/observation-category")],
    "code": concept("85354-9", "http://loinc.org"),
    "subject": {"reference": "Patient/1"},
    "effectiveDateTime": "2020-01-01",
    "component": [
        {
            "code": concept(code, "http://loinc.org"),
            "valueQuantity": {"value": 1, "unit": "mmHg", "code": "mm[Hg]", **UCUM},
        }
        for code in ("8480-6", "8462-4")
    ],
}


def race(resource: dict[str, Any], *parts: dict[str, Any]) -> None:
    resource["extension"][0]["extension"] = list(parts)


FAULTS: list[tuple[str, str, dict[str, Any], Change, list[tuple[str, str]]]] = [
    ("an identifier is missing", "us-core-patient", PATIENT, lambda r: r.pop("identifier"), [("structure", "Patient")]),
    ("a name says nothing", "us-core-patient", PATIENT, lambda r: r.update(name=[{"use": "official"}]), [("invariant", "Patient.name[0]")]),
    ("a race without text", "us-core-patient", PATIENT, lambda r: race(r, OMB), [("structure", "Patient.extension[0]")]),
    ("a race category that is none", "us-core-patient", PATIENT, lambda r: race(r, {"url": "ombCategory", "valueCoding": {**OMB["valueCoding"], "code": "9999-9"}}, TEXT), [("code-invalid", "Patient.extension[0].extension[0].value")]),
    ("six race categories", "us-core-patient", PATIENT, lambda r: race(r, *[OMB] * 6, TEXT), [("structure", "Patient.extension[0]")]),
    ("two races", "us-core-patient", PATIENT, lambda r: r["extension"].append(r["extension"][0]), [("structure", "Patient")]),
    ("a birth sex that is none", "us-core-patient", PATIENT, lambda r: r["extension"][1].update(valueCode="X"), [("code-invalid", "Patient.extension[1].value")]),
    ("a birth sex as text", "us-core-patient", PATIENT, lambda r: r["extension"].__setitem__(1, {"url": US_CORE + "us-core-birthsex", "valueString": "F"}), [("structure", "Patient.extension[1]"), *[("structure", "Patient.extension[1].value")] * 2]),
    ("no vital signs category", "us-core-blood-pressure", PRESSURE, lambda r: r["category"][0]["coding"][0].update(code="laboratory"), [("structure", "Observation")]),
    ("another code", "us-core-blood-pressure", PRESSURE, lambda r: r["code"]["coding"][0].update(code="1-1"), [("value", "Observation.code")]),
    ("no diastolic component", "us-core-blood-pressure", PRESSURE, lambda r: r["component"].pop(), [("structure", "Observation")] * 2),
    ("another unit", "us-core-blood-pressure", PRESSURE, lambda r: r["component"][0]["valueQuantity"].update(code="kPa"), [("value", "Observation.component[0].value.code")]),
    ("a component without value", "us-core-blood-pressure", PRESSURE, lambda r: r["component"][0].pop("valueQuantity"), [("invariant", "Observation.component[0]")]),
    ("nothing measured", "us-core-blood-pressure", PRESSURE, lambda r: r.pop("component"), [("invariant", "Observation")] + [("structure", "Observation")] * 3),
    ("a device as subject", "us-core-blood-pressure", PRESSURE, lambda r: r["subject"].update(reference="Device/1"), [("structure", "Observation.subject")]),
    ("no time", "us-core-blood-pressure", PRESSURE, lambda r: r.pop("effectiveDateTime"), [("structure", "Observation")]),
    ("a year is no time of a measurement", "us-core-blood-pressure", PRESSURE, lambda r: r.update(effectiveDateTime="2020"), [("invariant", "Observation.effective")]),
]  # fmt: skip


@pytest.mark.parametrize(("url", "good", "change", "faults"), [pytest.param(*case[1:], id=case[0]) for case in FAULTS])
def test_a_resource_that_breaks_a_us_core_profile_is_told_where(
    shared_data: Path, url: str, good: dict[str, Any], change: Change, faults: list[tuple[str, str]]
) -> None:
    # The value sets of race and birth sex are in the package of 3.1.1 only, the blood pressure profile in later ones.
    profiles, _ = us_core(shared_data, "311" if good is PATIENT else "610")
    assert [issue for issue in profiles.check(good, US_CORE + url) if issue.is_error] == []
    bad = copy.deepcopy(good)
    change(bad)
    found = [(issue.code, issue.expression) for issue in profiles.check(bad, US_CORE + url) if issue.is_error]
    assert sorted(found) == sorted(faults)


def test_no_issue_repeats_a_value_of_the_resource(shared_data: Path) -> None:
    profiles, _ = us_core(shared_data, "311")
    bad = copy.deepcopy(PATIENT)
    bad["name"] = [{"family": "Zyxwv", "use": "old"}, {"use": "old"}]
    bad["extension"][1]["valueCode"] = "Qponm"
    text = " ".join(
        f"{issue.expression} {issue.diagnostics}" for issue in profiles.check(bad, US_CORE + "us-core-patient")
    )
    assert text
    assert "Zyxwv" not in text
    assert "Qponm" not in text
