"""What recurs from result to result: codes, flags, reference ranges, times, and what they are in FHIR.

A value that depends on nothing but its text and on the way its sender writes is read once and remembered, for each
sender by himself: his local codes are his own. It is kept as bytes, so that whoever gets it may change his copy.
What is a patient's own (names, numbers, addresses, dates, places) is not asked for here: it does not recur, and need
not stay.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import Any

import msgspec

LONGEST = 100
"""Characters of a text that may be remembered."""
MOST = 2_048
"""Texts of one sender; when there are more, all are forgotten and those that recur come back."""
SENDERS = 32

write = msgspec.msgpack.Encoder().encode
read = msgspec.msgpack.Decoder().decode
"""Values of texts, truth values, whole numbers, lists and mappings as bytes, and back."""


class Memory(dict[Hashable, bytes]):
    """What texts of one sender mean, by whatever tells them apart."""

    def keep(self, key: Hashable, value: Any) -> None:
        """Keep a value for whoever reads the bytes under this key."""
        if len(self) >= MOST:
            self.clear()
        self[key] = write(value)


@lru_cache(SENDERS)
def memory_of(*_way_of_writing: Hashable) -> Memory:
    """The memory of a sender who writes so: his name, his time zone, his delimiters and character set, and the names of
    authorities."""
    return Memory()
