"""The MLLP port under every kind of peer: each gets its clear answer, and nobody else notices."""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from healthsync.connectors.mllp import MllpClient
from healthsync.domains.audit import AuditService
from healthsync.domains.directory import DirectoryService, Partner
from healthsync.domains.messages import MessageService
from healthsync.domains.privacy import DataKeys
from healthsync.entrypoints.mllp import MllpServer, tls_context
from healthsync.errors import ConfigurationError, InvalidInput, Unavailable
from healthsync.exchange.receive_message import ReceiveMessage
from healthsync.infrastructure.clock import SystemClock
from healthsync.infrastructure.crypto import BlindIndex, InsecureDevelopmentKeyring
from healthsync.infrastructure.database import Database
from healthsync.infrastructure.events import EventLog

VT, END = b"\x0b", b"\x1c\r"


def adt(control_id: str, patient: str = "P1", tail: bytes = b"") -> bytes:
    header = f"MSH|^~\\&|EPIC|MERCY|HUB|HIE|20240301120000+0000||ADT^A01^ADT_A01|{control_id}|P|2.5.1"
    return f"{header}\rPID|1||{patient}^^^MERCY^MR||Doe^Jane\r".encode() + tail


def codes(answer: bytes) -> list[tuple[str, str]]:
    return re.findall(r"MSA\|(\w\w)\|([^\r|]*)", answer.decode("latin-1"))


@dataclass
class Port:
    """A running server, and the means to see what it stored."""

    database: Database
    receive: ReceiveMessage
    directory: DirectoryService
    server: MllpServer = field(init=False)
    address: tuple[str, int] = field(init=False)

    async def listen(self, **options: Any) -> None:
        self.server = MllpServer(self.receive, "127.0.0.1", 0, **options)
        self.address = await self.server.start()

    @asynccontextmanager
    async def peer(self) -> AsyncIterator[Peer]:
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            yield Peer(reader, writer)
        finally:
            writer.close()

    async def states(self) -> list[tuple[str, str, str | None]]:
        async with self.database.connection() as tx:
            rows = await tx.fetch("SELECT control_id, state, reason_code FROM message ORDER BY sequence")
        return [(row["control_id"], row["state"], row["reason_code"]) for row in rows]


@dataclass
class Peer:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def answers(self, count: int = 1) -> list[tuple[str, str]]:
        """MSA-1 and MSA-2 of the next frames."""
        async with asyncio.timeout(10):
            return [pair for _ in range(count) for pair in codes(await self.reader.readuntil(END))]

    async def end(self) -> bytes:
        """What comes until the server closes."""
        async with asyncio.timeout(10):
            return await self.reader.read()


@pytest.fixture
async def port(database: Database, tmp_path: Path) -> AsyncIterator[Port]:
    clock, keyring = SystemClock(), InsecureDevelopmentKeyring()
    audit = AuditService(
        database,
        clock,
        query_key=b"q" * 32,
        signing_key=b"s" * 32,
        hub_id=keyring.hub_id,
        heads_file=tmp_path / "heads",
    )
    directory = DirectoryService(clock)
    receive = ReceiveMessage(
        database=database, messages=MessageService(BlindIndex(b"k" * 32), keyring.hub_id), directory=directory,
        data_keys=DataKeys(keyring), audit=audit, events=EventLog(database, clock), clock=clock, development=True,
    )  # fmt: skip
    port = Port(database, receive, directory)
    yield port
    await port.server.stop()
    await receive.close()


async def test_frames_in_one_write_are_answered_in_their_order(port: Port) -> None:
    await port.listen()
    async with port.peer() as peer:
        peer.write(
            VT
            + adt("K1")
            + END
            + b"\0\r\n"
            + VT
            + adt("K2")
            + END
            + b"".join(VT + adt(f"L{n}") + END for n in range(200))
        )
        assert await peer.answers(202) == [("AA", "K1"), ("AA", "K2"), *(("AA", f"L{n}") for n in range(200))]
    assert [control_id for control_id, _, _ in await port.states()] == ["K1", "K2", *(f"L{n}" for n in range(200))]


async def test_a_frame_may_arrive_byte_by_byte(port: Port) -> None:
    await port.listen(read_timeout_seconds=5)
    async with port.peer() as peer:
        for byte in VT + adt("K1") + END:
            peer.write(bytes([byte]))
            await peer.writer.drain()
        assert await peer.answers() == [("AA", "K1")]


