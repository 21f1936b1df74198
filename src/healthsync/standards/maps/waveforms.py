"""Waveforms: NA and MA in OBX-5 as SampledData (v2.5.1 §7.14; guide: NA[SampledData]).

SampledData needs its period. v2 tells the sampling frequency in a channel definition (CD) before the samples; devices
(IHE PCD-01) in a facet of the metric. Samples without a period stay text: nobody can say when each was taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from healthsync.standards.hl7v2 import Repetition, Segment
from healthsync.standards.maps import numbers
from healthsync.standards.maps.datatypes import unit
from healthsync.standards.maps.encounter import first_repetition
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.scribe import Scribe, part

SAMPLES = frozenset({"NA", "MA"})

_RATES = {"MDC_ATTR_SAMP_RATE": 1000, "MDC_ATTR_TIME_PD_SAMP": 0}
"""Facets of a device's metric: samples in a second; milliseconds of a sample."""


@dataclass(slots=True)
class Channel:
    """How the samples of a channel are to be read."""

    period: Decimal | None = None
    """Milliseconds between two samples."""
    origin: Resource | None = None
    """The unit of the samples, and where their zero is."""
    factor: Decimal | None = None
    lower: Decimal | None = None
    upper: Decimal | None = None

    def tell(self, obx: Segment, scribe: Scribe) -> bool:
        """Take a channel definition or a facet that tells the sampling rate; False for any other OBX."""
        if obx.get(2) == "CD":
            if rep := first_repetition(obx, 5):
                self._define(rep, scribe)
            return True
        factor = _RATES.get(obx.get(3, 1, 2))
        number = numbers.decimal(obx.get(5)) if factor is not None else None
        if number is None or number <= 0:
            return False
        self.period = Decimal(factor or 0) / number if factor else number
        return True

    def _define(self, rep: Repetition, scribe: Scribe) -> None:
        """CD (v2.5.1 §2.A.9): sensitivity, unit (CD.3), baseline (CD.4.2), frequency (CD.5), least and most (CD.6)."""
        frequency, sensitivity = numbers.decimal(part(rep, 5)), numbers.decimal(part(rep, 3))
        self.period = Decimal(1000) / frequency if frequency and frequency > 0 else None
        self.factor = sensitivity
        baseline = numbers.decimal(part(rep, 4, 2)) or Decimal(0)
        self.origin = {"value": baseline, **unit(part(rep, 3, 2), part(rep, 3, 3), part(rep, 3, 4), scribe.source)}
        self.lower, self.upper = numbers.decimal(part(rep, 6)), numbers.decimal(part(rep, 6, 2))

    def sampled(self, obx: Segment, scribe: Scribe) -> Resource | None:
        """The samples of an OBX. NA: one channel, its repetitions go on; MA: each repetition is one time, its
        components are the channels."""
        rows = [[part(rep, at + 1) for at in range(len(rep.components))] for rep in obx.field(5).repetitions if rep.raw]
        if self.period is None or not rows:
            return None
        dimensions = max(map(len, rows)) if obx.get(2) == "MA" else 1
        values = [_sample(text) for row in rows for text in (row + [""] * (dimensions - len(row)))]
        if not any(value != "E" for value in values):
            return None
        code, text, system = (obx.get(6, 1, at).strip() for at in (1, 2, 3))
        measure = unit(code, text, system, scribe.source)
        made: Resource = {"origin": self.origin or {"value": 0, **measure}, "period": self.period}
        for name, value in (("factor", self.factor), ("lowerLimit", self.lower), ("upperLimit", self.upper)):
            if value is not None:
                made[name] = value
        return {**made, "dimensions": dimensions, "data": " ".join(values)}


def _sample(text: str) -> str:
    """A number of SampledData.data; `E` for a value that is missing."""
    number = numbers.decimal(text)
    return "E" if number is None else f"{number:f}"
