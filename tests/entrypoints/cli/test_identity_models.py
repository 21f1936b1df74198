"""What an administrator does with learned models from the command line, on the data folder of a hub."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.boosting import needs_boosting
from tests.exchange.couples import PAIRS, couple, review
from tests.exchange.test_review import put

from healthsync.bootstrap import open_hub
from healthsync.domains.identity import demographics_of
from healthsync.domains.identity.learning import training
from healthsync.entrypoints.cli import init
from healthsync.entrypoints.cli.identity import command
from healthsync.errors import ConfigurationError, HealthSyncError, InvalidInput, NotFound
from healthsync.exchange.administration.link_files import LinkFiles
from healthsync.infrastructure.clock import SystemClock

pytestmark = needs_boosting


@pytest.fixture
def folder(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of a hub whose stewards have decided about some pairs."""
    folder = tmp_path / "hub"
    CliRunner().invoke(init.command, [str(folder), "--development"], standalone_mode=False)
    monkeypatch.setenv("HEALTHSYNC_DATABASE__URL", database_url)
    monkeypatch.setenv("HEALTHSYNC_MPI__REVIEW__SECOND_READER_SHARE", "0")
    monkeypatch.setattr(training, "LEAST_PAIRS", 2 * PAIRS)
    monkeypatch.setattr(training, "LEAST_OF_EACH", PAIRS)
    monkeypatch.setattr(training, "LEAST_IN_LEAF", 5)

    async def fill() -> None:
        async with open_hub(folder) as hub:
            await review(hub)

    asyncio.run(fill())
    return folder


def test_a_model_is_learned_shown_chosen_used_and_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def call(*arguments: str) -> str:
        asked = [*arguments, "--data", str(folder)]
        return CliRunner().invoke(command, asked, standalone_mode=False, catch_exceptions=False).stdout

    assert "nothing was learned" in call("models", "list")
    tried = json.loads(call("learn", "--dry-run", "--json"))
    assert (tried["number"], tried["reviews"]["pairs"]) == (None, 2 * PAIRS)
    told = call("learn")
    assert all(word in told for word in ("learned-", "model 1", "the weights", "log loss", "said and right"))
    listed = call("models", "list")
    assert tried["version"] in listed
    assert "chosen" not in listed
    (line,) = call("models", "list", "--json").splitlines()
    assert json.loads(line)["facts"]["reviews"] == tried["reviews"]
    assert "precision" in call("models", "show", "1")
    assert json.loads(call("models", "show", "1", "--json"))["dependsOn"]["weights"] == "online-1"
    assert "once mpi.learned.enabled is true" in call("models", "use", "1")
    assert "chosen" in call("models", "list")
    monkeypatch.setenv("HEALTHSYNC_MPI__LEARNED__ENABLED", "true")
    assert tried["version"] in json.loads(call("rematch", "--dry-run", "--json"))["model"]
    one, other = couple(60, is_one=False)

    async def arrive() -> None:
        async with open_hub(folder) as hub:
            await put(hub, one)
            await put(hub, other, source="west")

    asyncio.run(arrive())
    (task,) = [json.loads(each) for each in call("review", "list", "--json").splitlines()]
    assert task["rules"].endswith(tried["version"])
    shown = call("review", "show", str(task["id"]))
    assert tried["version"] in shown
    assert "Everett" not in shown
    assert "no learned model decides" in call("models", "use", "none")
    assert "learned" not in json.loads(call("rematch", "--dry-run", "--json"))["model"]
    with pytest.raises(NotFound):
        call("models", "use", "7")


def test_a_labelled_file_teaches_as_reviews_do_and_its_values_stay_outside(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(*arguments: str) -> str:
        asked = [*arguments, "--data", str(folder)]
        return CliRunner().invoke(command, asked, standalone_mode=False, catch_exceptions=False).stdout

    monkeypatch.setattr(training, "LEAST_IN_LEAF", 20)
    sample = folder / "sample.csv"
    CliRunner().invoke(command, ["generate", str(sample), "--records", "4000", "--seed", "3"], standalone_mode=False)
    told = json.loads(call("learn", "--labelled", str(sample), "--json"))
    assert told["labelled"] == told["reviews"]["labelled"] > 30
    assert told["reviews"]["pairs"] == told["labelled"] + 2 * PAIRS
    assert "of a labelled file" in call("models", "show", "1")
    without = folder / "without.csv"
    without.write_text("first_name,last_name\nSigne,Holm\n")
    refused = CliRunner().invoke(
        command, ["learn", "--labelled", str(without), "--data", str(folder)], standalone_mode=False
    )
    assert "--truth COLUMN" in str(refused.exception)


def test_what_cannot_be_learned_is_said_in_a_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: str) -> BaseException | None:
        return CliRunner().invoke(command, [*arguments, "--data", str(folder)], standalone_mode=False).exception

    monkeypatch.setitem(__import__("sys").modules, "lightgbm", None)
    without = fails("learn")
    assert isinstance(without, HealthSyncError | ConfigurationError)
    assert "healthsync[learned]" in str(without)
    monkeypatch.setattr(training, "LEAST_PAIRS", 500)
    few = fails("learn")
    assert isinstance(few, InvalidInput)
    assert f"there are {2 * PAIRS} decided pairs, {PAIRS} of one person" in str(few)
    assert "number of a model, or none" in str(fails("models", "use", "newest"))


@pytest.mark.parametrize("name", ["learn", "models"])
def test_each_command_explains_itself(name: str) -> None:
    told = CliRunner().invoke(command, [name, "--help"]).output
    assert len(told) > 200
    assert name in CliRunner().invoke(command, ["--help"]).output


def test_a_labelled_file_is_read_as_patients_by_its_columns(tmp_path: Path) -> None:
    file = tmp_path / "sample.csv"
    file.write_text(
        "name,dob,gender,house_number,street,zip,who\n"
        '"Holm, Signe Marie",04/03/1980,F,12,Oak Street,40501,p1\n'
        "Nils Borg,1980,,,,,p2\n"
    )
    (one, who), (other, _) = LinkFiles(clock=SystemClock()).labelled(file, truth="who")
    said = demographics_of(one)
    assert who == "p1"
    assert (said.names, said.middles, said.sexes) == ({("holm", "signe")}, {"marie"}, {"female"})
    assert {born.isoformat() for born in said.birth_dates} == {"1980-04-03"}
    assert {(place.house, place.street, place.postal_code) for place in said.addresses} == {("12", "oakst", "40501")}
    assert demographics_of(other).names == {("borg", "nils")}
    assert not demographics_of(other).birth_dates, "a year alone says nothing"
