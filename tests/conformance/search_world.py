"""A small world whose right answers are known by looking at it, for the behaviours of search.html.

Each question of a table is `query -> ids`, the ids without their type; nothing behind the arrow means that nothing is
found. Questions are asked of the world alone: `test_search_behaviours` puts it into a hub that holds nothing else of
these ids.
"""

from __future__ import annotations

from typing import Any

Resource = dict[str, Any]
UCUM = "http://unitsofmeasure.org"
LOINC = "http://loinc.org"
V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"


def _observation(id_: str, code: str = "c1", **more: Any) -> Resource:
    return {
        "resourceType": "Observation", "id": id_, "status": "final",
        "code": {"coding": [{"system": "urn:codes", "code": code}]}, **more,
    }  # fmt: skip


def _quantity(value: float, code: str | None = None, system: str | None = UCUM, **more: Any) -> Resource:
    unit = {"system": system, "code": code} if code and system else {"code": code} if code else {}
    return {"valueQuantity": {"value": value, **unit, **more}}


def _percent(value: float) -> Resource:
    return {"value": value, "unit": "%", "system": UCUM, "code": "%"}


def _risk(id_: str, **prediction: Any) -> Resource:
    return {
        "resourceType": "RiskAssessment", "id": id_, "status": "final", "subject": {"reference": "Patient/p1"},
        "prediction": [prediction],
    }  # fmt: skip


def _encounter(id_: str, **more: Any) -> Resource:
    return {
        "resourceType": "Encounter", "id": id_, "status": "finished", "class": {"system": ACT_CODE, "code": "AMB"},
        **more,
    }  # fmt: skip


PATIENTS: list[Resource] = [
    {
        "resourceType": "Patient", "id": "p1", "active": True, "gender": "female", "birthDate": "1971-03-09",
        "meta": {"tag": [{"system": "urn:tags", "code": "gold"}], "source": "http://sender.example.org/feed",
                 "security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}],
                 "profile": ["http://example.org/fhir/StructureDefinition/our-patient"]},
        "text": {"status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">Walks with a crutch</div>"},
        "name": [{"use": "official", "family": "Müller-Lüdenscheidt", "given": ["Ána", "Maria"], "prefix": ["Dr."],
                  "suffix": ["PhD"]}, {"use": "nickname", "text": "Annie from next door"}],
        "identifier": [{"system": "urn:oid:1.2.3", "value": "MRN-1", "use": "usual",
                        "type": {"coding": [{"system": V2_0203, "code": "MR"}], "text": "Medical Record"}},
                       {"system": "urn:oid:1.2.4", "value": "SSN-1",
                        "type": {"coding": [{"system": V2_0203, "code": "SS"}]}}],
        "telecom": [{"system": "phone", "use": "home", "value": "+1 555 0100"},
                    {"system": "email", "value": "Ana@example.org"}],
        "address": [{"use": "home", "line": ["12 Elm Street", "Flat 3"], "city": "São Paulo", "state": "SP",
                     "postalCode": "01310-100", "country": "BR"}],
        "maritalStatus": {"coding": [{"code": "M", "display": "Married"}], "text": "married for long"},
        "communication": [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "pt"}]}}],
        "managingOrganization": {"reference": "Organization/org2"},
        "generalPractitioner": [{"reference": "Practitioner/dr1"}],
        "link": [{"other": {"reference": "Patient/p2"}, "type": "seealso"}],
    },
    {
        "resourceType": "Patient", "id": "p2", "meta": {"profile": ["http://example.org/core|2.1"]}, "active": False, "gender": "male", "birthDate": "1971",
        "name": [{"family": "mueller", "given": ["John"]}, {"family": "Smith", "given": ["Jon"]}],
        "identifier": [{"system": "urn:oid:1.2.3", "value": "MRN-2"}, {"value": "no-system"}],
        "telecom": [{"system": "phone", "value": "555-0200", "use": "work"}],
        "address": [{"city": "Paulo", "country": "US", "postalCode": "01310", "text": "near the river"}],
        "deceasedDateTime": "2020-02-03",
        "generalPractitioner": [{"reference": "Organization/org1"}],
    },
    {
        "resourceType": "Patient", "id": "p3", "birthDate": "1971-03", "gender": "other",
        "name": [{"family": "O'Brien", "given": ["Mary Jane"]}], "deceasedBoolean": False,
        "identifier": [{"system": "urn:oid:1.2.3", "value": "a,b|c$d\\e"}],
        "managingOrganization": {"reference": "Organization/org1"},
    },
    {
        "resourceType": "Patient", "id": "p4", "deceasedBoolean": True,
        "identifier": [{"system": "urn:oid:1.2.4", "value": "MRN-1"}],
        "name": [{"family": "de la Cruz", "given": ["Pat"]}],
        "meta": {"tag": [{"system": "urn:tags", "code": "gold"}, {"system": "urn:tags", "code": "silver"}]},
        "managingOrganization": {"identifier": {"system": "urn:orgs", "value": "77"}},
    },
]  # fmt: skip

