"""Judged questions as people keep them: the folders of BEIR and of this project, the files of TREC.

``queries.jsonl`` (``id`` or ``_id``, ``text``), or ``id<TAB>text`` a line; judgements as ``query document grade`` or TREC's
``query 0 document grade``, with or without a line of titles; ``spans.jsonl`` (``query_id``, ``doc_id``, ``start``, ``end``): the
passage that answers, as character offsets into the document's text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affidavit.domain.errors import ManifestError, UsageError

_MOST = 512_000_000  # bytes of one file


@dataclass(frozen=True)
class Asked:
    """One question. ``who`` asks it, "" for whoever the evaluation says."""

    id: str
    text: str
    who: str = ""


@dataclass(frozen=True)
class Judged:
    """Questions and what is right for each: documents with their grade, stretches of documents (name, start, end)."""

    questions: tuple[Asked, ...]
    documents: Mapping[str, Mapping[str, int]]
    spans: Mapping[str, tuple[tuple[str, int, int], ...]]

    def only_judged(self) -> Judged:
        """Without the questions for which nothing is right: they have no measure."""
        right = tuple(q for q in self.questions if any(g > 0 for g in self.documents.get(q.id, {}).values()))
        return Judged(right, self.documents, self.spans)


def read_folder(folder: Path) -> Judged:
    """A folder in the layout of BEIR (``queries.jsonl``, ``qrels/test.tsv``) or of this project (``qrels.tsv``, ``spans.jsonl``).

    Raises UsageError if there is none, ManifestError with file and line if one is malformed.
    """
    qrels = next((p for p in (folder / "qrels.tsv", folder / "qrels" / "test.tsv") if p.is_file()), None)
    if qrels is None:
        raise UsageError(f"{folder} holds no qrels.tsv", "or name the files: --queries FILE --qrels FILE")
    spans = folder / "spans.jsonl"
    return read_files(folder / "queries.jsonl", qrels, spans if spans.is_file() else None)


def read_files(queries: Path, qrels: Path, spans: Path | None = None) -> Judged:
    """The same from files by name. Raises ManifestError."""
    asked = {}
    for number, line in _lines(queries):
        question = _question(queries, number, line)
        if question.id in asked:
            raise _wrong(queries, number, f"question {question.id} stands twice")
        asked[question.id] = question
    judged: dict[str, dict[str, int]] = {}
    for number, line in _lines(qrels):
        said = _judgement(qrels, number, line)
        if said is not None:
            judged.setdefault(said[0], {})[said[1]] = said[2]
    stretches: dict[str, list[tuple[str, int, int]]] = {}
    for number, line in _lines(spans) if spans else ():
        query, span = _span(spans, number, line)  # type: ignore[arg-type]  # there are lines, so there is a file
        stretches.setdefault(query, []).append(span)
    return Judged(tuple(asked.values()), judged, {q: tuple(s) for q, s in stretches.items()})


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        if path.stat().st_size > _MOST:
            raise UsageError(f"{path} is larger than {_MOST:,} bytes", "split it")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "check the path") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path} is not UTF-8", "write it as UTF-8") from error
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line.rstrip("\r")


def _question(path: Path, number: int, line: str) -> Asked:
    if not line.lstrip().startswith("{"):
        word, tab, said = line.partition("\t")
        if not tab or not said.strip():
            raise _wrong(path, number, "neither JSON nor id<TAB>question")
        return Asked(word.strip(), said.strip())
    value = _object(path, number, line)
    name, text, who = value.get("id", value.get("_id")), value.get("text"), value.get("as", "")
    if not isinstance(name, str | int) or not isinstance(text, str) or not isinstance(who, str):
        raise _wrong(path, number, 'a question is {"id": "…", "text": "…"}')
    return Asked(str(name), text, who)


def _judgement(path: Path, number: int, line: str) -> tuple[str, str, int] | None:
    parts = line.split("\t") if "\t" in line else line.split()
    if len(parts) == 4:
        del parts[1]  # TREC's unused column
    if len(parts) != 3:
        raise _wrong(path, number, "a judgement is: query, document, grade")
    try:
        return parts[0].strip(), parts[1].strip(), int(parts[2])
    except ValueError:
        if number == 1:
            return None  # titles
        raise _wrong(path, number, f"{parts[2]!r} is no grade") from None


def _span(path: Path, number: int, line: str) -> tuple[str, tuple[str, int, int]]:
    value = _object(path, number, line)
    query, name, start, end = (value.get(k) for k in ("query_id", "doc_id", "start", "end"))
    if not isinstance(query, str) or not isinstance(name, str):
        raise _wrong(path, number, "a span names query_id and doc_id")
    if type(start) is not int or type(end) is not int or not 0 <= start < end:
        raise _wrong(path, number, "start and end are offsets, start before end")
    return query, (name, start, end)


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _wrong(path, number, f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise _wrong(path, number, "not an object")
    return value


def _wrong(path: Path, number: int, what: str) -> ManifestError:
    return ManifestError(f"{path}:{number}: {what}", "see docs/how-to/batch-and-evaluate.md")
