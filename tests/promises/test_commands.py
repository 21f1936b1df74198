"""Every command works beside a running hub on the same data folder, and without one, and answers programs in JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from .hub_process import HubProcess, MllpConnection, adt, healthsync, until


@pytest.fixture(scope="module", params=["beside a hub", pytest.param("without a hub", marks=pytest.mark.slow)])
def hub(request: pytest.FixtureRequest, new_hub: Callable[..., HubProcess]) -> HubProcess:
    """A hub with two processed messages and a dead one; it runs, or it has been stopped."""
    hub = new_hub(request.param.replace(" ", "-"), "--development")
    hub.start()
    with hub.connect() as connection:
        for control_id in ("A1", "A2"):
            assert connection.send(adt(control_id, "MERCY", "1")).code == "AA"
        assert connection.send(adt("Z1", "MERCY", "1").replace(b"ADT^A08^ADT_A01", b"ZZZ^Z99^ZZZ_Z99")).code == "AA"
    hub.wait_until_processed()
    if request.param == "without a hub":
        assert hub.stop() == 0
    return hub


@pytest.fixture(scope="module")
def runs(hub: HubProcess) -> bool:
    return hub.is_running


def test_a_client_is_created_listed_and_revoked(hub, runs):
    made = hub.ask("client", "create", "ward", "--role", "nurse", "--organisation", "Mercy")
    assert set(made) == {"client_id", "api_key"}
    assert one(hub.lines("client", "list"), client_id=made["client_id"])["state"] == "active"
    if runs:
        assert status(hub, made["api_key"]) == 200
    hub.run("client", "revoke", made["client_id"])
    assert one(hub.lines("client", "list"), client_id=made["client_id"])["state"] == "revoked"
    if runs:
        until(lambda: status(hub, made["api_key"]) == 401, "the running hub refuses the key", 5)


def status(hub: HubProcess, key: str) -> int:
    return httpx.get(f"http://{hub.http}/fhir/Patient", headers={"Authorization": f"Bearer {key}"}).status_code


def one(documents: list[dict], **wanted: object) -> dict:
    (found,) = [document for document in documents if wanted.items() <= document.items()]
    return found


def test_a_partner_is_added_listed_paused_and_heard_by_a_running_hub(hub, runs):
    added = hub.ask("partner", "add", "clinic", "--facility", "CLINIC", "--organisation", "Clinic")
    assert added["name"] == "clinic"
    assert one(hub.lines("partner", "list"), name="clinic")["sending_facility"] == "CLINIC"
    if runs:
        with hub.connect() as connection:
            until(lambda: source_of(hub, connection, "C1") == "clinic", "the hub knows the partner", 5)
    hub.run("partner", "pause", "clinic")
    assert one(hub.lines("partner", "list"), name="clinic")["state"] == "paused"


_tries = iter(range(1000))


def source_of(hub: HubProcess, connection: MllpConnection, control_id: str) -> str:
    """Under which partner's name a message is stored."""
    control_id = f"{control_id}-{next(_tries)}"
    connection.send(adt(control_id, "CLINIC", "1"))
    return one(hub.lines("messages", "list"), control_id=control_id)["source"]


def test_messages_are_listed_and_counted_by_state(hub):
    messages = hub.lines("messages", "list", "--limit", "0", "--source", "MERCY.ADT")
    assert [(m["control_id"], m["type"], m["state"]) for m in messages] == [
        ("Z1", "ZZZ^Z99", "dead"), ("A2", "ADT^A08", "processed"), ("A1", "ADT^A08", "processed")]  # fmt: skip
    assert {"control_id", "type", "source", "state", "received_at"} <= messages[0].keys()
    assert hub.count("dead") == 1
    assert hub.count("accepted") == 0
    assert len(hub.lines("messages", "list", "--limit", "1")) == 1


def test_a_message_is_shown_with_its_reason_and_that_is_recorded(hub, tmp_path):
    message = one(hub.lines("messages", "list", "--limit", "0"), control_id="A1")
    shown = hub.ask("messages", "show", str(message["sequence"]), "--reason", "TICKET-1")
    assert shown["segments"][0].startswith("MSH|")
    assert any("Doe^Jane" in segment for segment in shown["segments"])
    assert hub.run("messages", "show", str(message["sequence"]), expect=None).returncode == 2, "a reason is asked for"
    hub.run("audit", "export", "--out", tmp_path / "log")
    assert "show-message" in (tmp_path / "log").read_text()


def test_a_dead_letter_is_replayed(hub):
    dead = one(hub.lines("messages", "list", "--state", "dead"), control_id="Z1")
    told = json.loads(hub.run("messages", "replay", str(dead["sequence"]), "--json", expect=1).stdout)
    assert (told["replayed"], told["failures"][0]["sequence"]) == (0, dead["sequence"])  # tried again, dead again
    assert hub.count("dead") == 1


def test_the_audit_log_is_exported_and_verified_here_and_elsewhere(hub, tmp_path):
    export = tmp_path / "audit.jsonl"
    told = hub.ask("audit", "export", "--out", export)
    assert told["events"] > 3
    assert export.stat().st_mode & 0o077 == 0
    report = (
        until(lambda: (r := hub.ask("audit", "verify"))["waiting"] == 0 and r, "the log is sequenced")
        if hub.is_running
        else hub.ask("audit", "verify")
    )
    assert report["holds"], report
    heads = next(hub.folder.rglob("heads.jsonl"))
    elsewhere = hub.run(
        "audit",
        "verify",
        "--export",
        export,
        "--heads",
        heads,
        "--public-key",
        told["public_key"],
        "--json",
        expect=None,
    )
    assert json.loads(elsewhere.stdout)["findings"] == []


def test_the_doctor_finds_nothing_wrong(hub):
    findings = json.loads(hub.run("doctor", "--json").stdout)
    assert "fault" not in json.dumps(findings)


def test_the_configuration_is_checked(hub, tmp_path: Path):
    assert json.loads(healthsync("config", "check", hub.folder / "healthsync.yaml", "--json").stdout)["correct"]
    wrong = tmp_path / "healthsync.yaml"
    wrong.write_text("healthsync:\n  hl7:\n    mlp:\n      port: 1\n")
    told = healthsync("config", "check", wrong, "--json", expect=1)
    assert not json.loads(told.stdout)["correct"]
    assert "mllp" in told.stdout


def test_messages_are_sent(hub, tmp_path: Path, runs):
    file = tmp_path / "message.hl7"
    file.write_bytes(adt("SENT1", "MERCY", "1").replace(b"\r", b"\n"))
    if runs:
        assert json.loads(healthsync("send", "--to", hub.mllp, file, "--json").stdout)["answers"] == {"AA": 1}
        assert one(hub.lines("messages", "list"), control_id="SENT1")
    else:
        assert healthsync("send", "--to", hub.mllp, file, "--json", expect=1)


@pytest.mark.parametrize("arguments", [("messages", "show", "999999", "--reason", "x"), ("messages", "list", "--state", "nonsense"),
                                       ("client", "revoke", "nobody"), ("partner", "remove", "nobody"),
                                       ("partner", "add", "x", "--address", "nonsense")], ids=" ".join)  # fmt: skip
@pytest.mark.parametrize("hub", ["beside a hub"], indirect=True)
def test_a_mistake_is_told_in_one_sentence(hub, arguments):
    done = hub.run(*arguments, expect=None)
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "unexpected" not in done.stderr
    assert done.stderr.strip()


def test_nothing_broke_in_the_running_hub(hub):
    assert "Traceback" not in hub.stderr()
    assert '"level": "error"' not in hub.stderr()
