"""The folder connector."""

from __future__ import annotations

import difflib
import errno
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from affidavit.adapters.folder import tree
from affidavit.adapters.folder.manifest import (
    EXAMPLE,
    MANIFEST,
    MAX_MANIFEST,
    Effective,
    Manifest,
    parse_manifest,
)
from affidavit.adapters.listing import escaped, gone, is_text_name, pages
from affidavit.domain.clock import SystemClock
from affidavit.domain.errors import ManifestError, SourceError
from affidavit.domain.media import UNKNOWN, may_be_document, media_type_for
from affidavit.domain.records import Governance
from affidavit.ports.connector import ConnectorCapabilities, Content, Fault, Item, Page

if TYPE_CHECKING:
    from watchfiles import Change

# Kernels stamp files with a clock that ticks every 1 to 10 ms. A file changed twice within one tick keeps its stamp, so one
# that was changed a moment ago is read only when that moment is over.
_TICK = 20_000  # microseconds

# How long a watch waits before it looks whether the root is still the folder it is watching.
_WATCH_MILLISECONDS = 200


@dataclass(frozen=True)
class _Place:
    """A folder to be listed: where it is, what it inherits, and the topmost folder without any rule above it, if any."""

    parts: tuple[str, ...]
    inherited: Effective
    unruled: str | None = None

    @property
    def name(self) -> str:
        return "/".join(self.parts) or "."

    def file(self, name: str) -> str:
        return "/".join((*self.parts, name))


@dataclass(frozen=True)
class _Entered:
    """A folder with its own manifest counted in; ``fault`` is what is wrong with that, if anything."""

    place: _Place
    manifest: Manifest
    effective: Effective
    fault: Fault | None

    def governed(self, name: str) -> Effective:
        """What holds for the file ``name`` in it."""
        rules = self.manifest.files.get(name)
        return self.effective if rules is None else self.effective.under(rules)


