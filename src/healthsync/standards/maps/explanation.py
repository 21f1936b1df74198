"""What became of each field of a message: told by the engine, not guessed.

    (1) watch       the message is converted once; after each field that a row takes it is seen what has come to the
                    resource, and what no map takes is noted as it is counted
    (2) experiment  a field that a rule in code takes (OBX-5 by its type, PV1-2 with the event) is left out, and the
                    message converted again: what differs is what the field decided

Resources are named by type and place (`Observation/2`), so that two conversions can be compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from healthsync.errors import InvalidInput
from healthsync.standards.hl7v2 import Message, Segment
from healthsync.standards.maps.compiler import NULL, Program
from healthsync.standards.maps.conversion import family_for
from healthsync.standards.maps.model import Conversion, MappingContext
from healthsync.standards.maps.reading import Reading
from healthsync.standards.maps.scribe import Draft, Scribe
from healthsync.standards.maps.tables import reasons, tables

EXPERIMENTS = 600
"""How many fields of one message are left out in turn; behind them a rule is named without what it decided."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a field wrote or decided: elements of one resource.

    names  the field is part of the resource's business key: a resend with another value is another resource
    """

    resource: str
    elements: tuple[str, ...]
    names: bool = False


@dataclass(slots=True)
class FieldStory:
    """What became of one field.

    state    mapped (a row wrote it), rule (code took it), unmapped, deletes (`""`), nothing (it says nothing that FHIR
             has not from elsewhere)
    by       `guide` or `override` for a row, `rule` for code
    row      the row, as in the tables: `XPN[HumanName] → name`
    because  why it is mapped otherwise than in the guide, or why it is not mapped
    """

    path: str
    value: str
    state: str = "nothing"
    targets: list[Target] = field(default_factory=list)
    by: str = ""
    row: str = ""
    because: str = ""


@dataclass(slots=True)
class SegmentStory:
    """What became of one segment; `state` is mapped, unmapped or header."""

    name: str
    index: int
    state: str
    fields: list[FieldStory]
    issues: list[str] = field(default_factory=list)
    because: str = ""


@dataclass(slots=True)
class MessageStory:
    """What became of a message; `refused` is the sentence for one that is not converted."""

    type: str
    version: str
    control_id: str
    warnings: tuple[str, ...]
    refused: str = ""
    segments: list[SegmentStory] = field(default_factory=list)
    resources: list[tuple[str, str]] = field(default_factory=list)
    """(resource, its business key), in dependency order."""
    experiments_left_out: int = 0


def explain(message: Message, ctx: MappingContext) -> MessageStory:
    """The story of a message. What `convert` would refuse is refused with the same sentence."""
    story = MessageStory(
        f"{message.message_code}^{message.trigger}", message.version, message.control_id, message.warnings
    )
    try:
        family, trigger = family_for(message)
        witness = _Witness()
        conversion = _watched(family, witness)(message, trigger, ctx).run()
    except InvalidInput as refusal:
        story.refused = str(refusal)
        return story
    named = _Named(conversion)
    story.resources = [(named.name(mapped.reference), mapped.key) for mapped in conversion.resources]
    budget = Counter(left=EXPERIMENTS)
    for at, segment in enumerate(message.segments):
        story.segments.append(_segment_story(at, segment, witness, named, message, ctx, budget))
    story.experiments_left_out = budget["left_out"]
    return story


# --- (1) watch ---


class _Witness:
    """What the engine told while it converted, by segment (their place in the message)."""

    def __init__(self) -> None:
        self.wrote: dict[tuple[int, int], list[tuple[str, str, tuple[str, ...]]]] = {}
        """(segment, field) → map, what it wrote into (`Type/id`; `Type` for a part of another resource), elements."""
        self.unmapped: dict[int, Counter[str]] = {}
        self.issues: dict[int, list[str]] = {}
        self.maps: dict[int, list[str]] = {}
        self._attributed: Counter[str] = Counter()

    def count(self, segment: Segment, counted: Counter[str]) -> None:
        """Note what was counted as unmapped while a segment was read, without what others have noted meanwhile."""
        new = counted - self._attributed
        self._attributed += new
        self.unmapped[id(segment)] = self.unmapped.get(id(segment), Counter()) + new


class _WatchedProgram:
    """A program that runs one field after the other and compares the resource."""

    def __init__(self, name: str, program: Program, witness: _Witness) -> None:
        self._name, self._program, self._witness = name, program, witness
        self._silent = replace(program, fields={})

    def run(self, segment: Segment, draft: Draft, scribe: Scribe, *, again: bool = False) -> None:
        key = id(segment)
        self._witness.maps.setdefault(key, []).append(self._name)
        self._silent.run(segment, draft, scribe, again=again)  # counts and deletes
        self._witness.count(segment, scribe.unmapped)
        resource = draft.resource
        for number, each in sorted(self._program.fields.items()):
            if (raw := segment.raw_field(number)) in ("", NULL) or not each.steps:
                continue
            before, reported = _mark(resource), len(scribe.issues)
            each.run(raw, segment, resource, scribe)
            if again:
                del scribe.issues[reported:]
            if changed := tuple(dict.fromkeys(_added(before, resource, ""))):
                written = (
                    f"{resource['resourceType']}/{resource['id']}" if "id" in resource else resource["resourceType"]
                )
                self._witness.wrote.setdefault((key, number), []).append((self._name, written, changed))


def _watched(family: type[Reading], witness: _Witness) -> type[Reading]:
    """The family, telling the witness."""

    class Watched(family):
        def compiled(self, code: str, trigger: str, ctx: MappingContext) -> Mapping[str, Any]:
            programs = super().compiled(code, trigger, ctx)
            return {name: _WatchedProgram(name, program, witness) for name, program in programs.items()}

        def _take(self, segment: Segment) -> None:
            issues = len(self.scribe.issues)
            super()._take(segment)
            witness.count(segment, self.scribe.unmapped)
            told = [f"{issue.code} at {issue.path}" for issue in self.scribe.issues[issues:]]
            witness.issues.setdefault(id(segment), []).extend(told)

    return Watched


# --- (2) experiment ---


class _Named:
    """The resources of a conversion by type and place, with their leaves and keys."""

    def __init__(self, conversion: Conversion) -> None:
        seen: Counter[str] = Counter()
        self._names: dict[str, str] = {}
        self.keys: dict[str, str] = {}
        for mapped in conversion.resources:
            seen[mapped.type] += 1
            name = f"{mapped.type}/{seen[mapped.type]}"
            self._names[mapped.reference] = name
            self.keys[name] = mapped.key
        self.leaves = {
            self._names[mapped.reference]: set(self._read(mapped.resource, "")) | set(_marks(mapped))
            for mapped in conversion.resources
        }

    def name(self, reference: str) -> str:
        return self._names.get(reference, reference)

    def _read(self, value: Any, path: str) -> Iterator[tuple[str, str]]:
        if isinstance(value, dict):
            for name, inner in value.items():
                if name != "id" or path:
                    yield from self._read(inner, f"{path}.{name}" if path else name)
        elif isinstance(value, list):
            for inner in value:
                yield from self._read(inner, path)
        else:
            yield path, self._names.get(value, str(value)) if isinstance(value, str) else str(value)


def _marks(mapped: Any) -> Iterator[tuple[str, str]]:
    """What the store is told beside the resource."""
    for element in mapped.cleared:
        yield element, '""'


def _experiment(message: Message, at: int, number: int, ctx: MappingContext, base: _Named) -> list[Target]:
    """What changes when a field is left out."""
    lines = [segment.raw for segment in message.segments]
    separator = message.separators.field
    fields = lines[at].split(separator)
    fields[number - (1 if message.segments[at].name == "MSH" else 0)] = ""
    lines[at] = separator.join(fields)
    raw = "\r".join(lines).encode(message.charset, "replace")
    try:
        without = Message.parse(raw)
        family, trigger = family_for(without)
        other = _Named(family(without, trigger, ctx).run())
    except InvalidInput:
        return [Target("the message", ("is refused without it",))]
    found = []
    for name in dict.fromkeys([*base.leaves, *other.leaves]):
        if name not in other.leaves:
            found.append(Target(name, ("is made because of it",)))
        elif name in base.leaves:
            differ = base.leaves[name] ^ other.leaves[name]
            names = base.keys[name] != other.keys[name]
            if differ or names:
                found.append(Target(name, tuple(sorted({path for path, _ in differ})), names))
    return found


# --- the story of a segment ---


def _segment_story(
    at: int,
    segment: Segment,
    witness: _Witness,
    named: _Named,
    message: Message,
    ctx: MappingContext,
    budget: Counter[str],
) -> SegmentStory:
    key = id(segment)
    counted = witness.unmapped.get(key, Counter())
    story = SegmentStory(segment.name, segment.index, "mapped", [], witness.issues.get(key, []))
    header = segment.name in ("MSH", "EVN", "SFT", "UAC")
    if header:
        story.state = "header"
    elif counted[segment.name] and not witness.maps.get(key):
        story.state, story.because = "unmapped", "this kind of message has no map for it here; it stays in the message"
    first = 3 if segment.name == "MSH" else 1
    for number, raw in enumerate(segment.raw_fields):
        if number < first or not raw:
            continue
        told = FieldStory(f"{segment.name}-{number}", raw)
        story.fields.append(told)
        if story.state == "unmapped":
            told.state = "unmapped"
            continue
        _tell_field(told, number, segment, witness, named, counted)
        if told.state == "nothing":
            if budget["left"] <= 0:
                budget["left_out"] += 1
                told.state, told.by = "rule", "rule"
                continue
            budget["left"] -= 1
            told.targets = _experiment(message, at, number, ctx, named)
            told.because = _reason(witness.maps.get(key, []), number)
            if told.targets or told.because:
                told.state, told.by = "rule", "rule"
    return story


def _tell_field(
    told: FieldStory, number: int, segment: Segment, witness: _Witness, named: _Named, counted: Counter[str]
) -> None:
    """What was told of the field while the message was converted."""
    key = id(segment)
    maps = list(dict.fromkeys(witness.maps.get(key, [])))
    if counted[told.path]:
        told.state = "unmapped"
        told.because = _reason(maps, number) or "neither the guide nor we have a place for it"
        return
    if told.value == NULL:
        told.state, told.because = "deletes", "the sender deletes the value (v2.5.1 §2.5.3)"
    wrote = witness.wrote.get((key, number), [])
    if not wrote:
        return
    told.state = "mapped"
    told.targets += [Target(named.name(written), changed) for _, written, changed in wrote]
    map_name = wrote[0][0]
    because = reasons().get((map_name, number), "")
    told.by, told.because = ("override", because) if because else ("guide", "")
    rows = [row for row in tables().segments[map_name] if row.field == number and (row.converter or not row.value)]
    told.row = f"{map_name} " + "; ".join(f"{row.converter or 'text'} → {row.to}" for row in rows)


def _reason(maps: list[str], number: int) -> str:
    return next((because for name in maps if (because := reasons().get((name, number)))), "")


def _mark(value: Any) -> Any:
    """How far a resource is written. Rows add to the end of a list or write into its first entry, so that a mark is
    no larger when the list is long.
    """
    if isinstance(value, dict):
        return {name: _mark(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return len(value), _mark(value[0]) if value else None
    return value


def _added(mark: Any, value: Any, path: str) -> Iterator[str]:
    """The elements that came or changed since a mark was made, as paths without indexes."""
    if isinstance(value, dict) and isinstance(mark, dict):
        for name, inner in value.items():
            below = f"{path}.{name}" if path else name
            yield from _added(mark[name], inner, below) if name in mark else _leaves(inner, below)
    elif isinstance(value, list) and isinstance(mark, tuple):
        count, first = mark
        for at, inner in enumerate(value[:1] + value[max(count, 1) :] if count else value):
            yield from _added(first, inner, path) if count and not at else _leaves(inner, path)
    elif value != mark:
        yield from _leaves(value, path)


def _leaves(value: Any, path: str) -> Iterator[str]:
    """The paths of what stands in a value."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, path)
    else:
        yield path
