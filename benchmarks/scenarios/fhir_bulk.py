"""Bulk export and import: resources a second, a second of one core, and memory."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import psutil

from benchmarks.fhir import population as populations
from benchmarks.fhir.population import Population
from benchmarks.harness import Aim, Options, Result, scenario
from benchmarks.hubs import RunningHub, run_command, running_hub
from benchmarks.processes import memory_by_part, tree

_EXPORT, _IMPORT = Aim(20_000), Aim(5_000)
_CONDITIONAL = re.compile(rb'"reference": ?"([A-Za-z]+)\?identifier=([^"]+)"')
_URN = re.compile(rb'"(urn:uuid:[0-9a-f-]{36})"')


@scenario("fhir_bulk")
async def bulk(options: Options) -> AsyncIterator[Result]:
    """Import of NDJSON by one process and by one a core; $export of what it brought, uncompressed and as gzip."""
    population = populations.load()
    workers = os.cpu_count() or 1
    for processes in (1, workers):
        async with running_hub() as hub:
            file = hub.data_folder.parent / "all.ndjson"
            mix = write_ndjson(population, file, copies=1 if options.quick else 2)
            yield await _imported(hub, file, mix, processes, population.origin)
    for level in (0, 1, 6):
        with _setting("HEALTHSYNC_BULK_DATA__GZIP_LEVEL", str(level)), _setting("HEALTHSYNC_WORKER__PROCESSES", "1"):
            async with running_hub() as hub:
                file = hub.data_folder.parent / "all.ndjson"
                mix = write_ndjson(population, file, copies=1 if options.quick else 2)
                await run_command("import", str(file), "--data", str(hub.data_folder), "--workers", str(workers))
                key = await hub.api_key("admin")
                await _exported(hub, key, mix, level)  # caches are warm from here on
                results = [await _exported(hub, key, mix, level) for _ in range(options.repeats)]
                yield max(results, key=lambda one: one.value)


def write_ndjson(population: Population, file: Path, *, copies: int) -> Counter[str]:
    """The resources of all bundles, their references pointed at each other's ids; answers how many of each type."""
    mix: Counter[str] = Counter()
    bundles = [json.dumps(population.information).encode()] if population.information else []
    bundles += [body for _, body in populations.bodies(population, copies)]
    with file.open("wb") as out:
        for number, body in enumerate(bundles):
            entries = json.loads(body)["entry"]
            addresses = {
                entry[
                    "fullUrl"
                ].encode(): f"{entry['resource']['resourceType']}/{_id(number, entry['fullUrl'])}".encode()
                for entry in entries
            }
            for entry in entries:
                one = {**entry["resource"], "id": _id(number, entry["fullUrl"])}
                text = json.dumps(one, ensure_ascii=False).encode()
                for url in set(_URN.findall(text)) & addresses.keys():
                    text = text.replace(b'"%s"' % url, b'"%s"' % addresses[url])
                out.write(_CONDITIONAL.sub(_somewhere, text) + b"\n")
                mix[one["resourceType"]] += 1
    return mix


def _id(number: int, url: str) -> str:
    """Copies of a patient are other people."""
    return str(uuid5(NAMESPACE_URL, f"{number} {url}"))


def _somewhere(found: re.Match[bytes]) -> bytes:
    """A conditional reference as one to an id; what stands there does not matter for the time it takes."""
    return b'"reference":"%s/%s"' % (found[1], str(uuid5(NAMESPACE_URL, found[2].decode())).encode())


async def _imported(hub: RunningHub, file: Path, mix: Counter[str], processes: int, origin: str) -> Result:
    before, began = hub.cpu.read(), time.perf_counter()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    importing = asyncio.ensure_future(run_command(
        "import", str(file), "--data", str(hub.data_folder), "--workers", str(processes), "--json",
        "--rejects", str(file.with_suffix(".rejects")),
    ))  # fmt: skip
    most = 0.0
    while (await asyncio.wait([importing], timeout=1.0))[1]:
        most = max(most, _largest_import())
    out = importing.result()
    seconds = time.perf_counter() - began
    spent = hub.cpu.since(before)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent["client"] = (after.ru_utime - children.ru_utime) + (after.ru_stime - children.ru_stime)
    stored = json.loads(out)["stored"]
    return Result(
        "fhir_bulk", f"import, {processes} processes", stored / seconds, "res/s", _IMPORT if processes > 1 else None,
        {part: 1000 * cpu / stored for part, cpu in spent.items()}, {},
        {"resources": stored, "seconds": round(seconds, 2), "bytes": file.stat().st_size, "origin": origin,
         "largest_process_mb": round(most), "mix": _told(mix)},
        os.getloadavg()[0],
    )  # fmt: skip


def _largest_import() -> float:
    """Megabytes of the largest process of the import that runs."""
    sizes = [0.0]
    for process in tree(psutil.Process()):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if not {"import", "healthsync.entrypoints.worker.importing"}.isdisjoint(process.cmdline()):
                sizes.append(process.memory_full_info().pss / 1e6)
    return max(sizes)


async def _exported(hub: RunningHub, key: str, mix: Counter[str], level: int) -> Result:
    before = hub.cpu.read()
    location = _ask(f"http://{hub.http}/fhir/$export", key, **{"Prefer": "respond-async"})[1]["Content-Location"]
    most = 0.0
    while (answer := _ask(location, key))[0] == 202:
        most = max(most, memory_by_part(hub.process.pid).get("worker", 0.0))
        await asyncio.sleep(0.1)
    job = json.loads(answer[2])["extension"]["job"]
    spent = hub.cpu.since(before)
    resources = job["progress"]["resources"]
    core_seconds = spent.get("worker", 0.0) + spent.get("database", 0.0)
    seconds = _instant(job["finished"]) - _instant(job["started"])
    return Result(
        "fhir_bulk", f"export, gzip level {level}", resources / core_seconds, "res/s/core",
        _EXPORT if level == 0 else None,
        {part: 1000 * cpu / resources for part, cpu in spent.items()}, {},
        {"resources": resources, "seconds": round(seconds, 2), "resources_a_second": round(resources / seconds),
         "worker_memory_mb": round(most), "mix": _told(mix)},
        os.getloadavg()[0],
    )  # fmt: skip


def _ask(url: str, key: str, **headers: str) -> tuple[int, Any, bytes]:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}", **headers})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.status, answer.headers, answer.read()


def _instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _told(mix: Counter[str]) -> str:
    """The five most frequent types, in per cent."""
    return ", ".join(f"{kind} {100 * count // mix.total()} %" for kind, count in mix.most_common(5))


@contextmanager
def _setting(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name) if before is None else os.environ.update({name: before})
