"""How much of what the CDC's converter makes of its conformance messages do we say too?

    python -m tests.standards.maps.cdc_score FOLDER     # …/hl7v2/cdc-mapping-inventory
    python -m tests.standards.maps.cdc_score FOLDER --documented    # the tables of the documentation

Each pair (message, expected bundle) is compared field by field: a field is a leaf of an expected resource, its path without
indexes. CDC's own extensions, ids, references and narratives are left out; times are compared as instants. Types that this
engine does not build from these messages are listed, but not counted. There are two ways of counting:

*strict*: a field is *same* when one of our resources of that type has the value at that path, *other* when it has another
value there, else *missing*. Every resource of theirs counts, however often it says the same. `Score.left` counts the same
without what only an extension of theirs refers to and what FHIR forbids.

*content*: what is said counts, once. (1) A directory resource that only an extension of theirs refers to goes with that
extension. (2) Of directory resources that say the same in one pair, one counts; it is compared with the one resource of
ours that says most of it, not with all of them. (3) The name of an authority is the same name under `urn:oid:`, under our
`urn:` or bare, and that of the registry is its address; a display without a code is the same words as the text of the
concept. (4) An Organization without name and number, which FHIR forbids (org-1), is nothing that we could say; its fields
are counted apart. (5) What an order of unknown state, made of the OBR of a result, says of its code is said by our report
of that OBR; *unknown* says nothing.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml

from healthsync.errors import InvalidInput
from healthsync.standards.hl7v2 import Message
from healthsync.standards.maps import MappingContext, convert
from healthsync.standards.maps.tables import tables

from .golden_pairs import resource_id

CLINICAL = ("Patient", "Encounter", "Observation", "DiagnosticReport", "Specimen", "Coverage")
DIRECTORY = ("RelatedPerson", "Practitioner", "Organization", "Location")
"""CDC writes one for each mention, with everything that mention says; we write one for each number or name."""

ORDERS = ("ServiceRequest", "Device")
"""CDC writes a ServiceRequest for each OBR of a result; we, as the guide says, where ORC or OBR-2 tells of an order."""

REFERRED_TO = frozenset({"Practitioner", "PractitionerRole", "Organization", "Location"})
"""Those that say nothing unless something refers to them."""

BUILT = frozenset(CLINICAL + DIRECTORY + ORDERS)
_SIGNATURE = "2.16.840.1.114222.4.1.237821"
"""Of the Organization by which the CDC's converter signs each bundle: it is told by no message."""
_LEFT_OUT = frozenset({"id", "meta", "extension", "reference", "div", "resourceType"})


@dataclass(frozen=True)
class Difference:
    """An expected field that we do not have so: in which pair, how (`other`, `missing`), where, and what was expected."""

    pair: str
    verdict: str
    path: str
    expected: str
    about: str = ""
    """`extension`: of a resource that only an extension of theirs refers to; `forbidden`: of one that FHIR forbids."""


@dataclass
class Score:
    """Counts of expected fields by (type, verdict), and the fields that were not the same."""

    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    not_built: Counter[str] = field(default_factory=Counter)
    forbidden: int = 0
    """Fields of resources that break FHIR's own rules."""
    left: Counter[str] = field(default_factory=Counter)
    """Strict: expected fields by type, without those of resources that are forbidden or that only an extension refers to."""
    left_same: Counter[str] = field(default_factory=Counter)
    pairs: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def of(self, verdict: str, resource_type: str | None = None) -> int:
        return sum(n for (kind, what), n in self.verdicts.items() if what == verdict and resource_type in (None, kind))

    def share(self, kinds: tuple[str, ...]) -> float:
        """Fields with the same value, of all expected fields of these types."""
        total = sum(count for (kind, _), count in self.verdicts.items() if kind in kinds)
        return sum(self.of("same", kind) for kind in kinds) / total if total else 0.0


def score(folder: Path, *, content: bool = False) -> Score:
    """The score over all pairs of the folder, counted strictly or by content."""
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
        pair = Pair(path.stem, [entry["resource"] for entry in expected["entry"]],
                    [mapped.resource for mapped in conversion.resources])  # fmt: skip
        (pair.compare_content if content else pair.compare)(result)
    return result


def context() -> MappingContext:
    return MappingContext("cdc", resource_id, UTC, datetime(2026, 1, 1, tzinfo=UTC))


Said = dict[str, set[str]]
"""Path → the values that stand there."""


