"""`healthsync destination`, called as an operator calls it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from healthsync.bootstrap import open_hub
from healthsync.domains.deliveries import DeliveryState, Occasion, Parcel, Settlement
from healthsync.entrypoints.cli import main
from healthsync.exchange.deliver_messages import key_scope


def run(*arguments: object, code: int = 0) -> list[Any]:
    """The JSON lines of a command."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]


def told(*arguments: object, code: int = 1) -> str:
    """What a command says on standard error."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.stderr


@pytest.fixture
def data(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of a hub whose database is that of the test."""
    run("init", tmp_path / "hub", "--development", "--json")
    monkeypatch.setenv("HEALTHSYNC_DATABASE__URL", database_url)
    return tmp_path / "hub"


def add(data: Path, *more: object, name: str = "mercy", code: int = 0) -> list[Any]:
    return run("destination", "add", name, "--host", "127.0.0.1", "--port", 2576, "--message", "SIU^S12", *more,
               "--data", data, "--json", code=code)  # fmt: skip


def put_one(data: Path) -> None:
    """A message that waits."""

    async def put() -> None:
        async with open_hub(data) as hub:
            deliveries = hub.deliver_messages._deliveries
            occasion = Occasion("mercy", "SIU^S12", "Appointment/1", 1)
            parcel = Parcel(occasion, deliveries.control_id(occasion), b"MSH|^~\\&|H\rPID|1||Quennell\r", "Patient/1")
            async with hub.database.transaction() as tx:
                key = await hub.data_keys.for_scope(tx, key_scope("mercy"))
                await deliveries.enqueue(tx, [parcel], {"mercy": key})

    asyncio.run(put())


def test_destinations_are_added_listed_paused_resumed_and_removed(data: Path) -> None:
    (added,) = add(data, "--application", "EPIC", "--max-connections", 2, "--version", "2.3.1", "--not-from", "epic")
    assert (added["messages"], added["application"], added["version"]) == (["SIU^S12"], "EPIC", "2.3.1")
    to = ("mercy", "--data", data)
    assert run("destination", "show", *to, "--json") == [added]
    run("destination", "pause", *to)
    (listed,) = run("destination", "list", "--data", data, "--json")
    assert (listed["state"], listed["circuit"], listed["waiting"]) == ("paused", "closed", 0)
    run("destination", "resume", *to)
    assert run("destination", "list", "--data", data, "--json") == [added]
    assert "a destination named mercy exists" in told("destination", "add", "mercy", "--host", "h", "--port", 1, "--clear",
                                                      "--message", "SIU^S12", "--data", data)  # fmt: skip
    run("destination", "remove", *to)
    assert "no destination is named mercy" in told("destination", "show", *to)


def test_terms_that_do_not_hold_are_refused_with_the_reason(data: Path) -> None:
    for options, sentence in (
        (("--host", "hl7.mercy.example"), "cross the network in clear"),
        (("--host", "hl7.mercy.example", "--tls", "--listen"), "give certificate and key"),
        (("--host", "127.0.0.1", "--message", "OML^O21", "--version", "2.3"), "HL7 v2.3 has no OML^O21"),
        (("--host", "127.0.0.1", "--role", "wizard"), "no role is named wizard"),
        (("--host", "127.0.0.1", "--role", "billing", "--purpose", "TREAT"), "has no purpose TREAT"),
    ):
        arguments = ("destination", "add", "x", "--port", 2576, "--message", "SIU^S12", *options, "--data", data)
        assert sentence in " ".join(told(*arguments).split())


def test_a_message_is_shown_set_aside_retried_and_discarded(data: Path) -> None:
    add(data)
    put_one(data)
    to = ("mercy", "--data", data)
    (waiting,) = run("destination", "dead", *to, "--state", "waiting", "--json")
    assert "Quennell" not in json.dumps(waiting)
    (content,) = run(
        "destination", "content", "mercy", waiting["sequence"], "--reason", "T-1", "--data", data, "--json"
    )
    assert content["segments"] == ["MSH|^~\\&|H", "PID|1||Quennell"]
    run("destination", "skip", "mercy", waiting["sequence"], "--data", data)
    (dead,) = run("destination", "dead", *to, "--json")
    assert (dead["state"], dead["reason_code"]) == ("dead", "set-aside")
    assert "deliver or discard" in told("destination", "remove", *to)
    assert run("destination", "retry", *to, "--all", "--json") == [{"retried": 1, "sequences": [dead["sequence"]]}]
    run("destination", "retry", "mercy", dead["sequence"], "--data", data, "--json", code=1)
    run("destination", "remove", *to, "--discard")
    assert run("destination", "list", "--data", data, "--json") == []


def test_the_state_of_a_settlement_has_no_content_in_its_text() -> None:
    assert "Quennell" not in repr(Settlement(DeliveryState.DEAD, 1, detail="Quennell is unknown"))


def test_the_help_teaches() -> None:
    text = CliRunner().invoke(main, ["destination", "--help"]).output
    for word in ("reverse MLLP", "--message SIU^S12", "add", "dead", "retry", "pause", "skip"):
        assert word in text
