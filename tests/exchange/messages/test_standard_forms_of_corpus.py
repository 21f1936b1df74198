"""Every message of the public corpus through the standard forms: none fails, none becomes invalid, no value changes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from healthsync.errors import InvalidInput
from healthsync.exchange.normal_forms import in_normal_forms
from healthsync.standards.fhir import validate
from healthsync.standards.hl7v2 import Message, split_batch
from healthsync.standards.maps import Conversion, MappingContext, convert
from healthsync.standards.normalise import Conventions, DateOrder

ALL = Conventions(names=True, phones=True, addresses=True, date_order=DateOrder.MONTH_FIRST)
CONTEXT = MappingContext(
    "corpus", lambda kind, key: f"{abs(hash((kind, key)))}", UTC, datetime(2026, 11, 27, tzinfo=UTC), conventions=ALL
)


def conversions(folder: Path) -> list[Conversion]:
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.suffix in {".hl7", ".txt"}):
        for raw in split_batch(path.read_bytes()):
            try:
                found.append(convert(Message.parse(raw), CONTEXT))
            except InvalidInput:
                continue  # no map, or no patient: told elsewhere
    return found


def measured(resource: dict[str, Any]) -> list[Any]:
    return [part.get("valueQuantity", {}).get("value") for part in (resource, *resource.get("component", ()))]


@pytest.mark.shared
def test_the_corpus_stays_valid_and_no_measured_value_changes(shared_data: Path) -> None:
    found = conversions(shared_data / "hl7v2")
    assert len(found) > 200
    for conversion in found:
        made = in_normal_forms(conversion, ALL)
        for before, after in zip(conversion.resources, made.resources, strict=True):
            faults = list(validate.structure(after.resource))
            assert faults == [] or faults == list(validate.structure(before.resource))
            assert measured(after.resource) == measured(before.resource)
