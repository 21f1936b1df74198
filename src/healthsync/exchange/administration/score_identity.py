"""How well did the hub find out who is who, where the truth is known (tests, the demonstration, a labelled sample)?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

from healthsync.domains.identity import IdentityService, Score, score
from healthsync.infrastructure.database import Database

Record = tuple[str, str, str]
"""A patient of a source: (source, identifier system, number)."""

_MOST_REVIEWS = 10_000


@dataclass(frozen=True, slots=True)
class IdentityFindings:
    """The score; links between records of different persons; pairs that wait for a person to look at them; and the
    FHIR id of each record that the hub knows."""

    score: Score
    false_links: int
    missed_links: int
    to_review: int
    patient_ids: Mapping[Record, str]


class ScoreIdentity:
    """Compares the persons that the hub found with the true ones. Shows numbers and references only."""

    def __init__(self, *, database: Database, identity: IdentityService) -> None:
        self._database, self._identity = database, identity

    async def __call__(self, truth: Mapping[Record, str]) -> IdentityFindings:
        """Score the records of `truth` (record → person); one that the hub does not know is left out."""
        async with self._database.transaction(read_only=True) as tx:
            known = {}
            for record in truth:
                source, system, value = record
                identifiers = [{"system": system, "value": value}]
                if found := await self._identity.find_source_patient(tx, source, identifiers, follow_merges=False):
                    known[record] = found
            persons = await self._identity.enterprise_ids(tx, {patient.patient_key for patient in known.values()})
            reviews = await self._identity.open_reviews(tx, _MOST_REVIEWS)
        found = {record: persons[patient.patient_key] for record, patient in known.items()}
        return IdentityFindings(
            score=score(found, truth),
            false_links=_disagreements(found, truth),
            missed_links=_disagreements({record: truth[record] for record in found}, found),
            to_review=len(reviews),
            patient_ids={record: patient.patient_id for record, patient in known.items()},
        )


def _disagreements(groups: Mapping[Record, str], others: Mapping[Record, str]) -> int:
    """Pairs that are together in `groups` and apart in `others`."""
    members = defaultdict(list)
    for record, group in groups.items():
        members[group].append(record)
    return sum(others[a] != others[b] for group in members.values() for a, b in combinations(group, 2))
