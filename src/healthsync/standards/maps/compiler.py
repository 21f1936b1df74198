"""Rows of a segment map, compiled to one closure for each field.

A row says `PV1-7 → participant[1].individual, XCN[Practitioner]`. Rows of one field that name the same list entry
(`participant[1].…`) write one entry together, once for each repetition of the field; an entry that would hold only
constants is not written. Conversion looks up the closure of each valued field and calls it: no table is read by then.
Of a field whose rows depend on nothing but its text, what was written a moment ago is written again (`memory`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from healthsync.standards.hl7v2 import Repetition, Segment
from healthsync.standards.maps.conditions import Condition, ConditionError, compile_condition
from healthsync.standards.maps.datatypes import (
    OF_PERSONS,
    RECURRING,
    RECURRING_CODES,
    Converter,
    converter,
    date_time,
    string,
)
from healthsync.standards.maps.memory import LONGEST, read
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.parties import location
from healthsync.standards.maps.scribe import Draft, Scribe
from healthsync.standards.maps.tables import Row

Step = Callable[[tuple[Repetition, ...], Segment, Resource, Scribe], None]
"""Takes the repetitions of a field that say something, and writes into a resource."""
Writer = Callable[[dict[str, Any], Segment, Repetition, Scribe], bool]
"""Writes into an element; answers whether it said something that was sent, not only a constant."""

NULL = '""'
_ALWAYS_LISTS = frozenset({"coding", "extension", "given", "prefix", "suffix", "line"})
_TOKEN = re.compile(r"(\w+)(?:\[(\d+)\])?")
_PATH = re.compile(r"\w+(\[\d+\])?(\.\w+(\[\d+\])?)*")


class MapError(ValueError):
    """A row that cannot be compiled: it needs an entry in the overrides."""


class Place(NamedTuple):
    """Where a row writes: the names down to it, the last one, and whether its values are entries of a list."""

    above: tuple[str, ...]
    last: str
    is_list: bool


@dataclass(eq=False, slots=True)
class Field:
    """What becomes of one field. `places` are those it writes into, where what it writes depends on its text only;
    None for others. A field that is not known is counted.
    """

    path: str
    number: int
    steps: tuple[Step, ...] = ()
    places: tuple[Place, ...] | None = None
    is_known: bool = True

    def run(self, raw: str, segment: Segment, resource: Resource, scribe: Scribe) -> None:
        """Write what the field says."""
        scribe.path = self.path
        if self.places is None or len(raw) > LONGEST:
            reps = segment.valued(self.number)
            for step in self.steps:
                step(reps, segment, resource, scribe)
            return
        key = (self, raw)
        known = scribe.memory.get(key)
        told = read(known) if known else scribe.remembered(key, lambda: self._read(segment, scribe))
        if told.keys().isdisjoint(resource):
            for name, value in told.items():
                resource[name] = value
            return
        for above, last, is_list in self.places:
            at = told
            for name in above:
                at = at.get(name, _NOTHING)
            if last not in at:
                continue
            target = resource
            for name in above:
                target = target.setdefault(name, {})
            if last not in target:
                target[last] = at[last]
            elif is_list:
                for entry in at[last]:
                    scribe.add_once(target[last], entry)

    def _read(self, segment: Segment, scribe: Scribe) -> Resource:
        """What the field writes into an empty resource."""
        told: Resource = {}
        for step in self.steps:
            step(segment.valued(self.number), segment, told, scribe)
        return told


_NOTHING: Resource = {}


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled segment map. `feeds` tells for each field the top-level elements it writes, `primary` for each
    element the field whose null deletes it.
    """

    segment: str
    fields: Mapping[int, Field]
    feeds: Mapping[int, tuple[str, ...]]
    primary: Mapping[str, int]
    known: frozenset[int]
    taken: tuple[Field, ...] = field(init=False)
    """The fields from the first to the last known one."""

    def __post_init__(self) -> None:
        numbers = range(1, max(self.known, default=0) + 1)
        taken = (self.fields.get(n) or Field(f"{self.segment}-{n}", n, is_known=n in self.known) for n in numbers)
        object.__setattr__(self, "taken", tuple(taken))

    def run(self, segment: Segment, draft: Draft, scribe: Scribe, *, again: bool = False) -> None:
        """Write what the segment says; count the fields that no row takes.

        `again`: another map has told of this segment, nothing is counted or reported twice.
        """
        reported = len(scribe.issues)
        taken, resource, raws = self.taken, draft.resource, segment.raw_fields
        for each, raw in zip(taken, raws[1:], strict=False):
            if not raw:
                continue
            if not each.is_known:
                scribe.unmapped[f"{segment.name}-{each.number}"] += not again
            elif raw == NULL:
                self._clear(each.number, draft, scribe, each.path)
            elif each.steps:
                each.run(raw, segment, resource, scribe)
        for number in range(len(taken) + 1, len(raws)):
            if raws[number]:
                scribe.unmapped[f"{segment.name}-{number}"] += not again
        if again:
            del scribe.issues[reported:]

    def _clear(self, number: int, draft: Draft, scribe: Scribe, path: str) -> None:
        """`""` deletes the element (v2.5.1 §2.5.3), unless the field is only one of several that feed it."""
        for element in self.feeds.get(number, ()):
            if self.primary.get(element) == number:
                draft.cleared.append(element)
            else:
                scribe.issue("partial-delete", path)


