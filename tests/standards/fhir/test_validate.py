"""validation.html: broken resources are named by place and issue code, legal oddities pass."""

from __future__ import annotations

import copy
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.standards.fhir import validate
from healthsync.standards.fhir.compartments import patients_of
from healthsync.standards.fhir.definitions import resource_types
from healthsync.standards.fhir.search_parameters import index
from healthsync.standards.fhir.validate import MOST_ISSUES

SD = "http://hl7.org/fhir/StructureDefinition/"
XHTML = 'xmlns="http://www.w3.org/1999/xhtml"'


def patient(**elements: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", **elements}


def observation(**elements: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "status": "final", "code": {"text": "a"}, **elements}


def condition(**elements: Any) -> dict[str, Any]:
    return {"resourceType": "Condition", "subject": {"reference": "Patient/1"}, **elements}


def clinical(code: str, system: str = "http://terminology.hl7.org/CodeSystem/condition-clinical") -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def without(resource: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in resource.items() if key != name}


BROKEN = [
    # structure
    ("an unknown element", patient(nickname="x"), "structure", "Patient"),
    ("an unknown element deep inside", patient(name=[{"first": "x"}]), "structure", "Patient.name[0]"),
    ("one value for a list", patient(name={"family": "x"}), "structure", "Patient.name"),
    ("a list for one value", patient(gender=["male"]), "structure", "Patient.gender"),
    ("an empty list", patient(telecom=[]), "structure", "Patient.telecom"),
    ("an empty object", observation(code={}), "structure", "Observation.code"),
    ("null for a value", patient(birthDate=None), "structure", "Patient.birthDate"),
    ("null in a list of objects", patient(name=[None]), "structure", "Patient.name[0]"),
    ("null in a list of texts without its extension", patient(name=[{"given": ["A", None]}]), "structure", "Patient.name[0].given"),
    ("text for a boolean", patient(active="true"), "structure", "Patient.active"),
    ("text for a decimal", observation(valueQuantity={"value": "1.0"}), "structure", "Observation.value.value"),
    ("a number for text", patient(name=[{"family": 1}]), "structure", "Patient.name[0].family"),
    ("two values of a choice", observation(valueString="a", valueBoolean=True), "structure", "Observation.value"),
    ("a value and the extension of another type of a choice", observation(valueString="a", _valueBoolean={"id": "x"}), "structure", "Observation.value"),
    ("a type that the choice does not offer", observation(valueCode="a"), "structure", "Observation"),
    ("no type", {"status": "final"}, "structure", "Resource"),
    ("an unknown type", {"resourceType": "Person2"}, "structure", "Resource"),
    ("an abstract type", {"resourceType": "DomainResource"}, "structure", "Resource"),
    ("a wrong type inside", patient(contained=[{"resourceType": "Nobody", "id": "a"}]), "structure", "Patient.contained[0]"),
    # cardinality
    ("no status", without(observation(), "status"), "structure", "Observation"),
    ("no code", without(observation(), "code"), "structure", "Observation"),
    ("no required part of a part", patient(link=[{"type": "seealso"}]), "structure", "Patient.link[0]"),
    ("no url of an extension", patient(extension=[{"valueString": "x"}]), "structure", "Patient.extension[0]"),
    ("no required choice", {"resourceType": "MedicationRequest", "status": "active", "intent": "order", "subject": {"reference": "Patient/1"}}, "structure", "MedicationRequest"),
    # values
    ("30 February", patient(birthDate="2020-02-30"), "invalid", "Patient.birthDate"),
    ("29 February of a common year", patient(birthDate="1900-02-29"), "invalid", "Patient.birthDate"),
    ("the year 0000", patient(birthDate="0000"), "invalid", "Patient.birthDate"),
    ("a time without an offset", observation(effectiveDateTime="2020-01-01T10:00:00"), "invalid", "Observation.effective"),
    ("a time without seconds", observation(effectiveDateTime="2020-01-01T10:00Z"), "invalid", "Observation.effective"),
    ("a date for an instant", observation(issued="2009-01-23"), "invalid", "Observation.issued"),
    ("an id of 65 characters", patient(id="x" * 65), "invalid", "Patient.id"),
    ("an id with an underscore", patient(id="pat_1"), "invalid", "Patient.id"),
    ("an empty text", patient(name=[{"family": ""}]), "invalid", "Patient.name[0].family"),
    ("an empty text in a list", patient(name=[{"given": [""]}]), "invalid", "Patient.name[0].given[0]"),
    ("a control character", patient(name=[{"family": "a\x07"}]), "invalid", "Patient.name[0].family"),
    ("a code with a space at its end", observation(code={"coding": [{"code": "a "}]}), "invalid", "Observation.code.coding[0].code"),
    ("a uri with a space", patient(identifier=[{"system": "a b"}]), "invalid", "Patient.identifier[0].system"),
    ("positiveInt 0", patient(telecom=[{"rank": 0}]), "invalid", "Patient.telecom[0].rank"),
    ("an integer beyond 32 bits", patient(multipleBirthInteger=2**31), "invalid", "Patient.multipleBirth"),
    ("an integer with a point", patient(multipleBirthInteger=Decimal("2.0")), "invalid", "Patient.multipleBirth"),
    ("an integer with an exponent", patient(multipleBirthInteger=Decimal("2e0")), "invalid", "Patient.multipleBirth"),
    ("a positiveInt with a point", patient(telecom=[{"rank": Decimal("1.0")}]), "invalid", "Patient.telecom[0].rank"),
    ("an unsignedInt with an exponent", {"resourceType": "Appointment", "status": "proposed", "minutesDuration": Decimal("3e1"), "participant": [{"status": "accepted", "type": [{"text": "a"}]}]}, "invalid", "Appointment.minutesDuration"),
    ("an integer of an extension with a point", patient(extension=[{"url": "urn:x", "valueInteger": Decimal("1.0")}]), "invalid", "Patient.extension[0].value"),
    ("base64 with one character too many", patient(photo=[{"contentType": "image/png", "data": "QUJDR"}]), "invalid", "Patient.photo[0].data"),
    # bindings
    ("a gender that is none", patient(gender="man"), "code-invalid", "Patient.gender"),
    ("a status of another resource", observation(status="active"), "code-invalid", "Observation.status"),
    ("a concept outside its required value set", condition(clinicalStatus=clinical("sick")), "code-invalid", "Condition.clinicalStatus"),
    ("the right code of another system", condition(clinicalStatus=clinical("active", "http://example.org")), "code-invalid", "Condition.clinicalStatus"),
    ("a required concept without coding", condition(clinicalStatus={"text": "active"}), "code-invalid", "Condition.clinicalStatus"),
    # references
    ("a reference to the wrong type", observation(subject={"reference": "Practitioner/1"}), "structure", "Observation.subject"),
    ("an absolute reference to the wrong type", observation(subject={"reference": "https://h/fhir/Practitioner/1"}), "structure", "Observation.subject"),
    ("a stated type that is not allowed", observation(subject={"type": "Practitioner", "display": "x"}), "structure", "Observation.subject"),
    ("a relative reference to no type", observation(subject={"reference": "Human/1"}), "structure", "Observation.subject"),
    ("a local reference to nothing", observation(performer=[{"reference": "#nobody"}]), "invariant", "Observation.performer[0]"),
    # invariants
    ("pat-1", patient(contact=[{"gender": "male"}]), "invariant", "Patient.contact[0]"),
    ("obs-3", observation(referenceRange=[{"appliesTo": [{"text": "x"}]}]), "invariant", "Observation.referenceRange[0]"),
    ("obs-6", observation(valueString="a", dataAbsentReason={"text": "x"}), "invariant", "Observation"),
    ("obs-7", {**observation(valueString="a"), "code": {"coding": [{"system": "s", "code": "c"}]}, "component": [{"code": {"coding": [{"system": "s", "code": "c"}]}, "valueString": "b"}]}, "invariant", "Observation"),
    ("per-1", patient(name=[{"family": "x", "period": {"start": "2020-06", "end": "2020-05-31"}}]), "invariant", "Patient.name[0].period"),
    ("ext-1, both", patient(extension=[{"url": "u", "valueString": "x", "extension": [{"url": "v", "valueString": "y"}]}]), "invariant", "Patient.extension[0]"),
    ("ext-1, neither", patient(extension=[{"url": "u"}]), "invariant", "Patient.extension[0]"),
    ("ext-1 below a primitive", patient(_birthDate={"extension": [{"url": "u"}]}), "invariant", "Patient.birthDate.extension[0]"),
    ("cpt-2", patient(telecom=[{"value": "555"}]), "invariant", "Patient.telecom[0]"),
    ("qty-3", observation(valueQuantity={"value": 1, "code": "kg"}), "invariant", "Observation.value"),
    ("att-1", patient(photo=[{"data": "QUJD"}]), "invariant", "Patient.photo[0]"),
    ("org-1", {"resourceType": "Organization", "active": True}, "invariant", "Organization"),
    ("con-4", condition(clinicalStatus=clinical("active"), abatementString="x"), "invariant", "Condition"),
    ("con-5", condition(clinicalStatus=clinical("active"), verificationStatus=clinical("entered-in-error", "http://terminology.hl7.org/CodeSystem/condition-ver-status")), "invariant", "Condition"),
    ("ait-1", {"resourceType": "AllergyIntolerance", "patient": {"reference": "Patient/1"}}, "invariant", "AllergyIntolerance"),
    ("ait-2", {"resourceType": "AllergyIntolerance", "patient": {"reference": "Patient/1"}, "clinicalStatus": clinical("active", "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"), "verificationStatus": clinical("entered-in-error", "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification")}, "invariant", "AllergyIntolerance"),
    ("dom-2", observation(performer=[{"reference": "#a"}], contained=[{"resourceType": "Practitioner", "id": "a", "contained": [{"resourceType": "Patient"}]}]), "invariant", "Observation.contained[0]"),
    ("dom-3", observation(contained=[{"resourceType": "Practitioner", "id": "a"}]), "invariant", "Observation.contained[0]"),
    ("dom-4", observation(performer=[{"reference": "#a"}], contained=[{"resourceType": "Practitioner", "id": "a", "meta": {"versionId": "1"}}]), "invariant", "Observation.contained[0]"),
    ("dom-5", observation(performer=[{"reference": "#a"}], contained=[{"resourceType": "Practitioner", "id": "a", "meta": {"security": [{"code": "R"}]}}]), "invariant", "Observation.contained[0]"),
    ("a script in the narrative", patient(text={"status": "generated", "div": f"<div {XHTML}><script>x()</script></div>"}), "invariant", "Patient.text"),
    ("an image of another host about a patient", patient(text={"status": "generated", "div": f'<div {XHTML}><img src="https://example.org/a.png"/></div>'}), "invariant", "Patient.text"),
    ("an image of another host in what a patient holds", patient(generalPractitioner=[{"reference": "#o"}], contained=[{"resourceType": "Organization", "id": "o", "name": "x", "text": {"status": "generated", "div": f'<div {XHTML}><img src="https://example.org/a.png"/></div>'}}]), "invariant", "Patient.contained[0].text"),
    ("an id is no content", patient(maritalStatus={"id": "x"}), "invariant", "Patient.maritalStatus"),
    ("an id is no value of a primitive", patient(_birthDate={"id": "x"}), "invariant", "Patient.birthDate"),
    ("an id is no value of one of several", patient(name=[{"given": ["A", None], "_given": [None, {"id": "x"}]}]), "invariant", "Patient.name[0].given[1]"),
    ("a comparator in a range", observation(valueRange={"low": {"value": 1, "comparator": "<"}}), "invariant", "Observation.value.low"),
    ("an offset at a meal among other events", {"resourceType": "Basic", "code": {"text": "x"}, "extension": [{"url": "u", "valueTiming": {"repeat": {"when": ["HS", "C"], "offset": 5}}}]}, "invariant", "Basic.extension[0].value.repeat"),
    # extensions
    ("an extension of R4 in the wrong place", patient(extension=[{"url": f"{SD}observation-bodyPosition", "valueCodeableConcept": {"text": "x"}}]), "structure", "Patient.extension[0]"),
    ("an extension of R4 at the wrong element", patient(name=[{"extension": [{"url": f"{SD}patient-birthTime", "valueDateTime": "2020"}]}]), "structure", "Patient.name[0].extension[0]"),
    ("an extension of R4 with a value of another type", patient(_birthDate={"extension": [{"url": f"{SD}patient-birthTime", "valueString": "noon"}]}), "structure", "Patient.birthDate.extension[0].value"),
    ("a value for an extension of R4 that has parts", patient(address=[{"extension": [{"url": f"{SD}geolocation", "valueDecimal": Decimal(1)}]}]), "structure", "Patient.address[0].extension[0]"),
    ("a modifier extension that nobody defines", patient(modifierExtension=[{"url": "urn:x", "valueCode": "y"}]), "extension", "Patient.modifierExtension[0]"),
    ("a modifier extension of a part", patient(contact=[{"name": {"text": "x"}, "modifierExtension": [{"url": "urn:x", "valueCode": "y"}]}]), "extension", "Patient.contact[0].modifierExtension[0]"),
    # inside other resources
    ("a fault in a contained resource", observation(performer=[{"reference": "#a"}], contained=[{"resourceType": "Practitioner", "id": "a", "gender": "man"}]), "code-invalid", "Observation.contained[0].gender"),
    ("a fault in an entry of a Bundle", {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": patient()}, {"resource": patient(gender="man")}]}, "code-invalid", "Bundle.entry[1].resource.gender"),
    ("an invariant in an entry of a Bundle", {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": patient(contact=[{"gender": "male"}])}]}, "invariant", "Bundle.entry[0].resource.contact[0]"),
    ("a fault in a resource of nested Parameters", {"resourceType": "Parameters", "parameter": [{"name": "a", "part": [{"name": "b", "resource": patient(active="x")}]}]}, "structure", "Parameters.parameter[0].part[0].resource.active"),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "code", "place"), [pytest.param(*case[1:], id=case[0]) for case in BROKEN])
def test_a_broken_resource_is_refused_with_code_and_place(resource: dict[str, Any], code: str, place: str) -> None:
    issues = validate.structure(resource)
    assert [(issue.severity, issue.code, issue.expression) for issue in issues] == [("error", code, place)]


VALID = [
    ("nothing but a type", patient()),
    ("an extension of R4 at its element", patient(_birthDate={"extension": [{"url": f"{SD}patient-birthTime", "valueDateTime": "2020"}]})),
    ("an extension of R4 for any element", patient(_gender={"extension": [{"url": f"{SD}data-absent-reason", "valueCode": "unknown"}]})),
    ("an extension of R4 at an element within its like", {"resourceType": "RequestGroup", "status": "draft", "intent": "order", "action": [{"action": [{"action": [{"resource": {"reference": "Task/1"}, "extension": [{"url": f"{SD}timing-daysOfCycle", "extension": [{"url": "day", "valueInteger": 1}]}]}]}]}]}),
    ("an extension where HL7 itself puts it", {"resourceType": "OperationDefinition", "name": "X", "status": "draft", "kind": "operation", "code": "x", "system": True, "type": False, "instance": False, "extension": [{"url": f"{SD}structuredefinition-normative-version", "valueCode": "4.0.1"}]}),
    ("an extension that R4 does not know", patient(extension=[{"url": "urn:own", "valueCode": "x"}])),
    ("a modifier extension of R4", {"resourceType": "NutritionOrder", "status": "active", "intent": "order", "dateTime": "2020", "patient": {"reference": "Patient/1"}, "modifierExtension": [{"url": f"{SD}request-doNotPerform", "valueBoolean": True}]}),
    ("an id beside a value", patient(birthDate="2020", _birthDate={"id": "x"})),
    ("a period of unlike precision", patient(name=[{"family": "x", "period": {"start": "2020-05-31", "end": "2020-05"}}])),
    ("a batch without full urls", {"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": "GET", "url": "x"}}] * 2}),
    ("null beside its extension", patient(name=[{"given": ["A", None], "_given": [None, {"extension": [{"url": "u", "valueString": "x"}]}]}])),
    ("a prediction without a probability", {"resourceType": "RiskAssessment", "status": "final", "subject": {"reference": "Patient/1"}, "prediction": [{"outcome": {"text": "x"}}]}),
    ("an extension in place of a required status", {"resourceType": "Observation", "_status": {"extension": [{"url": "u", "valueCode": "x"}]}, "code": {"text": "a"}}),
    ("an extension in place of a choice's value", observation(_valueString={"extension": [{"url": "u", "valueCode": "unknown"}]})),
    ("a value and its own extension", observation(valueString="a", _valueString={"id": "x"})),
    ("a no-break space", patient(name=[{"family": "de\u00a0Vries", "text": "\u00a0"}])),
    ("line ends and tabs in markdown", {"resourceType": "Basic", "code": {"text": "a\r\n\tb"}}),
    ("base64 with white space", patient(photo=[{"contentType": "image/png", "data": " QUJD\r\nRA== \n"}])),
    ("an empty Attachment title is absent, its size is zero", patient(photo=[{"size": 0}])),
    ("29 February of a leap year", patient(birthDate="2000-02-29")),
    ("a leap second", observation(issued="2016-12-31T23:59:60Z")),
    ("nanoseconds and the last offset", observation(effectiveDateTime="2020-01-01T00:00:00.123456789+14:00")),
    ("a year, a month", patient(birthDate="1987", deceasedDateTime="2020-05")),
    ("a decimal with trailing zeros", observation(valueQuantity={"value": Decimal("105.00")})),
    ("a decimal with an exponent", observation(valueQuantity={"value": Decimal("1.0E+2")})),
    ("a whole number as decimal", observation(valueQuantity={"value": 100})),
    ("a logical reference", observation(subject={"type": "Patient", "identifier": {"system": "urn:x", "value": "z"}}, performer=[{"display": "the night nurse"}])),
    ("a urn and a conditional reference in a transaction", observation(subject={"reference": "urn:uuid:1"}, encounter={"reference": "Encounter?identifier=x"})),
    ("contained resources that point to each other", observation(
        contained=[{"resourceType": "Practitioner", "id": "dr"}, {"resourceType": "PractitionerRole", "id": "role", "practitioner": {"reference": "#dr"}}],
        performer=[{"reference": "#role"}])),
    ("a contained resource that points at its container", observation(contained=[{"resourceType": "Provenance", "id": "p", "target": [{"reference": "#"}], "recorded": "2020-01-01T00:00:00Z", "agent": [{"who": {"display": "x"}}]}])),
    ("a canonical to a contained resource", {"resourceType": "QuestionnaireResponse", "status": "completed", "questionnaire": "#q", "contained": [{"resourceType": "Questionnaire", "id": "q", "status": "active"}]}),
    ("extra codings beside the required one", condition(clinicalStatus={"coding": [{"system": "http://local", "code": "x"}, *clinical("active")["coding"]]})),
    ("an allergy entered in error without clinical status", {"resourceType": "AllergyIntolerance", "patient": {"reference": "Patient/1"}, "verificationStatus": clinical("entered-in-error", "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification")}),
    ("a reference to something outside FHIR", observation(performer=[{"reference": "https://example.org/people.html"}])),
    ("a period within one day", patient(name=[{"family": "x", "period": {"start": "2020-05-05T10:00:00Z", "end": "2020-05-05"}}])),
    ("versions of canonicals and their extensions", {"resourceType": "PlanDefinition", "status": "draft", "library": ["http://a|1.0"], "_library": [{"id": "a"}]}),
    ("a narrative with entities, a link and a table", patient(text={"status": "generated", "div": f'<div {XHTML}>a&nbsp;b &amp; <a href="https://example.org">c</a><table class="x"><tr><td style="color: red">1</td></tr></table></div>'})),
    ("an image of its publisher in a definition", {"resourceType": "ValueSet", "status": "active", "text": {"status": "generated", "div": f'<div {XHTML}><img src="https://hl7.org/fhir/R4/help16.png"/></div>'}}),
    ("a currency, whose codes are too many to list", {"resourceType": "Invoice", "status": "issued", "totalNet": {"value": Decimal("1.20"), "currency": "EUR"}}),
    ("a content reference", observation(component=[{"code": {"text": "a"}, "referenceRange": [{"text": "x"}]}])),
    ("a Bundle with a resource and nested Parameters", {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": {"resourceType": "Parameters", "parameter": [{"name": "a", "part": [{"name": "b", "valueString": "c"}]}]}}]}),
]  # fmt: skip


@pytest.mark.parametrize("resource", [pytest.param(case[1], id=case[0]) for case in VALID])
def test_a_legal_oddity_passes(resource: dict[str, Any]) -> None:
    assert validate.structure(resource) == []


def test_every_resource_type_has_a_schema_that_compiles_and_refuses_a_stranger() -> None:
    for resource_type in sorted(resource_types()):
        issues = validate.structure({"resourceType": resource_type, "nobodyKnowsThis": 1})
        assert any(issue.code == "structure" for issue in issues), resource_type


def test_no_issue_repeats_a_value_or_a_suspicious_property_name() -> None:
    secret = "Smith 1970"
    resource = patient(birthDate=secret, gender=secret, name=secret, **{secret: 1}, contact=[{secret: 2}])
    text = " ".join(f"{issue.expression} {issue.diagnostics}" for issue in validate.structure(resource))
    assert "Smith" not in text
    assert len(validate.structure(resource)) == 5


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False)
    | st.text(max_size=5)
    | st.sampled_from(["#a", "Patient/1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["resourceType", "id", "reference", "extension", "url", "div", "coding"]), inner
        )
    ),
    max_leaves=8,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a document."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [pair for key in keys for pair in ((value, key), *places(value[key]))]


@given(st.sampled_from([case[1] for case in VALID]), st.data())
def test_a_document_damaged_anywhere_is_judged_and_never_a_surprise(
    resource: dict[str, Any], data: st.DataObject
) -> None:
    damaged = copy.deepcopy(resource)
    container, key = data.draw(st.sampled_from(places(damaged)))
    container[key] = data.draw(JUNK)
    if not validate.structure(damaged):
        index(damaged)
        patients_of(damaged)


def test_all_faults_of_a_resource_are_reported_up_to_a_bound() -> None:
    assert len(validate.structure(patient(gender="x", birthDate="y", active="z"))) == 3
    assert len(validate.structure(patient(name=[{"family": 1}] * 1000))) == MOST_ISSUES


def test_a_modifier_extension_that_is_understood_is_let_in() -> None:
    resource = patient(modifierExtension=[{"url": "urn:x", "valueCode": "y"}])
    assert validate.structure(resource, {"urn:x"}) == []


def test_a_code_outside_an_extensible_binding_is_a_warning_and_only_when_asked_for() -> None:
    resource = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": patient(maritalStatus={"coding": [{"system": "urn:own", "code": "x"}]})}],
    }
    assert validate.structure(resource) == []
    (issue,) = validate.examine(resource)
    place = "Bundle.entry[0].resource.maritalStatus"
    assert (issue.severity, issue.code, issue.expression) == ("warning", "code-invalid", place)
    own = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus", "code": "M"}]}
    assert validate.examine(patient(maritalStatus=own)) == []


def test_a_sentence_says_what_to_send_instead() -> None:
    told = {
        issue.expression: issue.diagnostics for issue in validate.structure(patient(gender="x", birthDate="1.1.2020"))
    }
    assert told["Patient.gender"].endswith("use female, male, other, unknown")
    assert "YYYY-MM-DD" in told["Patient.birthDate"]


def test_a_hostile_resource_is_validated_in_bounded_time() -> None:
    contained = [{"resourceType": "Basic", "id": f"c{n}", "code": {"text": "x"}} for n in range(20_000)]
    base = {"path": "x", "min": 0, "max": "1"}
    paths = ["Patient", *(f"Patient.a{n}" for n in range(3_000))]
    definition = {
        **{
            "resourceType": "StructureDefinition",
            "url": "http://a.b",
            "name": "X",
            "status": "draft",
            "abstract": False,
        },
        **{"kind": "resource", "type": "Patient", "baseDefinition": "http://a.b", "derivation": "constraint"},
        "snapshot": {
            "element": [{"id": p, "path": p, "min": 0, "max": "1", "definition": "d", "base": base} for p in paths]
        },
    }
    began = time.process_time()
    assert len(validate.structure(observation(contained=contained))) == MOST_ISSUES
    assert validate.structure(definition) == []
    assert time.process_time() - began < 20
