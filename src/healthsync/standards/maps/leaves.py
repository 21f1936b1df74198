"""Leaves of absence in a visit (HL7 v2.5.1 §3.3.21 A21, §3.3.22 A22, §3.3.52 A52, §3.3.53 A53).

They stand in Encounter.statusHistory, as periods. A departure tells when one begins, a return when it ends, in whatever
order they arrive; the visit is *on leave* while the last one has no end.
"""

from __future__ import annotations

from collections.abc import Iterable

from healthsync.standards.maps import times
from healthsync.standards.maps.model import Resource

ON_LEAVE, PRESENT = "onleave", "in-progress"
DEPARTURE, RETURN = "departure", "return"


def begun(at: str) -> Resource:
    """A patient has gone on leave."""
    return {"status": ON_LEAVE, "period": {"start": at}}


def ended(at: str) -> Resource:
    """A patient has come back."""
    return {"status": ON_LEAVE, "period": {"end": at}}


def together(stored: Iterable[Resource], told: Iterable[Resource]) -> list[Resource]:
    """The leaves that are known and those told now; a departure and the first return after it are one leave."""
    known = [dict(leave) for leave in stored]
    for leave in told:
        period = leave["period"]
        if any(period.items() <= other["period"].items() for other in known):
            continue
        if (half := _other_half(known, period)) is not None:
            half["period"] = {**half["period"], **period}
        else:
            known.append(leave)
    return sorted(known, key=lambda leave: leave["period"].get("start") or leave["period"]["end"])


def _other_half(known: list[Resource], period: Resource) -> Resource | None:
    if "start" in period:
        ends = [leave for leave in known if _is_leave(leave) and "start" not in leave["period"]]
        after = [leave for leave in ends if not times.is_before(leave["period"]["end"], period["start"])]
        return after[0] if after else None
    starts = [leave for leave in known if _is_leave(leave) and "end" not in leave["period"]]
    before = [leave for leave in starts if not times.is_before(period["end"], leave["period"]["start"])]
    return before[-1] if before else None


def taken_back(stored: Iterable[Resource], what: str) -> list[Resource]:
    """Without the last departure (the patient has not gone), or without the last return (he is still away)."""
    known = [dict(leave) for leave in stored]
    if what == DEPARTURE:
        last = next((leave for leave in reversed(known) if _is_leave(leave) and "end" not in leave["period"]), None)
        return [leave for leave in known if leave is not last]
    last = next((leave for leave in reversed(known) if _is_leave(leave) and "end" in leave["period"]), None)
    if last is not None:
        last["period"] = {name: at for name, at in last["period"].items() if name != "end"}
    return [leave for leave in known if leave["period"]]


def status(told: str, known: Iterable[Resource]) -> str:
    """The status of a visit that is going on: on leave or not."""
    if told not in (ON_LEAVE, PRESENT):
        return told
    return ON_LEAVE if any(_is_leave(leave) and "end" not in leave["period"] for leave in known) else PRESENT


def _is_leave(entry: Resource) -> bool:
    return entry.get("status") == ON_LEAVE
