"""Whose message is this?"""

from __future__ import annotations

import pytest

from healthsync.domains.directory import (
    AckMode,
    DirectoryService,
    Partner,
    Peer,
    development_partner,
    fingerprint,
    network,
    recognise,
)
from healthsync.errors import Conflict, InvalidInput, NotFound
from healthsync.infrastructure.clock import SystemClock
from healthsync.infrastructure.database import Database

PRINT = "ab" * 32
BY_CERTIFICATE = Partner("by-certificate", certificate_fingerprint=PRINT)
BY_SUBJECT = Partner("by-subject", certificate_subject="CN=adt,O=Mercy")
BY_BLOCK = Partner("by-block", addresses=(network("10.1.0.0/16"),))
BY_ADDRESS = Partner("by-address", addresses=(network("10.1.2.3"),))
BY_HEADER = Partner("by-header", sending_application="EPIC", sending_facility="MERCY")
BY_FACILITY = Partner("by-facility", sending_facility="MERCY")
GUARDED = Partner("guarded", sending_application="LAB", sending_facility="ACME", certificate_fingerprint="cd" * 32)
ALL = [BY_CERTIFICATE, BY_SUBJECT, BY_BLOCK, BY_ADDRESS, BY_HEADER, BY_FACILITY, GUARDED]


@pytest.mark.parametrize(
    ("peer", "header", "expected"),
    [
        (Peer("10.1.2.3", PRINT), ("EPIC", "MERCY"), "by-certificate"),
        (Peer("192.0.2.1", None, "CN=adt,O=Mercy"), ("EPIC", "MERCY"), "by-subject"),
        (Peer("10.1.2.3"), ("EPIC", "MERCY"), "by-address"),
        (Peer("10.1.9.9"), ("EPIC", "MERCY"), "by-block"),
        (Peer("::ffff:10.1.9.9"), ("", ""), "by-block"),
        (Peer("192.0.2.1"), ("EPIC", "MERCY"), "by-header"),
        (Peer("192.0.2.1"), ("CERNER", "MERCY"), "by-facility"),
        (Peer("192.0.2.1"), ("epic", "mercy"), None),
        (Peer("192.0.2.1"), ("LAB", "ACME"), None),
        (Peer("192.0.2.1", "cd" * 32), ("LAB", "ACME"), "guarded"),
        (Peer("192.0.2.1", "cd" * 32), ("LAB", "OTHER"), None),
        (Peer("not an address"), ("", ""), None),
    ],
)
def test_the_certificate_outranks_the_address_and_the_address_the_header(
    peer: Peer, header: tuple[str, str], expected: str | None
) -> None:
    partner = recognise(ALL, peer, *header)
    assert (partner.name if partner else None) == expected


def test_two_partners_that_fit_equally_well_are_nobody() -> None:
    twins = [Partner("one", sending_facility="MERCY"), Partner("two", sending_facility="MERCY")]
    assert recognise(twins, Peer("192.0.2.1"), "EPIC", "MERCY") is None


@pytest.mark.parametrize(
    "build",
    [
        lambda: Partner("nothing-to-go-by"),
        lambda: Partner("empty-words", sending_application="", sending_facility=""),
        lambda: Partner("no/slash", sending_facility="X"),
        lambda: Partner("short-print", certificate_fingerprint="ab"),
        lambda: Partner("odd-letters", sending_facility="X", character_encoding="KLINGON"),
        lambda: network("10.1.0.0/99"),
    ],
)
def test_a_partner_that_nothing_can_recognise_is_refused(build: object) -> None:
    with pytest.raises(InvalidInput):
        build()  # type: ignore[operator]


def test_a_fingerprint_is_taken_as_tools_print_it() -> None:
    assert fingerprint("AB:" * 31 + "AB") == PRINT


@pytest.mark.parametrize(
    ("application", "facility", "name"),
    [
        ("ZHIS", "ZHOSP", "ZHOSP.ZHIS"),
        ("", "ZHOSP", "ZHOSP"),
        ("a b|c", "", "a-b-c"),
        ("", "", "dev"),
        ("7", "", "dev.7"),
        ("A" * 90, "B" * 90, "B" * 31 + "." + "A" * 31),
    ],
)
def test_in_development_the_same_header_is_the_same_partner(application: str, facility: str, name: str) -> None:
    assert development_partner(application, facility).name == name


async def test_partners_are_stored_listed_and_removed(database: Database) -> None:
    directory = DirectoryService(SystemClock())
    partner = Partner(
        "mercy",
        "EPIC",
        "MERCY",
        PRINT,
        "CN=adt",
        (network("10.0.0.0/8"), network("fd00::/8")),
        "Mercy",
        AckMode.ENHANCED,
    )
    async with database.transaction() as tx:
        added = await directory.add(tx, partner)
    async with database.transaction() as tx:
        assert await directory.partners(tx) == [added]
        with pytest.raises(Conflict):
            await directory.add(tx, partner)
        await directory.remove(tx, "mercy")
        assert await directory.partners(tx) == []
        with pytest.raises(NotFound):
            await directory.remove(tx, "mercy")
