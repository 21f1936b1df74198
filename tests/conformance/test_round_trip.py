"""What was stored comes back as it was sent, to the last digit: resources that others wrote, of more than 50 types.

A selection of a few of each type from each source runs with the suite; `HEALTHSYNC_TESTS_ALL_EXAMPLES=1` sends all 28,000.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from .examples import Example, examples, read_json, write_json

pytestmark = pytest.mark.shared
_ALL = bool(os.environ.get("HEALTHSYNC_TESTS_ALL_EXAMPLES"))
_OF_EACH = 10**9 if _ALL else 2
_FILES_OF_A_FOLDER = 10**9 if _ALL else 12
_OURS = {"id", "meta"}
_META_OURS = {"versionId", "lastUpdated", "source"}
_PATIENT = re.compile(r'"reference":"Patient/([A-Za-z0-9.-]{1,64})"')

INVALID = {
    "ccda/microsoft-fhir-converter/expected": "the converter leaves out what R4 requires",
    "hl7v2/cdc-mapping-inventory/expected": "the converter leaves out what R4 requires",
    "hl7v2/hl7-v2-to-fhir-ig/expected": "the examples of the guide leave out what R4 requires",
    "consent/ihe-pcf": "an attachment whose data is no string",
    "consent/fhir-r4-spec": "audit events, which only the hub writes",
    "ecqm": "a modifier extension of a profile that is not loaded",
    "fhirpath/inputs/r4": "inputs made for FHIRPath, not for a server",
    "fhirpath/inputs/r4/weight-examples": "inputs made for FHIRPath, not for a server",
    "fhirpath/r4": "inputs made for FHIRPath, not for a server",
    "us-core/hl7.fhir.us.core-311/package/example": "a hash that is no base64",
    "us-core/hl7.fhir.us.core-610/package/other": "operation outcomes without an issue",
    "us-core/hl7.fhir.us.core-800/package/other": "operation outcomes without an issue",
}
"""Sources of which some resources are refused, and why. All others are stored without exception."""


@dataclass
class Sent:
    """What became of the examples."""

    equal: list[Example] = field(default_factory=list)
    changed: list[tuple[Example, set[str]]] = field(default_factory=list)
    refused: list[tuple[Example, httpx.Response]] = field(default_factory=list)


@pytest.fixture(scope="module")
def sent(fhir: httpx.Client, shared_data: Path) -> Sent:
    """Patients go first, for others name them; consents last, for they may hide what they are about."""
    chosen = list(_selection(examples(shared_data, _FILES_OF_A_FOLDER)))
    chosen.sort(key=lambda example: {"Patient": 0, "Consent": 2}.get(example.type, 1))
    _make_missing_patients(fhir, chosen)
    result = Sent()
    for example in chosen:
        answer = _write(fhir, example)
        if answer.status_code not in (200, 201):
            result.refused.append((example, answer))
            continue
        differing = _differing(example.resource, read_json(answer.text))
        if example.type != "Consent":
            again = fhir.get(_place(answer))
            assert again.status_code == 200, (example, again.status_code)
            differing |= _differing(example.resource, read_json(again.text))
        if differing:
            result.changed.append((example, differing))
        else:
            result.equal.append(example)
    return result


def test_every_resource_that_is_taken_comes_back_equal(sent: Sent) -> None:
    assert not [(example.source, example.type, names) for example, names in sent.changed]
    assert len(sent.equal) > 250
    assert len({example.type for example in sent.equal}) > 45


def test_resources_are_refused_only_where_they_are_known_to_be_invalid(sent: Sent) -> None:
    unexpected = [
        (example.source, example.type, example.resource.get("id"), answer.text)
        for example, answer in sent.refused
        if example.source not in INVALID
    ]
    assert not unexpected


def test_a_refusal_says_which_element_is_wrong(sent: Sent) -> None:
    for example, answer in sent.refused:
        assert 400 <= answer.status_code < 500, example
        outcome = answer.json()
        assert outcome["resourceType"] == "OperationOutcome"
        assert all(issue.get("diagnostics") for issue in outcome["issue"])


def test_synthea_and_the_examples_of_us_core_are_taken_whole(sent: Sent) -> None:
    taken = Counter(example.source for example in sent.equal)
    assert {"synthea", "synthea/ms", "ecqm"} <= set(taken)
    assert taken["us-core/hl7.fhir.us.core-610/package/example"] > 35


def _selection(found: Iterable[Example]) -> Iterable[Example]:
    seen: Counter[tuple[str, str]] = Counter()
    for example in found:
        seen[example.source, example.type] += 1
        if seen[example.source, example.type] <= _OF_EACH:
            yield example


def _make_missing_patients(fhir: httpx.Client, chosen: list[Example]) -> None:
    """A reference to a patient must lead somewhere; the selection leaves many of them out."""
    named = {id_ for example in chosen for id_ in _PATIENT.findall(write_json(example.resource))}
    for id_ in named - {example.resource.get("id") for example in chosen if example.type == "Patient"}:
        fhir.put(f"Patient/{id_}", json={"resourceType": "Patient", "id": id_}).raise_for_status()


def _write(fhir: httpx.Client, example: Example) -> httpx.Response:
    body, id_ = write_json(example.resource).encode(), example.resource.get("id")
    return fhir.put(f"{example.type}/{id_}", content=body) if id_ else fhir.post(example.type, content=body)


def _place(written: httpx.Response) -> str:
    stored = written.json()
    return f"{stored['resourceType']}/{stored['id']}"


def _differing(sent: Mapping[str, Any], got: Mapping[str, Any]) -> set[str]:
    names = (set(sent) | set(got)) - _OURS
    differing = {name for name in names if sent.get(name) != got.get(name)}
    before, after = sent.get("meta", {}), got.get("meta", {})
    return differing | {f"meta.{name}" for name in set(before) - _META_OURS if before[name] != after.get(name)}


@pytest.mark.parametrize("number", ["1.0", "1.00", "0.10", "1e2", "1E-5", "100.000000000000000001", "-0.0", "7"])
def test_a_decimal_keeps_the_digits_it_was_written_with(fhir: httpx.Client, number: str) -> None:
    """datatypes.html#decimal: precision is significant."""
    body = (
        '{"resourceType":"Observation","status":"final","code":{"text":"digits"},'
        f'"valueQuantity":{{"value":{number},"unit":"mg"}}}}'
    )
    written = fhir.post("Observation", content=body)
    assert written.status_code == 201, written.text
    read = fhir.get(_place(written)).text
    assert read_json(read)["valueQuantity"]["value"] == number
    found = fhir.get("Observation", params={"_id": written.json()["id"]}).text
    assert read_json(found)["entry"][0]["resource"]["valueQuantity"]["value"] == number


@pytest.mark.parametrize(
    "text", ["é ü 漢字 🩺", 'quote " backslash \\ slash /', "tab\tand\nline", "\u202ereversed\u202c"]
)
def test_text_of_any_script_comes_back_as_it_was_sent(fhir: httpx.Client, text: str) -> None:
    resource = {"resourceType": "Basic", "code": {"text": text}}
    written = fhir.post("Basic", content=json.dumps(resource))
    assert written.status_code == 201, written.text
    assert fhir.get(_place(written)).json()["code"]["text"] == text
