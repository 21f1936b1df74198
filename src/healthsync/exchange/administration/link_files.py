"""Link the records of files, tell how good that is where the truth is known, and make such files. No hub is needed.

What is read and written stays in the caller's files: nothing is stored, sent or logged. Pairs and clusters carry ids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from healthsync.domains.identity.linkage import (
    COLUMNS,
    Compared,
    Evaluation,
    Explainer,
    Linkage,
    LinkageModel,
    Population,
    Progress,
    Records,
    Tier,
    as_sql,
    evaluate,
    link,
    meaning_of,
    parse_map,
    reason_codes,
    standardise,
)
from healthsync.domains.identity.linkage.standardising import date_of, sex_of, split_name
from healthsync.errors import InvalidInput
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.tabular import Table, read_table, write_table

_TIERS = tuple(Tier)
SSN_SYSTEM = "http://hl7.org/fhir/sid/us-ssn"


@dataclass(frozen=True, slots=True)
class Linked:
    """Linked files. `truth` and `origins` are what the files say of themselves, in the order of the records."""

    linkage: Linkage
    names: tuple[str, ...]
    fields: tuple[str, ...]
    truth: tuple[str, ...] | None
    origins: tuple[str, ...] | None

    def summary(self) -> dict[str, object]:
        """Counts, without any value of a record."""
        found = self.linkage
        tiers = Counter(found.tier.tolist())
        return {
            "files": list(self.names),
            "records": len(found.records),
            "fields": list(self.fields),
            "persons": len(set(found.persons.tolist())),
            "pairs": {tier.value: tiers[at] for at, tier in enumerate(_TIERS)},
            "compared": len(found.compared[0]),
            "one_to_one": found.one_to_one,
            "profile": found.model.profile,
            "capped_blocks": [
                {"key": one.key, "cap": one.cap, "blocks": one.blocks, "records": one.records} for one in found.capped
            ],
        }


class LinkFiles:
    """Reads files, links their records, writes pairs and clusters."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock

    def link(
        self,
        paths: Sequence[Path],
        *,
        mapping: str = "",
        truth: str | None = None,
        exclusive: bool | None = None,
        model: Path | None = None,
        progress: Progress = lambda _what, _share: None,
    ) -> Linked:
        """Link the records of `paths`. Raises InvalidInput with a sentence for a file that cannot be used."""
        asked = parse_map(mapping) | ({"truth": truth} if truth else {})
        read = [read_table(path) for path in paths]
        everywhere = {name for table in read for name in table.names}
        tables = [
            _Source(path, table, asked, everywhere, number)
            for number, (path, table) in enumerate(zip(paths, read, strict=True))
        ]
        fields = list(dict.fromkeys(name for table in tables for name in table.says))
        raw = {name: [value for table in tables for value in table.values(name)] for name in fields}
        ids = [id_ for table in tables for id_ in table.ids]
        files = [table.number for table in tables for _ in table.ids]
        records = standardise(raw, ids, files, today=self._clock.now().date())
        used = LinkageModel.from_json(model.read_text(encoding="utf-8")) if model else None
        linkage = link(records, exclusive=exclusive, model=used, progress=progress)
        names = tuple(path.name for path in paths)
        told = _in_order(records, tables, "truth") if all(table.tells("truth") for table in tables) else None
        origin = "truth_origin"
        origins = _in_order(records, tables, origin) if all(table.tells(origin) for table in tables) else None
        return Linked(linkage, names, tuple(records.columns), told, origins)

    def labelled(self, path: Path, *, mapping: str = "", truth: str | None = None) -> list[tuple[dict[str, Any], str]]:
        """The records of a labelled file as Patients, each with who it is. Raises InvalidInput."""
        asked = parse_map(mapping) | ({"truth": truth} if truth else {})
        table = read_table(path)
        source = _Source(path, table, asked, set(table.names), 0)
        if not source.tells("truth"):
            raise InvalidInput("no column tells who the records are; name it: --truth COLUMN")
        columns = {name: source.values(name) for name in _OF_A_PATIENT}
        rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
        today = self._clock.now().date()
        return [(_patient(row, today), who) for row, who in zip(rows, source.told("truth"), strict=True)]

    def evaluate(self, linked: Linked) -> Evaluation:
        """How good a linkage is. Raises InvalidInput for files without a column of the truth."""
        if linked.truth is None:
            raise InvalidInput("no column tells who the records are; name it: --truth COLUMN")
        return evaluate(linked.linkage, linked.truth, linked.origins)

    def write_pairs(self, linked: Linked, path: Path, *, explain: bool = False) -> None:
        """Write each pair of one person and each that a person should look at."""
        found, ids = linked.linkage, linked.linkage.records.ids
        several = len(linked.names) > 1
        names = ["id_a", "id_b", "weight", "probability", "tier", "reasons"]
        names += ["file_a", "file_b"] * several + ["explanation"] * explain
        explainer = Explainer(found.records, found.model) if explain else None
        rows = []
        for left, right, weight, probability, tier, reasons in zip(
            found.left.tolist(), found.right.tolist(), found.weight.tolist(), found.probability.tolist(),
            found.tier.tolist(), found.reasons.tolist(), strict=True,
        ):  # fmt: skip
            row = [ids[left], ids[right], round(weight, 3), round(probability, 6), _TIERS[tier].value]
            row.append(" ".join(reason_codes(reasons)))
            if several:
                row += [linked.names[found.records.files[left]], linked.names[found.records.files[right]]]
            if explainer:
                steps = explainer.explain(left, right).steps
                row.append("; ".join(f"{step.about} {step.level} {step.bits:+.1f}" for step in steps))
            rows.append(row)
        write_table(path, names, rows)

    def write_clusters(self, linked: Linked, path: Path) -> None:
        """Write for each record its person: the id of the person's first record (with its file, where ids clash)."""
        records = linked.linkage.records
        several = len(linked.names) > 1
        clash = len(set(records.ids)) < len(records)
        labels = [f"{linked.names[file]}:{id_}" if clash else id_ for id_, file in
                  zip(records.ids, records.files.tolist(), strict=True)]  # fmt: skip
        rows = [
            [id_, labels[person], *([linked.names[file]] if several else [])]
            for id_, person, file in zip(
                records.ids, linked.linkage.persons.tolist(), records.files.tolist(), strict=True
            )
        ]
        write_table(path, ["id", "person"] + ["file"] * several, rows)

    def write_model(self, linked: Linked, path: Path) -> None:
        """Write the weights that were learned, to be used again."""
        path.write_text(linked.linkage.model.to_json() + "\n", encoding="utf-8")

    def write_sql(self, linked: Linked, path: Path, levels: Path | None = None) -> None:
        """Write the weights as SQL for a warehouse and, into `levels`, the table that it reads: each pair's levels."""
        path.write_text(as_sql(linked.linkage.model), encoding="utf-8")
        if levels:
            found, ids = linked.linkage, linked.linkage.records.ids
            compared = Compared.of(found.records, found.model, found.left, found.right)
            pairs = zip(found.left.tolist(), found.right.tolist(), compared.rows(), strict=True)
            write_table(levels, ["id_a", "id_b", *compared.columns],
                        ((ids[left], ids[right], *row) for left, right, row in pairs))  # fmt: skip

    def generate(self, path: Path, *, records: int, seed: int) -> int:
        """Write a file of invented households with errors; returns how many persons there are."""
        people = Population(seed=seed, today=self._clock.now().date()).records(records)
        write_table(path, COLUMNS, (person.row() for person in people))
        return len({person.truth for person in people})


