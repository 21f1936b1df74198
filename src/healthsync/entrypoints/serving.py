"""A running hub: which parts run in this process, how they start, and how they stop without losing anything.

One command runs everything: this process takes requests and messages, and starts worker processes that turn accepted
messages into records. `role` runs one part alone, for a hub spread over machines with one database.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from healthsync.bootstrap import Hub, open_hub
from healthsync.entrypoints.mllp import MllpServer, tls_context
from healthsync.entrypoints.web.application import Application
from healthsync.entrypoints.web.server import WebServer
from healthsync.entrypoints.worker import Worker
from healthsync.entrypoints.worker.fanning import Fanning
from healthsync.entrypoints.worker.handlers import load_application, run_handlers
from healthsync.entrypoints.worker.importing import start_helper
from healthsync.entrypoints.worker.jobs import JobWorker
from healthsync.entrypoints.worker.sending import Sending
from healthsync.entrypoints.worker.telling import Telling
from healthsync.errors import HealthSyncError
from healthsync.exchange.administration.replay_messages import asked_by
from healthsync.infrastructure.telemetry import logger, metrics
from healthsync.sdk.transports import InsideTransport
from healthsync.settings import Settings, environment_with

_log = logger(__name__)
_RESTART_SECONDS = 1.0
_STOP_SECONDS = 15.0
_METRICS_SECONDS = 2.0
_OBSERVE_SECONDS = 10.0
_OBJECTS_BETWEEN_SEARCHES = 5_000
_METRICS_FOLDER = Path("run/metrics")


class Role(StrEnum):
    """What a process does."""

    ALL = "all"
    API = "api"
    MLLP = "mllp"
    WORKER = "worker"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a hub listens, as HOST:PORT; None for a part that does not run here."""

    http: str | None
    mllp: str | None


async def serve(
    data_folder: Path,
    settings: Settings,
    *,
    role: Role = Role.ALL,
    attached: bool = False,
    database_url: str | None = None,
    worker_options: Sequence[str] = (),
    app: str | None = None,
    ready: Callable[[Addresses, Hub], Any],
    stop: asyncio.Event | None = None,
) -> None:
    """Run a hub until SIGTERM, SIGINT or `stop`; `attached` is a worker that another hub process started, `app`
    (MODULE:NAME) a `HealthSync` whose handlers the workers run.

    The order of stopping: no new messages and requests, those under way are finished, then workers, then the audit
    log's last head, then the database.
    """
    stop = stop or asyncio.Event()
    handlers = load_application(app) if app else None  # one that cannot be loaded starts no hub
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    owner = "command" if attached else "serve"
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(open_hub(data_folder, database_url, settings=settings, owner=owner))
        http = mllp = None
        if role is not Role.WORKER:
            for stale in _snapshots(data_folder):  # of workers of a hub that was killed
                stale.unlink(missing_ok=True)
            _in_background(stack, hub.audit.sequencer.run(settings.audit.head_interval_seconds), "audit-sequencer")
            stack.push_async_callback(_last_head, hub)
        if role is Role.ALL:
            environment = environment_with({"database.url": database_url} if database_url else {})
            workers = WorkerProcesses(settings.worker.process_count, data_folder, worker_options, environment)
            _in_background(stack, workers.run(), "worker-processes")
            stack.push_async_callback(workers.stop)
        if role is Role.WORKER:
            hub.bulk_import.start_helper = partial(
                start_helper, data_folder, database_url, insecure_development=settings.development
            )
            worker = Worker(hub.process_message, hub.database, batch_size=settings.worker.batch_size)
            work = asyncio.create_task(worker.run(stop), name="worker")
            stack.push_async_callback(lambda: asyncio.wait([work], timeout=_STOP_SECONDS))
            retire = partial(hub.keep_raw.retire, asked_by("worker", "retire-messages"))
            hourly = (retire, hub.escalate_reviews)
            long_work = asyncio.create_task(JobWorker(hub.jobs, hub.database, hourly=hourly).run(stop), name="jobs")
            stack.push_async_callback(lambda: asyncio.wait([long_work], timeout=_STOP_SECONDS))
            sending = Sending(hub.send_message, hub.deliver_messages, hub.database)
            sent = asyncio.create_task(sending.run(stop), name="sending")
            stack.push_async_callback(lambda: asyncio.wait([sent], timeout=_STOP_SECONDS))
            telling = asyncio.create_task(Telling(hub.notify_subscribers, hub.database).run(stop), name="telling")
            stack.push_async_callback(lambda: asyncio.wait([telling], timeout=_STOP_SECONDS))
            fanning = asyncio.create_task(Fanning(hub.fan_out, hub.database).run(stop), name="fan-out")
            stack.push_async_callback(lambda: asyncio.wait([fanning], timeout=_STOP_SECONDS))
            if handlers is not None:
                transport = InsideTransport(Application(hub, lambda: _readiness(hub)))
                handling = asyncio.create_task(run_handlers(handlers, transport, stop), name="handlers")
                stack.push_async_callback(lambda: asyncio.wait([handling], timeout=_STOP_SECONDS))
            _in_background(stack, _tell_metrics(data_folder), "metrics")
        if role in (Role.ALL, Role.API):
            _in_background(stack, _observe_deliveries(hub), "observe-deliveries")
            served = Application(hub, lambda: _readiness(hub), lambda: _snapshots(data_folder))
            web = WebServer(served, settings.http.host, settings.http.port, settings.http.tls)
            http = await web.start()
            stack.push_async_callback(web.stop)
            stack.push_async_callback(hub.deliveries.end_waiting)
        if role in (Role.ALL, Role.MLLP):
            _in_background(stack, hub.application_answers.run(), "application-answers")
            server = _mllp_server(hub, settings)
            mllp = await server.start()
            stack.push_async_callback(server.stop)
        keep_for_good()
        ready(Addresses(_place(http), _place(mllp)), hub)
        await stop.wait()


