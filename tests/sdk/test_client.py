"""What a program may register and say, without a hub."""

from __future__ import annotations

import enum
import json
import subprocess
import sys
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

import healthsync
from healthsync import AsyncHealthSync, HealthcareInterop, HealthSync, HL7Parser
from healthsync.errors import ConfigurationError, InvalidInput
from healthsync.sdk.values import encode

ORU = (
    "MSH|^~\\&|LAB|MERCY|HUB|HIE|20260301120000||ORU^R01^ORU_R01|C^1|P|2.5.1\rPID|1||M1^^^MERCY^MR||Quennell^Ottoline\r"
    "OBR|1||7|2823-3^Potassium^LN|||20260301\rOBX|1|NM|2823-3^Potassium^LN||6.8|mmol/L|||||F\r"
)


def test_importing_the_sdk_loads_no_web_framework_and_no_database_driver():
    heavy = ["starlette", "uvicorn", "asyncpg", "httpcore", "anyio", "yaml", "jsonschema_rs", "structlog"]
    program = (
        "import sys; from healthsync import HealthSync, AsyncHealthSync, HL7Parser;"
        f"hs = HealthSync(api_key='x'); print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_offers_what_it_names():
    assert all(getattr(healthsync, name) is not None for name in healthsync.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        healthsync.Nothing  # noqa: B018


@pytest.mark.parametrize("face", [HealthSync, AsyncHealthSync])
def test_what_comes_later_says_so(face):
    with pytest.raises(AttributeError, match="clinical decision support comes later"):
        face(api_key="x").cds  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'alert'"):
        face(api_key="x").alert  # noqa: B018


def test_decorated_functions_stay_what_they_are_and_gather_what_they_want():
    hs = HealthSync(api_key="x")

    @hs.on("patient.merged")
    @hs.on_hl7("ORU^R01", "ORU^R30")
    def handle(message):
        return message

    assert handle(7) == 7
    assert hs.core.registry.handlers["handle"].wants == ("hl7:ORU^R01", "hl7:ORU^R30", "event:patient.merged")


def test_two_handlers_cannot_share_a_name_because_it_holds_their_place():
    hs = HealthSync(api_key="x")
    hs.on_hl7("*", name="one")(print)
    with pytest.raises(ConfigurationError, match="another name"):
        hs.on_hl7("*", name="one")(len)


def test_a_handler_says_what_it_is_for():
    with pytest.raises(ConfigurationError, match="what the handler is for"):
        HealthSync(api_key="x").on_hl7()


def test_without_a_key_the_first_call_says_how_to_get_one(monkeypatch):
    monkeypatch.delenv("HEALTHSYNC_API_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="healthsync client create"):
        HealthSync().publish("t", 1)


def test_without_handlers_there_is_nothing_to_run():
    with pytest.raises(ConfigurationError, match="no handler is registered"):
        HealthSync(api_key="x").run()


# --- acknowledgements -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["AA", "AE", "AR"])
def test_an_acknowledgement_repeats_the_control_id_and_goes_back_to_the_sender(code):
    ack = HealthSync(api_key="x").hl7.ack(ORU, code)
    parsed = HL7Parser(str(ack))
    assert (ack.code, parsed.get("MSA-1"), parsed.segments("MSA")[0][2]) == (code, code, "C")
    assert str(ack).count("C^1") == 1  # MSA-2 is MSH-10 character for character
    assert (parsed.get("MSH-5"), parsed.get("MSH-6"), parsed.message_type) == ("LAB", "MERCY", "ACK^R01")
    assert bool(parsed.segments("ERR")) is (code != "AA")


@pytest.mark.parametrize("code", ["CA", "CE", "CR", "", "OK"])
def test_the_accept_acknowledgement_is_the_hubs_to_give(code):
    with pytest.raises(InvalidInput, match="AA, AE or AR"):
        HealthSync(api_key="x").hl7.ack(ORU, code)


# --- conversion -------------------------------------------------------------------------------------------------


def test_to_fhir_turns_a_message_into_a_bundle_with_stable_ids():
    hs = HealthSync(api_key="x")
    bundle = hs.to_fhir(ORU)
    types = [entry["resource"]["resourceType"] for entry in bundle["entry"]]
    assert {"Patient", "Observation"} <= set(types)
    assert bundle["type"] == "collection"
    assert bundle["entry"][0]["resource"]["id"] == hs.to_fhir(HL7Parser(ORU))["entry"][0]["resource"]["id"]


def test_to_fhir_takes_a_record_and_leaves_a_resource_as_it_is():
    hs = HealthSync(api_key="x")
    assert hs.to_fhir({"firstName": "John", "lastName": "Doe"})["resourceType"] == "Patient"
    assert hs.to_fhir({"resourceType": "Basic"}) == {"resourceType": "Basic"}


def test_to_fhir_refuses_what_has_no_map_or_is_none_of_these():
    hs = HealthSync(api_key="x")
    with pytest.raises(InvalidInput, match="unsupported message type"):
        hs.to_fhir(ORU.replace("ORU^R01^ORU_R01", "ZZZ^Z01"))
    with pytest.raises(InvalidInput):
        hs.to_fhir(7)


def test_the_helpers_stand_under_the_name_of_the_requirements():
    adt = HealthcareInterop.create_hl7_adt({"mrn": "1", "firstName": "John"}, "A04")
    assert HealthcareInterop.extract_patient_from_hl7(adt) == {"mrn": "1", "firstName": "John"}


# --- values -----------------------------------------------------------------------------------------------------


class Flag(enum.Enum):
    HIGH = "HH"


@dataclass
class Result:
    code: str
    at: datetime


def test_what_a_program_has_becomes_json():
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    value = {
        "at": at,
        "on": date(2026, 3, 1),
        "number": Decimal("72.50"),
        "id": uuid.UUID(int=1),
        "flag": Flag.HIGH,
        "result": Result("x", at),
        "set": {1},
        "tuple": (1, None, True),
        "bytes": b"ab",
    }
    text = encode(value).decode()
    assert '"number":72.50' in text
    read = json.loads(text)
    assert (read["at"], read["on"], read["flag"], read["set"]) == ("2026-03-01T12:00:00Z", "2026-03-01", "HH", [1])
    assert (read["result"]["code"], read["tuple"], read["bytes"]) == ("x", [1, None, True], "YWI=")


def test_a_time_without_a_zone_is_local_time():
    written = datetime.fromisoformat(json.loads(encode(datetime(2026, 3, 1, 12))))  # noqa: DTZ001
    assert written.utcoffset() is not None
    assert written == datetime(2026, 3, 1, 12).astimezone()
    assert abs(written - datetime(2026, 3, 1, 12, tzinfo=UTC)) < timedelta(days=1)


@pytest.mark.parametrize("value", [object(), {"x": lambda: 1}, {1j: 2}])
def test_what_json_cannot_say_is_refused_without_its_value(value):
    with pytest.raises(InvalidInput, match="cannot be written as JSON"):
        encode(value)
