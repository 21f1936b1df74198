"""What is measured, by LOINC code: canonical unit, molar mass, valence, plausible range (`data/measurands.yaml`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from types import MappingProxyType
from typing import Any

from healthsync.shipped import shipped_yaml

ATOMIC_WEIGHTS = {
    name: Decimal(weight)
    for name, weight in {
        "H": "1.008", "Li": "6.94", "C": "12.011", "N": "14.007", "O": "15.999", "Na": "22.990", "Mg": "24.305",
        "P": "30.974", "S": "32.06", "Cl": "35.45", "K": "39.098", "Ca": "40.078", "Fe": "55.845", "Co": "58.933",
        "Cu": "63.546", "Zn": "65.38", "I": "126.90", "Pb": "207.2",
    }.items()
}  # fmt: skip
"""g/mol; IUPAC Commission on Isotopic Abundances and Atomic Weights, abridged standard atomic weights, 2021."""

_ATOMS = re.compile(r"([A-Z][a-z]?)(\d*)")


@dataclass(frozen=True, slots=True)
class Measurand:
    """One thing that is measured, whatever the property in which a laboratory tells it.

    unit        canonical UCUM unit
    molar_mass  g/mol of what is counted; None where mass and moles are not converted
    valence     equivalents in one mole
    equations   UCUM unit → (times, plus) that lead from it to `unit`
    plausible   least and greatest value of a living person, in `unit`
    unitless    whether a value without a unit is complete
    """

    name: str
    unit: str
    loinc: tuple[str, ...]
    molar_mass: Decimal | None = None
    valence: int | None = None
    equations: Mapping[str, tuple[Decimal, Decimal]] = field(default_factory=dict, hash=False)
    plausible: tuple[Decimal, Decimal] | None = None
    unitless: bool = False

    def is_plausible(self, value: Decimal) -> bool:
        """Whether the value, in the canonical unit, is one of a living person; True where no range is known."""
        return self.plausible is None or self.plausible[0] <= value <= self.plausible[1]


def measurand_of(loinc: str) -> Measurand | None:
    """What a LOINC code measures; None for codes that the table does not have."""
    return measurands().get(loinc)


@cache
def measurands() -> Mapping[str, Measurand]:
    """All measurands by LOINC code."""
    document = shipped_yaml("healthsync.standards.units", "data/measurands.yaml")
    made = [_measurand(name, entry) for group in document.values() for name, entry in group.items()]
    return MappingProxyType({code: measurand for measurand in made for code in measurand.loinc})


def molar_mass(formula: str) -> Decimal:
    """g/mol of a formula without parentheses, such as C6H12O6. Raises KeyError for an element that is not listed."""
    return sum((ATOMIC_WEIGHTS[name] * int(count or 1) for name, count in _ATOMS.findall(formula)), Decimal(0))


def _measurand(name: str, entry: Mapping[str, Any]) -> Measurand:
    mass = molar_mass(entry["formula"]) if "formula" in entry else entry.get("molar_mass")
    low_high = entry.get("plausible")
    return Measurand(
        name=name,
        unit=entry["unit"],
        loinc=tuple(entry["loinc"]),
        molar_mass=None if mass is None else Decimal(mass),
        valence=entry.get("valence"),
        equations={
            code: (Decimal(str(times)), Decimal(str(plus)))
            for code, (times, plus) in entry.get("equations", {}).items()
        },
        plausible=(Decimal(str(low_high[0])), Decimal(str(low_high[1]))) if low_high else None,
        unitless=entry.get("unitless", False),
    )