class _Source:
    """One file and what its columns say."""

    def __init__(
        self, path: Path, table: Table, asked: Mapping[str, str], everywhere: Collection[str], number: int
    ) -> None:
        """What is asked for need not be in every file; a column that is in none is refused by `meaning_of`."""
        self.number, self._table = number, table
        here = {field: column for field, column in asked.items() if column in table.names or column not in everywhere}
        try:
            self._meaning = meaning_of(table.names, here)
        except InvalidInput as error:
            raise InvalidInput(f"{path}: {error}") from None
        extras = {f"extra:{name}": column for name, column in self._meaning.extras.items()}
        self.says = {name: column for name, column in self._meaning.fields.items() if name != "id"} | extras
        id_column = self._meaning.fields.get("id")
        self.ids = table.column(id_column) if id_column else [str(at) for at in range(1, len(table) + 1)]
        _refuse_doubles(path, id_column or "", self.ids)

    def values(self, name: str) -> list[str]:
        """The values of a field, all missing when the file does not have it."""
        return self._table.column(self.says[name]) if name in self.says else [""] * len(self._table)

    def tells(self, name: str) -> bool:
        """Whether the file tells the truth (or what else is not evidence)."""
        return (self._meaning.truth is not None) if name == "truth" else name in self._table.names

    def told(self, name: str) -> list[str]:
        """What it tells."""
        return self._table.column(self._meaning.truth if name == "truth" and self._meaning.truth else name)


_OF_A_PATIENT = (
    "given", "middle", "family", "full_name", "suffix", "birth_date", "sex", "ssn", "house_number", "street",
    "address_line", "city", "state", "postal_code", "phone", "email",
)  # fmt: skip


def _patient(row: Mapping[str, str], today: date) -> dict[str, Any]:
    """What a row says, as a Patient; a date that is not whole says nothing."""
    given, family, middle = split_name(row["full_name"]) if row["full_name"] else ("", "", "")
    born = date_of(row["birth_date"], today=today)
    return {
        "resourceType": "Patient",
        "identifier": [{"system": SSN_SYSTEM, "value": row["ssn"]}],
        "name": [
            {
                "family": row["family"] or family,
                "given": [row["given"] or given, *(row["middle"] or middle).split()],
                "suffix": [row["suffix"]],
            }
        ],
        "birthDate": f"{born[:4]}-{born[4:6]}-{born[6:]}" if born.isdecimal() else None,
        "gender": sex_of(row["sex"]) or None,
        "address": [
            {
                "line": [f"{row['house_number']} {row['street']}".strip(), row["address_line"]],
                "city": row["city"],
                "state": row["state"],
                "postalCode": row["postal_code"],
            }
        ],
        "telecom": [{"system": "phone", "value": row["phone"]}, {"system": "email", "value": row["email"]}],
    }


def _refuse_doubles(path: Path, column: str, ids: Sequence[str]) -> None:
    first: dict[str, int] = {}
    for line, id_ in enumerate(ids, 2):
        if not id_:
            raise InvalidInput(f"{path}, record {line - 1}: has no {column}; every record needs an id of its own")
        if id_ in first:
            raise InvalidInput(
                f"{path}: records {first[id_] - 1} and {line - 1} have one {column}; ids must be unique in a file. "
                "Name another column: --map id=COLUMN"
            )
        first[id_] = line


def _in_order(records: Records, tables: Sequence[_Source], name: str) -> tuple[str, ...]:
    told = {
        (table.number, id_): value
        for table in tables for id_, value in zip(table.ids, table.told(name), strict=True)
    }  # fmt: skip
    return tuple(told[file, id_] for file, id_ in zip(records.files.tolist(), records.ids, strict=True))
