"""The shipped segment maps, compiled."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from healthsync.standards.maps.compiler import Program, compile_segment
from healthsync.standards.maps.tables import tables


@cache
def programs_of(maps: tuple[str, ...]) -> Mapping[str, Program]:
    """The programs of these maps by name (`PID[Patient]`), compiled at first use.

    They go together: a field that one of them takes is not counted as unmapped by the others of its segment.
    """
    found = tables()
    return MappingProxyType(
        {name: compile_segment(name, found.segments[name], found.taken(name, maps), found.lists) for name in maps}
    )
