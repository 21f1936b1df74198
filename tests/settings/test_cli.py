import json
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from healthsync.entrypoints import cli
from healthsync.entrypoints.cli import COMMANDS, Entry, main
from healthsync.errors import NotFound


def run(*arguments: str):
    return CliRunner().invoke(main, list(arguments))


@pytest.fixture
def failing(monkeypatch):
    """A command that ends as told: `healthsync failing` raises, returns or aborts."""

    def failing(outcome):
        @click.command()
        @click.option("--json", "as_json", is_flag=True)
        def command(as_json):
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        monkeypatch.setattr(cli, "failing_command", command, raising=False)
        monkeypatch.setitem(COMMANDS, "failing", Entry("Work", f"{cli.__name__}:failing_command", "Fails."))

    return failing


def test_help_names_every_command_with_its_sentence():
    shown = " ".join(run("--help").output.split())
    for name, entry in COMMANDS.items():
        assert f"{name} {entry.sentence}" in shown


def test_help_imports_no_command():
    code = "import sys; from healthsync.entrypoints.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += (
        "print([name for name in sys.modules if name.startswith('healthsync.entrypoints.cli.') or name == 'asyncpg'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_mistyped_command_is_answered_with_near_ones():
    result = run("messges")
    assert result.exit_code == 2
    assert "did you mean messages?" in result.stderr


def test_a_command_whose_module_is_absent_says_so_and_does_not_break_the_others(monkeypatch):
    monkeypatch.setitem(COMMANDS, "later", Entry("Work", "healthsync.entrypoints.cli.later:command", "Comes later."))
    result = run("later", "--anything", "x")
    assert result.exit_code == 1
    assert "'later' is not part of this version" in result.stderr
    assert run("version").exit_code == 0


def test_a_module_that_fails_to_import_something_else_is_not_taken_for_absent(monkeypatch, tmp_path):
    (tmp_path / "broken_module.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(COMMANDS, "broken", Entry("Work", "broken_module:command", "Broken."))
    assert "unexpected ModuleNotFoundError" in run("broken").stderr


def test_an_error_raised_on_purpose_is_one_sentence_and_exit_code_1(failing):
    failing(NotFound("no message 7; run: healthsync messages list"))
    result = run("failing")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "healthsync: no message 7; run: healthsync messages list\n"


def test_an_error_raised_on_purpose_is_json_when_a_program_asks(failing):
    failing(NotFound("no message 7"))
    result = run("failing", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stderr) == {"error": {"code": "not-found", "message": "no message 7"}}


def test_an_unexpected_error_shows_neither_its_text_nor_a_traceback(failing):
    failing(ValueError("could not parse Smith^John"))
    result = run("failing")
    assert result.exit_code == 1
    assert "unexpected ValueError; run again as: healthsync --debug failing" in result.stderr
    assert "Smith" not in result.output + result.stderr


def test_debug_shows_an_unexpected_error(failing):
    failing(ValueError("text"))
    assert isinstance(run("--debug", "failing").exception, ValueError)


@pytest.mark.parametrize(
    ("outcome", "code"), [(None, 0), (0, 0), (1, 1), (3, 3), (KeyboardInterrupt(), 130), (click.Abort(), 130)]
)
def test_a_command_may_return_its_exit_code(failing, outcome, code):
    failing(outcome)
    assert run("failing").exit_code == code


def test_a_wrong_option_is_exit_code_2_also_as_json():
    assert run("version", "--jsn").exit_code == 2
    result = run("init", "--json")
    assert result.exit_code == 2
    assert json.loads(result.stderr)["error"]["code"] == "invalid"


def test_version_tells_version_python_and_fhir():
    assert set(json.loads(run("version", "--json").stdout)) == {"healthsync", "python", "fhir"}


def test_config_check_ends_with_0_and_what_was_understood(tmp_path):
    (tmp_path / "a.yaml").write_text(
        "connectors: [{id: lab, type: hl7v2, config: {host: h, port: 1}, schedule: {type: listen}}]"
    )
    result = run("config", "check", str(tmp_path / "a.yaml"))
    assert result.exit_code == 0
    assert "a.yaml: connectors, correct" in result.stdout
    assert "connector lab: hl7v2, h:1 (the peer that may connect), listens" in result.stdout
    assert "connectors: accepted, not yet in effect since outbound connectors are not built yet" in result.stdout


def test_config_check_ends_with_1_and_each_fault(tmp_path):
    (tmp_path / "a.yaml").write_text("healthsync:\n  http: {prt: 1}\n  hubb: {}\n")
    result = run("config", "check", str(tmp_path / "a.yaml"))
    assert result.exit_code == 1
    assert "a.yaml:2: http.prt: unknown key; did you mean port?" in result.stdout
    assert "a.yaml:3: hubb: unknown key; did you mean hub?" in result.stdout


def test_config_check_answers_programs_in_json(tmp_path):
    (tmp_path / "a.yaml").write_text("healthsync: {retention: {system_logs: 1y}}\n")
    (tmp_path / "b.yaml").write_text("healthsync: {x: 1}\n")
    result = run("config", "check", "--json", str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml"))
    answer = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (answer["correct"], [one["correct"] for one in answer["files"]]) == (False, [True, False])
    assert answer["files"][0]["not_yet_in_effect"][0]["key"] == "retention.system_logs"
    assert answer["files"][1]["errors"][0]["key"] == "x"
