"""A key provider whose keys lie in one file (mode 0600): for one machine, where no HSM or key service is at hand.

Whoever holds the file and the database holds the data, so production keeps keys elsewhere (an HSM, OpenBao or a
cloud key service stand behind the same port, `exchange.ports.KeyProvider`).
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from healthsync.errors import ConfigurationError
from healthsync.infrastructure.telemetry import logger

KEY_BYTES = 32

_log = logger(__name__)


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
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        keyring = cls(hub_id=hub_id, root=secrets.token_bytes(KEY_BYTES), kek={1: secrets.token_bytes(KEY_BYTES)})
        try:
            keyring._write(path)
        except FileExistsError:
            raise ConfigurationError(f"{path} exists; keys are never overwritten, move it away first") from None
        return keyring

    @classmethod
    def load(cls, path: Path) -> LocalKeyring:
        """Read the keys. Raises ConfigurationError when the file is missing, open to others or damaged."""
        try:
            if path.stat().st_mode & 0o077:
                raise ConfigurationError(f"{path} can be read by others; run: chmod 600 {path}")
            document = json.loads(path.read_text())
            return cls(
                hub_id=document["hub_id"],
                root=_key(document["root"]),
                kek={int(version): _key(key) for version, key in document["kek"].items()},
            )
        except FileNotFoundError:
            raise ConfigurationError(f"no keys at {path}; run: healthsync init {path.parent.parent}") from None
        except PermissionError:
            raise ConfigurationError(
                f"{path} cannot be read by this user; run as the owner of the data folder"
            ) from None
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ConfigurationError(f"{path} is not a keyring file; restore it from your backup") from None

    def rotate(self, path: Path) -> LocalKeyring:
        """Add a new key-encryption key and write the file anew; what older versions wrapped still unwraps.

        Data keys move to the new version when they are rewrapped; nothing that is sealed has to be touched.
        """
        version = self.current_version + 1
        kek = self._kek | {version: secrets.token_bytes(KEY_BYTES)}
        rotated = LocalKeyring(hub_id=self.hub_id, root=self._root, kek=kek)
        new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        rotated._write(new)
        new.replace(path)  # at no moment is there a file without the old keys
        return rotated

    def wrap(self, key: bytes) -> tuple[int, bytes]:
        """Wrap a data key (RFC 3394); returns the version of the wrapping key and the wrapped bytes."""
        return self.current_version, aes_key_wrap(self._kek[self.current_version], key)

    def unwrap(self, version: int, wrapped: bytes) -> bytes:
        """Unwrap a data key. Raises ConfigurationError when the version is unknown or the bytes are not ours."""
        try:
            return aes_key_unwrap(self._kek[version], wrapped)
        except (KeyError, InvalidUnwrap):
            raise ConfigurationError(
                "a data key does not unwrap: the keyring is not the one of this database; restore the right one"
            ) from None

    def derive(self, purpose: str) -> bytes:
        """The 32-byte key of this hub for `purpose` (HKDF-SHA256): the same on every call and every process."""
        return HKDF(SHA256(), KEY_BYTES, self.hub_id.encode(), b"healthsync " + purpose.encode()).derive(self._root)

    def _write(self, path: Path) -> None:
        """Write the keys to a new file (0600), safe on disk. Raises FileExistsError."""
        document = {
            "hub_id": self.hub_id,
            "root": base64.b64encode(self._root).decode(),
            "kek": {str(version): base64.b64encode(key).decode() for version, key in self._kek.items()},
        }
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(document, file, indent=1)
            file.flush()
            os.fsync(file.fileno())


class InsecureDevelopmentKeyring(LocalKeyring):
    """Fixed keys for tests: anyone can read what was sealed with them."""

    def __init__(self, hub_id: str = "test-hub") -> None:
        root, kek = b"insecure development root key...", b"insecure development wrapping ke"
        super().__init__(hub_id=hub_id, root=root, kek={1: kek})
        _log.warning("keys that everyone knows are in use")


def _key(text: str) -> bytes:
    key = base64.b64decode(text, validate=True)
    if len(key) != KEY_BYTES:
        raise ValueError("a key has not 32 bytes")
    return key
