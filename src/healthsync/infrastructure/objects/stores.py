"""Where objects lie. A name is `folder/file`, made by the hub; what is put is whole or not there."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from healthsync.errors import ConfigurationError, NotFound, Unavailable

_NAME = re.compile(r"[0-9a-f-]{1,64}/[0-9A-Za-z._-]{1,64}")
_FOLDER = re.compile(r"[0-9a-f-]{1,64}/")
_PIECE_BYTES = 1024 * 1024
BUCKET_SCHEMES = frozenset({"s3", "gs", "az", "azure", "abfs", "abfss"})


class Objects(Protocol):
    """A store of objects. Every method raises Unavailable when the store does not answer."""

    async def put(self, name: str, parts: Sequence[bytes]) -> int:
        """Store an object, in place of one of that name; returns its size in bytes."""
        ...

    def get(self, name: str) -> AsyncIterator[bytes]:
        """The object in pieces. Raises NotFound."""
        ...

    async def delete(self, folder: str) -> None:
        """Remove all objects of a folder (`folder/`); none is no error."""
        ...


class FolderObjects:
    """Files of a folder that only this user can enter."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, name: str, parts: Sequence[bytes]) -> int:
        """See `Objects`. The file is safe on disk when this returns."""
        return await asyncio.to_thread(self._put, _checked(name), parts)

    async def get(self, name: str) -> AsyncIterator[bytes]:
        """See `Objects`."""
        try:
            file = await asyncio.to_thread((self._folder / _checked(name)).open, "rb")
        except FileNotFoundError:
            raise NotFound("the file is no longer there") from None
        with file:
            while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
                yield piece

    async def delete(self, folder: str) -> None:
        """See `Objects`."""
        if not _FOLDER.fullmatch(folder):
            raise ValueError("not the name of a folder of objects")
        await asyncio.to_thread(shutil.rmtree, self._folder / folder, ignore_errors=True)

    def _put(self, name: str, parts: Sequence[bytes]) -> int:
        target = self._folder / name
        new = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            new.replace(target)
        except OSError as problem:
            raise Unavailable(f"a file cannot be written below bulk_data.folder ({type(problem).__name__})") from None
        return sum(map(len, parts))


class BucketObjects:
    """Objects of a bucket, by obstore. Credentials come from the environment, as each cloud's own tools read them."""

    def __init__(self, url: str) -> None:
        try:
            import obstore
            from obstore.exceptions import BaseError
            from obstore.store import from_url
        except ImportError:
            raise ConfigurationError("bulk_data.bucket needs: pip install healthsync[object-storage]") from None
        self._obstore, self._error = obstore, BaseError
        try:
            self._store: Any = from_url(url)
        except Exception as problem:  # obstore has no common class for a wrong address
            raise ConfigurationError(
                f"bulk_data.bucket is not an address of a bucket ({type(problem).__name__}); write s3://bucket/prefix"
            ) from None

    async def put(self, name: str, parts: Sequence[bytes]) -> int:
        """See `Objects`."""
        _checked(name)
        with _answering(self._error):
            await self._obstore.put_async(self._store, name, iter(parts))
        return sum(map(len, parts))

    async def get(self, name: str) -> AsyncIterator[bytes]:
        """See `Objects`."""
        _checked(name)
        with _answering(self._error):
            found = await self._obstore.get_async(self._store, name)
            async for piece in found.stream(min_chunk_size=_PIECE_BYTES):
                yield bytes(piece)

    async def delete(self, folder: str) -> None:
        """See `Objects`."""
        if not _FOLDER.fullmatch(folder):
            raise ValueError("not the name of a folder of objects")
        with _answering(self._error):
            async for page in self._obstore.list(self._store, prefix=folder):
                if paths := [entry["path"] for entry in page]:
                    await self._obstore.delete_async(self._store, paths)


def objects_at(folder: Path, bucket: str | None) -> Objects:
    """The store in a bucket (`s3://…`, `gs://…`, `az://…`), or else in a folder."""
    if bucket is None:
        return FolderObjects(folder)
    if bucket.partition("://")[0] not in BUCKET_SCHEMES:
        raise ConfigurationError("bulk_data.bucket is an address that begins with s3://, gs:// or az://")
    return BucketObjects(bucket)


@contextmanager
def _answering(error: type[Exception]) -> Iterator[None]:
    """Turns what obstore raises into errors of ours; its texts may hold addresses and credentials."""
    try:
        yield
    except FileNotFoundError:
        raise NotFound("the file is no longer there") from None
    except (error, OSError) as problem:
        raise Unavailable(f"the object store does not answer ({type(problem).__name__})") from None


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name) or ".." in name:
        raise ValueError("not the name of an object")
    return name
