"""Lines of text, compressed (RFC 1952, one member) and sealed in chunks (AES-256-GCM), so that reading needs no memory.

    object = chunk…      chunk = 4 bytes of length, then nonce, ciphertext and tag

Each chunk is bound to the name of the object, to its place in it, and to whether it is the last: one that is moved,
left out or cut off does not open (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár, 2015).
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator

from healthsync.infrastructure.crypto import SealBroken, open_sealed, seal

CHUNK_BYTES = 256 * 1024
_LENGTH_BYTES = 4
_GZIP = 31  # zlib's window of 2^15, with a gzip header and trailer
_LONGEST_CHUNK = 4 * CHUNK_BYTES


class SealedLines:
    """Takes text and becomes the parts of an object. `level` is that of gzip, 0 (as it is) to 9."""

    def __init__(self, key: bytes, name: str, level: int) -> None:
        self._key, self._name = key, name
        self._gzip = zlib.compressobj(level, zlib.DEFLATED, _GZIP)
        self._waiting = bytearray()
        self.parts: list[bytes] = []

    def add(self, text: bytes) -> None:
        """More text, any number of whole lines."""
        self._waiting += self._gzip.compress(text)
        while len(self._waiting) > CHUNK_BYTES:  # the last chunk is known to be the last only at the end
            self._seal(bytes(self._waiting[:CHUNK_BYTES]), last=False)
            del self._waiting[:CHUNK_BYTES]

    def end(self) -> list[bytes]:
        """The parts of the whole object."""
        self._waiting += self._gzip.flush()
        while len(self._waiting) > CHUNK_BYTES:
            self._seal(bytes(self._waiting[:CHUNK_BYTES]), last=False)
            del self._waiting[:CHUNK_BYTES]
        self._seal(bytes(self._waiting), last=True)
        return self.parts

    def _seal(self, chunk: bytes, *, last: bool) -> None:
        sealed = seal(self._key, chunk, _place(self._name, len(self.parts), last))
        self.parts.append(len(sealed).to_bytes(_LENGTH_BYTES, "big") + sealed)


async def open_lines(key: bytes, name: str, data: AsyncIterator[bytes], *, compressed: bool) -> AsyncIterator[bytes]:
    """The text of an object in pieces, or the gzip stream that holds it. Raises SealBroken.

    A piece leaves only after its chunk proved whole; that the object is cut off shows at its end.
    """
    inflate = zlib.decompressobj(_GZIP)
    number, sealed = 0, None
    async for following in _chunks(data):
        if sealed is not None:
            for piece in _pieces(open_sealed(key, sealed, _place(name, number, False)), inflate, compressed):
                yield piece
            number += 1
        sealed = following
    if sealed is None:
        raise SealBroken("a sealed file is empty")
    for piece in _pieces(open_sealed(key, sealed, _place(name, number, True)), inflate, compressed):
        yield piece


def _pieces(chunk: bytes, inflate: zlib._Decompress, compressed: bool):
    """A chunk as it is, or its text in pieces that stay small however well it was compressed."""
    if compressed:
        yield chunk
        return
    while chunk:
        if piece := inflate.decompress(chunk, CHUNK_BYTES):
            yield piece
        chunk = inflate.unconsumed_tail


async def _chunks(data: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    buffer = bytearray()
    async for piece in data:
        buffer += piece
        while len(buffer) >= _LENGTH_BYTES:
            length = int.from_bytes(buffer[:_LENGTH_BYTES], "big")
            if length > _LONGEST_CHUNK:
                raise SealBroken("a sealed file is damaged")
            if len(buffer) < _LENGTH_BYTES + length:
                break
            yield bytes(buffer[_LENGTH_BYTES : _LENGTH_BYTES + length])
            del buffer[: _LENGTH_BYTES + length]
    if buffer:
        raise SealBroken("a sealed file is cut off")


def _place(name: str, number: int, last: bool) -> bytes:
    return f"{name} chunk {number}{' last' if last else ''}".encode()
