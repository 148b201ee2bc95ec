"""Deprecated documents are answered from last, and said to be so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from affidavit import Workspace
from affidavit.app.people import Entry
from affidavit.domain.answer import Citation
from affidavit.entrypoints.show import _note

OLD = "# Leave of old\n\nParental leave for every parent is twelve weeks in total.\n"
NEW = "# Leave\n\nParental leave for every parent is sixteen weeks in total.\n"
ASKED = "How many weeks is parental leave for every parent in total?"
Write = Callable[[dict[str, str | bytes]], Path]


def settled(ws: Workspace, root: Path) -> None:
    ws.load_people([Entry("user:alice", frozenset())])
    ws.add_source("folder", root, "wiki")
    ws.sync()


def cited(ws: Workspace) -> list[Citation]:
    answer = ws.ask(ASKED, "alice")
    assert answer.claims, answer
    return [c for claim in answer.claims for c in claim.citations]


@pytest.mark.parametrize("old", ["a.md", "z.md"])
def test_the_current_document_is_quoted_even_where_the_deprecated_one_has_the_better_rank(
    old: str, workspace: Workspace, write_folder: Write
) -> None:
    rules = f'allow = ["anyone"]\nrank = 500\n[files."{old}"]\nrank = 1\ndeprecated = true\n'
    settled(workspace, write_folder({"access.toml": rules, "m.md": NEW, old: OLD}))
    answer = workspace.ask(ASKED, "alice")
    assert [c.document for claim in answer.claims for c in claim.citations] == ["m.md"]
    overruled = [o for claim in answer.claims for o in claim.overrules]
    assert [(o.document, o.deprecated, o.rank) for o in overruled] == [(old, True, 1)]


def test_where_nothing_else_comes_near_it_answers_and_says_so(
    workspace: Workspace, write_folder: Write
) -> None:
    rules = 'allow = ["anyone"]\n[files."old.md"]\ndeprecated = true\n'
    files: dict[str, str | bytes] = {"access.toml": rules, "old.md": OLD, "m.md": "# Tea\n\nTea is green.\n"}
    root = write_folder(files)
    settled(workspace, root)
    (citation,) = cited(workspace)
    assert (citation.document, citation.deprecated) == ("old.md", True)
    assert _note(citation.as_json()).endswith("; deprecated")
    hits = workspace.search("parental leave", "alice").as_json()["hits"]
    assert {h["document"]: h["deprecated"] for h in hits}["old.md"] is True
    (root / "access.toml").write_text('allow = ["anyone"]\n')
    (report,) = workspace.sync()
    assert (report.access_changed, report.chunks) == (1, 0)
    assert [c.deprecated for c in cited(workspace)] == [False]
    workspace.verify()


def test_a_record_says_it_in_its_own_field(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "kb.jsonl"
    rows = [
        {"id": "old", "title": "Leave", "text": OLD, "metadata": {"acl": ["anyone"], "deprecated": True}},
        {"id": "odd", "text": "x", "metadata": {"acl": ["anyone"], "deprecated": "yes"}},
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    workspace.load_people([Entry("user:alice", frozenset())])
    workspace.add_source("jsonl", file, "kb")
    (report,) = workspace.sync()
    assert [(f.name, f.code) for f in report.faults] == [("odd", "bad_record")]
    assert [c.deprecated for c in cited(workspace)] == [True]


def test_records_are_governed_as_their_mapping_says(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "kb.jsonl"
    about = {"acl": ["anyone"], "level": "confidential", "order": 3, "days": 30}
    file.write_text(json.dumps({"id": "one", "text": OLD, "metadata": about}) + "\n")
    workspace.load_people([Entry("user:alice", frozenset())])
    mapping = {"classification": "metadata.level", "rank": "metadata.order", "fresh_days": "metadata.days"}
    workspace.add_source("jsonl", file, "kb", mapping=mapping)
    workspace.sync()
    with workspace.parts.database.read():
        (known,) = workspace.parts.catalog.known(1).values()
    assert known.governance == ("", "confidential", 3, 30, 0)
