"""Objects in folders and buckets, and lines sealed in chunks."""

from __future__ import annotations

import gzip
import json
import os
import random
import sys
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.errors import ConfigurationError, InvalidInput, NotFound
from healthsync.infrastructure.crypto import SealBroken
from healthsync.infrastructure.objects import FolderObjects, SealedLines, lines_at, lines_of, objects_at, open_lines
from healthsync.infrastructure.objects.sealed import CHUNK_BYTES

KEY = bytes(32)
NAME = "0123abcd/1.x"


def noise(size: int) -> bytes:
    """Text that does not compress."""
    return random.Random(7).randbytes(size).hex().encode()[:size] + b"\n"


async def pieces_of(data: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def opened(
    data: bytes, *, key: bytes = KEY, name: str = NAME, compressed: bool = False, size: int = 65_536
) -> bytes:
    return b"".join([piece async for piece in open_lines(key, name, pieces_of(data, size), compressed=compressed)])


def sealed(*texts: bytes, level: int = 0) -> list[bytes]:
    lines = SealedLines(KEY, NAME, level)
    for text in texts:
        lines.add(text)
    return lines.end()


@given(st.lists(st.binary(max_size=200), max_size=20), st.integers(0, 9), st.integers(1, 999))
def test_what_was_sealed_opens_again_however_it_is_cut(texts: list[bytes], level: int, size: int) -> None:
    import asyncio

    data = b"".join(sealed(*texts, level=level))
    assert asyncio.run(opened(data, size=size)) == b"".join(texts)


async def test_many_chunks_open_in_order_and_as_one_gzip_member() -> None:
    text = noise(3 * CHUNK_BYTES)
    parts = sealed(text[:1000], text[1000:], level=0)
    assert len(parts) == 4
    assert await opened(b"".join(parts)) == text
    assert gzip.decompress(await opened(b"".join(parts), compressed=True)) == text


@pytest.mark.parametrize(
    "damage", ["flip", "swap", "drop first", "drop last", "cut", "repeat", "other name", "other key", "empty"]
)
async def test_a_sealed_file_that_was_changed_does_not_open(damage: str) -> None:
    parts = sealed(noise(3 * CHUNK_BYTES))
    data, key, name = b"".join(parts), KEY, NAME
    match damage:
        case "flip":
            data = data[:50] + bytes([data[50] ^ 1]) + data[51:]
        case "swap":
            data = b"".join([parts[1], parts[0], *parts[2:]])
        case "drop first":
            data = b"".join(parts[1:])
        case "drop last":
            data = b"".join(parts[:-1])
        case "cut":
            data = data[:-3]
        case "repeat":
            data = b"".join([*parts, parts[-1]])
        case "other name":
            name = "0123abcd/2.x"
        case "other key":
            key = bytes([1]) * 32
        case "empty":
            data = b""
    with pytest.raises(SealBroken):
        await opened(data, key=key, name=name)


async def test_text_that_compresses_a_thousandfold_opens_in_flat_memory() -> None:
    data = b"".join(sealed(*[b"a" * 1_000_000] * 100, level=9))
    assert len(data) < 1_000_000
    tracemalloc.start()
    size = 0
    async for piece in open_lines(KEY, NAME, pieces_of(data), compressed=False):
        size += len(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == 100_000_000
    assert peak < 5_000_000


async def test_a_folder_gives_back_what_was_put_and_lets_nobody_else_in(tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path / "x")
    assert await objects.put("ab/1.x", [b"one", b"two"]) == 6
    assert b"".join([piece async for piece in objects.get("ab/1.x")]) == b"onetwo"
    await objects.put("ab/1.x", [b"new"])
    assert b"".join([piece async for piece in objects.get("ab/1.x")]) == b"new"
    assert (tmp_path / "x" / "ab" / "1.x").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "x" / "ab").stat().st_mode & 0o077 == 0
    assert [path.name for path in (tmp_path / "x" / "ab").iterdir()] == ["1.x"]
    await objects.delete("ab/")
    await objects.delete("ab/")
    with pytest.raises(NotFound):
        await anext(objects.get("ab/1.x"))


@pytest.mark.parametrize("name", ["../1.x", "ab/../../1.x", "/etc/passwd", "ab", "ab/", "ab/.."])
async def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not the name"):
        await FolderObjects(tmp_path).put(name, [b"x"])


@pytest.mark.parametrize("folder", ["", "/", "../", "ab", "ab/../"])
async def test_only_a_folder_of_objects_is_deleted(tmp_path: Path, folder: str) -> None:
    with pytest.raises(ValueError, match="not the name"):
        await FolderObjects(tmp_path).delete(folder)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The address of a bucket in a server that speaks S3."""
    server = pytest.importorskip("moto.server", reason="moto is not installed")
    pytest.importorskip("obstore", reason="obstore is not installed")
    import boto3

    s3 = server.ThreadedMotoServer(port=0)
    s3.start()
    host, port = s3.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    wanted = {
        "AWS_ENDPOINT_URL": endpoint, "AWS_ENDPOINT": endpoint, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y",
    }  # fmt: skip
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket="exports")
    yield "s3://exports/hub"
    s3.stop()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.mark.shows("bulk_data.bucket")
async def test_a_bucket_gives_back_what_was_put(bucket: str, tmp_path: Path) -> None:
    objects = objects_at(tmp_path, bucket)
    text = noise(3 * CHUNK_BYTES)
    parts = sealed(text)
    assert await objects.put(NAME, parts) == sum(map(len, parts))
    await objects.put("0123abcd/2.x", [b"two"])
    data = objects.get(NAME)
    assert b"".join([piece async for piece in open_lines(KEY, NAME, data, compressed=False)]) == text
    await objects.delete("0123abcd/")
    await objects.delete("0123abcd/")
    for name in (NAME, "0123abcd/2.x"):
        with pytest.raises(NotFound):
            await anext(objects.get(name))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("address", ["ftp://x/y", "x", "file:///etc"])
def test_an_address_that_is_no_bucket_is_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        objects_at(tmp_path, address)


def test_a_bucket_without_its_package_tells_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ConfigurationError, match=r"healthsync\[object-storage\]"):
        objects_at(tmp_path, "s3://exports")


@pytest.mark.parametrize("ending", ["ndjson", "ndjson.gz"])
def test_lines_are_read_from_any_offset(tmp_path: Path, ending: str) -> None:
    texts = [json.dumps({"n": n}).encode() + b"\n" for n in range(5)] + [b"last"]
    path = tmp_path / f"a.{ending}"
    path.write_bytes(gzip.compress(b"".join(texts)) if ending.endswith("gz") else b"".join(texts))
    whole = list(lines_of(path))
    assert [line for line, _ in whole] == texts
    assert whole[-1][1] == sum(map(len, texts))
    offset = whole[1][1]
    assert [line for line, _ in lines_of(path, offset)] == texts[2:]
    assert list(lines_at(path, [0, offset, whole[4][1]])) == [texts[0], texts[2], texts[5]]
    assert list(lines_at(path, [])) == []


def test_a_damaged_or_absent_file_is_told_without_its_content(tmp_path: Path) -> None:
    damaged = tmp_path / "a.gz"
    damaged.write_bytes(gzip.compress(noise(10_000))[:-50])
    for path in (damaged, tmp_path / "none"):
        with pytest.raises(InvalidInput, match="cannot be read"):
            list(lines_of(path))
