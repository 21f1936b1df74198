"""Search over sealed and clear elements: the SQL decides as the standard's rules do, and tokens lose nobody."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from urllib.parse import parse_qsl

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from healthsync.domains.audit import Action
from healthsync.domains.records import RecordIndex, TermMaker, Visibility, plan_search
from healthsync.domains.records.index import NAME_BITS, SOUND_BITS, parameter_numbers
from healthsync.domains.records.search_terms import Sql
from healthsync.domains.records.statements import INDEXING
from healthsync.errors import InvalidInput
from healthsync.exchange.authenticate import Requester
from healthsync.exchange.ingest import Incoming, Submission, submission_audit
from healthsync.infrastructure.crypto import BlindIndex
from healthsync.standards.fhir import dates, search_parameters
from healthsync.standards.fhir.dates import Prefix
from healthsync.standards.fhir.query import parse

INDEX = RecordIndex(BlindIndex(bytes(32)))
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PREFIXES = [prefix.value for prefix in Prefix]

with_database = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, derandomize=True
)


def _plan(resource_type: str, query: str):
    asked = parse(resource_type, parse_qsl(query))
    return plan_search((resource_type,), asked.criteria, asked.sort, INDEX, NOW)


def _matches(resource: dict, query: str) -> bool:
    """What a look at the whole document says."""
    asked = parse(resource["resourceType"], parse_qsl(query))
    plan = plan_search((resource["resourceType"],), asked.criteria, [], INDEX, NOW)
    plan = replace(plan, undecided=list(asked.criteria))
    return plan.matches(resource)


async def _sql_finds(tx, resource: dict, query: str) -> bool:
    """Whether the index rows of a resource are found by the first criterion of a search."""
    asked = parse(resource["resourceType"], parse_qsl(query))
    term = TermMaker(INDEX, NOW).term((resource["resourceType"],), asked.criteria[0])
    assert term.rows is not None
    sql = Sql(Visibility())
    rows = term.rows(sql, "x")
    for table in ("index_token", "index_date", "index_number"):
        await tx.execute(f"DELETE FROM {table}")
    tx.later(INDEXING, [(1, 1, INDEX.rows(resource))])
    return await tx.fetchval(f"SELECT EXISTS (SELECT 1 FROM {rows})", *sql.parameters)


# --- what SQL decides alone ---------------------------------------------------------------------------------------

_DAYS = st.dates(date(1999, 1, 1), date(2003, 12, 31)).map(date.isoformat)
_MOMENTS = st.one_of(
    st.builds(lambda day, length: day[:length], _DAYS, st.sampled_from([4, 7, 10])),
    st.builds(lambda day, clock: day + clock, _DAYS,
              st.sampled_from(["T00:00:00Z", "T23:59:59.999Z", "T12:30:00+02:00", "T00:00:00-05:00"])),
)  # fmt: skip


@st.composite
def _observed(draw) -> dict:
    """When an observation was made: a moment, or a period that may be open."""
    if draw(st.booleans()):
        return {"effectiveDateTime": draw(_MOMENTS)}
    start, end = draw(_MOMENTS), draw(_MOMENTS)
    if dates.interval(start)[0] > dates.interval(end)[0]:
        start, end = end, start
    kept = draw(st.sampled_from([("start", "end"), ("start",), ("end",)]))
    return {"effectivePeriod": {name: text for name, text in (("start", start), ("end", end)) if name in kept}}


@with_database
@given(prefix=st.sampled_from(PREFIXES), asked=_MOMENTS, observed=_observed())
async def test_a_date_is_compared_in_sql_as_the_standard_says(database, prefix, asked, observed):
    resource = {"resourceType": "Observation", "id": "o", **observed}
    query = f"date={prefix}{asked.replace('+', '%2B')}"
    async with database.transaction() as tx:
        assert await _sql_finds(tx, resource, query) is _matches(resource, query)


_NUMBERS = st.builds(
    lambda digits, places: Decimal(digits).scaleb(-places), st.integers(-100_000, 100_000), st.integers(0, 4)
)
_UNITS = [("http://unitsofmeasure.org", "mg"), ("http://unitsofmeasure.org", "g"), ("http://unitsofmeasure.org", "Cel"),
          ("http://unitsofmeasure.org", "K"), ("urn:u", "mg")]  # fmt: skip


@with_database
@given(
    prefix=st.sampled_from(PREFIXES), asked=_NUMBERS, near=st.sampled_from(["0", "0.05", "-0.05", "10%", "-10%", None]),
    other=_NUMBERS, unit=st.sampled_from([None, *_UNITS]), found_in=st.sampled_from(_UNITS),
    comparator=st.sampled_from([None, None, "<", "<=", ">", ">="]),
)  # fmt: skip
async def test_a_quantity_is_compared_in_sql_as_the_standard_says(
    database, prefix, asked, near, other, unit, found_in, comparator
):
    if near is None:
        value = other
    elif near.endswith("%"):
        value = asked + asked * Decimal(near[:-1]) / 100
    else:
        value = asked + Decimal(near)
    quantity = {"value": value, "system": found_in[0], "code": found_in[1]}
    quantity |= {"comparator": comparator} if comparator else {}
    resource = {"resourceType": "Observation", "id": "o", "valueQuantity": quantity}
    query = f"value-quantity={prefix}{asked:f}" + (f"|{unit[0]}|{unit[1]}" if unit else "")
    async with database.transaction() as tx:
        assert await _sql_finds(tx, resource, query) is _matches(resource, query)


_MEASURED = st.builds(
    lambda code, value, unit: {
        "code": {"coding": [{"system": "urn:s", "code": code}]},
        "valueQuantity": {"value": value, "unit": unit, "system": "urn:u", "code": unit},
    },
    st.sampled_from(["a", "b"]), st.integers(1, 4), st.sampled_from(["mg", "g"]),
)  # fmt: skip


@with_database
@given(
    measured=_MEASURED, components=st.lists(_MEASURED, max_size=3), prefix=st.sampled_from(PREFIXES),
    name=st.sampled_from(["code-value-quantity", "component-code-value-quantity", "combo-code-value-quantity"]),
    code=st.sampled_from(["a", "b", "c"]), value=st.integers(1, 4),
)  # fmt: skip
async def test_a_code_and_its_amount_are_found_together_in_sql_as_the_standard_says(
    database, measured, components, prefix, name, code, value
):
    resource = {"resourceType": "Observation", "id": "o", **measured, "component": components}
    query = f"{name}={code}${prefix}{value}"
    assert not plan_search(("Observation",), parse("Observation", parse_qsl(query)).criteria, [], INDEX, NOW).undecided
    async with database.transaction() as tx:
        assert await _sql_finds(tx, resource, query) is _matches(resource, query)


async def test_a_number_is_compared_in_sql_as_the_standard_says(database):
    pairs = [("0.5", "0.5"), ("0.5", "0.45"), ("0.5", "0.55"), ("0.50", "0.52"), ("1e-1", "0.1"), ("0.5", "0.7")]
    async with database.transaction() as tx:
        for prefix in PREFIXES:
            for asked, score in pairs:
                prediction = {"outcome": {"text": "x"}, "probabilityDecimal": Decimal(score)}
                resource = {"resourceType": "RiskAssessment", "id": "r", "prediction": [prediction]}
                query = f"probability={prefix}{asked}"
                assert await _sql_finds(tx, resource, query) is _matches(resource, query), (query, score)


# --- what tokens may not lose -------------------------------------------------------------------------------------


def _searched_tokens(resource_type: str, query: str) -> set[int]:
    """The tokens that a search looks for."""
    plan, sql = _plan(resource_type, query), Sql(Visibility())
    for term in plan.terms:
        term.test(sql, "r")
    asked: set[int] = set()
    for parameter in sql.parameters:
        asked |= {parameter} if isinstance(parameter, int) else set(parameter) if isinstance(parameter, list) else set()
    return asked


def _tokens(resource: dict) -> set[int]:
    return {hash_ for hash_, _ in INDEX.rows(resource).tokens}


_EVER = st.one_of(st.dates(date(1900, 1, 1), date(2025, 12, 31)), st.dates(date(1500, 1, 1), date(2500, 12, 31)))


@settings(max_examples=300)
@given(
    prefix=st.sampled_from([prefix for prefix in PREFIXES if prefix != "ne"]),
    asked=_EVER, asked_length=st.sampled_from([4, 7, 10]), born=_EVER, born_length=st.sampled_from([4, 7, 10]),
)  # fmt: skip
def test_no_birth_date_that_satisfies_a_search_is_lost_by_its_tokens(prefix, asked, asked_length, born, born_length):
    patient = {"resourceType": "Patient", "id": "p", "birthDate": born.isoformat()[:born_length]}
    query = f"birthdate={prefix}{asked.isoformat()[:asked_length]}"
    if _matches(patient, query):
        assert _searched_tokens("Patient", query) & _tokens(patient)


_NAMES = st.text(st.characters(codec="utf-8", categories=["L", "M", "Zs", "Pd"]), min_size=1, max_size=12).filter(
    search_parameters.normalise
)


@settings(max_examples=200)
@given(name=_NAMES, cut=st.integers(3, 12), case=st.sampled_from([str.lower, str.upper, str]))
def test_a_name_is_found_by_its_beginning_from_three_letters_on(name, cut, case):
    patient = {"resourceType": "Patient", "id": "p", "name": [{"family": name}]}
    begun = search_parameters.normalise(case(name))[:cut]
    if len(search_parameters.normalise(begun)) < 3:  # a blank at its end is no letter
        return
    tokens = set()
    asked = parse("Patient", [("family", begun)])
    sql = Sql(Visibility())
    TermMaker(INDEX, NOW).term(("Patient",), asked.criteria[0]).test(sql, "r")
    for parameter in sql.parameters:
        tokens |= {parameter} if isinstance(parameter, int) else set(parameter)
    plan = plan_search(("Patient",), asked.criteria, [], INDEX, NOW)
    if plan.matches(patient):
        assert tokens & _tokens(patient)


@settings(max_examples=200)
@given(name=_NAMES)
def test_a_name_is_found_by_each_of_its_words_and_by_how_it_sounds(name):
    patient = {"resourceType": "Patient", "id": "p", "name": [{"family": name}]}
    held = set(INDEX.rows(patient).words)
    for pair in INDEX.words([name]):
        assert held & set(pair)
    query = parse("Patient", [("phonetic", name)])
    plan = plan_search(("Patient",), query.criteria, [], INDEX, NOW)
    if plan.matches(patient):
        sql = Sql(Visibility())
        plan.terms[0].test(sql, "r")
        asked = {each for p in sql.parameters for each in (p if isinstance(p, list) else [p])}
        assert asked & _tokens(patient)


@pytest.mark.parametrize("query", ["family=li", "family:contains=uenn", "name:contains=x", "birthdate=ne1971-03-09"])
def test_what_has_no_token_looks_at_all_who_have_the_element_and_tells_after_decryption(query):
    plan = _plan("Patient", query)
    assert plan.needs_filter
    sql = Sql(Visibility())
    assert "get_bit" in plan.terms[0].test(sql, "r")
    assert not sql.parameters


# --- what tokens give away ----------------------------------------------------------------------------------------


def test_many_names_share_each_token():
    whole = {INDEX.name("Patient", "family", f"{n:06} family") for n in range(3 * 2 ** sum(NAME_BITS))}
    assert len(whole) <= 2 ** sum(NAME_BITS)
    sounds = {INDEX.sound("Patient", "family~", f"S{n}") for n in range(1_000)}
    assert len(sounds) == 2**SOUND_BITS


def test_all_tokens_of_a_name_together_tell_no_more_than_the_token_of_the_whole_name():
    """Tokens of one record can be joined by its number: kinds that are cut off apart would name it together."""
    seen: dict[int, set[tuple]] = {}
    for n in range(12_000):
        name = (
            f"{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}{chr(97 + n // 676 % 26)}{chr(97 + n % 7)}{chr(97 + n % 5)}{n}"
        )
        whole = INDEX.name("Patient", "family", name)
        (word,) = INDEX.words([name])
        naming = set(INDEX.rows({"resourceType": "Patient", "id": "p", "name": [{"family": name}]}).words) & set(word)
        tokens = (INDEX.prefix("Patient", "family", name[:3]), INDEX.prefix("Patient", "family", name), *naming)
        seen.setdefault(whole, set()).add(tokens)
    assert len(seen) > 1_500
    assert {len(others) for others in seen.values()} == {1}


def test_a_word_that_names_a_person_has_the_short_token_wherever_it_stands():
    patient = {"resourceType": "Patient", "id": "p", "name": [{"family": "Quennell"}]}
    observation = {
        "resourceType": "Observation",
        "id": "o",
        "subject": {"reference": "Patient/p", "display": "Quennell"},
    }
    note = {"resourceType": "Observation", "id": "o", "code": {"text": "quennell"}}
    story = {"resourceType": "Observation", "id": "o", "text": {"div": "<div>Quennell</div>"}}
    contained = {"resourceType": "Observation", "id": "o", "contained": [{**patient, "id": "c"}]}
    words = [INDEX.rows(each).words for each in (patient, observation, story, contained)]
    assert len(set(words)) == 1
    assert INDEX.rows(note).words != words[0]
    assert set(INDEX.words(["Quennell"])[0]) == {*words[0], *INDEX.rows(note).words}


def test_the_index_of_a_sealed_element_holds_no_text():
    patient = {"resourceType": "Patient", "id": "p", "name": [{"family": "Quennell"}], "birthDate": "1971-03-09",
               "address": [{"city": "Holbrook"}]}  # fmt: skip
    rows = INDEX.rows(patient)
    assert (rows.strings, rows.dates) == (frozenset(), frozenset())
    assert rows.tokens


def test_equal_values_under_different_elements_or_types_have_different_tokens():
    places = [("Patient", "family"), ("Patient", "given"), ("Practitioner", "family")]
    for maker in (INDEX.name, INDEX.prefix, INDEX.sound, INDEX.token):
        assert len({maker(*place, "quennell") for place in places}) == 3


# --- presence -----------------------------------------------------------------------------------------------------


def _bits(resource: dict) -> set[str]:
    number = int.from_bytes(INDEX.rows(resource).present, "little")
    return {name for name, bit in parameter_numbers(resource["resourceType"]).items() if number >> bit & 1}


def test_present_has_a_bit_for_each_parameter_with_a_value():
    observation = {
        "resourceType": "Observation", "id": "o", "status": "final", "code": {"text": "only text"},
        "subject": {"reference": "Group/g"}, "performer": [{"identifier": {"value": "17"}}],
    }  # fmt: skip
    present = _bits(observation)
    assert {"status", "code", "subject", "performer"} <= present
    assert not {"patient", "date", "encounter", "value-quantity", "component-code"} & present
    observation["subject"] = {"reference": "Patient/p"}
    assert {"subject", "patient"} <= _bits(observation)


@pytest.mark.parametrize("absent", ["true", "false"])
async def test_missing_reads_the_bit_that_present_sets(database, absent):
    with_date = {"resourceType": "Observation", "id": "a", "effectiveDateTime": "2020"}
    without = {"resourceType": "Observation", "id": "b"}
    plan = _plan("Observation", f"date:missing={absent}")
    assert not plan.needs_filter
    sql = Sql(Visibility())
    condition = plan.terms[0].test(sql, "r")
    async with database.connection() as tx:
        rows = await tx.fetch(
            f"SELECT r.id FROM (VALUES ('Observation', 'a', $1::bytea), ('Observation', 'b', $2::bytea))"
            f" AS r (resource_type, id, present) WHERE {condition}",
            INDEX.rows(with_date).present,
            INDEX.rows(without).present,
        )
    assert [row["id"] for row in rows] == (["b"] if absent == "true" else ["a"])


# --- clear strings, refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource_type", "query"),
    [
        ("Observation", "subject:above=Observation/x"),
        ("Encounter", "subject:below=Patient/x"),
        ("Patient", "family:text=x"),
    ],
)
def test_what_cannot_be_answered_truthfully_is_refused(resource_type, query):
    with pytest.raises(InvalidInput) as refused:
        _plan(resource_type, query)
    assert refused.value.code == "not-supported"


CLEAR_STRINGS = [
    ("name=mercy", True),
    ("name:contains=HOSP", True),
    ("name:contains=hos%25", False),
    ("name:exact=Mercy Hospital", True),
    ("name:exact=mercy hospital", False),
    ("name=hospital", False),
    ("address-city=Ålborg", True),
    ("address-city=alborg", True),
    ("name=" + "x" * 230, True),
    ("name=" + "x" * 250, False),
    ("name:contains=" + "x" * 239 + "y", True),
    ("name:contains=yy", False),
    ("name:contains=xy", True),
    ("_filter=name ew xy", True),
    ("_filter=name ew x", False),
    ("name:exact=" + "x" * 239 + "y", True),
]


async def test_clear_strings_are_compared_as_sealed_ones_are_to_their_end(hub):
    city = {"resourceType": "Organization", "id": "o", "name": "Mercy Hospital", "address": [{"city": "Ålborg"}]}
    long = {"resourceType": "Organization", "id": "l", "name": "x" * 239 + "y"}
    async with hub.database.transaction() as tx:
        incoming = [Incoming(city, "create"), Incoming(long, "create")]
        await hub.ingest(tx, Submission("t", incoming, submission_audit(Action.CREATE, "create")))
    requester = Requester("t", ("admin",), "TREAT")
    for query, found in CLEAR_STRINGS:
        asked = parse("Organization", parse_qsl(query))
        page = await hub.disclose.search(requester, asked, after=None, count=10, asked="")
        assert bool(page.entries) is found, query


async def test_a_birth_date_of_an_early_century_is_found(database):
    patient = {"resourceType": "Patient", "id": "p", "birthDate": "1744-09-21"}
    async with database.transaction() as tx:
        for query in ("birthdate=1744", "birthdate=lt1750", "birthdate=ap1744", "birthdate=eb1745"):
            assert await _sql_finds(tx, patient, query), query


def test_an_interval_is_a_day_a_month_or_a_year_in_utc():
    assert dates.interval("2000-01-01T00:00:00+02:00")[0] == datetime(1999, 12, 31, 22, tzinfo=UTC)
    assert dates.interval("2000-02")[1] - dates.interval("2000-02")[0] == timedelta(days=29)
