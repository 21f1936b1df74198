"""Bad input beside good traffic: each bad thing gets its clear answer, and a good sender does not notice.

The hub is no development hub: one partner is registered, everybody else is a stranger.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import psutil
import pytest

from .hub_process import CR, FS, VT, HubProcess, MllpConnection, adt, until

READ_TIMEOUT_SECONDS = 1.5
MEGABYTE = 1024 * 1024
PATIENT = {"resourceType": "Patient", "name": [{"family": "Quennell"}], "gender": "female"}


class GoodTraffic(threading.Thread):
    """One registered sender over one connection that never breaks; keeps the slowest answer."""

    def __init__(self, hub: HubProcess) -> None:
        super().__init__(daemon=True)
        self.hub, self.sent, self.codes, self.slowest_seconds = hub, 0, set(), 0.0
        self._leave = threading.Event()

    def leave(self) -> None:
        self._leave.set()
        self.join(30)

    def run(self) -> None:
        with self.hub.connect() as connection:
            while not self._leave.wait(0.02):
                self.sent += 1
                began = time.monotonic()
                self.codes.add(connection.send(good(f"GOOD{self.sent}")).code)
                self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - began)


def good(control_id: str) -> bytes:
    return adt(control_id, "MERCY", f"M{int(control_id[4:]) % 10}", phone=f"617555{control_id[4:]:0>4}")


@pytest.fixture(scope="module")
def hub(new_hub: Callable[..., HubProcess]) -> HubProcess:
    hub = new_hub(
        "production",
        HEALTHSYNC_HL7__MLLP__TLS="false",
        HEALTHSYNC_HL7__MLLP__READ_TIMEOUT_SECONDS=str(READ_TIMEOUT_SECONDS),
    )
    hub.start()
    hub.run("partner", "add", "mercy", "--facility", "MERCY", "--address", "127.0.0.1", "--json")
    return hub


@pytest.fixture(scope="module")
def traffic(hub: HubProcess) -> Iterator[GoodTraffic]:
    traffic = GoodTraffic(hub)
    traffic.start()
    until(lambda: traffic.sent > 3, "good messages are acknowledged")
    yield traffic
    traffic.leave()


@pytest.fixture(autouse=True)
def undisturbed(hub: HubProcess, traffic: GoodTraffic) -> Iterator[None]:
    """After each test: good messages have gone on being accepted, and nothing in the hub has broken."""
    before = traffic.sent
    yield
    until(lambda: traffic.sent > before + 3, "good traffic goes on", 15)
    assert traffic.codes == {"AA"}
    assert traffic.is_alive()
    assert traffic.slowest_seconds < 5
    assert "Traceback" not in hub.stderr()
    assert hub.is_ready()


@pytest.fixture
def connection(hub: HubProcess) -> Iterator[MllpConnection]:
    with hub.connect() as connection:
        yield connection


@pytest.fixture(scope="module")
def admin(hub: HubProcess) -> Iterator[httpx.Client]:
    with hub.client("admin") as client:
        yield client


# ---- HL7 v2


def test_bytes_that_are_no_frame_are_answered_when_their_sender_stops(connection):
    connection.socket.sendall(b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n" + bytes(range(32, 256)) * 50)
    connection.socket.shutdown(socket.SHUT_WR)
    answer = connection.answer()
    assert answer is not None
    assert answer.code == "AR"
    assert "MLLP" in answer.error


def test_bytes_between_frames_do_no_harm(connection):
    connection.socket.sendall(b"\r\n\x00\xff noise " + VT + good("GOOD900001") + FS + CR + b"more noise" + FS + CR)
    connection.post(good("GOOD900002"))
    answers = [connection.answer(), connection.answer()]
    assert [a and (a.code, a.control_id) for a in answers] == [("AA", "GOOD900001"), ("AA", "GOOD900002")]


def test_a_frame_of_100_megabytes_is_answered_at_its_limit_takes_no_memory_and_the_next_one_is_taken(hub, connection):
    process = psutil.Process(hub.pid)
    before = process.memory_info().rss
    connection.socket.sendall(VT + good("GOOD900003") + b"NTE|1||" + b"x" * 17 * MEGABYTE)
    answer = connection.answer()  # while the frame goes on
    assert answer is not None
    assert (answer.code, answer.control_id) == ("AR", "GOOD900003")
    for _ in range(83):
        connection.socket.sendall(b"x" * MEGABYTE)
    connection.socket.sendall(CR + FS + CR)
    assert connection.send(good("GOOD900010")).code == "AA"
    assert process.memory_info().rss - before < 80 * MEGABYTE
    assert [m["reason_code"] for m in dead(hub) if m["control_id"] == "GOOD900003"] == ["too-large"]


def test_a_frame_just_over_the_limit_is_answered_with_the_reason(connection):
    answer = connection.send(good("GOOD900004") + b"NTE|1||" + b"x" * 16 * MEGABYTE + CR)
    assert (answer.code, answer.control_id) == ("AR", "GOOD900004")
    assert "larger" in answer.error


def test_half_a_frame_is_answered_when_its_sender_hangs_up(hub, connection):
    connection.socket.sendall(VT + good("GOOD900005")[:150])
    connection.socket.shutdown(socket.SHUT_WR)
    answer = connection.answer()
    assert answer is not None
    assert (answer.code, answer.control_id) == ("AE", "GOOD900005")
    assert "send it again" in answer.error


def test_a_sender_of_one_byte_now_and_then_is_answered_and_cut_off(connection):
    began = time.monotonic()
    connection.socket.sendall(VT)
    message = good("GOOD900006")
    answer = None
    for n in range(len(message)):
        connection.socket.sendall(message[n : n + 1])
        if time.monotonic() - began > READ_TIMEOUT_SECONDS / 2:
            answer = connection.answer()
            break
        time.sleep(0.01)
    assert answer is not None
    assert answer.code == "AE"
    assert "GOOD900006".startswith(answer.control_id), "as far as it had come"
    assert connection.hung_up()
    assert READ_TIMEOUT_SECONDS - 0.1 < time.monotonic() - began < READ_TIMEOUT_SECONDS + 5


def test_a_sender_that_never_reads_its_answers_is_cut_off(hub):
    with MllpConnection(hub.mllp, timeout_seconds=READ_TIMEOUT_SECONDS * 6) as connection:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stranger = VT + adt("X", "S" * 4000, "1") + FS + CR
        with pytest.raises((ConnectionError, TimeoutError)):
            while True:
                connection.socket.sendall(stranger * 50)


def test_a_charset_that_is_not_what_the_message_says_is_accepted_with_a_warning(hub, connection):
    header, pid = good("GOOD900007").split(b"EVN")
    wrong = header.rstrip(CR) + b"||||||UNICODE UTF-8" + CR + b"EVN" + pid.replace(b"Doe", b"M\xfcller")
    answer = connection.send(wrong)
    assert (answer.code, answer.control_id) == ("AA", "GOOD900007")
    stored = [m for m in hub.lines("messages", "list", "--limit", "0") if m["control_id"] == "GOOD900007"]
    assert stored[0]["warnings"]


def test_an_unknown_charset_is_accepted_with_a_warning_or_refused_with_a_reason(connection):
    header, rest = good("GOOD900008").split(b"EVN")
    answer = connection.send(header.rstrip(CR) + b"||||||KLINGON" + CR + b"EVN" + rest)
    assert answer.control_id == "GOOD900008"
    assert answer.code == "AA" or "KLINGON" in answer.error


def test_an_unknown_partner_is_refused_and_nothing_of_it_is_kept(hub, connection):
    answer = connection.send(adt("STRANGER1", "ELSEWHERE", "1"))
    assert (answer.code, answer.control_id) == ("AR", "STRANGER1")
    assert "not registered" in answer.error
    assert [m for m in hub.lines("messages", "list", "--limit", "0") if m["control_id"] == "STRANGER1"] == []


@pytest.mark.parametrize(
    "content", [b"", b"\r", b"PID|1||1\r", b"MSH", b"MSH|", b"MS\x00|^~\\&|", b"\xff\xfe\x00" * 100, b"{}", b"<xml/>"]
)
def test_a_frame_without_a_usable_msh_is_refused(connection, content):
    answer = connection.send(content)
    assert answer.code == "AR"
    assert answer.error


def test_a_message_of_an_unsupported_type_becomes_a_dead_letter_with_its_reason(hub, connection):
    assert connection.send(good("GOOD900009").replace(b"ADT^A08^ADT_A01", b"ZZZ^Z99^ZZZ_Z99")).code == "AA"
    found = until(lambda: [m for m in dead(hub) if m["control_id"] == "GOOD900009"], "it is dead", every=0.3)
    assert found[0]["reason_code"] == "not-supported"
    assert "ZZZ^Z99" in found[0]["reason"]


def dead(hub: HubProcess) -> list[dict[str, str]]:
    return hub.lines("messages", "list", "--state", "dead", "--limit", "0")


# ---- HTTP


def outcome(response: httpx.Response) -> dict[str, str]:
    """The first issue of the OperationOutcome that every refusal is."""
    resource = response.json()
    assert resource["resourceType"] == "OperationOutcome"
    return resource["issue"][0]


@pytest.mark.parametrize(
    "authorization",
    ["Bearer nonsense", "Bearer hs_0123456789abcdef_AAAA", "Basic YTpi", "Bearer", "Bearer ..", "Bearer a.b.c"],
)
def test_an_invalid_token_is_refused(hub, authorization):
    response = httpx.get(f"http://{hub.http}/fhir/Patient", headers={"Authorization": authorization})
    assert response.status_code == 401
    assert outcome(response)["code"] in {"login", "security", "unknown"}
    assert "Bearer" in response.headers["WWW-Authenticate"]


def test_no_token_is_refused(hub):
    assert httpx.get(f"http://{hub.http}/fhir/Patient").status_code == 401


@pytest.mark.parametrize("purpose", ["NONSENSE", "HMARKT", "TREAT,HMARKT"])
def test_a_wrong_purpose_is_refused(admin, purpose):
    response = admin.get("/fhir/Patient", headers={"X-Purpose": purpose})
    assert response.status_code in {400, 403}
    assert outcome(response)["diagnostics"]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'{"resourceType":"Patient"', b'{"resourceType":"Patient","resourceType":"Patient"}',
        b'{"resourceType":"Patient","birthDate":"yesterday"}', b'{"resourceType":"Patient","gender":NaN}',
        b'{"resourceType":"Patient","nonsense":1}', b'{"resourceType":"Nonsense"}', b"\xff\xfe", b"[" * 100_000,
        b'{"resourceType":"Patient","id":"\\ud800"}', b'{"resourceType":"Patient","name":[{"family":"\\u0000"}]}',
    ],
)  # fmt: skip
def test_malformed_json_and_broken_resources_are_refused_with_the_place(admin, body):
    response = admin.post("/fhir/Patient", content=body)
    assert response.status_code in {400, 422}
    assert outcome(response)["diagnostics"]


def test_a_body_that_is_too_large_is_refused(admin):
    response = admin.post("/fhir/Patient", content=(b" " * MEGABYTE for _ in range(65)))
    assert response.status_code in {400, 413}
    assert outcome(response)["code"] == "too-long"


@pytest.mark.parametrize(("method", "status"), [("TRACE", 405), ("OPTIONS", 405), ("BREW", 400)])
def test_an_unknown_method_is_refused(admin, method, status):
    assert admin.request(method, "/fhir/Patient/x").status_code == status


@pytest.mark.parametrize(
    "path", ["/nowhere", "/fhir/Nonsense", "/fhir/Patient/..%2f..%2fetc", "/fhir/Patient/" + "x" * 65]
)
def test_an_address_that_is_none_is_not_found(admin, path):
    response = admin.get(path)
    assert response.status_code == 404
    assert outcome(response)["code"] == "not-found"


def test_a_body_in_another_format_is_refused(admin):
    assert (
        admin.post("/fhir/Patient", content=b"<Patient/>", headers={"Content-Type": "application/xml"}).status_code
        == 415
    )


def test_an_unknown_search_parameter_is_refused(admin):
    response = admin.get("/fhir/Patient", params={"nonsense": "1"})
    assert response.status_code == 400
    assert "nonsense" in outcome(response)["diagnostics"]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"NONSENSE\r\n\r\n",
        b"GET /fhir/Patient HTTP/1.1\r\n" + b"X: y\r\n" * 50_000,
        b"GET /fhir/Patient/\xff HTTP/1.1\r\n\r\n",
        b"GET /fhir/Patient HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
    ids=["TLS", "nonsense", "a head without end", "a path that is no text", "two lengths"],
)
def test_bytes_that_are_no_http_end_their_connection_only(hub, request_bytes):
    host, _, port = hub.http.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        try:
            raw.sendall(request_bytes)
            received = raw.recv(65536)
        except ConnectionError:
            received = b""
    assert received == b"" or received.startswith(b"HTTP/1.1 4")


def test_a_request_that_ends_before_its_body_disturbs_nobody(hub, admin):
    host, _, port = hub.http.rpartition(":")
    head = f"POST /fhir/Patient HTTP/1.1\r\nHost: {hub.http}\r\nAuthorization: {admin.headers['Authorization']}\r\n"
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        raw.sendall(f"{head}Content-Type: application/fhir+json\r\nContent-Length: 1000\r\n\r\n{{".encode())
    assert admin.post("/fhir/Patient", content=json.dumps(PATIENT)).status_code == 201