def compile_segment(
    name: str, rows: Iterable[Row], known: frozenset[int], lists: Mapping[str, frozenset[str]]
) -> Program:
    """The program of a map such as `PV1[Encounter]`; `known` are fields that something else takes. Raises MapError."""
    segment, _, resource_type = name.rstrip("]").partition("[")
    by_field: dict[int, list[Row]] = {}
    for row in rows:
        by_field.setdefault(row.field, []).append(row)
    of_type = lists.get("Patient.contact" if name == "NK1[Patient]" else resource_type, frozenset())
    fields = {number: _field(segment, number, group, of_type) for number, group in by_field.items()}
    feeds = {number: _elements(group) for number, group in by_field.items()}
    return Program(segment, fields, feeds, _primary(feeds), known | frozenset(by_field))


def _elements(rows: Iterable[Row]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(re.split(r"[.\[]", row.to)[0] for row in rows if not row.to.startswith("$")))


def _primary(feeds: Mapping[int, tuple[str, ...]]) -> dict[str, int]:
    """The first field that feeds an element; identifiers and extensions are not deleted by one of their fields."""
    primary: dict[str, int] = {}
    for number, elements in feeds.items():
        for element in elements:
            primary.setdefault(element, number)
    return {
        element: number
        for element, number in primary.items()
        if element not in ("identifier", "extension", "class", "status")
    }


def _field(segment: str, number: int, rows: list[Row], lists: frozenset[str]) -> Field:
    told = [row for row in rows if not row.to.startswith("$")]
    steps = tuple(_steps(segment, number, told, lists))
    places = tuple(dict.fromkeys(_place(row.to, lists) for row in told))
    recurs = all(_recurs(segment, number, row) for row in told) and None not in places
    return Field(f"{segment}-{number}", number, steps, places if recurs else None)  # type: ignore[arg-type]


def _recurs(segment: str, number: int, row: Row) -> bool:
    """Whether what a row writes depends on the text of its field only."""
    own = f"{segment}-{number}"
    looked_at = re.findall(r"[A-Z][A-Z0-9]{1,2}[-.]\d+", row.when)
    recurring = RECURRING_CODES if segment in OF_PERSONS else RECURRING
    return all(each.replace(".", "-") == own for each in looked_at) and (
        bool(row.value and not row.converter) or row.converter.lower() in recurring
    )


def _place(path: str, lists: frozenset[str]) -> Place | None:
    """Where a row writes into a resource; None where other entries of a list stand on the way."""
    anchor, above, _ = _split(path, lists)
    names = [".".join(above[: at + 1]) for at in range(len(above))]
    if not anchor and any(name in lists or name.rpartition(".")[2] in _ALWAYS_LISTS for name in names):
        return None
    return Place(tuple(above[:-1]), above[-1], bool(anchor))


def _steps(segment: str, field: int, rows: list[Row], lists: frozenset[str]) -> Iterable[Step]:
    grouped: dict[str, list[tuple[Row, list[str], list[str]]]] = {}
    for row in rows:
        if not _PATH.fullmatch(row.to):
            raise MapError(f"{segment}-{field}: no path: {row.to}")
        anchor, above, below = _split(row.to, lists)
        grouped.setdefault(anchor, []).append((row, above, below))
    for anchor, members in grouped.items():
        (row, above, below), *others = members
        if anchor and not (others or below or row.when or (row.value and not row.converter)):
            yield _whole_step(above, _converter(segment, field, row))
            continue
        writers = [
            _writer(segment, field, row, below if anchor else above, lists, anchor) for row, above, below in members
        ]
        yield _list_step(above, writers) if anchor else _single_step(writers)


def _split(path: str, lists: frozenset[str]) -> tuple[str, list[str], list[str]]:
    """(list entry as written or "", names down to the list, names below the entry)."""
    names: list[str] = []
    tokens = path.split(".")
    for at, token in enumerate(tokens):
        match = _TOKEN.fullmatch(token)
        assert match
        names.append(match[1])
        if ".".join(names) in lists or (match[1] in _ALWAYS_LISTS and at == len(names) - 1):
            below = [_TOKEN.fullmatch(rest)[1] for rest in tokens[at + 1 :]]  # type: ignore[index]
            return ".".join(tokens[: at + 1]), names, below
    return "", names, []


