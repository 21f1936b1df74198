"""Nouns of the directory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from healthsync.errors import InvalidInput
from healthsync.standards.hl7v2 import codec_of

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")

Network = IPv4Network | IPv6Network


class AckMode(StrEnum):
    """HL7 v2.5.1 §2.9.2: original mode answers AA, AE, AR; enhanced mode CA, CE, CR at the commit."""

    ORIGINAL = "original"
    ENHANCED = "enhanced"


class PartnerState(StrEnum):
    """Whether messages of a partner are taken."""

    ACTIVE = "active"
    PAUSED = "paused"
    """Messages are answered AE or CE (send again later) and not kept."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection, as the transport knows it."""

    address: str
    """IP address."""
    certificate_fingerprint: str | None = None
    """SHA-256 of the verified client certificate (DER), lower-case hex."""
    certificate_subject: str | None = None
    """Subject of that certificate (RFC 4514)."""

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine."""
        try:
            address = ip_address(self.address.partition("%")[0])
        except ValueError:
            return False
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback


@dataclass(frozen=True, slots=True)
class Partner:
    """A system that may send to this hub. Raises InvalidInput when it names no criterion or an impossible one."""

    name: str
    sending_application: str | None = None
    sending_facility: str | None = None
    certificate_fingerprint: str | None = None
    certificate_subject: str | None = None
    addresses: tuple[Network, ...] = ()
    organisation: str | None = None
    ack_mode: AckMode | None = None
    """None: as the message (MSH-15, MSH-16) or the hub's setting says."""
    character_encoding: str | None = None
    """What the sender writes when MSH-18 does not say, in the words of MSH-18 (HL7 table 0211)."""
    state: PartnerState = PartnerState.ACTIVE
    created_at: datetime | None = None
    query_role: str | None = None
    """With the rights of which role it may ask who somebody is (QBP); None: it may not."""
    query_purpose: str | None = None
    """What for (v3-ActReason): consent is judged by it."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InvalidInput(
                "a partner's name is a letter, then up to 63 letters, digits, '.', '_' or '-'", code="value"
            )
        if self.certificate_fingerprint is not None and not _FINGERPRINT.fullmatch(self.certificate_fingerprint):
            raise InvalidInput("a certificate fingerprint is the SHA-256 of the certificate in hex", code="value")
        if self.character_encoding is not None and codec_of(self.character_encoding) is None:
            raise InvalidInput(
                "the character encoding is one of HL7 table 0211, such as UNICODE UTF-8 or 8859/1", code="value"
            )
        if not self.addresses and not self.words:
            raise InvalidInput(
                f"nothing says how to recognise {self.name}: give a certificate, an address, MSH-3 or MSH-4",
                code="required",
            )
        if self.query_role is not None and not (self.addresses or self.has_certificate):
            raise InvalidInput(
                f"{self.name} is known by its header alone, which anybody can write: give a certificate or an address "
                "before it may ask about patients",
                code="business-rule",
            )

    @property
    def has_certificate(self) -> bool:
        """Whether it is recognised by its client certificate."""
        return bool(self.certificate_fingerprint or self.certificate_subject)

    @property
    def words(self) -> tuple[str, ...]:
        """The criteria that are text, where given."""
        given = (
            self.certificate_fingerprint, self.certificate_subject, self.sending_application, self.sending_facility,
        )  # fmt: skip
        return tuple(word for word in given if word)


def network(text: str) -> Network:
    """An address or CIDR block (`10.1.2.3`, `10.1.0.0/16`, `fd00::/8`). Raises InvalidInput."""
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise InvalidInput(f"{text} is no address or CIDR block such as 10.1.0.0/16", code="value") from None


def fingerprint(text: str) -> str:
    """A SHA-256 fingerprint as tools print it (colons, any case), in the form that is compared."""
    return text.replace(":", "").replace(" ", "").lower()
