"""Standardisation, comparison levels, the person gate and clustering, each as a table or a property."""

from datetime import date

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rapidfuzz.distance import OSA

from healthsync.domains.identity import Demographics, demographics_of
from healthsync.domains.identity.levels import levels_between
from healthsync.domains.identity.linkage import meaning_of, parse_map, reason_codes, standardise
from healthsync.domains.identity.linkage.clustering import average_linkage, components, one_to_one
from healthsync.domains.identity.linkage.comparing import Comparer, levels_of
from healthsync.domains.identity.linkage.gate import reasons_against
from healthsync.domains.identity.linkage.standardising import (
    date_of,
    email_of,
    number_of,
    phone_of,
    postal_code_of,
    split_name,
)
from healthsync.domains.identity.weighing import gate
from healthsync.errors import InvalidInput

TODAY = date(2026, 11, 27)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1980-04-03", "19800403"), ("1980-04-03T10:00", "19800403"), ("19800403", "19800403"), ("1980", "1980????"),
        ("1980-04", "198004??"), ("04/13/1980", "19800413"), ("13/04/1980", "19800413"), ("3.4.1980", "19800403"),
        ("3-APR-1980", "19800403"), ("April 3, 1980", "19800403"), ("4/3/80", "19800403"), ("1900-01-01", ""),
        ("2031-01-01", ""), ("", ""), ("unknown", ""), ("19801399", "19801399"), ("0000-00-00", ""),
    ],
)  # fmt: skip
def test_dates_are_read_in_every_usual_spelling_and_placeholders_are_missing(written: str, meant: str) -> None:
    assert date_of(written, today=TODAY) == meant


@pytest.mark.parametrize(
    ("rule", "written", "meant"),
    [
        (phone_of, "+1 (212) 555-0187", "2125550187"), (phone_of, "212.555.0187 ext 4", "2125550187"),
        (phone_of, "000-0000", ""), (phone_of, "n/a", ""), (email_of, " Ann+x@Mail.Example ", "ann@mail.example"),
        (email_of, "none@mail.example", ""), (email_of, "ann", ""), (number_of, "212-45-6789", "212456789"),
        (number_of, "999-99-9999", ""), (number_of, "5304218", "5304218"), (number_of, "6789", "6789"),
        (postal_code_of, "12345-6789", "12345"), (postal_code_of, "TQ13 8DF", "tq138df"), (postal_code_of, "00000", ""),
    ],
)  # fmt: skip
def test_numbers_and_addresses_have_one_form(rule, written: str, meant: str) -> None:
    assert rule(written) == meant


@pytest.mark.parametrize(
    ("whole", "parts"),
    [
        ("Smith, John A", ("John", "Smith", "A")),
        ("Dr John A Smith", ("John", "Smith", "A")),
        ("Cher", ("Cher", "", "")),
    ],
)
def test_a_whole_name_is_taken_apart(whole: str, parts: tuple[str, str, str]) -> None:
    assert split_name(whole) == parts


def test_columns_are_recognised_by_their_usual_names() -> None:
    meaning = meaning_of(
        ["rec_id", "Given Name", "surname", "date_of_birth", "soc_sec_id", "suburb", "eyes", "cluster"], {}
    )
    assert meaning.fields == {"id": "rec_id", "given": "Given Name", "family": "surname", "birth_date": "date_of_birth", "ssn": "soc_sec_id", "city": "suburb"}  # fmt: skip
    assert set(meaning.extras) == {"eyes"}
    assert meaning.truth == "cluster"


def test_the_truth_is_never_evidence() -> None:
    assert not meaning_of(["first_name", "cluster", "truth_role", "entity_id", "group"], {}).extras


@pytest.mark.parametrize("text", ["given", "given=", "nickname=x", "given=a,given=b", "given=nowhere"])
def test_a_wrong_map_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(InvalidInput, match="--map"):
        meaning_of(["x", "a", "b"], parse_map(text))


def test_a_file_that_says_nothing_of_a_person_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no column says anything"):
        meaning_of(["id"], {})


def records(*rows: dict[str, str]):
    fields = dict.fromkeys(field for row in rows for field in row)
    raw = {field: [row.get(field, "") for row in rows] for field in fields}
    return standardise(raw, [f"{at:03}" for at in range(len(rows))], [0] * len(rows), today=TODAY)


