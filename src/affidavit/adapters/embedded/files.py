"""The index folder: a manifest naming the files that count, and those files. The manifest's replacement is the commit.

A file is never changed once it is named. Unreadable, changed or missing files mean IndexDamagedError, never a wrong answer;
the float32 vectors, too large to be read at opening, are checked row by row when used.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from affidavit.adapters.embedded.access import AccessBatch
from affidavit.adapters.embedded.arrays import I64
from affidavit.adapters.embedded.container import FileEntry, read, write
from affidavit.adapters.embedded.merge import Array, ArraySpec, MergePlan
from affidavit.adapters.embedded.segment import FILE_FIELDS, Segment
from affidavit.domain.canonical import Json, canonical, digest, sha256
from affidavit.domain.errors import DiskFullError, IndexDamagedError, WorkspaceError
from affidavit.text.analyze import LONGEST_TERM, STOPWORDS, terms

FORMAT = 1
MANIFEST = "manifest.json"
_OURS = re.compile(r"(rows|vectors|facts)(-[0-9a-f]{8}-[0-9a-f]+\.affidx|\.tmp)|manifest\.tmp")
_PROBE = "Der Überblick: running runners' ERR-4032 foo_bar HTTPServer v2.10 can't billing.invoice 東京都 naïve STUDIES 12,5"


@cache
def analyzer() -> str:
    """A digest that changes when the analyser does: terms filed under another analyser's rules cannot be found."""
    return digest([terms(_PROBE), LONGEST_TERM, sorted(STOPWORDS)])[:16]


@dataclass(frozen=True)
class SegmentFiles:
    """The two files of a segment."""

    rows: FileEntry
    vectors: FileEntry

    @property
    def name(self) -> str:
        """Tells segments apart, by content."""
        return f"{self.rows.name} {self.vectors.name}"


@dataclass(frozen=True)
class Manifest:
    """What counts: up to which position, of which embedder, in which files."""

    position: int
    fingerprint: str
    segments: tuple[SegmentFiles, ...]
    facts: FileEntry

    @property
    def bytes(self) -> int:
        return self.facts.size + sum(s.rows.size + s.vectors.size for s in self.segments)

    @property
    def names(self) -> frozenset[str]:
        files = [self.facts, *(f for s in self.segments for f in (s.rows, s.vectors))]
        return frozenset(f.name for f in files)


@dataclass(frozen=True, eq=False)
class Facts:
    """What changes about rows without touching them: the whole access history and every ended chunk."""

    access: AccessBatch
    chunk: I64
    until: I64


