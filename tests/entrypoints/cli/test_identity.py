"""`healthsync identity` as its user calls it, and with the files that go wrong."""

import csv
import json
from pathlib import Path

import pytest

from healthsync.entrypoints.cli import main

HEADER = "id,first_name,surname,dob,sex,ssn,address,city,zip\n"
ANN = "Ann,Holm,1980-04-03,F,212456789,5 Elm St,Salem,01970"
BEN = "Ben,Ruiz,1955-09-21,M,313456788,77 Oak Ave,Dover,19901"


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["identity", *map(str, arguments)])
    return ended.value.code


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture
def out(tmp_path: Path) -> tuple[str, Path, str, Path]:
    return "--pairs", tmp_path / "pairs.csv", "--clusters", tmp_path / "clusters.csv"


@pytest.fixture
def generated(tmp_path: Path) -> Path:
    path = tmp_path / "people.csv"
    assert run("generate", path, "--records", 1500, "--seed", 4, "--json") == 0
    return path


def test_a_generated_file_is_linked_into_pairs_and_persons(generated: Path, out, capsys) -> None:
    capsys.readouterr()
    assert run("link", generated, *out, "--explain", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    pairs, persons = rows(out[1]), rows(out[3])
    assert told["records"] == 1500 == len(persons)
    assert told["persons"] == len({row["person"] for row in persons})
    assert sum(told["pairs"].values()) == len(pairs) > 200
    assert list(pairs[0]) == ["id_a", "id_b", "weight", "probability", "tier", "reasons", "explanation"]
    assert {row["tier"] for row in pairs} <= {"certain", "probable", "possible"}
    person = {row["id"]: row["person"] for row in persons}
    assert all((person[row["id_a"]] == person[row["id_b"]]) == (row["tier"] != "possible") for row in pairs)
    assert not any(field.startswith("truth") or "truth" in field for field in told["fields"])


def test_evaluation_tells_how_good_it_is(generated: Path, tmp_path: Path, capsys) -> None:
    assert run("evaluate", generated, "--chart", tmp_path / "chart.svg") == 0
    told = capsys.readouterr().out
    for words in ("B-cubed", "blocking recall", "per 10,000 records", "no SSN", "names census", "calibration"):
        assert words in told
    assert (tmp_path / "chart.svg").read_text().startswith("<svg")


def test_two_files_with_other_column_names_and_encodings(tmp_path: Path, out) -> None:
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    one.write_bytes(("﻿" + HEADER + f"a1,{ANN}\na2,{BEN}\n").encode())
    lines = [
        "Kennung;Vorname;Nachname;Geburtstag;gender",
        "b1;Ann;Hölm;03.04.1980;female",
        "b2;Cai;Fox;11.12.1990;male",
    ]
    other.write_bytes("\n".join(lines).encode("cp1252"))
    mapping = "given=Vorname,family=Nachname,birth_date=Geburtstag,id=Kennung"
    assert run("link", one, other, *out, "--map", mapping, "--json") == 0
    assert {"file"} <= set(rows(out[3])[0])
    assert [(row["id_a"], row["id_b"]) for row in rows(out[1])] == [("a1", "b1")]
    assert run("link", one, other, *out, "--map", mapping + ",suffix=nowhere") == 1


def test_parquet_goes_in_and_out(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    people, pairs, clusters = (tmp_path / f"{name}.parquet" for name in ("people", "pairs", "clusters"))
    assert run("generate", people, "--records", 300) == 0
    assert run("link", people, "--pairs", pairs, "--clusters", clusters) == 0
    assert pairs.stat().st_size > 0 < clusters.stat().st_size


def test_the_weights_are_written_as_sql_with_the_levels_it_reads(generated: Path, tmp_path: Path, out, capsys) -> None:
    sql, levels = tmp_path / "weights.sql", tmp_path / "levels.csv"
    assert run("link", generated, *out, "--write-sql", sql, "--write-levels", levels, "--json") == 0
    pairs, told = rows(out[1]), rows(levels)
    assert [(row["id_a"], row["id_b"]) for row in told] == [(row["id_a"], row["id_b"]) for row in pairs]
    assert "exact" in {row["birth_date"] for row in told}
    assert all(name in sql.read_text() for name in told[0])
    assert run("link", generated, *out, "--write-levels", levels) == 2
    assert "--write-sql" in capsys.readouterr().err


def test_a_model_is_written_and_used_again(generated: Path, tmp_path: Path, out) -> None:
    model = tmp_path / "model.json"
    assert run("link", generated, *out, "--write-model", model, "--json") == 0
    first = out[1].read_text()
    assert run("link", generated, *out, "--model", model, "--json") == 0
    assert out[1].read_text() == first
    model.write_text("{}")
    assert run("link", generated, *out, "--model", model, "--json") == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "there is no such file"),
        (b"", "is empty"),
        (HEADER.encode(), "has no records"),
        ((HEADER + f"a1,{ANN}\na1,{BEN}\n").encode(), "records 1 and 2 have one id"),
        ((HEADER + f"a1,{ANN}\n,{BEN}\n").encode(), "record 2: has no id"),
        ((HEADER + f"a1,{ANN}\na2,x\n").encode(), "line 3: has 2 values where the header has 9"),
        (b"id\n1\n", "no column says anything of a person"),
        (b"dob,dob\n1980-01-02,1980-01-02\n", "two columns are named dob"),
        (b"dob,ssn\n\x00,\x00\n", "NUL"),
        (b"dob,ssn\n\x81\x8d,1\n", "neither UTF-8"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_a_sentence(tmp_path: Path, out, capsys, content, sentence: str) -> None:
    path = tmp_path / "bad.csv"
    if content is not None:
        path.write_bytes(content)
    assert run("link", path, *out) == 1
    told = capsys.readouterr().err
    assert sentence in told
    assert "Traceback" not in told
    assert not any(value in told for value in ("Holm", "Ruiz", "212456789"))
    assert not out[1].exists()


def test_evaluation_without_a_truth_says_what_to_do(tmp_path: Path, capsys) -> None:
    path = tmp_path / "people.csv"
    path.write_text(HEADER + f"a1,{ANN}\na2,{BEN}\n")
    assert run("evaluate", path) == 1
    assert "--truth COLUMN" in capsys.readouterr().err
