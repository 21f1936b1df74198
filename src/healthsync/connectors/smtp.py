"""Mail out over SMTP (RFC 5321), with TLS unless the operator says otherwise."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path

from healthsync.errors import ConfigurationError, Unavailable


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed in. `security` is starttls, tls or none; the password stands in a file."""

    host: str
    port: int
    security: str
    sender: str
    username: str | None = None
    password_path: Path | None = None


class Mailer:
    """Hands mail to one server."""

    def __init__(self, server: MailServer, *, tls: ssl.SSLContext | None = None) -> None:
        self._server, self._tls = server, tls

    async def send(
        self,
        recipient: str,
        subject: str,
        text: str,
        attachments: Sequence[tuple[str, bytes]],
        timeout_seconds: float,
    ) -> None:
        """Send one mail; `attachments` are (MIME type, content).

        Raises Unavailable when the server does not take it, ConfigurationError when the password cannot be read.
        """
        message = self._message(recipient, subject, text, attachments)
        try:
            await asyncio.to_thread(self._hand_in, message, timeout_seconds)
        except (smtplib.SMTPException, OSError) as error:
            raise Unavailable(f"the mail server did not take the notification ({type(error).__name__})") from None

    def _message(
        self, recipient: str, subject: str, text: str, attachments: Sequence[tuple[str, bytes]]
    ) -> EmailMessage:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self._server.sender, recipient, subject
        message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain=self._server.sender.partition("@")[2])
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
        message.set_content(text)
        for media_type, content in attachments:
            kind, _, subtype = media_type.partition("/")
            message.add_attachment(content, maintype=kind, subtype=subtype, filename="notification.json")
        return message

    def _hand_in(self, message: EmailMessage, timeout_seconds: float) -> None:
        server, context = self._server, self._tls or ssl.create_default_context()
        if server.security == "tls":
            connection = smtplib.SMTP_SSL(server.host, server.port, timeout=timeout_seconds, context=context)
        else:
            connection = smtplib.SMTP(server.host, server.port, timeout=timeout_seconds)
        with connection:
            if server.security == "starttls":
                connection.starttls(context=context)
            if server.username is not None:
                connection.login(server.username, self._password())
            connection.send_message(message)

    def _password(self) -> str:
        if self._server.password_path is None:
            return ""
        try:
            return self._server.password_path.read_text(encoding="utf-8").strip()
        except OSError:
            raise ConfigurationError("subscriptions.email.password_path cannot be read") from None
