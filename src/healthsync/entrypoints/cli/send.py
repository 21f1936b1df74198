"""`healthsync send`: an MLLP client."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from healthsync.connectors.mllp import MllpClient
from healthsync.entrypoints.cli.options import echo_json, json_option
from healthsync.errors import HealthSyncError
from healthsync.standards.hl7v2 import MllpDecoder, split_batch


@dataclass(slots=True)
class Tally:
    """What was answered."""

    codes: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[str, int, str]] = field(default_factory=list)
    """(file, number of the message in it, what was said)."""

    @property
    def accepted(self) -> bool:
        """Whether every message was."""
        return not self.faults and bool(self.codes)


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--to", "address", required=True, metavar="HOST:PORT", help="The receiver.")
@click.option("--tls", is_flag=True, help="Speak TLS.")
@click.option("--ca", type=click.Path(path_type=Path, exists=True), help="Authorities to trust (PEM); implies --tls.")
@click.option("--certificate", type=click.Path(path_type=Path, exists=True), help="Own certificate and key (PEM).")
@click.option("--repeat", type=click.IntRange(min=1), default=1, show_default=True, help="Send everything so often.")
@click.option(
    "--timeout", "timeout_seconds", type=float, default=30.0, show_default=True, help="Seconds to wait for an answer."
)
@json_option
def command(
    files: tuple[Path, ...],
    address: str,
    tls: bool,
    ca: Path | None,
    certificate: Path | None,
    repeat: int,
    timeout_seconds: float,
    as_json: bool,
) -> int:
    """Send the HL7 v2 messages in FILES, one after the other, and tell what was answered.

    A file may hold one message, several, or a batch. Ends with 0 when every message was accepted, else with 1.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise click.UsageError("--to is HOST:PORT, such as 127.0.0.1:2575")
    context = _context(ca, certificate) if tls or ca or certificate else None
    messages = [(str(file), n, m) for file in files for n, m in enumerate(_messages(file.read_bytes()), 1)] * repeat
    tally = asyncio.run(_send(host.strip("[]"), int(port), context, timeout_seconds, messages, quiet=as_json))
    if as_json:
        faults = [{"file": file, "message": number, "answer": text} for file, number, text in tally.faults]
        echo_json({"sent": len(messages), "answers": dict(tally.codes), "faults": faults})
    else:
        for file, number, text in tally.faults:
            click.echo(f"{file}, message {number}: {text}", err=True)
        click.echo(
            ", ".join(f"{code}: {count}" for code, count in sorted(tally.codes.items())) or "nothing was answered"
        )
    return 0 if tally.accepted and sum(tally.codes.values()) == len(messages) else 1


async def _send(
    host: str,
    port: int,
    context: ssl.SSLContext | None,
    timeout_seconds: float,
    messages: list[tuple[str, int, bytes]],
    *,
    quiet: bool,
) -> Tally:
    tally = Tally()
    client: MllpClient | None = None
    hidden = quiet or not sys.stderr.isatty()
    with Progress(console=Console(stderr=True), disable=hidden) as progress:
        for file, number, message in progress.track(messages, description="sending"):
            try:
                if client is None:
                    client = await MllpClient.connect(host, port, tls=context, timeout_seconds=timeout_seconds)
                answer = await client.send(message)
            except HealthSyncError as error:
                tally.faults.append((file, number, str(error)))
                if client is not None:
                    await client.close()
                client = None
                continue
            tally.codes[answer.code.value if answer else "none wanted"] += 1
            if answer and not answer.code.is_accept:
                tally.faults.append((file, number, f"{answer.code}: {answer.text}"))
    if client is not None:
        await client.close()
    return tally


def _messages(content: bytes) -> Iterator[bytes]:
    """The messages of a file: framed or not, batch or not; lines of a text file become segments."""
    decoder = MllpDecoder()
    framed = decoder.feed(content) + decoder.finish() if content.startswith(b"\x0b") else [content]
    for payload in framed:
        if isinstance(payload, bytes):
            for message in split_batch(payload):
                yield (
                    message
                    if b"\r" in message.replace(b"\r\n", b"")
                    else message.replace(b"\r\n", b"\r").replace(b"\n", b"\r")
                )


def _context(ca: Path | None, certificate: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(ca) if ca else None)
        if certificate:
            context.load_cert_chain(certificate)
    except OSError as error:
        raise click.UsageError(f"the TLS files do not load ({type(error).__name__})") from None
    return context
