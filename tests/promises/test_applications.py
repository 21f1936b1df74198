"""Applications of the SDK on real hubs: the example of the requirements, inside and beside the hub, and what kill -9 of
either side leaves behind."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from .hub_process import HEALTHSYNC, HubProcess, MllpConnection, oru, until

ROOT = Path(__file__).resolve().parents[2]
SPEC = ROOT.parent / "shared" / "spec" / "sdk_example_lab_results.py"
API = "/api/v1/healthsync"


def critical(control_id: str, mrn: str, value: int) -> bytes:
    return oru(control_id, "MERCY", mrn, value=value).replace(b"|g/dL|||||F", b"|g/dL|12-16|LL|||F")


@pytest.fixture(scope="module")
def folder(place: Path) -> Path:
    """Where the programs lie, and their hub."""
    folder = place / "programs"
    folder.mkdir()
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def known_hub(folder: Path, new_hub: Callable[..., HubProcess]) -> HubProcess:
    """A hub with a key for the programs in its environment."""
    hub = new_hub(
        "programs/hub",
        "--development",
        HEALTHSYNC_WORKER__PROCESSES="1",
        HEALTHSYNC_APPLICATIONS__LEASE_SECONDS="2",
        HEALTHSYNC_APPLICATIONS__BACKOFF_SECONDS="0.1",
        HEALTHSYNC_APPLICATIONS__MAX_ATTEMPTS="3",
    )
    hub.environment["HEALTHSYNC_API_KEY"] = hub.ask("client", "create", "lab", "--role", "system")["api_key"]
    return hub


@pytest.fixture
def hub(known_hub: HubProcess) -> Iterator[HubProcess]:
    """The hub, which a test starts as it needs it."""
    yield known_hub
    if known_hub.is_running:
        known_hub.stop()


@pytest.fixture
def beside(folder: Path, hub: HubProcess) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a program beside the hub; what it leaves running is ended."""
    with ExitStack() as stack:

        def start(*command: str) -> subprocess.Popen[bytes]:
            environment = {**os.environ, **hub.environment, "HEALTHSYNC_URL": f"http://{hub.http}"}
            with (folder / "program.err").open("ab") as err:
                program = subprocess.Popen(command, cwd=folder, env=environment, stderr=err)
            stack.callback(program.wait, 20)
            stack.callback(program.kill)
            return program

        yield start


