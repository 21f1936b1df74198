"""`healthsync hl7 explain`: files in, the story of each field out; no hub."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from healthsync.entrypoints.cli import main

MESSAGE = (
    "MSH|^~\\&|LAB|MERCY|HUB|HIE|20240301||%s|%d|P|2.5.1\rPID|1||P1^^^MERCY^MR||Doe^Jane\r"
    "OBR|1||F1^LAB|GLU^Glucose^L||||||||||||||||||||F\rOBX|1|NM|GLU^Glucose^L||93|mg/dL^^UCUM|||||F||USR\r"
)


def explain(file: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["hl7", "explain", str(file), *options])


def written(path: Path, content: str) -> Path:
    path.write_bytes(content.encode())
    return path


def test_a_message_is_explained_without_a_hub_and_says_that_values_are_shown(tmp_path: Path) -> None:
    result = explain(written(tmp_path / "oru.hl7", MESSAGE % ("ORU^R01", 1)))
    assert result.exit_code == 0
    assert "OBX-5" in result.stdout
    assert "valueQuantity.value" in result.stdout
    assert "becomes 1 Patient" in result.stdout
    assert "treat this output as you treat them" in result.stderr


def test_every_message_of_a_batch_is_explained_as_one_line_of_json(tmp_path: Path) -> None:
    batch = "FHS|^~\\&|A\rBHS|^~\\&|A\r" + MESSAGE % ("ORU^R01", 1) + MESSAGE % ("ORU^R01", 2) + "BTS|2\rFTS|1\r"
    result = explain(written(tmp_path / "batch.hl7", batch), "--json")
    stories = [json.loads(line) for line in result.stdout.splitlines()]
    assert [story["control_id"] for story in stories] == ["1", "2"]
    fields = {one["path"]: one for segment in stories[0]["segments"] for one in segment["fields"]}
    assert fields["OBX-13"]["state"] == "unmapped"
    assert fields["OBX-3"]["targets"][0]["resource"] == "Observation/1"


def test_only_what_is_unmapped_is_shown_when_that_is_asked(tmp_path: Path) -> None:
    result = explain(written(tmp_path / "oru.hl7", MESSAGE % ("ORU^R01", 1)), "--unmapped")
    assert "OBX-13" in result.stdout
    assert "OBX-5" not in result.stdout


def test_a_refused_message_ends_with_one_and_its_sentence_and_the_others_are_still_told(tmp_path: Path) -> None:
    content = MESSAGE % ("NMD^N02", 1) + MESSAGE % ("ORU^R01", 2)
    result = explain(written(tmp_path / "two.hl7", content))
    assert result.exit_code == 1
    assert "refused: unsupported message type NMD^N02" in result.stdout
    assert "becomes 1 Patient" in result.stdout


def test_what_is_no_message_is_refused_with_a_sentence(tmp_path: Path) -> None:
    for content in ("", "hello\n", "\x0bMSH\x1c\r"):
        result = explain(written(tmp_path / "x.hl7", content))
        assert result.exit_code == 1
        assert "refused: the message does not begin with an MSH segment" in result.stdout


def test_an_unknown_time_zone_is_a_wrong_call(tmp_path: Path) -> None:
    assert explain(written(tmp_path / "x.hl7", "MSH|"), "--timezone", "Mars/Olympus").exit_code == 2