def _whole_step(names: list[str], convert: Converter) -> Step:
    """Each repetition is an entry as it stands."""
    *above, last = names

    def step(reps: tuple[Repetition, ...], segment: Segment, resource: Resource, scribe: Scribe) -> None:
        for rep in reps:
            if (entry := convert(rep, scribe)) is None:
                continue
            target = resource
            for name in above:
                target = target.setdefault(name, {})
            scribe.add_once(target.setdefault(last, []), entry)

    return step


def _list_step(names: list[str], writers: list[Writer]) -> Step:
    *above, last = names

    def step(reps: tuple[Repetition, ...], segment: Segment, resource: Resource, scribe: Scribe) -> None:
        for rep in reps:
            entry: dict[str, Any] = {}
            said = False
            for write in writers:
                said = write(entry, segment, rep, scribe) or said
            if not said:
                continue
            target = resource
            for name in above:
                target = target.setdefault(name, {})
            scribe.add_once(target.setdefault(last, []), entry.get("", entry))

    return step


def _single_step(writers: list[Writer]) -> Step:
    def step(reps: tuple[Repetition, ...], segment: Segment, resource: Resource, scribe: Scribe) -> None:
        if reps:
            for write in writers:
                write(resource, segment, reps[0], scribe)

    return step


def _writer(segment: str, field: int, row: Row, names: list[str], lists: frozenset[str], anchor: str) -> Writer:
    condition = _condition(segment, field, row)
    convert = None if row.value and not row.converter else _converter(segment, field, row)
    prefix = re.sub(r"\[\d+\]", "", anchor)
    if len(names) == 1 and condition is None and convert is not None and f"{prefix}.{names[0]}" not in lists:
        return _plain_writer(names[0], convert)

    put = _putter(names, lists, prefix)
    if convert is None and condition is None:
        return _constant_writer(put, row.value)

    def write(target: dict[str, Any], seg: Segment, rep: Repetition, scribe: Scribe) -> bool:
        if condition is not None and not condition(seg, rep):
            return False
        value = row.value if convert is None else convert(rep, scribe)
        if value is None:
            return False
        put(target, value)
        return convert is not None

    return write


def _constant_writer(put: Callable[[dict[str, Any], Any], None], value: str) -> Writer:
    """A row that says the same of every message."""

    def write(target: dict[str, Any], _segment: Segment, _rep: Repetition, _scribe: Scribe) -> bool:
        put(target, value)
        return False

    return write


def _plain_writer(name: str, convert: Converter) -> Writer:
    """The commonest row: one name, no condition."""

    def write(target: dict[str, Any], _segment: Segment, rep: Repetition, scribe: Scribe) -> bool:
        if (value := convert(rep, scribe)) is None:
            return False
        target.setdefault(name, value)
        return True

    return write


def _putter(names: list[str], lists: frozenset[str], prefix: str) -> Callable[[dict[str, Any], Any], None]:
    """What writes a value at this path; constants do not overwrite what was sent.

    At the entry itself (no names) a scalar stands under "".
    """
    if not names:
        return _put_entry
    *above, last = names
    path = prefix
    through: list[tuple[str, bool]] = []
    for name in above:
        path = f"{path}.{name}" if path else name
        through.append((name, path in lists or name in _ALWAYS_LISTS))
    repeats = f"{path}.{last}" in lists

    def put(target: dict[str, Any], value: Any) -> None:
        for name, is_list in through:
            target = target.setdefault(name, [{}])[0] if is_list else target.setdefault(name, {})
        if repeats:
            target.setdefault(last, []).append(value)
        else:
            target.setdefault(last, value)

    return put


def _put_entry(target: dict[str, Any], value: Any) -> None:
    if isinstance(value, dict):
        target.update(value)
    else:
        target[""] = value


def _condition(segment: str, field: int, row: Row) -> Condition | None:
    if not row.when:
        return None
    try:
        return compile_condition(row.when, segment, field)
    except ConditionError as error:
        raise MapError(f"{segment}-{field}: condition {row.when!r}: {error}") from None


_BY_ELEMENT: dict[str, Converter] = {"valueDateTime": date_time, "start": date_time, "end": date_time}
"""What a row without data type map means: the guide leaves it out where v2 and FHIR say the same."""


def _converter(segment: str, field: int, row: Row) -> Converter:
    if row.converter.lower() == "pl[location]":
        return location
    name = row.converter or ("CWE[code]" if row.vocabulary else "")
    found = converter(name, row.vocabulary) if name else None
    if found is not None:
        return found
    last = row.to.rpartition(".")[2]
    if not name and (last in _BY_ELEMENT or last.endswith(("DateTime", "Date", "Time"))):
        return date_time
    if not name and last in ("multipleBirthInteger", "valueString", "text"):
        return converter("NM[positiveInt]", "") or string if last == "multipleBirthInteger" else string
    raise MapError(f"{segment}-{field}: no converter for {row.converter or row.to}")