PARTIES: list[Resource] = [
    {"resourceType": "Organization", "id": "org1", "name": "Holbrook Group", "alias": ["HG"],
     "identifier": [{"system": "urn:orgs", "value": "1"}],
     "type": [{"coding": [{"system": "urn:kinds", "code": "prov"}]}]},
    {"resourceType": "Organization", "id": "org2", "name": "Weir Hospital", "partOf": {"reference": "Organization/org1"}},
    {"resourceType": "Organization", "id": "org3", "name": "Weir Annex", "partOf": {"reference": "Organization/org2"}},
    {"resourceType": "Practitioner", "id": "dr1", "name": [{"family": "Aldous", "given": ["Vic"]}],
     "identifier": [{"system": "urn:docs", "value": "D1"}]},
    {"resourceType": "PractitionerRole", "id": "role1", "practitioner": {"reference": "Practitioner/dr1"},
     "organization": {"reference": "Organization/org2"}},
    {"resourceType": "Location", "id": "near", "name": "Near", "position": {"longitude": 8.54, "latitude": 47.37}},
    {"resourceType": "Location", "id": "far", "name": "Far", "position": {"longitude": 7.44, "latitude": 46.95},
     "partOf": {"reference": "Location/near"}},
    {"resourceType": "Location", "id": "nowhere", "name": "Nowhere"},
]  # fmt: skip

DATES: list[Resource] = [
    _observation("d-year", "date", effectiveDateTime="2019"),
    _observation("d-month", "date", effectiveDateTime="2019-06"),
    _observation("d-day", "date", effectiveDateTime="2019-06-15"),
    _observation("d-minute", "date", effectiveDateTime="2019-06-15T20:00:00Z"),
    _observation("d-milli", "date", effectiveDateTime="2019-06-15T20:00:00.500Z"),
    _observation("d-zone", "date", effectiveDateTime="2019-06-15T23:30:00-05:00"),
    _observation("d-period", "date", effectivePeriod={"start": "2019-06-10", "end": "2019-06-20"}),
    _observation("d-since", "date", effectivePeriod={"start": "2019-07-01"}),
    _observation("d-until", "date", effectivePeriod={"end": "2018-12-31"}),
    _observation("d-timing", "date", effectiveTiming={"event": ["2017-01-01", "2017-01-05"]}),
    _observation("d-bounds", "date", effectiveTiming={"repeat": {"boundsPeriod": {"start": "2016-01-01", "end": "2016-02-01"}}}),
    _observation("d-instant", "date", effectiveInstant="2015-02-07T13:28:17.239+02:00"),
    _observation("d-none", "date"),
]  # fmt: skip

