"""Messages saved by Outlook (.msg, [MS-OXMSG]): read like any other e-mail."""

from __future__ import annotations

import re

from affidavit.domain.records import Parsed
from affidavit.ingest.parse.cfb import CompoundFile
from affidavit.ingest.parse.mail import Message, Reader, compose_message

MSG = "application/vnd.ms-outlook"
MARK = "__properties_version1.0"
_SUBJECT, _SENDER, _ADDRESS, _TO, _CC, _BODY, _HTML = "0037", "0C1A", "0C1F", "0E04", "0E03", "1000", "1013"
_HEADERS, _MESSAGE_ID, _REPLY = "007D", "1035", "1042"
_NAME, _SHORT, _KIND, _CONTENT = "3707", "3704", "370E", "3701"
_DATE = re.compile(r"(?mi)^Date:[ \t]*(.+)$")


def parse_msg(data: bytes, name: str, read: Reader, depth: int = 0) -> Parsed:
    """The message's text; its title is its subject. ``read`` reads attachments. Raises ParseError."""
    file = CompoundFile(data)
    sent = _DATE.search(_string(file, "", _HEADERS))
    sender, address = _string(file, "", _SENDER), _string(file, "", _ADDRESS)
    message = Message(_string(file, "", _SUBJECT))
    message.people = [
        ("From", f"{sender} <{address}>" if "@" in address and address != sender else sender or address),
        ("To", _string(file, "", _TO)),
        ("Cc", _string(file, "", _CC)),
        ("Date", sent[1] if sent else ""),
    ]
    message.text = _string(file, "", _BODY)
    message.html = (file.read(f"__substg1.0_{_HTML}0102") or b"").decode("utf-8", "replace")
    for key, tag in (("message_id", _MESSAGE_ID), ("in_reply_to", _REPLY)):
        value = _string(file, "", tag).strip("<> ")
        if value:
            message.metadata[key] = value
    for folder in sorted({n.split("/")[0] for n in file.names() if n.startswith("__attach_version1.0_")}):
        content = file.read(f"{folder}/__substg1.0_{_CONTENT}0102")
        if content is not None:
            called = _string(file, folder, _NAME) or _string(file, folder, _SHORT)
            message.attachments.append((called, _string(file, folder, _KIND), content))
    return compose_message(message, MSG, read, depth)


def _string(file: CompoundFile, folder: str, tag: str) -> str:
    """A text property, Unicode or of the sender's code page (taken to be Western European)."""
    prefix = f"{folder}/" if folder else ""
    wide = file.read(f"{prefix}__substg1.0_{tag}001F")
    if wide is not None:
        return wide.decode("utf-16-le", "replace").rstrip("\0")
    narrow = file.read(f"{prefix}__substg1.0_{tag}001E")
    return "" if narrow is None else narrow.decode("cp1252", "replace").rstrip("\0")
