"""Nothing of a patient gets into logs, labels or spans, whatever a careless line tries."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.errors import InvalidInput
from healthsync.infrastructure.telemetry import configure, logger
from healthsync.infrastructure.telemetry.phi_filter import (
    ALLOWED_KEYS,
    WITHHELD,
    error_text,
    event_text,
    filtered,
    permitted,
)

SECRETS = [
    "John Smith", "Smith^John^Q", "SMITH", "Müller", "O'Brien", "123-45-6789", "123456789", "123 45 6789", "1980-01-02", "01/02/1980",
    "2.1.1980", "19800102", "+1 (555) 123-4567", "555-123-4567", "john.smith@example.org", "12 Main Street", "PID|1||123^^^HOSP^MR||Smith^John",
    "MSH|^~\\&|LAB|HOSP", "MRN-00012345", "Patient/john-smith", "Patient?name=Smith", '{"family": "Smith"}', "Smith\nJohn", "",
]  # fmt: skip
CLOSED_KEYS = sorted(ALLOWED_KEYS - {"channel", "client", "connector", "consumer", "destination", "facility", "logger", "migration",
                                     "partner", "profile", "resource_type", "rule", "scope", "setting", "source", "task", "worker"})  # fmt: skip


@pytest.fixture(autouse=True)
def logs_as_they_begin() -> None:
    """Whatever level and form a test before this module has left."""
    configure()


def lines(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_carries_what_the_allow_list_names_and_counts_what_it_withholds(capsys):
    logger("healthsync.test").info(
        "message accepted",
        channel="mercy-general",
        sequence=17,
        structure="ADT_A01",
        family="Smith",
        ssn="123-45-6789",
        state=None,
    )
    (line,) = lines(capsys)
    timestamp = line.pop("timestamp")
    assert timestamp.endswith("Z")
    assert line == {
        "event": "message accepted", "level": "info", "logger": "healthsync.test", "channel": "mercy-general", "sequence": 17,
        "structure": "ADT_A01", "state": None, "withheld": ["family", "ssn"],
    }  # fmt: skip


_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
"""Digits of the clock are no secret."""


@pytest.mark.parametrize("secret", SECRETS)
def test_no_secret_passes_under_any_key_in_the_text_or_in_an_exception(secret, capsys):
    log = logger("healthsync.test").bind(patient=secret)
    for key in CLOSED_KEYS:
        if not permitted(key, secret):
            continue
        # A shape cannot know a surname: only keys whose values are classes of our own may look like one.
        assert key in {"error", "cause"} and secret.isalpha(), key
    values = {"name": secret, "identifier": secret, "body": {"nested": [secret]}, secret: 1}
    values |= {key: secret for key in CLOSED_KEYS if key not in {"error", "cause"}}
    log.info("patient " + secret, **values)
    log.info(secret, raw=secret.encode())
    try:
        try:
            raise ValueError(secret)
        except ValueError as error:
            raise RuntimeError(f"cannot read {secret}") from error
    except RuntimeError:
        log.exception("failed")
        logging.getLogger("uvicorn.error").exception("request for %s failed", secret)
    logging.getLogger("somebody").warning(secret)
    written = _TIME.sub("", capsys.readouterr().err)
    if secret:
        assert secret not in written
        assert json.dumps(secret)[1:-1] not in written
    for word in ("Smith", "SMITH", "Müller", "Brien", "6789", "0102", "12345", "Main"):
        assert word not in written


def test_an_exception_leaves_its_class_and_the_place_in_our_code(capsys):
    try:
        error_text(None)  # type: ignore[arg-type]
    except TypeError as error:
        logger("healthsync.test").error("it failed", exc_info=error)
    (line,) = lines(capsys)
    assert line["error"] == "TypeError"
    assert line["where"].startswith("infrastructure/telemetry/phi_filter.py:")
    assert "message" not in line


def test_our_own_errors_keep_their_message_less_everything_that_looks_like_a_person(capsys):
    try:
        raise InvalidInput(
            "unsupported message type ADT^Z99 of Smith^John born 1980-01-02, 123-45-6789\nPID|1|x, call 555-1234"
        )
    except InvalidInput:
        logger("healthsync.test").exception("message refused")
    (line,) = lines(capsys)
    assert line["message"] == (
        f"unsupported message type ADT^Z99 of {WITHHELD} born {WITHHELD}, {WITHHELD} {WITHHELD} call {WITHHELD}"
    )


@pytest.mark.parametrize(
    "text",
    [
        "message accepted",
        "PostgreSQL was started again",
        "the ACK was written, 3 attempts",
        "HL7 over MLLP (TLS) is on",
    ],
)
def test_a_sentence_of_ours_is_shown_as_it_is(text):
    assert event_text(text) == text


@pytest.mark.parametrize("text", ["seen Smith", "PID|1", "id 123456", "born 1980-01-02", 17, None, "x" * 400, "a\x00b"])
def test_any_other_sentence_is_withheld_whole(text):
    assert event_text(text) == WITHHELD


@given(key=st.sampled_from(sorted(ALLOWED_KEYS)), value=st.text(st.characters(codec="utf-8"), min_size=1))
def test_values_with_blanks_of_other_kinds_control_or_separator_characters_never_pass(key, value):
    shown, _ = filtered({key: value})
    assert not shown or not set(value) & set("|^~\\&\n\r\t\x00@\"'{}?=") or key == "structure"


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("subject", "Patient/0b9c6a52-33a7-4f0e-9d49-04f2a14b7e11", True), ("subject", "Patient/smith-john", False),
        ("peer", "127.0.0.1:2575", True), ("peer", "[::1]:2575", True), ("http", "localhost:8080", True), ("peer", "a b", False),
        ("structure", "ORU_R01", True), ("structure", "ADT^A01^ADT_A01", True), ("state", "dead", True), ("state", "Dead", False),
        ("seconds", 0.25, True), ("seconds", "0.25", False), ("state", 5, False), ("state", True, True), ("status", 503, True),
        ("postgresql", "15.18", True), ("where", "exchange/ingest.py:40", True), ("sequence", None, True),
    ],
)  # fmt: skip
def test_each_key_admits_its_own_shape_only(key, value, shown):
    assert filtered({key: value}) == (({key: value}, []) if shown else ({}, [key]))


@pytest.mark.shows("logging.level")
def test_levels_below_the_configured_one_are_silent_and_text_is_for_people(capsys):
    try:
        configure("warning", json=False)
        logger("healthsync.test").info("not shown")
        logger("healthsync.test").warning("shown", channel="mercy", family="Smith")
        written = capsys.readouterr().err
        assert "not shown" not in written
        assert "shown" in written and "channel=mercy" in written and "Smith" not in written
    finally:
        configure("info")
    with pytest.raises(Exception, match="debug, info, warning"):
        configure("loud")
    logger("healthsync.test").debug("not shown")
    logger("healthsync.test").critical("shown")
    assert [line["level"] for line in lines(capsys)] == ["critical"]


def test_a_library_leaves_its_name_its_level_and_the_class_of_its_exception(capsys):
    configure("info")
    try:
        raise KeyError("Smith")
    except KeyError:
        logging.getLogger("uvicorn.error").exception("request of Smith failed")
    logging.getLogger("asyncpg").info("SELECT 'Smith'")
    (line,) = lines(capsys)
    assert (line["event"], line["source"], line["error"]) == ("a library logged something", "uvicorn.error", "KeyError")


def test_even_before_it_is_configured_a_library_is_not_repeated():
    program = "import logging, healthsync.infrastructure.telemetry; logging.getLogger('asyncpg').error('Smith')"
    written = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stderr
    assert "a library logged something" in written
    assert "Smith" not in written
