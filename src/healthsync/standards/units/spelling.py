"""The UCUM code that a written unit means. The list is `data/spellings.yaml`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

from healthsync.shipped import shipped_yaml
from healthsync.standards import ucum

MAX_LENGTH = 64
"""Longest text that is looked at, in characters."""

_PREFIXES = ("", "f", "p", "n", "u", "m", "c", "d", "k")
_BASES = ("g", "L", "mol", "eq", "osm", "U", "kat", "m", "s", "Pa", "V", "Bq")


_NEVER_MEGA = frozenset({"g", "l", "mol", "eq", "osm", "m", "s"})
"""Bases before which an `M` is a milli that somebody wrote large: nothing in medicine weighs a megagram."""


@dataclass(frozen=True, slots=True)
class _Spellings:
    rewrites: tuple[tuple[re.Pattern[str], str], ...]
    whole: Mapping[str, tuple[str, ...]]
    whole_in_any_case: Mapping[str, tuple[str, ...]]
    parts: Mapping[str, str]
    common: Mapping[str, str]


@lru_cache(maxsize=4096)
def ucum_codes(text: str) -> tuple[str, ...]:
    """The codes that a text may mean, the likeliest first; none when it is not understood.

    A text for several units (`mU/L`, `G/L`) answers all of them. Upper and lower case are told apart where both are
    units in use.
    """
    known, written = _spellings(), _tidied(text)
    if not written or len(written) > MAX_LENGTH:
        return ()
    if (codes := known.whole.get(written)) is not None:
        return codes
    for pattern, replacement in known.rewrites:
        written = pattern.sub(replacement, written)
    parts = [_part(part.strip(), known) for part in written.split("/")]
    composed = "/".join(parts)
    if (codes := known.whole.get(composed)) is not None:
        return codes
    is_unit = ucum.is_valid(composed)
    if not is_unit or any(part.isupper() and part.casefold() not in known.common for part in parts):
        codes = known.whole_in_any_case.get(composed.casefold())  # MMHG; and PH is no petahenry
    return codes or ((composed,) if is_unit else ())


def ucum_code(text: str) -> str | None:
    """The code when the text can mean only one."""
    codes = ucum_codes(text)
    return codes[0] if len(codes) == 1 else None


@cache
def _spellings() -> _Spellings:
    document = shipped_yaml("healthsync.standards.units", "data/spellings.yaml")
    whole = {text: _tuple(codes) for text, codes in document["whole"].items()}
    return _Spellings(
        rewrites=tuple((re.compile(pattern), replacement) for pattern, replacement in document["rewrites"]),
        whole=whole,
        whole_in_any_case={text.casefold(): codes for text, codes in reversed(whole.items())},
        parts={text.casefold(): code for text, code in document["parts"].items()},
        common={code.casefold(): code for code in _common()},
    )


def _tuple(codes: str | list[str]) -> tuple[str, ...]:
    return (codes,) if isinstance(codes, str) else tuple(codes)


def _common() -> Iterator[str]:
    """Units that are found in any case; of two that differ only in case (`mm`, `Mm`) those that medicine uses."""
    yield from (prefix + base for prefix in _PREFIXES for base in _BASES)


def _tidied(text: str) -> str:
    """Without blanks around, one micro sign, superscripts and full-width forms as plain characters."""
    plain = unicodedata.normalize("NFKC", text.replace("º", "°"))
    return " ".join(plain.replace("μ", "u").replace("·", ".").split())


def _part(text: str, known: _Spellings) -> str:
    """What stands between two slashes as UCUM; as it is where nothing is known."""
    if (code := known.parts.get(text.casefold())) is not None:
        return code
    common = known.common.get(text.casefold())
    if common is None or (ucum.is_valid(text) and not _in_another_case(text, common)):
        return text  # mS (millisiemens) is not ms
    return common


def _in_another_case(text: str, common: str) -> bool:
    mega = text[0] == "M" and text[1:].casefold() in _NEVER_MEGA
    return text.isupper() or mega or ucum.canonical_factor(text) == ucum.canonical_factor(common)
