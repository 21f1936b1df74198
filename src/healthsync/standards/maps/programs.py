"""The shipped segment maps, compiled."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from healthsync.standards.maps.compiler import Program, compile_segment
from healthsync.standards.maps.tables import tables


@cache
def shipped_programs() -> Mapping[str, Program]:
    """The programs by map name (`PID[Patient]`), compiled at first use."""
    found = tables()
    compiled: dict[str, Program] = {
        name: compile_segment(name, rows, found.taken(name.partition("[")[0]), found.lists)
        for name, rows in found.segments.items()
    }
    return MappingProxyType(compiled)
