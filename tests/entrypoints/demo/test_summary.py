"""Each promise breaks when its fact does, and one broken promise breaks the whole."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from healthsync.entrypoints.demo.summary import (
    Audit,
    Identity,
    Leaks,
    Messages,
    Moment,
    Reads,
    Summary,
    promises,
    timeline,
)

KEPT = Summary(
    seed=7,
    messages=Messages(100, 5, 100, 95, 95, 0, 2.0, 4.0, {"riverbend": {"A01": 100}}, []),
    bundles=9,
    bundles_stored=9,
    resources={"Patient": 40},
    identity=Identity(40, 20, 21, 1.0, 0.95, 0, 2, 3),
    reads=Reads(200, 403, 404, 2),
    critical_results=3,
    critical_alerts=3,
    audit=Audit(True, 300, 300, "ab" * 32, "holds"),
    leaks=Leaks(500, True, 10_000_000, []),
    timeline=[Moment("2026-03-01 10:00", "Riverbend General Hospital", "admitted")],
    first_start_seconds=3.0,
    start_seconds=1.0,
    memory_bytes=None,
    seconds=20.0,
)

BREAKS: dict[str, dict[str, Any]] = {
    "acknowledged": {"messages": replace(KEPT.messages, acknowledged=99)},
    "repetitions": {"messages": replace(KEPT.messages, stored=96, processed=96)},
    "none dead": {"messages": replace(KEPT.messages, processed=94, dead=1)},
    "clinic": {"bundles_stored": 8},
    "two people": {"identity": replace(KEPT.identity, false_links=1)},
    "critical results": {"critical_alerts": 2},
    "physician": {"timeline": []},
    "researcher": {"reads": replace(KEPT.reads, researcher=200)},
    "objected": {"reads": replace(KEPT.reads, opted_out=200)},
    "every refusal": {"reads": replace(KEPT.reads, refusals_audited=1)},
    "verified": {"audit": replace(KEPT.audit, holds=False)},
    "readable": {"leaks": replace(KEPT.leaks, found=[{"where": "base/1"}])},
}


def test_a_run_without_fault_keeps_every_promise() -> None:
    assert KEPT.held and all(promise.held for promise in promises(KEPT))
    assert KEPT.as_json()["held"] is True


@pytest.mark.parametrize("words", BREAKS)
def test_a_fault_breaks_its_promise_and_no_other(words: str) -> None:
    summary = replace(KEPT, **BREAKS[words])
    broken = [promise.text for promise in promises(summary) if not promise.held]
    assert len(broken) == 1 and words in broken[0]
    assert not summary.held


def test_every_promise_can_break() -> None:
    assert len(BREAKS) == len(promises(KEPT))


def test_a_search_that_cannot_find_proves_nothing() -> None:
    assert not replace(KEPT, leaks=replace(KEPT.leaks, control=False)).held


def test_a_timeline_is_in_order_of_time_and_names_the_source() -> None:
    meta = {"source": "urn:healthsync:source:riverbend"}
    encounter = {
        "resourceType": "Encounter",
        "meta": meta,
        "class": {"code": "IMP"},
        "period": {"start": "2026-02-27T10:00:00-05:00", "end": "2026-02-28T09:00:00-05:00"},
    }
    potassium = {
        "resourceType": "Observation",
        "meta": meta,
        "code": {"coding": [{"code": "2823-3", "display": "Potassium [Moles/volume] in Blood"}]},
        "interpretation": [{"coding": [{"code": "HH"}]}],
        "valueQuantity": {"value": 6.9, "unit": "mmol/L"},
        "effectiveDateTime": "2026-02-27T12:30:00-05:00",
    }
    told = timeline([potassium, encounter, {"resourceType": "Patient"}], {"riverbend": "Riverbend General Hospital"})
    assert told == [
        Moment("2026-02-27 10:00", "Riverbend General Hospital", "admitted"),
        Moment("2026-02-27 12:30", "Riverbend General Hospital", "Potassium 6.9 mmol/L — critical", alarming=True),
        Moment("2026-02-28 09:00", "Riverbend General Hospital", "discharged"),
    ]
