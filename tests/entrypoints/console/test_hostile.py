"""Every page over a workspace in which whatever others wrote tries to run, to hide, or to turn the reading direction around."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from starlette.testclient import TestClient
from tests.entrypoints.console.conftest import OURS
from tests.entrypoints.console.test_frame import token

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.app.people import Entry
from affidavit.entrypoints.http.application import make_app
from affidavit.testing.clock import FixedClock, SeededRandomness

ATTACKS = {
    "script": "<script>alert('leave')</script>",
    "image": "\"><img src=x onerror=alert('leave')>",
    "scheme": "javascript:alert('leave')",
    "attribute": "' onmouseover='alert(1)' x='leave",
    "textarea": "</textarea></title><svg/onload=alert('leave')>",
    "template": "{{ 7 * 191 }}{% for x in () %} leave ${7*191}",
    "turned": "leave \u202egnp.exe\u2066\u200f",
    "entities": "&lt;script&gt;leave&#x3c;",
    "long": "leave" * 30_000,
}
GROUP = 'group:<img src=x onerror="alert(1)">'
_LEADS_HERE = re.compile(r"/(?![/\\])|#|\Z")
_ORDERS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
_REFUSED = {
    "base",
    "embed",
    "frame",
    "iframe",
    "img",
    "object",
    "style",
    "template",
    "foreignobject",
    "animate",
    "set",
}


class Page(HTMLParser):
    """What a browser makes of a page: everything that is not as our templates mean it is kept in ``faults``."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.leads: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        if self._open:
            self.faults.append(f"not closed: {self._open}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _REFUSED:
            self.faults.append(f"<{tag}>")
        if tag not in _VOID:
            self._open.append(tag)
        for name, value in attrs:
            self._attribute(tag, name, value or "")
        if tag == "script" and not dict(attrs).get("src"):
            self.faults.append("a script inside the page")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        self.text += data
        # what a form sends back is sent back as it was, and stays inside its field
        if _ORDERS.search(data) and self._open[-1:] != ["textarea"]:
            self.faults.append(f"a character that gives orders in {data[:80]!r}")

    def _attribute(self, tag: str, name: str, value: str) -> None:
        if _ORDERS.search(value) and (tag, name) != ("input", "value"):
            self.faults.append(f"a character that gives orders in {tag} {name}")
        if name.startswith("on") or name in ("style", "srcdoc", "ping", "background"):
            self.faults.append(f"{tag} {name}={value}")
        if name in ("href", "src", "action", "formaction"):
            if not _LEADS_HERE.match(value):
                self.faults.append(f"{tag} leads to {value}")
            if name == "href":
                self.leads.append(value)


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """An administrator's browser; she may read everything."""
    folder = tmp_path_factory.mktemp("hostile")
    docs = folder / "docs.jsonl"
    lines = [
        {
            "id": f"{name} {text[:200]}",
            "title": text[:1000],
            "text": f"{text}\n\nAnnual leave is 25 days a year, says {text[:300]}.",
            "acl": [GROUP],
            "owner": "user:alice",
            "location": "javascript:alert('leave')",
        }
        for name, text in ATTACKS.items()
    ]
    docs.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "files").mkdir()
    (folder / "files" / "access.toml").write_text(f"allow = [{json.dumps(GROUP)}]")
    for name in ("<b onclick=alert(1)>.md", '"><svg onload=alert(1)>.txt', "{{7*191}}.md", "\u202efdp.md"):
        (folder / "files" / name).write_bytes(b"# <script>alert(1)</script>\n\nleave \x1b[31mred\r\nleave")
    (folder / "files" / "<i>broken.md").write_bytes(b"null\x00byte")
    with affidavit.init(folder / "ws", EmbedderSpec("none"), FixedClock(), SeededRandomness()) as ws:
        ws.load_people(
            [Entry("user:alice", frozenset({GROUP}), {}), Entry("user:<i>bob</i>", frozenset(), {})]
        )
        ws.add_source("jsonl", docs, "wiki")
        ws.add_source("folder", folder / "files", "files")
        for report in ws.sync():
            assert report.added, report
        tenant = ws.parts.tenant("")
        ws.people.grant(tenant, "user:alice", "role:admin")
        _, secret = ws.credentials.begin_session(tenant, "user:alice", "link", 8)
        app = make_app(ws)
        with TestClient(app, OURS, headers={"Origin": OURS}, cookies={"__Host-affidavit": secret}) as client:
            yield client


def looked_at(client: TestClient, path: str) -> Page:
    """A page without a fault."""
    answer = client.get(path, headers={"Accept": "text/html"})
    assert answer.status_code < 500, path
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
    page = Page(answer.text)
    assert not page.faults, (path, page.faults[:5])
    assert "1337" not in page.text, path
    return page


def test_the_check_itself_finds_what_it_is_for() -> None:
    for text in (
        ATTACKS["script"],
        ATTACKS["image"][2:],
        '<a href="javascript:x">a</a>',
        '<p style="x">a</p>',
        "\u202e",
    ):
        assert Page(f"<p>{text}</p>").faults


def test_whatever_is_written_anywhere_is_text_on_every_page(admin: TestClient) -> None:
    for text in ATTACKS.values():
        form = {"csrf": token(admin.get("/").text), "question": f"annual leave {text}"[:19_000]}
        for path in ("/ask", "/search"):
            answer = admin.post(path, data=form)
            assert answer.status_code == 200
            assert not Page(answer.text).faults, path
    todo, seen, shapes = ["/"], set[str](), dict[str, int]()
    said = ""
    while todo:
        path = todo.pop().partition("#")[0]
        shape = re.sub(r"run-[a-z2-7]{16}|=[^&]*", "", path)
        if path in seen or path.startswith(("/static/", "/v1/")) or not path or shapes.get(shape, 0) >= 15:
            continue
        seen.add(path)
        shapes[shape] = shapes.get(shape, 0) + 1
        page = looked_at(admin, path)
        said += page.text
        todo += page.leads
    assert {"/", "/runs", "/documents", "/document"} <= {urlsplit(path).path for path in seen}
    for shown in (
        ATTACKS["script"],
        "javascript:alert",
        "{{ 7 * 191 }}",
        "⟨U+202E⟩gnp.exe",
        "␛[31m",
        "<svg onload=alert(1)>.txt",
    ):
        assert shown in said, shown


def test_the_record_of_it_is_text_too(admin: TestClient) -> None:
    run = re.findall(r"/runs/(run-[a-z2-7]{16})", admin.get("/runs?journey=ask").text)[0]
    for path, fields in (
        (f"/runs/{run}/explain", {}),
        (f"/runs/{run}/replay", {}),
        (f"/runs/{run}/what-if", {"as": "user:<i>bob</i>"}),
        (f"/runs/{run}/what-if", {"without": ATTACKS["image"]}),
    ):
        answer = admin.post(path, data={"csrf": token(admin.get("/").text), **fields})
        assert answer.status_code < 500
        assert not Page(answer.text).faults, path


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_address_says_nothing_on_a_page_but_as_text(admin: TestClient, attack: str) -> None:
    text = ATTACKS[attack][:2000]
    for path in ("/document", "/documents", "/runs", "/verify", "/", "/signin", f"/nowhere/{text[:50]}"):
        names = (
            "source",
            "document",
            "text",
            "principal",
            "prefix",
            "run",
            "question",
            "said",
            "next",
            "after",
            "since",
        )
        answer = admin.get(path, params=dict.fromkeys(names, text), headers={"Accept": "text/html"})
        assert answer.status_code < 500, path
        assert not Page(answer.text).faults, path
