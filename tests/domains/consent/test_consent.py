"""May this patient's data be given out for this purpose?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from healthsync.domains.consent import ConsentPolicy, ConsentService, Directive, Effect, compile_consent, decide
from healthsync.domains.consent.model import ALWAYS, FOREVER
from healthsync.infrastructure.clock import FixedClock

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def _consent(**changes) -> dict:
    return {"resourceType": "Consent", "id": "c1", "status": "active", "provision": {"type": "deny"}} | changes


@pytest.mark.parametrize(
    ("consent", "decision", "purposes", "because"),
    [
        (_consent(), "deny", set(), "provision"),
        (_consent(provision={"type": "permit"}), "permit", set(), "provision"),
        (_consent(provision={"type": "permit", "purpose": [{"code": "TREAT"}]}), "permit", {"TREAT"}, "provision"),
        (_consent(provision={}, policyRule={"coding": [{"code": "OPTIN"}]}), "permit", set(), "policy-rule"),
        (_consent(provision={}, policyRule={"coding": [{"code": "OPTOUT"}]}), "deny", set(), "policy-rule"),
        (
            _consent(provision={}, policyRule={"coding": [{"code": "OPTIN"}, {"code": "OPTOUT"}]}),
            "deny",
            set(),
            "policy-rule",
        ),
        ({"id": "c1", "status": "active"}, "deny", set(), "policy-rule"),
        (_consent(provision={"type": "permit", "provision": [{}]}), "deny", set(), "not-understood"),
        (_consent(provision={"type": "permit", "actor": [{}]}), "deny", set(), "not-understood"),
        (_consent(provision={"type": "permit"}, modifierExtension=[{"url": "x"}]), "deny", set(), "not-understood"),
        (_consent(provision={"type": "permit", "purpose": [{"display": "treat me"}]}), "deny", set(), "not-understood"),
    ],
)
def test_a_consent_becomes_a_directive_and_what_is_not_understood_denies(consent, decision, purposes, because):
    directive = compile_consent(consent)
    assert directive is not None
    assert (directive.decision, set(directive.purposes), directive.because) == (decision, purposes, because)


@pytest.mark.parametrize("status", ["draft", "proposed", "rejected", "inactive", "entered-in-error", None])
def test_only_an_active_consent_speaks(status):
    assert compile_consent(_consent(status=status)) is None


def test_the_period_is_half_open_and_a_day_lasts_to_its_end():
    directive = compile_consent(
        _consent(provision={"type": "deny", "period": {"start": "2026-01-02", "end": "2026-01-03"}})
    )
    assert directive is not None
    assert (directive.starts_at, directive.ends_at) == (
        datetime(2026, 1, 2, tzinfo=UTC),
        datetime(2026, 1, 4, tzinfo=UTC),
    )
    unbounded = compile_consent(_consent())
    assert unbounded is not None
    assert (unbounded.starts_at, unbounded.ends_at) == (ALWAYS, FOREVER)


def _directive(decision="deny", purposes=(), start=ALWAYS, end=FOREVER, name="c") -> Directive:
    return Directive(name, Effect(decision), frozenset(purposes), start, end, "provision")


@pytest.mark.parametrize(
    ("directives", "purpose", "policy", "permitted"),
    [
        ([], "TREAT", "opt-out", True),
        ([], "TREAT", "opt-in", False),
        ([_directive("deny")], "TREAT", "opt-out", False),
        ([_directive("deny")], "PATRQT", "opt-out", True),
        ([_directive("permit")], "TREAT", "opt-in", True),
        ([_directive("permit"), _directive("deny")], "TREAT", "opt-out", False),
        ([_directive("deny", ["HRESCH"])], "TREAT", "opt-out", True),
        ([_directive("permit", ["HRESCH"])], "TREAT", "opt-in", False),
        ([_directive("deny", end=NOON)], "TREAT", "opt-out", True),
        ([_directive("deny", start=NOON)], "TREAT", "opt-out", False),
        ([_directive("deny", start=NOON + DAY)], "TREAT", "opt-out", True),
    ],
)
def test_deny_overrides_and_the_policy_decides_what_nobody_decided(directives, purpose, policy, permitted):
    assert decide(directives, purpose, NOON, ConsentPolicy(policy)).permitted is permitted


_INSTANTS = st.sampled_from([ALWAYS, NOON - DAY, NOON, NOON + DAY, FOREVER])
_DIRECTIVES = st.lists(
    st.builds(
        lambda d, p, s, e, n: Directive(f"c{n}", d, p, s, e, "provision"),
        st.sampled_from(Effect), st.frozensets(st.sampled_from(["TREAT", "HRESCH"])), _INSTANTS, _INSTANTS, st.integers(0, 99),
    ),
    unique_by=lambda d: d.consent_id, max_size=4,
)  # fmt: skip


@given(_DIRECTIVES, _DIRECTIVES, st.sampled_from(ConsentPolicy))
def test_adding_a_deny_never_shows_more(directives, more, policy):
    denies = [d for d in more if d.decision is Effect.DENY]
    before = decide(directives, "TREAT", NOON, policy).permitted
    after = decide([*directives, *denies], "TREAT", NOON, policy).permitted
    assert before or not after


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    directives=_DIRECTIVES,
    policy=st.sampled_from(ConsentPolicy),
    purpose=st.sampled_from(["TREAT", "HRESCH", "PATRQT"]),
)
async def test_the_sql_face_decides_as_the_pure_one(database, directives, policy, purpose):
    from healthsync.domains.consent import store

    service = ConsentService(FixedClock(NOON), policy)
    async with database.transaction() as tx:
        await tx.execute("DELETE FROM consent_directive")
        for directive in directives:
            await store.add(tx, directive, 1, [1])
        condition, parameters = service.sql_predicate("x.key", purpose, 1)
        in_sql = await tx.fetchval(f"SELECT {condition} FROM (SELECT 1::bigint AS key) x", *parameters)
        assert in_sql is decide(directives, purpose, NOON, policy).permitted
        assert in_sql is (await service.decision(tx, 1, purpose)).permitted
        assert await tx.fetchval(f"SELECT {condition} FROM (SELECT NULL::bigint AS key) x", *parameters) is True


async def test_a_consent_protects_every_source_patient_of_the_person_and_follows_links(database):
    service = ConsentService(FixedClock(NOON), ConsentPolicy.OPT_OUT)

    async def shown(tx) -> list[int]:
        return [key for key in (1, 2, 3) if (await service.decision(tx, key, "TREAT")).permitted]

    async with database.transaction() as tx:
        await service.record(tx, _consent(), 1, [1, 2])
        assert await shown(tx) == [3]
        await service.align(tx, [1, 2, 3])
        assert await shown(tx) == []
        await service.align(tx, [2])
        await service.align(tx, [1, 3])
        assert await shown(tx) == [2]
        assert await service.record(tx, _consent(status="inactive"), 1, [1, 3]) is None
        assert await shown(tx) == [1, 2, 3]


@pytest.mark.parametrize(
    ("provision", "purposes"),
    [
        ({"type": "permit", "purpose": [{"code": "HRESCH"}], "actor": [{}]}, {"HRESCH"}),
        ({"type": "permit", "purpose": [{"code": "HRESCH"}], "provision": [{"purpose": [{"code": "TREAT"}]}]}, {"HRESCH", "TREAT"}),
        ({"type": "permit", "purpose": [{"code": "HRESCH"}, {"display": "else"}], "actor": [{}]}, set()),
        ({"type": "permit", "purpose": [{"code": "HRESCH"}], "provision": [{"purpose": [{"display": "else"}]}]}, set()),
        ({"type": "permit", "purpose": [{"code": "HRESCH"}], "provision": [{"modifierExtension": [{"url": "x"}]}]}, set()),
        ({"type": "permit", "provision": [{"purpose": [{"code": "HRESCH"}]}]}, set()),
    ],
)  # fmt: skip
def test_what_is_not_understood_denies_the_purposes_that_it_is_about_and_all_when_it_names_none(provision, purposes):
    directive = compile_consent(_consent(provision=provision))
    assert directive is not None
    assert (directive.decision, set(directive.purposes), directive.because) == ("deny", purposes, "not-understood")
