"""Resources as small bytes: Zstandard with a dictionary of what FHIR R4 JSON is made of (RFC 8878).

A single resource of a kilobyte hardly compresses by itself; with the dictionary it takes a sixth. The first byte names
the dictionary, so that a later one can be added; texts that were stored without compression have none of these bytes.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import zstandard

_LEVEL = 3
_CURRENT = 1
_MOST_BYTES = 1 << 30
"""A packed text that claims to be longer was not made here."""


def pack(text: bytes) -> bytes:
    """The packed form of a JSON text."""
    return bytes((_CURRENT,)) + _compressor().compress(text)


def unpack(packed: bytes) -> bytes:
    """The JSON text. What was never packed comes back as it is."""
    if packed[:1] != b"\x01":
        return packed
    return _decompressor().decompress(packed[1:], max_output_size=_MOST_BYTES)


@cache
def _dictionary() -> zstandard.ZstdCompressionDict:
    raw = files("healthsync.standards.fhir").joinpath("data/packing-1.dictionary").read_bytes()
    return zstandard.ZstdCompressionDict(raw)


@cache
def _compressor() -> zstandard.ZstdCompressor:
    parameters = zstandard.ZstdCompressionParameters.from_level(
        _LEVEL, format=zstandard.FORMAT_ZSTD1_MAGICLESS, write_dict_id=0, write_checksum=0, write_content_size=1
    )
    dictionary = _dictionary()
    dictionary.precompute_compress(level=_LEVEL)
    return zstandard.ZstdCompressor(dict_data=dictionary, compression_params=parameters)


@cache
def _decompressor() -> zstandard.ZstdDecompressor:
    return zstandard.ZstdDecompressor(dict_data=_dictionary(), format=zstandard.FORMAT_ZSTD1_MAGICLESS)
