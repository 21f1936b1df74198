"""FHIRPath text -> syntax tree (http://hl7.org/fhirpath/N1/grammar.html): a scanner and precedence climbing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from healthsync.errors import InvalidInput

DEEPEST = 100
"""Levels of nesting that an expression may have: it comes from strangers too (FHIRPath Patch, profiles)."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A boolean, number, text; `{}` is None."""

    value: bool | int | Decimal | str | None


@dataclass(frozen=True, slots=True)
class TemporalLiteral:
    """`@2015-02-04T14:34` without the @."""

    text: str


@dataclass(frozen=True, slots=True)
class QuantityLiteral:
    """`4 'mg'`, `2 years`; `is_calendar` tells years from 'a'."""

    value: Decimal
    unit: str
    is_calendar: bool


@dataclass(frozen=True, slots=True)
class Constant:
    """`%resource`."""

    name: str


@dataclass(frozen=True, slots=True)
class Special:
    """`$this`, `$index`, `$total`."""

    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """`.name`; at the beginning of a path `of` is None and the name may be a type."""

    of: Node | None
    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """`.name(arguments)`."""

    of: Node | None
    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Index:
    """`of[position]`."""

    of: Node
    position: Node


@dataclass(frozen=True, slots=True)
class Sign:
    """`-operand`."""

    operator: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """`left operator right`."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class TypeTest:
    """`operand is type` and `operand as type`."""

    operator: str
    operand: Node
    type_name: str


Node = (
    Literal | TemporalLiteral | QuantityLiteral | Constant | Special | Member | Call | Index | Sign | Binary | TypeTest
)

_PRECEDENCE = {
    **dict.fromkeys(("*", "/", "div", "mod"), 11),
    **dict.fromkeys(("+", "-", "&"), 10),
    **dict.fromkeys(("is", "as"), 9),
    "|": 8,
    **dict.fromkeys((">", "<", ">=", "<="), 7),
    **dict.fromkeys(("=", "~", "!=", "!~"), 6),
    **dict.fromkeys(("in", "contains"), 5),
    "and": 4,
    **dict.fromkeys(("or", "xor"), 3),
    "implies": 2,
}
_POLARITY = 12

_TIME = r"[0-9]{2}(?::[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?)?"
_ZONE = r"(?:Z|[+-][0-9]{2}:[0-9]{2})"
_TOKEN = re.compile(
    r"(?P<space>[ \t\r\n]+|//[^\n\r]*|/\*.*?\*/)"
    rf"|(?P<temporal>@(?:T{_TIME}|[0-9]{{4}}(?:-[0-9]{{2}}(?:-[0-9]{{2}})?)?(?:T(?:{_TIME}{_ZONE}?)?)?))"
    r"|(?P<number>[0-9]+(?:\.[0-9]+)?)"
    r"|(?P<string>'(?:[^'\\]|\\.)*')"
    r"|(?P<delimited>`(?:[^`\\]|\\.)*`|\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<constant>%(?:[A-Za-z_][A-Za-z0-9_]*|`(?:[^`\\]|\\.)*`|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"))"
    r"|(?P<special>\$(?:this|index|total)\b)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<symbol><=|>=|!=|!~|[-+*/&|<>=~.,()\[\]{}])",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}
_CALENDAR_UNITS = frozenset({"year", "month", "week", "day", "hour", "minute", "second", "millisecond"})


def parse(text: str) -> Node:
    """The tree of an expression. Raises InvalidInput with the position of what cannot be read."""
    parser = _Parser(_tokens(text))
    tree = parser.expression(0)
    parser.expect("end")
    return tree


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise _unreadable(position)
        if found.lastgroup != "space":
            tokens.append(_Token(str(found.lastgroup), found[0], position))
        position = found.end()
    return [*tokens, _Token("end", "", position)]


def _unreadable(position: int) -> InvalidInput:
    return InvalidInput(f"the FHIRPath expression cannot be read at character {position + 1}", code="value")


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens, self._at, self._depth = tokens, 0, 0

    def expression(self, weakest: int) -> Node:
        self._depth += 1
        if self._depth > DEEPEST:
            raise InvalidInput(f"a FHIRPath expression may be {DEEPEST} levels deep", code="too-costly")
        left = self._signed()
        while _PRECEDENCE.get(operator := self._operator(), -1) > weakest:
            self._at += 1
            if operator in {"is", "as"}:
                left = TypeTest(operator, left, self._type_name())
            else:
                left = Binary(operator, left, self.expression(_PRECEDENCE[operator]))
        self._depth -= 1
        return left

    def expect(self, text: str) -> None:
        token = self._tokens[self._at]
        if text not in (token.text, token.kind):
            raise _unreadable(token.position)
        self._at += 1

    def _operator(self) -> str:
        token = self._tokens[self._at]
        return token.text if token.kind in {"symbol", "name"} else ""

    def _accept(self, text: str) -> bool:
        found = self._operator() == text
        self._at += found
        return found

    def _signed(self) -> Node:
        if (operator := self._operator()) in {"+", "-"}:
            self._at += 1
            return Sign(operator, self.expression(_POLARITY - 1))
        return self._path()

    def _path(self) -> Node:
        node = self._term()
        while True:
            if self._accept("."):
                node = self._invocation(node)
            elif self._accept("["):
                node = Index(node, self.expression(0))
                self.expect("]")
            else:
                return node

    def _term(self) -> Node:
        token = self._tokens[self._at]
        match token.kind:
            case "number":
                self._at += 1
                return self._number(token.text)
            case "string":
                self._at += 1
                return Literal(_unescaped(token.text[1:-1]))
            case "temporal":
                self._at += 1
                return TemporalLiteral(token.text[1:])
            case "constant":
                self._at += 1
                name = token.text[1:]
                return Constant(name if name[0].isalpha() or name[0] == "_" else _unescaped(name[1:-1]))
            case "name" if token.text in {"true", "false"}:
                self._at += 1
                return Literal(token.text == "true")
        if self._accept("("):
            node = self.expression(0)
            self.expect(")")
            return node
        if self._accept("{"):
            self.expect("}")
            return Literal(None)
        return self._invocation(None)

    def _number(self, text: str) -> Node:
        token = self._tokens[self._at]
        if token.kind == "string":
            self._at += 1
            return QuantityLiteral(Decimal(text), _unescaped(token.text[1:-1]), False)
        if token.kind == "name" and token.text.removesuffix("s") in _CALENDAR_UNITS:
            self._at += 1
            return QuantityLiteral(Decimal(text), token.text.removesuffix("s"), True)
        return Literal(Decimal(text) if "." in text else int(text))

    def _invocation(self, of: Node | None) -> Node:
        token = self._tokens[self._at]
        if token.kind == "special":
            self._at += 1
            return Special(token.text)
        name = self._identifier()
        if not self._accept("("):
            return Member(of, name)
        arguments: list[Node] = []
        if not self._accept(")"):
            arguments.append(self.expression(0))
            while self._accept(","):
                arguments.append(self.expression(0))
            self.expect(")")
        return Call(of, name, tuple(arguments))

    def _identifier(self) -> str:
        token = self._tokens[self._at]
        if token.kind not in {"name", "delimited"}:
            raise _unreadable(token.position)
        self._at += 1
        return _unescaped(token.text[1:-1]) if token.kind == "delimited" else token.text

    def _type_name(self) -> str:
        name = self._identifier()
        while self._accept("."):
            name += "." + self._identifier()
        return name


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else _ESCAPED.get(found[2], found[2]), text)