def level(field: str, one: dict[str, str], other: dict[str, str]) -> str:
    compared = Comparer(records(one, other)).compare(np.array([0], np.int32), np.array([1], np.int32))
    found = int(compared.levels[field][0]) if field in compared.levels else 0
    return levels_of(field)[found - 1] if found else "missing"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("José", "JOSE", "exact"), ("William", "Bill", "nickname"), ("Michael", "Michale", "close"), ("Donald", "Ronald", "alike"), ("Amy", "Aym", "close"), ("J", "James", "initial"),
        ("Maryann", "Mary Ann", "nickname"), ("Ji-woo", "Ji Woo", "nickname"), ("Thi Lan", "Lan", "exact"),
        ("Muhammad", "Mohamed", "nickname"), ("Maryann", "Mary", "initial"), ("Anna", "Robert", "differs"), ("Baby Boy", "Robert", "missing"), ("", "Robert", "missing"),
    ],
)  # fmt: skip
def test_levels_of_first_names(one: str, other: str, expected: str) -> None:
    assert level("given", {"given": one, "family": "Hill"}, {"given": other, "family": "Hill"}) == expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("Garcia-Lopez", "GARCIA LOPEZ", "exact"), ("Garcia", "Garcia-Lopez", "part"), ("Smith", "Smyth", "close"),
     ("Smith", "Jones", "differs"), ("Smith Jr", "Smith", "exact")],
)  # fmt: skip
def test_levels_of_family_names(one: str, other: str, expected: str) -> None:
    assert level("family", {"given": "Ann", "family": one}, {"given": "Ann", "family": other}) == expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("1980-04-03", "1980-03-04", "mistyped"), ("1980-04-03", "1980-04-04", "mistyped"), ("1980-04-03", "1980", "partial"),
     ("1980-04-03", "1966-04-03", "two-parts"), ("1980-04-03", "1980-11-28", "year"), ("1980-04-03", "1966-11-28", "differs")],
)  # fmt: skip
def test_levels_of_birth_dates(one: str, other: str, expected: str) -> None:
    assert level("birth_date", {"birth_date": one}, {"birth_date": other}) == expected


@pytest.mark.parametrize(
    ("given", "another"),
    [("Taara", True), ("Tamarra", False), ("Tamarae", False)],
)
def test_a_misspelt_name_that_is_as_near_to_a_third_name_could_be_that(given: str, another: bool) -> None:
    comparer = Comparer(records({"given": "Tamara", "family": "Hill"}, {"given": given, "family": "Hill"},
                                {"given": "Tara", "family": "Hill"}))  # fmt: skip
    assert bool(comparer.could_be_another(np.array([0], np.int32), np.array([1], np.int32))[0]) is another


@pytest.mark.parametrize(
    ("field", "one", "other", "expected"),
    [
        ("mother_family", "O'Neil", "ONEIL", "exact"), ("mother_family", "Holm", "Holmes", "alike"),
        ("mother_family", "unknown", "Holm", "missing"), ("guardian_given", "Ann", "Robert", "differs"),
        ("insurance", "MC-572 090", "mc572090", "exact"), ("insurance", "572090468", "572090486", "mistyped"),
        ("insurance", "000000", "572090", "missing"), ("multiple_birth", "Y", "2", "exact"),
        ("multiple_birth", "N", "true", "differs"), ("multiple_birth", "maybe", "Y", "missing"),
        ("birth_order", "1", "02", "differs"), ("birth_order", "0", "1", "missing"),
    ],
)  # fmt: skip
def test_levels_of_what_is_told_of_children(field: str, one: str, other: str, expected: str) -> None:
    assert level(field, {"given": "Ann", field: one}, {"given": "Ann", field: other}) == expected


def test_a_second_family_name_is_part_of_a_hyphenated_one() -> None:
    one, other = {"given": "Ann", "family": "Garcia", "family_second": "Lopez"}, {"given": "Ann", "family": "Garcia"}
    assert level("family", one, other) == "part"
    assert level("family", one, {"given": "Ann", "family": "Garcia-Lopez"}) == "exact"


