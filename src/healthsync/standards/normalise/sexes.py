"""Codes for sex as FHIR administrative gender (http://hl7.org/fhir/ValueSet/administrative-gender)."""

from __future__ import annotations

from healthsync.standards.normalise.outcome import Normalised

_CODES = {
    "male": "m male man boy 1 hombre mann männlich homme masculin masculino h xy",
    "female": "f female woman girl 2 w weiblich frau femme féminin femenino feminino xx",
    "other": "o other x a n d divers diverse nonbinary non-binary intersex i t ambiguous indeterminate third",
    "unknown": "u unknown unk 0 9 notknown unspecified undetermined refused declined nd ni",
}
"""HL7 v2 table 0001 (A ambiguous, N not applicable, O, U; as the v2-to-FHIR guide maps them), ISO/IEC 5218 (0, 1, 2,
9), and words that are in use."""
_GENDER = {word: code for code, words in _CODES.items() for word in words.split()}


def administrative_gender(text: str) -> Normalised[str]:
    """`male`, `female`, `other` or `unknown`. Problem: `not-a-sex`."""
    word = "".join(text.split()).rstrip(".").casefold()
    if not word:
        return Normalised(text)
    code = _GENDER.get(word)
    if code is None:
        return Normalised.refused(text, "not-a-sex")
    return Normalised(text, code, () if text == code else ("translated",))
