"""Tables of text in files: CSV and, where pyarrow is installed (`pip install healthsync[parquet]`), Parquet.

CSV may be UTF-8 (with or without byte order mark), UTF-16 or Windows-1252, separated by comma, semicolon, tab or bar.
Blanks around names and values do not count.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from healthsync.errors import ConfigurationError, InvalidInput

_SEPARATORS = ",;\t|"


@dataclass(frozen=True, slots=True)
class Table:
    """The names and the values of the columns of one file; a missing value is ""."""

    names: tuple[str, ...]
    columns: tuple[list[str], ...]

    def __len__(self) -> int:
        return len(self.columns[0]) if self.columns else 0

    def column(self, name: str) -> list[str]:
        """The values of one column."""
        return self.columns[self.names.index(name)]


def read_table(path: Path) -> Table:
    """Read a CSV or Parquet file. Raises InvalidInput with what is wrong and where; never with a value."""
    if not path.is_file():
        raise InvalidInput(f"{path}: there is no such file")
    table = _read_parquet(path) if path.suffix.lower() in {".parquet", ".pq"} else _read_csv(path)
    doubled = sorted({name for name in table.names if table.names.count(name) > 1})
    if doubled:
        raise InvalidInput(f"{path}: two columns are named {doubled[0]}; rename one")
    if not len(table):
        raise InvalidInput(f"{path}: has no records, only a header" if table.names else f"{path}: is empty")
    return table


def write_table(path: Path, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV or Parquet file, by its name."""
    if path.suffix.lower() in {".parquet", ".pq"}:
        arrow, parquet = _arrow()
        columns = list(zip(*rows, strict=True)) or [() for _ in names]
        parquet.write_table(
            arrow.table({name: list(column) for name, column in zip(names, columns, strict=True)}), path
        )
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)


def _read_csv(path: Path) -> Table:
    text = _decoded(path)
    if "\0" in text:
        raise InvalidInput(f"{path}: holds NUL characters; this is no CSV file")
    first = text.lstrip("\n").partition("\n")[0]
    separator = max(_SEPARATORS, key=first.count)
    rows = csv.reader(text.splitlines(keepends=True), delimiter=separator, skipinitialspace=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        found: list[list[str]] = []
        for row in rows:
            if not row:
                continue
            if len(row) != len(header):
                raise InvalidInput(
                    f"{path}, line {rows.line_num}: has {len(row)} values where the header has {len(header)}; "
                    "put values with a separator in them into double quotes"
                )
            found.append(row)
    except csv.Error as error:
        raise InvalidInput(f"{path}, line {rows.line_num}: {error}") from None
    columns = tuple([value.strip() for value in column] for column in zip(*found, strict=True)) if found else ()
    return Table(tuple(header), columns)


def _decoded(path: Path) -> str:
    content = path.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings: tuple[str, ...] = ("utf-16",)
    else:
        encodings = ("utf-8-sig", "cp1252")
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise InvalidInput(f"{path}: is neither UTF-8, UTF-16 nor Windows-1252; save it as UTF-8")


def _read_parquet(path: Path) -> Table:
    arrow, parquet = _arrow()
    try:
        table = parquet.read_table(path)
    except (arrow.ArrowInvalid, OSError):
        raise InvalidInput(f"{path}: is no Parquet file") from None
    columns = tuple(
        ["" if value is None else str(value).strip() for value in column.to_pylist()] for column in table.columns
    )
    return Table(tuple(table.column_names), columns)


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise ConfigurationError("Parquet files need pyarrow: pip install 'healthsync[parquet]', or use CSV") from None
    return pyarrow, pyarrow.parquet
