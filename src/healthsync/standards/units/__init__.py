"""Units of measurements: the UCUM code that a text means, one unit for each measurement, mass and moles.

    ucum_codes("mcg/dl")                           ("ug/dL",)
    measurand_of("2345-7")                         glucose, compared in mg/dL
    convert(Decimal("5.5"), "mmol/L", glucose)     99.1 mg/dL, by the molar mass of glucose
    canonical_quantities(observation)              the Observation with the canonical value beside what was sent

What was sent is never changed: the canonical value stands beside it (decision 27). `standards/ucum` knows units alone;
here stands what only the measurement can say: that 1 mmol/L of glucose is 18 mg/dL, that `mU/L` of thyrotropin are
international units, that nobody is 600 cm tall.
"""

from healthsync.standards.units.conversion import Converted, agree, convert
from healthsync.standards.units.measurands import Measurand, measurand_of, measurands
from healthsync.standards.units.observations import TRANSLATION, canonical_quantities, canonical_quantity
from healthsync.standards.units.spelling import ucum_code, ucum_codes

__all__ = [
    "TRANSLATION",
    "Converted",
    "Measurand",
    "agree",
    "canonical_quantities",
    "canonical_quantity",
    "convert",
    "measurand_of",
    "measurands",
    "ucum_code",
    "ucum_codes",
]
