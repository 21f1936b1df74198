"""Postal addresses: US ones in the words of USPS Publication 28, others without superfluous blanks.

normalise_address(["123 NORTH MAIN STREET APARTMENT 2"], "SPRINGFIELD", "Illinois", "627011234")
→ 123 N Main St Apt 2, Springfield, IL 62701-1234
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from healthsync.shipped import shipped_yaml
from healthsync.standards.normalise.names import title_case
from healthsync.standards.normalise.outcome import Normalised

_US = frozenset({"us", "usa", "unitedstates", "unitedstatesofamerica", "840"})
_ZIP = re.compile(r"(\d{5})(?:[-\s]?(\d{4}))?", re.ASCII)
_PO_BOX = re.compile(r"(?:p\.?\s*o\.?\s*|post\s+office\s+)box\s+#?\s*(\S+)", re.IGNORECASE)
_NUMBER = re.compile(r"\d+(?:-\d+)?[a-z]?(?:\s+1/2)?|[nsew]\d+[nsew]\d+", re.IGNORECASE)
_ORDINAL = re.compile(r"(\d+)(st|nd|rd|th)", re.IGNORECASE)
_WITHOUT_NUMBER = frozenset({"Bsmt", "Frnt", "Lbby", "Lowr", "Ofc", "Ph", "Rear", "Uppr"})
"""Units that need no number behind them (Publication 28 §213.1)."""


@dataclass(frozen=True, slots=True)
class PostalAddress:
    """An address and the parts of its street line, where it has one of the US form.

    `lines` are those that are written on a letter; the parts below are of the first.
    """

    lines: tuple[str, ...] = ()
    city: str = ""
    state: str = ""
    postal_code: str = ""
    country: str = ""
    house_number: str = ""
    direction: str = ""
    street: str = ""
    suffix: str = ""
    direction_behind: str = ""
    unit: str = ""
    unit_number: str = ""
    box: str = ""


@dataclass(frozen=True, slots=True)
class _Words:
    suffixes: Mapping[str, str]
    directions: Mapping[str, str]
    units: Mapping[str, str]
    states: Mapping[str, str]


def normalise_address(
    lines: Sequence[str],
    city: str = "",
    state: str = "",
    postal_code: str = "",
    country: str = "",
    *,
    default_country: str = "US",
) -> Normalised[PostalAddress]:
    """The address in normal form. `default_country` is that of addresses which name none.

    A single line without a city ("123 Main Street, Apt 2, Springfield, IL 62701") is taken apart. A state that is none
    of the USPS, and a postal code that is no ZIP code, stay as written and are flagged (`unknown-state`,
    `unknown-postal-code`).
    """
    written = [" ".join(line.split()) for line in lines if line.strip()]
    original = "; ".join([*written, *(part for part in (city, state, postal_code, country) if part)])
    if not original:
        return Normalised(original)
    named = "".join(letter for letter in country.casefold() if letter.isalnum())
    if named not in _US and (named or default_country != "US"):
        plain = PostalAddress(tuple(written), *(" ".join(part.split()) for part in (city, state, postal_code, country)))
        return Normalised(original, plain)
    if len(written) == 1 and not (city or state or postal_code):
        written, city, state, postal_code = _taken_apart(written[0])
    street, rest = _street_line(written)
    code, known_state = _state(state)
    zip_code, known_zip = _zip(postal_code)
    made = PostalAddress(
        **street, lines=(_written(street), *rest) if street else tuple(rest), city=title_case(city), state=code,
        postal_code=zip_code, country="US" if country else "",
    )  # fmt: skip
    flags = [] if known_state else ["unknown-state"]
    flags += [] if known_zip else ["unknown-postal-code"]
    return Normalised(original, made, ("usps", *flags))


@cache
def _words() -> _Words:
    document = shipped_yaml("healthsync.standards.normalise", "data/usps.yaml")

    def inverted(entries: Mapping[str, str]) -> dict[str, str]:
        return {word: short for short, words in entries.items() for word in (short.lower(), *words.split())}

    states = {name: code for code, name in document["states"].items()}
    return _Words(
        inverted(document["suffixes"]),
        inverted(document["directions"]),
        inverted(document["units"]),
        {**states, **{code.lower(): code for code in document["states"]}},
    )


def _taken_apart(line: str) -> tuple[list[str], str, str, str]:
    """Street lines, city, state and ZIP of "street, city, state ZIP"; all in the line where it has no such form."""
    match = re.search(r"[\s,]+(\d{5}(?:-?\d{4})?)$", line)
    head, postal_code = (line[: match.start()], match[1]) if match else (line, "")
    parts = [part.strip() for part in head.split(",") if part.strip()]
    if len(parts) > 2 and parts[-1].casefold() in _words().states:
        state, city = parts.pop(), parts.pop()
        return parts, city, state, postal_code
    return [line], "", "", ""


def _street_line(lines: list[str]) -> tuple[dict[str, Any], list[str]]:
    """The parts of the first line, with a unit that stands in the second; and the other lines."""
    if not lines:
        return {}, []
    first, *others = lines
    if match := _PO_BOX.fullmatch(first):
        return {"box": match[1]}, others
    words = [word for word in re.split(r"[\s,]+", first.replace("#", " # ")) if word]
    if others and (unit := _unit(_split(others[0]))) and not unit[0]:
        words, others = [*words, *_split(others[0])], others[1:]
    words, unit, unit_number = _unit(words) or (words, "", "")
    street = _street(words)
    if not street:
        return {}, [first, *others]
    return {**street, "unit": unit, "unit_number": unit_number}, others


def _split(text: str) -> list[str]:
    return [word for word in re.split(r"[\s,]+", text.replace("#", " # ")) if word]


def _unit(words: list[str]) -> tuple[list[str], str, str] | None:
    """(the words before, unit, its number) where the line ends with one: `Apt 2`, `# 4B`, `Rear`."""
    known = _words().units
    if len(words) >= 2 and words[-2] == "#":
        behind = known.get(_bare(words[-3])) if len(words) > 2 else None
        return (words[:-3], behind, words[-1].upper()) if behind else (words[:-2], "#", words[-1].upper())
    if len(words) >= 2 and (unit := known.get(_bare(words[-2]))) and any(letter.isdigit() for letter in words[-1]):
        return words[:-2], unit, words[-1].upper()
    if len(words) >= 2 and (unit := known.get(_bare(words[-2]))) and len(words[-1]) == 1:
        return words[:-2], unit, words[-1].upper()
    if words and (unit := known.get(_bare(words[-1]))) in _WITHOUT_NUMBER:
        return words[:-1], unit, ""
    return None


def _street(words: list[str]) -> dict[str, Any]:
    """House number, directions, name and suffix; empty where the line does not begin with a number."""
    if len(words) < 2 or not _NUMBER.fullmatch(words[0]):
        return {}
    known = _words()
    number, middle = words[0].upper(), words[1:]
    direction = behind = suffix = ""
    if len(middle) > 1 and (found := known.directions.get(_bare(middle[-1]))):
        behind, middle = found, middle[:-1]
    if len(middle) > 1 and (found := known.suffixes.get(_bare(middle[-1]))):
        suffix, middle = found, middle[:-1]
    if len(middle) > 1 and (found := known.directions.get(_bare(middle[0]))):
        direction, middle = found, middle[1:]
    return {
        "house_number": number,
        "direction": direction,
        "street": " ".join(_street_word(word) for word in middle),
        "suffix": suffix,
        "direction_behind": behind,
    }


def _street_word(word: str) -> str:
    return word.lower() if _ORDINAL.fullmatch(word) else title_case(word)


def _written(street: dict[str, Any]) -> str:
    if "box" in street:
        return f"PO Box {street['box']}"
    names = ("house_number", "direction", "street", "suffix", "direction_behind", "unit", "unit_number")
    return " ".join(street[name] for name in names if street[name])


def _state(text: str) -> tuple[str, bool]:
    state = _words().states.get(" ".join(text.replace(".", "").split()).casefold())
    return (state, True) if state else (" ".join(text.split()), not text.strip())


def _zip(text: str) -> tuple[str, bool]:
    match = _ZIP.fullmatch(text.strip())
    if match is None:
        return text.strip(), not text.strip()
    return (f"{match[1]}-{match[2]}" if match[2] else match[1]), True


def _bare(word: str) -> str:
    return word.lower().rstrip(".")