class FolderConnector:
    """Documents in a directory tree, with rules from ``access.toml`` files (see ``manifest``).

    An item's name is its path below ``root`` with ``/`` between the parts; its suffix is a hint at the media type. Symbolic
    links are never followed, wherever they lead: each is a Fault. Dot-files, ``__pycache__`` and editors' backups are
    skipped in silence. Files over ``max_bytes`` are Faults. POSIX only. Safe to use from several threads.
    """

    def __init__(self, root: Path, *, max_bytes: int = 32 * 1024 * 1024, page_size: int = 256) -> None:
        self._root = root.absolute()
        self._max_bytes = max_bytes
        self._page_size = page_size
        self._parse = lru_cache(maxsize=256)(parse_manifest)  # by content: never stale

    @property
    def capabilities(self) -> ConnectorCapabilities:
        return ConnectorCapabilities("folder", listing=True, watch=True)

    def changes(self, cursor: str) -> Iterator[Page]:
        """Every document there is, in a fixed order. Raises SourceError if the root is, or goes, out of reach."""
        return pages(self._walk(), self._page_size)

    def fetch(self, item: Item) -> Content:
        """The document's bytes, with a stamp and rule that held at one moment together with them.

        Raises SourceError if it is gone, unreadable, too large or keeps changing.
        """
        parts = tuple(item.name.split("/"))
        kind = media_type_for(parts[-1]) or UNKNOWN
        if not may_be_document(parts[-1]) or not all(
            is_text_name(part) and not _skipped(part) and part for part in parts
        ):
            raise SourceError(f"{escaped(item.name)} is not a document of {self._root}")
        for _ in range(3):
            with tree.opened_root(self._root) as root:
                content = self._read(root, parts, kind)
            if content is not None:
                return content
        raise SourceError(f"{item.name} keeps changing while it is read", "sync again when it has settled")

    def watch(self) -> Iterator[None]:
        """Yields once as soon as changes are being noticed, so that a sync then misses nothing, and after each burst of
        changes. Raises SourceError when the root is out of reach."""
        while True:
            with tree.opened_root(self._root) as root:
                yield from self._watch_root(os.fstat(root))

    # --- listing ----------------------------------------------------------------------------------------------

    def _walk(self) -> Iterator[Item | Fault]:
        with tree.opened_root(self._root) as root:
            stack = [_Place((), Effective())]
            reported: set[str] = set()
            while stack:
                below = []
                for one in self._folder(root, stack.pop()):
                    if isinstance(one, _Place):
                        below.append(one)
                    elif not (isinstance(one, Fault) and one.code == "no_rule"):
                        yield one
                    elif one.name not in reported:
                        reported.add(one.name)
                        yield one
                stack.extend(reversed(below))
            self._still_there(root)

    def _still_there(self, root: int) -> None:
        """Raises SourceError if the root was taken away during the pass: what it did not name is not gone."""
        try:
            now = self._root.stat()
        except OSError as error:
            raise tree.unreachable(self._root, error) from error
        if not os.path.samestat(now, os.fstat(root)):
            raise SourceError(f"the folder {self._root} was replaced while it was listed", "sync again")

    def _folder(self, root: int, place: _Place) -> list[Item | Fault | _Place]:
        """Items and faults of one folder, and the folders in it."""
        try:
            with tree.opened_folder(root, place.parts) as fd:
                entered = self._enter(fd, place)
                found = tree.entries(fd)
                out: list[Item | Fault | _Place] = [] if entered.fault is None else [entered.fault]
                if not found and not place.parts:
                    out.append(_empty(self._root))
                out.extend(self._missing(entered, found))
                for entry in found:
                    out.extend(self._entry(fd, entered, entry))
                return out
        except OSError as error:
            if tree.concerns_everything(error) or not place.parts:
                raise tree.unreachable(self._root, error) from error
            if error.errno == errno.ENOENT:  # deleted since its parent was listed
                return []
            return [_unreadable(place.name, error, "its documents are taken out until it can be listed")]

    def _enter(self, fd: int, place: _Place) -> _Entered:
        where = place.file(MANIFEST)
        try:
            manifest = self._manifest(fd, where)
        except ManifestError as error:
            hint = f"{error.hint}; " if error.hint else ""
            hint += "until then nobody can read anything in this folder and below"
            fault = Fault(where, "manifest", error.message, hint)
            return _Entered(place, Manifest(), replace(place.inherited, sealed=True), fault)
        effective = place.inherited.under(manifest.folder)
        return _Entered(place, manifest, effective, None)

    def _manifest(self, fd: int, where: str) -> Manifest:
        """The folder's manifest, an empty one if it has none. Raises ManifestError."""
        try:
            with tree.opened_file(fd, MANIFEST) as file:
                found = os.fstat(file)
                if not stat.S_ISREG(found.st_mode):
                    raise ManifestError(f"{where}: not a regular file", "replace it by one")
                return self._parse(tree.read(file, MAX_MANIFEST), where)
        except FileNotFoundError:
            return Manifest()
        except OSError as error:
            if tree.concerns_everything(error):
                raise
            if error.errno == errno.ELOOP:
                raise ManifestError(f"{where}: a symbolic link", "replace it by the file itself") from error
            raise ManifestError(f"{where}: cannot be read: {error.strerror}", "make it readable") from error

    def _missing(self, entered: _Entered, found: Sequence[tree.Entry]) -> Iterator[Fault]:
        """A warning for each table about a file that is not there."""
        names = [entry.name for entry in found if not _is_folder(entry)]
        for name in sorted(set(entered.manifest.files) - set(names)):
            where = entered.place.file(MANIFEST)
            message = f"{where}:{entered.manifest.lines[name]}: there is no file {name!r} in this folder"
            close = difflib.get_close_matches(name, names[:1000], 1)
            hint = f"did you mean {close[0]!r}?" if close else "take the table out, or put the file back"
            yield Fault(where, "manifest", message, hint, hides=False)

    def _entry(self, fd: int, entered: _Entered, entry: tree.Entry) -> Iterator[Item | Fault | _Place]:
        name = entered.place.file(entry.name)
        if _skipped(entry.name) or (isinstance(entry.found, OSError) and entry.found.errno == errno.ENOENT):
            return
        if not _is_text(entry.name):
            # Nothing was ever indexed under such a name, and its escaped form may be another document's true name.
            message = f"the name {escaped(name)} is not UTF-8 text, or holds control characters"
            yield Fault(escaped(name), "bad_name", message, "rename it", hides=False)
        elif isinstance(entry.found, OSError):
            if tree.concerns_everything(entry.found):
                raise entry.found
            yield _unreadable(name, entry.found, "check its permissions")
        elif stat.S_ISDIR(entry.found.st_mode):
            place = entered.place
            unruled = (place.unruled or place.name) if entered.effective.unruled else None
            yield _Place((*place.parts, entry.name), entered.effective, unruled)
        else:
            fault = self._unfit(fd, name, entry.name, entry.found)
            if fault is None:
                yield from self._document(entered, name, entry.name, entry.found)
            else:
                yield fault

    def _unfit(self, fd: int, name: str, base: str, found: os.stat_result) -> Fault | None:
        """Why what is at ``name`` is no document, if it is none."""
        if stat.S_ISLNK(found.st_mode):
            hint = "links are never followed: put the file itself here"
            return Fault(name, "symlink", f"{name} is a symbolic link", hint)
        if tree.is_special(found.st_mode):
            return Fault(name, "special", f"{name} is a pipe, socket or device", "it was not opened")
        if not may_be_document(base):
            hint = "save it as PDF, Office, HTML or text, or leave it out"
            return Fault(name, "unsupported", f"{name}: files of this kind are not read", hint)
        if found.st_size > self._max_bytes:
            return Fault(name, "too_large", _too_large(name, self._max_bytes), "split it, or raise the limit")
        if not tree.readable(fd, base):
            return _unreadable(
                name, PermissionError(errno.EACCES, "Permission denied"), "check its permissions"
            )
        return None

    def _document(
        self, entered: _Entered, name: str, base: str, found: os.stat_result
    ) -> Iterator[Item | Fault]:
        effective = entered.governed(base)
        if effective.unruled:
            place = entered.place
            inherits = entered.effective.unruled
            yield _no_rule(name, (place.unruled or place.name) if inherits else None, base)
        location = f"{self._root}/{name}"
        modified = found.st_mtime_ns // 1000
        yield Item(name, tree.stamp(found), location, effective.governance, modified)

    # --- fetching ---------------------------------------------------------------------------------------------

    def _read(self, root: int, parts: tuple[str, ...], kind: str) -> Content | None:
        """The content, or None if it changed while it was read."""
        name = "/".join(parts)
        try:
            with tree.opened_folder(root, parts[:-1]) as folder, tree.opened_file(folder, parts[-1]) as file:
                before = os.fstat(file)
                if not stat.S_ISREG(before.st_mode):
                    raise SourceError(f"{name} is not a regular file", "it was not read")
                _let_the_tick_pass(before)
                data = tree.read(file, self._max_bytes)
            governance = self._governance(root, parts)
            with tree.opened_folder(root, parts[:-1]) as folder:
                after = tree.status(folder, parts[-1])
        except FileNotFoundError as error:
            raise gone(name, self._root) from error
        except OSError as error:
            raise SourceError(f"{name} cannot be read: {error.strerror}", "check its permissions") from error
        if len(data) > self._max_bytes:
            raise SourceError(_too_large(name, self._max_bytes), "split it, or raise the limit")
        if tree.stamp(before) != tree.stamp(after):
            return None
        return Content(data, kind, tree.stamp(before), governance)

    def _governance(self, root: int, parts: tuple[str, ...]) -> Governance:
        """What the manifests on the way to ``parts`` say now. Raises OSError."""
        entered = _Entered(_Place((), Effective()), Manifest(), Effective(), None)
        with closing(tree.descent(root, parts[:-1])) as folders:
            for depth, fd in enumerate(folders):
                entered = self._enter(fd, _Place(parts[:depth], entered.effective))
        return entered.governed(parts[-1]).governance

    # --- watching ---------------------------------------------------------------------------------------------

    def _watch_root(self, watched: os.stat_result) -> Iterator[None]:
        """Follow the root for as long as it is the folder ``watched``."""
        # Imported here: it starts a native library and only the watching process needs it.
        from watchfiles import watch  # noqa: PLC0415

        bursts = watch(
            self._root,
            watch_filter=lambda _, path: self._matters(path),
            rust_timeout=_WATCH_MILLISECONDS,
            yield_on_timeout=True,
            ignore_permission_denied=True,
        )
        with closing(bursts):
            try:
                yield from self._bursts(bursts, watched)
            except OSError as error:
                hint = "the system may allow too few watches; a sync without watching still works"
                raise SourceError(f"the folder {self._root} cannot be watched: {error}", hint) from error

    def _bursts(self, bursts: Iterator[set[tuple[Change, str]]], watched: os.stat_result) -> Iterator[None]:
        armed = False
        for burst in bursts:
            if burst or not armed:
                yield None
            armed = True
            if not self._is(watched):
                return

    def _is(self, watched: os.stat_result) -> bool:
        try:
            return os.path.samestat(self._root.stat(), watched)
        except OSError as error:
            raise tree.unreachable(self._root, error) from error

    def _matters(self, path: str) -> bool:
        parts = path.removeprefix(str(self._root)).strip("/").split("/")
        return parts[-1] == MANIFEST or not any(_skipped(part) for part in parts)


