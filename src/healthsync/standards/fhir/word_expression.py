"""The expressions of `_text` and `_content`: words, "phrases", AND, OR, brackets (search.html#content).

    (bone OR liver) and metastases      two alternatives: bone metastases, liver metastases
    heart failure, "atrial flutter"     a comma is an OR; words beside each other must all stand in the text

Exclusion (NOT, a leading -) is refused: a search that leaves the word out would find the opposite of what was asked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from healthsync.standards.fhir.query_values import (
    LONGEST_VALUE,
    split_values,
    too_costly,
    unescape,
    unreadable,
    unserved,
)
from healthsync.standards.fhir.words import words

MOST_ALTERNATIVES = 50
MOST_WORDS = 50
DEEPEST_BRACKETS = 10

_TOKEN = re.compile(r'\s*(?:([()])|"([^"]*)"|([^\s()"]+))')


@dataclass(frozen=True, slots=True)
class _Alternative:
    words: tuple[str, ...]
    phrases: tuple[str, ...]

    def joined(self, other: _Alternative) -> _Alternative:
        return _Alternative(
            tuple(dict.fromkeys(self.words + other.words)), tuple(dict.fromkeys(self.phrases + other.phrases))
        )


_Alternatives = list[_Alternative]


def read(name: str, text: str) -> tuple[tuple[tuple[str, ...], ...], tuple[tuple[str, ...], ...]]:
    """The alternatives, each as its words, and beside them the phrases of each.

    Raises InvalidInput: `value` for an expression that cannot be read or has no word, `not-supported` for exclusion,
    `too-costly` beyond the limits of this module.
    """
    found: _Alternatives = []
    for part in split_values(text):
        found += _Reader(name, unescape(part)).expression()
        if len(found) > MOST_ALTERNATIVES:
            too_costly(f"'{name}' means more than {MOST_ALTERNATIVES} alternatives")
    return tuple(each.words for each in found), tuple(each.phrases for each in found)


class _Reader:
    """Recursive descent over one value: or, and, brackets."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.tokens = _tokens(name, text)
        self.position = 0
        self.depth = 0

    def expression(self) -> _Alternatives:
        found = self.disjunction()
        if self.position < len(self.tokens):
            unreadable(self.name, "its brackets do not close")
        return found

    def disjunction(self) -> _Alternatives:
        found = self.conjunction()
        while self.word() == "or":
            self.position += 1
            found = found + self.conjunction()
            self.bound(len(found), 0)
        return found

    def conjunction(self) -> _Alternatives:
        found = self.term()
        while (word := self.word()) not in {"or", ")", ""}:
            if word == "and":
                self.position += 1
            right = self.term()
            self.bound(len(found) * len(right), 0)
            found = [a.joined(b) for a in found for b in right]
            self.bound(0, max(len(each.words) for each in found))
        return found

    def bound(self, alternatives: int, together: int) -> None:
        if alternatives > MOST_ALTERNATIVES:
            too_costly(f"'{self.name}' means more than {MOST_ALTERNATIVES} alternatives")
        if together > MOST_WORDS:
            too_costly(f"'{self.name}' asks for more than {MOST_WORDS} words at once")

    def term(self) -> _Alternatives:
        kind, text = self.next()
        if text == "(" and kind == "bracket":
            return self.bracket()
        if kind == "bracket" or (kind == "word" and text.lower() in {"and", "or"}):
            unreadable(self.name, "a word is missing beside an operator or a bracket")
        if kind == "word" and (text == "NOT" or text.startswith("-")):
            unserved(f"'{self.name}' cannot leave words out (NOT, -)")
        parts = words(text)
        if not parts:
            unreadable(self.name, "it has no word to look for")
        self.bound(0, len(parts))
        # What is written as one (X-ray) follows each other, like a phrase in quotation marks.
        return [_Alternative(tuple(dict.fromkeys(parts)), (" ".join(parts),) if len(parts) > 1 else ())]

    def bracket(self) -> _Alternatives:
        self.depth += 1
        if self.depth > DEEPEST_BRACKETS:
            too_costly(f"'{self.name}' has brackets deeper than {DEEPEST_BRACKETS}")
        found = self.disjunction()
        if self.next() != ("bracket", ")"):
            unreadable(self.name, "its brackets do not close")
        self.depth -= 1
        return found

    def word(self) -> str:
        """The operator or bracket that comes next, "word" for anything else, "" at the end."""
        if self.position == len(self.tokens):
            return ""
        kind, text = self.tokens[self.position]
        if kind == "bracket" or (kind == "word" and text.lower() in {"and", "or"}):
            return text.lower()
        return "word"

    def next(self) -> tuple[str, str]:
        if self.position == len(self.tokens):
            unreadable(self.name, "a word is missing at the end")
        self.position += 1
        return self.tokens[self.position - 1]


def _tokens(name: str, text: str) -> list[tuple[str, str]]:
    if len(text) > LONGEST_VALUE:
        too_costly(f"'{name}' is longer than {LONGEST_VALUE} characters")
    tokens, position = [], 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            unreadable(name, "its quotation marks do not close")
        bracket, phrase, word = match.groups()
        tokens.append(("bracket", bracket) if bracket else ("phrase", phrase) if phrase is not None else ("word", word))
        position = match.end()
    return tokens