@dataclass(frozen=True, eq=False)
class Loaded:
    """An opened folder."""

    manifest: Manifest
    segments: tuple[Segment, ...]
    facts: Facts


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest; None if there is none. Raises IndexDamagedError."""
    try:
        text = (folder / MANIFEST).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as wrong:
        raise IndexDamagedError(f"the manifest cannot be read: {wrong.strerror}") from wrong
    try:
        return _parse_manifest(json.loads(text))
    except (ValueError, KeyError, TypeError, RecursionError) as wrong:
        raise IndexDamagedError(f"the manifest is broken: {wrong}"[:200]) from wrong


def _parse_manifest(value: Mapping[str, Any]) -> Manifest:
    body = value["body"]
    if value["checksum"] != sha256(canonical(body)):
        raise ValueError("its checksum differs")
    if body["format"] != FORMAT:
        raise ValueError(f"format {body['format']} is not {FORMAT}")
    if body["analyzer"] != analyzer():
        raise ValueError("it was made with another text analyser")
    segments = tuple(
        SegmentFiles(FileEntry(**s["rows"]), FileEntry(**s["vectors"])) for s in body["segments"]
    )
    return Manifest(body["position"], body["fingerprint"], segments, FileEntry(**body["facts"]))


def load(folder: Path, known: Mapping[str, Segment]) -> Loaded | None:
    """Open the folder, taking segments in ``known`` (by name) as they are; None if it holds no index. Raises IndexDamagedError.

    If a named file is gone because another process has just replaced the manifest, the new manifest is read.
    """
    manifest = read_manifest(folder)
    while manifest is not None:
        try:
            segments = tuple(known.get(s.name) or _load_segment(folder, s) for s in manifest.segments)
            return Loaded(manifest, segments, _load_facts(folder, manifest.facts))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as wrong:
            raise IndexDamagedError(f"an index file is not of the right form: {wrong!r}"[:200]) from wrong
        except OSError as wrong:
            newer = read_manifest(folder)
            if newer == manifest:
                raise IndexDamagedError(f"{wrong.filename}: {wrong.strerror}") from wrong
            manifest = newer
    return None


def _load_segment(folder: Path, files: SegmentFiles) -> Segment:
    arrays = read(folder, files.rows, check=True)
    vectors = read(folder, files.vectors, check=False).get("vectors")
    n, dimensions = arrays["codes"].shape if set(arrays) == set(FILE_FIELDS) else (0, 0)
    if vectors is None or vectors.shape != (n, dimensions) or vectors.dtype != np.float32 or not n:
        raise IndexDamagedError(f"{files.name}: the two files of a segment do not fit each other")
    return Segment(**arrays, vectors=vectors)


def _load_facts(folder: Path, entry: FileEntry) -> Facts:
    arrays = read(folder, entry, check=True)
    access = AccessBatch(arrays["document"], arrays["rule"], arrays["since"], arrays["until"])
    return Facts(access, arrays["ended_chunk"], arrays["ended_until"])


def open_written(folder: Path, files: SegmentFiles) -> Segment:
    """Map a segment this process has just written."""
    arrays = read(folder, files.rows, check=False)
    return Segment(**arrays, vectors=read(folder, files.vectors, check=False)["vectors"])


def write_segment(folder: Path, plan: MergePlan) -> SegmentFiles:
    """Write the segment of ``plan``. Raises OSError."""
    rows = write(folder, "rows", list(plan.specs()))
    return SegmentFiles(rows, write(folder, "vectors", [plan.vectors()]))


def write_facts(folder: Path, facts: Facts) -> FileEntry:
    """Write ``facts``. Raises OSError."""
    access = facts.access
    columns = {
        "document": access.document,
        "rule": access.rule,
        "since": access.since,
        "until": access.until,
        "ended_chunk": facts.chunk,
        "ended_until": facts.until,
    }
    return write(folder, "facts", [_spec(name, column) for name, column in columns.items()])


def _spec(name: str, column: Array) -> ArraySpec:
    return ArraySpec(name, column.dtype, column.shape, lambda: iter((column,)))


def commit(folder: Path, manifest: Manifest) -> None:
    """Make ``manifest`` the one that counts, then delete what no manifest names any more. Raises OSError."""
    body: Json = {
        "format": FORMAT,
        "analyzer": analyzer(),
        "position": manifest.position,
        "fingerprint": manifest.fingerprint,
        "segments": [{"rows": s.rows.as_json(), "vectors": s.vectors.as_json()} for s in manifest.segments],
        "facts": manifest.facts.as_json(),
    }
    temporary = folder / "manifest.tmp"
    with temporary.open("wb") as out:
        out.write(canonical({"body": body, "checksum": sha256(canonical(body))}))
        out.flush()
        os.fsync(out.fileno())
    _sync(folder)
    target = folder / MANIFEST
    if target.is_dir():
        shutil.rmtree(target)
    temporary.replace(target)
    _sync(folder)
    clean(folder, manifest.names)


def clean(folder: Path, keep: frozenset[str]) -> None:
    """Delete index files not named in ``keep``; nothing else in the folder is touched. A reader that has one mapped keeps it."""
    for path in folder.iterdir():
        if _OURS.fullmatch(path.name) and path.name not in keep:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def writing(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock if it is free: whether it is held. The folder is made if need be.

    Raises DiskFullError, or WorkspaceError if the folder cannot be written; half-written files are removed.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
    except OSError as wrong:
        _remove_temporary(folder)
        if wrong.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(
                "the disk is full", f"free some space for {folder}, then sync again"
            ) from wrong
        raise WorkspaceError(
            f"the index folder cannot be written: {wrong}", f"check the folder {folder} and its permissions"
        ) from wrong


def _remove_temporary(folder: Path) -> None:
    """Best effort: what stays is removed by the next commit."""
    for path in folder.glob("*.tmp") if folder.is_dir() else ():
        if _OURS.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)
