"""The limited process: what it may not do, what a document that takes too much costs, answers that are not believed."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.office_files import docx, epub, line, odf, p, pdf, pptx, shape, xlsx, zipped

from affidavit.domain.errors import MissingParserError, ParseError, WorkspaceError
from affidavit.ingest.parse.pool import Pool, decoded
from affidavit.ingest.parse.read import parse
from affidavit.ingest.parse.worker import encoded

ANY = "application/octet-stream"


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    pool = Pool(memory=256 * 2**20)
    yield pool
    pool.close()


FILES = {
    "docx": docx(p("a") + p("b", run="<w:vanish/>")),
    "pptx": pptx([shape("a", "title")], {0: "n"}),
    "xlsx": xlsx({"S": '<sheetData><row r="1"><c r="A1"><v>1</v></c></row></sheetData>'}),
    "odt": odf("text", "<text:p>a</text:p>"),
    "epub": epub(["<h1>a</h1>"]),
    "pdf": pdf([line("a b", 50, 400)]),
    "rtf": rb"{\rtf1 a\par{\v b}}",
    "eml": b"From: a@b.example\nSubject: s\nMIME-Version: 1.0\nContent-Type: text/html\n\n<p>a",
    "html": b"<!doctype html><table><tr><td rowspan=2>a<td>b<tr><td>c</table>",
    "json": b'{"a": [1, {"b": "c"}]}',
    "go": b"package a\nfunc F() {}\n",
}


@pytest.mark.parametrize("name", FILES)
def test_it_says_what_the_parser_says(pool: Pool, name: str) -> None:
    assert pool.parse(FILES[name], ANY, f"x.{name}") == parse(FILES[name], ANY, f"x.{name}")


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_damaged_files_give_a_document_or_a_typed_error(pool: Pool, name: str, data: st.DataObject) -> None:
    rng = random.Random(data.draw(st.integers(0, 2**32)))
    broken = bytearray(FILES[name])
    for _ in range(rng.randint(1, 12)):
        at = rng.randrange(len(broken))
        if rng.random() < 0.3:
            del broken[at : at + rng.randint(1, 40)]
            broken = broken or bytearray(b" ")
        else:
            broken[at] = rng.randrange(256)
    try:
        parsed = pool.parse(bytes(broken), ANY, f"x.{name}")
    except ParseError as error:
        assert error.message
        assert error.hint
        assert "its parser" not in error.message, error.message  # a fault of ours, or a crash
        return
    assert all(parsed.text[b.start : b.end].strip() for b in parsed.blocks)


def test_nothing_can_be_opened_or_started_in_it() -> None:
    tries = """
import os, socket, sys
from affidavit.ingest.parse.worker import _give_up, _load
_load()
_give_up(2**28)
for name, attempt in {
    "socket": lambda: socket.socket(),
    "read": lambda: open("/etc/hostname"),
    "write": lambda: open("/tmp/affidavit-test", "w"),
    "pipe": lambda: os.pipe(),
    "memory": lambda: bytearray(2**30),
}.items():
    try:
        attempt()
        print(name, "works")
    except (OSError, MemoryError):
        pass
print("done")
"""
    done = subprocess.run([sys.executable, "-c", tries], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("done\n", "")


@pytest.fixture(scope="module")
def large() -> bytes:
    """A workbook of 1.8 million cells: seconds of work and hundreds of megabytes."""
    rows = "".join(f'<row r="{n}"><c r="A{n}"><v>{n}</v></c></row>' for n in range(1, 900_000))
    return xlsx({"S": f"<sheetData>{rows}</sheetData>", "T": f"<sheetData>{rows}</sheetData>"})


def test_too_much_memory_costs_the_document_only(pool: Pool, large: bytes) -> None:
    with pytest.raises(ParseError, match="more memory") as caught:
        pool.parse(large, ANY, "x")
    assert caught.value.hint
    assert pool.parse(b"after", "text/plain", "x").text == "after"


def test_too_much_time_costs_the_document_only(large: bytes) -> None:
    pool = Pool(seconds=0)
    with pytest.raises(ParseError, match="more than 0 seconds of processor time"):
        pool.parse(large, ANY, "x")
    assert pool.parse(b"after", "text/plain", "x").text == "after"
    pool.close()


def test_bombs_are_refused_in_it(pool: Pool) -> None:
    kind = "application/vnd.oasis.opendocument.text"
    with pytest.raises(ParseError, match="inflates"):
        pool.parse(zipped({"mimetype": kind, "content.xml": b" " * 150_000_000}), ANY, "x")


def test_a_process_is_used_again_and_ended(pool: Pool) -> None:
    own = Pool()
    own.parse(b"a", "text/plain", "x")
    (worker,) = own._idle
    own.parse(b"b", "text/plain", "x")
    assert own._idle == [worker]
    own.close()
    assert worker._process.returncode == 0
    assert own.parse(b"c", "text/plain", "x").text == "c"
    own.close()


def answer(**changes: Any) -> dict[str, Any]:
    return encoded(parse(b"# a\n\nb", "text/markdown", "x.md")) | changes


@pytest.mark.parametrize(
    "changes",
    [
        {"blocks": [["paragraph", 0, 99, 0, ""]]},
        {"blocks": [["paragraph", 3, 2, 0, ""]]},
        {"blocks": [["paragraph", 0, 4, 0, ""], ["paragraph", 2, 5, 0, ""]]},
        {"blocks": [["spell", 0, 1, 0, ""]]},
        {"blocks": [["paragraph", 0, 1, 7, ""]]},
        {"blocks": [["paragraph", 0, 1, -1, ""]]},
        {"blocks": [["paragraph", 0, 1, 0, "unheard"]]},
        {"blocks": [["paragraph", 0.0, 1.5, 0, ""]]},
        {"blocks": 3},
        {"media_type": "text/spell"},
        {"metadata": []},
        {"notices": [[1]]},
        {"error": ["no such", "a", "b"]},
    ],
)
def test_answers_that_cannot_be_are_refused(changes: dict[str, Any]) -> None:
    assert decoded(answer()).title == "a"
    with pytest.raises(ParseError, match="cannot be"):
        decoded(answer(**changes))


def test_errors_keep_their_kind() -> None:
    with pytest.raises(MissingParserError, match="no grammar"):
        decoded({"error": ["missing_parser", "no grammar", "install it"]})


def test_an_installation_that_cannot_parse_is_no_fault_of_a_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("affidavit.ingest.parse.pool._START", "raise SystemExit(3)")
    with pytest.raises(WorkspaceError, match="its parser failed") as caught:
        Pool().parse(b"a", "text/plain", "x")
    assert "install" in caught.value.hint


def test_an_interruption_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Pool()
    own.parse(b"a", "text/plain", "x")
    (worker,) = own._idle

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(worker, "_answer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        own.parse(b"b", "text/plain", "x")
    assert own._idle == []
    assert worker._process.returncode is not None