@given(st.text("abcdef", min_size=6, max_size=9), st.text("abcdef", min_size=6, max_size=9), st.data())
def test_only_what_cannot_be_one_letter_apart_is_left_unmeasured(one: str, other: str, data) -> None:
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(one) - 1))
        other = one[:at] + data.draw(st.sampled_from(("", "x", one[at] + one[at]))) + one[at + 1 :]
    assume(number_of(one) == one and number_of(other) == other)
    apart = OSA.distance(one, other)
    found = level("ssn", {"given": "Ann", "ssn": one}, {"given": "Ann", "ssn": other})
    assert found == ("exact" if apart == 0 else "mistyped" if apart == 1 else "differs")


@pytest.mark.parametrize(
    ("street", "expected"), [("5 Elm St", ("exact", "missing")), ("77 Oak Rd", ("missing", "exact"))]
)
def test_telephones_of_records_that_live_apart_are_told_apart(street: str, expected: tuple[str, str]) -> None:
    one = {"given": "Ann", "street": "5 Elm St", "city": "Salem", "phone": "2125550187"}
    assert tuple(level(field, one, one | {"street": street}) for field in ("phone", "phone_moved")) == expected


def test_swapped_names_are_told_once() -> None:
    one, other = {"given": "Holm", "family": "Iversen"}, {"given": "Iversen", "family": "Holm"}
    assert level("family", one, other) == "swapped"
    assert level("given", one, other) == "missing"


BASE = {"given": "Eric", "family": "Stone", "birth_date": "1980-04-03", "sex": "M", "street": "5 Elm St", "city": "Salem", "phone": "2125550187"}  # fmt: skip


@pytest.mark.parametrize(
    ("other", "reasons"),
    [
        ({}, ()),
        ({"given": "Eirc", "middle": "Ray"}, ()),
        ({"given": "Robert"}, ("demographics-differ", "twin-suspected")),
        ({"given": "Erik"}, ("twin-suspected",)),
        ({"birth_date": "1980-04-04"}, ()),
        ({"birth_date": "1955-09-21"}, ("demographics-differ",)),
        ({"suffix": "Jr"}, ("suffix-conflict",)),
        ({"ssn": "412-45-9981"}, ("ssn-conflict",)),
        ({"sex": "F", "given": "Erica"}, ("twin-suspected", "sex-conflict")),
        ({"given": "Erix"}, ("twin-suspected",)),
        ({"given": "Erix", "birth_date": "1980-04-04"}, ("twin-suspected",)),
        ({"given": "Eirc", "multiple_birth": "Y"}, ("twin-suspected",)),
        ({"multiple_birth": "2"}, ()),
        ({"birth_order": "2"}, ("twin-suspected",)),
        ({"family": "Castle"}, ()),
        ({"family": "Castle", "mother_family": "Ferris"}, ("demographics-differ",)),
        ({"given": "E", "middle": "Ray"}, ()),
        ({"given": "E"}, ("demographics-differ",)),
    ],
)
def test_the_person_gate_tells_twins_namesakes_and_conflicts_apart(
    other: dict[str, str], reasons: tuple[str, ...]
) -> None:
    told = {"suffix": "Sr", "ssn": "212-45-6789", "middle": "Ray", "birth_order": "1", "mother_family": "Holm"}
    both = records(BASE | told, BASE | other)
    comparer = Comparer(both)
    found = reasons_against(comparer, comparer.compare(np.array([0], np.int32), np.array([1], np.int32)))
    assert set(reason_codes(int(found[0]))) >= set(reasons)
    assert bool(found[0]) == bool(reasons)


