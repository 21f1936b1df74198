"""A GraphQL document as a tree of fields: fragments in their places, variables replaced, @skip and @include decided.

What a query may cost to read is bounded here, before anything is looked up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one query may have: levels of fields, and fields after fragments are put in."""

    depth: int = 16
    fields: int = 2000


@dataclass(frozen=True, slots=True)
class Field:
    """A field as it was asked for. `key` is its alias or name; a directive has its arguments."""

    name: str
    key: str
    arguments: Mapping[str, Any]
    directives: Mapping[str, Mapping[str, Any]]
    fields: Fields
    at: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Fragment:
    """`... on Type { … }`: these fields where the resource is of the type; None: of any."""

    type_name: str | None
    fields: Fields


Fields = Sequence["Field | Fragment"]
