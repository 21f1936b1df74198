"""How much of what the CDC's converter makes of its conformance messages do we say too?

    python -m tests.standards.maps.cdc_score FOLDER     # …/hl7v2/cdc-mapping-inventory
    python -m tests.standards.maps.cdc_score FOLDER --documented    # the tables of the documentation

Each pair (message, expected bundle) is compared field by field: a field is a leaf of an expected resource, its path without
indexes. CDC's own extensions, ids, references and narratives are left out; times are compared as instants. Types that this
engine does not build from these messages are listed, but not counted. There are two ways of counting:

*strict*: a field is *same* when one of our resources of that type has the value at that path, *other* when it has another
value there, else *missing*. Every resource of theirs counts, however often it says the same.

*content*: what is said counts, once. (1) A directory resource that only an extension of theirs refers to goes with that
extension. (2) Of directory resources that say the same in one pair, one counts; it is compared with the one resource of
ours that says most of it, not with all of them. (3) An organisation that is nothing but the assigner of a number is said
by the system of that number. (4) The name of an authority is the same name under `urn:oid:`, under our `urn:` or bare; a
display without a code is the same words as the text of the concept. (5) An Organization without name and number, which
FHIR forbids (org-1), is nothing that we could say; its fields are counted apart. (6) A level of a place is said where our
one Location for the whole path names it. (7) What an order of unknown state, made of the OBR of a result, says of its code
is said by our report of that OBR; *unknown* says nothing.
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

from .golden_pairs import resource_id

CLINICAL = ("Patient", "Encounter", "Observation", "DiagnosticReport", "Specimen", "Coverage")
DIRECTORY = ("RelatedPerson", "Practitioner", "Organization", "Location")
"""CDC writes one for each mention, with everything that mention says; we write one for each number or name."""

ORDERS = ("ServiceRequest", "Device")
"""CDC writes a ServiceRequest for each OBR of a result; we, as the guide says, where ORC or OBR-2 tells of an order."""

REFERRED_TO = frozenset({"Practitioner", "Organization", "Location"})
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


@dataclass
class Score:
    """Counts of expected fields by (type, verdict), and the fields that were not the same."""

    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    not_built: Counter[str] = field(default_factory=Counter)
    forbidden: int = 0
    """Fields of resources that break FHIR's own rules."""
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
        said = _said(self.ours)
        for resource in self.expected:
            kind = resource["resourceType"]
            if kind not in BUILT:
                result.not_built[kind] += 1
                continue
            for path, value in leaves(resource, kind):
                self._count(kind, path, value, said, result)

    def compare_content(self, result: Score) -> None:
        """Add this pair to the score by content."""
        said, authorities = _said(self.ours), set(_authorities(self.ours))
        referred = set(_referred(self.expected, assigners=True))
        more_than_assigner = set(_referred(self.expected, assigners=False))
        reported = _reported(self.expected)
        counted: set[frozenset[tuple[str, str]]] = set()
        for resource in self.expected:
            kind, name = resource["resourceType"], f"{resource['resourceType']}/{resource['id']}"
            if kind not in BUILT:
                continue
            fields = list(leaves(resource, kind))
            if kind in DIRECTORY:
                if (kind in REFERRED_TO and name not in referred) or frozenset(fields) in counted:
                    continue
                counted.add(frozenset(fields))
            if kind == "Organization" and not resource.keys() & {"identifier", "name"}:
                result.forbidden += len(fields)
                continue
            if name in reported:
                self._count_reported(fields, said, result)
                continue
            for path, value in fields:
                if kind == "Organization" and name not in more_than_assigner:
                    in_place = {path: {value}} if _is_said_by_system(path, value, authorities) else {}
                else:
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

    def _count(self, kind: str, path: str, value: str, said: Said, result: Score, *, alike: bool = False) -> None:
        same = _is_same(path, value, said) if alike else value in said.get(path, ())
        verdict = "same" if same else "other" if path in said else "missing"
        result.verdicts[kind, verdict] += 1
        if verdict != "same":
            result.differences.append(Difference(self.name, verdict, path, value))


