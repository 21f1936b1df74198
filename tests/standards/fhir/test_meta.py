"""resource-operations.html: meta as sets."""

from __future__ import annotations

from typing import Any

import pytest

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import meta

RESOURCE: dict[str, Any] = {
    "resourceType": "Basic",
    "id": "b",
    "meta": {"versionId": "1", "tag": [{"system": "s", "code": "a"}], "security": [{"system": "c", "code": "R"}]},
}


def test_adding_and_removing_work_on_sets_known_by_system_and_code() -> None:
    more = {"tag": [{"system": "s", "code": "a", "display": "A"}, {"code": "a"}], "profile": ["urn:p"]}
    added = meta.added(RESOURCE, more)
    assert added["meta"]["tag"] == [{"system": "s", "code": "a"}, {"code": "a"}]
    assert added["meta"]["profile"] == ["urn:p"]
    assert meta.removed(added, {"tag": [{"code": "a"}], "profile": ["urn:p", "urn:q"]}) == RESOURCE
    assert RESOURCE["meta"]["versionId"] == "1"


def test_an_update_carries_tags_and_labels_on_but_no_profile_and_nothing_that_passes() -> None:
    before = meta.added(RESOURCE, {"profile": ["urn:old"], "tag": [{"system": "s", "code": "gone"}]})
    after = {"resourceType": "Basic", "id": "b", "meta": {"tag": [{"code": "new"}]}}
    carried = meta.carried(before, after, {("s", "gone")})
    assert carried["meta"]["tag"] == [{"code": "new"}, {"system": "s", "code": "a"}]
    assert carried["meta"]["security"] == RESOURCE["meta"]["security"]
    assert "profile" not in carried["meta"]
    plain = {"resourceType": "Basic", "id": "b"}
    assert meta.carried(plain, after) is after


def test_a_lost_security_label_is_noticed() -> None:
    gone = meta.removed(RESOURCE, {"security": [{"system": "c", "code": "R"}]})
    assert meta.loses_security(RESOURCE, gone)
    assert not meta.loses_security(gone, RESOURCE)
    assert meta.loses_security(RESOURCE, {**RESOURCE, "meta": None})


@pytest.mark.parametrize(
    "parameters",
    [
        {"resourceType": "Parameters"},
        {"resourceType": "Patient", "parameter": [{"name": "meta", "valueMeta": {}}]},
        {"resourceType": "Parameters", "parameter": [{"name": "meta"}]},
        {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {}}] * 2},
        {"resourceType": "Parameters", "parameter": ["meta"]},
        {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": "x"}}]},
    ],
)
def test_other_parameters_are_refused(parameters: dict) -> None:
    with pytest.raises(InvalidInput):
        meta.given(parameters)
