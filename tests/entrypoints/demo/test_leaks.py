"""A value is found however it was written, and nothing is found by chance."""

from __future__ import annotations

import base64
import json
from datetime import date
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.entrypoints.demo.leaks import SHORTEST, LeakScanner
from healthsync.infrastructure.database import Database
from healthsync.infrastructure.database.dump import tables_as_text

NAME = "Quorrimsund"
NOISE = Random(3).randbytes(150_000)

WRITTEN = {
    "as it is": NAME.encode(),
    "capitals": NAME.upper().encode(),
    "small letters": NAME.lower().encode(),
    "mixed case": b"qUOrrimSUnd",
    "utf-16 little endian": NAME.encode("utf-16-le"),
    "utf-16 big endian capitals": NAME.upper().encode("utf-16-be"),
    "hex": NAME.encode().hex().encode(),
    "hex in capitals": NAME.encode().hex().upper().encode(),
    "hex of capitals": NAME.upper().encode().hex().encode(),
    "base64 of small letters": base64.b64encode(NAME.lower().encode()),
    "base64, one byte in": base64.b64encode(b"<" + NAME.encode() + b">"),
    "base64, two bytes in": base64.b64encode(b"<<" + NAME.encode() + b">>"),
    "base64 of a message": base64.b64encode(f"PID|1||77^^^H^MR||{NAME.upper()}^Ada\r".encode()),
}


@pytest.mark.parametrize("form", WRITTEN)
@pytest.mark.parametrize("place", [0, 1, 16_380, 16_384, 49_999, 149_900])
def test_a_name_is_found_in_every_form_and_at_every_place(form: str, place: int) -> None:
    data = NOISE[:place] + WRITTEN[form] + NOISE[place:]
    found = list(LeakScanner([NAME]).scan(data, "here"))
    assert {leak.needle for leak in found} == {0}
    assert any(abs(leak.offset - place) <= 30 for leak in found)


@pytest.mark.parametrize("written", ["1984-03-09", "19840309", "03/09/1984", "|19840309|", '"birthDate":"1984-03-09"'])
def test_a_birth_date_is_found_in_its_notations(written: str) -> None:
    assert list(LeakScanner(["1984-03-09"]).scan(NOISE[:777] + written.encode() + NOISE[:9], "here"))


def test_a_date_may_be_given_as_a_date() -> None:
    assert list(LeakScanner([date(1984, 3, 9)]).scan(b"|19840309|", "here"))


@pytest.mark.parametrize("written", ["8025551234", "(802)555-1234", "(802) 555-1234", "802-555-1234", "802 5551234"])
def test_a_phone_number_is_found_in_its_notations(written: str) -> None:
    assert list(LeakScanner(["8025551234"]).scan(b"tel:" + written.encode(), "here"))


@pytest.mark.parametrize("written", ["412345678", "412-34-5678"])
def test_a_social_security_number_is_found_in_its_notations(written: str) -> None:
    assert list(LeakScanner(["412345678"]).scan(written.encode(), "here"))


@pytest.mark.parametrize("context", ["a19840309f", "1198403091", "deadbeef19840309deadbeef"])
def test_digits_inside_hex_or_a_longer_number_are_chance(context: str) -> None:
    assert not list(LeakScanner(["1984-03-09"]).scan(context.encode(), "here"))


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16-le"])
def test_accents_are_found_in_the_encodings_that_write_them(encoding: str) -> None:
    assert list(LeakScanner(["Ávandréll"]).scan(b"..." + "ÁVANDRÉLL".encode(encoding) + b"...", "here"))


def test_accents_are_found_as_json_escapes() -> None:
    assert list(LeakScanner(["Ávandréll"]).scan(json.dumps({"family": "Ávandréll"}).encode(), "here"))


def test_noise_and_other_names_are_no_leak() -> None:
    scanner = LeakScanner([NAME, "1984-03-09", "8025551234", "RVB0412345"])
    assert not list(scanner.scan(NOISE + b"Quorrim Sund, 1984-03-10, RVB0412346" + NOISE.hex().encode(), "here"))


@given(
    text=st.text("abcdefghijklmnopqrstuvwxyz", min_size=SHORTEST, max_size=20),
    before=st.binary(max_size=40),
    after=st.binary(max_size=40),
)
def test_what_was_planted_is_found(text: str, before: bytes, after: bytes) -> None:
    for planted in (
        text.encode(),
        base64.b64encode(before + text.encode() + after),
        (before + text.encode()).hex().encode(),
    ):
        assert list(LeakScanner([text]).scan(before + planted + after, "here"))


def test_a_value_too_short_to_be_told_from_chance_is_refused() -> None:
    with pytest.raises(ValueError, match="7 characters"):
        LeakScanner(["Smith"])


def test_files_are_searched_and_those_without_concern_are_not(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    for name in ("base/1", "base/2", "truth.json"):
        (tmp_path / name).write_bytes(NOISE[:5000] + NAME.encode())
    (tmp_path / "base" / "2").write_bytes(b"")
    found = list(LeakScanner([NAME]).scan_folder(tmp_path, without=[tmp_path / "truth.json"]))
    assert [(leak.where, leak.form) for leak in found] == [("base/1", "text")]


async def test_a_value_is_found_in_whatever_column_it_stands(database: Database) -> None:
    scanner = LeakScanner([NAME])
    long = NAME + "x" * 20_000  # PostgreSQL compresses it
    async with database.transaction() as tx:
        await tx.execute("CREATE TABLE planted (a text, b jsonb, c bytea)")
        await tx.execute("CREATE TABLE clean (a text); INSERT INTO clean VALUES ('nobody')")
        await tx.execute("INSERT INTO planted VALUES ($1, NULL, NULL)", long)
        await tx.execute("INSERT INTO planted VALUES (NULL, $1, NULL)", json.dumps({"name": NAME}))
        await tx.execute("INSERT INTO planted VALUES (NULL, NULL, $1)", base64.b64encode(b"!" + NAME.encode()))
    rows = {table: text async for table, text in tables_as_text(database)}
    assert [table for table, text in rows.items() if list(scanner.scan(text, table))] == ["public.planted"]
    assert sum(bool(list(scanner.scan(row, "row"))) for row in rows["public.planted"].split(b"\n")) == 3
