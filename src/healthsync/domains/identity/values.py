"""What a person's names, numbers and places are when they are written alike: rules on one text each. Pure.

Files (`linkage`) and the index compare the same normal forms.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from healthsync.standards.normalise import GENERATIONS

_LETTERS = str.maketrans({"ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"})
_NOBODY = frozenset({
    "unk", "unknown", "unknownname", "unidentified", "unnamed", "none", "noname", "nofirstname", "nolastname", "null",
    "nil", "notgiven", "notknown", "notavailable", "missing", "refused", "declined", "anonymous", "anon", "fnu", "lnu",
    "test", "testing", "tester", "testpatient", "zztest", "zzztest", "patient", "trauma", "xx", "donotuse", "duplicate",
})  # fmt: skip
_NEWBORN_FAMILY = re.compile(r"(baby|newborn|infant)(boy|girl|male|female).*")
_NEWBORN = re.compile(
    r"(baby|newborn|infant)(boy|girl|male|female).*"  # Baby Girl Smith
    r"|(baby|newborn|infant|nb)[a-d1-4]?"
    r"|(bb|bg|nb)?(boy|girl|male|female)[1-4]?"
    r"|(twin|triplet)[a-d1-4]?"
    r"|girl.*"  # GirlMarie: nobody is called so, but Boyd and Boyce are names
    r"|.*s(boy|girl)"  # Judysgirl
)
_NEWBORN_OF = re.compile(r"(Boy|BOY|boy)([A-Z][a-z]|[ _-])")  # BoyMarie, BOY MARIE
_NO_LOCALS = frozenset({"noemail", "no", "na", "nomail", "noreply", "email"})
_MARKS = re.compile(r"[\W_]+")
_SSN = re.compile(r"(?!000|666|9|([0-9])\1{8})[0-9]{3}(?!00)[0-9]{2}(?!0000)[0-9]{4}")
_DOE = frozenset({"john", "jane", "jon", "johnny", "baby"})
_PLACEHOLDER_SSNS = frozenset({"123456789", "987654321", "078051120", "219099999", "111223333", "123121234"})
_TITLES = frozenset("mr mrs ms miss mister dr doctor prof professor sir dame rev reverend hon md phd esq".split())  # noqa: SIM905
_PARTICLES = frozenset("of the de del della der den des di da do dos du la le van von zu y e and al el bin ibn".split())  # noqa: SIM905
_NO_NAMES = _PARTICLES | _TITLES | GENERATIONS.keys()
_ABBREVIATIONS = {
    "street": "st", "str": "st", "road": "rd", "avenue": "ave", "av": "ave", "boulevard": "blvd", "drive": "dr",
    "lane": "ln", "court": "ct", "place": "pl", "square": "sq", "terrace": "ter", "tce": "ter", "crescent": "cres",
    "circuit": "cct", "circle": "cir", "highway": "hwy", "parkway": "pkwy", "close": "cl", "grove": "gr",
    "apartment": "apt", "flat": "apt", "unit": "apt", "suite": "ste", "number": "no", "floor": "fl", "building": "bldg",
    "north": "n", "south": "s", "east": "e", "west": "w", "saint": "st", "mount": "mt", "fort": "ft",
}  # fmt: skip
_PHONE = re.compile(r"(?:\+?1[ .-]?)?\(?([2-9][0-9]{2})\)?[ .-]?([0-9]{3})[ .-]?([0-9]{4})")
_NO_DIGIT = str.maketrans("", "", " ()-+./")
_HOUSE = re.compile(r"\s*(\d*)\w?\b[\s,]*(.*)", re.DOTALL)


def normalised_name(text: object) -> str:
    """A name without case, accents, blanks and marks; "" when it is not text."""
    if not isinstance(text, str):
        return ""
    if text.isascii():  # nearly always
        lower = text.lower()
        return lower if lower.isalnum() else "".join(filter(str.isalnum, lower))
    decomposed = unicodedata.normalize("NFKD", text.casefold()).translate(_LETTERS)
    return "".join(letter for letter in decomposed if letter.isalnum())


def is_doe(family: str, first: str) -> bool:
    """Whether two normalised names are John or Jane Doe: nobody."""
    return family == "doe" and first in _DOE


def real_family(text: object) -> str:
    """A family name, normalised; "" for a placeholder (UNKNOWN, BabyBoy)."""
    family = normalised_name(text)
    return "" if is_nobody(family) or _NEWBORN_FAMILY.fullmatch(family) else family


def real_first_name(text: object) -> str:
    """A first name, normalised; "" for a placeholder (UNK, Baby Girl, GirlMarie)."""
    first = normalised_name(text)
    return "" if is_nobody(first) or _is_newborn(text, first) else first


def without_generation(family: object) -> tuple[str, str]:
    """("Smith", "2") of "Smith, Jr.": the name, and the generation or ""."""
    words = family.split() if isinstance(family, str) else []
    generation = GENERATIONS.get(normalised_name(words[-1]), "") if len(words) > 1 else ""
    return (" ".join(words[:-1]), generation) if generation else (" ".join(words), "")


def is_nobody(text: str) -> bool:
    """Whether a normalised name or number is a placeholder, or one letter over and over."""
    return text in _NOBODY or (len(text) > 2 and text[1:] == text[:-1])


def _is_newborn(written: object, first: str) -> bool:
    return bool(_NEWBORN.fullmatch(first) or (isinstance(written, str) and _NEWBORN_OF.match(written)))


def real_ssn(text: str) -> str | None:
    """Nine digits, or None for what the Social Security Administration never gave to one person (POMS RM 10201)."""
    digits = text if text.isdigit() else re.sub(r"[\s-]", "", text)
    return digits if _SSN.fullmatch(digits) and digits not in _PLACEHOLDER_SSNS else None


def first_and_rest(text: str) -> tuple[str, str]:
    """("Mary", "Ann") of "Mary Ann"; placeholders of several words (Baby Girl) stay whole.

    Thị is no first name: it stands before those of Vietnamese women.
    """
    words = untitled(text).split()
    if len(words) < 2 or not real_first_name(" ".join(words)):
        return " ".join(words), ""
    first = 1 if normalised_name(words[0]) == "thi" else 0
    return words[first], " ".join(words[:first] + words[first + 1 :])


def name_words(text: str) -> list[str]:
    """The words of a name, normalised: no title, particle, generation or placeholder; a letter alone is one."""
    words = [normalised_name(word) for word in re.split(r"[\s,;/\-]+", text)]
    if len(words) == 1 and len(words[0]) == 1:
        return words
    return [word for word in words if word and word not in _NO_NAMES and not is_nobody(word)]


def untitled(text: str) -> str:
    """A name without Mr, Dr and the like before it."""
    words = text.split()
    while len(words) > 1 and normalised_name(words[0]) in _TITLES:
        words = words[1:]
    return " ".join(words)


def family_parts(text: str) -> str:
    """The words of a family name of several (hyphenated, or with two names), "" for one."""
    words = name_words(without_generation(text)[0])
    return " ".join(words) if len(words) > 1 else ""


def number_of(text: str) -> str:
    """A social security number: nine digits by its issuer's rules, another country's as it is, the last four."""
    if len(text) == 9 and text.isdigit():  # nearly always
        return real_ssn(text) or ""
    squeezed = text if text.isdigit() else _MARKS.sub("", text.casefold())
    if squeezed.isdigit() and len(squeezed) == 9:
        return real_ssn(squeezed) or ""
    return "" if len(squeezed) < 4 or is_nobody(squeezed) else squeezed


def phone_of(text: str) -> str:
    """The significant digits of a telephone number: no country code 1, no leading zeros (E.164 without its +)."""
    if usual := _PHONE.fullmatch(text):
        digits = "".join(usual.groups())
    else:
        digits = text.partition("x")[0].partition("e")[0].translate(_NO_DIGIT).lstrip("0")
        if not digits.isdigit():
            digits = re.sub(r"\D", "", digits)
        digits = digits[1:] if len(digits) == 11 and digits[0] == "1" else digits
    nobody = len(digits) < 6 or digits.endswith("5551212") or not digits[-7:].strip(digits[-1])
    return "" if nobody else digits


def email_of(text: str) -> str:
    """An address in lower case, without +tags; "" when it is none."""
    local, at, domain = text.casefold().replace("mailto:", "").strip().partition("@")
    local = local.partition("+")[0]
    nobody = is_nobody(local) or local in _NO_LOCALS
    return f"{local}@{domain}" if at and local and "." in domain and not nobody else ""


def postal_code_of(text: str) -> str:
    """A postal code without blanks; of a US one, the five digits."""
    code = text if text.isdigit() else _MARKS.sub("", text.casefold())
    code = code[:5] if len(code) == 9 and code.isdigit() else code
    return "" if not code or set(code) <= {"0"} or set(code) == {"9"} or is_nobody(code) else code


@lru_cache(16384)
def place_of(text: str) -> str:
    """A city, state or second line of an address: words in their short form."""
    words = [_ABBREVIATIONS.get(word, word) for word in text_of(text).split()]
    return " ".join(words)


def text_of(text: str) -> str:
    """Any text: lower case, no accents, no marks."""
    plain = text.casefold()
    if not plain.isascii():
        plain = unicodedata.normalize("NFKD", plain)
        plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    words = _MARKS.sub(" ", plain).strip()
    return "" if is_nobody(words.replace(" ", "")) else words


def split_street(text: str) -> tuple[str, str]:
    """House number and name of a street; the name has no blanks, which are often lost."""
    found = _HOUSE.match(text)  # not where there is no letter and no digit
    house, name = found.groups() if found else ("", text)
    return house.casefold(), place_of(name).replace(" ", "")
