"""HL7 v2 out over MLLP: one message at a time on a connection, each with the answer that names it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from dataclasses import dataclass

from healthsync.errors import InvalidInput, Unavailable
from healthsync.standards.hl7v2 import AckCode, FrameFault, Hl7SyntaxError, Message, MllpDecoder, frame, split_batch

_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What the receiver said of one message."""

    code: AckCode
    control_id: str
    text: str
    """ERR-8, else MSA-3: for the operator."""


def acknowledgements(payload: bytes) -> list[Acknowledgement]:
    """The answers in one frame, which may be a batch of them. Raises InvalidInput when a message in it is no answer."""
    found = []
    try:
        for part in split_batch(payload):
            answer = Message.parse(part)
            msa = answer.first("MSA")
            control_id = msa.field(2).raw if msa else ""
            text = answer.get("ERR-8") or answer.get("MSA-3")
            found.append(Acknowledgement(AckCode(answer.get("MSA-1")), control_id, text))
    except (Hl7SyntaxError, ValueError):
        raise InvalidInput(
            "the receiver's answer is no acknowledgement; what was sent counts as not delivered"
        ) from None
    return found


class MllpClient:
    """A connection to a receiver. Use as `async with MllpClient.connect(…) as client`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout_seconds: float) -> None:
        self._reader, self._writer, self._timeout_seconds = reader, writer, timeout_seconds
        self._decoder = MllpDecoder()
        self._answers: deque[Acknowledgement] = deque()

    @classmethod
    async def connect(
        cls, host: str, port: int, *, tls: ssl.SSLContext | None = None, timeout_seconds: float = 30.0
    ) -> MllpClient:
        """Open a connection. Raises Unavailable when the receiver does not answer."""
        try:
            async with asyncio.timeout(timeout_seconds):
                reader, writer = await asyncio.open_connection(host, port, ssl=tls)
        except (OSError, TimeoutError) as error:
            raise Unavailable(f"nobody answers at {host}:{port} ({type(error).__name__})") from error
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(reader, writer, timeout_seconds)

    async def __aenter__(self) -> MllpClient:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except (OSError, ssl.SSLError):
            return

    async def send(self, message: bytes) -> Acknowledgement | None:
        """Send a message and wait for the answer whose MSA-2 is its MSH-10; answers to others are passed over.

        None for a message that asks for no answer at all (MSH-15 and MSH-16 NE, HL7 v2.5.1 §2.9.3).

        Raises Unavailable when none comes in time. The connection is then closed: a late answer must not be taken
        for that of the next message.
        """
        header = Message.parse(message)
        control_id, wants_none = header.control_id, header.accept_ack_type == header.application_ack_type == "NE"
        try:
            async with asyncio.timeout(self._timeout_seconds):
                self._writer.write(frame(message))
                await self._writer.drain()
                if wants_none:
                    return None
                while (answer := await self._next_answer()).control_id != control_id:
                    continue
        except (OSError, TimeoutError) as error:
            await self.close()
            raise Unavailable(f"the receiver did not acknowledge the message ({type(error).__name__})") from error
        return answer

    async def _next_answer(self) -> Acknowledgement:
        while not self._answers:
            if not (data := await self._reader.read(_CHUNK_BYTES)):
                raise ConnectionResetError
            for item in self._decoder.feed(data):
                if not isinstance(item, FrameFault):
                    self._answers.extend(acknowledgements(item))
        return self._answers.popleft()