class Pair:
    """What the CDC's converter says of a message, and what we say of it."""

    def __init__(self, name: str, expected: list[dict[str, Any]], ours: list[dict[str, Any]]) -> None:
        self.name = name
        self.expected = [resource for resource in expected if not _is_signature(resource)]
        self.ours = ours

    def compare(self, result: Score) -> None:
        """Add this pair to the strict score."""
        said, referred = _said(self.ours), set(_referred(self.expected))
        for resource in self.expected:
            kind = resource["resourceType"]
            if kind not in BUILT:
                result.not_built[kind] += 1
                continue
            about = _about(resource, referred)
            for path, value in leaves(resource, kind):
                same = self._count(kind, path, value, said, result, about=about)
                if not about:
                    result.left[kind] += 1
                    result.left_same[kind] += same

    def compare_content(self, result: Score) -> None:
        """Add this pair to the score by content."""
        said, referred = _said(self.ours), set(_referred(self.expected))
        reported = _reported(self.expected)
        counted: set[frozenset[tuple[str, str]]] = set()
        for resource in self.expected:
            kind, name = resource["resourceType"], f"{resource['resourceType']}/{resource['id']}"
            if kind not in BUILT:
                continue
            fields = list(leaves(resource, kind))
            if kind in DIRECTORY:
                if (about := _about(resource, referred)) == "extension" or frozenset(fields) in counted:
                    continue
                counted.add(frozenset(fields))
                if about:
                    result.forbidden += len(fields)
                    continue
            if name in reported:
                self._count_reported(fields, said, result)
                continue
            for path, value in fields:
                in_place = self._most_alike(kind, fields) if kind in DIRECTORY else said
                self._count(kind, path, value, in_place, result, alike=True)

    def _count_reported(self, fields: list[tuple[str, str]], said: Said, result: Score) -> None:
        """An order that was made of the OBR of a result."""
        for path, value in fields:
            if (path, value) == ("ServiceRequest.status", "unknown"):
                continue
            in_report = said.get(path.replace("ServiceRequest.code", "DiagnosticReport.code"), set())
            there = said | {path: said.get(path, set()) | in_report} if in_report else said
            self._count("ServiceRequest", path, value, there, result, alike=True)

    def _most_alike(self, kind: str, fields: list[tuple[str, str]]) -> Said:
        """The resource of ours that says most of these fields."""
        ours = [_said([resource]) for resource in self.ours if resource["resourceType"] == kind]
        return max(ours, default={}, key=lambda said: sum(_is_same(path, value, said) for path, value in fields))

    def _count(
        self, kind: str, path: str, value: str, said: Said, result: Score, *, alike: bool = False, about: str = ""
    ) -> bool:
        same = _is_same(path, value, said) if alike else value in said.get(path, ())
        verdict = "same" if same else "other" if path in said else "missing"
        result.verdicts[kind, verdict] += 1
        if verdict != "same":
            result.differences.append(Difference(self.name, verdict, path, value, about))
        return same


def _is_signature(resource: dict[str, Any]) -> bool:
    return resource["resourceType"] == "Organization" and any(
        number.get("value") == _SIGNATURE for number in resource.get("identifier", ())
    )


def _about(resource: dict[str, Any], referred: set[str]) -> str:
    kind = resource["resourceType"]
    if kind in REFERRED_TO and f"{kind}/{resource['id']}" not in referred:
        return "extension"
    return "forbidden" if kind == "Organization" and not resource.keys() & {"identifier", "name"} else ""


def _said(resources: list[dict[str, Any]]) -> Said:
    said: Said = {}
    for resource in resources:
        for path, value in leaves(resource, resource["resourceType"]):
            said.setdefault(path, set()).add(value)
    return said


def _is_same(path: str, value: str, said: Said) -> bool:
    """Whether the value stands there, or the same authority under another address, or the same words as text."""
    if value in said.get(path, ()):
        return True
    if path.endswith("dentifier.system"):
        named = said.get(f"{path.removesuffix('system')}assigner.display", ())
        return value in named or _authority(value) in map(_authority, said.get(path, ()))
    if path == "Organization.identifier.value":
        return _authority(value) in map(_authority, said.get(path, ()))
    return path.endswith(".coding.display") and value in said.get(path.replace(".coding.display", ".text"), ())


def _authority(system: str) -> str:
    """The name of an authority, without the form of address."""
    for prefix in ("urn:oid:", "urn:uuid:", "urn:healthsync:authority:"):
        system = system.removeprefix(prefix)
    return tables().systems.get(name := unquote(system), name).removeprefix("urn:oid:")


