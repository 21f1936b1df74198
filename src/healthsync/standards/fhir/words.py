"""Text as words: what `_text` looks for in the narrative and `_content` anywhere in a resource (search.html#content).

A word is a run of letters, digits or underscores, compared without case and accents.
"""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from healthsync.standards.fhir.search_parameters import normalise

_WORD = re.compile(r"\w+")
_TAG = re.compile(r"<[^>]*>")
_READABLE = frozenset(
    {"address", "alias", "answer", "author", "city", "comment", "conclusion", "contact", "copyright", "description",
     "detail", "display", "district", "div", "family", "given", "line", "name", "note", "patientInstruction", "prefix",
     "publisher", "purpose", "qualification", "reason", "reasonText", "requirements", "state", "suffix", "summary",
     "text", "title", "unit", "usage", "value", "valueMarkdown", "valueString"}
)  # fmt: skip
"""Elements with text that people read; codes, addresses of systems, dates and references are found by their own
parameters."""
_PERSONS = frozenset({"Patient", "RelatedPerson", "Person", "Practitioner"})
_NAMING = frozenset({"city", "contact", "contained", "district", "div", "family", "given", "identifier", "line"})
"""Elements whose texts may name a person in any resource."""


def words(text: str) -> list[str]:
    """The words of a text in their order, normalised."""
    return _WORD.findall(normalise(text))


def narrative_words(resource: dict[str, Any]) -> list[str]:
    """The words that a reader of `text.div` sees."""
    div = (resource.get("text") or {}).get("div")
    return words(unescape(_TAG.sub(" ", div))) if type(div) is str else []


def content_words(resource: dict[str, Any]) -> list[list[str]]:
    """The words of each text in a resource, narrative included, contained resources too, in no particular order."""
    return [words_of(is_narrative, text) for _, is_narrative, text in content_texts(resource)]


def content_texts(resource: dict[str, Any]) -> list[tuple[bool, bool, str]]:
    """The texts of a resource, each with whether it may name a person (it stands in a resource about one, in a part of
    a name or address, in a narrative, or beside a reference) and whether it is a narrative. Each write pays for this
    walk: a plain loop."""
    found: list[tuple[bool, bool, str]] = []
    parts: list[tuple[dict[str, Any], bool]] = [(resource, False)]
    for part, inside in parts:  # grows while it is walked
        naming = inside or part.get("resourceType") in _PERSONS
        for name, value in part.items():
            kind = type(value)
            if kind is str:
                if name in _READABLE:
                    names = naming or name in _NAMING or (name == "display" and "reference" in part)
                    found.append((names, name == "div", value))
            elif kind is dict:
                parts.append((value, naming or name in _NAMING))
            elif kind is list:
                names = naming or name in _NAMING
                for item in value:
                    if type(item) is dict:
                        parts.append((item, names))
                    elif type(item) is str and name in _READABLE:
                        found.append((names, name == "div", item))
    return found


def words_of(is_narrative: bool, text: str) -> list[str]:
    """The words of one of `content_texts`."""
    return words(unescape(_TAG.sub(" ", text)) if is_narrative else text)
