"""``affidavit eval calibrate``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.domain.release import load
from affidavit.entrypoints.cli import app

SYLLABLES = ("ba", "do", "ki", "lu", "me", "no", "pa", "ri", "so", "tu", "va", "ze")


def name(n: int) -> str:
    """A word of its own for each page, letters only."""
    return "".join(SYLLABLES[(n // d) % 12] for d in (1, 12, 144)).capitalize()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = tmp_path_factory.mktemp("calibrate")
    pages = [
        {
            "id": f"p{n}",
            "title": f"Notes {n}",
            "text": f"The garden of {name(n)} opens at dawn and closes at dusk.",
        }
        for n in range(120)
    ]
    (at / "pages.jsonl").write_text("".join(json.dumps(p) + "\n" for p in pages))
    (at / "people.jsonl").write_text('{"id": "alice", "groups": ["staff"]}\n')
    (at / "judged").mkdir()
    asked = [{"id": f"q{n}", "text": f"When does {name(n)} close?"} for n in range(120)]
    (at / "judged" / "queries.jsonl").write_text("".join(json.dumps(q) + "\n" for q in asked))
    (at / "judged" / "qrels.tsv").write_text("".join(f"q{n}\tp{n}\t1\n" for n in range(120)))
    with affidavit.init(at / "ws", EmbedderSpec("none")) as ws:
        ws.import_people(at / "people.jsonl")
        ws.add_source("jsonl", at / "pages.jsonl", "pages", allow=["group:staff"])
        ws.sync()
    return at


def run(place: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["-w", str(place / "ws"), "eval", "calibrate", *arguments])


def test_the_verdict_learns_what_missing_looks_like(place: Path) -> None:
    head = affidavit.open(place / "ws").parts.log.head()
    result = run(place, str(place / "judged"), "--as", "alice", "--save", str(place / "r.json"), "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["kind"] == "keyword_only" and said["examples"] == 240
    assert said["auroc"] > 0.95
    release = load(json.loads((place / "r.json").read_text()))
    assert release.keyword_only.threshold == float(said["calibration"]["threshold"])
    with affidavit.open(place / "ws") as ws:
        assert ws.parts.log.head() == head  # nothing was asked, and nothing changed
        assert release.digest != ws.parts.release().digest


def test_an_operator_says_how_much_is_to_be_refused(place: Path) -> None:
    for percent in ("50", "99"):
        result = run(place, str(place / "judged"), "--as", "alice", "--refuse", percent, "--json")
        assert json.loads(result.stdout)["refused"] >= float(percent) / 100 - 0.1
    assert run(place, str(place / "judged"), "--as", "alice", "--refuse", "101").exit_code == 2


def test_a_stranger_calibrates_nothing(place: Path) -> None:
    result = run(place, str(place / "judged"), "--as", "nobody")
    assert result.exit_code != 0
    assert "nobody" in result.output
