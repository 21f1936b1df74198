"""A message takes time by its length, not by the square of it: work is counted, not timed.

Counted are the calls of functions (`tests.effort`) and the entries looked at in lists of resources, which `in` compares
without a call. Four times as many segments may cost four times the work, and a little for what grows once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.effort import counted

from healthsync.standards.hl7v2 import Message
from healthsync.standards.maps import convert, explanation, scribe
from healthsync.standards.maps.explanation import explain

from .golden_pairs import GOLDEN, context

FEW, MANY = 100, 400
MOST = 4.6
"""What four times as many may cost. A list that is searched for each entry costs 5.5 and more at these lengths."""

BESIDE = {
    "adt_a08_update": (
        "GT1|1|5^^^H||Payer^Paul||1 Road^^Town|555||||SPO|||||||||||||",
        "ROL|1|AD|AT^Attending^HL70443|77^Doc^Ann^^^^^^H|20240101",
        "PR1|1||1^Operation^I9|Operation|20240101",
        "IAM|1|DA|1^Pollen^L|SV|sneezes|A|5^H",
        "DB1|1|PT|5^^^H|Y",
        "ZZZ|1",
    ),
    "mdm_t02_text": ("ORC|RE|7^H|8^H", "OBR|1|7^H|8^H|1^Test^L"),
    "oru_r01_three_kinds": ("OBR|1|7^H|8^H|1^Test^L||||||||||||||||||||||1&Test&L^1",),
}
"""Segments that no golden message has, or in another place."""


def cases() -> Iterator[tuple[str, str]]:
    """Each kind of segment in the first golden message that has it, and those beside it."""
    seen = set()
    for path in sorted(GOLDEN.glob("*.hl7")):
        lines = path.read_text(encoding="utf-8").strip().split("\n")
        for line in lines[1:]:
            if (name := line[:3]) not in seen:
                seen.add(name)
                yield path.stem, line
        for line in BESIDE.get(path.stem, ()):
            yield path.stem, line


@pytest.mark.parametrize(("file", "line"), [pytest.param(*case, id=f"{case[0]}-{case[1][:3]}") for case in cases()])
@pytest.mark.parametrize("told", ["the same", "each another"])
def test_four_times_as_many_segments_cost_four_times_the_work(file, line, told, monkeypatch):
    counter = Work()
    monkeypatch.setattr(scribe, "Draft", counter.draft)
    counter.of(repeated(file, line, told, 2))  # what is compiled once is no work of the message
    few, many = (counter.of(repeated(file, line, told, count)) for count in (FEW, MANY))
    assert few < many < MOST * few


@pytest.mark.parametrize("line", ["PV2|||1^Why^L", "PD1||||7^Doc^Ann", "NK1|1|Kin^Kim|MTH|1 Road^^Town|555"])
@pytest.mark.parametrize("told", ["the same", "each another"])
def test_what_became_of_four_times_as_many_segments_is_told_in_four_times_the_work(line, told, monkeypatch):
    monkeypatch.setattr(explanation, "EXPERIMENTS", 2)  # each converts the message once more
    counter = Work(lambda message: explain(message, context()))
    counter.of(repeated("adt_a08_update", line, told, 2))
    few, many = (counter.of(repeated("adt_a08_update", line, told, count)) for count in (FEW, MANY))
    assert few < many < MOST * few


def test_a_list_that_is_searched_for_every_entry_is_found_out(monkeypatch):
    def add_once(_self: scribe.Scribe, entries: list[Any], entry: Any) -> None:
        if entry not in entries:
            entries.append(entry)

    monkeypatch.setattr(scribe.Scribe, "add_once", add_once)
    counter = Work()
    monkeypatch.setattr(scribe, "Draft", counter.draft)
    line = "NK1|1|Kin^Kim|MTH|1 Road^^Town|555"
    few, many = (counter.of(repeated("adt_a08_update", line, "each another", count)) for count in (FEW, MANY))
    assert many > MOST * few


def repeated(file: str, line: str, told: str, count: int) -> bytes:
    """A golden message with this segment so many times, each with numbers and names of its own or all the same."""
    lines = (GOLDEN / f"{file}.hl7").read_text(encoding="utf-8").strip().split("\n")
    at = lines.index(line) if line in lines else len(lines)
    many = [another(line, number) if told == "each another" else line for number in range(1, count + 1)]
    return "\r".join([*lines[:at], *many, *lines[at + 1 :]]).encode()


def another(line: str, number: int) -> str:
    """The segment about something else: short numbers and the words before a component's end with another number."""
    name, _, rest = line.partition("|")
    first, *fields = rest.split("|")
    first = str(number) if first.isdigit() else first
    varied = [re.sub(r"(?<![\d.&])(\d{1,6}|[A-Za-z]{3,})(?=\^)", rf"\g<1>{number}", field) for field in fields]
    return "|".join([name, first, *varied])


class Work:
    """Counts what a conversion, or something else that is done with a message, does."""

    def __init__(self, does: Callable[[Message], object] = lambda message: convert(message, context())) -> None:
        self.done = 0
        self._does = does
        work = self

        class Entries(list[Any]):
            def __contains__(self, entry: object) -> bool:
                work.done += len(self)
                return super().__contains__(entry)

            def __iter__(self) -> Iterator[Any]:
                work.done += len(self)
                return super().__iter__()

        class Resource(dict[str, Any]):
            def __setitem__(self, name: str, value: Any) -> None:
                super().__setitem__(name, Entries(value) if type(value) is list else value)

            def setdefault(self, name: str, default: Any = None) -> Any:
                if name not in self:
                    self[name] = default
                return self[name]

        class Draft(scribe.Draft):
            __slots__ = ()

            def __init__(self, resource: dict[str, Any], key: str) -> None:
                super().__init__(Resource(resource), key)

        self.draft = Draft

    def of(self, raw: bytes) -> int:
        """The work for a message."""
        self.done = 0
        message = Message.parse(raw)
        with counted() as effort:
            self._does(message)
        return self.done + effort.calls
