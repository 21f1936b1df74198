"""The verbs of access: register a client, recognise a credential."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import timedelta

from healthsync.domains.access import store
from healthsync.domains.access.errors import CredentialRefused
from healthsync.domains.access.model import Client, RolePolicy
from healthsync.domains.access.tokens import TokenVerifier
from healthsync.errors import InvalidInput
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.database import Database, Transaction

_KEY_PREFIX = "hs"
_TRUST_FOR = timedelta(seconds=2)
"""How long a recognised key is believed without asking the database: a revoked key works no longer than this."""
_REFUSED = (
    "no valid credential; send Authorization: Bearer with an API key (healthsync client create) or a signed token"
)


class AccessService:
    """Clients, their keys, and the roles they hold."""

    def __init__(self, clock: Clock, policy: RolePolicy, tokens: TokenVerifier | None = None) -> None:
        self._clock = clock
        self.policy = policy
        self._tokens = tokens
        self._recognised: dict[bytes, tuple[Client, float]] = {}

    async def create_client(
        self, tx: Transaction, name: str, roles: Sequence[str], organisation: str | None = None
    ) -> tuple[Client, str]:
        """Register a client; returns it and its API key, which is shown this once.

        Raises InvalidInput when a role is unknown.
        """
        for role in roles:
            if not self.policy.knows(role):
                known = ", ".join(sorted(self.policy.interactions))
                raise InvalidInput(f"no role is named {role}; roles are {known}", code="value")
        client = Client(secrets.token_hex(8), name, tuple(roles), organisation, self._clock.now())
        secret = secrets.token_urlsafe(32)
        await store.add_client(tx, client, _hash(secret))
        return client, f"{_KEY_PREFIX}_{client.client_id}_{secret}"

    async def revoke_client(self, tx: Transaction, client_id: str) -> bool:
        """Take a client's key away; False when there is no such client."""
        self._recognised.clear()
        return await store.revoke_client(tx, client_id, self._clock.now())

    async def clients(self, tx: Transaction) -> list[Client]:
        """All clients, in order of registration."""
        return await store.clients(tx)

    async def client(self, tx: Transaction, client_id: str) -> Client | None:
        """A client whose key is not revoked, with the roles that it has now; None for any other."""
        found = await store.client_with_secret(tx, client_id)
        return found[0] if found is not None and found[0].revoked_at is None else None

    async def recognise(self, database: Database, credential: str | None) -> tuple[Client, str | None, str | None]:
        """(client, user, scope) of a bearer credential. Raises CredentialRefused; never says what was wrong with it."""
        if not credential:
            raise CredentialRefused(_REFUSED)
        if credential.startswith(_KEY_PREFIX + "_"):
            return await self._client_of_key(database, credential), None, None
        if self._tokens is None:
            raise CredentialRefused(_REFUSED)
        claims = self._tokens.verify(credential)
        roles = claims.get("roles", [])
        names = tuple(role for role in roles if isinstance(role, str)) if isinstance(roles, list) else ()
        client = Client(
            str(claims.get("client_id") or claims.get("azp") or claims["sub"]),
            claims["sub"],
            names,
            claims.get("organisation") if isinstance(claims.get("organisation"), str) else None,
            self._clock.now(),
        )
        scope = claims.get("scope")
        return client, claims["sub"], scope if isinstance(scope, str) else None

    async def _client_of_key(self, database: Database, credential: str) -> Client:
        fingerprint = _hash(credential)
        now = self._clock.now()
        known = self._recognised.get(fingerprint)
        if known is not None and now.timestamp() < known[1]:
            return known[0]
        _, _, rest = credential.partition("_")
        client_id, _, secret = rest.partition("_")
        async with database.connection() as tx:
            found = await store.client_with_secret(tx, client_id)
        # The comparison runs for unknown clients too, so that timing does not tell which ids exist.
        expected = found[1] if found else bytes(32)
        if not hmac.compare_digest(expected, _hash(secret)) or found is None or found[0].revoked_at is not None:
            raise CredentialRefused(_REFUSED)
        if len(self._recognised) > 10_000:
            self._recognised.clear()
        self._recognised[fingerprint] = (found[0], (now + _TRUST_FOR).timestamp())
        return found[0]


def _hash(secret: str) -> bytes:
    """SHA-256 suffices for a 256-bit random secret: there is nothing to guess."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
