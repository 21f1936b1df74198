"""A key provider whose keys lie in one file (mode 0600): for one machine, where no HSM or key service is at hand.

Whoever holds the file and the database holds the data, so production keeps keys elsewhere (an HSM, OpenBao or a
cloud key service stand behind the same port, `exchange.ports.KeyProvider`).
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from healthsync.errors import ConfigurationError


class LocalKeyring:
    """Key-encryption keys by version, and a root from which the hub's fixed keys are derived by purpose."""

    def __init__(self, *, hub_id: str, root: bytes, kek: dict[int, bytes]) -> None:
        self.hub_id = hub_id
        self._root = root
        self._kek = kek
        self.current_version = max(kek)

    @classmethod
    def create(cls, path: Path, hub_id: str) -> LocalKeyring:
        """Make new keys and write them to `path` (0600). Raises ConfigurationError when the file exists."""
        document = {
            "hub_id": hub_id,
            "root": base64.b64encode(os.urandom(32)).decode(),
            "kek": {"1": base64.b64encode(os.urandom(32)).decode()},
        }
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise ConfigurationError(f"{path} exists; keys are never overwritten, move it away first") from None
        with os.fdopen(handle, "w") as file:
            json.dump(document, file, indent=1)
        return cls.load(path)

    @classmethod
    def load(cls, path: Path) -> LocalKeyring:
        """Read the keys. Raises ConfigurationError when the file is missing, open to others or damaged."""
        try:
            if path.stat().st_mode & 0o077:
                raise ConfigurationError(f"{path} can be read by others; run: chmod 600 {path}")
            document = json.loads(path.read_text())
            return cls(
                hub_id=document["hub_id"],
                root=base64.b64decode(document["root"]),
                kek={int(version): base64.b64decode(key) for version, key in document["kek"].items()},
            )
        except FileNotFoundError:
            raise ConfigurationError(f"no keys at {path}; run: healthsync init {path.parent.parent}") from None
        except (KeyError, ValueError):
            raise ConfigurationError(f"{path} is not a keyring file; restore it from your backup") from None

    def wrap(self, key: bytes) -> tuple[int, bytes]:
        """Wrap a data key (RFC 3394); returns the version of the wrapping key and the wrapped bytes."""
        return self.current_version, aes_key_wrap(self._kek[self.current_version], key)

    def unwrap(self, version: int, wrapped: bytes) -> bytes:
        """Unwrap a data key. Raises ConfigurationError when the version is unknown or the bytes are not ours."""
        try:
            return aes_key_unwrap(self._kek[version], wrapped)
        except (KeyError, InvalidUnwrap):
            raise ConfigurationError("a data key does not unwrap: the keyring is not the one of this database") from None

    def derive(self, purpose: str) -> bytes:
        """The 32-byte key of this hub for `purpose` (HKDF-SHA256): the same on every call and every process."""
        return HKDF(SHA256(), 32, self.hub_id.encode(), b"healthsync " + purpose.encode()).derive(self._root)


class InsecureDevelopmentKeyring(LocalKeyring):
    """Fixed keys for tests: anyone can read what was sealed with them."""

    def __init__(self, hub_id: str = "test-hub") -> None:
        super().__init__(hub_id=hub_id, root=b"insecure development root key...", kek={1: b"insecure development wrapping ke"})
