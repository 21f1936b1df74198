"""UCUM, the Unified Code for Units of Measure (https://ucum.org, 2.2): what a unit code means, in exact numbers.

`canonical` brings a value to base units, so that 1 mg/dL and 10 mg/L become the same number; `convert` goes from one
unit to another; `comparable` says whether two units measure the same kind of thing; `describe` spells a code out.

Invariants: factors are rational numbers and a result is rounded once, to `PRECISION` significant digits, so that equal
quantities have equal canonical values. Annotations (`{beats}/min`) change nothing (UCUM §12). Arbitrary units (`[iU]`)
measure only themselves (§24), and so do units with a logarithm or another function (`[pH]`, `dB`, §21). Temperatures
have an offset and are brought to kelvin. Aliases such as `bpm` or `mmHg` are not UCUM and are not known here.
"""

from healthsync.standards.ucum.conversion import PRECISION, canonical, canonical_factor, comparable, convert
from healthsync.standards.ucum.grammar import is_valid
from healthsync.standards.ucum.naming import describe
from healthsync.standards.ucum.substance import substance

__all__ = ["PRECISION", "canonical", "canonical_factor", "comparable", "convert", "describe", "is_valid", "substance"]
