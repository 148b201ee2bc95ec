"""A mail outbox over SMTP. A letter that was sent cannot be called back, and servers know no keys: it is never tried again."""

import smtplib
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Annotated

from affidavit import Case, Context, Limits, ToolError, tool

_at: dict[str, str | int] = {}


def configure(settings: dict[str, str | int]) -> None:
    """``host``, ``port`` and ``sender``: a relay on this machine or in a network that is trusted."""
    _at.update(settings)


@tool(effect="irreversible", idempotency="none", owner="support", data=["subject", "text"], timeout=10_000, rate=(20, 60), outward=True)
def send_mail(
    to: Annotated[str, Limits(most=200, pattern=r"^[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+$")],
    subject: Annotated[str, Limits(least=1, most=150, pattern=r"^[^\x00-\x1f\x7f]+$")],
    text: Annotated[str, Limits(most=20_000)],
    context: Context,
) -> str:
    """Send a letter to one address. Returns its message id."""
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = str(_at["sender"]), to, subject
    letter["Date"], letter["Message-ID"] = formatdate(), make_msgid(idstring=context.key[:16], domain="affidavit")
    letter.set_content(text)
    try:
        server = smtplib.SMTP(str(_at["host"]), int(_at["port"]), timeout=context.seconds / 2)
    except OSError as error:
        raise ToolError(f"the mail server cannot be reached: {error}", happened=False) from error
    with server:
        try:
            server.send_message(letter)
        except (smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused, UnicodeError) as error:
            raise ToolError(f"the letter is refused: {error}", happened=False) from error
    return str(letter["Message-ID"])


# -- on trial: affidavit tool test mail.py


class _Receiver(socketserver.StreamRequestHandler):
    """As much of RFC 5321 as one letter needs; keeps the envelope and the subject."""

    def handle(self) -> None:
        envelope: list[str] = []
        self.wfile.write(b"220 sandbox\r\n")
        while line := self.rfile.readline().decode("utf-8", "replace").strip():
            word = line[:4].upper()
            if word == "QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            if word == "DATA":
                self.wfile.write(b"354 go on\r\n")
                while (piece := self.rfile.readline().rstrip(b"\r\n")) != b".":
                    if piece.lower().startswith(b"subject:"):
                        envelope.append(piece.decode("utf-8", "replace"))
                self.server.letters.append(envelope)  # type: ignore[attr-defined]
            elif word in ("MAIL", "RCPT"):
                envelope.append(line.partition(" size=")[0])
            self.wfile.write(b"250 OK\r\n")


@contextmanager
def sandbox() -> Iterator[object]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Receiver) as server:
        server.daemon_threads = True
        letters: list[list[str]] = []
        server.letters = letters  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        configure({"host": "127.0.0.1", "port": server.server_address[1], "sender": "desk@acme.example"})
        try:
            yield lambda: letters
        finally:
            server.shutdown()


cases = [
    Case(send_mail, {"to": "ann@acme.example", "subject": "Your order", "text": "It is on its way."}),
    Case(send_mail, {"to": "ann@acme.example", "subject": "x\r\nBcc: eve@evil.example", "text": ""}, refused=True),
    Case(send_mail, {"to": "ann@acme.example, eve@evil.example", "subject": "x", "text": ""}, refused=True),
]
