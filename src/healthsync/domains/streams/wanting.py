"""Does a handler want to hear of this?"""

from __future__ import annotations

import re

from healthsync.domains.streams.model import Fact, Kind, Want
from healthsync.errors import InvalidInput

_PATTERNS = {
    Kind.HL7: re.compile(r"[A-Z0-9_*]{1,12}(\^[A-Z0-9_*]{1,12})?"),
    Kind.EVENT: re.compile(r"[a-z*]{1,32}(\.[a-z*]{1,32}){0,4}"),
    Kind.TOPIC: re.compile(r"[A-Za-z*][A-Za-z0-9_.*-]{0,63}"),
}
_TOPIC = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_EXAMPLES = "hl7:ORU^R01, hl7:ORU^*, hl7:*, event:patient.merged, topic:lab_results"


def read_want(text: str) -> Want:
    """The want that a text such as `hl7:ORU^*` spells. Raises InvalidInput when it is none."""
    kind, _, pattern = text.partition(":")
    known = next((each for each in Kind if each == kind), None)
    if known is None or not _PATTERNS[known].fullmatch(pattern):
        raise InvalidInput(f"a handler wants something like {_EXAMPLES}", code="value", expression="wants")
    return Want(known, pattern)


def check_topic(topic: str) -> str:
    """The topic. Raises InvalidInput when it can be none."""
    if not _TOPIC.fullmatch(topic):
        raise InvalidInput(
            "a topic has at most 64 letters, digits and the characters _ . - and begins with a letter", code="value"
        )
    return topic


def wants(want: Want, fact: Fact) -> bool:
    """Whether a want covers a fact. `ORU` alone, without a trigger, covers every trigger."""
    if want.kind is not fact.kind:
        return False
    if want.kind is Kind.HL7 and "^" not in want.pattern:
        return _covers(want.pattern, fact.name.partition("^")[0])
    return _covers(want.pattern, fact.name)


def _covers(pattern: str, name: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name) is not None