QUANTITIES: list[Resource] = [
    _observation("q-5.4mg", "quantity", **_quantity(5.4, "mg", unit="milligram")),
    _observation("q-5400ug", "quantity", **_quantity(5400, "ug", unit="microgram")),
    _observation("q-5.4plain", "quantity", **_quantity(5.4)),
    _observation("q-5.44mg", "quantity", **_quantity(5.44, "mg")),
    _observation("q-5.5mg", "quantity", **_quantity(5.5, "mg")),
    _observation("q-urn", "quantity", **_quantity(5.4, "mg", "urn:units")),
    _observation("q-unit", "quantity", **_quantity(5.4, unit="mg")),
    _observation("q-less", "quantity", **_quantity(5, "mg", comparator="<")),
    _observation("q-more", "quantity", **_quantity(100, "mg", comparator=">=")),
    _observation("q-neg", "quantity", **_quantity(-3, "Cel")),
    _observation("q-99.6", "number100", **_quantity(99.6, "kg")),
    _observation("q-100", "number100", **_quantity(100, "kg")),
    _observation("q-100.004", "number100", **_quantity(100.004, "kg")),
    _observation("q-100.4", "number100", **_quantity(100.4, "kg")),
    _observation("q-100.5", "number100", **_quantity(100.5, "kg")),
    _observation("q-149", "number100", **_quantity(149, "kg")),
    _observation("q-sampled", "sampled", valueSampledData={
        "origin": {"value": 0, "system": UCUM, "code": "mV"}, "period": 10, "dimensions": 1, "lowerLimit": 1,
        "upperLimit": 5, "data": "1 2 5"}),
]  # fmt: skip

NUMBERS: list[Resource] = [
    _risk("r-0.8", probabilityDecimal=0.8),
    _risk("r-0.84", probabilityDecimal=0.84),
    _risk("r-0.85", probabilityDecimal=0.85),
    _risk("r-range", probabilityRange={"low": _percent(10), "high": _percent(30)}),
    _risk("r-high", probabilityRange={"low": _percent(90)}),
]

