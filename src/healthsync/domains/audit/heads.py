"""Signed tree heads (RFC 9162 section 4.10 in spirit): what a hub cannot take back once others hold it.

    {"hub_id":"mercy","public_key":"…","root_hash":"…","signature":"…","signed_at":"2026-11-25T12:00:00.000000Z","tree_size":7}

The signature is Ed25519 (RFC 8032) over `healthsync audit tree head v1`, a line feed, and the RFC 8785 JSON of the
other members but the key. Bytes are written in hex.
"""

from __future__ import annotations

from datetime import datetime

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from healthsync.domains.audit.canonical import instant
from healthsync.domains.audit.model import TreeHead
from healthsync.errors import InvalidInput

_CONTEXT = b"healthsync audit tree head v1\n"
_encode = msgspec.json.Encoder(order="deterministic").encode


def public_key(signing_key: bytes) -> bytes:
    """The 32-byte Ed25519 public key of a 32-byte seed."""
    return Ed25519PrivateKey.from_private_bytes(signing_key).public_key().public_bytes_raw()


def sign(signing_key: bytes, hub_id: str, tree_size: int, root_hash: bytes, signed_at: datetime) -> TreeHead:
    """A head signed with the 32-byte seed."""
    signature = Ed25519PrivateKey.from_private_bytes(signing_key).sign(_signed(hub_id, tree_size, root_hash, signed_at))
    return TreeHead(hub_id, tree_size, root_hash, signed_at, public_key(signing_key), signature)


def is_signed(head: TreeHead) -> bool:
    """Whether the signature of `head` is that of its key. Whether the key is the hub's is for the caller to ask."""
    signed = _signed(head.hub_id, head.tree_size, head.root_hash, head.signed_at)
    try:
        Ed25519PublicKey.from_public_bytes(head.public_key).verify(head.signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def to_line(head: TreeHead) -> str:
    """A head as one line of JSON."""
    return _encode(
        {
            "hub_id": head.hub_id,
            "public_key": head.public_key.hex(),
            "root_hash": head.root_hash.hex(),
            "signature": head.signature.hex(),
            "signed_at": instant(head.signed_at),
            "tree_size": head.tree_size,
        }
    ).decode()


def from_line(line: str) -> TreeHead:
    """Read what `to_line` wrote. Raises InvalidInput."""
    try:
        document = msgspec.json.decode(line)
        return TreeHead(
            hub_id=document["hub_id"],
            tree_size=int(document["tree_size"]),
            root_hash=bytes.fromhex(document["root_hash"]),
            signed_at=datetime.fromisoformat(document["signed_at"]),
            public_key=bytes.fromhex(document["public_key"]),
            signature=bytes.fromhex(document["signature"]),
        )
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        raise InvalidInput("this is no tree head; give the file heads.jsonl of the hub, or a copy of it") from None


def _signed(hub_id: str, tree_size: int, root_hash: bytes, signed_at: datetime) -> bytes:
    return _CONTEXT + _encode(
        {"hub_id": hub_id, "root_hash": root_hash.hex(), "signed_at": instant(signed_at), "tree_size": tree_size}
    )
