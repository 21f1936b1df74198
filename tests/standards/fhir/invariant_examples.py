"""One element that breaks and one that keeps each invariant of R4 with severity error: (key, where, broken, kept).

The elements hold what the rule is about and no more; what else their types require does not matter here. `where` is the
path that the rule stands at in the definitions.
"""

from __future__ import annotations

from typing import Any

_HL7 = "http://terminology.hl7.org/CodeSystem/"
_UCUM = "http://unitsofmeasure.org"
SOME: dict[str, Any] = {"text": "x"}
REF = {"reference": "urn:x"}
BACK = {"reference": "#"}


def cc(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": _HL7 + system, "code": code}]}


def ucum(code: str, value: int = 1) -> dict[str, Any]:
    return {"value": value, "system": _UCUM, "code": code}


def elements(*paths: str, **more: Any) -> dict[str, Any]:
    """A snapshot or differential."""
    full = {"definition": "d", "min": 0, "max": "1", "base": {"path": "x", "min": 0, "max": "1"}}
    return {"element": [{"id": path, "path": path, **full, **more} for path in paths]}


def definition(**facts: Any) -> dict[str, Any]:
    return {"resourceType": "StructureDefinition", "kind": "resource", "type": "Patient", **facts}


def without(element: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in element.items() if key not in names}


CONTAINED = {"resourceType": "Patient", "id": "c", "managingOrganization": BACK}
SERVER = {"software": {"name": "s"}, "implementation": {"description": "d"}}
REQUEST, RESPONSE = {"method": "GET", "url": "x"}, {"status": "200"}
BUNDLE = {"resourceType": "Bundle"}
ONE = elements("Patient", "Patient.name")
OPEN = {"type": "choice", "linkId": "1"}

EXAMPLES: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("age-1", "Age", {"value": 0, "system": _UCUM, "code": "a"}, ucum("a")),
    ("ait-1", "AllergyIntolerance", {"patient": REF}, {"clinicalStatus": cc("allergyintolerance-clinical", "active")}),
    ("ait-2", "AllergyIntolerance", {"verificationStatus": cc("allergyintolerance-verification", "entered-in-error"), "clinicalStatus": SOME}, {"verificationStatus": cc("allergyintolerance-verification", "entered-in-error")}),
    ("app-1", "Appointment.participant", {"status": "accepted"}, {"actor": REF}),
    ("app-2", "Appointment", {"status": "proposed", "start": "2020-01-01T10:00:00Z"}, {"start": "2020-01-01T10:00:00Z", "end": "2020-01-01T11:00:00Z"}),
    ("app-3", "Appointment", {"status": "booked"}, {"status": "waitlist"}),
    ("app-4", "Appointment", {"resourceType": "Appointment", "status": "booked", "cancelationReason": SOME}, {"resourceType": "Appointment", "status": "noshow", "start": "2020-01-01T10:00:00Z"}),
    ("apr-1", "AppointmentResponse", {"comment": "x"}, {"actor": REF}),
    ("att-1", "Attachment", {"data": "AAAA"}, {"data": "AAAA", "contentType": "text/plain"}),
    ("bdl-1", "Bundle", BUNDLE | {"type": "batch", "total": 1}, BUNDLE | {"type": "searchset", "total": 1}),
    ("bdl-2", "Bundle", BUNDLE | {"type": "batch", "entry": [{"search": {"mode": "match"}, "request": REQUEST}]}, BUNDLE | {"type": "searchset", "entry": [{"search": {"mode": "match"}, "resource": CONTAINED}]}),
    ("bdl-3", "Bundle", BUNDLE | {"type": "batch", "entry": [{"resource": CONTAINED}]}, BUNDLE | {"type": "batch", "entry": [{"request": REQUEST}]}),
    ("bdl-4", "Bundle", BUNDLE | {"type": "batch-response", "entry": [{"resource": CONTAINED}]}, BUNDLE | {"type": "batch-response", "entry": [{"response": RESPONSE}]}),
    ("bdl-5", "Bundle.entry", {"fullUrl": "urn:x"}, {"response": RESPONSE}),
    ("bdl-7", "Bundle", BUNDLE | {"type": "collection", "entry": [{"fullUrl": "urn:a"}, {"fullUrl": "urn:a"}]}, BUNDLE | {"type": "collection", "entry": [{"fullUrl": "urn:a"}, {"fullUrl": "urn:b"}]}),
    ("bdl-8", "Bundle.entry", {"fullUrl": "http://a.b/Patient/1/_history/2", "resource": CONTAINED}, {"fullUrl": "http://a.b/Patient/1", "resource": CONTAINED}),
    ("bdl-9", "Bundle", BUNDLE | {"type": "document", "identifier": {"value": "1"}}, BUNDLE | {"type": "document", "identifier": {"system": "urn:a", "value": "1"}}),
    ("bdl-10", "Bundle", BUNDLE | {"type": "document"}, BUNDLE | {"type": "document", "timestamp": "2020-01-01T10:00:00Z"}),
    ("bdl-11", "Bundle", BUNDLE | {"type": "document", "entry": [{"resource": CONTAINED}]}, BUNDLE | {"type": "document", "entry": [{"resource": {"resourceType": "Composition"}}]}),
    ("bdl-12", "Bundle", BUNDLE | {"type": "message", "entry": [{"resource": CONTAINED}]}, BUNDLE | {"type": "message", "entry": [{"resource": {"resourceType": "MessageHeader"}}]}),
    ("ces-1", "CoverageEligibilityResponse.insurance.item", {"category": SOME, "productOrService": SOME}, {"category": SOME}),
    ("cmd-1", "ConceptMap.group.element.target", {"equivalence": "narrower"}, {"equivalence": "narrower", "comment": "x"}),
    ("cmd-2", "ConceptMap.group.unmapped", {"mode": "fixed"}, {"mode": "fixed", "code": "a"}),
    ("cmd-3", "ConceptMap.group.unmapped", {"mode": "other-map"}, {"mode": "other-map", "url": "urn:a"}),
    ("cmp-1", "Composition.section", {"title": "x"}, {"entry": [REF]}),
    ("cmp-2", "Composition.section", {"emptyReason": SOME, "entry": [REF]}, {"emptyReason": SOME, "text": {"status": "empty"}}),
    ("cnt-3", "Count", ucum("kg"), ucum("1")),
    ("con-1", "Condition.stage", {"type": SOME}, {"summary": SOME}),
    ("con-2", "Condition.evidence", {"id": "x"}, {"code": [SOME]}),
    ("con-4", "Condition", {"abatementString": "x", "clinicalStatus": cc("condition-clinical", "active")}, {"abatementString": "x", "clinicalStatus": cc("condition-clinical", "resolved")}),
    ("con-5", "Condition", {"verificationStatus": cc("condition-ver-status", "entered-in-error"), "clinicalStatus": SOME}, {"verificationStatus": cc("condition-ver-status", "entered-in-error")}),
    ("cpb-1", "CapabilityStatement", {"kind": "instance"}, {"rest": [{"mode": "server"}]}),
    ("cpb-2", "CapabilityStatement", {"kind": "instance"}, SERVER),
    ("cpb-3", "CapabilityStatement", {"kind": "requirements", "messaging": [{"endpoint": [{"address": "x"}]}]}, {"kind": "instance", "messaging": [{"endpoint": [{"address": "x"}]}]}),
    ("cpb-7", "CapabilityStatement", {"document": [{"mode": "producer", "profile": "a"}] * 2}, {"document": [{"mode": "producer", "profile": "a"}, {"mode": "consumer", "profile": "a"}]}),
    ("cpb-9", "CapabilityStatement.rest", {"resource": [{"type": "Patient"}] * 2}, {"resource": [{"type": "Patient"}, {"type": "Group"}]}),
    ("cpb-12", "CapabilityStatement.rest.resource", {"searchParam": [{"name": "a"}] * 2}, {"searchParam": [{"name": "a"}, {"name": "b"}]}),
    ("cpb-14", "CapabilityStatement", {"kind": "instance"}, {"kind": "instance", **SERVER}),
    ("cpb-15", "CapabilityStatement", {"kind": "capability", **SERVER}, {"kind": "capability", "software": {"name": "s"}}),
    ("cpb-16", "CapabilityStatement", {"kind": "requirements", **SERVER}, {"kind": "requirements", "description": "d"}),
    ("cpl-3", "CarePlan.activity", {"detail": {"status": "x"}, "reference": REF}, {"reference": REF}),
    ("cpt-2", "ContactPoint", {"value": "1"}, {"value": "1", "system": "phone"}),
    ("csd-1", "CodeSystem", {"concept": [{"code": "a"}, {"code": "b", "concept": [{"code": "a"}]}]}, {"concept": [{"code": "a"}, {"code": "b"}]}),
    ("ctm-1", "CareTeam.participant", {"onBehalfOf": REF, "member": {"reference": "#c"}}, {"member": {"reference": "#c"}}),
    ("dis-1", "Distance", {"value": 1, "system": "urn:other", "code": "m"}, ucum("m")),
    ("drq-1", "DataRequirement.codeFilter", {"path": "a", "searchParam": "b"}, {"path": "a"}),
    ("drq-2", "DataRequirement.dateFilter", {"path": "a", "searchParam": "b"}, {"searchParam": "b"}),
    ("drt-1", "Duration", {"code": "h", "system": _UCUM}, ucum("h")),
    ("eld-1", "ElementDefinition.slicing", {"rules": "open"}, {"description": "x"}),
    ("eld-2", "ElementDefinition", {"path": "a", "min": 2, "max": "1"}, {"path": "a", "min": 2, "max": "*"}),
    ("eld-3", "ElementDefinition", {"path": "a", "max": "-1"}, {"path": "a", "max": "1"}),
    ("eld-4", "ElementDefinition.type", {"code": "string", "aggregation": ["contained"]}, {"code": "Reference", "aggregation": ["contained"]}),
    ("eld-5", "ElementDefinition", {"path": "a", "contentReference": "#a", "type": [{"code": "code"}]}, {"path": "a", "contentReference": "#a"}),
    ("eld-6", "ElementDefinition", {"path": "a", "fixedCode": "x", "type": [{"code": "a"}, {"code": "b"}]}, {"path": "a", "fixedCode": "x", "type": [{"code": "code"}]}),
    ("eld-7", "ElementDefinition", {"path": "a", "patternCode": "x", "type": [{"code": "a"}, {"code": "b"}]}, {"path": "a", "patternCode": "x"}),
    ("eld-8", "ElementDefinition", {"path": "a", "patternCode": "x", "fixedCode": "x"}, {"path": "a", "patternCode": "x"}),
    ("eld-12", "ElementDefinition.binding", {"valueSet": "ValueSet/1"}, {"valueSet": "http://a.b"}),
    ("eld-13", "ElementDefinition", {"path": "a", "type": [{"code": "a"}] * 2}, {"path": "a", "type": [{"code": "a"}, {"code": "b"}]}),
    ("eld-14", "ElementDefinition", {"path": "a", "constraint": [{"key": "a"}] * 2}, {"path": "a", "constraint": [{"key": "a"}, {"key": "b"}]}),
    ("eld-15", "ElementDefinition", {"path": "a", "defaultValueCode": "x", "meaningWhenMissing": "y"}, {"path": "a", "meaningWhenMissing": "y"}),
    ("eld-16", "ElementDefinition", {"path": "a", "sliceName": "a b"}, {"path": "a", "sliceName": "a-b"}),
    ("eld-17", "ElementDefinition.type", {"code": "string", "targetProfile": ["a"]}, {"code": "canonical", "targetProfile": ["a"]}),
    ("eld-18", "ElementDefinition", {"path": "a", "isModifier": True}, {"path": "a", "isModifier": True, "isModifierReason": "x"}),
    ("eld-19", "ElementDefinition", {"path": "?"}, {"path": "Patient.name"}),
    ("eld-22", "ElementDefinition", {"path": "a", "sliceIsConstraining": True}, {"path": "a", "sliceIsConstraining": True, "sliceName": "x"}),
    ("ele-1", "Period", {"id": "x"}, {"start": "2020"}),
    ("exp-1", "Expression", {"language": "text/cql"}, {"expression": "1"}),
    ("ext-1", "Extension", {"url": "urn:a"}, {"url": "urn:a", "valueCode": "x"}),
    ("fhs-1", "FamilyMemberHistory", {"ageString": "x", "bornString": "y"}, {"ageString": "x"}),
    ("fhs-2", "FamilyMemberHistory", {"estimatedAge": True}, {"ageString": "x", "estimatedAge": True}),
    ("gol-1", "Goal.target", {"detailString": "x"}, {"detailString": "x", "measure": SOME}),
    ("grp-1", "Group", {"actual": False, "member": [{"entity": REF}]}, {"actual": True, "member": [{"entity": REF}]}),
    ("ig-1", "ImplementationGuide.definition", {"resource": [{"groupingId": "a"}]}, {"resource": [{"groupingId": "a"}], "grouping": [{"id": "a", "name": "x"}]}),
    ("ig-2", "ImplementationGuide", {"fhirVersion": ["4.0.1"], "definition": {"resource": [{"fhirVersion": ["3.0.2"]}]}}, {"fhirVersion": ["4.0.1"], "definition": {"resource": [{"fhirVersion": ["4.0.1"]}]}}),
    ("imm-1", "Immunization.education", {"publicationDate": "2020"}, {"documentType": "x"}),
    ("imr-1", "ImmunizationRecommendation.recommendation", {"forecastStatus": SOME}, {"vaccineCode": [SOME]}),
    ("inv-1", "Parameters.parameter", {"name": "a"}, {"name": "a", "valueCode": "x"}),
    ("inv-1", "Task", {"authoredOn": "2020-01-02", "lastModified": "2020-01-01"}, {"authoredOn": "2020-01-01", "lastModified": "2020-01-02"}),
    ("inv-1", "TestReport.setup.action", {"id": "x"}, {"operation": {"result": "pass"}}),
    ("inv-2", "TestReport.test.action", {"id": "x"}, {"assert": {"result": "pass"}}),
    ("ipn-1", "InsurancePlan", {"status": "active"}, {"name": "x"}),
    ("lnk-1", "Linkage", {"item": [{"type": "source"}]}, {"item": [{"type": "source"}, {"type": "alternate"}]}),
    ("lst-1", "List", {"mode": "working", "emptyReason": SOME, "entry": [{"item": REF}]}, {"entry": [{"item": REF}]}),
    ("lst-2", "List", {"mode": "working", "entry": [{"deleted": True}]}, {"mode": "changes", "entry": [{"deleted": True}]}),
    ("lst-3", "List", {"mode": "changes", "entry": [{"date": "2020"}]}, {"mode": "working", "entry": [{"date": "2020"}]}),
    ("mad-1", "MedicationAdministration.dosage", {"text": "x"}, {"dose": ucum("mg")}),
    ("md-1", "MessageDefinition.focus", {"max": "0"}, {"max": "2"}),
    ("mdd-1", "MedicationDispense", {"whenPrepared": "2020-01-02", "whenHandedOver": "2020-01-01"}, {"whenPrepared": "2020-01-01", "whenHandedOver": "2020-01-02"}),
    ("mea-1", "Measure", {"group": [{"stratifier": [{"id": "x"}]}]}, {"group": [{"stratifier": [{"description": "x"}]}]}),
    ("mrp-1", "MeasureReport", {"type": "data-collection", "group": [{"id": "a"}]}, {"type": "summary", "group": [{"id": "a"}]}),
    ("mrp-2", "MeasureReport", {"group": [{"stratifier": [{"stratum": [{"id": "x"}]}]}]}, {"group": [{"stratifier": [{"stratum": [{"value": SOME}]}]}]}),
    ("msq-3", "MolecularSequence", {"coordinateSystem": 2}, {"coordinateSystem": 1}),
    ("msq-5", "MolecularSequence.referenceSeq", {"chromosome": SOME, "referenceSeqString": "A"}, {"referenceSeqString": "A"}),
    ("msq-6", "MolecularSequence.referenceSeq", {"referenceSeqString": "A", "referenceSeqId": SOME}, {"referenceSeqId": SOME}),
    ("nsd-1", "NamingSystem", {"kind": "root", "uniqueId": [{"type": "uuid"}]}, {"kind": "root", "uniqueId": [{"type": "oid"}]}),
    ("nsd-2", "NamingSystem", {"uniqueId": [{"type": "oid", "preferred": True}] * 2}, {"uniqueId": [{"type": "oid", "preferred": True}, {"type": "oid"}]}),
    ("obs-3", "Observation.referenceRange", {"age": {"low": ucum("a")}}, {"text": "x"}),
    ("obs-6", "Observation", {"code": SOME, "valueString": "x", "dataAbsentReason": SOME}, {"code": SOME, "valueString": "x"}),
    ("obs-7", "Observation", {"code": cc("a", "b"), "valueString": "x", "component": [{"code": cc("a", "b")}]}, {"code": cc("a", "b"), "valueString": "x", "component": [{"code": cc("a", "c")}]}),
    ("opd-1", "OperationDefinition.parameter", {"name": "a"}, {"type": "string"}),
    ("opd-2", "OperationDefinition.parameter", {"type": "code", "searchType": "token"}, {"type": "string", "searchType": "token"}),
    ("opd-3", "OperationDefinition.parameter", {"type": "code", "targetProfile": ["a"]}, {"type": "canonical", "targetProfile": ["a"]}),
    ("org-1", "Organization", {"active": True}, {"name": "x"}),
    ("org-2", "Organization", {"name": "x", "address": [{"use": "home"}]}, {"name": "x", "address": [{"use": "work"}]}),
    ("org-3", "Organization", {"name": "x", "telecom": [{"use": "home"}]}, {"name": "x", "telecom": [{"use": "work"}]}),
    ("pat-1", "Patient.contact", {"gender": "male"}, {"name": SOME}),
    ("per-1", "Period", {"start": "2020-02", "end": "2020-01"}, {"start": "2020-01", "end": "2020-01"}),
    ("ppc-1", "Consent", {"scope": SOME}, {"policyRule": SOME}),
    ("ppc-2", "Consent", {"policyRule": SOME, "scope": {"coding": [{"system": "something", "code": "patient-privacy"}]}}, {"policyRule": SOME, "patient": REF}),
    ("ppc-3", "Consent", {"policyRule": SOME, "scope": {"coding": [{"system": "something", "code": "research"}]}}, {"policyRule": SOME, "patient": REF}),
    ("ppc-4", "Consent", {"policyRule": SOME, "scope": {"coding": [{"system": "something", "code": "adr"}]}}, {"policyRule": SOME, "patient": REF}),
    ("ppc-5", "Consent", {"policyRule": SOME, "scope": {"coding": [{"system": "something", "code": "treatment"}]}}, {"policyRule": SOME, "patient": REF}),
    ("prr-1", "ServiceRequest", {"orderDetail": [SOME]}, {"orderDetail": [SOME], "code": SOME}),
    ("qrs-1", "QuestionnaireResponse.item", {"answer": [{"valueString": "x"}], "item": [{"linkId": "1"}]}, {"answer": [{"valueString": "x"}]}),
    ("qty-3", "Quantity", {"value": 1, "code": "kg"}, ucum("kg")),
    ("que-1", "Questionnaire.item", {"type": "group"}, {"type": "group", "item": [OPEN]}),
    ("que-2", "Questionnaire", {"item": [{"linkId": "1", "item": [{"linkId": "1"}]}]}, {"item": [{"linkId": "1", "item": [{"linkId": "2"}]}]}),
    ("que-3", "Questionnaire.item", {"type": "display", "code": [{"code": "a"}]}, {"type": "string", "code": [{"code": "a"}]}),
    ("que-4", "Questionnaire.item", OPEN | {"answerOption": [{"valueString": "x"}], "answerValueSet": "a"}, OPEN | {"answerValueSet": "a"}),
    ("que-5", "Questionnaire.item", {"type": "boolean", "answerValueSet": "a"}, OPEN | {"answerValueSet": "a"}),
    ("que-6", "Questionnaire.item", {"type": "display", "required": True}, {"type": "string", "required": True}),
    ("que-7", "Questionnaire.item.enableWhen", {"operator": "exists", "answerString": "x"}, {"operator": "exists", "answerBoolean": False}),
    ("que-8", "Questionnaire.item", {"type": "group", "item": [OPEN], "initial": [{"valueString": "x"}]}, {"type": "string", "initial": [{"valueString": "x"}]}),
    ("que-9", "Questionnaire.item", {"type": "display", "readOnly": True}, {"type": "string", "readOnly": True}),
    ("que-10", "Questionnaire.item", {"type": "date", "maxLength": 1}, {"type": "text", "maxLength": 1}),
    ("que-11", "Questionnaire.item", OPEN | {"answerOption": [{"valueString": "x"}], "initial": [{"valueString": "x"}]}, OPEN | {"answerOption": [{"valueString": "x", "initialSelected": True}]}),
    ("que-12", "Questionnaire.item", OPEN | {"enableWhen": [{"question": "a"}] * 3}, OPEN | {"enableWhen": [{"question": "a"}] * 3, "enableBehavior": "any"}),
    ("que-13", "Questionnaire.item", OPEN | {"initial": [{"valueString": "x"}] * 2}, OPEN | {"initial": [{"valueString": "x"}] * 2, "repeats": True}),
    ("ras-1", "RiskAssessment.prediction", {"probabilityRange": {"low": {"value": 1}}}, {"probabilityRange": {"low": ucum("%")}}),
    ("ras-2", "RiskAssessment.prediction", {"probabilityDecimal": 101}, {"probabilityDecimal": 100}),
    ("rat-1", "Ratio", {"numerator": {"value": 1}}, {"numerator": {"value": 1}, "denominator": {"value": 1}}),
    ("rng-2", "Range", {"low": ucum("kg", 2), "high": ucum("kg", 1)}, {"low": ucum("kg", 1), "high": ucum("kg", 2)}),
    ("rqg-1", "RequestGroup.action", {"title": "x"}, {"resource": REF}),
    ("sdf-1", "StructureDefinition", definition(derivation="specialization", snapshot=elements("Patient", "Patient")), definition(snapshot=ONE)),
    ("sdf-2", "StructureDefinition.mapping", {"identity": "x"}, {"uri": "urn:a"}),
    ("sdf-3", "StructureDefinition.snapshot", {"element": [without(ONE["element"][0], "min")]}, ONE),
    ("sdf-4", "StructureDefinition", definition(snapshot=ONE), definition(snapshot=ONE, baseDefinition="a")),
    ("sdf-5", "StructureDefinition", definition(type="Extension"), definition(type="Extension", context=[{"type": "element"}])),
    ("sdf-6", "StructureDefinition", definition(), definition(snapshot=ONE)),
    ("sdf-8", "StructureDefinition.snapshot", elements("Group", "Group.name"), ONE),
    ("sdf-8a", "StructureDefinition.differential", elements("Group", "Patient.name"), ONE),
    ("sdf-8b", "StructureDefinition.snapshot", {"element": [without(ONE["element"][0], "base")]}, ONE),
    ("sdf-9", "StructureDefinition", definition(snapshot=elements("Patient", label="x")), definition(snapshot=ONE)),
    ("sdf-10", "StructureDefinition.snapshot", elements("Patient", binding={"strength": "required"}), elements("Patient", binding={"strength": "required", "valueSet": "http://a"})),
    ("sdf-11", "StructureDefinition", definition(type="Group", snapshot=ONE), definition(snapshot=ONE)),
    ("sdf-14", "StructureDefinition", definition(snapshot={"element": [without(ONE["element"][0], "id")]}), definition(snapshot=ONE)),
    ("sdf-15", "StructureDefinition", definition(snapshot=elements("Patient", type=[{"code": "x"}])), definition(snapshot=ONE)),
    ("sdf-15a", "StructureDefinition", definition(differential=elements("Patient", type=[{"code": "x"}])), definition(differential=ONE)),
    ("sdf-16", "StructureDefinition", definition(snapshot=elements("Patient", "Patient")), definition(snapshot=ONE, differential=ONE)),
    ("sdf-17", "StructureDefinition", definition(differential=elements("Patient", "Patient")), definition(snapshot=ONE, differential=ONE)),
    ("sdf-18", "StructureDefinition", definition(contextInvariant=["x"]), definition(type="Extension", contextInvariant=["x"])),
    ("sdf-19", "StructureDefinition", definition(url="http://hl7.org/fhir/StructureDefinition/x", differential=elements("Patient", type=[{"code": "a b"}])), definition(url="http://hl7.org/fhir/StructureDefinition/x", differential=elements("Patient.a", type=[{"code": "code"}]))),
    ("sdf-20", "StructureDefinition.differential", elements("Patient", slicing={"rules": "open"}), elements("Patient.name", slicing={"rules": "open"})),
    ("sdf-21", "StructureDefinition", definition(derivation="constraint", differential=elements("Patient", defaultValueCode="x")), definition(derivation="specialization", differential=elements("Patient", defaultValueCode="x"))),
    ("sdf-22", "StructureDefinition", definition(url="http://hl7.org/fhir/StructureDefinition/x", snapshot=elements("Patient", defaultValueCode="x")), definition(url="http://a.b", snapshot=elements("Patient", defaultValueCode="x"))),
    ("sdf-23", "StructureDefinition", definition(snapshot=elements("Patient", sliceName="x")), definition(snapshot=elements("Patient.name", sliceName="x"))),
    ("sev-1", "AuditEvent.entity", {"name": "x", "query": "AAAA"}, {"name": "x"}),
    ("smp-1", "StructureMap.group.rule.target", {"element": "x"}, {"element": "x", "context": "y", "contextType": "type"}),
    ("smp-2", "StructureMap.group.rule.target", {"context": "y"}, {"context": "y", "contextType": "type"}),
    ("spd-1", "SearchParameter", {"xpath": "x"}, {"xpath": "x", "xpathUsage": "normal"}),
    ("spd-2", "SearchParameter", {"type": "token", "chain": ["x"]}, {"type": "reference", "chain": ["x"]}),
    ("sqty-1", "Range", {"low": {"value": 1, "comparator": "<"}}, {"low": {"value": 1}}),
    ("tcp-1", "TerminologyCapabilities.codeSystem", {"version": [{"code": "1"}, {"isDefault": True}]}, {"version": [{"code": "1"}, {"code": "2"}]}),
    ("tcp-2", "TerminologyCapabilities", {"kind": "instance"}, SERVER),
    ("tcp-3", "TerminologyCapabilities", {"kind": "instance"}, {"kind": "instance", **SERVER}),
    ("tcp-4", "TerminologyCapabilities", {"kind": "capability", **SERVER}, {"kind": "capability", "software": {"name": "s"}}),
    ("tcp-5", "TerminologyCapabilities", {"kind": "requirements", **SERVER}, {"kind": "requirements", "description": "d"}),
    ("tim-1", "Timing.repeat", {"duration": 1}, {"duration": 1, "durationUnit": "h"}),
    ("tim-2", "Timing.repeat", {"period": 1}, {"period": 1, "periodUnit": "h"}),
    ("tim-4", "Timing.repeat", {"duration": -1}, {"duration": 0, "durationUnit": "h"}),
    ("tim-5", "Timing.repeat", {"period": -1}, {"period": 0, "periodUnit": "h"}),
    ("tim-6", "Timing.repeat", {"periodMax": 1}, {"period": 1, "periodMax": 2, "periodUnit": "h"}),
    ("tim-7", "Timing.repeat", {"durationMax": 1}, {"duration": 1, "durationMax": 2, "durationUnit": "h"}),
    ("tim-8", "Timing.repeat", {"countMax": 2}, {"count": 1, "countMax": 2}),
    ("tim-9", "Timing.repeat", {"offset": 5, "when": ["C", "HS"]}, {"offset": 5, "when": ["AC", "HS"]}),
    ("tim-10", "Timing.repeat", {"timeOfDay": ["10:00:00"], "when": ["HS"]}, {"timeOfDay": ["10:00:00"]}),
    ("trd-1", "TriggerDefinition", {"type": "data-added", "data": [SOME], "timingDate": "2020"}, {"type": "data-added", "data": [SOME]}),
    ("trd-2", "TriggerDefinition", {"type": "named-event", "name": "x", "condition": SOME}, {"type": "data-added", "data": [SOME], "condition": SOME}),
    ("trd-3", "TriggerDefinition", {"type": "named-event"}, {"type": "named-event", "name": "x"}),
    ("tst-1", "TestScript.setup.action", {"id": "x"}, {"operation": {"encodeRequestUrl": True}}),
    ("tst-2", "TestScript.test.action", {"id": "x"}, {"assert": {"warningOnly": True}}),
    ("tst-3", "TestScript.variable", {"expression": "a", "headerField": "b", "path": "c"}, {"expression": "a"}),
    ("tst-4", "TestScript.metadata", {"capability": [{"capabilities": "a"}]}, {"capability": [{"required": True}]}),
    ("tst-5", "TestScript.setup.action.assert", {"contentType": "a", "path": "b"}, {"contentType": "a"}),
    ("tst-6", "TestScript.test.action", {"assert": {"contentType": "a", "path": "b"}}, {"assert": {"contentType": "a"}}),
    ("tst-7", "TestScript.setup.action.operation", {"targetId": "a", "url": "b"}, {"targetId": "a"}),
    ("tst-8", "TestScript.test.action", {"operation": {"targetId": "a", "url": "b"}}, {"operation": {"targetId": "a"}}),
    ("tst-9", "TestScript.teardown.action", {"operation": {"targetId": "a", "url": "b"}}, {"operation": {"targetId": "a"}}),
    ("tst-10", "TestScript.setup.action.assert", {"compareToSourceId": "a"}, {"compareToSourceId": "a", "compareToSourcePath": "b"}),
    ("tst-11", "TestScript.test.action", {"assert": {"compareToSourceId": "a"}}, {"assert": {"compareToSourceId": "a", "compareToSourcePath": "b"}}),
    ("tst-12", "TestScript.setup.action.assert", {"direction": "request", "responseCode": "200"}, {"direction": "request"}),
    ("tst-13", "TestScript.test.action", {"assert": {"direction": "request", "responseCode": "200"}}, {"assert": {"direction": "request"}}),
    ("txt-1", "Narrative", {"div": '<div xmlns="http://www.w3.org/1999/xhtml"><script/>x</div>'}, {"div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'}),
    ("txt-2", "Narrative", {"div": '<div xmlns="http://www.w3.org/1999/xhtml"> </div>'}, {"div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'}),
    ("vsd-1", "ValueSet.compose.include", {"version": "1"}, {"valueSet": ["a"]}),
    ("vsd-2", "ValueSet.compose.include", {"valueSet": ["a"], "concept": [{"code": "a"}]}, {"system": "a", "concept": [{"code": "a"}]}),
    ("vsd-3", "ValueSet.compose.include", {"system": "a", "concept": [{"code": "a"}], "filter": [{"op": "="}]}, {"system": "a", "filter": [{"op": "="}]}),
    ("vsd-6", "ValueSet.expansion.contains", {"abstract": True}, {"display": "x", "abstract": True}),
    ("vsd-9", "ValueSet.expansion.contains", {"display": "x"}, {"display": "x", "abstract": True}),
    ("vsd-10", "ValueSet.expansion.contains", {"code": "a"}, {"code": "a", "system": "urn:a"}),
]  # fmt: skip

NEVER_BROKEN = {"eld-11": "its FHIRPath asks whether an answer exists, not whether it is true"}
"""Invariants that nothing can break as HL7 wrote them."""

WHOLE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "dom-2": ({"contained": [CONTAINED | {"contained": [{"resourceType": "Basic"}]}]}, {"contained": [CONTAINED]}),
    "dom-3": ({"contained": [without(CONTAINED, "managingOrganization")]}, {"contained": [CONTAINED]}),
    "dom-4": ({"contained": [CONTAINED | {"meta": {"versionId": "1"}}]}, {"contained": [CONTAINED]}),
    "dom-5": ({"contained": [CONTAINED | {"meta": {"security": [{"code": "R"}]}}]}, {"contained": [CONTAINED | {"meta": {"tag": [{"code": "R"}]}}]}),
    "ref-1": ({"managingOrganization": {"reference": "#nobody"}}, {"managingOrganization": {"reference": "Organization/1"}}),
    "ele-1": ({"maritalStatus": {"id": "x"}}, {"maritalStatus": SOME}),
}  # fmt: skip
"""Rules about a whole resource, here a Patient."""
