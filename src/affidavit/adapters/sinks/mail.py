"""A mailbox: each checkpoint as a message with the checkpoint attached. What was delivered cannot be called back."""

from __future__ import annotations

import hashlib
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate

from affidavit.domain.errors import SinkError
from affidavit.ports.sink import Delivery

STARTTLS, TLS, PLAIN = "starttls", "tls", "none"
_SECONDS = 20.0


class MailSink:
    """Sends to ``recipient`` through the SMTP server at ``host``:``port``.

    ``security``: ``starttls`` and ``tls`` check the server's certificate; ``none`` is for a relay on this machine. A message's
    ``Message-ID`` is the same for the same checkpoint, so that mailboxes can tell a repetition.
    """

    def __init__(
        self,
        recipient: str,
        host: str,
        port: int,
        security: str = STARTTLS,
        user: str = "",
        password: str = "",
        sender: str = "",
    ) -> None:
        self._recipient = recipient
        self._host, self._port = host, port
        self._security = security
        self._user, self._password = user, password
        self._sender = sender or recipient

    def __repr__(self) -> str:
        return f"MailSink({self._recipient!r}, {self._host!r}, {self._port})"

    def send(self, delivery: Delivery) -> str:
        try:
            with self._connected() as server:
                if self._user:
                    server.login(self._user, self._password)
                server.send_message(_message(delivery, self._sender, self._recipient))
        except smtplib.SMTPAuthenticationError as error:
            raise SinkError(  # the server's words may repeat what it was given
                f"{self._host} refuses the user name or password", "check them"
            ) from error
        except (smtplib.SMTPException, OSError) as error:
            raise SinkError(
                f"mail to {self._recipient} through {self._host}:{self._port} failed: {error}",
                "check server, port, --tls and the addresses; it is tried again",
            ) from error
        return ""

    def held(self, origin: str) -> list[str]:
        return []

    def _connected(self) -> smtplib.SMTP:
        if self._security == TLS:
            return smtplib.SMTP_SSL(
                self._host, self._port, timeout=_SECONDS, context=ssl.create_default_context()
            )
        server = smtplib.SMTP(self._host, self._port, timeout=_SECONDS)
        try:
            if self._security == STARTTLS:
                server.starttls(context=ssl.create_default_context())
        except BaseException:
            server.close()
            raise
        return server


def _message(delivery: Delivery, sender: str, recipient: str) -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = f"Checkpoint {delivery.size} of {delivery.origin}"
    message["From"], message["To"] = sender, recipient
    message["Date"] = formatdate(delivery.at)
    message["Message-ID"] = f"<{hashlib.sha256(delivery.note.encode()).hexdigest()[:32]}@affidavit.invalid>"
    message.set_content(
        f"The log {delivery.origin} has {delivery.size} events.\n\n"
        "Keep this message. The attached file is the log's signed statement of what it held today; should the log ever\n"
        "deny it, it was rewritten. To check: affidavit audit compare FILE\n"
    )
    message.add_attachment(
        delivery.note.encode(),
        "text",
        "plain",
        filename=f"{delivery.size}.checkpoint",
        params={"charset": "utf-8"},
    )
    return message
