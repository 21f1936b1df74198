"""$validate-code: what is said of a coding, each thing with its place, in the codes of the HL7 terminology ecosystem."""

from __future__ import annotations

from typing import Any

import pytest

from healthsync.domains.terminology import (
    Asked,
    Coding,
    Policy,
    TerminologyService,
    UnknownCodeSystem,
    Unusable,
    Validation,
)
from healthsync.errors import InvalidInput
from healthsync.infrastructure.database import Database

S, V = "http://example.org/CodeSystem/odd", "http://example.org/ValueSet/odd"
STATUS = "http://hl7.org/fhir/StructureDefinition/structuredefinition-standards-status"


def system(version: str = "1.0.0", *, suffix: str = "", **said: Any) -> dict[str, Any]:
    """Odd things: one is inactive, one groups others, one is told in German too."""
    return {
        "resourceType": "CodeSystem",
        "url": S,
        "version": version,
        "status": "active",
        "content": "complete",
        "caseSensitive": True,
        "language": "en",
        "property": [{"code": "status", "type": "code"}, {"code": "notSelectable", "type": "boolean"}],
        "concept": [
            {
                "code": "hand",
                "display": f"Odd hand{suffix}",
                "designation": [
                    {"language": "de", "value": "Komische Hand"},
                    {"language": "en", "value": "Weird hand", "extension": [{"url": STATUS, "valueCode": "withdrawn"}]},
                ],
            },
            {"code": "foot", "display": "Odd foot", "property": [{"code": "status", "valueCode": "retired"}]},
            {"code": "limb", "display": "Limb", "property": [{"code": "notSelectable", "valueBoolean": True}]},
        ],
        **said,
    }


def value_set(*includes: dict[str, Any], url: str = V, **said: Any) -> dict[str, Any]:
    compose = {"include": list(includes or ({"system": S},)), **said.pop("compose", {})}
    return {"resourceType": "ValueSet", "url": url, "version": "1", "status": "active", "compose": compose, **said}


async def asked(
    database: Database,
    service: TerminologyService,
    coding: Coding | list[Coding],
    *resources: dict[str, Any],
    how: Asked | None = None,
    form: str = "Coding",
    policy: Policy | None = None,
    **more: Any,
) -> Validation:
    """What the first value set among the resources (one of all odd things by default) says of a coding."""
    given = list(resources) or [value_set(), system()]
    if not any(each["resourceType"] == "CodeSystem" for each in given):
        given.append(system())
    codings = coding if isinstance(coding, list) else [coding]
    async with database.connection() as tx:
        question = service.asked_with(given, policy)
        return await question.validate_code(tx, V, codings, how or Asked(), form=form, **more)


def said(told: Validation) -> set[tuple[str, str, str | None]]:
    """(severity, kind, place) of every finding."""
    return {(finding.severity, finding.kind, finding.at) for finding in told.findings}


async def test_a_right_coding_is_answered_with_its_display_version_and_nothing_else(database, service):
    told = await asked(database, service, Coding(S, "hand", "odd HAND"))
    assert told.result and told.message is None and told.findings == ()
    assert told.coding == Coding(S, "hand", "odd HAND", "1.0.0") and told.display == "Odd hand"


async def test_every_fault_is_told_with_its_place(database, service):
    cases: list[tuple[Coding, dict[str, Any], set[tuple[str, str, str | None]]]] = [
        (Coding(S, "toe"), {}, {("error", "not-in-vs", "Coding.code"), ("error", "invalid-code", "Coding.code")}),
        (Coding(S, "hand", "Foot"), {}, {("error", "invalid-display", "Coding.display")}),
        (Coding(S, "hand", "Odd  hand"), {}, {("error", "invalid-display", "Coding.display")}),
        (Coding(S, "hand", "Weird hand"), {}, {("warning", "display-comment", "Coding.display")}),
        (Coding(S, "hand", "Foot"), {"how": Asked(lenient=True)}, {("warning", "invalid-display", "Coding.display")}),
        (Coding(S, "hand", "Foot"), {"how": Asked(membership_only=True)}, set()),
        (Coding(S, "foot"), {}, {("warning", "code-comment", "Coding")}),
        (
            Coding(S, "foot"),
            {"how": Asked(active_only=True)},
            {
                ("warning", "code-comment", "Coding"),
                ("error", "code-rule", "Coding.code"),
                ("error", "not-in-vs", "Coding.code"),
            },
        ),
        (
            Coding(S, "limb"),
            {"how": Asked(abstract=False)},
            {("error", "code-rule", "Coding.code"), ("error", "not-in-vs", "Coding.code")},
        ),
        (Coding(None, "hand"), {}, {("warning", "invalid-data", "Coding"), ("error", "not-in-vs", "Coding.code")}),
        (
            Coding("http://example.org/other", "x"),
            {},
            {("error", "not-found", "Coding.system"), ("error", "not-in-vs", "Coding.code")},
        ),
        (
            Coding("odd", "x"),
            {},
            {
                ("error", "invalid-data", "Coding.system"),
                ("error", "not-found", "Coding.system"),
                ("error", "not-in-vs", "Coding.code"),
            },
        ),
        (Coding(V, "hand"), {}, {("error", "invalid-data", "Coding.system"), ("error", "not-in-vs", "Coding.code")}),
        (Coding(S, "hand", "Hand"), {"form": "code"}, {("error", "invalid-display", "display")}),
    ]
    for coding, how, expected in cases:
        told = await asked(database, service, coding, **how)
        assert said(told) == expected, coding
        assert told.result is not any(severity == "error" for severity, *_ in expected), coding


