"""What a search opened a moment ago is kept in bounded memory, and shown only for the very same row and with its key."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec import structs

from healthsync.bootstrap import build_hub
from healthsync.domains.audit import Action
from healthsync.domains.records import StoredResource
from healthsync.exchange.authenticate import Requester
from healthsync.exchange.ingest import Incoming, Submission, submission_audit
from healthsync.exchange.opened import OpenedResources
from healthsync.exchange.vault import KeyDestroyed
from healthsync.infrastructure.clock import SystemClock
from healthsync.infrastructure.crypto import InsecureDevelopmentKeyring, SealBroken
from healthsync.settings import load_settings
from healthsync.standards.fhir.query import parse

ADMIN = Requester("tester", ("admin",), "TREAT")
ROW = StoredResource(
    1, "Observation", "o", 1, datetime(2024, 5, 6, tzinfo=UTC), None, False, b"", b"packed", b"sealed", None, "hub", 1
)
QUENNELL = {"resourceType": "Patient", "id": "p", "name": [{"family": "Quennell"}]}
TEXT = '{"resourceType": "Observation", "id": "o", "valueInteger": 7}'


def test_a_row_that_was_kept_is_found_again_and_parsed_once():
    kept = OpenedResources(100_000)
    opened = kept.keep(ROW, TEXT)
    assert kept.of(structs.replace(ROW)) is opened
    assert opened.document["valueInteger"] == 7
    assert opened.document is opened.document


@pytest.mark.parametrize(
    "other",
    [
        {"pid": 2}, {"version": 2}, {"packed": b"other"}, {"identity": b"other"}, {"narrative": b"other"},
        {"key_scope": "patient/1"}, {"key_version": 2},
    ],
)  # fmt: skip
def test_a_row_that_differs_from_what_was_opened_is_not_found(other):
    kept = OpenedResources(100_000)
    kept.keep(ROW, TEXT)
    assert kept.of(structs.replace(ROW, **other)) is None


def test_what_was_used_longest_ago_gives_way():
    kept = OpenedResources(3_000)
    for pid in (1, 2, 3):
        kept.keep(structs.replace(ROW, pid=pid), TEXT)
    assert kept.of(ROW) is not None
    kept.keep(structs.replace(ROW, pid=4), TEXT)
    assert [kept.of(structs.replace(ROW, pid=pid)) is not None for pid in (1, 2, 3, 4)] == [True, False, True, True]


@pytest.mark.shows("fhir.opened_megabytes")
@pytest.mark.parametrize(("megabytes", "kept"), [(64, 1), (0, 0)])
async def test_a_hub_keeps_as_much_as_its_settings_say(database, tmp_path, megabytes, kept):
    overrides = {"audit.heads_path": str(tmp_path / "heads"), "fhir.opened_megabytes": megabytes, "development": True}
    hub = build_hub(
        load_settings(None, environ={}, overrides=overrides), InsecureDevelopmentKeyring(), database, SystemClock()
    )
    await _store(hub, QUENNELL)
    assert len(await _found(hub)) == 1
    assert len(hub.disclose._vault._kept._kept) == kept
    await hub.close()


def test_a_size_of_nothing_keeps_nothing_and_still_answers():
    kept = OpenedResources(0)
    assert kept.keep(ROW, TEXT).text == TEXT
    assert kept.of(ROW) is None


async def _store(hub, resource: dict) -> None:
    async with hub.database.transaction() as tx:
        await hub.ingest(
            tx, Submission("tester", [Incoming(resource, "update")], submission_audit(Action.EXECUTE, "t"))
        )


async def _found(hub) -> list[str]:
    query = parse("Patient", [("family:contains", "uennel")])  # decided after a look
    return [each.text for each in (await hub.disclose.search(ADMIN, query, after=None, count=5, asked="")).entries]


async def test_an_updated_resource_is_shown_as_it_is_now(hub):
    await _store(hub, QUENNELL | {"gender": "male"})
    assert '"male"' in (await _found(hub))[0]
    await _store(hub, QUENNELL | {"gender": "female"})
    assert '"female"' in (await _found(hub))[0]


async def test_what_was_kept_is_shown_to_nobody_once_its_key_is_destroyed(hub):
    await _store(hub, QUENNELL)
    assert len(await _found(hub)) == 1
    async with hub.database.transaction() as tx:
        await tx.execute("DELETE FROM data_key")
    hub.data_keys._newest.clear()
    hub.data_keys._by_version.clear()
    with pytest.raises(KeyDestroyed):
        await _found(hub)


async def test_a_row_that_was_tampered_with_breaks_its_seal_although_the_true_one_was_kept(hub):
    await _store(hub, QUENNELL)
    assert len(await _found(hub)) == 1
    async with hub.database.transaction() as tx:
        await tx.execute("UPDATE resource_content SET identity = set_byte(identity, 20, 255 - get_byte(identity, 20))")
    with pytest.raises(SealBroken):
        await _found(hub)