@pytest.mark.parametrize(
    ("one", "other", "reasons"),
    [
        ({"given": "William"}, {"given": "Willie"}, ("twin-suspected",)),
        ({"given": "William", "middle": "Ray"}, {"given": "Willie", "middle": "R"}, ()),
        ({"given": "William", "email": "will@x.example"}, {"given": "Willie", "email": "will@x.example"}, ("twin-suspected",)),
        ({"given": "William", "email": "willie3@x.example"}, {"given": "Willie", "email": "willie3@x.example"}, ()),
        ({"given": "Charles"}, {"given": "Chas"}, ()),  # nobody is christened so
        ({"given": "W"}, {"given": "W"}, ("demographics-differ",)),
        ({"given": "W", "middle": "R"}, {"given": "William", "middle": "R"}, ("demographics-differ",)),
        ({"given": "W", "middle": "Ray"}, {"given": "William", "middle": "Ray"}, ()),
        ({"given": "Stone", "family": "Eric"}, {}, ()),
        ({"given": "Stone", "family": "Erik"}, {}, ("twin-suspected",)),
        ({"birth_date": "1960-04-03"}, {}, ("generations-suspected",)),
        ({"birth_date": "1960-04-03", "middle": "Ray"}, {"middle": "Ray"}, ()),
        ({"birth_date": "1981-04-03"}, {}, ()),
        # another day of one year is a mistake: nobody has two children of one name in it
        ({"birth_date": "1980-04-29"}, {}, ()),
        ({"birth_date": "1980-04-29", "given": "Erich"}, {}, ("demographics-differ",)),
        ({"birth_date": "1980-04-29", "phone": "", "street": ""}, {}, ("demographics-differ",)),
        ({"birth_date": "1992-04-03"}, {}, ("demographics-differ",)),
        # twin sisters are called María Rosa and María Elena
        ({"middle": "Rosa"}, {"middle": "Elena"}, ("twin-suspected",)),
        ({"middle": "R"}, {"middle": "Elena"}, ("twin-suspected",)),
        ({"middle": "Rosa"}, {"middle": "E."}, ("twin-suspected",)),  # alone it is no "and"
        ({"middle": "Rosa", "ssn": "212-45-6789"}, {"middle": "Elena", "ssn": "212-45-6789"}, ()),
        # María alone may be the first half of either's name
        ({"given": "María", "middle": "Rosa"}, {"given": "Maria"}, ("twin-suspected",)),
        ({"given": "María", "middle": "Rosa"}, {"given": "Maria", "middle": "R"}, ()),
        ({"given": "María"}, {"given": "Maria"}, ()),
        ({"given": "Ana", "middle": "Rosa", "ssn": "212-45-6789"}, {"given": "Ana", "ssn": "212-45-6789"}, ()),
        # one name in two words, or from another script
        ({"given": "Ji", "middle": "Woo"}, {"given": "Ji-woo"}, ()),
        ({"given": "Ji", "middle": "Woo"}, {"given": "Ji-hoon"}, ("demographics-differ",)),
        ({"given": "Mohammed"}, {"given": "Muhammad"}, ()),
        # letters swapped or doubled make no other name; the first letter is rarely wrong
        ({"given": "Daneille", "sex": "F"}, {"given": "Danielle", "sex": "F"}, ()),
        ({"given": "Ajmes"}, {"given": "James"}, ()),
        # a child registered under the SSN of a parent whose name it bears
        ({"birth_date": "2011-08-17", "ssn": "212-45-6789"}, {"ssn": "212-45-6789"}, ("generations-suspected",)),
        ({"birth_date": "1982-08-17", "ssn": "212-45-6789"}, {"ssn": "212-45-6789"}, ()),
        # namesakes share whole names, too
        ({"birth_date": "1980-04-13", "middle": "Ray", "phone": "", "street": ""}, {"middle": "Ray"}, ("demographics-differ",)),
        # one of several family names in the place of the first name
        ({"given": "Stone", "family": "Eric"}, {"family": "Hill-Stone"}, ()),
        ({"given": "Stone", "family": "Erik"}, {"family": "Hill-Stone"}, ("demographics-differ",)),
        # a misspelt name may be a third one, if people of that sex bear it
        ({"given": "Juan"}, {"given": "Juanb"}, ()),
        ({"given": "Juan", "sex": ""}, {"given": "Juanb"}, ("twin-suspected",)),
        ({"given": "James"}, {"given": "Jas"}, ()),  # an abbreviation, as clerks write it
        ({"given": "Francisco"}, {"given": "Fco."}, ()),
    ],
)  # fmt: skip
def test_what_relatives_do_not_share_tells_a_short_name_from_a_twin_in_a_file_and_on_the_way_in(
    one: dict[str, str], other: dict[str, str], reasons: tuple[str, ...]
) -> None:
    both = records(BASE | one, BASE | other)
    comparer = Comparer(both)
    found = reasons_against(comparer, comparer.compare(np.array([0], np.int32), np.array([1], np.int32)))
    assert reason_codes(int(found[0])) == reasons
    assert gate(levels_between(arriving(BASE | one), arriving(BASE | other))) == reasons