async def test_a_display_is_judged_in_the_language_asked_for(database, service):
    for language, display, result, shown in (
        ("de", "Komische Hand", True, "Komische Hand"),
        ("de", "Odd hand", False, "Komische Hand"),
        ("fr", "Odd hand", True, "Odd hand"),
        ("fr", "Hand", False, "Odd hand"),
        ("en, de;q=0.5", "Komische Hand", True, "Odd hand"),
    ):
        told = await asked(database, service, Coding(S, "hand", display), how=Asked(language=language))
        assert (told.result, told.display) == (result, shown), (language, display)
    with pytest.raises(Unusable):
        await asked(database, service, Coding(S, "hand"), how=Asked(language="-"))


async def test_a_value_set_without_inactive_concepts_refuses_one(database, service):
    strict = value_set(compose={"inactive": False})
    told = await asked(database, service, Coding(S, "foot"), strict)
    assert not told.result and told.inactive and ("error", "code-rule", "Coding.code") in said(told)


async def test_of_several_codings_one_that_belongs_is_enough_unless_another_is_wrong(database, service):
    fine, foreign, wrong = Coding(S, "hand"), Coding("http://example.org/other", "x"), Coding(S, "toe")
    together = value_set({"system": S, "concept": [{"code": "hand"}]})
    told = await asked(database, service, [Coding(S, "foot"), fine], together, form="CodeableConcept")
    assert told.result and told.coding is not None and told.coding.code == "hand"
    told = await asked(database, service, [fine, wrong], form="CodeableConcept")
    assert not told.result and ("error", "invalid-code", "CodeableConcept.coding[1].code") in said(told)
    told = await asked(database, service, [foreign], form="CodeableConcept")
    assert ("error", "not-in-vs", None) in said(told)
    assert ("information", "this-code-not-in-vs", "CodeableConcept.coding[0].code") in said(told)
    assert told.unknown == (("x-unknown-system", foreign.system),) and told.coding is None


async def test_a_system_that_is_not_loaded_is_named_and_what_a_value_set_lists_of_it_is_believed(database, service):
    missing = "http://example.org/missing"
    told = await asked(database, service, Coding(missing, "x"), value_set({"system": missing}))
    assert told.unknown == (("x-caused-by-unknown-system", missing),) and not told.result
    listed = value_set({"system": missing, "concept": [{"code": "x", "display": "Ex"}]})
    assert (await asked(database, service, Coding(missing, "x", "ex"), listed)).result
    assert not (await asked(database, service, Coding(missing, "x", "why"), listed)).result
    assert not (await asked(database, service, Coding(missing, "y"), listed)).result


async def test_a_fragment_may_have_the_code_elsewhere(database, service):
    told = await asked(database, service, Coding(S, "toe"), value_set(), system(content="fragment"))
    assert told.result and said(told) == {("warning", "invalid-code", "Coding.code")}


async def test_a_system_that_minds_no_case_tells_the_right_one(database, service):
    told = await asked(database, service, Coding(S, "HAND"), value_set(), system(caseSensitive=False))
    assert told.result and told.normalized == "hand" and said(told) == {("information", "code-rule", "Coding.code")}


async def test_the_system_of_a_bare_code_is_found_where_only_one_has_it(database, service):
    other = system(url="http://example.org/CodeSystem/even", concept=[{"code": "hand"}, {"code": "arm"}])
    both = value_set({"system": S}, {"system": other["url"]})
    infer = Asked(infer_system=True)
    told = await asked(database, service, Coding(None, "arm"), both, system(), other, how=infer, form="code")
    assert told.result and told.coding is not None and told.coding.system == other["url"]
    told = await asked(database, service, Coding(None, "hand"), both, system(), other, how=infer, form="code")
    assert not told.result and ("error", "cannot-infer", "code") in said(told)