def _skipped(name: str) -> bool:
    """Names that are passed over in silence."""
    return name.startswith(".") or name in (MANIFEST, "__pycache__") or name.endswith(("~", ".swp"))


def _is_text(name: str) -> bool:
    if not is_text_name(name):
        return False
    try:
        os.fsencode(name).decode("utf-8")  # the bytes on disk, whatever encoding the process runs under
    except UnicodeDecodeError:
        return False
    return True


def _is_folder(entry: tree.Entry) -> bool:
    return not isinstance(entry.found, OSError) and stat.S_ISDIR(entry.found.st_mode)


def _let_the_tick_pass(found: os.stat_result) -> None:
    if abs(SystemClock().now() - found.st_ctime_ns // 1000) < _TICK:
        time.sleep(_TICK / 1_000_000)


def _too_large(name: str, limit: int) -> str:
    return f"{name} is larger than {limit} bytes"


def _unreadable(name: str, error: OSError, hint: str) -> Fault:
    return Fault(name, "unreadable", f"{name} cannot be read: {error.strerror}", hint)


def _empty(root: Path) -> Fault:
    message = f"the folder {root} is empty"
    return Fault(".", "empty", message, "if it should not be, check that it is mounted", hides=False)


def _no_rule(name: str, folder: str | None, base: str) -> Fault:
    """Nobody may read the document: because of ``folder``, or, if None, because its own table took its rule away."""
    if folder is None:
        message = f"no one can read {name}: its table in {MANIFEST} says inherit = false and allows nobody"
        hint = f'add to [files."{base}"], for example: {EXAMPLE}'
        return Fault(name, "no_rule", message, hint, hides=False)  # the item itself says so: nobody
    path, here = (MANIFEST, "the top folder") if folder == "." else (f"{folder}/{MANIFEST}", folder)
    message = f"no one can read {name}, nor anything else in {here} that has no rule of its own"
    narrows = "; its allow then holds for every folder below too" if folder == "." else ""
    return Fault(folder, "no_rule", message, f"write {path} with, for example: {EXAMPLE}{narrows}")
