"""The delimiters of a message, as its header declares them (HL7 v2.5.1 §2.5.4; truncation character: v2.7 §2.5.5.2)."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple


class Separators(NamedTuple):  # a tuple, for it is the key of caches that every value passes
    """MSH-1 and the characters of MSH-2; an empty string where the sender left one out, because he does not use it."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"
    truncation: str = ""

    @property
    def encoding_characters(self) -> str:
        """MSH-2 as it is written."""
        return f"{self.component}{self.repetition}{self.escape}{self.subcomponent}{self.truncation}"


DEFAULT_SEPARATORS = Separators()


@lru_cache(maxsize=256)
def read_separators(field: str, encoding_characters: str) -> tuple[Separators, bool]:
    """Separators from MSH-1 and MSH-2, and whether MSH-2 could be believed.

    Two to five distinct ASCII characters that are neither letters, digits nor white space; whatever else stands there
    (nothing, ``^~\\\\&``, or characters garbled on the way such as ``^Ë\\x9c\\&``) was meant to be ``^~\\&``.
    """
    characters = encoding_characters
    believable = (
        2 <= len(characters) <= 5
        and len({field, *characters}) == len(characters) + 1
        and all(c.isascii() and c.isprintable() and not c.isalnum() and not c.isspace() for c in characters)
    )
    if not believable:
        characters = DEFAULT_SEPARATORS.encoding_characters
    return Separators(field, *characters, *[""] * (5 - len(characters))), believable
