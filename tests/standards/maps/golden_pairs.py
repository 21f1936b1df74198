"""Golden pairs: a message beside the FHIR it becomes.

python -m tests.standards.maps.golden_pairs     # write every .fhir.json anew; read the diff before you keep it
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from healthsync.standards.fhir import validate
from healthsync.standards.hl7v2 import Message
from healthsync.standards.maps import Conversion, Correction, MappingContext, PatientMerge, convert, merged

GOLDEN = Path(__file__).parent / "golden"


def resource_id(resource_type: str, key: str) -> str:
    """A short id that stays the same as long as the business key does."""
    return sha256(f"{resource_type}|{key}".encode()).hexdigest()[:12]


def context(**changes: Any) -> MappingContext:
    """A sender in Vienna, read on the first of March 2024."""
    values: dict[str, Any] = {
        "source": "general",
        "resource_id": resource_id,
        "timezone": ZoneInfo("Europe/Vienna"),
        "received_at": datetime(2024, 3, 1, 12, tzinfo=UTC),
        "operator": None,
    }
    return MappingContext(**values | changes)


def converted(text: str, **changes: Any) -> Conversion:
    """The conversion of a message written with line breaks."""
    return convert(Message.parse(text.strip().replace("\n", "\r").encode()), context(**changes))


def after(*messages: str) -> dict[str, list[dict[str, Any]]]:
    """What is stored after these messages, by type; each state on the way is a valid resource."""
    store: dict[str, dict[str, Any]] = {}
    for text in messages:
        for mapped in converted(text).resources:
            store[mapped.reference] = merged(store.get(mapped.reference), mapped)
            assert validate.structure(store[mapped.reference]) == []
    found: dict[str, list[dict[str, Any]]] = {}
    for resource in store.values():
        found.setdefault(resource["resourceType"], []).append(resource)
    return found


def rendered(conversion: Conversion) -> str:
    """A conversion as JSON for people."""
    document = {
        "resources": [
            {
                "key": mapped.key,
                **({"cleared": mapped.cleared} if mapped.cleared else {}),
                **({"unless": dict(mapped.unless)} if mapped.unless else {}),
                **({"partial": mapped.partial} if mapped.partial else {}),
                **({"action": mapped.action} if mapped.action != "merge" else {}),
                **({"as_of": mapped.as_of} if mapped.as_of else {}),
                "resource": mapped.resource,
            }
            for mapped in conversion.resources
        ],
        "merges": [_correction(each) for each in conversion.merges],
        "event_at": conversion.event_at and conversion.event_at.isoformat(),
        "unmapped": conversion.unmapped,
        "issues": [f"{issue.path}: {issue.code}" for issue in conversion.issues],
    }
    return json.dumps(document, indent=1, ensure_ascii=False, default=_number) + "\n"


def _correction(said: Correction) -> dict[str, Any]:
    if isinstance(said, PatientMerge):
        return {
            "survivor": said.survivor_key,
            "survivor_id": said.survivor_id,
            "retired": said.retired_key,
            "retired_id": said.retired_id,
            "retired_identifiers": said.retired_identifiers,
        }
    return {type(said).__name__: asdict(said)}


def _number(value: object) -> object:
    """Decimals are shown as text, so that their digits can be read."""
    assert isinstance(value, Decimal)
    return f"decimal {value}"


def expected_path(message: Path) -> Path:
    return message.with_name(f"{message.stem}.fhir.json")


def main() -> None:
    for path in sorted(GOLDEN.glob("*.hl7")):
        text = rendered(converted(path.read_text(encoding="utf-8")))
        expected_path(path).write_text(text, encoding="utf-8")
        print(expected_path(path).name)


if __name__ == "__main__":
    main()
