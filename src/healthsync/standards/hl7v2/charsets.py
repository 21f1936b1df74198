"""MSH-18 and the bytes that do not keep to it (HL7 v2.5.1 §2.15.9.18, table 0211).

Decoding never fails: what is not in the declared character set is read as UTF-8 if it is valid UTF-8, else as
Windows-1252, else as ISO 8859-1, and a warning says so.
"""

from __future__ import annotations

import codecs
import re
from functools import lru_cache

# Table 0211 and spellings that senders use, reduced to letters and digits.
_CODECS = {
    **dict.fromkeys(("ASCII", "USASCII", "ISOIR6", "7BIT"), "ascii"),
    **{f"{prefix}8859{n}": f"iso8859-{n}" for prefix in ("", "ISO", "ISOIEC") for n in (*range(1, 12), 13, 14, 15, 16)},
    **dict.fromkeys(("LATIN1", "ISOIR100"), "iso8859-1"),
    **{f"{prefix}125{n}": f"cp125{n}" for prefix in ("WINDOWS", "WIN", "CP") for n in range(9)},
    **dict.fromkeys(("ANSI", "1252"), "cp1252"),
    **dict.fromkeys(("UNICODEUTF8", "UTF8", "UNICODE"), "utf-8"),
    **dict.fromkeys(("UNICODEUTF16", "UTF16"), "utf-16"),
    **dict.fromkeys(("UNICODEUTF32", "UTF32"), "utf-32"),
    **dict.fromkeys(("ISOIR14", "SHIFTJIS"), "cp932"),
    **dict.fromkeys(("ISOIR87", "ISOIR159"), "iso2022_jp_ext"),
    **dict.fromkeys(("GB180302000", "GB18030", "GBK", "GB2312"), "gb18030"),
    **dict.fromkeys(("KSX1001", "EUCKR"), "cp949"),
    "BIG5": "cp950",
}
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16 LE, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WIDE_HEADERS = tuple(("MSH".encode(codec), codec) for codec in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"))

Decoded = tuple[str, str, tuple[str, ...]]  # the text, the Python codec that gave it, warning codes


def decode(raw: bytes) -> Decoded:
    """The text of a message in the character set that its first bytes or MSH-18 declare; never fails."""
    if raw.startswith(b"MSH"):
        return _decode_declared(raw, _declared(raw))
    for mark, codec in _BYTE_ORDER_MARKS:
        if raw.startswith(mark):
            return _decode(raw[len(mark) :], codec, ("bom-dropped",))
    for header, codec in _WIDE_HEADERS:
        if raw.startswith(header):
            return _decode(raw, codec)
    return _decode_declared(raw, _declared(raw.lstrip(b" \t\r\n\0\x0b")))


def decode_hexadecimal(digits: str, codec: str) -> str:
    """The characters that the digits of a ``\\Xdd..\\`` sequence stand for (§2.7.5)."""
    return _decode(bytes.fromhex(digits), codec)[0]


def codec_of(declared: str) -> str | None:
    """The Python codec for one repetition of MSH-18, or None when it is unknown."""
    return _CODECS.get(re.sub("[^A-Z0-9]", "", declared.upper()))


def _declared(raw: bytes) -> bytes:
    """MSH-18 as sent."""
    end = raw.find(b"\r")
    if end < 0:
        end = raw.find(b"\n")
    fields = (raw if end < 0 else raw[:end]).split(raw[3:4] or b"|", 18)
    return fields[17] if len(fields) > 17 else b""


def _decode_declared(raw: bytes, declared: bytes) -> Decoded:
    if not declared:
        return _decode(raw, "ascii", otherwise="charset-undeclared")
    codec = _codec_of_repetitions(declared, b"\x1b" in raw)
    return _decode(raw, codec) if codec else _decode(raw, "ascii", ("charset-unknown",))


@lru_cache(maxsize=256)
def _codec_of_repetitions(declared: bytes, has_escape_byte: bool) -> str | None:
    """The first set named is the one in use; ISO 2022 switches away from it by sequences that begin with an ESC byte.

    UTF-16 and UTF-32 are no answer here: their MSH would not have been readable byte by byte.
    """
    known = [codec for value in declared.decode("latin-1").split("~") if (codec := codec_of(value))]
    narrow = [codec for codec in known if codec not in ("utf-16", "utf-32")]
    switching = [codec for codec in narrow if has_escape_byte and codec.startswith("iso2022")]
    return next(iter(switching or narrow), None)


def _decode(raw: bytes, codec: str, warnings: tuple[str, ...] = (), otherwise: str = "charset-fallback") -> Decoded:
    try:
        return raw.decode(codec), codec, warnings
    except UnicodeDecodeError:
        return *_guess(raw), (*warnings, otherwise)


def _guess(raw: bytes) -> tuple[str, str]:
    for codec in ("utf-8", "cp1252"):
        try:
            return raw.decode(codec), codec
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1"), "latin-1"  # has a character for every byte
