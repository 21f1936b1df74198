"""Whose message is this?"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address

from healthsync.domains.directory.model import Partner, Peer

_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")


def recognise(partners: Iterable[Partner], peer: Peer, application: str, facility: str) -> Partner | None:
    """The partner of whom every named criterion holds; None when there is none, or no single best one.

    `application` and `facility` are the first components of MSH-3 and MSH-4. The header is what anybody can write,
    so a partner with a certificate or addresses is never recognised without them.
    """
    fitting = [partner for partner in partners if _fits(partner, peer, application, facility)]
    best = max(map(_rank, fitting), default=None)
    winners = [partner for partner in fitting if _rank(partner) == best]
    return winners[0] if len(winners) == 1 else None


def development_partner(application: str, facility: str) -> Partner:
    """A partner made up from the header, for development mode: the same header gives the same partner."""
    name = ".".join(part for part in (_fit(facility), _fit(application)) if part)
    name = name if name[:1].isalpha() else f"dev.{name}".rstrip(".")
    return Partner(name[:64], sending_application=application or "unnamed", sending_facility=facility or None)


def _fits(partner: Partner, peer: Peer, application: str, facility: str) -> bool:
    return (
        partner.certificate_fingerprint in (None, peer.certificate_fingerprint)
        and partner.certificate_subject in (None, peer.certificate_subject)
        and partner.sending_application in (None, application)
        and partner.sending_facility in (None, facility)
        and (not partner.addresses or _within(partner, peer.address))
    )


def _within(partner: Partner, text: str) -> bool:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in block for block in partner.addresses)


def _rank(partner: Partner) -> tuple[int, int, int]:
    """Certificate before address before header; a longer prefix and more header fields break ties."""
    return (
        (partner.certificate_fingerprint is not None) * 2 + (partner.certificate_subject is not None),
        max((block.prefixlen + 1 for block in partner.addresses), default=0),
        (partner.sending_application is not None) + (partner.sending_facility is not None),
    )


def _fit(text: str) -> str:
    return _UNFIT.sub("-", text).strip("-")[:31]
