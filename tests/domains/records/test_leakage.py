"""What the tokens of a name give away together: the second table of docs/security/leakage.md."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable
from pathlib import Path

import pytest

from healthsync.domains.records import RecordIndex
from healthsync.infrastructure.crypto import BlindIndex
from healthsync.standards.fhir.index_values import sounds

LEAKAGE = Path(__file__).parents[3] / "docs" / "security" / "leakage.md"
INDEX = RecordIndex(BlindIndex(bytes(range(32))))
_BEGINNINGS = [
    "ba",
    "be",
    "bo",
    "bra",
    "ca",
    "co",
    "cla",
    "da",
    "de",
    "di",
    "do",
    "fa",
    "fi",
    "fle",
    "ga",
    "ge",
    "go",
    "gra",
    "ha",
    "he",
    "hi",
    "ho",
    "ja",
    "jo",
    "ka",
    "ke",
    "ki",
    "ko",
    "kra",
    "la",
    "le",
    "li",
    "lo",
    "ma",
    "me",
    "mi",
    "mo",
    "mu",
    "na",
    "ne",
    "ni",
    "no",
    "pa",
    "pe",
    "pi",
    "po",
    "pra",
    "ra",
    "re",
    "ri",
    "ro",
    "sa",
    "se",
    "sch",
    "si",
    "so",
    "sta",
    "ste",
    "ta",
    "te",
    "ti",
    "to",
    "tra",
    "va",
    "ve",
    "vi",
    "vo",
    "wa",
    "we",
    "wi",
    "wo",
    "za",
]
_MIDDLES = ["l", "n", "r", "s", "t", "ll", "nn", "rr", "ck", "nd", "rt", "st", "m", "b", "g", "d", "v", "k", "p", "x"]
_VOWELS = ["a", "e", "i", "o", "u", "ei", "ie", "au"]
_ENDS = [
    "n",
    "r",
    "s",
    "ez",
    "son",
    "mann",
    "er",
    "ard",
    "ton",
    "ley",
    "i",
    "o",
    "a",
    "ski",
    "sen",
    "ing",
    "well",
    "ham",
    "field",
]


def _surnames() -> list[str]:
    """50,000 names that look like names: beginnings and sounds are shared as in real ones."""
    chance, names = random.Random(7), dict[str, None]()
    while len(names) < 50_000:
        more = chance.choice(_VOWELS) + chance.choice(_MIDDLES) if chance.random() < 0.45 else ""
        name = chance.choice(_BEGINNINGS) + chance.choice(_MIDDLES) + more + chance.choice(_VOWELS)
        names[name + chance.choice(_ENDS)] = None
    return list(names)


def _counts(names: int) -> list[int]:
    weights = [1 / (rank + 16) for rank in range(1, names + 1)]
    return [max(1, round(200_000 * weight / sum(weights))) for weight in weights]


def _row(title: str, tokens: list[Hashable], counts: list[int]) -> str:
    """The attacker knows the ranking of the names, and joins the tokens of a record."""
    records: Counter[Hashable] = Counter()
    for token, count in zip(tokens, counts, strict=True):
        records[token] += count
    first = {token: place for place, token in reversed(list(enumerate(tokens)))}
    ranking = sorted(records, key=lambda token: (-records[token], first[token]))
    right = [place for place, token in enumerate(ranking) if tokens[place] == token]
    recovered = sum(counts[place] for place in right) / sum(counts)
    precision = sum(count * count / records[token] for token, count in zip(tokens, counts, strict=True)) / sum(counts)
    return f"| {title} | {len(records):,} | {recovered:.1%} | {sum(p < 100 for p in right)} | {precision:.2f} |"


def rows() -> list[str]:
    """The table."""
    names = _surnames()
    counts = _counts(len(names))
    place = ("Patient", "name.family")
    whole: list[Hashable] = [INDEX.name(*place, name) for name in names]
    begun: list[Hashable] = [(INDEX.prefix(*place, name[:3]), INDEX.prefix(*place, name)) for name in names]
    word: list[Hashable] = [INDEX._word(name, True) for name in names]
    heard: list[Hashable] = [tuple(sorted(INDEX.sound(*place, each) for each in sounds(name))) for name in names]
    written: list[Hashable] = [INDEX._word(name, False) for name in names]
    return [
        _row("whole name", whole, counts),
        _row("beginnings", begun, counts),
        _row("word", word, counts),
        _row("sound", heard, counts),
        _row("whole name, beginnings and word together", list(zip(whole, begun, word, strict=True)), counts),
        _row("all of these and the sound", list(zip(whole, begun, word, heard, strict=True)), counts),
        _row("a word of any other text, were it a surname", written, counts),
    ]


@pytest.mark.slow
def test_the_published_table_is_what_the_index_of_a_patient_gives_away():
    published = LEAKAGE.read_text().splitlines()
    assert [row for row in rows() if row not in published] == []