async def test_a_frame_that_ends_without_cr_is_answered_when_its_sender_waits(port: Port) -> None:
    await port.listen()
    async with port.peer() as peer:
        peer.write(VT + adt("K1") + b"\x1c")
        assert await peer.answers() == [("AA", "K1")]
        peer.write(VT + adt("K2") + END)
        assert await peer.answers() == [("AA", "K2")]


@pytest.mark.parametrize(
    ("sent", "answer", "kept"),
    [
        (b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n", [("AR", "")], []),
        (bytes(range(0x20, 0x100)) * 50, [("AR", "")], []),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", [("AR", "")], []),
        (VT + adt("K1"), [("AE", "K1")], [("K1", "dead", "incomplete")]),
        (VT + adt("K1")[:70], [("AE", "K1")], [("K1", "dead", "incomplete")]),
        (VT + b"PID|1||5" + END, [("AR", "")], []),
        (VT + END, [("AR", "")], []),
        (
            VT + adt("K1") + VT + adt("K2") + END,
            [("AE", "K1"), ("AA", "K2")],
            [("K1", "dead", "incomplete"), ("K2", "accepted", None)],
        ),
        (VT + b"\xff\xfe" + END, [("AR", "")], []),
        (VT + adt("K1", tail=b"NTE|1||\xe9\xff\x80\r") + END, [("AA", "K1")], [("K1", "accepted", None)]),
        (VT + adt("K1").replace(b"|2.5.1", b"|2.5.1||||||KLINGON") + END, [("AA", "K1")], [("K1", "accepted", None)]),
    ],
)
@pytest.mark.parametrize("ends", ["by-shutdown", "by-silence"])
async def test_bad_input_gets_its_clear_answer_and_disturbs_nobody(
    port: Port, sent: bytes, answer: list[tuple[str, str]], kept: list[tuple[str, str, str | None]], ends: str
) -> None:
    await port.listen(read_timeout_seconds=0.4)
    async with port.peer() as good, port.peer() as bad:
        good.write(VT + adt("G1") + END)
        assert await good.answers() == [("AA", "G1")]
        bad.write(sent)
        if ends == "by-shutdown":
            bad.writer.write_eof()
        assert await bad.answers(len(answer)) == answer
        good.write(VT + adt("G2") + END)
        assert await good.answers() == [("AA", "G2")]
    stored = [row for row in await port.states() if not row[0].startswith("G")]
    assert stored == kept


async def test_a_hundred_megabytes_are_refused_and_the_connection_goes_on(port: Port) -> None:
    await port.listen(max_message_bytes=1024 * 1024)
    async with port.peer() as peer:
        peer.write(VT + adt("BIG"))
        for _ in range(100):
            peer.write(b"x" * 1024 * 1024)
            await peer.writer.drain()
        peer.write(END + VT + adt("K2") + END)
        assert await peer.answers(2) == [("AR", "BIG"), ("AA", "K2")]
    assert await port.states() == [("BIG", "dead", "too-large"), ("K2", "accepted", None)]


async def test_a_sender_of_one_byte_a_moment_loses_its_connection_at_the_read_timeout(port: Port) -> None:
    await port.listen(read_timeout_seconds=0.5)
    async with port.peer() as peer:
        started = asyncio.get_running_loop().time()
        peer.write(VT)

        async def drip() -> None:
            for byte in adt("SLOW") * 3:
                peer.write(bytes([byte]))
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        answer = await peer.end()
        dripping.cancel()
        assert codes(answer)[0][0] == "AE"
        assert asyncio.get_running_loop().time() - started < 2


async def test_a_peer_that_never_reads_its_answers_is_dropped(port: Port) -> None:
    await port.listen(read_timeout_seconds=0.5)
    async with port.peer() as peer:
        peer.writer.get_extra_info("socket").setsockopt(1, 8, 4096)  # SO_RCVBUF

        async def flood() -> None:
            n = 0
            while True:
                peer.write(VT + adt("") + END)
                n += 1
                if n % 50 == 0:
                    await peer.writer.drain()

        peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
        flooding = asyncio.create_task(flood())
        async with asyncio.timeout(30):
            while port.server.connections:
                await asyncio.sleep(0.05)
        flooding.cancel()


async def test_an_idle_connection_is_closed_and_one_too_many_is_not_served(port: Port) -> None:
    await port.listen(idle_timeout_seconds=1.0, max_connections=1)
    async with port.peer() as first:
        first.write(VT + adt("K1") + END)
        assert await first.answers() == [("AA", "K1")]
        async with port.peer() as second:
            assert await second.end() == b""
        assert await first.end() == b""
    async with port.peer() as third:
        third.write(VT + adt("K3") + END)
        assert await third.answers() == [("AA", "K3")]


async def test_on_shutdown_what_has_arrived_is_answered_and_nothing_new_is_taken(port: Port) -> None:
    await port.listen()
    async with port.peer() as peer:
        peer.write(b"".join(VT + adt(f"K{n}") + END for n in range(20)))
        await peer.writer.drain()
        await asyncio.sleep(0.02)
        await port.server.stop()
        answers = codes(await peer.end())
    assert answers == [("AA", f"K{n}") for n in range(len(answers))]
    assert len(await port.states()) == len(answers) > 0
    with pytest.raises(OSError):
        await asyncio.open_connection(*port.address)


async def test_an_address_that_is_taken_is_said_so(port: Port) -> None:
    await port.listen()
    with pytest.raises(ConfigurationError, match="--mllp"):
        await MllpServer(port.receive, *port.address).start()


def _certificate(name: str, issuer: Any = None) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer, signing_key = (issuer[0].subject, issuer[1]) if issuer else (subject, key)
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(signer).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(9))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    )  # fmt: skip
    return builder.sign(signing_key, hashes.SHA256()), key


