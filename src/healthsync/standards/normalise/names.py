"""Names of people: parts and case.

Case is put right only where none was written (all capitals or all small): "deVries" and "McDonald" were meant so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from healthsync.standards.normalise.outcome import Normalised

GENERATIONS = {"sr": "1", "senior": "1", "jr": "2", "junior": "2", "ii": "2", "2nd": "2", "iii": "3", "3rd": "3",
               "iv": "4", "4th": "4", "v": "5", "5th": "5"}  # fmt: skip
"""How generations are written, and which of a name they are: a Junior is the second."""

PREFIXES = frozenset({
    "mr", "mrs", "ms", "miss", "mx", "dr", "prof", "professor", "doctor", "sir", "dame", "lord", "lady", "rev",
    "reverend", "fr", "father", "sister", "rabbi", "imam", "hon", "judge", "capt", "captain", "col", "colonel", "gen",
    "general", "lt", "maj", "major", "sgt", "herr", "frau", "dipl-ing", "mag",
})  # fmt: skip
CREDENTIALS = frozenset({
    "md", "do", "mbbs", "mbchb", "phd", "dphil", "dsc", "rn", "bsn", "msn", "np", "fnp", "aprn", "arnp", "crna",
    "cnm", "cns", "dnp", "lpn", "lvn", "pa", "pac", "pa-c", "rph", "pharmd", "dds", "dmd", "dpm", "dc", "od", "dvm",
    "pt", "dpt", "ot", "otr", "slp", "rd", "rt", "emt", "msw", "lcsw", "lmft", "psyd", "mph", "mha", "mba", "ms",
    "ma", "ba", "bs", "facp", "facs", "facc", "facog", "faap", "faafp", "facep", "fccp", "frcp", "frcs", "mrcp",
    "esq", "cpa", "jd", "fnp-bc",
})  # fmt: skip
_WRITTEN = {"phd": "PhD", "dphil": "DPhil", "pharmd": "PharmD", "psyd": "PsyD", "esq": "Esq", "mbchb": "MBChB",
            "rph": "RPh", "dsc": "DSc", "pac": "PA-C", "jr": "Jr", "sr": "Sr", "junior": "Jr", "senior": "Sr",
            "2nd": "2nd", "3rd": "3rd", "4th": "4th", "5th": "5th"}  # fmt: skip

PARTICLES = frozenset({
    "van", "von", "vom", "zu", "zum", "zur", "der", "den", "dem", "de", "del", "della", "dello", "degli", "dei", "di",
    "da", "das", "dos", "do", "du", "des", "la", "las", "le", "los", "ten", "ter", "te", "af", "av", "bin", "bint",
    "ibn", "ben", "al", "el", "y", "e", "st", "st.",
})  # fmt: skip
"""Words that begin a family name of several words."""
_SMALL = PARTICLES - {"la", "las", "le", "los", "al", "el", "ben", "bin", "bint", "ibn", "st", "st."}
"""Those that are written small before the rest of the name; `la` only behind `de` (de la Cruz, but La Rosa)."""
_SMALL_BEHIND_DE = frozenset({"la", "las", "los", "le"})

_MAC = frozenset({
    "macallister", "macalister", "macarthur", "macaulay", "macbeth", "macbride", "maccallum", "maccoll", "maccormack",
    "macdermott", "macdonald", "macdonnell", "macdougall", "macdowell", "macduff", "macewan", "macewen", "macfadyen",
    "macfarlane", "macgillivray", "macgowan", "macgregor", "macinnes", "macinnis", "macintosh", "macintyre",
    "maciver", "mackay", "mackenzie", "mackinlay", "mackinnon", "mackintosh", "maclachlan", "maclaren", "maclean",
    "macleish", "macleod", "macmahon", "macmanus", "macmaster", "macmillan", "macnab", "macnamara", "macneil",
    "macneill", "macphail", "macpherson", "macquarie", "macqueen", "macrae", "macsween", "mactaggart", "mactavish",
    "macvicar", "macwilliams",
})  # fmt: skip
"""Names whose Mac stands before a capital. Others (Mackey, Macias, Machado, Macy) are one word."""
_ELISION = re.compile(r"(?:o|d|l|dell|dall|n|m)['’](?=\w{2})")
"""O'Brien, D'Angelo, Dell'Acqua; of other apostrophes (Ja'son) it is not known what follows."""
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_CREDENTIALS_THAT_ARE_NAMES = frozenset({"ms", "ma", "do", "od", "pa", "ba", "bs", "pt", "ot", "rd", "rt", "dc", "np"})
"""Ma, Do and their like are credentials only behind a comma."""


@dataclass(frozen=True, slots=True)
class PersonName:
    """A name in its parts, as FHIR's HumanName has them: suffixes hold generations and credentials."""

    family: str = ""
    given: tuple[str, ...] = ()
    prefix: tuple[str, ...] = ()
    suffix: tuple[str, ...] = ()

    def human_name(self) -> dict[str, Any]:
        """As a FHIR HumanName."""
        parts = {"family": self.family, "given": list(self.given), "prefix": list(self.prefix),
                 "suffix": list(self.suffix)}  # fmt: skip
        return {name: part for name, part in parts.items() if part}


