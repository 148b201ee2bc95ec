"""Judged questions in the layouts that people have."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from affidavit.domain.errors import AffidavitError, ManifestError, UsageError
from affidavit.evals.judged import Asked, read_files, read_folder

OURS = '{"id": "q1", "text": "leave?"}\n{"_id": "q2", "text": "pay?", "as": "bob"}\n'


def test_a_folder_of_ours(tmp_path: Path) -> None:
    (tmp_path / "queries.jsonl").write_text(OURS)
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tleave.md\t1\nq1\told leave.md\t0\n")
    (tmp_path / "spans.jsonl").write_text('{"query_id": "q1", "doc_id": "leave.md", "start": 3, "end": 9}\n')
    found = read_folder(tmp_path)
    assert found.questions == (Asked("q1", "leave?"), Asked("q2", "pay?", "bob"))
    assert found.documents == {"q1": {"leave.md": 1, "old leave.md": 0}}
    assert found.spans == {"q1": (("leave.md", 3, 9),)}
    assert [q.id for q in found.only_judged().questions] == ["q1"]


def test_a_folder_of_beir(tmp_path: Path) -> None:
    (tmp_path / "queries.jsonl").write_text(OURS)
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\r\nq2\tpay.md\t2\r\n")
    assert read_folder(tmp_path).documents == {"q2": {"pay.md": 2}}


def test_files_of_trec(tmp_path: Path) -> None:
    (tmp_path / "topics").write_text("1\twhat of wings?\n2\tand of heat?\n")
    (tmp_path / "qrels").write_text("1 0 d7 1\n2 0 d9 -1\n")
    found = read_files(tmp_path / "topics", tmp_path / "qrels")
    assert [q.text for q in found.questions] == ["what of wings?", "and of heat?"]
    assert found.documents == {"1": {"d7": 1}, "2": {"d9": -1}}
    assert [q.id for q in found.only_judged().questions] == ["1"]


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        ("queries", '{"id": "q1"}\n', ":1:"),
        ("queries", OURS + "{", ":3:"),
        ("queries", OURS + "[1]", ":3:"),
        ("queries", '{"id": "q1", "text": "a"}\n\n{"id": "q1", "text": "b"}', ":3:"),
        ("queries", "no tab here", ":1:"),
        ("qrels", "q1\td\t1\nq1\td\tgood\n", ":2:"),
        ("qrels", "q1\n", ":1:"),
        ("spans", '{"query_id": "q1", "doc_id": "d", "start": 9, "end": 3}', ":1:"),
        ("spans", '{"query_id": "q1", "doc_id": "d", "start": true, "end": 3}', ":1:"),
    ],
)
def test_what_is_malformed_names_its_line(tmp_path: Path, name: str, text: str, where: str) -> None:
    good = {"queries": OURS, "qrels": "q1\td\t1\n", "spans": ""}
    for file, content in {**good, name: text}.items():
        (tmp_path / file).write_text(content)
    with pytest.raises(ManifestError) as caught:
        read_files(tmp_path / "queries", tmp_path / "qrels", tmp_path / "spans")
    assert f"{name}{where}" in caught.value.message


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        read_folder(tmp_path)
    (tmp_path / "bad").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ManifestError):
        read_files(tmp_path / "bad", tmp_path / "bad")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=80), st.binary(max_size=80), st.binary(max_size=80))
def test_nothing_but_our_errors(tmp_path: Path, queries: bytes, qrels: bytes, spans: bytes) -> None:
    for name, content in (("a", queries), ("b", qrels), ("c", spans)):
        (tmp_path / name).write_bytes(content)
    try:
        read_files(tmp_path / "a", tmp_path / "b", tmp_path / "c")
    except AffidavitError:
        pass
