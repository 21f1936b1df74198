"""Subscribers of a real hub are told of everything in order, though workers are killed while they tell."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from .hub_process import HubProcess, until

pytestmark = pytest.mark.slow

PATIENTS = 24


class _Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(0.02)  # so that a kill meets a notification under way
        self.server.told.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def receiver() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    server.told = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_kill_9_between_commit_and_delivery_loses_no_notification_and_keeps_the_order(
    new_hub: Callable[..., HubProcess], receiver: ThreadingHTTPServer
):
    hub = new_hub(
        "subscriptions", "--development",
        HEALTHSYNC_SUBSCRIPTIONS__ALLOWED_HOSTS="[127.0.0.1]", HEALTHSYNC_SUBSCRIPTIONS__TIMEOUT_SECONDS="1",
    )  # fmt: skip
    hub.start()
    client = hub.client()
    subscription = {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "test",
        "criteria": "Patient?active=true",
        "channel": {
            "type": "rest-hook",
            "endpoint": f"http://127.0.0.1:{receiver.server_address[1]}",
            "payload": "application/fhir+json",
        },
    }
    place = client.post("/fhir/Subscription", json=subscription).json()["id"]
    until(lambda: client.get(f"/fhir/Subscription/{place}").json()["status"] == "active", "the subscription is active")
    written = []
    for number in range(PATIENTS):
        patient = {"resourceType": "Patient", "active": True, "identifier": [{"system": "urn:x", "value": f"{number}"}]}
        written.append("/Patient/" + client.post("/fhir/Patient", json=patient).json()["id"])
        if number == PATIENTS // 2:
            for pid in hub.worker_pids():
                os.kill(pid, signal.SIGKILL)
    until(lambda: set(written) <= set(receiver.told), "every patient is told")
    assert list(dict.fromkeys(receiver.told)) == written
