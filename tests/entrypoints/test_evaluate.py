"""``affidavit eval retrieval``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.entrypoints.cli import app

LEAVE = "# Leave\n\nParental leave lasts sixteen weeks.\n\n## Sick leave\n\nSick leave needs no note for two days.\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "p.jsonl").write_text('{"id": "alice", "groups": ["staff"]}\n{"id": "mallory"}\n')
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "access.toml").write_text('allow = ["group:staff"]\n')
    (docs / "leave.md").write_text(LEAVE)
    (docs / "travel.md").write_text("# Travel\n\nFlights are booked by the office, weeks ahead.\n")
    judged = tmp_path / "judged"
    judged.mkdir()
    (judged / "queries.jsonl").write_text(
        '{"id": "q1", "text": "How long is parental leave?"}\n{"id": "q2", "text": "Who books flights?"}\n'
    )
    (judged / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tleave.md\t1\nq2\ttravel.md\t1\n")
    at = LEAVE.index("Parental")
    (judged / "spans.jsonl").write_text(
        json.dumps({"query_id": "q1", "doc_id": "leave.md", "start": at, "end": at + 20}) + "\n"
    )
    with affidavit.init(tmp_path / "ws", EmbedderSpec("none")) as ws:
        ws.import_people(tmp_path / "p.jsonl")
        ws.add_source("folder", docs, "docs")
        ws.sync("docs")
    return tmp_path


def run(place: Path, *arguments: str) -> Result:
    command = ["-w", str(place / "ws"), "eval", "retrieval", *arguments]
    return CliRunner().invoke(app, command, catch_exceptions=False)


def said(place: Path, *arguments: str) -> Any:
    result = run(place, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_documents_and_passages(place: Path) -> None:
    judged = str(place / "judged")
    documents = said(place, judged, "--as", "alice")
    assert documents["questions"] == 2
    assert documents["measures"]["RR@10"]["mean"] == 1
    passages = said(place, judged, "--as", "alice", "--level", "chunk", "--measure", "RR@10")
    assert passages["measures"]["RR@10"]["mean"] > 0
    assert said(place, judged, "--as", "mallory")["measures"]["RR@10"]["mean"] == 0, "she may read nothing"


def test_a_baseline_a_gate_and_reports(place: Path) -> None:
    judged, kept, page = str(place / "judged"), str(place / "kept.json"), place / "r.html"
    table = place / "t.tsv"
    files = ["--save", kept, "--html", str(page), "--table", str(table)]
    result = run(place, judged, "--as", "alice", *files)
    assert result.exit_code == 0
    assert page.read_text().startswith("<!doctype html>")
    assert table.read_text().splitlines()[0] == "question\tnDCG@10\tRR@10\tR@5\tR@10\tR@100"
    assert run(place, judged, "--as", "alice", "--baseline", kept, "--gate", "no-worse").exit_code == 0
    worse = run(place, judged, "--as", "mallory", "--baseline", kept, "--gate", "nDCG@10>=0.5")
    assert worse.exit_code == 1
    assert "gate: nDCG@10 is 0.0000, not >= 0.5" in worse.output
    assert "-1.0000" in worse.output


def test_every_question_is_on_the_log(place: Path) -> None:
    said(place, str(place / "judged"), "--as", "alice")
    with affidavit.open(place / "ws") as ws:
        runs = ws.runs.newest(ws.parts.tenant(""), "user:alice", 10)
    assert len([r for r in runs if r["journey"] == "search"]) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nowhere",),
        ("judged", "--queries", "x"),
        ("judged", "--level", "word"),
        ("judged", "--measure", "best"),
        ("judged", "--baseline", "nowhere.json"),
        ("judged", "--gate", "good"),
        ("judged", "-k", "0"),
    ],
)
def test_what_cannot_be(place: Path, arguments: tuple[str, ...]) -> None:
    at = [str(place / a) if a in ("judged", "nowhere") else a for a in arguments]
    assert run(place, *at, "--as", "alice").exit_code == 2
