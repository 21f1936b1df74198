"""Which versions does a history show? Statements over current versions (`resource`) and past ones (`resource_history`).

Both tables stand as `r` where the gate's condition is asked, so that every version is judged by the patient that it
names itself. Order: newest first by (updated_at, pid, version), which never changes: what is the current version today
has the same place as a past one tomorrow, so that pages neither lose nor double a version while others write.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from healthsync.domains.records.model import Page, Visibility

Position = tuple[datetime, int, int]
"""(updated_at, pid, version) of the last version of a page."""

_MILLISECOND = timedelta(milliseconds=1)

_CONTENT = (
    "coalesce(k.packed, convert_to(k.clear, 'UTF8')) AS packed, k.identity, k.narrative, k.key_scope, k.key_version"
)


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """What of a history is asked for (http.html#history).

    since   versions made at this instant or later
    at      versions that were current at some time in this interval [from, to)
    after   where the last page ended
    """

    since: datetime | None = None
    at: tuple[datetime, datetime] | None = None
    after: Position | None = None


@dataclass(frozen=True, slots=True)
class HistoryOfOne:
    """A page of the history of one resource, and how many versions are here, may be shown, and are asked for."""

    page: Page
    here: int
    permitted: int
    asked: int


class _Binder:
    """Numbers parameters behind those of the gate's condition."""

    def __init__(self, visibility: Visibility) -> None:
        self.parameters: list[Any] = list(visibility.parameters)

    def __call__(self, value: Any) -> str:
        self.parameters.append(value)
        return f"${len(self.parameters)}"


def of_types(types: Sequence[str], visibility: Visibility, query: HistoryQuery, limit: int) -> tuple[str, list[Any]]:
    """A page of the versions of all resources of some types: for each type a walk down its indexes, then merged."""
    bind = _Binder(visibility)
    wanted = bind(list(types))
    current, past = _conditions(query, bind, visibility)
    columns = "r.pid, r.version, r.updated_at, r.patient_key, r.deleted"
    own = "r.resource_type = t.resource_type"
    order = "ORDER BY r.updated_at DESC, r.pid DESC"
    newest = f"ORDER BY v.updated_at DESC, v.pid DESC, v.version DESC LIMIT {int(limit)}"
    text = (
        f"SELECT {_SHOWN} FROM (SELECT v.* FROM unnest({wanted}::text[]) AS t (resource_type) CROSS JOIN LATERAL ("
        f"(SELECT {columns}, true AS current FROM resource r WHERE {own} AND NOT r.deleted AND {current} {order}"
        f" LIMIT {int(limit)}) UNION ALL "
        f"(SELECT {columns}, true FROM resource r WHERE {own} AND r.deleted AND {current} {order} LIMIT {int(limit)})"
        f" UNION ALL (SELECT {columns}, false FROM resource_history r WHERE {own} AND {past}"
        f" {order}, r.version DESC LIMIT {int(limit)})) v {newest}) v{_CONTENTS} {newest}"
    )
    return text, bind.parameters


def of_one(
    address: tuple[int, str, str], visibility: Visibility, query: HistoryQuery, limit: int
) -> tuple[str, list[Any]]:
    """A page of the versions of one resource."""
    versions, bind = _versions_of_one(address, visibility, query)
    text = (
        f"SELECT {_SHOWN} FROM (SELECT * FROM ({versions}) v WHERE v.shown"
        f" ORDER BY v.version DESC LIMIT {int(limit)}) v{_CONTENTS} ORDER BY v.version DESC"
    )
    return text, bind.parameters


def tally(address: tuple[int, str, str], visibility: Visibility, query: HistoryQuery) -> tuple[str, list[Any]]:
    """How many versions there are of one resource, may be shown, and are asked for."""
    versions, bind = _versions_of_one(address, visibility, HistoryQuery(query.since, query.at))
    text = (
        "SELECT count(*) AS here, count(*) FILTER (WHERE v.permitted) AS permitted,"
        f" count(*) FILTER (WHERE v.shown) AS asked FROM ({versions}) v"
    )
    return text, bind.parameters


def _versions_of_one(address: tuple[int, str, str], visibility: Visibility, query: HistoryQuery) -> tuple[str, _Binder]:
    bind = _Binder(visibility)
    key, resource_type, id_ = (bind(value) for value in address)
    one = f"x.key = {key} AND x.resource_type = {resource_type} AND x.id = {id_}"
    current, past = _conditions(query, bind, visibility)
    columns = f"r.pid, r.version, r.updated_at, r.patient_key, r.deleted, ({visibility.condition}) AS permitted"
    return (
        f"SELECT {columns}, ({current}) AS shown, true AS current FROM resource r JOIN resource x USING (pid)"
        f" WHERE {one}"
        f" UNION ALL SELECT {columns}, ({past}), false FROM resource_history r JOIN resource x USING (pid) WHERE {one}"
    ), bind


def _conditions(query: HistoryQuery, bind: _Binder, visibility: Visibility) -> tuple[str, str]:
    """Conditions on a current and on a past version `r`."""
    terms = [f"({visibility.condition})"]
    if query.since is not None:
        terms.append(f"r.updated_at >= {bind(query.since)}")
    if query.after is not None:
        updated_at, pid, version = (bind(value) for value in query.after)
        terms.append(f"(r.updated_at, r.pid) <= ({updated_at}, {pid})")  # an index can begin here
        terms.append(f"(r.updated_at, r.pid, r.version) < ({updated_at}, {pid}, {version})")
    past = ""
    if query.at is not None:
        low, high = (bind(instant) for instant in query.at)
        terms.append(f"r.updated_at < {high} AND NOT (r.deleted AND r.updated_at < {low})")
        # meta.lastUpdated, which the sender may have taken the instant from, is cut off at the millisecond.
        followed = bind(query.at[0] + _MILLISECOND)
        next_one = f"n.pid = r.pid AND n.version = r.version + 1 AND n.updated_at < {followed}"
        past = (
            f" AND NOT EXISTS (SELECT 1 FROM resource_history n WHERE {next_one})"
            f" AND NOT EXISTS (SELECT 1 FROM resource n WHERE {next_one})"
        )
    condition = " AND ".join(terms)
    return condition, condition + past


_SHOWN = (
    "x.pid, x.resource_type, x.id, v.version, v.updated_at, v.patient_key, v.deleted, x.digest,"
    " c.packed, c.identity, c.narrative, c.key_scope, c.key_version, true AS permitted, NULL AS sort_value,"
    " v.version = 1 OR EXISTS (SELECT FROM resource_history d"
    " WHERE d.pid = v.pid AND d.version = v.version - 1 AND d.deleted) AS begins"
)
"""The columns of a `StoredResource`, of version `v` with content `c`."""

# LATERAL with LIMIT 1 is a lookup by index whatever the planner believes (`queries.sql`).
_CONTENTS = (
    " CROSS JOIN LATERAL (SELECT pid, resource_type, id, digest FROM resource WHERE pid = v.pid LIMIT 1) x"
    " CROSS JOIN LATERAL ("
    f"SELECT {_CONTENT} FROM resource_content k WHERE v.current AND k.pid = v.pid"
    f" UNION ALL SELECT {_CONTENT} FROM resource_history k"
    " WHERE NOT v.current AND k.pid = v.pid AND k.version = v.version) c"
)
