"""The channel email, over a real SMTP server on this machine."""

from __future__ import annotations

import asyncio
import email
from collections.abc import AsyncIterator
from datetime import timedelta
from email.message import Message

import pytest
from aiosmtpd.smtp import SMTP, AuthResult

from .conftest import PATIENT


class Mailbox:
    def __init__(self) -> None:
        self.mails: list[Message] = []
        self.refuse = False
        self.password: bytes | None = None
        self.logged_in: list[str] = []

    def authenticate(self, server, session, envelope, mechanism, data) -> AuthResult:
        good = data.password == self.password
        if good:
            self.logged_in.append(data.login.decode())
        return AuthResult(success=good)

    async def handle_DATA(self, server, session, envelope) -> str:
        if self.refuse:
            return "451 try again later"
        self.mails.append(email.message_from_bytes(envelope.content))
        return "250 OK"


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    box = Mailbox()
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(box, authenticator=box.authenticate, auth_require_tls=False), "127.0.0.1", 0
    )
    box.port = server.sockets[0].getsockname()[1]
    yield box
    server.close()


@pytest.fixture
def hub(make_hub, mailbox):
    return make_hub(email=_server(mailbox, payload=False))


def _server(mailbox: Mailbox, payload: bool) -> dict:
    return {
        "host": "127.0.0.1", "port": mailbox.port, "security": "none", "sender": "hub@example.org", "payload": payload,
    }  # fmt: skip


@pytest.mark.shows(
    "subscriptions.email",
    "subscriptions.email.host",
    "subscriptions.email.port",
    "subscriptions.email.sender",
    "subscriptions.email.security",
)
async def test_a_mail_tells_that_something_happened_and_nothing_of_the_patient(hub, admin, subscribe, mailbox):
    await subscribe(admin, "Patient", type="email", endpoint="mailto:results@example.org", header=["A new patient"])
    stored = await hub.write.create(admin, PATIENT)
    await hub.notify_subscribers.drain()
    (mail,) = mailbox.mails
    assert (mail["To"], mail["From"], mail["Subject"]) == ("results@example.org", "hub@example.org", "A new patient")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert not mail.is_multipart()
    assert "Quennell" not in str(mail)
    assert stored.id not in str(mail)


async def test_with_the_operators_leave_the_resource_is_attached(make_hub, mailbox, admin, subscribe):
    hub = make_hub(email=_server(mailbox, payload=True))
    resource = {
        "resourceType": "Subscription", "status": "requested", "reason": "x", "criteria": "Patient",
        "channel": {"type": "email", "endpoint": "mailto:results@example.org", "payload": "application/fhir+json"},
    }  # fmt: skip
    await hub.write.create(admin, resource)
    await hub.notify_subscribers.drain()
    stored = await hub.write.create(admin, PATIENT)
    await hub.notify_subscribers.drain()
    (mail,) = mailbox.mails
    text, attached = mail.get_payload()
    assert attached.get_content_type() == "application/fhir+json"
    assert stored.id in attached.get_payload(decode=True).decode()
    assert stored.id not in text.get_payload()


@pytest.mark.shows("subscriptions.email.username", "subscriptions.email.password_path")
async def test_the_hub_logs_in_with_the_password_from_its_file(make_hub, mailbox, admin, tmp_path):
    file = tmp_path / "password"
    file.write_text("s3cret\n")
    hub = make_hub(email={**_server(mailbox, payload=False), "username": "hub", "password_path": str(file)})
    mailbox.password = b"s3cret"
    resource = {
        "resourceType": "Subscription", "status": "requested", "reason": "x", "criteria": "Patient",
        "channel": {"type": "email", "endpoint": "mailto:results@example.org"},
    }  # fmt: skip
    await hub.write.create(admin, resource)
    await hub.notify_subscribers.drain()
    await hub.write.create(admin, PATIENT)
    await hub.notify_subscribers.drain()
    assert mailbox.logged_in == ["hub"]
    assert len(mailbox.mails) == 1


async def test_a_mail_that_the_server_does_not_take_is_sent_again(hub, admin, subscribe, mailbox, clock):
    await subscribe(admin, "Patient", type="email", endpoint="mailto:results@example.org")
    mailbox.refuse = True
    await hub.write.create(admin, PATIENT)
    await hub.notify_subscribers.drain()
    assert mailbox.mails == []
    mailbox.refuse = False
    clock.at += timedelta(minutes=5)
    await hub.notify_subscribers.drain()
    assert len(mailbox.mails) == 1


async def test_a_topics_mail_with_empty_content_may_attach_its_bundle(hub, admin, subscribe_to_topic, mailbox):
    channel = {
        "type": "email",
        "endpoint": "mailto:a@example.org",
        "payload": "text/plain;attach=application/fhir+json",
    }
    await subscribe_to_topic(admin, "patient-created", "empty", channel=channel)
    stored = await hub.write.create(admin, PATIENT)
    await hub.notify_subscribers.drain()
    (mail,) = mailbox.mails
    bundle = mail.get_payload()[1].get_payload(decode=True).decode()
    assert '"event-notification"' in bundle
    assert stored.id not in bundle
