"""The condition language of the v2-to-FHIR tables ("Computable ANTLR"), compiled to closures.

    IF PV1-3.2 OR PV1-3.3 VALUED        IF PID-13.2 IS NOT VALUED        IF XAD.7 IN ("M", "SH")
    IF PID-7 LENGTH GREATER THAN 8      IF PID-11 LST.COUNT EQUALS 1 AND PID-11.9 IS NOT VALUED

The tables are not always well formed (a parenthesis is not closed, IS stands for EQUALS, IF is repeated after AND),
so the parser is tolerant of form. It is not tolerant of meaning: what it does not understand is a `ConditionError`,
and the row needs an entry in the overrides.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from healthsync.standards.hl7v2 import Repetition, Segment

Condition = Callable[[Segment, Repetition], bool]
"""Holds for this segment, where the row's own field means this repetition of it."""

_TOKEN = re.compile(
    r"""(?P<ref>[A-Z][A-Z0-9]{1,2}[-.]\d+(?:\.\d+)?)   # PID-11.9, XAD.7
      | "(?P<text>[^"]*)" | '(?P<quoted>[^']*)'
      | (?P<word>[A-Za-z][\w.]*) | (?P<number>\d+) | (?P<mark>!=|[()=<>,])""",
    re.VERBOSE,
)
_NOISE = {"IF", "IS", "LST.COUNT", "COUNT", "THAN", "TO"}


class ConditionError(ValueError):
    """A condition that the parser does not understand."""


@dataclass(frozen=True, slots=True)
class Ref:
    """`PID-11.9` → field 11, component 9; component 0 is the whole field."""

    field: int
    component: int


def compile_condition(text: str, segment: str, own_field: int) -> Condition:
    """The condition as a closure over the segment. Raises ConditionError."""
    return _Parser(text, segment, own_field).parse()


class _Parser:
    def __init__(self, text: str, segment: str, own_field: int) -> None:
        self.segment = segment
        self.own_field = own_field
        self.counting = "COUNT" in text.upper()
        self.tokens = self._tokens(text)
        self.at = 0

    def _tokens(self, text: str) -> list[tuple[str, str]]:
        tokens = []
        for match in _TOKEN.finditer(text):
            kind = match.lastgroup or ""
            value = match[kind]
            if kind == "word":
                value = value.upper()
                if value in _NOISE:
                    continue
            tokens.append(("text" if kind == "quoted" else kind, value))
        return tokens

    def parse(self) -> Condition:
        if not self.tokens:
            raise ConditionError("empty condition")
        condition = self.alternatives()
        if self.at < len(self.tokens) - 1 or (self.peek() not in (None, ")")):
            raise ConditionError(f"stops at token {self.at}")
        return condition

    def peek(self) -> str | None:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else None

    def kind(self) -> str | None:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else None

    def take(self) -> str:
        if self.at >= len(self.tokens):
            raise ConditionError("ends too early")
        self.at += 1
        return self.tokens[self.at - 1][1]

    def alternatives(self) -> Condition:
        parts = [self.conjunction()]
        while self.peek() == "OR":
            self.take()
            parts.append(self.conjunction())
        return parts[0] if len(parts) == 1 else lambda seg, rep: any(part(seg, rep) for part in parts)

    def conjunction(self) -> Condition:
        parts = [self.factor()]
        while self.peek() == "AND":
            self.take()
            parts.append(self.factor())
        return parts[0] if len(parts) == 1 else lambda seg, rep: all(part(seg, rep) for part in parts)

    def factor(self) -> Condition:
        if self.peek() == "(":
            self.take()
            inner = self.alternatives()
            if self.peek() == ")":  # some rows forget it
                self.take()
            return inner
        if self.kind() != "ref":
            raise ConditionError("a field is expected")
        return self.comparison(self.reference(self.take()))

    def reference(self, text: str) -> Ref:
        head, *rest = re.split(r"[-.]", text)
        if head != self.segment:
            raise ConditionError(f"looks outside its segment at {head}")
        return Ref(int(rest[0]), int(rest[1]) if len(rest) > 1 else 0)

    def comparison(self, ref: Ref) -> Condition:
        value = self.reader(ref)
        word = self.peek()
        if word in (None, ")", "AND", "OR"):  # `PV1-3.2 OR PV1-3.3 VALUED`: the predicate stands with the last field
            return lambda seg, rep: bool(value(seg, rep))
        negated = word in ("NOT", "!=")
        if negated:
            self.take()
            word = self.peek()
        test = self.predicate(value, word, ref)
        return (lambda seg, rep: not test(seg, rep)) if negated else test

    def predicate(self, value: Callable[[Segment, Repetition], str], word: str | None, ref: Ref) -> Condition:
        if word in ("VALUED", "VALUE"):
            self.take()
            return lambda seg, rep: bool(value(seg, rep))
        if word == "IN":
            self.take()
            choices = self.choices()
            return lambda seg, rep: value(seg, rep) in choices
        if word == "LENGTH":
            self.take()
            limit = self.limit()
            return lambda seg, rep: len(value(seg, rep)) > limit
        if self.counting and word in ("GREATER", ">"):
            limit = self.limit()
            return lambda seg, _rep: len(seg.field(ref.field).repetitions) > limit
        if word in ("EQUALS", "EQUAL", "="):
            self.take()
        if self.counting and self.kind() == "number":
            count = int(self.take())
            return lambda seg, _rep: len(seg.field(ref.field).repetitions) == count
        if self.kind() != "text":
            raise ConditionError("a value in quotes is expected")
        wanted = self.take()
        return lambda seg, rep: value(seg, rep) == wanted

    def limit(self) -> int:
        self.take()  # GREATER or >
        if self.kind() != "number":
            raise ConditionError("a number is expected")
        return int(self.take())

    def choices(self) -> frozenset[str]:
        if self.peek() != "(":
            raise ConditionError("a list in parentheses is expected")
        self.take()
        found = []
        while self.peek() not in (")", None):
            if self.kind() in ("text", "word"):
                found.append(self.tokens[self.at][1])
            self.take()
        if self.peek() == ")":
            self.take()
        return frozenset(found)

    def reader(self, ref: Ref) -> Callable[[Segment, Repetition], str]:
        component = ref.component or 1
        if ref.field == self.own_field:
            if ref.component:
                return lambda _seg, rep: rep.component(component)
            return lambda _seg, rep: rep.raw if not rep.is_null else ""
        if ref.component:
            return lambda seg, _rep: seg.get(ref.field, 1, component)
        return lambda seg, _rep: seg.raw_field(ref.field)