def _is_signature(resource: dict[str, Any]) -> bool:
    return resource["resourceType"] == "Organization" and any(
        number.get("value") == _SIGNATURE for number in resource.get("identifier", ())
    )


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
    if path == "Location.identifier.value":
        paths = (part for told in said.get(path, ()) for part in told.split("/"))
        names = (f" {name} " for name in said.get("Location.name", ()))
        systems = map(_authority, said.get("Location.identifier.system", ()))
        return value in paths or value in systems or any(f" {value} " in name for name in names)
    if path == "Location.identifier.type.coding.code" and (form := _FORMS.get(value)):
        return any(system.startswith(form) for system in said.get("Location.identifier.system", ()))
    return path.endswith(".coding.display") and value in said.get(path.replace(".coding.display", ".text"), ())


def _authority(system: str) -> str:
    """The name of an authority, without the form of address."""
    for prefix in ("urn:oid:", "urn:uuid:", "urn:healthsync:authority:"):
        system = system.removeprefix(prefix)
    return unquote(system)


def _authorities(value: Any) -> Iterator[str]:
    """The names and addresses of the authorities that our numbers tell of."""
    if isinstance(value, dict):
        if isinstance(value.get("value"), str) and isinstance(value.get("system"), str):
            yield value["system"]
            yield _authority(value["system"])
            yield value.get("assigner", {}).get("display", "")
        for inner in value.values():
            yield from _authorities(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _authorities(inner)


_FORMS = {"ISO": "urn:oid:", "UUID": "urn:uuid:"}


def _reported(resources: list[dict[str, Any]]) -> set[str]:
    """The orders of unknown state that a report is based on."""
    based = {each["reference"] for one in resources for each in one.get("basedOn", ()) if "reference" in each}
    unknown = (one for one in resources if one["resourceType"] == "ServiceRequest" and one.get("status") == "unknown")
    return {name for one in unknown if (name := f"ServiceRequest/{one['id']}") in based}


def _is_said_by_system(path: str, value: str, authorities: set[str]) -> bool:
    """An assigner's name or number is that of the system; ISO and UUID are forms of address, urn:oid and urn:uuid."""
    if path in ("Organization.identifier.value", "Organization.name"):
        return value in authorities
    form = _FORMS.get(value)
    return form is not None and any(system.startswith(form) for system in authorities)


def _referred(resources: list[dict[str, Any]], *, assigners: bool) -> Iterator[str]:
    """What is referred to from outside extensions, directly or through others."""
    by_name = {f"{resource['resourceType']}/{resource['id']}": resource for resource in resources}
    waiting = [resource for resource in resources if resource["resourceType"] not in REFERRED_TO]
    seen: set[str] = set()
    while waiting:
        for name in _references(waiting.pop(), assigners):
            if name not in seen:
                seen.add(name)
                yield name
                waiting += [by_name[name]] if name in by_name else []


_NO_PART = frozenset({"extension", "modifierExtension"})


def _references(value: Any, assigners: bool) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "reference" and isinstance(inner, str):
                yield inner
            elif name not in _NO_PART and not name.startswith("_") and (assigners or name != "assigner"):
                yield from _references(inner, assigners)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner, assigners)


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

    theirs: str
    ours: str
    path: str = ""
    pair: str = ""
    expected: str = ""

    def fits(self, found: Difference) -> bool:
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


def documented(strict: Score, content: Score) -> str:
    """The tables of docs/conformance/cdc-mapping-inventory.md."""
    lines = ["| Type | Expected fields | Same, strict | By content |", "|---|---|---|---|"]
    for kind in sorted({kind for kind, _ in strict.verdicts}):
        total = sum(strict.of(verdict, kind) for verdict in ("same", "other", "missing"))
        lines.append(
            f"| {kind} | {total:,} | {100 * strict.share((kind,)):.1f} % | {100 * content.share((kind,)):.1f} % |"
        )
    for name, kinds in (("**clinical**", CLINICAL), ("**directory**", DIRECTORY), ("**orders**", ORDERS)):
        total = sum(strict.of(verdict, kind) for verdict in ("same", "other", "missing") for kind in kinds)
        lines.append(f"| {name} | {total:,} | {100 * strict.share(kinds):.1f} % | {100 * content.share(kinds):.1f} % |")
    lines += ["", "| What the CDC writes | Strict | By content | We |", "|---|---|---|---|"]
    by_content, _ = explained(content.differences)
    for reason, count in explained(strict.differences)[0].most_common():
        lines.append(f"| {reason.theirs} | {count} | {by_content[reason]} | {reason.ours} |")
    return "\n".join(lines)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    if "--documented" in sys.argv:
        print(documented(score(folder), score(folder, content=True)))
    else:
        print("strict\n" + table(score(folder)))
        print("\nby content\n" + table(score(folder, content=True)))
