"""Our HL7 v2 codec beside other Python libraries: the same messages, the same six fields, in this process."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from benchmarks import messages
from benchmarks.harness import Options, Result, scenario, time_calls
from healthsync.standards.hl7v2 import Message

Reader = Callable[[bytes], list[str]]

_READ = ("MSH-9.2", "MSH-10", "PID-3.1", "PID-5.1", "PID-5.2", "PID-7")


@scenario("parsers")
async def parsers(options: Options) -> AsyncIterator[Result]:
    """CPU time to parse a message and read six fields: HealthSync, hl7apy, and python-hl7 where it is installed."""
    samples = {"ADT 1 kB": messages.adt(1), "ORU 30 OBX": messages.oru(1, 1)}
    readers = dict(_readers())
    for kind, raw in samples.items():
        expected = readers["HealthSync"](raw)
        for name, read in readers.items():
            if read(raw) != expected:
                raise RuntimeError(f"{name} reads other values than HealthSync")
            yield time_calls("parsers", f"{name}: parse and read six fields, {kind}", lambda: read(raw), options)  # noqa: B023


def _readers() -> Iterator[tuple[str, Reader]]:
    yield "HealthSync", _ours
    for name, make in (("hl7apy", _hl7apy), ("hl7", _python_hl7)):
        try:
            library = importlib.import_module(name)
        except ImportError:
            continue
        yield f"{name} {getattr(library, '__version__', '')}".strip(), make()


def _ours(raw: bytes) -> list[str]:
    get = Message.parse(raw).get
    return [get(path) for path in _READ]


def _hl7apy() -> Reader:
    """Its quickest way: nothing validated, segments not put into groups."""
    parse = importlib.import_module("hl7apy.parser").parse_message
    tolerant = importlib.import_module("hl7apy.consts").VALIDATION_LEVEL.TOLERANT

    def read(raw: bytes) -> list[str]:
        message: Any = parse(raw.decode(), validation_level=tolerant, find_groups=False)
        msh, pid = message.msh, message.pid
        fields = msh.msh_9.msh_9_2, msh.msh_10, pid.pid_3.pid_3_1, pid.pid_5.pid_5_1, pid.pid_5.pid_5_2, pid.pid_7
        return [field.to_er7() for field in fields]

    return read


def _python_hl7() -> Reader:
    parse = importlib.import_module("hl7").parse
    paths = ("MSH.F9.R1.C2", "MSH.F10", "PID.F3.R1.C1", "PID.F5.R1.C1", "PID.F5.R1.C2", "PID.F7")

    def read(raw: bytes) -> list[str]:
        message: Any = parse(raw.decode())
        return [str(message[path]) for path in paths]

    return read
