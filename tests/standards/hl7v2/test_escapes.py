"""Escape sequences of §2.7, and text that only looks like them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.standards.hl7v2 import Separators, escape, unescape

OWN = Separators("#", "$", "%", "!", "*", "@")
UNUSED = Separators("|", "^", "~", "", "")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"\F\ \S\ \T\ \R\ \E" + "\\", "| ^ & ~ \\"),
        (r"\E\T\E" + "\\", r"\T" + "\\"),  # once, from left to right
        (r"a\X0D0A\b", "a\r\nb"),
        (r"\XC3A9" + "\\", "é"),
        (r"\XC3\\XA9" + "\\", "é"),  # one sequence for each byte
        (r"\XE9" + "\\", "é"),  # not UTF-8: falls back as the message does
        (r"\x41\ \X4\ \XZZ" + "\\", r"\x41\ \X4\ \XZZ" + "\\"),
        (r"one\.br\two\.BR\three", "one\ntwo\nthree"),
        (r"a\.sp2\b\.sp\c", "a\n\nb\nc"),
        (r"\.in+4\\.ti2\x\.sk3\y\.ce\z\.fi\\.nf" + "\\", "  x   y\nz"),
        (r"\H\loud\N\ quiet", "loud quiet"),
        (r"\C2842\ \M24424B\ \Z99" + "\\", r"\C2842\ \M24424B\ \Z99" + "\\"),
        (r"C:\Temp\scan", r"C:\Temp\scan"),
        (r"O\BRIEN" + "\\", r"O\BRIEN" + "\\"),
        (r"level L4\5 right", r"level L4\5 right"),
        (r"5 \ 3 \T\ 2", r"5 \ 3 & 2"),  # a stray mark does not swallow the sequence after it
        (r"ends with \F", r"ends with \F"),
        ("\\", "\\"),
        ("\\\\", "\\\\"),
        (r"\P" + "\\", r"\P" + "\\"),  # no truncation character declared
        ("", ""),
    ],
)
def test_known_sequences_are_resolved_and_everything_else_is_kept(written: str, meant: str) -> None:
    assert unescape(written) == meant


def test_sequences_follow_the_separators_of_the_message() -> None:
    assert unescape("!F!S!!T!!P!\\T\\", OWN) == "#S!*@\\T\\"
    assert escape("a#b$c@", OWN) == "a!F!b!S!c!P!"


def test_hexadecimal_is_read_in_the_character_set_of_the_message() -> None:
    assert unescape("\\XB5\\", charset="iso8859-1") == "µ"
    assert unescape("\\XC4E3\\", charset="gb18030") == "你"


def test_without_an_escape_character_nothing_is_resolved_and_delimiters_become_spaces() -> None:
    assert unescape("\\F\\", UNUSED) == "\\F\\"
    assert escape("a|b^c\rd&e", UNUSED) == "a b c d&e"


@given(st.text(), st.sampled_from([Separators(), OWN, Separators(truncation="#")]))
def test_unescape_gives_back_what_escape_was_given(text: str, separators: Separators) -> None:
    written = escape(text, separators)
    assert unescape(written, separators) == text
    forbidden = {
        separators.field,
        separators.component,
        separators.repetition,
        separators.subcomponent,
        "\r",
        "\n",
        "\x0b",
        "\x1c",
    }
    assert not forbidden & set(written)


@given(st.text(alphabet="\\abcxyz:. 45|^éß\n"))
def test_text_without_a_known_sequence_is_kept_character_for_character(text: str) -> None:
    assert unescape(text.replace(".br", "")) == text.replace(".br", "")


@given(st.text(alphabet="\\FSTREXC0D.brsp 2é"))
def test_what_a_value_says_beside_its_sequences_never_vanishes(text: str) -> None:
    assert unescape(text).count("é") == text.count("é")
