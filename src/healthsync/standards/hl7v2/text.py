"""Text as it may be shown and stored: without control characters."""

from __future__ import annotations

import re

_UNSTORABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")


def clean(text: str) -> str:
    """Without control characters, for which FHIR text has no place and PostgreSQL no NUL; `\\X00\\` can hide one."""
    return text if text.isprintable() else _UNSTORABLE.sub("", text)


def said(text: str) -> str:
    """What a text says: no blanks around it, no control characters; the null `""` says nothing."""
    text = clean(text).strip()
    return "" if text == '""' else text