def keep_for_good() -> None:
    """What the hub is made of by now, 120,000 objects, stays until it ends. A search for cycles went through all of it
    again and again, a tenth of a second each time in which no request was answered. What requests make has next to no
    cycles and is freed with them, so that it is searched less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_SEARCHES, 10, 10)


def _mllp_server(hub: Hub, settings: Settings) -> MllpServer:
    mllp = settings.mllp
    context = None
    if mllp.tls.enabled:
        context = tls_context(
            mllp.tls.certificate,
            mllp.tls.key,
            mllp.tls.client_ca,
            require_client_certificate=mllp.tls.require_client_certificate,
        )
    return MllpServer(
        hub.receive_message,
        mllp.host,
        mllp.port,
        ssl_context=context,
        max_message_bytes=mllp.max_message_bytes,
        idle_timeout_seconds=mllp.idle_timeout_seconds,
        read_timeout_seconds=mllp.read_timeout_seconds,
        max_connections=mllp.max_connections,
    )


async def _readiness(hub: Hub) -> dict[str, bool]:
    """What the hub needs to do its work, and whether it is there."""
    try:
        async with asyncio.timeout(2):
            await hub.database.ping()
        return {"database": True}
    except (HealthSyncError, TimeoutError):
        return {"database": False}


async def _last_head(hub: Hub) -> None:
    """Sign what the last requests recorded, so that the log is complete when the hub is down."""
    try:
        await hub.audit.sequencer.catch_up()
    except HealthSyncError as problem:
        _log.warning("the audit log was not sequenced at the end", error=type(problem).__name__)


def _snapshots(data_folder: Path) -> list[Path]:
    """Where the worker processes of this data folder leave what they counted."""
    return list((data_folder / _METRICS_FOLDER).glob("*.prom"))


async def _tell_metrics(data_folder: Path) -> None:
    """Prometheus asks one process; a worker leaves its counts where that one finds them."""
    file = data_folder / _METRICS_FOLDER / f"{os.getpid()}.prom"
    try:
        while True:
            metrics.write_snapshot(file)
            await asyncio.sleep(_METRICS_SECONDS)
    finally:
        file.unlink(missing_ok=True)


async def _observe_deliveries(hub: Hub) -> None:
    """Queues belong to the hub, not to a process: only the one that Prometheus asks tells of them, or the counts of
    several would be added up."""
    while True:
        try:
            await hub.deliver_messages.observe()
        except HealthSyncError as problem:
            _log.debug("the queues of destinations were not counted", error=type(problem).__name__)
        await asyncio.sleep(_OBSERVE_SECONDS)


def _in_background(stack: AsyncExitStack, work: Any, name: str) -> None:
    task = asyncio.create_task(work, name=name)

    async def end() -> None:
        task.cancel()
        await asyncio.wait([task])

    stack.push_async_callback(end)


def _place(address: tuple[str, int] | None) -> str | None:
    if address is None:
        return None
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class WorkerProcesses:
    """Worker processes of this hub: started, restarted when they die, stopped with the hub, gone when it is killed."""

    def __init__(self, count: int, data_folder: Path, options: Sequence[str], environment: Mapping[str, str]) -> None:
        self._count, self._data_folder, self._options, self._environment = count, data_folder, options, environment
        self._processes: set[asyncio.subprocess.Process] = set()
        self._stopping = False

    async def run(self) -> None:
        """Keep `count` workers running until cancelled."""
        await asyncio.gather(*(self._keep_one() for _ in range(self._count)))

    async def stop(self) -> None:
        """End the workers; each finishes the batch under way."""
        self._stopping = True
        for process in self._processes:
            process.terminate()
        ends = [asyncio.ensure_future(process.wait()) for process in self._processes]
        if ends:
            _, late = await asyncio.wait(ends, timeout=_STOP_SECONDS)
            if late:
                for process in self._processes:
                    process.kill()

    async def _keep_one(self) -> None:
        while not self._stopping:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "healthsync", "serve", "--role", "worker",
                "--attached", "--data", str(self._data_folder), *self._options,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, preexec_fn=die_with(os.getpid()),
            )  # fmt: skip
            self._processes.add(process)
            code = await process.wait()
            self._processes.discard(process)
            if not self._stopping:
                _log.warning("a worker process ended; it is started again", exit_code=code)
                await asyncio.sleep(_RESTART_SECONDS)


def die_with(parent: int) -> Callable[[], None]:
    """PR_SET_PDEATHSIG: a worker without its hub would keep the database from being stopped (Linux only)."""

    def prepare() -> None:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)
            if os.getppid() != parent:  # it died before the call
                os._exit(1)

    return prepare
