"""Telephone numbers as E.164 (by libphonenumber), and addresses of mail."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from healthsync.standards.normalise.outcome import Normalised

MAX_LENGTH = 64
"""Longest text that is looked at, in characters."""

_MAIL = re.compile(
    r"(?:mailto:)?([^@\s\"(),:;<>\[\\\]]{1,64})@((?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63})", re.I
)


@dataclass(frozen=True, slots=True)
class Phone:
    """A telephone number: `+12025550143`, and the extension behind it."""

    number: str
    extension: str = ""


@lru_cache(maxsize=8192)
def normalise_phone(text: str, country: str = "US") -> Normalised[Phone]:
    """The E.164 number (ITU-T E.164); `country` is that of numbers without a country code.

    Problems: `not-a-number`, `impossible-number` (too short, too long, all one digit), `no-area-code`. A number of the
    right length that its country has not given out is kept and flagged (`not-assigned`): plans change, and a wrong
    number is the patient's to tell.
    """
    import phonenumbers  # 50 ms, which most programs never need

    written = text.strip()
    if not written:
        return Normalised(text)
    try:
        found = phonenumbers.parse(written[:MAX_LENGTH], country)
    except phonenumbers.NumberParseException:
        return Normalised.refused(text, "not-a-number")
    digits = str(found.national_number)
    possible = phonenumbers.is_possible_number_with_reason(found)
    if possible == phonenumbers.ValidationResult.IS_POSSIBLE_LOCAL_ONLY:
        return Normalised.refused(text, "no-area-code")
    if len(written) > MAX_LENGTH or possible != phonenumbers.ValidationResult.IS_POSSIBLE or len(set(digits)) == 1:
        return Normalised.refused(text, "impossible-number")
    number = phonenumbers.format_number(found, phonenumbers.PhoneNumberFormat.E164)
    changes = () if number == written else ("e164",)
    if not phonenumbers.is_valid_number(found):
        changes += ("not-assigned",)
    return Normalised(text, Phone(number, found.extension or ""), changes)


def normalise_email(text: str) -> Normalised[str]:
    """The address; its domain in small letters, as the part before it may depend on case. Problem: `not-an-address`."""
    written = text.strip()
    if not written:
        return Normalised(text)
    match = _MAIL.fullmatch(written)
    if match is None:
        return Normalised.refused(text, "not-an-address")
    address = f"{match[1]}@{match[2].lower()}"
    return Normalised(text, address, () if address == text else ("respelled",))