def _reported(resources: list[dict[str, Any]]) -> set[str]:
    """The orders of unknown state that a report is based on."""
    based = {each["reference"] for one in resources for each in one.get("basedOn", ()) if "reference" in each}
    unknown = (one for one in resources if one["resourceType"] == "ServiceRequest" and one.get("status") == "unknown")
    return {name for one in unknown if (name := f"ServiceRequest/{one['id']}") in based}


def _referred(resources: list[dict[str, Any]]) -> Iterator[str]:
    """What is referred to from outside extensions, directly or through others."""
    by_name = {f"{resource['resourceType']}/{resource['id']}": resource for resource in resources}
    waiting = [resource for resource in resources if resource["resourceType"] not in REFERRED_TO]
    seen: set[str] = set()
    while waiting:
        for name in _references(waiting.pop()):
            if name not in seen:
                seen.add(name)
                yield name
                waiting += [by_name[name]] if name in by_name else []


_NO_PART = frozenset({"extension", "modifierExtension"})


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "reference" and isinstance(inner, str):
                yield inner
            elif name not in _NO_PART and not name.startswith("_"):
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


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
    if result.forbidden:
        lines.append(f"left out, for FHIR forbids them (org-1): {result.forbidden} fields")
    lines.append(f"pairs compared: {result.pairs}; refused: {dict(result.refused)}")
    lines.append(f"types not built here: {dict(result.not_built.most_common())}")
    return "\n".join(lines)


@dataclass(frozen=True)
class Reason:
    """A line of cdc_differences.yaml: which differences it explains, what they write, what we do."""

    why: str
    theirs: str
    ours: str
    about: str = ""
    path: str = ""
    pair: str = ""
    expected: str = ""

    def fits(self, found: Difference) -> bool:
        if self.about and self.about != found.about:
            return False
        tests = ((self.path, found.path), (self.pair, found.pair), (self.expected, found.expected))
        return all(re.search(pattern, text) for pattern, text in tests)


def reasons() -> list[Reason]:
    """The lines of cdc_differences.yaml."""
    text = Path(__file__).with_name("cdc_differences.yaml").read_text(encoding="utf-8")
    return [Reason(**line) for line in yaml.safe_load(text)]


def explained(differences: list[Difference]) -> tuple[Counter[Reason], list[Difference]]:
    """How many differences fall under each reason, and those under none."""
    counted: Counter[Reason] = Counter()
    left = []
    known = reasons()
    for found in differences:
        reason = next((reason for reason in known if reason.fits(found)), None)
        if reason is None:
            left.append(found)
        else:
            counted[reason] += 1
    return counted, left


WHY = {
    "guide": "The guide's tables say what we say",
    "fhir": "FHIR forbids it",
    "extension": "Only an extension of theirs tells it",
    "fault": "A fault of their converter, or of the message",
    "design": "Our design",
}
"""Why a field differs: `why` of a line in cdc_differences.yaml."""


def documented(strict: Score, content: Score) -> str:
    """The tables of docs/conformance/cdc-mapping-inventory.md."""
    lines = ["| Type | Expected fields | Strict | Stripped | By content |", "|---|---|---|---|---|"]
    kinds = [(kind, (kind,)) for kind in sorted({kind for kind, _ in strict.verdicts})]
    groups = [("**clinical**", CLINICAL), ("**directory**", DIRECTORY), ("**orders**", ORDERS)]
    for name, types in [*kinds, *groups, ("**all**", CLINICAL + DIRECTORY + ORDERS)]:
        total = sum(strict.of(verdict, kind) for verdict in ("same", "other", "missing") for kind in types)
        stripped = sum(strict.left_same[kind] for kind in types) / sum(strict.left[kind] for kind in types)
        shares = (strict.share(types), stripped, content.share(types))
        lines.append(f"| {name} | {total:,} | " + " | ".join(f"{100 * share:.1f} %" for share in shares) + " |")
    strictly, _ = explained(strict.differences)
    by_content, _ = explained(content.differences)
    for why, title in WHY.items():
        of_why = [(reason, count) for reason, count in strictly.most_common() if reason.why == why]
        counts = (sum(count for _, count in of_why), sum(by_content[reason] for reason, _ in of_why))
        lines += ["", f"**{title}**: {counts[0]} fields strictly, {counts[1]} by content", ""]
        lines += ["| What the CDC writes | Strict | By content | We |", "|---|---|---|---|"]
        lines += [f"| {reason.theirs} | {count} | {by_content[reason]} | {reason.ours} |" for reason, count in of_why]
    return "\n".join(lines)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    if "--documented" in sys.argv:
        print(documented(score(folder), score(folder, content=True)))
    else:
        print("strict\n" + table(score(folder)))
        print("\nby content\n" + table(score(folder, content=True)))
