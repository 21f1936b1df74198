"""Batch linking: FEBRL and generated households, how right it is and how fast."""

from __future__ import annotations

import os
import random
import time
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

from benchmarks.harness import Aim, Options, Result, scenario
from healthsync.domains.identity.linkage import COLUMNS, Population, evaluate, link, standardise
from healthsync.exchange.administration.link_files import LinkFiles
from healthsync.infrastructure.clock import SystemClock

_FEBRL = Path(__file__).resolve().parents[3] / "shared" / "data" / "identity" / "febrl"
_SETS = {"FEBRL 3": ("dataset3.csv",), "FEBRL 4": ("dataset4a.csv", "dataset4b.csv")}
_TODAY = date(2026, 11, 27)


@scenario("linking_febrl")
async def febrl(options: Options) -> AsyncIterator[Result]:
    """F1 of links of FEBRL 3 and 4, without known pairs, and seconds; skipped without the data."""
    if not _FEBRL.is_dir():
        return
    flow = LinkFiles(clock=SystemClock())
    for name, files in _SETS.items():
        started = time.perf_counter()
        linked = flow.link([_FEBRL / file for file in files])
        seconds = time.perf_counter() - started
        found = evaluate(linked.linkage, [id_.split("-")[1] for id_ in linked.linkage.records.ids])
        details = {"automatic recall": round(found.automatic.recall, 4)}
        load = os.getloadavg()[0]
        yield Result("linking_febrl", f"{name}, F1 of links", found.linked.f1, "", Aim(0.9995), details=details)
        yield Result("linking_febrl", f"{name}, automatic precision", found.automatic.precision, "", Aim(0.9999))
        yield Result("linking_febrl", f"{name}, whole call", seconds, "s", Aim(3, "less"), load_average=load)


@scenario("linking_order")
async def order(options: Options) -> AsyncIterator[Result]:
    """The same 5,000 records in 20 orders: how many persons come out otherwise in any of them."""
    people = Population(seed=77, today=_TODAY).records(options.sized(5_000))
    told = {name: place for place, name in enumerate(COLUMNS) if name != "id" and not name.startswith("truth")}
    seen: list[set[frozenset[str]]] = []
    for seed in range(20):
        rows = [person.row() for person in people]
        random.Random(seed).shuffle(rows)
        raw = {name: [row[place] for row in rows] for name, place in told.items()}
        found = link(standardise(raw, [row[0] for row in rows], [0] * len(rows), today=_TODAY))
        persons: dict[int, set[str]] = {}
        for id_, person in zip(found.records.ids, found.persons.tolist(), strict=True):
            persons.setdefault(person, set()).add(id_)
        seen.append({frozenset(members) for members in persons.values()})
    differ = len(set.union(*seen) - set.intersection(*seen))
    yield Result("linking_order", "persons that depend on the order of 5,000 records", differ, "", Aim(0, "less"))


@scenario("linking_households")
async def households(options: Options) -> AsyncIterator[Result]:
    """240,000 records in households: records a second of one core, precision and recall of the automatic tier."""
    size = options.sized(240_000)
    people = Population(seed=5, today=_TODAY).records(size)
    rows = [person.row() for person in people]
    told = {name: place for place, name in enumerate(COLUMNS) if name != "id" and not name.startswith("truth")}
    raw = {name: [row[place] for row in rows] for name, place in told.items()}
    started = time.process_time()
    linkage = link(standardise(raw, [row[0] for row in rows], [0] * size, today=_TODAY))
    seconds = time.process_time() - started
    truth = {person.id: person.truth for person in people}
    found = evaluate(linkage, [truth[id_] for id_ in linkage.records.ids])
    load = os.getloadavg()[0]
    yield Result("linking_households", "records a CPU second", size / seconds, "/s", Aim(30_000), load_average=load)
    yield Result("linking_households", "automatic precision", found.automatic.precision, "", Aim(0.9995))
    yield Result("linking_households", "automatic recall", found.automatic.recall, "", Aim(0.97))
    yield Result("linking_households", "F1 of links", found.linked.f1, "")
