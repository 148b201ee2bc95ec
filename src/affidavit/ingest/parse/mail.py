"""E-mail (RFC 5322, MIME): subject, people and date, the body with quoted replies told apart, and the files attached.

An attachment is read by the parser of its own kind, under its name as a heading; one that cannot be read is a notice.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.errors import MessageError
from email.message import EmailMessage, MIMEPart

from affidavit.domain.canonical import Json
from affidavit.domain.errors import ParseError
from affidavit.domain.records import Notice, Parsed
from affidavit.ingest.parse.compose import Composer, squeezed
from affidavit.ingest.parse.html import parse_html
from affidavit.ingest.parse.lines import paragraphs

EMAIL = "message/rfc822"
MOST_ATTACHMENTS = 200
MOST_PARTS = 2_000
DEEPEST = 3
"""Messages inside messages that are opened."""
_PEOPLE = ("From", "To", "Cc", "Date")
_QUOTED = re.compile(r"(?m)^[ \t]*>[ \t>]*")
_THREAD = re.compile(r"<([^<>\s]{1,200})>")

Reader = Callable[[bytes, str, str], Parsed]
"""(content, declared media type, name) to what it says, by content. Raises ParseError."""


@dataclass
class Message:
    """A message, whatever file it came in. ``text`` or ``html`` may be ""."""

    subject: str = ""
    people: list[tuple[str, str]] = field(default_factory=list)
    text: str = ""
    html: str = ""
    attachments: list[tuple[str, str, bytes]] = field(default_factory=list)
    """(name, media type, content)."""
    metadata: dict[str, Json] = field(default_factory=dict)


def parse_mail(data: bytes, name: str, read: Reader, depth: int = 0) -> Parsed:
    """The message's text; its title is its subject. ``read`` reads attachments. Raises ParseError."""
    return compose_message(_message(data), EMAIL, read, depth)


def compose_message(message: Message, media_type: str, read: Reader, depth: int) -> Parsed:
    """``message`` as a document: subject, people, body, attachments. Metadata: ``message_id``, ``in_reply_to`` and ``thread``
    (the message the thread began with), as far as known."""
    composer = Composer()
    composer.heading(1, message.subject)
    composer.block(
        "paragraph", "\n".join(f"{label}: {squeezed(value)}" for label, value in message.people if value)
    )
    if message.text.strip():
        _body(message.text, composer)
    elif message.html.strip():
        composer.include(parse_html(message.html.replace("\0", ""), "body"))
    for name, kind, content in message.attachments[:MOST_ATTACHMENTS]:
        composer.close(2)
        _attachment(name, kind, content, composer, read, depth)
    return composer.parsed(media_type, message.subject, message.metadata)


def _attachment(name: str, kind: str, content: bytes, composer: Composer, read: Reader, depth: int) -> None:
    if kind.startswith(("image/", "audio/", "video/")):
        return
    error = ParseError("messages are nested too deeply.", "Open the inner message and save it by itself.")
    attached = None
    if depth < DEEPEST:
        try:
            attached = read(content, kind, name)
        except ParseError as fault:
            error = fault
    if attached is None:
        message = f"the attachment {squeezed(name)!r} was not read: {error.message}"
        composer.notices.append(Notice("attachments", message, error.hint))
        return
    composer.heading(2, squeezed(name) or "attachment")
    composer.include(attached)


def _body(text: str, composer: Composer) -> None:
    """Paragraphs; what each line of begins with ``>`` is a quote, that is, somebody else's words."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    for start, end in paragraphs(text, 0, len(text)):
        piece = text[start:end]
        quoted = all(line.lstrip().startswith(">") for line in piece.split("\n"))
        composer.block("quote" if quoted else "paragraph", _QUOTED.sub("", piece) if quoted else piece)


def _message(data: bytes) -> Message:
    try:
        root = message_from_bytes(data, policy=policy.default)
        found = Message(str(root.get("Subject", "")))
        found.people = [(label, str(root.get(label, ""))) for label in _PEOPLE]
        _parts(root, found)
        _threads(root, found)
    except (
        MessageError,
        ValueError,
        LookupError,
        RecursionError,
        AttributeError,
        TypeError,
        IndexError,
    ) as error:
        # the standard library's header parsers raise whatever they stumble over
        raise ParseError(
            f"the message is malformed: {error}.", "Save it anew from the mail program."
        ) from error
    return found


def _parts(root: EmailMessage, found: Message) -> None:
    stack: list[MIMEPart] = [root]
    for _ in range(MOST_PARTS):
        if not stack:
            return
        part = stack.pop()
        kind = part.get_content_type()
        name = part.get_filename("") or ""
        if kind == "message/rfc822":
            for inner in part.iter_parts():
                found.attachments.append((name or str(inner.get("Subject", "")), kind, inner.as_bytes()))
        elif part.is_multipart():
            stack.extend(reversed(list(part.iter_parts())))
        elif name or part.get_content_disposition() == "attachment" or not kind.startswith("text/"):
            payload = part.get_payload(decode=True)
            found.attachments.append((name, kind, payload if isinstance(payload, bytes) else b""))
        elif kind == "text/html":
            found.html += _text(part)
        else:
            found.text += _text(part)
    raise ParseError(
        f"the message has more than {MOST_PARTS:,} parts.", "Save it anew from the mail program."
    )


def _text(part: MIMEPart) -> str:
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    try:
        return data.decode(part.get_content_charset("utf-8"), "replace")
    except LookupError:
        return data.decode("utf-8", "replace")


def _threads(root: EmailMessage, found: Message) -> None:
    own = _THREAD.search(str(root.get("Message-ID", "")))
    parent = _THREAD.search(str(root.get("In-Reply-To", "")))
    first = _THREAD.search(str(root.get("References", "")))
    if own:
        found.metadata["message_id"] = own[1]
    if parent:
        found.metadata["in_reply_to"] = parent[1]
    begun = first or parent or own
    if begun:
        found.metadata["thread"] = begun[1]
