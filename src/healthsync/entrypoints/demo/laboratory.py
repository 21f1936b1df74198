"""Laboratory tests: LOINC code, unit, reference range and critical limits of each, and panels of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from random import Random


@dataclass(frozen=True, slots=True)
class Test:
    """A test of adults. Beyond `critical` somebody is called (42 CFR 493.1291(g)); the limits are customary ones."""

    code: str
    name: str
    unit: str
    low: str
    high: str
    critical: tuple[str, str]

    @property
    def reference_range(self) -> str:
        """OBX-7."""
        return f"{self.low}-{self.high}"

    def interpretation(self, value: Decimal) -> str:
        """OBX-8 (v2 table 0078): LL, L, N, H or HH."""
        lowest, highest = map(Decimal, self.critical)
        if value < lowest:
            return "LL"
        if value > highest:
            return "HH"
        return "L" if value < Decimal(self.low) else "H" if value > Decimal(self.high) else "N"

    def usual_value(self, chance: Random) -> Decimal:
        """A value in or a little beside the reference range, never a critical one."""
        low, high = Decimal(self.low), Decimal(self.high)
        value = low + (high - low) * Decimal(str(round(chance.triangular(-0.15, 1.15), 3)))
        lowest, highest = map(Decimal, self.critical)
        return min(max(value, lowest), highest).quantize(low)

    def critical_value(self, chance: Random) -> Decimal:
        """A value that somebody is called for."""
        lowest, highest = map(Decimal, self.critical)
        value = highest * Decimal("1.12") if lowest == 0 or chance.random() < 0.6 else lowest * Decimal("0.85")
        return value.quantize(Decimal(self.low))


@dataclass(frozen=True, slots=True)
class Panel:
    """Tests that are ordered together."""

    code: str
    name: str
    section: str
    tests: tuple[Test, ...]


BASIC = Panel("51990-0", "Basic metabolic panel - Blood", "CH", (
    Test("2345-7", "Glucose [Mass/volume] in Serum or Plasma", "mg/dL", "70", "99", ("45", "450")),
    Test("2951-2", "Sodium [Moles/volume] in Serum or Plasma", "mmol/L", "136", "145", ("120", "158")),
    Test("2823-3", "Potassium [Moles/volume] in Serum or Plasma", "mmol/L", "3.5", "5.1", ("2.8", "6.2")),
    Test("2075-0", "Chloride [Moles/volume] in Serum or Plasma", "mmol/L", "98", "107", ("80", "120")),
    Test("2160-0", "Creatinine [Mass/volume] in Serum or Plasma", "mg/dL", "0.60", "1.20", ("0", "7.40")),
    Test("3094-0", "Urea nitrogen [Mass/volume] in Serum or Plasma", "mg/dL", "7", "20", ("0", "100")),
    Test("17861-6", "Calcium [Mass/volume] in Serum or Plasma", "mg/dL", "8.6", "10.2", ("6.5", "13.0")),
))  # fmt: skip
BLOOD_COUNT = Panel("58410-2", "CBC panel - Blood by Automated count", "HM", (
    Test("6690-2", "Leukocytes [#/volume] in Blood by Automated count", "10*3/uL", "4.5", "11.0", ("2.0", "30.0")),
    Test("718-7", "Hemoglobin [Mass/volume] in Blood", "g/dL", "12.0", "17.5", ("7.0", "20.0")),
    Test("4544-3", "Hematocrit [Volume Fraction] of Blood by Automated count", "%", "36", "50", ("20", "60")),
    Test("777-3", "Platelets [#/volume] in Blood by Automated count", "10*3/uL", "150", "400", ("50", "1000")),
))  # fmt: skip
CARDIAC = Panel("89579-7", "Troponin I.cardiac [Mass/volume] in Serum or Plasma by High sensitivity method", "CH", (
    Test("89579-7", "Troponin I.cardiac [Mass/volume] in Serum or Plasma by High sensitivity method", "ng/L", "0", "34",
         ("0", "120")),
    Test("2524-7", "Lactate [Moles/volume] in Serum or Plasma", "mmol/L", "0.5", "2.0", ("0", "4.0")),
))  # fmt: skip
PANELS = (BASIC, BLOOD_COUNT, CARDIAC)
