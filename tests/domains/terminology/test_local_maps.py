"""Maps of local codes as people write them."""

from __future__ import annotations

import json

import pytest

from healthsync.domains.terminology import local_maps
from healthsync.errors import InvalidInput
from healthsync.standards.fhir import validate

LOINC, ICD10 = "http://loinc.org", "http://hl7.org/fhir/sid/icd-10-cm"
CONCEPT_MAP = {
    "resourceType": "ConceptMap",
    "status": "active",
    "group": [
        {
            "target": LOINC,
            "element": [{"code": "GLU", "target": [{"code": "2345-7", "equivalence": "equivalent"}]}],
        }
    ],
}


def told(text: str, name: str = "map.csv", to: str | None = None) -> list[tuple]:
    return [
        (e.source_system, e.source_code, e.equivalence, e.target and (e.target.system, e.target.code, e.target.display))
        for e in local_maps.read(text.encode(), name, "LAB", to)
    ]


@pytest.mark.parametrize(
    ("text", "name", "to"),
    [
        ("code,target\nGLU,2345-7\n", "m.csv", "LOINC"),
        ("code,target\nGLU,2345-7\n", "m.csv", "LN"),
        ("code;target;target_system\nGLU;2345-7;http://loinc.org\n", "m.csv", None),
        ("Source\tLOINC Code\nGLU\t2345-7\n", "m.tsv", None),
        ("\ufeffLocal Code,LOINC\n# glucose\nGLU,2345-7\n\n", "m.csv", None),
        ("LOINC: {GLU: 2345-7}", "m.yaml", None),
        ("maps:\n- to: LN\n  codes:\n    GLU: {code: 2345-7}\n", "m.yml", None),
        (json.dumps(CONCEPT_MAP), "m.json", None),
    ],
)
def test_every_form_says_the_same(text, name, to):
    assert told(text, name, to) == [(None, "GLU", "equivalent", (LOINC, "2345-7", None))]


def test_columns_say_display_nearness_and_whose_codes_they_are():
    text = "code,system,target,display,equivalence\n250.00,I9CDX,E11.9,Type 2 diabetes,wider\nX,L,,,\n"
    assert told(text, to="ICD-10-CM") == [
        ("http://hl7.org/fhir/sid/icd-9-cm", "250.00", "wider", (ICD10, "E11.9", "Type 2 diabetes")),
        ("urn:healthsync:local:LAB", "X", "unmatched", None),
    ]


@pytest.mark.parametrize(
    ("text", "name", "sentence"),
    [
        ("", "m.csv", "no lines"),
        ("code,target\n", "m.csv", "no lines"),
        ("a,b\nc,d\n", "m.csv", "the first line names the columns"),
        ("code,target\nGLU,2345-7\n", "m.csv", "line 2: of which code system"),
        ("code,target,equivalence\nGLU,2345-7,kind of\n", "m.csv", "line 2: the equivalence is one of"),
        ("code,target\n,2345-7\n", "m.csv", "line 2: the code is missing"),
        ("code,target\n" + "x" * 600 + ",2345-7\n", "m.csv", "512 characters"),
        ("[1, 2", "m.yaml", "no YAML"),
        ("- a\n", "m.yaml", "begins with the code system"),
        ("maps: [{to: LN}]", "m.yaml", "map 1 has a `to` and `codes`"),
        ('{"resourceType": "Patient"}', "m.json", "is a ConceptMap"),
        (
            '{"resourceType": "ConceptMap", "status": "active", "group": [{"element": 1}]}',
            "m.json",
            "no valid ConceptMap",
        ),
    ],
)
def test_a_file_that_cannot_be_read_gets_a_sentence(text, name, sentence):
    with pytest.raises(InvalidInput, match=sentence.replace("(", r"\(")):
        local_maps.read(text.encode(), name, "LAB")


def test_bytes_that_are_no_utf_8_get_a_sentence():
    with pytest.raises(InvalidInput, match="UTF-8"):
        local_maps.read(b"code,target\n\xff\xfe,1\n", "m.csv", "LAB")


def test_a_map_that_is_taken_out_as_a_concept_map_is_valid_and_reads_as_the_same_lines():
    entries = local_maps.read(b"code,target,display\nGLU,2345-7,Glucose\nGLU,2339-0,\nX,,\n", "m.csv", "LAB", "LOINC")
    resource = local_maps.concept_map("LAB", "urn:healthsync:local-codes:LAB", entries)
    assert not [issue for issue in validate.structure(resource) if issue.is_error]
    assert local_maps.read(json.dumps(resource).encode(), "m.json", "LAB") == entries
