"""Names of people, streets and towns that nobody has: coined, so that finding one in a file can be no coincidence.

Every name has at least `leaks.SHORTEST` letters and is put together here only; none is a word of any language we know,
nor of this project.
"""

from __future__ import annotations

from itertools import product


def _coined(stems: str, endings: str) -> tuple[str, ...]:
    """Every stem with every ending, neighbours in the result having different stems."""
    return tuple(stem + ending for ending, stem in product(endings.split(), stems.split()))


FAMILY = _coined(
    "Vandrel Korvath Ostrell Brenvick Tamsorr Helvand Quorrim Draysten Wexmorr Zelliff Jorvand Mindrox",
    "owicz imsund aquist elby orsk enholt ugan ariello ovsk etterby amundi eskell izarro",
)
"""Family names."""

ACCENTED = ("Ávandréll", "Žellimór", "Örvandsgård", "Quorríñez", "Tamsørlund", "Kœrvenaç")
"""Family names whose accents some sources lose."""

FEMALE = _coined(
    "Mirrel Tavion Orsel Jandriv Quellis Brisand Hestrov Lorvind Zamphir Wendrax",
    "ana ette isse ophe ulia yndra elka ovine",
)
"""Given names of women."""

MALE = _coined(
    "Draxim Kelvor Fenrust Gorvan Palvik Rothgim Stelvar Ulfrand Yarvick Bexlan",
    "ander olfo us imir ocke ard elio onte",
)
"""Given names of men; none is a woman's."""

STREETS = _coined(
    "Velmarrow Thistlegard Ombercroft Pellwharf Ruskholme Saltvane Crindlebeck Foxholmen",
    "gate strand wick mere stead toft",
)
"""Streets; the kind of street follows."""

TOWNS = ("Tarnwickhamby", "Oldvrakestead", "Pellisbournea", "Graymarlinford")
"""Towns, in the state of Vermont."""


def nickname(given: str) -> str:
    """What friends and some registration desks say: the beginning of the name."""
    return given[:7]


def without_accents(name: str) -> str:
    """What a system with an old character set makes of a name."""
    return name.translate(_PLAIN)


_PLAIN = str.maketrans(dict(zip("ÁáéŽóÖåíñøç", "AaeZoOainoc", strict=True)) | {"œ": "oe"})