def write(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.py").write_text(text)


def example(folder: Path) -> None:
    """The example of the requirements as it stands, with the two imports that it needs."""
    if not SPEC.is_file():
        pytest.skip("the requirements do not stand beside this checkout")
    write(folder, "lab_results", f"import os\nfrom datetime import datetime\n\n{SPEC.read_text()}")


def listening(hub: HubProcess, client: httpx.Client, application: str) -> None:
    """Until the application has registered its handlers."""
    until(lambda: client.get(f"{API}/applications/{application}").status_code == 200, "the handlers are registered")


def own_client(hub: HubProcess) -> httpx.Client:
    return hub.client_with(hub.environment["HEALTHSYNC_API_KEY"])


def alerts(client: httpx.Client) -> list[dict[str, Any]]:
    return client.get(f"{API}/alerts?count=1000").json()["alerts"]


def publications(client: httpx.Client, topic: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = 0
    while page := (answer := client.get(f"{API}/streams/{topic}?after={after}&count=1000").json())["publications"]:
        found += page
        after = answer["position"]
    return found


def did_what_the_example_says(client: httpx.Client, sender: MllpConnection, place: str) -> None:
    """The first of two results is critical; patients are those of this place."""
    one, other = f"{place}-1", f"{place}-2"
    assert sender.send(critical(f"{place}-C1", one, 7)).code == "AA"
    assert sender.send(oru(f"{place}-C2", "MERCY", other, value=14)).code == "AA"
    (alert,) = until(lambda: [a for a in alerts(client) if a.get("patient_mrn") == one], "the alert is there")
    result = {
        "test_code": "718-7",
        "test_name": "Hemoglobin",
        "value": "7",
        "units": "g/dL",
        "reference_range": "12-16",
        "abnormal_flag": "LL",
    }
    assert (alert["type"], alert["result"]) == ("critical_lab", result)
    assert alert["recipients"] == ["ordering_physician", "lab_director"]
    assert len(alert["patients"]) == 1

    def published() -> dict[str, Any]:
        payloads = [one["payload"] for one in publications(client, "lab_results")]
        return {payload["patient_mrn"]: payload for payload in payloads}

    by_mrn = until(lambda: {one, other} <= set(found := published()) and found, "both results are published")
    assert by_mrn[one]["results"] == [result]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d)", by_mrn[one]["received_at"])
    until(
        lambda: not any(one["waiting"] for one in client.get(f"{API}/applications/lab_results").json()["handlers"]),
        "nothing waits",
    )


def test_the_example_of_the_requirements_runs_inside_the_hub(folder, hub):
    example(folder)
    hub.start("--app", "lab_results:hs", cwd=folder)
    with own_client(hub) as client, hub.connect() as sender:
        listening(hub, client, "lab_results")
        did_what_the_example_says(client, sender, "IN")
    assert "Traceback" not in hub.stderr()


def test_the_example_of_the_requirements_runs_beside_the_hub(folder, hub, beside):
    example(folder)
    hub.start()
    program = beside(*HEALTHSYNC, "handlers", "run", "lab_results:hs")
    with own_client(hub) as client, hub.connect() as sender:
        listening(hub, client, "lab_results")
        did_what_the_example_says(client, sender, "BESIDE")
    program.send_signal(signal.SIGTERM)
    assert program.wait(20) == 0


def test_our_own_example_does_the_same_as_a_script(folder, hub, beside):
    write(folder, "lab_results", (ROOT / "examples" / "lab_results.py").read_text())
    hub.start()
    program = beside(sys.executable, "lab_results.py")
    with own_client(hub) as client, hub.connect() as sender:
        listening(hub, client, "lab_results")
        did_what_the_example_says(client, sender, "OWN")
    program.send_signal(signal.SIGINT)
    assert program.wait(20) == 0


FAILING = """
from healthsync import HealthSync, HL7Parser

hs = HealthSync()

@hs.on_hl7('ORU^*')
def picky(message):
    if HL7Parser(message).get('PID.3') == 'BAD':
        raise ValueError('Quennell is not welcome')
    hs.publish('handled', HL7Parser(message).control_id)

@hs.on_hl7('*', timeout_seconds=1)
def slow(message):
    import time
    if HL7Parser(message).get('PID.3') == 'SLOW':
        time.sleep(60)

@hs.on('patient.created')
def created(event):
    hs.publish('people', hs.to_fhir(event.data)['id'])
"""


def test_a_handler_that_fails_or_hangs_ends_as_its_own_dead_letter_and_holds_nobody_up(folder, hub):
    write(folder, "failing", FAILING)
    hub.start("--app", "failing:hs", cwd=folder)
    with own_client(hub) as client, hub.connect() as sender:
        listening(hub, client, "failing")
        for number, mrn in enumerate(("BAD", "GOOD", "BAD", "SLOW", "GOOD"), 1):
            assert sender.send(oru(f"C{number}", "MERCY", mrn, value=number)).code == "AA"

        def dead() -> list[dict[str, Any]]:
            return client.get(f"{API}/applications/failing/dead").json()["dead"]

        until(lambda: len(dead()) == 3, "the dead letters are there")
        letters = hub.lines("handlers", "dead", "--application", "failing")
        told = sorted((one["handler"], one["name"], one["attempts"], one["reason_code"]) for one in letters)
        assert told == [("picky", "ORU^R01", 3, "ValueError")] * 2 + [("slow", "ORU^R01", 3, "timeout")]
        assert {one["payload"] for one in publications(client, "handled")} == {"C2", "C4", "C5"}
        people = until(lambda: len(p := publications(client, "people")) == 3 and p, "three patients were told of")
        for one in people:
            assert client.get(f"/fhir/Patient/{one['payload']}").status_code == 200
        replayed = hub.ask("handlers", "replay", "--all", "--application", "failing")["replayed"]
        assert len(replayed) == 3
        until(lambda: len(dead()) == 3, "they fail again")
    states = {one["name"]: one for one in hub.lines("handlers", "list", "--application", "failing")}
    assert (states["picky"]["dead"], states["slow"]["dead"], states["created"]["waiting"]) == (2, 1, 0)
    assert "Quennell" not in hub.stderr()
    hub.stop()
    hub.run("handlers", "remove", "failing")
    assert hub.lines("handlers", "list", "--application", "failing") == []


COUNTING = """
import os, time
from healthsync import HealthSync, HL7Parser

hs = HealthSync(concurrency=4)

@hs.on_hl7('ORU^R01')
def count(message):
    control_id = HL7Parser(message).control_id
    with open('calls', 'a') as calls:
        calls.write(f'{control_id}\\n')
    hs.alerts.send(type='critical_lab', control_id=control_id)
    time.sleep(0.01)

if __name__ == '__main__':
    hs.run()
"""
PATIENTS, EACH = 5, 16


def counted(client: httpx.Client) -> list[dict[str, Any]]:
    return [alert for alert in alerts(client) if "control_id" in alert]


@pytest.mark.slow
def test_kill_of_either_side_loses_no_message_keeps_the_order_and_sends_each_alert_once(folder, hub, beside):
    write(folder, "counting", COUNTING)
    hub.start()
    chance = random.Random(20261127)
    program = beside(sys.executable, "counting.py")
    with own_client(hub) as client:
        listening(hub, client, "counting")
    with MllpConnection(hub.mllp) as sender:
        for number in range(EACH):
            for patient in range(PATIENTS):
                assert sender.send(oru(f"P{patient}-{number}", "MERCY", f"P{patient}", value=number)).code == "AA"
    for what in ("program", "hub", "program", "worker", "program"):
        time.sleep(chance.uniform(0.2, 0.8))
        if what == "program":
            program.kill()
            program.wait(10)
            program = beside(sys.executable, "counting.py")
        elif what == "worker":
            for pid in hub.worker_pids():
                os.kill(pid, signal.SIGKILL)
        else:
            hub.kill()
            until(lambda: not hub.worker_pids(), "the workers of the killed hub end")
            port = hub.http
            hub.start("--http", port)
    with own_client(hub) as client:
        sent = until(
            lambda: len(a := counted(client)) >= PATIENTS * EACH and a, "every message was handled", 90, every=0.5
        )
        until(
            lambda: not any(one["waiting"] for one in client.get(f"{API}/applications/counting").json()["handlers"]),
            "nothing waits",
        )
        assert sorted(one["control_id"] for one in counted(client)) == sorted(one["control_id"] for one in sent)
    assert sorted(one["control_id"] for one in sent) == sorted(
        f"P{p}-{n}" for p in range(PATIENTS) for n in range(EACH)
    )
    first_calls: dict[str, list[int]] = defaultdict(list)
    for line in dict.fromkeys((folder / "calls").read_text().split()):
        patient, _, number = line.partition("-")
        first_calls[patient].append(int(number))
    assert dict(first_calls) == {f"P{p}": list(range(EACH)) for p in range(PATIENTS)}
    assert hub.lines("handlers", "dead", "--application", "counting") == []
