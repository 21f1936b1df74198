"""The score counts what was put together wrongly, what was missed, and what waits for a person."""

from __future__ import annotations

import uuid
from typing import Any

from healthsync.bootstrap import Hub
from healthsync.domains.audit import Action
from healthsync.exchange.administration.score_identity import ScoreIdentity
from healthsync.exchange.ingest import Incoming, Submission, submission_audit

SYSTEM = "urn:oid:1.2.3"


async def _store(hub: Hub, source: str, number: str, family: str, given: str, ssn: str | None = None) -> None:
    identifiers: list[dict[str, Any]] = [{"system": f"{SYSTEM}.{source}", "value": number}]
    if ssn:
        identifiers.append({"system": "http://hl7.org/fhir/sid/us-ssn", "value": ssn})
    patient = {
        "resourceType": "Patient",
        "id": str(uuid.uuid4()),
        "identifier": identifiers,
        "name": [{"family": family, "given": [given]}],
        "gender": "female",
        "birthDate": "1971-03-09",
    }
    async with hub.database.transaction() as tx:
        await hub.ingest(
            tx, Submission(source, [Incoming(patient, "create")], submission_audit(Action.CREATE, "create"))
        )


async def test_links_are_compared_with_the_truth(hub: Hub) -> None:
    await _store(hub, "a", "1", "Quennell", "Ottoline", "412345678")
    await _store(hub, "b", "2", "Quennell", "Ottoline", "412345678")  # one person, found
    await _store(hub, "c", "3", "Quennel", "Otoline")  # the same, not to be found: misspelt, without a number
    await _store(hub, "d", "4", "Quennell", "Ottoline", "412345678")  # somebody else under her number: taken for her
    truth = {(source, f"{SYSTEM}.{source}", number): person
             for source, number, person in (("a", "1", "P1"), ("b", "2", "P1"), ("c", "3", "P1"), ("d", "4", "P2"),
                                            ("e", "9", "P3"))}  # fmt: skip
    found = await ScoreIdentity(database=hub.database, identity=hub.identity)(truth)
    assert len(found.patient_ids) == found.score.records == 4  # nobody knows e's
    assert (found.false_links, found.missed_links) == (2, 2)
    assert (found.score.precision, found.score.recall) == (1 / 3, 1 / 3)
