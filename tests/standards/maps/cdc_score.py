"""How much of what the CDC's converter makes of its conformance messages do we say too?

    python -m tests.standards.maps.cdc_score FOLDER     # …/hl7v2/cdc-mapping-inventory

Each pair (message, expected bundle) is compared field by field: a field is a leaf of an expected resource, its path without
indexes. CDC's own extensions, ids, references and narratives are left out; times are compared as instants. A field counts as
*same* when one of our resources of that type has the value at that path, as *other* when it has another value there, else as
*missing*. Types that this engine does not build from these messages are listed, but not counted.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from healthsync.errors import InvalidInput
from healthsync.standards.hl7v2 import Message
from healthsync.standards.maps import MappingContext, convert

from .golden_pairs import resource_id

CLINICAL = ("Patient", "Encounter", "Observation", "DiagnosticReport", "Specimen", "Coverage")
DIRECTORY = ("RelatedPerson", "Practitioner", "Organization", "Location")
"""CDC writes one for each mention, with everything that mention says; we write one for each number or name."""

ORDERS = ("ServiceRequest", "Device")
"""CDC writes a ServiceRequest for each OBR of a result; we, as the guide says, where ORC or OBR-2 tells of an order."""

BUILT = frozenset(CLINICAL + DIRECTORY + ORDERS)
_SIGNATURE = "2.16.840.1.114222.4.1.237821"
"""Of the Organization by which the CDC's converter signs each bundle: it is told by no message."""
_LEFT_OUT = frozenset({"id", "meta", "extension", "reference", "text.div", "resourceType"})


@dataclass
class Score:
    """Counts of expected fields by (type, verdict), and the paths that were not the same."""

    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    paths: Counter[str] = field(default_factory=Counter)
    not_built: Counter[str] = field(default_factory=Counter)
    pairs: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def of(self, verdict: str, resource_type: str | None = None) -> int:
        return sum(n for (kind, what), n in self.verdicts.items() if what == verdict and resource_type in (None, kind))

    def share(self, kinds: tuple[str, ...]) -> float:
        """Fields with the same value, of all expected fields of these types."""
        total = sum(count for (kind, _), count in self.verdicts.items() if kind in kinds)
        return sum(self.of("same", kind) for kind in kinds) / total if total else 0.0


def score(folder: Path) -> Score:
    """The score over all pairs of the folder."""
    result = Score()
    for path in sorted((folder / "messages").glob("*.hl7")):
        expected = json.loads(
            (folder / "expected" / f"{path.stem}.fhir.json").read_text(encoding="utf-8"), parse_float=Decimal
        )
        try:
            conversion = convert(Message.parse(path.read_bytes()), context())
        except InvalidInput as refusal:
            result.refused[str(refusal)] += 1
            continue
        result.pairs += 1
        compare(expected, [mapped.resource for mapped in conversion.resources], result)
    return result


def context() -> MappingContext:
    return MappingContext("cdc", resource_id, UTC, datetime(2026, 1, 1, tzinfo=UTC))


def compare(expected: dict[str, Any], ours: list[dict[str, Any]], result: Score) -> None:
    """Add one pair to the score."""
    said: dict[str, set[str]] = {}
    for resource in ours:
        for path, value in leaves(resource, resource["resourceType"]):
            said.setdefault(path, set()).add(value)
    for entry in expected["entry"]:
        resource = entry["resource"]
        kind = resource["resourceType"]
        if kind == "Organization" and any(n.get("value") == _SIGNATURE for n in resource.get("identifier", ())):
            continue
        if kind not in BUILT:
            result.not_built[kind] += 1
            continue
        for path, value in leaves(resource, kind):
            verdict = "missing" if path not in said else "same" if value in said[path] else "other"
            result.verdicts[kind, verdict] += 1
            if verdict != "same":
                result.paths[f"{verdict} {path}"] += 1


def leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """(path without indexes, value as text) of every leaf that is compared."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name not in _LEFT_OUT and not name.startswith("_"):
                yield from leaves(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, path)
    else:
        yield path, _comparable(value)


def _comparable(value: Any) -> str:
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return str(Decimal(value).normalize())
    text = str(value)
    if len(text) > 10 and text[10] == "T":
        try:
            return datetime.fromisoformat(text).astimezone(UTC).isoformat()
        except ValueError:
            return text
    return text


def table(result: Score) -> str:
    """The score as a table for people."""
    lines = [f"{'type':<22}{'expected':>9}{'same':>7}{'other':>7}{'missing':>9}{'same %':>8}"]
    kinds = sorted({kind for kind, _ in result.verdicts})
    for kind in [*kinds, None]:
        same, other, missing = (result.of(verdict, kind) for verdict in ("same", "other", "missing"))
        total = same + other + missing
        lines.append(f"{kind or 'all':<22}{total:>9}{same:>7}{other:>7}{missing:>9}{100 * same / max(total, 1):>8.1f}")
    lines.append(
        f"clinical {result.share(CLINICAL):.3f}, directory {result.share(DIRECTORY):.3f}, orders {result.share(ORDERS):.3f}"
    )
    lines.append(f"pairs compared: {result.pairs}; refused: {dict(result.refused)}")
    lines.append(f"types not built here: {dict(result.not_built.most_common())}")
    lines += [f"{count:>5} {path}" for path, count in result.paths.most_common(40)]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(score(Path(sys.argv[1]))))
