"""`healthsync partner`, `messages` and `send`, called as a program calls them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from healthsync.bootstrap import open_hub
from healthsync.entrypoints.cli import main
from healthsync.exchange.receive_message import Peer
from healthsync.standards.hl7v2 import AckCode, MllpDecoder, build_ack, frame

MESSAGE = b"MSH|^~\\&|EPIC|MERCY|HUB|HIE|20240301||%s|%s|P|2.5.1\rPID|1||P1^^^MERCY^MR||Doe^Jane\r"


def run(*arguments: object, code: int = 0) -> list[Any]:
    """The JSON lines of a command."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]


@pytest.fixture
def data(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of a hub whose database is that of the test."""
    run("init", tmp_path / "hub", "--development", "--json")
    monkeypatch.setenv("HEALTHSYNC_DATABASE__URL", database_url)
    return tmp_path / "hub"


def test_partners_are_added_listed_and_removed(data: Path) -> None:
    (added,) = run(
        "partner", "add", "mercy", "--facility", "MERCY", "--address", "10.0.0.0/8", "--data", data, "--json"
    )
    assert (added["name"], added["sending_facility"], added["addresses"]) == ("mercy", "MERCY", ["10.0.0.0/8"])
    assert run("partner", "list", "--data", data, "--json") == [added]
    run("partner", "add", "mercy", "--facility", "X", "--data", data, "--json", code=1)
    run("partner", "add", "nobody", "--data", data, "--json", code=1)
    run("partner", "remove", "mercy", "--data", data)
    assert run("partner", "list", "--data", data, "--json") == []


def test_messages_are_counted_listed_shown_and_replayed(data: Path) -> None:
    async def receive_two() -> None:
        async with open_hub(data) as hub:
            for kind, control_id in ((b"ADT^A01", b"C1"), (b"XYZ^Z99", b"C2")):
                await hub.receive_message(MESSAGE % (kind, control_id), Peer("127.0.0.1"))
            while await hub.process_message():
                pass

    asyncio.run(receive_two())
    to = ("--data", data, "--json")
    assert run("messages", "list", "--count", *to) == [{"count": 2}]
    listed = run("messages", "list", "--limit", 0, *to)
    assert [(m["control_id"], m["type"], m["source"], m["state"]) for m in listed] == [
        ("C2", "XYZ^Z99", "MERCY.EPIC", "dead"),
        ("C1", "ADT^A01", "MERCY.EPIC", "processed"),
    ]
    assert listed[0]["reason"] and datetime.fromisoformat(listed[0]["received_at"]).tzinfo
    assert [m["sequence"] for m in run("messages", "list", "--state", "dead", *to)] == [2]
    run("messages", "show", 1, *to, code=2)
    (shown,) = run("messages", "show", 1, "--reason", "ticket-88", *to)
    assert shown["segments"][1] == "PID|1||P1^^^MERCY^MR||Doe^Jane"
    assert run("messages", "list", "--type", "ADT", "--since", "2020-01-01", "--count", *to) == [{"count": 1}]
    assert run("messages", "list", "--why", "not-supported", "--until", "2020-01-01", "--count", *to) == [{"count": 0}]
    assert listed[1]["quality"]["action"] and listed[0]["quality"] is None
    (report,) = run("messages", "replay", "--state", "dead", *to, code=1)
    assert (report["replayed"], report["failed"], report["failures"][0]["sequence"]) == (0, 1, 2)
    (report,) = run("messages", "replay", 1, *to)
    assert (report["replayed"], report["changed"], report["created"]) == (1, {}, {})
    (report,) = run("messages", "replay", "--since", "2020-01-01", "--dry-run", *to, code=1)
    assert (report["messages"], report["failed"]) == (2, 1)
    run("messages", "replay", *to, code=1)
    run("messages", "replay", 99, *to, code=1)
    run("messages", "list", "--state", "lost", *to, code=1)


def test_a_dead_letter_is_mended_compared_and_processed(data: Path, tmp_path: Path) -> None:
    async def receive_one() -> None:
        async with open_hub(data) as hub:
            await hub.receive_message(MESSAGE % (b"XYZ^Z99", b"C1"), Peer("127.0.0.1"))
            await hub.process_message()

    asyncio.run(receive_one())
    to = ("--data", data, "--json")
    shown = CliRunner().invoke(main, ["messages", "show", "1", "--reason", "t-1", "--raw", "--data", str(data)])
    assert shown.stdout_bytes == MESSAGE % (b"XYZ^Z99", b"C1")
    mended = tmp_path / "mended.hl7"
    mended.write_bytes(shown.stdout_bytes.replace(b"XYZ^Z99", b"ADT^A01").replace(b"\r", b"\n"))
    assert run("messages", "edit", 1, "--file", mended, "--reason", "t-1", *to) == [{"sequence": 2, "origin": 1}]
    (compared,) = run("messages", "compare", 2, "--reason", "t-1", "--values", *to)
    patient = next(one for one in compared["differences"] if one["resource"].startswith("Patient/"))
    assert patient["new"] and {"path": "Patient.name[0].family", "before": None, "after": "Doe"} not in patient["paths"]
    assert any(one["path"] == "Patient.name" and one["after"][0]["family"] == "Doe" for one in patient["paths"])
    (without,) = run("messages", "compare", 2, "--reason", "t-1", *to)
    assert "Doe" not in json.dumps(without)
    told = CliRunner().invoke(main, ["messages", "replay", "2", "--data", str(data)])
    assert told.exit_code == 0 and "1 messages were read" in told.output
    assert [m["state"] for m in run("messages", "list", *to)] == ["processed", "replaced"]
    told = CliRunner().invoke(main, ["messages", "compare", "2", "--reason", "t-1", "--data", str(data)])
    assert "unchanged" in told.output
    run("messages", "edit", 2, "--file", mended, "--reason", "t-1", *to, code=1)


@pytest.fixture
def receiver() -> Iterator[str]:
    """The address of a receiver that accepts everything but control ids that begin with BAD."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        decoder = MllpDecoder()
        while data := await reader.read(65536):
            for message in decoder.feed(data):
                assert isinstance(message, bytes)
                code = AckCode.AE if b"|BAD" in message else AckCode.AA
                writer.write(frame(build_ack(message, code, control_id="1", now=datetime(2026, 3, 1, tzinfo=UTC))))

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.run_until_complete(asyncio.sleep(0.05))
    loop.close()


def test_files_are_sent_and_the_answers_counted(receiver: str, tmp_path: Path) -> None:
    one, batch, framed, bad = (tmp_path / name for name in ("one.hl7", "batch.hl7", "framed.hl7", "bad.hl7"))
    one.write_bytes((MESSAGE % (b"ADT^A01", b"C1")).replace(b"\r", b"\n"))
    batch.write_bytes(b"BHS|^~\\&\r" + MESSAGE % (b"ADT^A01", b"C2") + MESSAGE % (b"ADT^A01", b"C3") + b"BTS|2\r")
    framed.write_bytes(frame(MESSAGE % (b"ADT^A01", b"C4")) + frame(MESSAGE % (b"ADT^A01", b"C5")))
    bad.write_bytes(MESSAGE % (b"ADT^A01", b"BAD1"))
    assert run("send", "--to", receiver, one, batch, framed, "--repeat", 2, "--json") == [
        {"sent": 10, "answers": {"AA": 10}, "faults": []}
    ]
    (refused,) = run("send", "--to", receiver, one, bad, "--json", code=1)
    assert refused["answers"] == {"AA": 1, "AE": 1}
    assert (refused["faults"][0]["file"], refused["faults"][0]["message"]) == (str(bad), 1)


def test_a_receiver_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    file = tmp_path / "one.hl7"
    file.write_bytes(MESSAGE % (b"ADT^A01", b"C1"))
    (answer,) = run("send", "--to", "127.0.0.1:9", file, "--json", code=1)
    assert "nobody answers" in answer["faults"][0]["answer"]


def test_quality_is_reported_agreed_and_listed_for_review(data: Path) -> None:
    async def receive_one() -> None:
        async with open_hub(data) as hub:
            await hub.receive_message(MESSAGE % (b"ADT^A01", b"C1"), Peer("127.0.0.1"))
            await hub.process_message()

    asyncio.run(receive_one())
    to = ("--data", data, "--json")
    (report,) = run("quality", "report", *to)
    assert (report["source"], report["messages"], report["days"][0]["messages"]) == ("MERCY.EPIC", 1, 1)
    assert report["worst"][0]["count"] == 1
    assert run("quality", "report", "--until", "2020-01-01", *to) == []
    (agreed,) = run("quality", "contract", "MERCY.EPIC", "--minimum", 80, "--reject", *to)
    assert agreed["bands"] == {"excellent": 90, "good": 80, "minimum": 80, "rejects": True}
    assert [one["source"] for one in run("quality", "contracts", *to)] == ["MERCY.EPIC"]
    run("quality", "contract", "MERCY.EPIC", *to, code=1)
    run("quality", "contract", "MERCY.EPIC", "--remove", "--data", data)
    assert run("quality", "contracts", *to) == []
    assert run("quality", "review", *to) in ([{"sequences": [1]}], [{"sequences": []}])
    assert {"patient-number", "observation-plausible"} <= {rule["id"] for rule in run("quality", "rules", *to)}
    shown = CliRunner().invoke(main, ["quality", "report", "--data", str(data)])
    assert "MERCY.EPIC" in shown.output and "patient-birth-date" in shown.output


def test_the_raw_zone_is_exported_brought_back_kept_and_held(data: Path, tmp_path: Path) -> None:
    async def receive_one() -> None:
        async with open_hub(data) as hub:
            await hub.receive_message(MESSAGE % (b"ADT^A01", b"C1"), Peer("127.0.0.1"))
            await hub.process_message()

    asyncio.run(receive_one())
    to = ("--data", data, "--json")
    (exported,) = run("messages", "export", tmp_path / "out", "--source", "MERCY.EPIC", "--reason", "t-1", *to)
    assert (exported["messages"], len(exported["files"])) == (1, 1)
    assert (
        run("messages", "export", tmp_path / "none", "--until", "2020-01-01", "--reason", "t-1", *to)[0]["files"] == []
    )
    run("messages", "export", tmp_path / "out", "--reason", "t-1", *to, code=1)
    assert run("messages", "import", tmp_path / "out", "--reason", "t-1", *to) == [{"known": 1, "bytes": 0, "new": 0}]
    run("messages", "keep", "MERCY.EPIC", "--data", data, code=2)
    run("messages", "keep", "MERCY.EPIC", "--days", 30, "--data", data)
    run("messages", "hold", "MERCY.EPIC", "--case", "case-7", "--data", data)
    (term,) = run("messages", "terms", *to)
    assert (term["source"], term["keep_days"], term["hold_reason"]) == ("MERCY.EPIC", 30, "case-7")
    run("messages", "hold", "MERCY.EPIC", "--release", "--data", data)
    run("messages", "keep", "MERCY.EPIC", "--as-set", "--data", data)
    assert run("messages", "terms", *to)[0]["keep_days"] is None
    assert run("messages", "retire", "--dry-run", *to) == []