TWO = (system("1.0.0"), system("1.2.0", suffix=" (new)"))


@pytest.mark.parametrize(
    ("stated", "version", "policy", "result", "used", "kinds"),
    [
        (None, None, Policy(), True, "1.2.0", set()),
        (None, "1.0.0", Policy(), True, "1.0.0", set()),
        ("1.0.0", None, Policy(), True, "1.0.0", set()),
        ("1.x.x", None, Policy(), True, "1.2.0", set()),
        ("1.x.x", "1.0.0", Policy(), True, "1.0.0", set()),
        ("1.0.0", "1.2.0", Policy(), False, "1.0.0", {"vs-invalid"}),
        ("1.0.0", "9", Policy(), False, "1.0.0", {"vs-invalid", "not-found"}),
        (None, "9", Policy(), False, "1.2.0", {"vs-invalid", "not-found"}),
        ("9", None, Policy(), False, "1.2.0", {"not-found"}),
        (None, None, Policy(default={S: "1.0.0"}), True, "1.0.0", set()),
        ("1.2.0", None, Policy(default={S: "1.0.0"}), True, "1.2.0", set()),
        ("1.2.0", None, Policy(force={S: "1.0.x"}), True, "1.0.0", set()),
        ("1.2.0", None, Policy(check={S: "1.0.x"}), False, "1.2.0", {"version-error"}),
        (None, None, Policy(check={S: "1.0.x"}), True, "1.0.0", set()),
    ],
)
async def test_versions(database, service, stated, version, policy, result, used, kinds):
    pinned = value_set({"system": S, **({"version": stated} if stated else {})})
    told = await asked(database, service, Coding(S, "hand", version=version), pinned, *TWO, policy=policy)
    assert told.result is result
    assert told.coding is not None and told.coding.version == used
    assert {finding.kind for finding in told.findings} == kinds


async def test_a_supplement_is_used_where_it_is_asked_for_or_needed_and_missed_when_it_is_not_there(database, service):
    more = {
        **system("7", url="http://example.org/CodeSystem/dutch", content="supplement", supplements=S, language="nl"),
        "concept": [{"code": "hand", "designation": [{"language": "nl", "value": "Rare hand"}]}],
    }
    coding = Coding(S, "hand", "Rare hand")
    assert not (await asked(database, service, coding, value_set(), system(), more)).result
    assert (await asked(database, service, coding, value_set(), system(), more, supplements=[more["url"]])).result
    needs = "http://hl7.org/fhir/StructureDefinition/valueset-supplement"
    needing = value_set(extension=[{"url": needs, "valueCanonical": more["url"]}])
    assert (await asked(database, service, coding, needing, system(), more)).result
    with pytest.raises(Unusable, match="Required supplement not found"):
        await asked(database, service, coding, needing, system())
    told = await asked(database, service, Coding(more["url"], "hand"), value_set(), system(), more)
    assert not told.result


async def test_a_language_pack_is_used_without_being_asked_for(database, service):
    kind = "http://hl7.org/fhir/StructureDefinition/codesystem-supplement-type"
    pack = {
        **system("7", url="http://example.org/CodeSystem/dutch", content="supplement", supplements=f"{S}|1.0.0"),
        "language": "nl",
        "extension": [{"url": kind, "valueCode": "lang-pack"}],
        "concept": [{"code": "hand", "designation": [{"language": "nl", "value": "Rare hand"}]}],
    }
    coding, dutch = Coding(S, "hand", "Rare hand"), Asked(language="nl")
    told = await asked(database, service, coding, value_set(), system(), pack, how=dutch)
    assert told.result and told.display == "Rare hand"
    async with database.transaction() as tx:
        await service.record(tx, {**system(), "id": "base"})
        await service.record(tx, {**pack, "id": "pack"})
        told = await service.validate_code(tx, value_set(), [coding], dutch)
        assert told.result and told.display == "Rare hand"
        expanded = await service.expand(tx, value_set(), details=True)
        assert expanded.supplements == ("http://example.org/CodeSystem/dutch|7",)
        assert "Rare hand" in {d.value for member in expanded.members for d in member.concept.designations}