def test_a_name_that_begins_with_another_letter_is_another_name_if_it_was_written_twice() -> None:
    sarah, farah = BASE | {"given": "Sarah", "sex": "F"}, BASE | {"given": "Farah", "sex": "F"}
    for rows, reasons in (((sarah, farah, sarah), ()), ((sarah, farah, sarah, farah), ("twin-suspected",))):
        comparer = Comparer(records(*rows))
        found = reasons_against(comparer, comparer.compare(np.array([0], np.int32), np.array([1], np.int32)))
        assert reason_codes(int(found[0])) == reasons
    assert gate(levels_between(arriving(sarah), arriving(farah))) == ("twin-suspected",)


def arriving(row: dict[str, str]) -> Demographics:
    """The same record as it arrives at the hub."""
    return demographics_of({
        "name": [{"family": row["family"], "given": [row["given"], row.get("middle", "")]}],
        "birthDate": row["birth_date"],
        "gender": {"M": "male", "F": "female"}.get(row["sex"]),
        "identifier": [{"system": "http://hl7.org/fhir/sid/us-ssn", "value": row.get("ssn", "")}],
        "address": [{"line": [row["street"]], "city": row["city"]}],
        "telecom": [{"system": "phone", "value": row["phone"]}, {"system": "email", "value": row.get("email", "")}],
    })  # fmt: skip


def test_a_column_that_repeats_the_name_is_no_evidence() -> None:
    rows = [{"given": f"Ann{n}", "family": f"Hill{n}", "extra:first_and_surname": f"ann{n} hill{n}", "extra:eyes": f"c{n % 4}"} for n in range(40)]  # fmt: skip
    assert records(*rows).extras == ["extra:eyes"]


def test_first_of_january_by_the_heap_keeps_only_its_year() -> None:
    heap = [{"birth_date": f"{1940 + n}-01-01"} for n in range(30)]
    others = [{"birth_date": f"{1940 + n}-05-{n % 28 + 1:02}"} for n in range(30)]
    assert "1941????" in records(*heap, *others).columns["birth_date"].values
    assert "19410101" in records(heap[1], *others).columns["birth_date"].values


pairs = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11), st.integers(-12, 12)), max_size=40)


@given(pairs, st.randoms(use_true_random=False))
def test_persons_do_not_depend_on_the_order_of_the_pairs(found, chance) -> None:
    weights = {(min(a, b), max(a, b)): w + (a * 12 + b) / 1000 for a, b, w in found if a != b}
    items = list(weights.items())

    def persons(ordered):
        left, right = (np.array([pair[side] for pair, _ in ordered], np.int32) for side in (0, 1))
        weight = np.array([w for _, w in ordered], float)
        return average_linkage(np.zeros(12, np.int64), left, right, weight, -6, 0.0).tolist()

    shuffled = items[:]
    chance.shuffle(shuffled)
    assert persons(items) == persons(shuffled)


def test_one_bad_pair_does_not_make_one_person_of_two() -> None:
    left, right, weight = zip(*[(a, b, 10.0) for block in (range(4), range(4, 8)) for a in block for b in block if a < b], (3, 4, 9.0), strict=True)  # fmt: skip
    arrays = np.array(left, np.int32), np.array(right, np.int32), np.array(weight)
    assert len(set(components(8, *arrays[:2]).tolist())) == 1
    assert average_linkage(np.zeros(8, np.int64), *arrays, -6, 0.0).tolist() == [0] * 4 + [4] * 4


def test_one_to_one_keeps_the_heaviest_pair_of_each_record() -> None:
    left, right = np.array([0, 0, 1], np.int32), np.array([5, 6, 5], np.int32)
    assert one_to_one(left, right, np.array([3.0, 9.0, 2.0])).tolist() == [False, True, True]


def test_one_name_in_the_wrong_field_is_one_agreement() -> None:
    one, other = {"given": "Robert", "family": "Holm"}, {"given": "Holm", "family": "Castle"}
    assert level("family", one, other) == "elsewhere"
    assert level("given", one, other) == "missing"