def title_case(text: str) -> str:
    """A name in title case: McDonald, O'Brien, van der Berg, de la Cruz, Smith-Jones, St. John.

    A name that has capitals and small letters is left as it was written.
    """
    words = " ".join(text.split())
    if words != words.upper() and words != words.lower():
        return words
    made = [_cased(word) for word in words.split(" ")]
    for at in range(len(made) - 1):
        word = made[at].lower()
        if word in _SMALL or (word in _SMALL_BEHIND_DE and at and made[at - 1] == "de"):
            made[at] = word
    return " ".join(made)


def suffix_case(text: str) -> str:
    """A generation or credential as it is usually written: Jr, III, MD, PhD."""
    bare = _bare(text)
    if bare in _WRITTEN:
        return _WRITTEN[bare]
    return text.rstrip(".,").upper().replace(".", "") if bare in GENERATIONS or bare in CREDENTIALS else text


def parse_name(text: str) -> Normalised[PersonName]:
    """The parts of a name written in one: "SMITH, JOHN A, MD", "Dr. John van der Berg Jr.", "J. Smith", "SMITH^JOHN^A".

    Before the first comma stands the family name, unless what follows is only suffixes. Without a comma the last word
    and the particles before it are the family name. Problem: `not-a-name`.
    """
    written = " ".join(text.split())
    if not written:
        return Normalised(text)
    if not _WORD.search(written):
        return Normalised.refused(text, "not-a-name")
    if "^" in written:
        return Normalised(text, normalised_parts(_components(written)), ("parsed",))
    first, *others = [part.strip() for part in written.split(",") if part.strip()]
    suffix: list[str] = []
    while others and all(_is_suffix(word, behind_comma=True) for word in others[-1].split()):
        suffix[:0] = others.pop().split()
    if others:
        prefix, given = _without_prefix(others[0].split() + [word for more in others[1:] for word in more.split()])
        family, more = _without_suffix(first.split(), keep=1)
        given, most = _without_suffix(given, keep=1)
        suffix = [*more, *most, *suffix]
    else:
        prefix, words = _without_prefix(first.split())
        words, more = _without_suffix(words, keep=1)
        given, family = _split_family(words)
        suffix = [*more, *suffix]
    name = PersonName(
        family=title_case(" ".join(family)),
        given=tuple(map(title_case, given)),
        prefix=tuple(title_case(word) for word in prefix),
        suffix=tuple(map(suffix_case, suffix)),
    )
    return Normalised(text, name, ("parsed",))


def _components(text: str) -> PersonName:
    """HL7 v2 XPN: family^given^further given^suffix^prefix^degree."""
    family, given, further, suffix, prefix, degree = [part.strip() for part in (text + "^" * 5).split("^")[:6]]
    return PersonName(
        family=family,
        given=tuple(name for name in (given, *further.split()) if name),
        prefix=(prefix,) if prefix else (),
        suffix=tuple(one for one in (suffix, degree) if one),
    )


def normalised_parts(name: PersonName) -> PersonName:
    """The same parts in title case; suffixes that stood in the family name (`Smith Jr`) among the suffixes."""
    family, more = _without_suffix(name.family.replace(",", " ").split(), keep=1)
    return PersonName(
        family=title_case(" ".join(family)),
        given=tuple(map(title_case, name.given)),
        prefix=tuple(map(title_case, name.prefix)),
        suffix=tuple(suffix_case(one) for one in (*more, *name.suffix)),
    )


def _cased(word: str) -> str:
    """One word without blanks; its parts between hyphens each for itself."""
    return "-".join(_cased_part(part) for part in word.split("-"))


def _cased_part(part: str) -> str:
    lower = part.lower()
    if lower in _MAC:
        return "Mac" + lower[3:].capitalize()
    if lower.startswith("mc") and len(lower) > 3:
        return "Mc" + lower[2:].capitalize()
    if match := _ELISION.match(lower):
        return match[0].capitalize() + _cased_part(lower[match.end() :])
    return _WORD.sub(lambda word: word[0][0].title() + word[0][1:], lower)


def _bare(word: str) -> str:
    return word.lower().replace(".", "").strip(",")


def _is_suffix(word: str, *, behind_comma: bool = False) -> bool:
    bare = _bare(word)
    if bare in GENERATIONS or (bare in CREDENTIALS and bare not in _CREDENTIALS_THAT_ARE_NAMES):
        return bare != "v" or behind_comma  # an initial as often as a fifth
    return behind_comma and bare in CREDENTIALS


def _without_suffix(words: list[str], *, keep: int) -> tuple[list[str], list[str]]:
    at = len(words)
    while at > keep and _is_suffix(words[at - 1]):
        at -= 1
    return words[:at], words[at:]


def _without_prefix(words: list[str]) -> tuple[list[str], list[str]]:
    at = 0
    while at < len(words) - 1 and _bare(words[at]) in PREFIXES:
        at += 1
    return words[:at], words[at:]


def _split_family(words: list[str]) -> tuple[list[str], list[str]]:
    """(given, family): the last word, and particles before it, unless they are the first word."""
    at = len(words) - 1
    while at > 1 and words[at - 1].lower() in PARTICLES:
        at -= 1
    return words[:at], words[at:]