async def test_what_stands_where_a_code_system_should_is_named(database, service):
    more = system("7", url="http://example.org/CodeSystem/dutch", content="supplement", supplements=S)
    for url, name in (
        (V, "Terminology_TX_System_ValueSet2"),
        (more["url"], "CODESYSTEM_CS_NO_SUPPLEMENT"),
        ("odd", "Terminology_TX_System_Relative"),
    ):
        told = await asked(database, service, Coding(url, "hand"), value_set(), system(), more)
        assert name in {finding.message_id for finding in told.findings}, url
        async with database.connection() as tx:
            question = service.asked_with([value_set(), system(), more])
            told = await question.validate_in_system(tx, [Coding(url, "hand")])
        assert name in {finding.message_id for finding in told.findings} and not told.result, url


async def test_drafts_withdrawn_and_given_up_places_are_mentioned(database, service):
    withdrawn = value_set(
        {"system": S, "concept": [{"code": "hand", "extension": [{"url": STATUS, "valueCode": "deprecated"}]}]},
        extension=[{"url": STATUS, "valueCode": "withdrawn"}],
    )
    told = await asked(database, service, Coding(S, "hand"), withdrawn, system(status="draft"))
    assert told.result and {finding.message_id for finding in told.findings} == {
        "MSG_DRAFT",
        "MSG_WITHDRAWN",
        "CONCEPT_DEPRECATED_IN_VALUESET",
    }


@pytest.mark.parametrize(
    ("of_system", "of_set", "kinds"),
    [
        ({"status": "draft"}, {}, {"MSG_DRAFT"}),
        ({"status": "draft"}, {"status": "draft"}, set()),
        ({"experimental": True}, {}, {"MSG_EXPERIMENTAL"}),
        ({"experimental": True}, {"experimental": True}, set()),
        ({"experimental": True, "status": "draft"}, {"experimental": True}, {"MSG_DRAFT"}),
        ({"status": "retired"}, {}, {"MSG_RETIRED"}),
        ({}, {"status": "retired"}, {"MSG_RETIRED"}),
    ],
)
async def test_what_state_a_definition_is_in_is_told_of_codes_in_and_outside(
    database, service, of_system, of_set, kinds
):
    listed = value_set({"system": S, "concept": [{"code": "hand"}]}, **of_set)
    for code in ("hand", "limb", "toe"):
        told = await asked(database, service, Coding(S, code), listed, system(**of_system))
        assert {finding.message_id for finding in told.findings if finding.kind == "status-check"} == kinds, code
    together = [Coding(S, "hand"), Coding(S, "limb")]
    told = await asked(database, service, together, listed, system(**of_system), form="CodeableConcept")
    assert len([finding for finding in told.findings if finding.kind == "status-check"]) == len(kinds)


async def test_of_a_code_outside_the_value_set_the_display_is_judged_too(database, service):
    listed = value_set({"system": S, "concept": [{"code": "hand"}]})
    told = await asked(database, service, Coding(S, "limb", "Leg"), listed)
    assert said(told) == {("error", "invalid-display", "Coding.display"), ("error", "not-in-vs", "Coding.code")}
    foreign = system(url="http://example.org/CodeSystem/even", concept=[{"code": "arm", "display": "Arm"}])
    told = await asked(database, service, Coding(foreign["url"], "arm", "Leg"), listed, system(), foreign)
    assert said(told) == {("error", "invalid-display", "Coding.display"), ("error", "not-in-vs", "Coding.code")}


async def test_a_coding_that_does_not_belong_is_told_with_the_version_that_has_it(database, service):
    listed = value_set({"system": S, "concept": [{"code": "hand"}]})
    codings = [Coding(S, "hand"), Coding(S, "limb"), Coding(S, "limb", version="1.0.0"), Coding(S, "toe")]
    told = await asked(database, service, codings, listed, form="CodeableConcept")
    assert told.found_in == {1: "1.0.0"}


async def test_an_inactive_code_that_is_listed_or_filtered_is_left_out_where_the_value_set_has_none(database, service):
    by_filter = {"system": S, "filter": [{"property": "code", "op": "regex", "value": "foot"}]}
    for include in ({"system": S, "concept": [{"code": "foot"}]}, by_filter):
        told = await asked(database, service, Coding(S, "foot"), value_set(include, compose={"inactive": False}))
        assert said(told) == {("warning", "code-comment", "Coding"), ("error", "not-in-vs", "Coding.code")}
        assert told.inactive and told.status == "retired"


