"""The documentation: what it shows runs and prints what it says, its links lead somewhere, its reference is the code's."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.conftest import EXAMPLES
from tests.docs.transcripts import Session, Shown, blocks, commands, pattern

from affidavit.adapters.folder import manifest
from affidavit.adapters.minilm.weights import installed
from affidavit.app.config import model_location
from affidavit.domain.errors import ManifestError
from affidavit.domain.records import CLASSIFICATIONS
from tools import reference

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(p.relative_to(ROOT).as_posix() for p in DOCS.rglob("*.md"))
WRITTEN = [p for p in PAGES if Path(p).name not in reference.PAGES]
FOLLOWED = [
    p
    for p in WRITTEN
    if any(b.language in ("console", "python") for b in blocks((ROOT / p).read_text("utf-8")))
]
NEED_MODEL = ("docs/tutorial.md", "docs/how-to/embedder.md")
ENDPOINT = "http://localhost:8080/v1"
_LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")


class _Endpoint(BaseHTTPRequestHandler):
    """Answers ``/v1/embeddings`` with vectors that are a digest of the text."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
        vectors = [[byte - 127.5 for byte in hashlib.sha256(text.encode()).digest()] for text in texts]
        data = [{"index": n, "embedding": vector} for n, vector in enumerate(vectors)]
        body = json.dumps({"data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    """The address of an embedding endpoint on loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_pages_that_show_something_are_found() -> None:
    assert {"docs/tutorial.md", "docs/how-to/own-folder.md", "docs/how-to/embedder.md"} <= set(FOLLOWED)


def _followed() -> Iterator[object]:
    for page in FOLLOWED:
        marks = []
        if page in NEED_MODEL:
            absent = not installed(model_location())
            marks = [pytest.mark.model, pytest.mark.skipif(absent, reason="no MiniLM weights: make setup")]
        if ENDPOINT in (ROOT / page).read_text(encoding="utf-8"):
            marks += [pytest.mark.network, pytest.mark.enable_socket]
        yield pytest.param(page, marks=marks, id=page)


@pytest.mark.parametrize("page", list(_followed()))
def test_what_a_page_shows_is_what_happens(page: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    shutil.copytree(EXAMPLES / "acme", tmp_path / "examples" / "acme")
    text = (ROOT / page).read_text(encoding="utf-8")
    asks_endpoint = ENDPOINT in text
    if asks_endpoint:
        text = text.replace(ENDPOINT, request.getfixturevalue("endpoint"))
    # in a process of its own a command cannot leave a connection open in ours
    session = Session(tmp_path, {"COLUMNS": "120", "NO_COLOR": "1"}, in_process=not asks_endpoint)
    assert session.follow(text) > 0


# -- the follower itself can fail


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("run-aaaaaaaaaaaaaaaa at position 3", "run-bbbbbbbbbbbbbbbb at position 44", True),
        ("2 added", "3 added", False),
        ("a\n...\nz", "a\nb\nc\nz", True),
        ("a\n...\nz", "a\nb\nc\nx", False),
        ("score 1.234", "score -0.555", True),
        ("score 1.234", "score high", False),
        ("trailing ", "trailing", True),
        ("(1) [x]*", "(1) [x]*", True),
    ],
)
def test_what_is_shown_and_what_is_printed(shown: str, printed: str, same: bool) -> None:
    regex, _ = pattern(shown)
    assert (regex.fullmatch(printed) is not None) is same


def test_a_session_passes_real_ids_on_and_notices_what_is_wrong(tmp_path: Path) -> None:
    session = Session(tmp_path, {})
    session.follow(
        "```text note.txt\nrun-bbbbbbbbbbbbbbbb at position 7\n```\n"
        "```console\n$ cat note.txt\nrun-aaaaaaaaaaaaaaaa at position 1\n$ echo run-aaaaaaaaaaaaaaaa --as-of 1\n"
        "run-bbbbbbbbbbbbbbbb --as-of 7\n```\n"
        "```python\nprint('run-' + 16 * 'b')\n```\n"
        "```text output\nrun-aaaaaaaaaaaaaaaa\n```\n"
    )
    for wrong in (
        "$ echo no\nyes\n",
        "$ false\n",
        "$ affidavit status\nworkspace\n",
        "$ echo error is not one\n",
    ):
        with pytest.raises(AssertionError):
            session.follow(f"```console\n{wrong}```\n")


def test_commands_go_on_after_a_backslash() -> None:
    assert commands("$ a \\\n  b\none\ntwo\n$ c\n") == [Shown("a   b", "one\ntwo\n"), Shown("c", "")]


# -- links


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def _leads_somewhere(page: str, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (ROOT / page).parent / path if path else ROOT / page
    return target.exists() and (not anchor or anchor in _anchors(target))


@pytest.mark.parametrize("page", ["README.md", *PAGES])
def test_every_link_leads_somewhere(page: str) -> None:
    links = [link for link in _LINK.findall((ROOT / page).read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not _leads_somewhere(page, link)] == []


def test_every_page_is_reached_from_the_index() -> None:
    linked = {
        (DOCS / link.partition("#")[0]).resolve()
        for link in _LINK.findall((DOCS / "index.md").read_text(encoding="utf-8"))
    }
    pages = {
        p
        for p in DOCS.rglob("*.md")
        if "decisions" not in p.parts and p.name not in ("index.md", "measurements.md")
    }
    assert {p.name for p in pages - linked} == set()


# -- reference


def test_the_reference_is_up_to_date() -> None:
    assert reference.outdated(reference.FOLDER) == []
    assert reference.main(["--check"]) == 0


def test_a_page_that_is_out_of_date_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reference, "FOLDER", tmp_path)
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0
    (tmp_path / "cli.md").write_text("something else")
    (tmp_path / "errors.md").unlink()
    assert reference.main(["--check"]) == 1
    told = capsys.readouterr().err
    assert "cli.md" in told
    assert "errors.md" in told
    assert "ports.md" not in told


@pytest.mark.parametrize("name", reference.PAGES)
def test_the_reference_depends_on_the_code_alone(name: str) -> None:
    page = reference.PAGES[name]()
    assert page == reference.PAGES[name]()
    assert " at 0x" not in page
    assert str(ROOT) not in page
    assert str(model_location()) not in page


def test_every_command_is_explained_somewhere() -> None:
    text = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in WRITTEN)
    assert [name for name, _ in reference.commands() if f"affidavit {name}" not in text] == []


# -- access.toml


def test_the_examples_of_access_toml_are_understood() -> None:
    found = 0
    for page in WRITTEN:
        for block in blocks((ROOT / page).read_text(encoding="utf-8")):
            if (
                block.language == "toml"
                and "alow" not in block.body
                and (block.name.endswith("access.toml") or not (block.name or "policies" in page))
            ):
                manifest.parse_manifest(block.body.encode(), page)
                found += 1
    assert found >= 6


def test_the_page_on_access_toml_has_every_key_and_value() -> None:
    text = (DOCS / "reference" / "access-toml.md").read_text(encoding="utf-8")
    keys = {f.name for f in manifest.Rules.__dataclass_fields__.values()} - {"fresh_days"} | {
        "fresh_for",
        "files",
    }
    for word in (*keys, *CLASSIFICATIONS):
        assert f"`{word}`" in text, word
    for wrong in ("frsh_for = '1d'", "rank = 1001", 'classification = "secret"'):
        with pytest.raises(ManifestError):
            manifest.parse_manifest(wrong.encode(), "access.toml")
