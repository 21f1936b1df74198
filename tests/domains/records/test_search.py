"""Search over sealed and clear elements: the SQL decides as the standard's rules do, and tokens lose nobody."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from urllib.parse import parse_qsl

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from healthsync.domains.records import RecordIndex, Visibility, plan_search
from healthsync.domains.records.index import NAME_BITS
from healthsync.domains.records.search import _date_term
from healthsync.errors import InvalidInput
from healthsync.infrastructure.crypto import BlindIndex
from healthsync.standards.fhir import dates, search_parameters
from healthsync.standards.fhir.dates import Prefix
from healthsync.standards.fhir.query import DateValue, parse

INDEX = RecordIndex(BlindIndex(bytes(32)))
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PREFIXES = [prefix for prefix in Prefix if prefix is not Prefix.APPROXIMATELY]
_DAYS = st.dates(date(1999, 1, 1), date(2003, 12, 31))


def _interval(low: date, days: int) -> dates.Interval:
    start = datetime(low.year, low.month, low.day, tzinfo=UTC)
    return start, start + timedelta(days=days)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(
    prefix=st.sampled_from(PREFIXES), low=_DAYS, days=st.sampled_from([1, 31, 365]),
    target=_DAYS, length=st.sampled_from([1, 2, 40, 400]),
)  # fmt: skip
async def test_a_date_is_compared_in_sql_as_the_standard_says(database, prefix, low, days, target, length):
    search, found = _interval(low, days), _interval(target, length)
    parameters: list[datetime] = []

    def bind(value: datetime) -> str:
        parameters.append(value)
        return f"${len(parameters) + 2}"

    term = _date_term(DateValue(prefix, *search), "t.low", "t.high", bind, NOW)
    async with database.connection() as tx:
        sql = f"SELECT {term} FROM (SELECT $1::timestamptz AS low, $2::timestamptz AS high) t"
        assert await tx.fetchval(sql, *found, *parameters) is dates.matches(prefix, search, found)


def _plan(query: str, resource_type: str = "Patient"):
    return plan_search(parse(resource_type, parse_qsl(query)), INDEX, NOW)


def _searched_tokens(plan) -> set[int]:
    _, parameters = plan.condition(Visibility(), None)
    return {token for parameter in parameters if isinstance(parameter, list) for token in parameter}


@settings(deadline=None)
@given(
    prefix=st.sampled_from(["", "ge", "gt", "le", "lt", "sa", "eb", "ne", "ap"]),
    asked=st.dates(date(1900, 1, 1), date(2025, 12, 31)), asked_length=st.sampled_from([4, 7, 10]),
    born=st.dates(date(1900, 1, 1), date(2025, 12, 31)), born_length=st.sampled_from([4, 7, 10]),
)  # fmt: skip
def test_no_birth_date_that_satisfies_a_search_is_lost_by_its_tokens(prefix, asked, asked_length, born, born_length):
    patient = {"resourceType": "Patient", "id": "p", "birthDate": born.isoformat()[:born_length]}
    plan = _plan(f"birthdate={prefix}{asked.isoformat()[:asked_length]}")
    if plan.matches(search_parameters.index(patient)):
        assert _searched_tokens(plan) & INDEX.rows(patient).tokens


_NAMES = st.text(st.characters(codec="utf-8", categories=["L", "M", "Zs", "Pd"]), min_size=1, max_size=12).filter(
    search_parameters.normalise
)


@settings(deadline=None)
@given(name=_NAMES, cut=st.integers(1, 12), case=st.sampled_from([str.lower, str.upper, str]))
def test_a_name_is_found_by_its_beginning_from_three_letters_on(name, cut, case):
    patient = {"resourceType": "Patient", "id": "p", "name": [{"family": name}]}
    normalised = search_parameters.normalise(case(name))[:cut]
    whole = normalised == search_parameters.normalise(name)
    if len(normalised) < 3 and not whole:
        return
    plan = (
        plan_search(parse("Patient", [("family", normalised.replace(",", ""))]), INDEX, NOW)
        if normalised.strip()
        else None
    )
    if plan is not None and plan.matches(search_parameters.index(patient)):
        assert _searched_tokens(plan) & INDEX.rows(patient).tokens


def test_a_name_has_no_token_of_its_own():
    tokens = {INDEX.name("Patient", "family", f"name {number}") for number in range(3 * 2**NAME_BITS)}
    assert len(tokens) <= 2**NAME_BITS


def test_the_index_of_a_sealed_element_holds_no_text():
    patient = {"resourceType": "Patient", "id": "p", "name": [{"family": "Quennell"}], "birthDate": "1971-03-09",
               "address": [{"city": "Holbrook"}]}  # fmt: skip
    rows = INDEX.rows(patient)
    assert rows.strings == frozenset()
    assert rows.dates == frozenset()
    assert rows.tokens


@pytest.mark.parametrize(
    ("resource_type", "query"),
    [
        ("Patient", "family:contains=enn"),
        ("Patient", "birthdate:missing=true"),
        ("Patient", "identifier=urn:x|"),
        ("Patient", "_sort=family"),
        ("Patient", "_sort=birthdate"),
        ("Patient", "_sort=_id,_lastUpdated"),
        ("Observation", "value-quantity=5"),
        ("Observation", "_sort=code"),
    ],
)
def test_what_cannot_be_answered_truthfully_is_refused(resource_type, query):
    with pytest.raises(InvalidInput):
        _plan(query, resource_type)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("name=mercy", True),
        ("name:contains=HOSP", True),
        ("name:contains=hos%25", False),
        ("name:exact=Mercy Hospital", True),
        ("name:exact=mercy hospital", False),
        ("name=hospital", False),
        ("address-city=Ålborg", True),
        ("address-city=alborg", True),
        ("name=" + "x" * 250, False),
    ],
)
async def test_clear_strings_are_compared_as_sealed_ones_are(hub, query, found):
    from healthsync.domains.audit import Action
    from healthsync.exchange.authenticate import Requester
    from healthsync.exchange.ingest import Incoming, Submission, submission_audit

    organization = {
        "resourceType": "Organization",
        "id": "o",
        "name": "Mercy Hospital",
        "address": [{"city": "Ålborg"}],
    }
    long = {"resourceType": "Organization", "id": "l", "name": "x" * 240}
    async with hub.database.transaction() as tx:
        incoming = [Incoming(organization, "create"), Incoming(long, "create")]
        await hub.ingest(tx, Submission("t", incoming, submission_audit(Action.CREATE, "create")))
    page = await hub.disclose.search(
        Requester("t", ("admin",), "TREAT"), parse("Organization", parse_qsl(query)), after=None, count=10, asked=""
    )
    assert bool(page.entries) is found
