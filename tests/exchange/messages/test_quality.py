"""How good a message is: from the socket to the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from healthsync.bootstrap import Hub, build_hub
from healthsync.domains.directory import Peer
from healthsync.errors import ConfigurationError, InvalidInput, NotFound
from healthsync.exchange.administration.report_quality import Contract
from healthsync.infrastructure.clock import SystemClock
from healthsync.infrastructure.crypto import InsecureDevelopmentKeyring
from healthsync.infrastructure.database import Database
from healthsync.settings import load_settings

LOCAL = Peer("127.0.0.1")
POOR = b"MSH|^~\\&|EPIC|POOR|HUB|HIE|20150301||ORU^R01|%s|P|2.5.1\rPID|1||P1^^^POOR^MR||UNKNOWN||00000000\rOBR|1||F1^L|X^Y^L\rOBX|1|NM|Z^Z^L||5\r"


async def process(hub: Hub, *messages: bytes) -> None:
    for message in messages:
        answer = await hub.receive_message(message, LOCAL)
        assert answer is not None and b"|AA|" in answer
    while await hub.process_message():
        pass


async def rows(hub: Hub, query: str) -> list[Any]:
    async with hub.database.connection() as tx:
        return await tx.fetch(query)


async def test_the_score_is_kept_with_the_message_without_a_value_of_the_patient(
    hub: Hub, adt: Callable[..., bytes]
) -> None:
    await process(hub, adt("C1"))
    (row,) = await rows(hub, "SELECT *, to_jsonb(q)::text AS all FROM message_quality q")
    assert (row["sequence"], row["source"], row["type"], row["action"]) == (
        1,
        "MERCY.EPIC",
        "ADT^A01",
        "accept-with-warnings",
    )
    assert row["completeness"] < 100 and "patient-address" in json.loads(row["failed"])
    assert not any(word in row["all"] for word in ("Doe", "Jane", "P1", "1970"))


async def test_a_poor_message_is_acknowledged_stored_and_up_for_review_by_default(hub: Hub) -> None:
    await process(hub, POOR % b"C1")
    assert [row["state"] for row in await rows(hub, "SELECT state FROM message")] == ["processed"]
    assert await hub.report_quality.to_review(None, 10) == [1]
    assert await hub.report_quality.to_review("nobody", 10) == []


async def test_a_contract_that_rejects_makes_a_dead_letter_that_says_which_rules_failed(
    hub: Hub, adt: Callable[..., bytes]
) -> None:
    bands = await hub.report_quality.agree(Contract("POOR.EPIC", minimum=85, rejects=True), "ada")
    assert (bands.minimum, bands.good, bands.rejects) == (85, 85, True)
    await process(hub, POOR % b"C1", adt("C2"))
    kept = await rows(hub, "SELECT state, reason_code, reason FROM message ORDER BY sequence")
    assert [(row["state"], row["reason_code"]) for row in kept] == [("dead", "quality"), ("processed", None)]
    assert "message-read-whole" in kept[0]["reason"] and "UNKNOWN" not in kept[0]["reason"]
    assert [row["action"] for row in await rows(hub, "SELECT action FROM message_quality ORDER BY sequence")] == [
        "reject",
        "accept-with-warnings",
    ]
    assert (
        await rows(
            hub, "SELECT FROM resource_content c JOIN resource r USING (pid) WHERE r.resource_type = 'Observation'"
        )
        == []
    )
    audited = await rows(hub, "SELECT entry FROM audit_event WHERE entry->>'interaction' = 'agree-quality'")
    assert len(audited) == 1
    await hub.report_quality.dissolve("POOR.EPIC", "ada")
    assert await hub.report_quality.contracts() == []
    with pytest.raises(NotFound):
        await hub.report_quality.dissolve("POOR.EPIC", "ada")
    with pytest.raises(InvalidInput, match="name one"):
        await hub.report_quality.agree(Contract("POOR.EPIC"), "ada")


async def test_the_report_tells_by_source_and_day_how_good_and_what_fails_most(
    hub: Hub, adt: Callable[..., bytes]
) -> None:
    await process(hub, adt("C1"), adt("C2", "P2"), POOR % b"C3")
    good, poor = await hub.report_quality()
    assert (good.source, good.messages, poor.source, poor.messages) == ("MERCY.EPIC", 2, "POOR.EPIC", 1)
    assert good.points > 75 > poor.points
    assert poor.worst[0].because and {rule.id for rule in poor.worst} >= {"patient-birth-date", "patient-name-meant"}
    (day,) = good.days
    assert sum(day.actions.values()) == 2 and set(day.dimensions) == set(poor.days[0].dimensions) | set(day.dimensions)
    assert await hub.report_quality(source="nobody") == []
    assert await hub.report_quality(until=day.day) == []


async def test_the_trend_is_the_last_week_against_the_one_before(hub: Hub) -> None:
    async with hub.database.transaction() as tx:
        for sequence, (days_ago, points) in enumerate(((10, 60), (9, 70), (1, 80), (0, 90)), 1):
            await tx.execute(
                "INSERT INTO message_quality (sequence, received_on, score, source, type, action, failed)"
                " VALUES ($1, current_date - $2::int, $3, 'a', 'ADT^A01', 'accept', '{}')", sequence, days_ago, points)  # fmt: skip
    (report,) = await hub.report_quality()
    assert (report.points, report.trend) == (75.0, 20.0)


@pytest.mark.shows(
    "quality.excellent", "quality.good", "quality.minimum", "quality.below_minimum", "quality.rules_path", "quality.rubric_path"
)  # fmt: skip
async def test_the_settings_say_what_is_asked_of_everyone(
    database: Database, tmp_path: Path, adt: Callable[..., bytes]
) -> None:
    rules, own = tmp_path / "rules.yaml", tmp_path / "rubric.yaml"
    rules.write_text("patient_validation: {required_fields: [ssn]}\n")
    own.write_text(
        "rules: [{id: own, dimension: accuracy, of: Patient, check: like, path: name.family, pattern: X, because: b, source: s}]\n"
    )

    def configured(**quality: Any) -> Hub:
        overrides = {"audit.heads_path": str(tmp_path / "heads"), "development": True, "quality.rules_path": str(rules)}
        overrides |= {f"quality.{name}": value for name, value in quality.items()}
        settings = load_settings(None, environ={}, overrides=overrides)
        return build_hub(settings, InsecureDevelopmentKeyring(), database, SystemClock())

    strict = configured(excellent=100, good=99, minimum=99, below_minimum="reject", rubric_path=str(own))
    await process(strict, adt("C1"))
    (row,) = await rows(
        strict, "SELECT q.action, q.failed, m.state FROM message_quality q JOIN message m USING (sequence)"
    )
    assert (row["action"], row["state"]) == ("reject", "dead")
    assert {"required-ssn", "own"} <= json.loads(row["failed"]).keys()
    await strict.close()
    with pytest.raises(ConfigurationError, match=r"rise|good"):
        configured(excellent=50)
    rules.write_text("patient_validation: {required_fields: [soul]}\n")
    with pytest.raises(ConfigurationError, match="soul"):
        configured()