def _write(folder: Path, name: str, pair: tuple[x509.Certificate, ec.EllipticCurvePrivateKey]) -> tuple[Path, Path]:
    pem, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / f"{name}.crt").write_bytes(pair[0].public_bytes(pem))
    (folder / f"{name}.key").write_bytes(pair[1].private_bytes(pem, private, serialization.NoEncryption()))
    return folder / f"{name}.crt", folder / f"{name}.key"


async def test_with_mutual_tls_the_partner_is_known_by_its_certificate(port: Port, tmp_path: Path) -> None:
    authority = _certificate("Test CA")
    ca, _ = _write(tmp_path, "ca", authority)
    server = _write(tmp_path, "server", _certificate("localhost", authority))
    mercy = _certificate("adt.mercy", authority)
    client = _write(tmp_path, "client", mercy)
    fingerprint = hashlib.sha256(mercy[0].public_bytes(serialization.Encoding.DER)).hexdigest()
    async with port.database.transaction() as tx:
        await port.directory.add(
            tx, Partner("mercy", certificate_fingerprint=fingerprint, certificate_subject="CN=adt.mercy")
        )
    await port.listen(ssl_context=tls_context(*server, ca, require_client_certificate=True))

    context = ssl.create_default_context(cafile=str(ca))
    with pytest.raises(Unavailable):
        async with await MllpClient.connect("localhost", port.address[1], tls=context, timeout_seconds=5) as stranger:
            await stranger.send(adt("K0"))
    context.load_cert_chain(*client)
    async with await MllpClient.connect("localhost", port.address[1], tls=context, timeout_seconds=5) as partner:
        answer = await partner.send(adt("K1"))
        assert answer is not None
        assert answer.code == "AA"
    async with port.database.connection() as tx:
        assert [row["source"] for row in await tx.fetch("SELECT source FROM message")] == ["mercy"]


async def test_the_client_takes_only_the_answer_that_names_its_message() -> None:
    async def odd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(END)  # K0
        await reader.readuntil(END)
        writer.write(VT + b"MSH|^~\\&|R\rMSA|AA|OTHER\r" + END + VT + b"MSH|^~\\&|R\rMSA|AE|K1|no\r" + END)
        await reader.readuntil(END)
        writer.write(VT + b"MSH|^~\\&|R\rMSA|OK|K2\r" + END)
        writer.close()

    server = await asyncio.start_server(odd, "127.0.0.1", 0)
    async with await MllpClient.connect("127.0.0.1", server.sockets[0].getsockname()[1], timeout_seconds=5) as client:
        unanswered = adt("K0").replace(b"|P|2.5.1", b"|P|2.5.1|||NE|NE", 1)
        assert await client.send(unanswered) is None, "the sender asked for no answer, so none is waited for"
        answer = await client.send(adt("K1"))
        assert answer is not None
        assert (answer.code, answer.text) == ("AE", "no")
        with pytest.raises(InvalidInput):
            await client.send(adt("K2"))
    server.close()
