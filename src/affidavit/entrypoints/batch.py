"""Batch modes: many questions from a JSON Lines file, a TREC run or answers into another."""

from __future__ import annotations

import json
import os
import tempfile
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from affidavit.app.workspace import Workspace
from affidavit.ask.searcher import Hits
from affidavit.domain.canonical import Json
from affidavit.domain.errors import DiskFullError, ManifestError, UnknownNameError, UsageError
from affidavit.entrypoints.output import Output

_SHAPE = '{"id": "q1", "text": "…", "as": "alice"} ("as" and "tenant" may be left out where --as and --tenant say it)'


def read_questions(path: Path) -> list[dict[str, Any]]:
    """The questions of a file. Raises ManifestError with file and line."""
    questions: list[dict[str, Any]] = []
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}", "check the path") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise ManifestError(
                f"{path}:{number}: not JSON: {error}", f"one object a line: {_SHAPE}"
            ) from error
        if not isinstance(value, dict) or not isinstance(value.get("text"), str) or "id" not in value:
            raise ManifestError(f"{path}:{number}: not a question", f"one object a line: {_SHAPE}")
        if not isinstance(value.get("as", ""), str) or not isinstance(value.get("tenant", ""), str):
            raise ManifestError(
                f'{path}:{number}: "as" and "tenant" are names', f"one object a line: {_SHAPE}"
            )
        questions.append(value)
    return questions


@contextmanager
def written(path: Path | None) -> Iterator[IO[str]]:
    """A file that appears whole or not at all."""
    if path is None:
        raise UsageError("--batch needs --out FILE", "say where the results go")
    part: Path | None = None
    try:
        # a new file under a name that nobody can foresee: never through a link, never over another file
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        part = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        kind = DiskFullError if error.errno == 28 else UsageError  # ENOSPC
        raise kind(f"{path} cannot be written: {error.strerror}", "check the folder and its space") from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def _asker(question: dict[str, Any], user: str) -> str:
    who = question.get("as") or user
    if not who:
        raise UsageError(
            f"question {question['id']} does not say who asks", 'add "as" to the line, or --as USER'
        )
    return str(who)


def trec_lines(query: str, hits: Hits, *, chunks: bool) -> Iterator[str]:
    """``query Q0 document rank score affidavit``; white space inside an id is percent-encoded.

    A score is never above the one before it less a billionth, so that tools which sort by score keep our order.
    """
    last = float("inf")
    for rank, hit in enumerate(hits.hits, 1):
        name = hit.chunk if chunks else hit.view.name
        last = min(hit.ranked.score, last - 1e-9)
        yield f"{_word(query)} Q0 {_word(name)} {rank} {last:.9f} affidavit\n"


def _word(name: str) -> str:
    spaced = any(c.isspace() or not c.isprintable() for c in name)
    return urllib.parse.quote(name, safe="") if spaced else name


def batch_search(
    ws: Workspace,
    out: Output,
    path: Path,
    target: Path | None,
    user: str,
    k: int,
    tenant: str,
    as_of: int | None,
    where: Json,
    *,
    chunks: bool,
) -> None:
    """Search for every question of ``path`` into a TREC run file."""
    lines = read_questions(path)
    questions = [
        ws.question(q["text"], _asker(q, user), q.get("tenant") or tenant, as_of, where) for q in lines
    ]
    with written(target) as file, out.progress("searching", len(lines)) as bar:
        found = ws.search_batch(questions, k, chunks=chunks, progress=lambda: bar.advance(bar.tasks[0].id))
        for question, hits in zip(lines, found, strict=True):
            file.writelines(trec_lines(str(question["id"]), hits, chunks=chunks))
    out.json({"queries": len(lines), "out": str(target)}) if out.as_json else out.say(
        f"{len(lines)} queries into {target}"
    )


def batch_ask(
    ws: Workspace,
    out: Output,
    path: Path,
    target: Path | None,
    user: str,
    tenant: str,
    as_of: int | None,
    where: Json,
) -> None:
    """Answer every question of ``path`` into a JSON Lines file."""
    lines = read_questions(path)
    counts: dict[str, int] = {}
    with written(target) as file, out.progress("asking", len(lines)) as bar:
        for q in lines:
            try:
                answer = ws.ask(q["text"], _asker(q, user), q.get("tenant") or tenant, as_of, where)
                status, told = answer.status.value, answer.as_json()
            except UnknownNameError as error:  # one stranger must not stop the others
                status, told = "failed", {"status": "failed", "error": error.as_dict()}
            counts[status] = counts.get(status, 0) + 1
            file.write(json.dumps({"id": q["id"], **told}, ensure_ascii=False) + "\n")
            bar.advance(bar.tasks[0].id)
    summary = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
    out.json({"questions": len(lines), **counts, "out": str(target)}) if out.as_json else out.say(
        f"{summary or 'no questions'}; into {target}"
    )
