"""Compile HL7's v2-to-FHIR tables into the data file that the mapping engine reads.

    python tools/build_v2_maps.py CSV_DIR [OUTPUT]

CSV_DIR is the `mappings` folder of the HL7 v2-to-FHIR implementation guide (folders `segments` and `codesystems`).
One row a line, so that a diff of the output shows what a new release of the guide changes. Nothing is corrected here:
corrections stand, with their reason, in the folder `overrides` beside the output, which also says what is used.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

SOURCE = "HL7/v2-to-fhir, https://github.com/HL7/v2-to-fhir, licence Apache-2.0 (content CC0-1.0)"
OUTPUT = Path(__file__).parents[1] / "src/healthsync/standards/maps/data/v2_to_fhir.json"

# Columns of the guide's sheets, from 0.
IDENTIFIER, CONDITION, NARRATIVE, ATTRIBUTE, DATA_TYPE_MAP, VOCABULARY, ASSIGNMENT = 1, 6, 8, 9, 14, 15, 16
FROM_CODE, FROM_SYSTEM, TO_CODE, TO_TEXT, TO_DISPLAY, TO_SYSTEM = 0, 2, 6, 7, 8, 9


def main(csv_dir: Path, output: Path) -> None:
    """Read the sheets, write the data file."""
    segments = {name: list(segment_rows(rows)) for name, rows in sheets(csv_dir / "segments")}
    names = {
        plain(row["vocabulary"]): row["vocabulary"] for rows in segments.values() for row in rows if "vocabulary" in row
    }
    concepts = {names.get(plain(name), name): concept_rows(rows) for name, rows in sheets(csv_dir / "codesystems")}
    output.write_text(rendered(segments, concepts), encoding="utf-8")
    print(f"{output}: {sum(map(len, segments.values()))} rows, {sum(map(len, concepts.values()))} codes")


def sheets(folder: Path) -> Iterator[tuple[str, list[list[str]]]]:
    """Each sheet by its name (`PID[Patient]`): its rows below its two header lines, cells without line breaks."""
    for path in sorted(folder.glob("*.csv")):
        name = re.sub(r"^HL7 .*?_ | - .*?\.csv$", "", path.name)
        with path.open(encoding="utf-8-sig", newline="") as lines:
            yield name, [[" ".join(cell.split()) for cell in row] + [""] * 20 for row in list(csv.reader(lines))[2:]]


def plain(name: str) -> str:
    """A name of a sheet without what differs between the file and those who cite it."""
    return re.sub(r"\W", "", name).lower()


def segment_rows(rows: list[list[str]]) -> Iterator[dict[str, str]]:
    """The rows that name a FHIR attribute, as small objects without empty entries."""
    for row in rows:
        if not row[ATTRIBUTE]:
            continue
        entry = {
            "from": row[IDENTIFIER],
            "when": row[CONDITION],
            "prose": row[NARRATIVE],
            "to": row[ATTRIBUTE],
            "with": row[DATA_TYPE_MAP],
            "vocabulary": row[VOCABULARY],
            "value": row[ASSIGNMENT],
        }
        yield {name: value for name, value in entry.items() if value}


def concept_rows(rows: list[list[str]]) -> dict[str, list[str]]:
    """v2 code → [v2 system, FHIR code, FHIR display, FHIR system]; codes that the guide leaves unmapped are absent."""
    return {
        row[FROM_CODE]: [row[FROM_SYSTEM], row[TO_CODE], display_of(row), system_of(row)]
        for row in rows
        if row[FROM_CODE] and row[TO_CODE]
    }


def display_of(row: list[str]) -> str:
    """Some sheets put the display one column to the left."""
    return next((cell for cell in (row[TO_DISPLAY], row[TO_TEXT]) if cell and not cell.startswith("http")), "")


def system_of(row: list[str]) -> str:
    """The column of the FHIR code system differs by one between sheets: the cell that holds an address."""
    return next((cell for cell in row[TO_DISPLAY : TO_SYSTEM + 2] if cell.startswith("http")), "")


def rendered(segments: dict[str, list[dict[str, str]]], concepts: dict[str, dict[str, list[str]]]) -> str:
    """JSON with one row a line."""

    def line(value: object) -> str:
        return json.dumps(value, ensure_ascii=False)

    maps = ",\n".join(
        f"  {line(name)}: [\n" + ",\n".join(f"   {line(row)}" for row in rows) + "\n  ]"
        for name, rows in segments.items()
    )
    codes = ",\n".join(
        f"  {line(name)}: {{\n" + ",\n".join(f"   {line(code)}: {line(row)}" for code, row in rows.items()) + "\n  }"
        for name, rows in concepts.items()
    )
    return f'{{\n "source": {line(SOURCE)},\n "segments": {{\n{maps}\n }},\n "concepts": {{\n{codes}\n }}\n}}\n'


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else OUTPUT)
