"""The JSON Lines connector: one JSON object per line, one document per object."""

from __future__ import annotations

import gzip
import os
import stat
import threading
import weakref
import zlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path

from affidavit.adapters.jsonl_records import BadRecordError, Record, RecordReader, parse
from affidavit.adapters.listing import gone, pages
from affidavit.domain.errors import SourceError, UsageError
from affidavit.ports.connector import ConnectorCapabilities, Content, Fault, Item, Page

_BOM = b"\xef\xbb\xbf"
_UNREADABLE = (OSError, EOFError, zlib.error)  # the last two: a compressed file that was cut off or damaged


@dataclass(frozen=True)
class _Line:
    """A line's number (from 1), where it begins in the uncompressed file, and its bytes; None if it is too long."""

    number: int
    offset: int
    data: bytes | None


class JsonlConnector:
    """Documents in a ``.jsonl`` or ``.jsonl.gz`` file.

    ``mapping`` says where a field is: a dotted path (``metadata.acl``), ``""`` for nowhere, or for title, owner and
    media_type a constant after an equals sign (``=text/markdown``). The access field is a list of principals, or a list
    of such lists that must all be met; a name without a prefix is a group. ``allow`` (any of these principals) holds for
    records that have no access field, and only for them; without it nobody may read those. A record's other text,
    integer, boolean and list fields under ``metadata`` become the item's metadata.

    A pass reads the file as it was when it was opened. What is fetched in the order of the listing is decompressed only
    once. Raises UsageError for a mapping or ``allow`` that makes no sense. ``fetch`` may be called from several threads.
    """

    def __init__(
        self,
        path: Path,
        *,
        mapping: Mapping[str, str] | None = None,
        allow: Sequence[str] = (),
        max_line_bytes: int = 32 * 1024 * 1024,
        page_size: int = 256,
    ) -> None:
        self._path = path.absolute()
        self._reader = RecordReader(str(self._path), mapping or {}, allow)
        self._max_line_bytes = max_line_bytes
        self._page_size = page_size
        self._where: dict[str, tuple[int, int]] = {}  # id → (offset, length) of its line, as last listed
        self._file = _KeptFile() if self._path.name.endswith(".gz") else None
        self._lock = threading.Lock()

    @property
    def capabilities(self) -> ConnectorCapabilities:
        return ConnectorCapabilities("jsonl", listing=True)

    def changes(self, cursor: str) -> Iterator[Page]:
        """Every record, in the order of the file. Raises SourceError if the file as a whole cannot be read, or if no
        record says who may read it and ``allow`` does not either."""
        return pages(self._list(), self._page_size)

    def fetch(self, item: Item) -> Content:
        """The text of the record, as it stands now. Raises SourceError if it is gone or the file was replaced."""
        if item.name not in self._where:
            self._where = self._scan()
        if item.name not in self._where:
            raise gone(item.name, self._path)
        record = self._record_at(*self._where[item.name], item.name)
        return Content(record.text.encode(), record.media_type, record.item.stamp, record.item.governance)

    def watch(self) -> Iterator[None]:
        """Not offered. Raises UsageError."""
        raise UsageError(f"{self._path} cannot be watched", "sync it again from time to time")

    # --- listing ----------------------------------------------------------------------------------------------

    def _list(self) -> Iterator[Item | Fault]:
        if not self._reader.has_default:
            self._check_somebody_may_read()
        where: dict[str, tuple[int, int]] = {}
        self._where = where
        first: dict[str, int] = {}
        empty = True
        for line in self._lines():
            empty = False
            try:
                record = self._read_line(line, first)
            except BadRecordError as bad:
                yield self._fault(line.number, bad)
                continue
            if not record.ruled and not self._reader.has_default:
                yield self._no_rule(line.number, record.item.name)
            where[record.item.name] = (line.offset, len(line.data or b""))
            yield record.item
        if empty:
            message = f"{self._path} holds no records"
            yield Fault(self._path.name, "empty", message, "check that it is the right file", hides=False)

    def _read_line(self, line: _Line, first: dict[str, int]) -> Record:
        """The record of a line whose id has not come before; ``first`` remembers the ids. Raises BadRecordError."""
        value = self._parsed(line)
        name = self._reader.name(value)
        if name in first:
            hint = f"the one in line {first[name]} holds; give each its own id"
            raise BadRecordError("duplicate", f"the id {name!r} was there before", hint, name)
        first[name] = line.number
        try:
            return self._reader.record(value, name, line.data or b"")
        except BadRecordError as bad:
            bad.name = name
            raise

    def _parsed(self, line: _Line) -> Mapping[str, object]:
        if line.data is None:
            message = f"longer than {self._max_line_bytes} bytes"
            raise BadRecordError("too_large", message, "split it, or raise the limit")
        return parse(line.data.removeprefix(_BOM) if line.offset == 0 else line.data)

    def _fault(self, number: int, bad: BadRecordError) -> Fault:
        place = f"{self._path.name}:{number}"
        return Fault(bad.name or place, bad.code, f"{place}: {bad.message}", bad.hint, hides=bad.hides)

    def _no_rule(self, number: int, name: str) -> Fault:
        message = f"{self._path.name}:{number}: no one can read {name}: it has no access field"
        hint = f"looked for {self._reader.spoken('acl')}; --allow PRINCIPAL holds for records without one"
        return Fault(name, "no_rule", message, hint, hides=False)  # the item itself says so: nobody

    def _check_somebody_may_read(self) -> None:
        """Raises SourceError if there are records and none has an access field. Reads up to the first that has."""
        records = False
        with closing(self._lines()) as lines:
            for line in lines:
                try:
                    value = self._parsed(line)
                    self._reader.name(value)
                    if self._reader.is_ruled(value):
                        return
                except BadRecordError:  # it becomes a Fault when the file is listed
                    continue
                records = True
        if records:
            raise SourceError(
                f"no one could read anything of {self._path}: no record has an access field",
                f"looked for {self._reader.spoken('acl')}; say with --allow PRINCIPAL who may read records without "
                "one, for example --allow anyone",
            )

    # --- bytes ------------------------------------------------------------------------------------------------

    def _open(self) -> BufferedIOBase:
        """The file, uncompressed. Raises SourceError."""
        try:
            # O_NONBLOCK: opening a FIFO must not wait for a writer.
            fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise self._unreachable(error) from error
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise self._unreachable(OSError("not a regular file"))
        raw = os.fdopen(fd, "rb")
        return raw if self._file is None else _Unzipped(raw)

    def _unreachable(self, error: Exception) -> SourceError:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        return SourceError(
            f"{self._path} cannot be read: {reason}",
            "check that it exists and is whole; nothing was taken for deleted",
        )

    def _lines(self) -> Generator[_Line, None, None]:
        """The lines that are not blank. Memory is bounded by the longest line allowed. Raises SourceError."""
        limit = self._max_line_bytes
        with closing(self._open()) as file:
            number = offset = 0
            while data := self._readline(file, limit + 2):
                number += 1
                start = offset
                offset += len(data)
                if len(data.rstrip(b"\r\n")) > limit:
                    while not data.endswith(b"\n") and (data := self._readline(file, 1 << 16)):
                        offset += len(data)
                    yield _Line(number, start, None)
                elif data.strip():
                    yield _Line(number, start, data)

    def _readline(self, file: BufferedIOBase, size: int) -> bytes:
        try:
            return file.readline(size)
        except _UNREADABLE as error:
            raise self._unreachable(error) from error

    def _scan(self) -> dict[str, tuple[int, int]]:
        """Where each record is; of two with one id, the first."""
        where: dict[str, tuple[int, int]] = {}
        for line in self._lines():
            try:
                name = self._reader.name(self._parsed(line))
            except BadRecordError:  # a Fault of the listing
                continue
            where.setdefault(name, (line.offset, len(line.data or b"")))
        return where

    def _record_at(self, offset: int, length: int, name: str) -> Record:
        """The record ``name`` at a place where it was once. Raises SourceError if it is not there now."""
        # The byte before is read too: a line must begin here, not an object inside another one.
        before = min(offset, 1)
        try:
            data = self._bytes_at(offset - before, before + length)
        except _UNREADABLE as error:
            raise self._unreachable(error) from error
        moved = SourceError(
            f"{name} is no longer where it was: {self._path} was changed or replaced meanwhile", "sync again"
        )
        if data[:before] not in (b"", b"\n"):
            raise moved
        try:
            value = self._parsed(_Line(0, offset, data[before:]))
            if self._reader.name(value) == name:
                return self._reader.record(value, name, data)
        except BadRecordError as bad:
            raise moved from bad
        raise moved

    def _bytes_at(self, offset: int, length: int) -> bytes:
        if self._file is None:
            with closing(self._open()) as file:
                file.seek(offset)
                return file.read(length)
        with self._lock:
            found = self._path.stat()
            now = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            if self._file.identity != now:
                self._file.replace(self._open(), now)
            return self._file.bytes_at(offset, length)


