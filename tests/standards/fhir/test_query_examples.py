"""search.html: every address that the page shows is read, and read as the page explains it."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qsl

import pytest

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import query
from healthsync.standards.fhir.query import (
    And,
    Chain,
    Criterion,
    Has,
    ListMember,
    Node,
    Not,
    Or,
    SearchQuery,
    WordSearch,
)


def asked(address: str) -> SearchQuery:
    resource_type, _, pairs = address.partition("?")
    return query.parse(resource_type, parse_qsl(pairs.replace("+", "%2B"), keep_blank_values=True))


def told(nodes: Iterable[Node]) -> str:
    """The tree in one line: `name[modifier]` and the number of values, brackets for what lies inside."""
    return " ".join(_told(node) for node in nodes)


def _told(node: Node) -> str:
    match node:
        case Criterion(parameter, modifier, values):
            return (
                parameter.name + (f"[{modifier.value}]" if modifier else "") + (f"×{len(values)}" * (len(values) > 1))
            )
        case Chain(parameter, inner):
            ways = sorted(f"{target}({_told(each)})" for target, each in inner)  # their order has no meaning
            return f"{parameter.name}→{'|'.join(ways)}"
        case Has(type_, parameter, inner):
            return f"{type_}←{parameter.name}({_told(inner)})"
        case And(nodes):
            return f"and({told(nodes)})"
        case Or(nodes):
            return f"or({told(nodes)})"
        case Not(inner):
            return f"not({_told(inner)})"
        case ListMember(id_):
            return f"list:{id_}"
        case WordSearch(kind, alternatives):
            return f"{kind}:" + "|".join("+".join(words) for words in alternatives)


@pytest.mark.parametrize(
    ("address", "meaning"),
    [
        ("Patient?_id=23", "_id"),
        ("Observation?_lastUpdated=gt2010-10-01", "_lastUpdated"),
        ("Condition?_tag=http://acme.org/codes|needs-review", "_tag"),
        ("Condition?_profile=http://hl7.org/fhir/StructureDefinition/lipid", "_profile"),
        ("Condition?_security=http://terminology.hl7.org/CodeSystem/v3-Confidentiality|R", "_security"),
        ("RiskAssessment?probability=gt0.8", "probability"),
        ("RiskAssessment?probability=gt8e-1", "probability"),
        ("Procedure?date=ge2010-01-01&date=le2011-12-31", "date date"),
        ("Patient?given=eve", "given"),
        ("Patient?given:contains=eve", "given[contains]"),
        ("Patient?given:exact=Eve", "given[exact]"),
        ("ValueSet?url=http://acme.org/fhir/ValueSet/123", "url"),
        ("ValueSet?url:below=http://acme.org/fhir/", "url[below]"),
        ("ValueSet?url:above=http://acme.org/fhir/ValueSet/123/_history/5", "url[above]"),
        ("ValueSet?url=urn:oid:1.2.3.4.5", "url"),
        ("ValueSet?url=http://acme.org/fhir/ValueSet/123|1.0", "and(url version)"),
        ("Patient?identifier=http://acme.org/patient|2345", "identifier"),
        ("Patient?identifier=|2.16.840,2.16.840", "identifier×2"),
        ("Patient?gender=male", "gender"),
        ("Patient?gender:not=male", "gender[not]"),
        ("Patient?gender:missing=true", "gender[missing]"),
        ("Composition?section=48765-2", "section"),
        ("Composition?section:not=48765-2", "section[not]"),
        ("Patient?active=true", "active"),
        ("Condition?code=http://acme.org/conditions/codes|ha125", "code"),
        ("Condition?code=ha125", "code"),
        ("Condition?code:text=headache", "code[text]"),
        ("Condition?code:text=this,that", "code[text]×2"),
        ("Condition?code:in=http%3A%2F%2Fsnomed.info%2Fsct%3Ffhir_vs%3Disa%2F126851005", "code[in]"),
        ("Condition?code:below=126851005", "code[below]"),
        ("Condition?code:in=http://acme.org/fhir/ValueSet/cardiac-conditions", "code[in]"),
        ("Patient?identifier:of-type=http://terminology.hl7.org/CodeSystem/v2-0203|MR|446053", "identifier[of-type]"),
        ("Patient?identifier:ofType=http://terminology.hl7.org/CodeSystem/v2-0203|MR|446053", "identifier[of-type]"),
        ("DocumentReference?contenttype=text/xml", "contenttype"),
        ("DocumentReference?contenttype:below=text/xml", "contenttype[below]"),
        ("Observation?value-quantity=5.4|http://unitsofmeasure.org|mg", "value-quantity"),
        ("Observation?value-quantity=5.40e-3|http://unitsofmeasure.org|g", "value-quantity"),
        ("Observation?value-quantity=5.4||mg", "value-quantity"),
        ("Observation?value-quantity=5.4", "value-quantity"),
        ("Observation?value-quantity=le5.4|http://unitsofmeasure.org|mg", "value-quantity"),
        ("Observation?value-quantity=ap5.4|http://unitsofmeasure.org|mg", "value-quantity"),
        ("Observation?subject=Patient/23", "subject"),
        ("Observation?subject:Patient=23", "subject"),
        ("Observation?subject=http://example.org/fhir/Patient/123", "subject"),
        ("Observation?subject:identifier=http://acme.org/fhir/identifier/mrn|123456", "subject[identifier]"),
        ("Procedure?location:below=42", "location[below]"),
        ("MedicationAdministration?context:above=21", "context[above]"),
        ("DiagnosticReport?subject:Patient.name=peter", "subject→Patient(name)"),
        ("DiagnosticReport?subject.name=peter", "subject→Location(name)|Patient(name)"),
        (
            "Patient?general-practitioner.name=Joe&general-practitioner.address-state=MN",
            "general-practitioner→Organization(name)|Practitioner(name)"
            " general-practitioner→Organization(address-state)|Practitioner(address-state)",
        ),
        ("Patient?_has:Observation:patient:code=1234-5", "Observation←patient(code)"),
        ("Patient?_has:Observation:patient:code=123,456", "Observation←patient(code×2)"),
        (
            "Patient?_has:Observation:patient:code=123&_has:Observation:patient:code=456",
            "Observation←patient(code) Observation←patient(code)",
        ),
        (
            "Patient?_has:Observation:patient:_has:AuditEvent:entity:agent=MyUserId",
            "Observation←patient(AuditEvent←entity(agent))",
        ),
        ("Patient?language=FR&language=NL", "language language"),
        ("Patient?language=FR,NL", "language×2"),
        ("Patient?language=FR,NL&language=EN", "language×2 language"),
        ("Group?characteristic-value=gender$mixed,owner$Eve", "characteristic-value×2"),
        (
            "DiagnosticReport?result.code-value-quantity=http://loinc.org|2823-3$gt5.4|http://unitsofmeasure.org|mmol/L",
            "result→Observation(code-value-quantity)",
        ),
        ("Observation?component-code-value-quantity=http://loinc.org|8480-6$lt60", "component-code-value-quantity"),
        ("Group?characteristic-value=gender$mixed", "characteristic-value"),
        ("Questionnaire?context-type-value=focus$http://snomed.info/sct|408934002", "context-type-value"),
        (
            "AllergyIntolerance?clinical-status=http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical|active",
            "clinical-status",
        ),
        (
            "AllergyIntolerance?clinical-status=active&clinical-status:missing=true",
            "clinical-status clinical-status[missing]",
        ),
        ("Observation?code=a,b", "code×2"),
        ("Observation?code=a\\,b", "code"),
        ("ValueSet?url=http://acme.org/fhir/ValueSet/123,http://acme.org/fhir/ValueSet/124%5C%2CValueSet/125", "url×2"),
        ("Condition?_text=(bone OR liver) and metastases", "text:bone+metastases|liver+metastases"),
        ("Patient?_list=42", "list:42"),
        ("Patient?_list=42&gender=female", "list:42 gender"),
        (
            'Observation?_filter=code eq http://loinc.org|1234-5 and subject.name co "peter"',
            "and(code subject→Location(name[contains])|Patient(name[contains]))",
        ),
        ("?_type=Observation,Condition&code=x", "code"),
        ("MedicationRequest?medication.ingredient-code=abc", "medication→Medication(ingredient-code)"),
        ("Patient?_id=23&_contained=false", "_id"),
        ("Location?near=-83.694810|42.256500|11.20|km", "near"),
        ("Location?near=42.256500|-83.694810", "near"),
        ("Patient?phonetic=smith", "phonetic"),
        ("Observation?patient.general-practitioner:Practitioner.name=x", "patient→Patient(general-practitioner→Practitioner(name))"),
        ("Encounter?patient._has:Group:member:_id=102", "patient→Patient(Group←member(_id))"),
        ("Practitioner?_has:PractitionerRole:practitioner:organization.name=x",
         "PractitionerRole←practitioner(organization→Organization(name))"),
    ],
)  # fmt: skip
def test_an_address_of_the_page_means_what_the_page_says(address: str, meaning: str) -> None:
    found = asked(address)
    assert told(found.criteria) == meaning
    assert found.warnings == []


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("Observation?_sort=status,-date,category", [("status", False), ("date", True), ("category", False)]),
        ("Observation?_sort=-_lastUpdated", [("_lastUpdated", True)]),
    ],
)
def test_results_are_sorted_by_keys_in_their_order(address: str, shown: list[tuple[str, bool]]) -> None:
    assert [(key.name, key.descending) for key in asked(address).sort] == shown


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("MedicationRequest?_include=MedicationRequest:patient", "MedicationRequest:patient:None"),
        ("MedicationRequest?_revinclude=Provenance:target", "reverse Provenance:target:None"),
        ("MedicationDispense?_include=MedicationDispense:prescription&_include:iterate=MedicationRequest:requester",
         "MedicationDispense:prescription:None iterate MedicationRequest:requester:None"),
        ("Observation?_include:recurse=Observation:has-member", "iterate Observation:has-member:None"),
        ("Observation?_include=Observation:subject:Patient", "Observation:subject:Patient"),
        ("Observation?_include=Observation:*", "Observation:*:None"),
        ("Observation?_include=*", "*:*:None"),
        ("Patient?_revinclude=*", "reverse *:*:None"),
    ],
)  # fmt: skip
def test_includes_name_a_source_a_reference_and_perhaps_a_target(address: str, shown: str) -> None:
    found = [
        f"{'reverse ' * each.reverse}{'iterate ' * each.iterate}{each.source}:{each.parameter}:{each.target}"
        for each in asked(address).includes
    ]
    assert " ".join(found) == shown


def test_what_is_returned_is_controlled_by_summary_elements_and_total() -> None:
    found = asked("Patient?_summary=true&_elements=identifier,active,link&_total=none&_count=0")
    assert (found.summary, found.elements, found.total, found.count) == (
        "true",
        ["identifier", "active", "link"],
        "none",
        0,
    )
    assert found.warnings == []


@pytest.mark.parametrize(
    "address",
    [
        "Patient?_query=name",
        "Patient?identifier:otype=http://terminology.hl7.org/CodeSystem/v2-0203|MR|446053",
        "Patient?name:text=x",
        "ImmunizationRecommendation?dose-number=2",  # R4 shows it and does not define it
    ],
)
def test_what_of_the_page_this_server_leaves_out_is_refused_by_name(address: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        asked(address)
    assert refused.value.code == "not-supported"
