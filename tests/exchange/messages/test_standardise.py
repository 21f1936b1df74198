"""Local codes of messages get standard ones beside them, on a whole hub: from the socket's bytes to the stored FHIR."""

from __future__ import annotations

from typing import Any

import pytest

from healthsync.bootstrap import Hub
from healthsync.domains.terminology import Coding
from healthsync.errors import Unavailable
from healthsync.exchange.administration.manage_codes import WorkState
from healthsync.exchange.administration.operators import Actor
from healthsync.exchange.ingest import EVERYTHING, Wanted
from healthsync.exchange.receive_message import Peer
from healthsync.exchange.standardise import HIDDEN

ME = Actor("operator")


def oru(control_id: str, *results: str, order: str = "F1") -> bytes:
    """A result message with one OBX for each `OBX-3`."""
    lines = [
        f"MSH|^~\\&|LAB|MERCY|HUB|X|20260101120000||ORU^R01^ORU_R01|{control_id}|P|2.5.1",
        "PID|1||P1^^^MERCY^MR||Quennell^Ottoline||19710309|F",
        f"OBR|1||{order}|PANEL^Panel^L|||20260101110000",
        *(f"OBX|{n}|NM|{code}||95|mg/dL|||||F|||20260101110000" for n, code in enumerate(results, 1)),
    ]
    return "\r".join(lines).encode()


async def arrived(hub: Hub, message: bytes) -> None:
    await hub.receive_message(message, Peer("127.0.0.1"))
    while await hub.process_message():
        pass


async def codings(hub: Hub) -> list[list[tuple[str | None, str]]]:
    """(system, code) of every stored Observation.code."""
    found = []
    async with hub.database.transaction() as tx:
        async for rows in hub.ingest._records.stream(tx, Wanted("Observation"), EVERYTHING, after=0):
            for resource in await hub.ingest._vault.open(tx, rows):
                found += [[(c.get("system"), c["code"]) for c in resource["code"]["coding"]]]
    return found


async def test_a_code_is_work_until_it_is_mapped_and_from_then_on_standard(hub: Hub) -> None:
    await arrived(hub, oru("1", "GLU^Glucose^L", "K^Potassium^L", "GLU^Glucose^L"))
    items = {item.code: item for item in await hub.manage_codes.items(state="open", source=None, limit=9)}
    assert (items["GLU"].occurrences, items["GLU"].element, items["GLU"].reason) == (2, "Observation.code", "unmapped")
    assert items["GLU"].system == f"urn:healthsync:local:{items['GLU'].partner}"

    changed = await hub.manage_codes.resolve(ME, items["GLU"].key, "2345-7", "LOINC", display="Glucose")
    assert changed.settled == 1
    hub.terminology._look_at = None  # a second goes by
    await arrived(hub, oru("2", "GLU^Glucose^L", order="F2"))
    local = items["GLU"].system
    assert [(local, "GLU"), ("http://loinc.org", "2345-7")] in await codings(hub)
    open_ = {item.code for item in await hub.manage_codes.items(state="open", source=None, limit=9)}
    assert "GLU" not in open_ and "K" in open_


async def test_a_message_sent_again_after_the_map_was_corrected_carries_the_correction_only(hub: Hub) -> None:
    await hub.manage_codes.add(ME, None, b"code,target\nGLU,1111-1\n", "m.csv", target="LOINC")
    await arrived(hub, oru("1", "GLU^Glucose^L"))
    await hub.manage_codes.add(ME, None, b"code,target\nGLU,2345-7\n", "m.csv", target="LOINC")
    hub.terminology._look_at = None
    await arrived(hub, oru("2", "GLU^Glucose^L"))
    (found,) = await codings(hub)
    assert [code for _, code in found] == ["GLU", "2345-7"]


async def test_ignored_codes_are_counted_on_and_stay_ignored(hub: Hub) -> None:
    await arrived(hub, oru("1", "JUNK^x^L"))
    (item,) = [i for i in await hub.manage_codes.items(state="open", source=None, limit=9) if i.code == "JUNK"]
    await hub.manage_codes.settle(ME, [item.key], WorkState.IGNORED)
    await arrived(hub, oru("2", "JUNK^x^L", order="F2"))
    (again,) = await hub.manage_codes.items(state="ignored", source=item.partner, limit=9)
    assert (again.key, again.occurrences, again.settled_by) == (item.key, 2, "operator")


async def test_what_is_no_code_is_counted_without_being_told(hub: Hub) -> None:
    await arrived(hub, oru("1", "Quennell Ottoline 1971^^L"))
    told = [item.code for item in await hub.manage_codes.items(state="open", source=None, limit=9)]
    assert HIDDEN in told and not any("Quennell" in code for code in told)


async def test_a_message_that_fails_counts_nothing(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub.process_message, "_ingest", _Failing(hub.ingest))
    await hub.receive_message(oru("1", "GLU^Glucose^L"), Peer("127.0.0.1"))
    await hub.process_message()
    assert await hub.manage_codes.items(state=None, source=None, limit=9) == []


class _Failing:
    """The gate, shut."""

    def __init__(self, ingest: Any) -> None:
        self._ingest = ingest

    def resource_id(self, *arguments: Any) -> str:
        return self._ingest.resource_id(*arguments)

    async def __call__(self, *_: Any) -> Any:
        raise RuntimeError("on purpose")


async def test_counts_wait_while_there_is_no_database(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any) -> None:
        raise Unavailable("on purpose")

    with monkeypatch.context() as patched:
        patched.setattr(hub.terminology, "note_untranslated", away)
        await arrived(hub, oru("1", "GLU^Glucose^L"))
    await arrived(hub, oru("2", "GLU^Glucose^L", order="F2"))
    (item,) = [i for i in await hub.manage_codes.items(state="open", source=None, limit=9) if i.code == "GLU"]
    assert item.occurrences == 2


async def test_translate_knows_the_local_map_both_ways(hub: Hub) -> None:
    await hub.manage_codes.add(ME, "ER", b"code,target\nGLU,2345-7\n", "m.csv", target="LN")
    async with hub.database.connection() as tx:
        there = await hub.terminology.translate(tx, [Coding(None, "GLU")], concept_map="urn:healthsync:local-codes:ER")
        back = await hub.terminology.translate(
            tx, [Coding("http://loinc.org", "2345-7")], concept_map="urn:healthsync:local-codes:ER", reverse=True
        )
    assert [m.target.code for m in there.matches if m.target] == ["2345-7"]
    assert [m.target.code for m in back.matches if m.target] == ["GLU"]
