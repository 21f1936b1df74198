"""Relatives of whom hardly anything differs, invented by another hand than `population`: names, errors, households.

Nothing was tuned on it. First names are of several origins, also short ones and pet forms that people bear; families
are adopted into, hyphenated and doubled; SSNs are often missing, those of twins follow each other, and the e-mail
address is often the mother's.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

FIELDS = (
    "given", "middle", "family", "suffix", "birth_date", "sex", "ssn", "street", "city", "state", "postal_code",
    "phone", "email",
)  # fmt: skip
KINDS = ("twin", "one-initial", "look-alike", "triplet", "adopted-twin", "junior", "sibling", "namesake-next-door")

_GIRLS = (  # noqa: SIM905 - easier to read as words
    "Sofia Sophie Valentina Camila Lucia Luz Maria Mariana Ana Anna Annie Ella Elle Ellen Elena Emma Emily Emilia Amy "
    "Amelia Olivia Olive Isabel Isabella Bella Mia Maya Zoe Chloe Charlotte Lottie Grace Gracie Lily Lillian Natalie "
    "Natasha Hannah Abigail Abby Katherine Kate Katie Cathy Nora Eleanor Ruth Rosa Rose Beatriz Beth Elizabeth Liz "
    "Daniela Danielle Victoria Vicky Jasmine Janelle Jade Latoya Keisha Imani Aaliyah Fatou Amina Nadia Priya Mei Yuki "
    "Harper Evelyn Luna Gianna Aria Scarlett Penelope Layla Riley Zoey Willow Ivy Lucy Hazel Aurora Savannah Audrey "
    "Brooklyn Claire Skylar Paisley Everly Caroline Genesis Kennedy Kinsley Allison Sarah Madelyn Adeline Ximena Alondra "
    "Esmeralda Guadalupe Marisol Itzel Noemi Paloma Rocio Yesenia Dolores Consuelo Esperanza Linh Thuy Soo-Jin Aisha "
    "Zahra Leila Samira Oluchi Nkechi Ingrid Astrid Greta Svetlana Oksana Deborah Linda Barbara Carol Sharon Brenda"
).split()
_BOYS = (  # noqa: SIM905 - easier to read as words
    "Mateo Matthew Matt Mateus Lucas Luke Luis Diego Santiago Sebastian Samuel Sam Samir Daniel Dan Danny David Dave "
    "Alejandro Alex Alexander Andres Andrew Andy Antonio Tony Anthony Benjamin Ben Bennett Carlos Charles Charlie Chris "
    "Christian Christopher Ethan Evan Gabriel Isaac Isaiah Jacob Jake Jack John Jon Jonathan Jose Joseph Joe Juan Julian "
    "Kevin Kenneth Ken Liam William Will Bill Noah Nolan Omar Owen Patrick Pat Robert Rob Bobby Steven Steve Tomas "
    "Thomas Tom Tyrone Tyler Jamal Malik Kofi Ibrahim Ravi Arjun Wei Hiro Ivan "
    "Elijah Oliver James Levi Asher Hudson Leo Ezra Jaxon Lincoln Theodore Caleb Hunter Adrian Eli Aaron Landon Connor "
    "Jeremiah Easton Angel Cameron Adam Ian Carson Jaxson Dominic Wesley Emmanuel Axel Javier Fernando Eduardo Emiliano "
    "Maximiliano Joaquin Rafael Salvador Ramon Ignacio Esteban Cesar Hector Raul Ernesto Duc Minh Quang Hyun Sung Tariq "
    "Hassan Yusuf Chidi Emeka Kwame Lars Bjorn Sergei Dmitri Gary Larry Dennis Jerry Walter Harold Eugene Wayne Roger"
).split()
_FAMILIES = (  # noqa: SIM905 - easier to read as words
    "Garcia Rodriguez Martinez Hernandez Lopez Gonzalez Perez Sanchez Ramirez Torres Flores Rivera Gomez Diaz Reyes "
    "Morales Cruz Ortiz Gutierrez Chavez Ramos Nguyen Tran Pham Kim Park Lee Chen Wang Singh Patel Shah Khan Ahmed Smith "
    "Johnson Williams Brown Jones Miller Davis Wilson Anderson Taylor Thomas Moore Jackson White Harris Clark Lewis "
    "Robinson Walker Young Allen King Wright Scott Hill Green Adams Nelson Baker Hall Campbell Mitchell Carter Roberts "
    "O'Connor O'Brien MacDonald McCarthy Washington Jefferson Okafor Mensah Diallo Kowalski Novak Petrov Schmidt Larsen"
).split()
_ALIKE = (  # noqa: SIM905 - easier to read as words
    "Jon/John Jose/Josue Ana/Anna Elle/Ella Mia/Maya Kate/Katie Alex/Alexa Marco/Mario Tomas/Thomas Kayden/Jayden "
    "Lila/Lily Dana/Danna Kyla/Kyra Noel/Noelle Erin/Erick Cara/Kara Mark/Marc Janelle/Danelle Amina/Amira Ravi/Rafi"
).split()
_STREETS = [
    "Mission",
    "Valencia",
    "Guerrero",
    "Castro",
    "Alameda",
    "Sierra",
    "Vista",
    "Linda",
    "Camino",
    "Rancho",
    "Laguna",
    "Coronado",
    "Palma",
    "Loma",
]
_KINDS_OF_STREET = (("Street", "St"), ("Boulevard", "Blvd"), ("Court", "Ct"), ("Parkway", "Pkwy"), ("Drive", "Dr"))
_TOWNS = (("Fresno", "93701"), ("Visalia", "93277"), ("Tulare", "93274"), ("Merced", "95340"), ("Modesto", "95350"),
          ("Stockton", "95202"), ("Salinas", "93901"), ("Hanford", "93230"), ("Delano", "93215"))  # fmt: skip
_SHORT = {"William": "Wm", "Charles": "Chas", "Joseph": "Jos", "Robert": "Robt", "Elizabeth": "Eliz", "Maria": "Ma"}

Row = dict[str, str]


@dataclass
class Relatives:
    """Rows with their truth, and the pairs of relatives by kind; the same seed gives the same rows."""

    seed: int
    rows: list[Row] = field(default_factory=list)
    truth: list[str] = field(default_factory=list)
    pairs: list[tuple[str, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def fill(self, *, people: int, of_each_kind: int, again: int) -> Relatives:
        """People of a town, so many pairs of relatives of each kind, and so many of all registered again."""
        for _ in range(people):
            self._add(self._person())
        for kind in KINDS:
            for _ in range(of_each_kind):
                self._relatives(kind)
        known = len(self.rows)
        for _ in range(again):
            place = self._chance.randrange(known)
            self._add(self._written_again(self.rows[place]), self.truth[place])
        return self

    def _add(self, row: Row, truth: str = "") -> int:
        self.rows.append(row)
        self.truth.append(truth or f"P{len(self.rows)}")
        return len(self.rows) - 1

    def _relatives(self, kind: str) -> None:
        chance = self._chance
        one = self._person(age=(0, 60))
        other = one | {"given": self._given(one["sex"], but=one["given"]), "middle": self._middle(one["sex"])}
        other["ssn"] = self._next_number(one["ssn"])
        if kind == "one-initial":
            names = [name for name in self._names(one["sex"]) if name[0] == one["given"][0] and name != one["given"]]
            other["given"] = chance.choice(names) if names else other["given"]
        elif kind == "look-alike":
            one["given"], other["given"] = chance.choice(_ALIKE).split("/")
        elif kind == "adopted-twin":
            other["family"] = chance.choice((f"{one['family']}-{self._family()}", self._family()))
        elif kind == "junior":
            born = date.fromisoformat(one["birth_date"]) - timedelta(days=chance.randrange(18 * 365, 40 * 365))
            told = chance.random() < 0.4
            one["suffix"] = "Jr" if told else ""
            other |= {
                "given": one["given"],
                "birth_date": born.isoformat(),
                "born": born.isoformat(),
                "suffix": "Sr" if told else "",
            }
            other["ssn"] = self._number()
        elif kind == "sibling":
            born = date.fromisoformat(one["birth_date"]) - timedelta(days=chance.randrange(300, 9 * 365))
            other |= {"birth_date": born.isoformat(), "born": born.isoformat(), "ssn": self._number()}
        elif kind == "namesake-next-door":
            home = self._home() | {"city": one["city"], "postal_code": one["postal_code"]}
            other = self._person() | home | {name: one[name] for name in ("given", "family", "sex")}
        places = [self._add(one)]
        siblings = [other]
        if kind == "triplet":
            siblings.append(other | {"given": self._given(one["sex"], but=other["given"]), "ssn": ""})
        for sibling in siblings:
            if sibling["given"] == one["given"] and kind not in ("junior", "namesake-next-door"):
                continue
            places.append(self._add(self._written_again(sibling) if chance.random() < 0.5 else sibling))
            self.pairs.append((kind, places[0], places[-1]))

    def _written_again(self, person: Row) -> Row:
        """At another desk."""
        chance, row = self._chance, dict(person)
        if chance.random() < 0.04:
            row["given"] = _SHORT.get(row["given"], row["given"][:1])
        elif chance.random() < 0.05:
            row["given"] = self._misspelt(row["given"])
        elif chance.random() < 0.03 and row["middle"]:
            row["given"], row["middle"] = f"{row['given']} {row['middle']}", ""
        if chance.random() < 0.5:
            row["middle"] = chance.choice((row["middle"][:1], ""))
        if chance.random() < 0.05:
            row["family"] = self._misspelt(row["family"])
        if "-" in row["family"] and chance.random() < 0.5:
            row["family"] = chance.choice((row["family"].replace("-", " "), *row["family"].split("-")))
        if chance.random() < 0.015:
            row["given"], row["family"] = row["family"], row["given"]
        row["birth_date"] = person["born"]
        if chance.random() < 0.03:
            year, month, day = row["birth_date"].split("-")
            row["birth_date"] = f"{year}-{day}-{month}" if int(day) <= 12 else f"{year}-{month}-{int(day) - 1:02}"
        if chance.random() < 0.12:
            row |= self._home()
        for long, short in _KINDS_OF_STREET:
            row["street"] = row["street"].replace(long, short) if chance.random() < 0.5 else row["street"]
        if chance.random() < 0.3:
            row["birth_date"] = "{1}/{2}/{0}".format(*row["birth_date"].split("-"))
        for name in ("ssn", "phone", "email", "street", "suffix", "sex"):
            if chance.random() < (0.25 if name == "ssn" else 0.08):
                row[name] = ""
        return row

    def _person(self, age: tuple[int, int] = (0, 95)) -> Row:
        chance = self._chance
        sex = chance.choice("MF")
        born = date(2026, 6, 1) - timedelta(days=chance.randrange(age[0] * 365, age[1] * 365))
        row = dict.fromkeys(FIELDS, "") | self._home()
        row |= {"given": self._given(sex), "middle": self._middle(sex), "family": self._family(), "sex": sex}
        row |= {
            "birth_date": born.isoformat(),
            "born": born.isoformat(),
            "ssn": self._number() if chance.random() < 0.6 else "",
        }
        if chance.random() < 0.4:  # the mother's, for the whole family
            row["email"] = f"{chance.choice(_GIRLS)}{row['family']}{chance.randrange(100)}@example.net".lower()
        return row | {"born": row["birth_date"]}

    def _home(self) -> Row:
        chance = self._chance
        city, postal_code = chance.choice(_TOWNS)
        street = f"{chance.randrange(1, 9999)} {chance.choice(_STREETS)} {chance.choice(_KINDS_OF_STREET)[0]}"
        phone = f"559{chance.randrange(2_000_000, 9_999_999)}"
        return {"street": street, "city": city, "state": "CA", "postal_code": postal_code, "phone": phone}

    def _names(self, sex: str) -> Sequence[str]:
        return _GIRLS if sex == "F" else _BOYS

    def _given(self, sex: str, *, but: str = "") -> str:
        return self._chance.choice([name for name in self._names(sex) if name != but])

    def _middle(self, sex: str) -> str:
        return self._given(sex) if self._chance.random() < 0.4 else ""

    def _family(self) -> str:
        name = self._chance.choice(_FAMILIES)
        return f"{name}-{self._chance.choice(_FAMILIES)}" if self._chance.random() < 0.15 else name

    def _number(self) -> str:
        chance = self._chance
        return f"{chance.randrange(545, 574)}-{chance.randrange(1, 99):02}-{chance.randrange(1, 9998):04}"

    def _next_number(self, number: str) -> str:
        """Twins are registered one after the other; half of them only once."""
        return f"{number[:7]}{int(number[7:]) + 1:04}" if number and self._chance.random() < 0.5 else ""

    def _misspelt(self, text: str) -> str:
        at = self._chance.randrange(1, max(2, len(text) - 1))
        return self._chance.choice((text[:at] + text[at + 1 :], text[:at] + text[at : at + 1] + text[at:],
                                    text[:at] + text[at : at + 2][::-1] + text[at + 2 :]))  # fmt: skip