class _KeptFile:
    """A compressed file that stays open from one fetch to the next; ``identity`` tells which file it is."""

    def __init__(self) -> None:
        self.identity: tuple[int, ...] = ()
        self._file: BufferedIOBase | None = None
        self._close: weakref.finalize[[], _KeptFile] | None = None

    def replace(self, file: BufferedIOBase, identity: tuple[int, ...]) -> None:
        """Keep ``file`` instead; it is closed with this object at the latest."""
        self.forget()
        self._file, self.identity = file, identity
        self._close = weakref.finalize(self, file.close)

    def forget(self) -> None:
        """Close what is kept, if anything is."""
        if self._close is not None:
            self._close()
        self._file, self.identity = None, ()

    def bytes_at(self, offset: int, length: int) -> bytes:
        """``length`` bytes of the uncompressed file. Raises OSError, EOFError or zlib.error, and forgets the file."""
        if self._file is None:
            raise OSError("no file is open")
        try:
            self._file.seek(offset)
            return self._file.read(length)
        except _UNREADABLE:
            self.forget()
            raise


class _Unzipped(gzip.GzipFile):
    """A compressed file that closes what it reads from."""

    def __init__(self, raw: BufferedIOBase) -> None:
        super().__init__(fileobj=raw, mode="rb")
        self._raw = raw

    def close(self) -> None:
        super().close()
        self._raw.close()
