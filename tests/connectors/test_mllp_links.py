"""Ways to a destination over TLS: both ends prove themselves, and a stranger gets nothing."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from healthsync.connectors.mllp_links import Listening, Where, open_link
from healthsync.errors import ConfigurationError, Unavailable
from healthsync.standards.hl7v2 import MllpDecoder, frame

MESSAGE = b"MSH|^~\\&|H|H|P|P|20260301||SIU^S12|C1|P|2.5.1\r"
ANSWER = frame(b"MSH|^~\\&|P|P|H|H|20260301||ACK|1|P|2.5.1\rMSA|AA|C1\r")


def certificate(folder: Path, name: str) -> tuple[str, str]:
    """A self-signed certificate for localhost, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(9))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = serialization.Encoding.PEM
    (folder / f"{name}.crt").write_bytes(made.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / f"{name}.key").write_bytes(private)
    return str(folder / f"{name}.crt"), str(folder / f"{name}.key")


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    decoder = MllpDecoder()
    while data := await reader.read(65536):
        if decoder.feed(data):
            writer.write(ANSWER)
    writer.close()


@asynccontextmanager
async def receiver(context: ssl.SSLContext):
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def where(port: int, **changes: object) -> Where:
    given = {"host": "localhost", "port": port, "listen": False, "max_connections": 1, "connect_timeout_seconds": 2,
             "ack_timeout_seconds": 2, "tls": True}  # fmt: skip
    return Where(**{**given, **changes})  # type: ignore[arg-type]


async def test_the_partner_is_known_by_its_certificate_and_knows_us_by_ours(tmp_path: Path) -> None:
    theirs, ours, other = (certificate(tmp_path, name) for name in ("theirs", "ours", "other"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ours[0])
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(*theirs)
    async with receiver(context) as port:
        async with open_link(where(port, ca=theirs[0], certificate=ours[0], key=ours[1])) as link:
            assert (await link.send(MESSAGE)).code == "AA"
        for stranger in (
            {"ca": other[0], "certificate": ours[0], "key": ours[1]},
            {"ca": theirs[0], "certificate": other[0], "key": other[1]},
            {"ca": theirs[0]},
            {"ca": theirs[0], "certificate": ours[0], "key": ours[1], "server_name": "elsewhere"},
        ):
            async with open_link(where(port, **stranger)) as link:
                with pytest.raises(Unavailable):
                    await link.send(MESSAGE)


async def test_a_partner_that_connects_to_us_must_show_the_certificate_that_we_ask_for(tmp_path: Path) -> None:
    theirs, ours = certificate(tmp_path, "theirs"), certificate(tmp_path, "ours")
    place = where(0, listen=True, ca=theirs[0], certificate=ours[0], key=ours[1], host="127.0.0.1")
    async with open_link(place) as link:
        assert isinstance(link, Listening)
        context = ssl.create_default_context(cafile=ours[0])
        with suppress(OSError):
            reader, _ = await asyncio.open_connection("localhost", link.port, ssl=context)
            assert await reader.read(1) == b"", "closed: no certificate"
        context.load_cert_chain(*theirs)
        reader, writer = await asyncio.open_connection("localhost", link.port, ssl=context)
        serving = asyncio.create_task(answer(reader, writer))
        await asyncio.wait_for(link.ready(), 5)
        assert (await link.send(MESSAGE)).code == "AA"
        serving.cancel()
        writer.close()


async def test_one_connection_too_many_is_closed_and_an_absent_partner_is_said_so() -> None:
    place = where(0, listen=True, tls=False, host="127.0.0.1", connect_timeout_seconds=0.1)
    async with open_link(place) as link:
        assert isinstance(link, Listening)
        with pytest.raises(Unavailable, match="not connected"):
            await link.send(MESSAGE)
        first = await asyncio.open_connection("127.0.0.1", link.port)
        await link.ready()
        second = await asyncio.open_connection("127.0.0.1", link.port)
        assert await asyncio.wait_for(second[0].read(1), 5) == b""
        first[1].close()
        second[1].close()
        with pytest.raises(Unavailable, match="cannot be listened on"):
            async with open_link(where(link.port, listen=True, tls=False, host="127.0.0.1")):
                pass


async def test_a_tls_file_that_cannot_be_read_is_named_as_the_fault() -> None:
    with pytest.raises(ConfigurationError, match="TLS file"):
        async with open_link(where(1, ca="/nowhere/ca.pem")):
            pass
