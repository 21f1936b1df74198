"""TLS of the MLLP port, and what a client certificate says (IHE ATNA ITI-19)."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

from cryptography import x509

from healthsync.errors import ConfigurationError
from healthsync.exchange.receive_message import Peer


def tls_context(
    certificate: Path, key: Path, client_ca: Path | None = None, *, require_client_certificate: bool = False
) -> ssl.SSLContext:
    """TLS 1.2 or later. With `client_ca`, client certificates are asked for and verified. Raises ConfigurationError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED if require_client_certificate else ssl.CERT_OPTIONAL
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(
            f"the TLS files of MLLP do not load ({type(error).__name__}); look at {certificate}, {key}"
            + (f" and {client_ca}" if client_ca else "")
        ) from None
    return context


def peer_of(address: str, tls: ssl.SSLObject | None) -> Peer:
    """Who is at the other end."""
    der = tls.getpeercert(binary_form=True) if tls is not None else None
    if not der:
        return Peer(address)
    subject = x509.load_der_x509_certificate(der).subject.rfc4514_string()
    return Peer(address, hashlib.sha256(der).hexdigest(), subject)
