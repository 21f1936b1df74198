"""What a Subscription may ask for: a table of cases."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from healthsync.domains.subscriptions import (
    ChannelKind,
    Content,
    Rules,
    Status,
    Subscriber,
    Subscription,
    SubscriptionRefused,
    TellingPolicy,
    Topics,
    compile_terms,
    satisfied,
)
from healthsync.errors import ConfigurationError

WHO = Subscriber("c1", ("physician",), "TREAT", registered=True)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"
CONTENT = {"extension": [{"url": f"{BACKPORT}backport-payload-content", "valueCode": "id-only"}]}
JSON = "application/fhir+json"


PLAIN = Rules()


def compiled(criteria: str, channel: dict, rules: Rules = PLAIN, **more):
    channel = {"type": "rest-hook", **channel}
    resource = {"resourceType": "Subscription", "status": "requested", "criteria": criteria, "channel": channel, **more}
    return compile_terms(resource, WHO, Topics.load(), rules)


def topic(name: str, *filters: str, payload=JSON, content=CONTENT, **channel):
    listed = [{"url": f"{BACKPORT}backport-filter-criteria", "valueString": text} for text in filters]
    channel = {"endpoint": "https://example.org/x", "payload": payload, "_payload": content, **channel}
    return compiled(f"urn:healthsync:topic:{name}", channel, _criteria={"extension": listed})


@pytest.mark.parametrize(
    ("criteria", "channel", "sentence"),
    [
        ("Patient?colour=red", {}, "criteria cannot be applied"),
        ("Nothing?x=y", {}, "criteria must be a search"),
        ("Observation?patient.name=x", {}, "no chains"),
        ("Patient?_has:Observation:patient:code=718-7", {}, "no chains"),
        ("Observation?code:in=http://example.org/vs", {}, ":in, :above"),
        ("Patient?_count=3", {}, "shape pages"),
        ("urn:healthsync:topic:nothing", {}, "names no topic"),
        ("Patient", {"type": "sms", "endpoint": "tel:1"}, "sms and message are not served"),
        ("Patient", {"type": "message", "endpoint": "http://x/$process-message"}, "sms and message are not served"),
        ("Patient", {"type": "email", "endpoint": "mailto:a@example.org"}, "no mail server"),
        ("Patient", {"endpoint": "http://192.0.2.1/x"}, "must be https"),
        ("Patient", {"endpoint": "https://user:word@example.org/x"}, "without user"),
        ("Patient", {"endpoint": "ftp://example.org/x"}, "must be an https URL"),
        ("Patient", {"endpoint": "https://example.org/x?a=b"}, "no query"),
        ("Patient", {}, "endpoint is missing"),
        ("Patient", {"endpoint": "https://example.org", "payload": "application/fhir+xml"}, "application/fhir+json"),
        ("Patient", {"endpoint": "https://example.org", "header": ["no colon"]}, "Name: value"),
        ("Patient", {"endpoint": "https://example.org", "header": ["Host: other"]}, "belong to the connection"),
    ],
)
def test_what_is_not_understood_is_refused_with_a_sentence(criteria, channel, sentence):
    with pytest.raises(SubscriptionRefused, match=re.escape(sentence)):
        compiled(criteria, channel)


@pytest.mark.parametrize(
    ("filters", "more", "sentence"),
    [
        (["Patient?name=x"], {}, "another type"),
        (["colour=red"], {}, "criteria cannot be applied"),
        ([], {"content": {}}, "backport-payload-content once"),
        ([], {"payload": None}, "are Bundles"),
        (
            [],
            {"_type": {"extension": [{"url": f"{BACKPORT}backport-channel-type", "valueCoding": {"code": "x"}}]}},
            "channels",
        ),
    ],
)
def test_a_topic_is_refused_with_a_sentence(filters, more, sentence):
    with pytest.raises(SubscriptionRefused, match=sentence):
        topic("encounter-start", *filters, **more)


@pytest.mark.parametrize("text", ["Encounter?patient=Patient/p1", "Encounter.patient=Patient/p1", "patient=Patient/p1"])
def test_a_filter_may_be_written_in_each_form_of_the_guide(text):
    terms = topic("encounter-start", text)
    assert (terms.resource_type, terms.event_names) == ("Encounter", ("encounter.admitted",))
    assert terms.criteria == ("patient=Patient/p1",)
    encounter = {"resourceType": "Encounter", "id": "e", "status": "arrived", "subject": {"reference": "Patient/p1"}}
    assert satisfied(terms, encounter, NOW)
    assert not satisfied(terms, {**encounter, "subject": {"reference": "Patient/p2"}}, NOW)


def test_every_type_has_a_topic_of_its_changes():
    assert topic("resource-changed:Immunization").event_names == ("resource.changed",)
    with pytest.raises(SubscriptionRefused):
        topic("resource-changed:Nothing")


def test_the_extensions_of_the_channel_are_read_and_bounded():
    listed = [
        {"url": f"{BACKPORT}backport-heartbeat-period", "valueUnsignedInt": 60},
        {"url": f"{BACKPORT}backport-timeout", "valueUnsignedInt": 900},
        {"url": f"{BACKPORT}backport-max-count", "valuePositiveInt": 5000},
    ]
    channel = topic("encounter-start", extension=listed).channel
    assert (channel.heartbeat_seconds, channel.timeout_seconds, channel.max_count) == (60, 60, 100)
    assert (channel.kind, channel.content) == (ChannelKind.REST_HOOK, Content.ID_ONLY)


def test_a_host_that_the_operator_named_may_use_http():
    for allowed in ("10.1.2.3", "10.1.2.3:8080"):
        assert compiled("Patient", {"endpoint": "http://10.1.2.3:8080/x"}, Rules((allowed,))).channel.endpoint
    with pytest.raises(SubscriptionRefused):
        compiled("Patient", {"endpoint": "http://10.1.2.3:9090/x"}, Rules(("10.1.2.3:8080",)))


@pytest.mark.shows("subscriptions.email.payload")
@pytest.mark.parametrize(
    ("payload", "permitted", "accepted"),
    [(None, False, True), ("text/plain", False, True), (JSON, False, False), (JSON, True, True)],
)
def test_mail_carries_patient_data_only_where_the_operator_permits_it(payload, permitted, accepted):
    rules = Rules(email=True, email_payload=permitted)
    channel = {"type": "email", "endpoint": "mailto:a@example.org", **({"payload": payload} if payload else {})}
    if accepted:
        assert compiled("Patient", channel, rules).channel.endpoint == "a@example.org"
    else:
        with pytest.raises(SubscriptionRefused, match="no patient data into mail"):
            compiled("Patient", channel, rules)


@pytest.mark.parametrize("address", ["mailto:a@b.org,c@d.org", "mailto:a", "mailto:a@b.org%0d%0aBcc:x@y.org"])
def test_mail_goes_to_one_address(address):
    with pytest.raises(SubscriptionRefused, match="one address"):
        compiled("Patient", {"type": "email", "endpoint": address}, Rules(email=True))


@pytest.mark.shows("subscriptions.topics_path")
def test_an_operator_adds_topics_in_the_form_of_ours(tmp_path):
    file = tmp_path / "topics.yaml"
    file.write_text(
        "topics: [{url: 'https://example.org/t', resource: Observation, events: [observation.created], criteria: code=718-7}]"
    )
    found = Topics.load(file).find("https://example.org/t")
    assert found is not None
    assert (found.resource_type, found.criteria) == ("Observation", ("code=718-7",))


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "topics: 3",
        "topics: [{url: u}]",
        "topics: [{url: u, resource: Nothing, events: [a]}]",
        "topics: [",
        "topics: [{url: u, resource: Patient, events: [a], more: 1}]",
    ],
)
def test_a_wrong_document_of_topics_is_refused_at_the_start(tmp_path, text):
    file = tmp_path / "topics.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError):
        Topics.load(file)


def test_a_topic_of_an_event_that_the_hub_does_not_have_is_refused_at_the_start(tmp_path):
    file = tmp_path / "topics.yaml"
    file.write_text("topics: [{url: u, resource: Patient, events: [patient.vanished]}]")
    with pytest.raises(ConfigurationError, match="names an event"):
        Topics.load(
            file, [name for found in [Topics.load()] for url in found.urls for name in found.find(url).event_names]
        )


@pytest.mark.shows("subscriptions.max_attempts", "subscriptions.backoff_seconds", "subscriptions.backoff_max_seconds")
def test_waits_double_up_to_the_longest_and_the_last_attempt_is_an_error():
    policy = TellingPolicy(max_attempts=5, first_wait_seconds=2, longest_wait_seconds=10)
    assert [policy.wait_seconds(n, 1.0) for n in (1, 2, 3, 4, 99)] == [2, 4, 8, 10, 10]
    assert policy.wait_seconds(1, 0.0) == 1
    terms = compiled("Patient", {"endpoint": "https://e.org"})
    for status, failures, after in [
        (Status.ACTIVE, 3, Status.ACTIVE),
        (Status.ACTIVE, 4, Status.ERROR),
        (Status.REQUESTED, 0, Status.ERROR),
    ]:
        subscription = Subscription("s", status, terms, failures, 0, None, None, NOW, None)
        assert policy.failed(subscription, "why", NOW, 0.5).status is after
