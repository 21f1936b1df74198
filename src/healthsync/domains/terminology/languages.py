"""In which language is a concept told? Accept-Language (RFC 9110 §12.5.4) against the languages of its texts. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from healthsync.domains.terminology.errors import Unusable
from healthsync.domains.terminology.model import Concept, Designation

_RANGE = re.compile(r"(\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)(?:\s*;\s*q\s*=\s*([01](?:\.\d{0,3})?))?")

GONE = frozenset({"withdrawn", "deprecated"})
"""Standards statuses of a designation that is no longer right."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Languages that are asked for, the most wanted first. Without `others` no text of another language will do."""

    said: str
    tags: tuple[str, ...]
    others: bool = True


def wanted(text: str | None) -> Wanted | None:
    """What an Accept-Language or displayLanguage says; None for nothing. Raises Unusable for what is no language."""
    if text is None or not text.strip():
        return None
    ranges: list[tuple[float, str]] = []
    others = True
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise Unusable(
                f"Invalid displayLanguage: '{text}'",
                kind="invalid-display",
                code="processing",
                message_id="INVALID_DISPLAY_NAME",
            )
        weight = float(match[2]) if match[2] else 1.0
        if match[1] == "*":
            others = weight > 0
        elif weight > 0:
            ranges.append((weight, match[1].lower()))
    tags = tuple(tag for _, tag in sorted(ranges, key=lambda pair: -pair[0]))
    return Wanted(text, tags, others) if tags or not others else None


def speaks(language: str | None, tag: str) -> bool:
    """Whether a text in a language will do where a tag is wanted: the same, or a dialect of it (RFC 4647 §3.3.1)."""
    spoken = (language or "").lower()
    return spoken == tag or spoken.startswith(f"{tag}-")


def texts(concept: Concept, language: str | None) -> list[Designation]:
    """Every text that a concept is rightly told by, its display first. `language` is that of its code system."""
    told = [Designation(concept.display, language)] if concept.display is not None else []
    return told + [each for each in concept.designations if each.status not in GONE]


def among(told: list[Designation], asked: Wanted) -> list[Designation]:
    """The texts in the languages asked for. One without a language speaks for every language."""
    if told and told[0].language is None and all(each.language is None for each in told):
        return told
    return [each for tag in asked.tags for each in told if speaks(each.language, tag)]


def display(concept: Concept, language: str | None, asked: Wanted | None) -> str | None:
    """The text to show. A use that is no name (a definition, an old form) is shown when there is no other."""
    if asked is None or concept.display is None:
        return concept.display
    found = among(texts(concept, language), asked)
    plain = [each for each in found if each.use is None or _is_name(each)]
    if plain or found:
        return (plain or found)[0].value
    return concept.display if asked.others else None


def _is_name(designation: Designation) -> bool:
    use = designation.use or {}
    return use.get("code") in ("display", "preferredForLanguage", "900000000000013009")
