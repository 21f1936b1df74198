"""Regular expressions of filters come from strangers: matched in linear time (RE2), in what PostgreSQL has too."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import re2

from healthsync.errors import InvalidInput

LONGEST = 400
"""Characters of a pattern."""

_FOREIGN = re.compile(r"\\[^dDwWsStrnfv\W_]|\(\?(?!:)|\[\[|\\$")
"""What RE2 and PostgreSQL do not share: letters after a backslash, groups with flags, named classes."""


@lru_cache(maxsize=256)
def pattern(text: str) -> Any:
    """The compiled pattern, for `fullmatch`. Raises InvalidInput for what is no pattern of the common dialect."""
    if len(text) > LONGEST or _FOREIGN.search(text):
        raise InvalidInput(
            f"a filter's regex has {LONGEST} characters at most and uses literals, classes, groups, alternatives and"
            r" repetition, \d \w \s and no other escapes of letters",
            code="not-supported",
        )
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        return re2.compile(text, options)
    except re2.error:
        raise InvalidInput("a filter's regex cannot be read, or is too large", code="invalid") from None
