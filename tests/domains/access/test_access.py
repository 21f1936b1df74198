"""Who asks: keys, tokens, roles, scopes, purposes."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey
from msgspec import structs

from healthsync.domains.access import (
    AccessService,
    CredentialRefused,
    Interaction,
    KeySetFile,
    PurposeNotAllowed,
    Requester,
    RolePolicy,
    TokenVerifier,
    granted,
    parse_scopes,
    purpose_of_use,
)
from healthsync.domains.access import service as access_service
from healthsync.domains.access.scopes import visible_elements
from healthsync.errors import ConfigurationError, InvalidInput
from healthsync.infrastructure.clock import FixedClock

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
POLICY = RolePolicy.load()
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
EC = ECKey.generate_key("P-384", {"kid": "ec"})
KEYS = KeySet([RSA, EC])


def _requester(*roles: str, scopes: str | None = None) -> Requester:
    return Requester("c", roles, "TREAT", scopes=parse_scopes(scopes) if scopes is not None else None)


def _verifier(**changes) -> TokenVerifier:
    return TokenVerifier(
        **{"issuer": "https://idp", "audience": "hub", "keys": lambda: KEYS, "clock": FixedClock(NOON)} | changes
    )


def _token(key=RSA, algorithm="RS256", header=None, **claims) -> str:
    body = {"iss": "https://idp", "aud": "hub", "sub": "u1", "exp": NOON.timestamp() + 60, "roles": ["nurse"]} | claims
    head = {"alg": algorithm, "kid": key.kid} | (header or {})
    return jwt.encode(head, {k: v for k, v in body.items() if v is not None}, key, algorithms=[algorithm])


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("user/Patient.rs", {"Patient": {"r", "s"}}),
        ("system/*.read", {"*": {"r", "s"}}),
        ("system/Observation.write user/Observation.r", {"Observation": set("cudr")}),
        ("system/*.*", {"*": set("cruds")}),
        ("openid fhirUser launch/patient", {}),
        ("patient/*.rs", {}),
        ("user/patient.rs user/Patient.x", {}),
    ],
)
def test_smart_scopes_are_read(scope, expected):
    assert {k: set(v) for k, v in parse_scopes(scope).items()} == expected


@pytest.mark.parametrize(
    ("roles", "scopes", "interaction", "resource_type", "allowed"),
    [
        (("admin",), None, "d", "Patient", True),
        (("physician",), None, "d", "Patient", False),
        (("nurse",), None, "c", "Observation", True),
        (("nurse",), None, "c", "Patient", False),
        (("nurse", "admin"), None, "c", "Patient", True),
        (("researcher",), None, "r", "Patient", False),
        (("stranger",), None, "r", "Organization", False),
        ((), None, "r", "Organization", False),
        (("admin",), "user/Patient.r", "r", "Patient", True),
        (("admin",), "user/Patient.r", "d", "Patient", False),
        (("admin",), "user/Patient.r", "r", "Observation", False),
        (("admin",), "openid", "r", "Patient", False),
        (("nurse",), "system/*.cruds", "d", "Patient", False),
    ],
)
def test_a_scope_narrows_and_never_widens_what_the_roles_give(roles, scopes, interaction, resource_type, allowed):
    requester = _requester(*roles, scopes=scopes)
    assert granted(POLICY, requester, Interaction(interaction), resource_type) is allowed


def test_elements_of_several_roles_add_up_and_one_unlimited_role_shows_all():
    assert visible_elements(POLICY, _requester("billing"), "Patient") == {"identifier", "name", "active", "link"}
    assert visible_elements(POLICY, _requester("billing", "nurse"), "Patient") is None
    assert visible_elements(POLICY, _requester("billing", "researcher"), "Patient") == {
        "identifier",
        "name",
        "active",
        "link",
    }
    assert visible_elements(POLICY, _requester("billing"), "Coverage") is None
    assert visible_elements(POLICY, _requester("researcher"), "Patient") == set()


@pytest.mark.parametrize(
    ("asked", "code"), [(None, "TREAT"), (" ", "TREAT"), ("treatment", "TREAT"), ("etreat", "ETREAT")]
)
def test_the_purpose_is_the_one_asked_for_or_the_first_of_the_role(asked, code):
    assert purpose_of_use(POLICY, ["physician"], asked) == code


@pytest.mark.parametrize(("roles", "asked", "error"), [
    (["physician"], "HRESCH", PurposeNotAllowed), (["physician"], "fun", InvalidInput), (["nobody"], None, PurposeNotAllowed),
])  # fmt: skip
def test_a_purpose_that_is_unknown_or_not_open_is_refused(roles, asked, error):
    with pytest.raises(error):
        purpose_of_use(POLICY, roles, asked)


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (RSA, "RS384"), (EC, "ES384")])
def test_a_signed_token_is_recognised(key, algorithm):
    assert _verifier().verify(_token(key, algorithm))["sub"] == "u1"
    assert _verifier().verify(_token(key, algorithm, aud=["other", "hub"]))["roles"] == ["nurse"]


@pytest.mark.parametrize(
    "claims",
    [{"iss": "https://evil"}, {"aud": "other"}, {"aud": None}, {"exp": None}, {"exp": "soon"}, {"exp": 0}, {"sub": None},
     {"nbf": NOON.timestamp() + 3600}, {"nbf": "x"}],
    ids=str,
)  # fmt: skip
def test_a_token_with_wrong_claims_does_not_hold(claims):
    with pytest.raises(CredentialRefused):
        _verifier().verify(_token(**claims))


def test_forged_tokens_do_not_hold():
    other = RSAKey.generate_key(2048, {"kid": "rsa"})
    public = json.dumps(RSA.as_dict(private=False)).encode()
    head, body, signature = _token().split(".")
    forgeries = [
        _token(other),
        f"{head}.{body}.",
        f"eyJhbGciOiJub25lIn0.{body}.",
        f"{head}.{body}.{signature[:-4]}AAAA",
        jwt.encode({"alg": "HS256", "kid": "rsa"}, {"sub": "u1"}, OctKey.import_key(public), algorithms=["HS256"]),
        "a.b.c",
        "",
        "…",
    ]
    for forgery in forgeries:
        with pytest.raises(CredentialRefused):
            _verifier().verify(forgery)


def test_an_algorithm_that_was_not_configured_is_refused():
    with pytest.raises(CredentialRefused):
        _verifier(algorithms=["ES384"]).verify(_token())


def _write(file, text: str) -> None:
    file.write_text(text)
    later = file.stat().st_mtime_ns + 1_000_000_000
    os.utime(file, ns=(later, later))


def test_the_key_set_file_is_read_again_when_it_changes(tmp_path):
    file = tmp_path / "jwks.json"
    _write(file, json.dumps(KeySet([EC]).as_dict(private=False)))
    verifier = _verifier(keys=KeySetFile(file))
    with pytest.raises(CredentialRefused):
        verifier.verify(_token())
    file.write_text(json.dumps(KEYS.as_dict(private=False)))
    assert verifier.verify(_token())["sub"] == "u1"
    _write(file, "{")
    assert verifier.verify(_token())["sub"] == "u1", "a damaged file does not lock everyone out"
    file.unlink()
    assert verifier.verify(_token())["sub"] == "u1"


@pytest.mark.parametrize("text", ["{", "{}", '{"keys": 1}', None])
def test_a_file_that_is_no_key_set_is_a_configuration_error(tmp_path, text):
    file = tmp_path / "jwks.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigurationError):
        KeySetFile(file)


@pytest.mark.parametrize(("leeway_seconds", "holds"), [(60, True), (5, False)])
def test_clocks_may_differ_by_the_leeway(leeway_seconds, holds):
    token, verifier = _token(exp=NOON.timestamp() - 30), _verifier(leeway_seconds=leeway_seconds)
    if holds:
        assert verifier.verify(token)
    else:
        with pytest.raises(CredentialRefused):
            verifier.verify(token)


@pytest.fixture
def clock():
    return FixedClock(NOON)


@pytest.fixture
def access(clock):
    return AccessService(clock, POLICY, _verifier(clock=clock))


async def _key(access, database, *roles):
    async with database.transaction() as tx:
        return await access.create_client(tx, "x", roles, "Mercy")


async def test_a_key_is_recognised_until_it_is_revoked(access, database):
    client, key = await _key(access, database, "nurse")
    assert (await access.recognise(database, key))[0] == client
    assert (await access.recognise(database, key))[0].organisation == "Mercy"
    async with database.transaction() as tx:
        assert await access.revoke_client(tx, client.client_id)
        assert not await access.revoke_client(tx, client.client_id)
        assert [c.revoked_at for c in await access.clients(tx)] == [NOON]
    with pytest.raises(CredentialRefused):
        await access.recognise(database, key)


async def test_a_key_revoked_by_another_process_works_two_seconds_longer_at_most(access, clock, database):
    client, key = await _key(access, database, "nurse")
    await access.recognise(database, key)
    other = AccessService(clock, POLICY)
    async with database.transaction() as tx:
        await other.revoke_client(tx, client.client_id)
    clock.at += timedelta(seconds=2.1)
    with pytest.raises(CredentialRefused):
        await access.recognise(database, key)


async def test_wrong_keys_are_refused_alike(access, database):
    client, key = await _key(access, database, "nurse")
    wrong = [None, "", "hs_", "hs_nobody_x", f"hs_{client.client_id}_wrong", key + "x", key[:-1], "no.such.token"]
    messages = set()
    for credential in wrong:
        with pytest.raises(CredentialRefused) as refused:
            await access.recognise(database, credential)
        messages.add(str(refused.value).partition(";")[0])
    assert messages <= {"no valid credential", "the token does not hold"}


async def test_without_an_issuer_tokens_are_refused(clock, database):
    with pytest.raises(CredentialRefused):
        await AccessService(clock, POLICY).recognise(database, _token())


async def test_a_token_gives_client_user_roles_and_scope(access, database):
    token = _token(scope="user/Patient.r", azp="app", organisation="Mercy")
    client, user, scope = await access.recognise(database, token)
    assert (client.client_id, client.roles, client.organisation, user, scope) == (
        "app",
        ("nurse",),
        "Mercy",
        "u1",
        "user/Patient.r",
    )
    odd, _, none = await access.recognise(database, _token(roles="admin", scope=["x"], organisation=7))
    assert (odd.roles, odd.organisation, none) == ((), None, None)


async def test_an_unknown_role_is_no_role(access, database):
    with pytest.raises(InvalidInput, match="no role is named king"):
        await _key(access, database, "king")


async def test_the_memory_of_recognised_keys_is_bounded(access, database, monkeypatch):
    _, key = await _key(access, database, "nurse")
    access._recognised.update({bytes([i % 256, i // 256]): None for i in range(10_001)})
    await access.recognise(database, key)
    assert len(access._recognised) == 1
    assert access_service._hash("x") != access_service._hash("y")


def test_a_requester_is_a_value():
    requester = _requester("nurse")
    assert structs.replace(requester, user="u") != requester