CODES: list[Resource] = [
    _observation("t-1", "A", subject={"reference": "Patient/p1"}, encounter={"reference": "Encounter/e1"},
                 performer=[{"reference": "Practitioner/dr1"}], valueString="Blood was drawn, twice",
                 issued="2020-01-01T00:00:00Z", effectiveDateTime="2024-01-01"),
    _observation("t-2", "a", subject={"reference": "Patient/p2"}, performer=[{"reference": "Organization/org1"}],
                 effectiveDateTime="2024-01-03",
                 component=[{"code": {"coding": [{"system": LOINC, "code": "8480-6"}]}, **_quantity(150, "mm[Hg]")},
                            {"code": {"coding": [{"system": LOINC, "code": "8462-4"}]}, **_quantity(80, "mm[Hg]")}]),
    {**_observation("t-3", effectiveDateTime="2024-01-02", subject={"reference": "Patient/p1"}), "status": "amended",
     "code": {"coding": [{"code": "A"}, {"system": "urn:other", "code": "A", "display": "Alpha helix test"}],
              "text": "the letter A"},
     "category": [{"coding": [{"system": "urn:cat", "code": "lab"}]}, {"coding": [{"system": "urn:cat", "code": "vital"}]}],
     "valueCodeableConcept": {"coding": [{"system": "urn:codes", "code": "pos"}]}},
    {**_observation("t-4", subject={"reference": "Group/g1"}), "code": {"text": "only words here"},
     "dataAbsentReason": {"coding": [{"code": "unknown"}]},
     "hasMember": [{"reference": "Observation/t-1"}], "derivedFrom": [{"reference": "Observation/t-2"}]},
    _observation("t-5", "quantified", subject={"reference": "https://elsewhere.example.org/fhir/Patient/p1"},
                 method={"coding": [{"code": "x"}]}),
    _observation("t-6", "quantified", subject={"identifier": {"system": "urn:oid:1.2.3", "value": "MRN-1"}, "type": "Patient"},
                 **_quantity(7, "mg"), component=[{"code": {"coding": [{"code": "none"}]}}]),
    _observation("t-7", "quantified", subject={"reference": "Patient/p1/_history/1"}, **_quantity(9, "mg")),
    {**_observation("t-8", "inner", subject={"reference": "Patient/p4"}, performer=[{"reference": "#dr"}]),
     "contained": [{"resourceType": "Practitioner", "id": "dr", "name": [{"family": "Innerdoc"}], "gender": "female",
                    "identifier": [{"system": "urn:docs", "value": "IN-1"}]}]},
    {**_observation("t-9", "inner", performer=[{"reference": "#role"}]),
     "contained": [{"resourceType": "PractitionerRole", "id": "role", "organization": {"reference": "Organization/org2"},
                    "specialty": [{"coding": [{"system": "urn:s", "code": "heart"}]}], "period": {"start": "2021-05-01",
                    "end": "2021-05-09"}}]},
    {**_observation("t-11", "pair"), "performer": [{"reference": "#a"}, {"reference": "#b"}],
     "contained": [{"resourceType": "Practitioner", "id": "a", "name": [{"family": "Twodoc"}], "gender": "male"},
                   {"resourceType": "Practitioner", "id": "b", "name": [{"family": "Otherdoc"}], "gender": "female"}]},
    _observation("t-10", "outer", hasMember=[{"reference": "Observation/t-8"}]),
    {"resourceType": "Group", "id": "g1", "type": "person", "actual": True,
     "member": [{"entity": {"reference": "Patient/p3"}}],
     "characteristic": [{"code": {"coding": [{"system": "urn:c", "code": "sex"}]},
                         "valueCodeableConcept": {"coding": [{"system": "urn:c", "code": "f"}]}, "exclude": False},
                        {"code": {"coding": [{"system": "urn:c", "code": "age"}]},
                         "valueCodeableConcept": {"coding": [{"system": "urn:c", "code": "old"}]}, "exclude": True}]},
    _encounter("e1", subject={"reference": "Patient/p1"}, serviceProvider={"reference": "Organization/org2"},
               participant=[{"individual": {"reference": "Practitioner/dr1"}}],
               period={"start": "2024-01-01T08:00:00Z", "end": "2024-01-01T09:00:00Z"},
               length={"value": 60, "unit": "min", "system": UCUM, "code": "min"}),
    _encounter("e2", subject={"reference": "Patient/p2"}, partOf={"reference": "Encounter/e1"}),
    {"resourceType": "Condition", "id": "c1", "subject": {"reference": "Patient/p1"}, "encounter": {"reference": "Encounter/e1"},
     "code": {"coding": [{"system": "http://snomed.info/sct", "code": "44054006", "display": "Type 2 diabetes"}]},
     "clinicalStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]},
     "onsetAge": {"value": 50, "system": UCUM, "code": "a"}},
    {"resourceType": "List", "id": "l1", "status": "current", "mode": "changes",
     "entry": [{"item": {"reference": "Patient/p1"}}, {"item": {"reference": "Patient/p3"}},
               {"deleted": True, "item": {"reference": "Patient/p2"}}, {"item": {"reference": "Observation/t-1"}}]},
    {"resourceType": "Provenance", "id": "pv1", "target": [{"reference": "Patient/p1"}, {"reference": "Observation/t-1"}],
     "recorded": "2024-01-01T00:00:00Z", "agent": [{"who": {"reference": "Practitioner/dr1"}}]},
    {"resourceType": "DocumentReference", "id": "doc1", "status": "current", "subject": {"reference": "Patient/p1"},
     "content": [{"attachment": {"contentType": "text/plain", "url": "http://docs.example.org/a/1"}}],
     "relatesTo": [{"code": "replaces", "target": {"reference": "DocumentReference/doc2"}}]},
    {"resourceType": "DocumentReference", "id": "doc2", "status": "superseded",
     "content": [{"attachment": {"contentType": "text/plain; charset=utf-8", "url": "http://docs.example.org/a"}}]},
    {"resourceType": "Bundle", "id": "letter", "type": "document", "timestamp": "2024-01-01T00:00:00Z",
     "identifier": {"system": "urn:bundles", "value": "1"}, "entry": [
        {"fullUrl": "urn:uuid:5d1f2c1e-6a0e-4a5e-9d6c-0a3c5f7e9b11", "resource": {
            "resourceType": "Composition", "status": "final", "type": {"text": "letter"}, "date": "2024-01-01",
            "title": "Discharge letter", "author": [{"reference": "Practitioner/dr1"}],
            "subject": {"reference": "Patient/p1"}}},
        {"fullUrl": "urn:uuid:5d1f2c1e-6a0e-4a5e-9d6c-0a3c5f7e9b12", "resource": {
            "resourceType": "Basic", "code": {"text": "x"}}}]},
    {"resourceType": "Bundle", "id": "message", "type": "message", "timestamp": "2024-01-01T00:00:00Z", "entry": [
        {"fullUrl": "urn:uuid:5d1f2c1e-6a0e-4a5e-9d6c-0a3c5f7e9b13", "resource": {
            "resourceType": "MessageHeader", "id": "mh", "eventUri": "urn:event", "source": {"endpoint": "urn:app"}}}]},
    {"resourceType": "Bundle", "id": "heap", "type": "collection", "entry": [
        {"fullUrl": "urn:uuid:5d1f2c1e-6a0e-4a5e-9d6c-0a3c5f7e9b14", "resource": {
            "resourceType": "Basic", "code": {"text": "x"}}}]},
]  # fmt: skip

