"""Bytes to text: MSH-18, and senders that do not keep to it."""

from __future__ import annotations

import pytest

from healthsync.standards.hl7v2 import Message, codec_of


def message(name: bytes, declared: str = "") -> bytes:
    return b"MSH|^~\\&|A|B|C|D|2024||ADT^A01|1|P|2.5.1||||||" + declared.encode() + b"\rPID|1||1||" + name + b"\r"


@pytest.mark.parametrize(
    ("declared", "codec", "name"),
    [
        ("UNICODE UTF-8", "utf-8", "Müller 李"),
        ("utf8", "utf-8", "Müller"),
        ("UNICODE", "utf-8", "Müller"),
        ("8859/1", "iso8859-1", "Müller"),
        ("ISO-8859-1", "iso8859-1", "Müller"),
        ("8859/2", "iso8859-2", "Wałęsa"),
        ("8859/5", "iso8859-5", "Иванов"),
        ("8859/7", "iso8859-7", "Παπάς"),
        ("8859/8", "iso8859-8", "כהן"),
        ("8859/15", "iso8859-15", "Cœur €"),
        ("WINDOWS-1252", "cp1252", "Cœur €"),
        ("cp1252", "cp1252", "“Müller”"),
        ("GB 18030-2000", "gb18030", "李四"),
        ("KS X 1001", "cp949", "김철수"),
        ("BIG-5", "cp950", "許功蓋"),  # second bytes of these are the backslash
        ("~ISO IR87", "iso2022_jp_ext", "山田"),
        ("ISO IR6~ISO IR87", "iso2022_jp_ext", "山田"),
        ("ISO IR14", "cp932", "ﾔﾏﾀﾞ"),
    ],
)
def test_a_declared_character_set_is_used(declared: str, codec: str, name: str) -> None:
    parsed = Message.parse(message(name.encode(codec), declared))
    assert parsed.get("PID-5") == name
    assert parsed.charset == codec
    assert parsed.warnings == ()


@pytest.mark.parametrize(
    ("declared", "name", "charset", "warning"),
    [
        ("", "Müller".encode(), "utf-8", "charset-undeclared"),
        ("", "Müller".encode("latin-1"), "cp1252", "charset-undeclared"),
        ("", b"M\x81ller", "latin-1", "charset-undeclared"),
        ("UNICODE UTF-8", "Müller".encode("latin-1"), "cp1252", "charset-fallback"),
        ("ASCII", "Müller".encode(), "utf-8", "charset-fallback"),
        ("UNICODE UTF-16", b"Mueller", "ascii", "charset-unknown"),
        ("KLINGON", b"Mueller", "ascii", "charset-unknown"),
    ],
)
def test_bytes_outside_the_declaration_are_read_all_the_same(
    declared: str, name: bytes, charset: str, warning: str
) -> None:
    parsed = Message.parse(message(name, declared))
    assert parsed.charset == charset
    assert parsed.warnings == (warning,)
    assert parsed.get("PID-5") == name.decode(charset)


def test_plain_ascii_without_declaration_is_no_reason_to_warn() -> None:
    parsed = Message.parse(message(b"Mueller"))
    assert (parsed.charset, parsed.warnings) == ("ascii", ())


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_is_dropped(codec: str) -> None:
    raw = message("Müller".encode(), "UNICODE UTF-8").decode().encode(codec)
    parsed = Message.parse(raw)
    assert parsed.get("PID-5") == "Müller"
    assert parsed.warnings == ("bom-dropped",)
    assert parsed.encode() == raw


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_wide_characters_are_recognised_without_a_mark(codec: str) -> None:
    assert Message.parse(message("Müller".encode()).decode().encode(codec)).get("PID-5") == "Müller"


def test_every_codec_of_the_table_exists() -> None:
    for name in ("ASCII", "8859/9", "ISO IR159", "CP1250", "UNICODE UTF-32"):
        codec = codec_of(name)
        assert codec and "A".encode(codec)
