"""Field encryption and keyed tokens: no healthcare here, only keys, bytes and names of purposes."""

from healthsync.infrastructure.crypto.blind_index import BlindIndex
from healthsync.infrastructure.crypto.field_cipher import SealBroken, open_sealed, seal
from healthsync.infrastructure.crypto.keyring import InsecureDevelopmentKeyring, LocalKeyring

__all__ = ["BlindIndex", "InsecureDevelopmentKeyring", "LocalKeyring", "SealBroken", "open_sealed", "seal"]