CANONICALS: list[Resource] = [
    {"resourceType": "ValueSet", "id": "v1", "url": "http://acme.org/fhir/ValueSet/123", "version": "1.0", "status": "active",
     "name": "Acme", "compose": {"include": [{"system": "urn:codes", "concept": [{"code": "A"}, {"code": "pos"}]}]}},
    {"resourceType": "ValueSet", "id": "v2", "url": "http://acme.org/fhir/ValueSet/123", "version": "2.0", "status": "draft",
     "compose": {"include": [{"system": "urn:codes", "concept": [{"code": "a"}]}]}},
    {"resourceType": "ValueSet", "id": "v3", "url": "http://acme.org/fhir/ValueSet/123/sub", "status": "active",
     "compose": {"include": [{"system": "urn:codes", "concept": [{"code": "quantified"}]}]}},
    {"resourceType": "ValueSet", "id": "v4", "url": "urn:oid:1.2.3.4.5", "status": "active",
     "compose": {"include": [{"system": "urn:tree"}]}},
    {"resourceType": "ValueSet", "id": "v5", "url": "http://acme.org/fhir/ValueSet/1234", "status": "active",
     "compose": {"include": [{"valueSet": ["http://acme.org/fhir/ValueSet/123/sub"]}]}},
    {"resourceType": "CodeSystem", "id": "tree", "url": "urn:tree", "status": "active", "content": "complete",
     "hierarchyMeaning": "is-a", "caseSensitive": True,
     "concept": [{"code": "animal", "concept": [{"code": "dog", "concept": [{"code": "poodle"}]}, {"code": "cat"}]}]},
    {"resourceType": "Questionnaire", "id": "qn", "url": "http://acme.org/q", "version": "1.2.0", "status": "active"},
    {"resourceType": "QuestionnaireResponse", "id": "qr1", "status": "completed", "questionnaire": "http://acme.org/q|1.2.0"},
    {"resourceType": "QuestionnaireResponse", "id": "qr2", "status": "completed", "questionnaire": "http://acme.org/q"},
    {"resourceType": "QuestionnaireResponse", "id": "qr3", "status": "completed", "questionnaire": "http://acme.org/q|1.3"},
    *[{**_observation(f"h-{code}"), "code": {"coding": [{"system": "urn:tree", "code": code}]}}
      for code in ("animal", "dog", "poodle", "cat")],
]  # fmt: skip

WORLD = [*PARTIES, *PATIENTS, *DATES, *QUANTITIES, *NUMBERS, *CODES, *CANONICALS]
