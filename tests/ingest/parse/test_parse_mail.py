"""E-mail: people, quoted replies, attachments of every kind, threads."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path

import pytest
from tests.office_files import docx, p

from affidavit.domain.records import Parsed
from affidavit.ingest.parse.read import parse

KIND = "message/rfc822"
SHARED = Path(__file__).parents[3].parent / "shared" / "datasets" / "parsing" / "email"


def message(text: str, **headers: str) -> EmailMessage:
    out = EmailMessage()
    for name, value in {"Subject": "Plän", "From": "Ann <ann@a.example>", "To": "bob@b.example"}.items():
        out[name] = value
    for name, value in headers.items():
        out[name.replace("_", "-")] = value
    out.set_content(text)
    return out


def read(mail: EmailMessage) -> Parsed:
    return parse(mail.as_bytes(), KIND, "x.eml")


def blocks(parsed: Parsed) -> list[tuple[str, str]]:
    return [(b.kind, parsed.text[b.start : b.end]) for b in parsed.blocks]


def test_body_people_and_quoted_replies() -> None:
    parsed = read(message("Yes.\n\n> Shall we?\n> Soon?\n\nAnn"))
    assert blocks(parsed) == [
        ("heading", "Plän"),
        ("paragraph", "From: Ann <ann@a.example>\nTo: bob@b.example"),
        ("paragraph", "Yes."),
        ("quote", "Shall we?\nSoon?"),
        ("paragraph", "Ann"),
    ]
    assert parsed.title == "Plän"


def test_threads_are_metadata() -> None:
    mail = message("x", Message_ID="<3@a>", In_Reply_To="<2@a>", References="<1@a> <2@a>")
    assert read(mail).metadata == {"message_id": "3@a", "in_reply_to": "2@a", "thread": "1@a"}


def test_attachments_are_read_by_content_or_reported() -> None:
    mail = message("see there")
    mail.add_attachment(docx(p("inside")), maintype="application", subtype="octet-stream", filename="a.docx")
    mail.add_attachment(b"PK\x03\x04broken", maintype="application", subtype="zip", filename="b.zip")
    mail.add_attachment(message("inner body"))
    parsed = read(mail)
    assert ("heading", "a.docx") in blocks(parsed)
    assert ("paragraph", "inside") in blocks(parsed)
    assert "inner body" in parsed.text
    (notice,) = parsed.notices
    assert notice.code == "attachments"
    assert "'b.zip'" in notice.message


def test_html_alone_is_read_as_the_page_it_is() -> None:
    mail = message("")
    mail.set_content("<p>shown<p hidden>unseen", subtype="html")
    assert "shown" in read(mail).text
    assert "unseen" not in read(mail).text


def test_messages_in_messages_end() -> None:
    mail = message("innermost")
    for n in range(8):
        outer = message(f"level {n}")
        outer.add_attachment(mail)
        mail = outer
    parsed = read(mail)
    assert "level 7" in parsed.text
    assert "innermost" not in parsed.text
    assert any("nested too deeply" in notice.message for notice in parsed.notices)


def test_unknown_charsets_and_broken_headers_are_read_all_the_same() -> None:
    data = b"From: =?x-none?q?a?=\nSubject: =?utf-8?b?!!?=\nDate: never\nContent-Type: text/plain; charset=x-none\n\nbody \xff"
    assert "body" in parse(data, KIND, "x").text


@pytest.mark.data
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/datasets/parsing is absent")
def test_outlook_messages() -> None:
    parsed = parse((SHARED / "msg_with_attachment.msg").read_bytes(), "application/octet-stream", "x")
    assert parsed.media_type == "application/vnd.ms-outlook"
    assert parsed.title
    assert [notice.code for notice in parsed.notices] == ["attachments"]  # a PDF that is none
