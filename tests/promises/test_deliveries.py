"""A message to a partner is never lost, and never overtaken, though the processes that send it are killed."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from healthsync.standards.hl7v2 import Message, MllpDecoder, frame

from .hub_process import HubProcess, until

_BOOKINGS = 12
_KILLED_AT = (3,)
"""The partner holds its answer to these messages back until the process that sent them is dead."""


class Partner:
    """A receiver in threads. `before_answer` runs when a message has come and before it is answered."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.before_answer = lambda _count: None
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        decoder = MllpDecoder()
        try:
            while data := connection.recv(65536):
                for item in decoder.feed(data):
                    assert isinstance(item, bytes)
                    control_id = Message.parse(item).control_id
                    self.ids.append(control_id)
                    self.before_answer(len(self.ids))
                    connection.sendall(
                        frame(f"MSH|^~\\&|P|P|H|H|20260301||ACK|1|P|2.5.1\rMSA|AA|{control_id}\r".encode())
                    )
        except OSError:
            return

    def close(self) -> None:
        self._server.close()


@pytest.fixture
def partner() -> Iterator[Partner]:
    partner = Partner()
    yield partner
    partner.close()


def test_a_killed_worker_loses_nothing_keeps_the_order_and_repeats_the_message_in_flight_only(
    hub: HubProcess, partner: Partner
) -> None:
    def kill(count: int) -> None:
        if count in _KILLED_AT:
            workers = hub.worker_pids()
            for pid in workers:
                os.kill(pid, signal.SIGKILL)
            until(lambda: not set(workers) & set(hub.worker_pids()), "they are dead", 10)

    hub.run("destination", "add", "booking", "--host", "127.0.0.1", "--port", str(partner.port), "--message", "SIU^S12")
    hub.run("destination", "pause", "booking")
    with hub.client() as client:
        number = {"system": "urn:oid:1.2.3", "value": "MRN-1"}
        patient = client.post("/fhir/Patient", json={"resourceType": "Patient", "identifier": [number]}).json()
        for place in range(_BOOKINGS):
            client.post("/fhir/Appointment", json={
                "resourceType": "Appointment", "status": "booked", "description": str(place),
                "start": "2026-05-06T09:00:00Z", "end": "2026-05-06T09:30:00Z",
                "participant": [{"actor": {"reference": f"Patient/{patient['id']}"}, "status": "accepted"}],
            }).raise_for_status()  # fmt: skip
    until(lambda: hub.ask("destination", "show", "booking")["waiting"] == _BOOKINGS, "all of it waits", every=0.3)
    queued = [d["control_id"] for d in reversed(hub.lines("destination", "dead", "booking", "--state", "waiting"))]
    partner.before_answer = kill
    hub.run("destination", "resume", "booking")
    until(lambda: hub.ask("destination", "show", "booking")["waiting"] == 0, "all of it is delivered", 90, every=0.5)
    assert list(dict.fromkeys(partner.ids)) == queued, "in order, nothing lost"
    repeated = [id_ for place, id_ in enumerate(partner.ids) if id_ in partner.ids[:place]]
    assert len(repeated) == len(_KILLED_AT), "each kill repeats the message in flight, and no other"
    places = [partner.ids.index(id_) for id_ in repeated]
    assert [partner.ids[place + 1] for place in places] == repeated, "at once, before any younger one"
