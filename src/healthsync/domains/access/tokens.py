"""Signed tokens: JWT (RFC 7519) by RS256, RS384, ES256 or ES384, against the issuer's key set."""

from __future__ import annotations

import json
from collections.abc import Sequence
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
_LEEWAY_SECONDS = 30


class TokenVerifier:
    """Verifies the tokens of one issuer for one audience."""

    def __init__(
        self, *, issuer: str, audience: str, keys: KeySet, clock: Clock, algorithms: Sequence[str] = ALGORITHMS
    ) -> None:
        self._issuer, self._audience, self._keys, self._clock = issuer, audience, keys, clock
        # Algorithms are named: joserfc then refuses `none`, HMAC with a public key, and unknown `crit` headers.
        self._registry = JWSRegistry(algorithms=list(algorithms))

    @classmethod
    def from_file(cls, path: Path, **options: Any) -> TokenVerifier:
        """Read the issuer's JWKS from a file. Raises ConfigurationError when it is none."""
        try:
            return cls(keys=KeySet.import_key_set(json.loads(path.read_text())), **options)
        except (OSError, ValueError, KeyError, TypeError, JoseError):
            raise ConfigurationError(f"{path} is not a JWKS file; save the issuer's key set there") from None

    def verify(self, token: str) -> dict[str, Any]:
        """The claims of a valid token. Raises CredentialRefused otherwise, without saying why."""
        try:
            claims = jwt.decode(token, self._keys, registry=self._registry).claims
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
            and not_before - _LEEWAY_SECONDS <= now < expires_at + _LEEWAY_SECONDS
            and isinstance(claims.get("sub"), str)
        )
        if not holds:
            raise CredentialRefused("the token does not hold")
        return claims
