"""`healthsync enrichment check`: what tables say, or each fault with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from healthsync.entrypoints.cli.enrichment import command

GOOD = {
    "providers.csv": "id,authority,npi,family,given,taxonomy\n4711,MERCY,1234567893,Stone,Ada,207R00000X\n",
    "tables.yaml": "enrichment:\n  providers: providers.csv\n  places: [{code: ICU, place_of_service: '21'}]\n",
}


@pytest.fixture
def check(tmp_path: Path):
    def check(files: dict[str, str], *arguments: str) -> Result:
        for name, text in files.items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        made = [str(tmp_path / one) if one in files else one for one in arguments]
        return CliRunner().invoke(command, ["check", *made], standalone_mode=False)

    return check


def test_a_correct_document_says_what_it_was_understood_to_list(check) -> None:
    result = check(GOOD, "tables.yaml")
    assert result.return_value == 0
    assert "providers: 1 rows; id 1, authority 1, npi 1, family 1, given 1, taxonomy 1" in result.output
    assert "places: 1 rows; code 1, place_of_service 1" in result.output


def test_a_csv_file_can_be_checked_by_itself(check) -> None:
    assert check(GOOD, "providers.csv").return_value == 0
    doctors = {"doctors.csv": GOOD["providers.csv"]}
    assert "add --table with one of" in check(doctors, "doctors.csv").output
    assert check(doctors, "doctors.csv", "--table", "providers").return_value == 0


def test_answers_for_programs_are_json(check) -> None:
    found = json.loads(check(GOOD, "tables.yaml", "--json").output)
    assert (found["correct"], found["files"][0]["kind"]) == (True, "enrichment")


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"providers.csv": "id,npi\n1,1234567890\n"}, "providers.csv:2: npi: is no national provider identifier"),
        ({"providers.csv": "id,nip\n1,x\n"}, "providers.csv:1: nip: unknown column; known here: id, authority, npi"),
        ({"providers.csv": "family\nStone\n"}, "providers.csv:2: id: nobody is meant; give id or npi"),
        ({"providers.csv": "id\n4711\n"}, "providers.csv:2: id: says nothing of this provider"),
        ({"providers.csv": "id,taxonomy\n1,207R\n"}, "“207R” is no taxonomy code"),
        (
            {"providers.csv": "id,family\n1,Stone,Ada\n"},
            "providers.csv:2: has more values than the first line has columns",
        ),
        ({"providers.csv": "id,family\n1,A\n1,B\n"}, "providers: 1 stands 2 times; keep one"),
        ({"places.csv": "code,place_of_service\nICU,77\n"}, "“77” is no CMS place of service"),
        ({"places.csv": "code,name\n,x\n"}, "places.csv:2: code: is missing"),
        ({"places.csv": "code\nICU\n"}, "says nothing of this place"),
        ({"codes.csv": "system,code\nx,y\n"}, "codes.csv:2: display: is missing"),
        ({"places.csv": b"code,name\nICU,\xff\n".decode("latin-1")}, None),
        ({"t.yaml": "enrichment:\n  places: nowhere.csv\n"}, "nowhere.csv: cannot be read as CSV"),
        (
            {"t.yaml": "enrichment:\n  places: [{code: A, organisation: X, name: n}]\n"},
            "“X” is no code of a row of organisations",
        ),
        ({"t.yaml": "enrichment:\n  providers: [{npi: 1234567893}]\n"}, "text belongs here; put it in quotes"),
        ({"t.yaml": "connectors: [{id: lab, type: hl7v2, config: {host: h, port: 1}}]\n"}, "needs this key at the top"),
    ],
)
def test_a_fault_is_told_with_its_line_and_its_remedy(check, files: dict[str, str], fault: str | None) -> None:
    result = check(files, next(iter(files)))
    assert result.return_value == (0 if fault is None else 1)
    assert fault is None or fault in result.output, result.output


def test_a_file_that_is_not_utf8_is_refused(check, tmp_path: Path) -> None:
    (tmp_path / "places.csv").write_bytes(b"code,name\nICU,\xff\xfe\n")
    result = CliRunner().invoke(command, ["check", str(tmp_path / "places.csv")], standalone_mode=False)
    assert result.return_value == 1
    assert "cannot be read as CSV in UTF-8" in result.output


def test_the_help_teaches(check) -> None:
    result = CliRunner().invoke(command, ["check", "--help"])
    assert "its first line names the columns" in " ".join(result.output.split())
