"""Signed tokens: JWT (RFC 7519) by RS256, RS384, ES256 or ES384, against the issuer's key set."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from healthsync.domains.access.errors import CredentialRefused
from healthsync.errors import ConfigurationError
from healthsync.infrastructure.clock import Clock

ALGORITHMS = ("RS256", "RS384", "ES256", "ES384")


class TokenVerifier:
    """Verifies the tokens of one issuer for one audience. `keys` is asked for the issuer's key set at each token."""

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        keys: Callable[[], KeySet],
        clock: Clock,
        algorithms: Sequence[str] = ALGORITHMS,
        leeway_seconds: float = 60,
    ) -> None:
        self._issuer, self._audience, self._keys, self._clock = issuer, audience, keys, clock
        self._leeway_seconds = leeway_seconds
        # Algorithms are named: joserfc then refuses `none`, HMAC with a public key, and unknown `crit` headers.
        self._registry = JWSRegistry(algorithms=list(algorithms))

    def verify(self, token: str) -> dict[str, Any]:
        """The claims of a valid token. Raises CredentialRefused otherwise, without saying why."""
        try:
            claims = jwt.decode(token, self._keys(), registry=self._registry).claims
        except (JoseError, ValueError, KeyError, TypeError):
            raise CredentialRefused("the token does not hold") from None
        now = self._clock.now().timestamp()
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        expires_at, not_before = claims.get("exp"), claims.get("nbf", 0)
        holds = (
            claims.get("iss") == self._issuer
            and self._audience in audiences
            and isinstance(expires_at, int | float)
            and isinstance(not_before, int | float)
            and not_before - self._leeway_seconds <= now < expires_at + self._leeway_seconds
            and isinstance(claims.get("sub"), str)
        )
        if not holds:
            raise CredentialRefused("the token does not hold")
        return claims


class KeySetFile:
    """The issuer's key set in a file (JWKS, RFC 7517), read again when the file changes: issuers rotate their keys."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at, self._keys = self._read()

    def __call__(self) -> KeySet:
        """The keys as they are now; those read before, while the file cannot be read."""
        try:
            if self._path.stat().st_mtime_ns != self._read_at:
                self._read_at, self._keys = self._read()
        except (OSError, ConfigurationError):
            return self._keys
        return self._keys

    def _read(self) -> tuple[int, KeySet]:
        """Raises ConfigurationError when the file is no key set."""
        try:
            return self._path.stat().st_mtime_ns, KeySet.import_key_set(json.loads(self._path.read_text()))
        except (OSError, ValueError, KeyError, TypeError, JoseError):
            raise ConfigurationError(f"{self._path} is not a JWKS file; save the issuer's key set there") from None
