"""The agreement with the CDC's converter does not fall; see cdc_score.py for what is compared and what we do otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .cdc_score import CLINICAL, DIRECTORY, ORDERS, WHY, Difference, Pair, Score, documented, explained, reasons, score

STRICT = {"clinical": 0.94, "directory": 0.75, "orders": 0.64}
BY_CONTENT = {"clinical": 0.95, "directory": 0.95, "orders": 0.94}
"""2026-11-28, see docs/conformance/cdc-mapping-inventory.md."""
PAGE = Path(__file__).parents[3] / "docs" / "conformance" / "cdc-mapping-inventory.md"


@pytest.fixture(scope="module")
def scores(shared_data: Path) -> tuple[Score, Score]:
    folder = shared_data / "hl7v2" / "cdc-mapping-inventory"
    return score(folder), score(folder, content=True)


@pytest.mark.shared
def test_the_agreement_with_the_cdc_pairs_does_not_fall(scores: tuple[Score, Score]) -> None:
    strict, content = scores
    assert strict.pairs >= 219
    for found, least in ((strict, STRICT), (content, BY_CONTENT)):
        assert found.share(CLINICAL) >= least["clinical"]
        assert found.share(DIRECTORY) >= least["directory"]
        assert found.share(ORDERS) >= least["orders"]


@pytest.mark.shared
def test_every_difference_from_the_cdc_pairs_has_its_reason(scores: tuple[Score, Score]) -> None:
    for found in scores:
        assert explained(found.differences)[1] == []
    assert set(explained(scores[0].differences)[0]) == set(reasons()), "a line that explains nothing is no reason"
    assert {reason.why for reason in reasons()} == set(WHY)


@pytest.mark.shared
def test_by_content_what_is_told_is_at_least_95_in_100(scores: tuple[Score, Score]) -> None:
    assert scores[1].share(CLINICAL + DIRECTORY + ORDERS) >= 0.95


@pytest.mark.shared
def test_the_documentation_tells_the_figures_of_the_code(scores: tuple[Score, Score]) -> None:
    told = PAGE.read_text(encoding="utf-8").partition("--documented -->\n")[2].partition("<!-- end -->")[0]
    assert told.strip() == documented(*scores)


def test_no_reason_explains_everything() -> None:
    nothing = Difference("pair", "missing", "Patient.maritalStatus.coding.code", "M")
    assert [reason for reason in reasons() if reason.fits(nothing)] == []


def _compared(expected: list[dict[str, Any]], ours: list[dict[str, Any]]) -> Score:
    result = Score()
    Pair("pair", expected, ours).compare_content(result)
    return result


DOCTOR = {"resourceType": "Practitioner", "id": "1", "name": [{"family": "Marsh"}]}
VISIT = {"resourceType": "Encounter", "id": "9", "participant": [{"individual": {"reference": "Practitioner/1"}}]}


def test_by_content_one_resource_of_ours_must_say_what_one_of_theirs_says() -> None:
    theirs = DOCTOR | {"identifier": [{"value": "4711"}]}
    split = [DOCTOR, {"resourceType": "Practitioner", "id": "2", "identifier": [{"value": "4711"}]}]
    assert _compared([theirs, VISIT], split).of("same", "Practitioner") == 1
    assert _compared([theirs, VISIT], [theirs]).of("same", "Practitioner") == 2


def test_by_content_the_same_mention_counts_once() -> None:
    again = DOCTOR | {"id": "2"}
    visit = VISIT | {"participant": [{"individual": {"reference": f"Practitioner/{number}"}} for number in (1, 2)]}
    assert _compared([DOCTOR, again, visit], []).of("missing", "Practitioner") == 1


def test_by_content_what_only_an_extension_refers_to_goes_with_it() -> None:
    visit = {"resourceType": "Encounter", "id": "9", "extension": [{"valueReference": {"reference": "Practitioner/1"}}]}
    assert _compared([DOCTOR, visit], []).verdicts == {}


def test_by_content_an_authority_may_be_written_in_another_way_but_not_be_another_one() -> None:
    theirs = {"resourceType": "Patient", "id": "1", "identifier": [{"system": "urn:oid:ACME", "value": "7"}]}
    ours = {"resourceType": "Patient", "identifier": [{"system": "urn:healthsync:authority:ACME", "value": "7"}]}
    other = {"resourceType": "Patient", "identifier": [{"system": "urn:healthsync:authority:OTHER", "value": "7"}]}
    assert _compared([theirs], [ours]).of("same") == 2
    assert _compared([theirs], [other]).of("same") == 1


def test_by_content_an_organization_that_fhir_forbids_is_counted_apart() -> None:
    country = {"resourceType": "Organization", "id": "1", "address": [{"country": "USA"}]}
    visit = VISIT | {"participant": [], "serviceProvider": {"reference": "Organization/1"}}
    assert _compared([country, visit], []).of("missing", "Organization") == 0
    assert _compared([country, visit], []).forbidden == 1
    assert _compared([country | {"name": "Mercy"}, visit], []).of("missing", "Organization") == 2


def test_by_content_a_role_that_only_an_extension_refers_to_takes_its_person_and_place_along() -> None:
    role = {"resourceType": "PractitionerRole", "id": "5", "practitioner": {"reference": "Practitioner/1"}}
    order = {"resourceType": "ServiceRequest", "id": "6", "extension": [
        {"valueReference": {"reference": "PractitionerRole/5"}}]}  # fmt: skip
    assert _compared([DOCTOR, role, order], []).verdicts == {}
    order = {"resourceType": "ServiceRequest", "id": "6", "requester": {"reference": "PractitionerRole/5"}}
    assert _compared([DOCTOR, role, order], []).of("missing", "Practitioner") == 1


def test_by_content_an_address_is_the_same_number_and_a_level_of_a_place_is_not_its_path() -> None:
    number = {"resourceType": "Organization", "id": "1", "identifier": [{"value": "1.2.3"}]}
    visit = VISIT | {"participant": [], "serviceProvider": {"reference": "Organization/1"}}
    for value, same in (("urn:oid:1.2.3", 1), ("urn:oid:1.2.4", 0)):
        ours = {"resourceType": "Organization", "identifier": [{"value": value}]}
        assert _compared([number, visit], [ours]).of("same", "Organization") == same
    room = {"resourceType": "Location", "id": "1", "identifier": [{"value": "12"}]}
    stay = VISIT | {"participant": [], "location": [{"location": {"reference": "Location/1"}}]}
    bed = {"resourceType": "Location", "identifier": [{"system": "urn:x", "value": "4N/12/A"}], "name": "4N 12 A"}
    assert _compared([room, stay], [bed]).of("same", "Location") == 0


def test_stripped_leaves_out_what_fhir_forbids_and_what_only_an_extension_refers_to() -> None:
    country = {"resourceType": "Organization", "id": "1", "address": [{"country": "USA"}]}
    visit = VISIT | {"participant": [], "serviceProvider": {"reference": "Organization/1"}}
    result = Score()
    Pair("pair", [country, visit, DOCTOR], []).compare(result)
    assert result.of("missing", "Organization") == 1 and result.of("missing", "Practitioner") == 1
    assert result.left == {}
    assert {found.about for found in result.differences} == {"forbidden", "extension"}


def test_by_content_a_report_says_what_its_order_of_unknown_state_would() -> None:
    code = {"coding": [{"system": "http://loinc.org", "code": "58410-2"}]}
    order = {"resourceType": "ServiceRequest", "id": "1", "status": "unknown", "code": code}
    report = {
        "resourceType": "DiagnosticReport",
        "id": "2",
        "basedOn": [{"reference": "ServiceRequest/1"}],
        "code": code,
    }
    assert _compared([order, report], [report]).of("missing", "ServiceRequest") == 0
    assert _compared([order, report], [report | {"code": {"text": "CBC"}}]).of("missing", "ServiceRequest") == 2
    assert _compared([order | {"status": "active"}, report], [report]).of("missing", "ServiceRequest") == 3
    assert _compared([order, report | {"basedOn": []}], [report]).of("missing", "ServiceRequest") == 3