@pytest.mark.parametrize(
    ("prop", "value", "inactive", "status", "kinds"),
    [
        ("status", {"valueCode": "inactive"}, True, None, {"INACTIVE_CONCEPT_FOUND"}),
        ("status", {"valueCode": "retired"}, True, "retired", {"INACTIVE_CONCEPT_FOUND"}),
        ("status", {"valueCode": "deprecated"}, False, "deprecated", {"DEPRECATED_CONCEPT_FOUND"}),
        ("inactive", {"valueBoolean": True}, True, None, {"INACTIVE_CONCEPT_FOUND"}),
        ("deprecated", {"valueBoolean": True}, False, "deprecated", {"DEPRECATED_CONCEPT_FOUND"}),
        ("status", {"valueCode": "active"}, False, None, set()),
    ],
)
async def test_a_code_that_should_not_be_used_is_told_with_what_says_so(
    database, service, prop, value, inactive, status, kinds
):
    odd = system(concept=[{"code": "toe", "property": [{"code": prop, **value}]}])
    told = await asked(database, service, Coding(S, "toe"), value_set(), odd)
    assert (told.result, told.inactive, told.status) == (True, inactive, status)
    assert {finding.message_id for finding in told.findings} == kinds


async def test_a_system_whose_codes_need_a_version_refuses_another_one_than_it_has(database, service):
    for needed, severity in ((False, "warning"), (True, "error")):
        told = await asked(database, service, Coding(S, "hand", version="9"), value_set(), system(versionNeeded=needed))
        assert (severity, "vs-invalid", "Coding.version") in said(told)


async def test_a_definition_that_cannot_be_followed_gets_a_sentence(database, service):
    hollow = value_set({"system": S, "filter": [{"property": "concept", "op": "is-a"}]})
    with pytest.raises(Unusable, match="has no value"):
        await asked(database, service, Coding(S, "hand"), hollow)
    circle = value_set({"valueSet": [V]})
    with pytest.raises(Unusable, match="circularity"):
        await asked(database, service, Coding(S, "hand"), circle)
    told = await asked(database, service, Coding(S, "hand"), value_set({"valueSet": ["http://example.org/none"]}))
    assert not told.result and told.findings[0].kind == "not-found"
    with pytest.raises(InvalidInput, match="tx-resource"):
        service.asked_with([{"resourceType": "Patient"}])


async def test_a_definition_that_says_more_than_is_understood_here_is_refused(database, service):
    modifier = {"modifierExtension": [{"url": "http://example.org/not", "valueBoolean": True}]}
    for said in ({"compose": {"lockedDate": "2020-01-01"}}, modifier, {"implicitRules": "http://example.org/rules"}):
        refused = value_set(**said)
        with pytest.raises(Unusable, match="Cannot process ValueSet"):
            await asked(database, service, Coding(S, "hand"), refused)
        async with database.connection() as tx:
            with pytest.raises(Unusable, match="Cannot process ValueSet"):
                await service.asked_with([system()]).expand(tx, refused)
    hidden = value_set({"system": S, "concept": [{"code": "hand", **modifier}]})
    with pytest.raises(Unusable, match="modifier"):
        await asked(database, service, Coding(S, "hand"), hidden)


async def test_a_chain_of_imports_that_never_ends_is_too_costly(database, service):
    chain = [value_set({"valueSet": [f"{V}/{n + 1}"]}, url=V if n == 0 else f"{V}/{n}") for n in range(199)]
    with pytest.raises(InvalidInput) as refused:
        await asked(database, service, Coding(S, "hand"), *chain)
    assert refused.value.code == "too-costly"


async def test_content_that_is_only_an_example_or_missing_is_no_code_system(database, service):
    for content in ("example", "not-present"):
        told = await asked(database, service, Coding(S, "hand"), value_set(), system(content=content))
        assert not told.result and told.unknown == (("x-caused-by-unknown-system", S),), content
        async with database.connection() as tx:
            with pytest.raises(UnknownCodeSystem):
                await service.asked_with([system(content=content)]).expand(tx, value_set())


async def test_versions_that_are_there_are_told_in_a_sentence(database, service):
    three = [system(version) for version in ("1", "2", "3")]
    for known, told in ((three[:1], "1"), (three[:2], "1 or 2"), (three, "1, 2 and 3")):
        answer = await asked(database, service, Coding(S, "hand", version="9"), value_set(), *known)
        assert f"Valid versions: {told}" in (answer.message or "")


async def test_a_value_set_inside_another_is_found(database, service):
    inner = {**value_set({"system": S, "concept": [{"code": "hand"}]}, url="http://example.org/inner"), "id": "in"}
    outer = value_set({"valueSet": ["#in"]}, contained=[inner])
    assert (await asked(database, service, Coding(S, "hand"), outer)).result
    assert not (await asked(database, service, Coding(S, "foot"), outer)).result
