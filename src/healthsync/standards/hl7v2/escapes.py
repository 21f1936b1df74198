"""Escape sequences (HL7 v2.5.1 §2.7).

Text is split at the delimiters first and unescaped afterwards, once, from left to right. What is no known, closed
sequence stays as it is, character for character: senders write ``C:\\Temp\\scan`` and ``O\\BRIEN``, and nothing of a
value may vanish.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from .charsets import decode_hexadecimal
from .separators import DEFAULT_SEPARATORS, Separators

# \Cxxyy\ and \Mxxyyzz\ (§2.7.3) and \Zdd..\ (§2.7.7) are not listed: they are kept as sent.
# Hexadecimal sequences that touch are read together, for some senders write one for each byte of a character.
_SEQUENCE = (
    r"{e}(?:([{letters}])|(X{digits}(?:{e}{e}X{digits})*)|\.((?i:br|ce|fi|nf|sp|sk|in|ti))([+-]?[0-9]{{0,2}})){e}"
)
_DIGITS = "(?:[0-9A-Fa-f]{2})+"
_LINE_COMMANDS = ("br", "ce", "sp")
_SPACE_COMMANDS = ("sk", "ti")
_CONTROLS = tuple(code for code in (*range(0x20), 0x7F) if chr(code) not in "\t\n")


def unescape(text: str, separators: Separators = DEFAULT_SEPARATORS, charset: str = "utf-8") -> str:
    """The text that the sender meant; ``\\Xdd..\\`` gives bytes in `charset`, the Python codec of the message."""
    if not separators.escape or separators.escape not in text:
        return text
    pattern, replace = _reader(separators, charset)
    return pattern.sub(replace, text)


def escape(text: str, separators: Separators = DEFAULT_SEPARATORS) -> str:
    """The text as it may stand in a field: `unescape` gives it back.

    A sender without an escape character cannot write delimiters and control characters; they become spaces.
    """
    return text.translate(_writer(separators))


@lru_cache(maxsize=64)
def _reader(separators: Separators, charset: str) -> tuple[re.Pattern[str], Callable[[re.Match[str]], str]]:
    letters = _letters(separators) | {"H": "", "N": ""}  # highlighting (§2.7.2) says nothing about a value
    pattern = _SEQUENCE.format(e=re.escape(separators.escape), letters="".join(letters), digits=_DIGITS)

    def replace(match: re.Match[str]) -> str:
        letter, hexadecimal, command, number = match.groups()
        if letter:
            return letters[letter]
        if hexadecimal:
            return decode_hexadecimal(re.sub("[^0-9A-Fa-f]", "", hexadecimal), charset)
        return _formatting(command.lower(), number)

    return re.compile(pattern), replace


@lru_cache(maxsize=64)
def _writer(separators: Separators) -> dict[int, str]:
    delimiters = {ord(character): letter for letter, character in _letters(separators).items()}
    mark = separators.escape
    if not mark:
        return dict.fromkeys((*delimiters, *_CONTROLS, ord("\n")), " ")
    names = {code: f"X{code:02X}" for code in _CONTROLS} | {ord("\n"): ".br"} | delimiters
    return {code: f"{mark}{name}{mark}" for code, name in names.items()}


def _letters(separators: Separators) -> dict[str, str]:
    """§2.7.1, and ``\\P\\`` of v2.7. A delimiter that the sender does not use has no sequence either."""
    letters = {
        "F": separators.field,
        "S": separators.component,
        "R": separators.repetition,
        "E": separators.escape,
        "T": separators.subcomponent,
        "P": separators.truncation,
    }
    return {letter: character for letter, character in letters.items() if character}


def _formatting(command: str, number: str) -> str:
    """§2.7.6 as plain text: line ends and spaces stay; indentation of paragraphs and word wrap do not."""
    count = int(number) if number.strip("+-") else 1
    if command in _LINE_COMMANDS:
        return "\n" * max(count, 1)
    return " " * max(count, 0) if command in _SPACE_COMMANDS else ""
