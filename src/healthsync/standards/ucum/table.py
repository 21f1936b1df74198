"""The UCUM table as its makers publish it (`data/ucum-essence.xml` and its NOTICE), read when first asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from defusedxml import ElementTree

_NAMESPACE = "{http://unitsofmeasure.org/ucum-essence}"


@dataclass(frozen=True, slots=True)
class Prefix:
    """A prefix such as `m`, milli: a factor."""

    name: str
    factor: Fraction


@dataclass(frozen=True, slots=True)
class Atom:
    """A unit of the table.

    magnitude, unit   what it is made of: 1 `code` is `magnitude` `unit`; a base unit has no `unit`
    is_metric         whether it takes a prefix
    is_arbitrary      defined by a procedure; measures nothing but itself (§24)
    function          of a special unit: what leads from its scale to `magnitude` `unit` (§21)
    """

    code: str
    name: str
    magnitude: Fraction
    unit: str | None
    is_metric: bool
    is_arbitrary: bool
    function: str | None


@dataclass(frozen=True, slots=True)
class Table:
    """All prefixes and units by their case-sensitive code."""

    version: str
    prefixes: Mapping[str, Prefix]
    atoms: Mapping[str, Atom]


@cache
def table() -> Table:
    """The table; takes some milliseconds the first time."""
    root: Any = ElementTree.fromstring(
        files("healthsync.standards.ucum").joinpath("data/ucum-essence.xml").read_bytes()
    )
    prefixes = {
        entry.get("Code"): Prefix(_name(entry), Fraction(entry.find(f"{_NAMESPACE}value").get("value")))
        for entry in root.iter(f"{_NAMESPACE}prefix")
    }
    atoms = [_base(entry) for entry in root.iter(f"{_NAMESPACE}base-unit")]
    atoms += [_derived(entry) for entry in root.iter(f"{_NAMESPACE}unit")]
    return Table(root.get("version"), MappingProxyType(prefixes), MappingProxyType({atom.code: atom for atom in atoms}))


def _name(entry: Any) -> str:
    return entry.find(f"{_NAMESPACE}name").text


def _base(entry: Any) -> Atom:
    return Atom(entry.get("Code"), _name(entry), Fraction(1), None, True, False, None)


def _derived(entry: Any) -> Atom:
    value = entry.find(f"{_NAMESPACE}value")
    function = value.find(f"{_NAMESPACE}function")
    source = value if function is None else function
    return Atom(
        code=entry.get("Code"),
        name=_name(entry),
        magnitude=Fraction(source.get("value")),
        unit=source.get("Unit"),
        is_metric=entry.get("isMetric") == "yes",
        is_arbitrary=entry.get("isArbitrary") == "yes",
        function=None if function is None else function.get("name"),
    )
