"""The folder connector: the conformance suite, hostile trees, races and vanished roots."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from affidavit.adapters.folder import FolderConnector, tree
from affidavit.domain.access import AccessRule
from affidavit.domain.errors import SourceError
from affidavit.ports.connector import Connector, Fault, Item
from affidavit.testing.clock import FixedClock
from affidavit.testing.connector_conformance import ConnectorConformance, Scratch, listing

STAFF = AccessRule.of(["group:staff"])
RULE = 'allow = ["group:staff"]\n'


class FolderScratch:
    """A folder whose files have a table each, so that access can be set per item."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._access: dict[str, tuple[str, ...]] = {}

    def connector(self, page_size: int = 256) -> Connector:
        return FolderConnector(self.root, page_size=page_size)

    def put(self, name: str, text: str) -> None:
        (self.root / name).write_bytes(text.encode())
        self._access.setdefault(name, ("group:staff",))
        self._write()

    def delete(self, name: str) -> None:
        (self.root / name).unlink()
        del self._access[name]
        self._write()

    def rename(self, old: str, new: str) -> None:
        (self.root / old).rename(self.root / new)
        self._access[new] = self._access.pop(old)
        self._write()

    def allow(self, name: str, *principals: str) -> None:
        self._access[name] = principals
        self._write()

    def damage(self) -> None:
        os.mkfifo(self.root / "m.md")

    def vanish(self) -> None:
        shutil.rmtree(self.root)

    def _write(self) -> None:
        tables = [
            f"[files.'{name}']\nallow = {list(principals)}\n"
            if "'" not in name
            else f'[files."{name.replace(chr(34), chr(92) + chr(34))}"]\nallow = {list(principals)}\n'
            for name, principals in self._access.items()
        ]
        (self.root / "access.toml").write_text("".join(tables), encoding="utf-8")


class TestConformance(ConnectorConformance):
    @pytest.fixture
    def scratch(self, tmp_path: Path) -> Scratch:
        root = tmp_path / "root"
        root.mkdir()
        return FolderScratch(root)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "docs"
    (root / "hr" / "pay").mkdir(parents=True)
    (root / "access.toml").write_text(RULE)
    (root / "top.md").write_text("top")
    (root / "hr" / "a.md").write_text("a")
    (root / "hr" / "pay" / "b.txt").write_text("b")
    return root


def codes(faults: list[Fault]) -> dict[str, tuple[str, bool]]:
    assert all(fault.message.isprintable() and fault.hint.isprintable() for fault in faults)
    return {fault.name: (fault.code, fault.hides) for fault in faults}


def test_items(root: Path) -> None:
    connector = FolderConnector(root)
    items, faults = listing(connector)
    assert faults == []
    assert list(items) == ["top.md", "hr/a.md", "hr/pay/b.txt"]
    found = (root / "hr" / "a.md").stat()
    assert items["hr/a.md"].location == str(root / "hr" / "a.md")
    assert items["hr/a.md"].modified == found.st_mtime_ns // 1000
    assert items["hr/a.md"].governance.access == STAFF
    assert connector.capabilities.kind == "folder"
    assert connector.capabilities.listing
    assert connector.capabilities.watch


def test_the_suffix_hints_at_the_media_type_in_any_case(root: Path) -> None:
    expected = {
        "m.MarkDown": "text/markdown",
        "p.HTM": "text/html",
        "l.log": "text/plain",
        "r.rst": "text/plain",
        "c.csv": "text/csv",
        "t.tsv": "text/tab-separated-values",
        "x.pyi": "text/x-python",
        "README": "application/octet-stream",
    }
    for name in expected:
        (root / name).write_text("x")
    connector = FolderConnector(root)
    items, _ = listing(connector)
    assert {name: connector.fetch(items[name]).media_type for name in expected} == expected


def test_what_is_skipped_in_silence(root: Path) -> None:
    for name in (".hidden.md", "a.md~", "b.md.swp", "__pycache__/c.py", ".git/d.md", "hr/.e.txt"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("x")
    items, faults = listing(FolderConnector(root))
    assert faults == []
    assert len(items) == 3


def test_what_cannot_be_a_document_is_a_fault(root: Path) -> None:
    (root / "logo.png").write_bytes(b"\x89PNG")
    os.mkfifo(root / "pipe.md")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(root / "sock.md"))
    (root / "inside.md").symlink_to(root / "top.md")
    (root / "dangling.md").symlink_to("/nowhere")
    (root / "linked").symlink_to("/etc")
    (root / "big.md").write_bytes(b"x" * 101)
    items, faults = listing(FolderConnector(root, max_bytes=100))
    assert len(items) == 3
    assert codes(faults) == {
        "logo.png": ("unsupported", True),
        "pipe.md": ("special", True),
        "sock.md": ("special", True),
        "inside.md": ("symlink", True),
        "dangling.md": ("symlink", True),
        "linked": ("symlink", True),
        "big.md": ("too_large", True),
    }


def test_names_that_are_no_text_or_not_printable(root: Path) -> None:
    bad = [
        b"latin\xe9.md",
        b"new\nline.md",
        b"esc\x1b[31m.md",
        b"del\x7f.md",
        "\u202egnp.md".encode(),
        b"dir\xff",
    ]
    for name in bad[:-1]:
        (root / os.fsdecode(name)).write_text("x")
    (root / os.fsdecode(bad[-1])).mkdir()
    (root / "new\\nline.md").write_text("the true bearer of the escaped name")
    items, faults = listing(FolderConnector(root))
    assert set(items) == {"top.md", "hr/a.md", "hr/pay/b.txt", "new\\nline.md"}
    assert codes(faults) == {
        "latin\\udce9.md": ("bad_name", False),
        "new\\nline.md": ("bad_name", False),
        "esc\\x1b[31m.md": ("bad_name", False),
        "del\\x7f.md": ("bad_name", False),
        "\\u202egnp.md": ("bad_name", False),
        "dir\\udcff": ("bad_name", False),
    }


def test_a_file_that_may_not_be_read_is_a_fault(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def access(path: str, mode: int, **_: object) -> bool:
        return path != "a.md"

    monkeypatch.setattr(os, "access", access)
    items, faults = listing(FolderConnector(root))
    assert "hr/a.md" not in items
    assert codes(faults) == {"hr/a.md": ("unreadable", True)}


class Failing:
    """Makes os.open fail for one name with one errno."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
        self._name = name
        self._number = number
        self._open = os.open
        monkeypatch.setattr(os, "open", self)

    def __call__(self, path: Any, *args: Any, **kwargs: Any) -> int:
        if path == self._name:
            raise OSError(self._number, os.strerror(self._number))
        return self._open(path, *args, **kwargs)


def test_a_folder_that_cannot_be_listed_hides_its_documents(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Failing(monkeypatch, "pay", errno.EACCES)
    items, faults = listing(FolderConnector(root))
    assert set(items) == {"top.md", "hr/a.md"}
    assert codes(faults) == {"hr/pay": ("unreadable", True)}


def test_a_folder_deleted_during_the_pass_is_no_fault(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Failing(monkeypatch, "pay", errno.ENOENT)
    items, faults = listing(FolderConnector(root))
    assert set(items) == {"top.md", "hr/a.md"}
    assert faults == []


@pytest.mark.parametrize("name", ["pay", "access.toml"])
@pytest.mark.parametrize("number", [errno.EMFILE, errno.ESTALE, errno.ENOTCONN])
def test_trouble_that_concerns_everything_stops_the_pass(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    Failing(monkeypatch, name, number)
    with pytest.raises(SourceError, match="cannot be read") as caught:
        list(FolderConnector(root).changes(""))
    assert caught.value.retryable


def test_a_file_as_root_is_an_error(root: Path) -> None:
    with pytest.raises(SourceError):
        list(FolderConnector(root / "top.md").changes(""))


@pytest.mark.parametrize("replaced", [False, True])
def test_a_root_that_goes_away_during_the_pass_is_an_error(root: Path, replaced: bool) -> None:
    pages = FolderConnector(root, page_size=1).changes("")
    assert not next(pages).drained
    root.rename(root.with_name("elsewhere"))
    if replaced:
        root.mkdir()
    with pytest.raises(SourceError):
        list(pages)


def test_an_empty_root_is_pointed_out(tmp_path: Path) -> None:
    items, faults = listing(FolderConnector(tmp_path))
    assert items == {}
    assert codes(faults) == {".": ("empty", False)}
    assert "mounted" in faults[0].hint


def test_the_root_itself_may_be_reached_through_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    connector = FolderConnector(tmp_path / "link")
    items, _ = listing(connector)
    assert connector.fetch(items["hr/a.md"]).data == b"a"


def test_a_forged_modification_time_does_not_hide_a_change(root: Path) -> None:
    connector = FolderConnector(root)
    before, _ = listing(connector)
    then = (root / "top.md").stat()
    with (root / "top.md").open("r+") as file:
        file.write("pot")
    os.utime(root / "top.md", ns=(then.st_atime_ns, then.st_mtime_ns))
    after, _ = listing(connector)
    assert after["top.md"].stamp != before["top.md"].stamp


def test_a_change_right_after_a_fetch_changes_the_stamp(root: Path) -> None:
    connector = FolderConnector(root)
    for number in range(20):
        (root / "top.md").write_text(f"{number:03}")
        items, _ = listing(connector)
        stamp = connector.fetch(items["top.md"]).stamp
        with (root / "top.md").open("r+") as file:  # in place, same size, at once
            file.write("xyz")
        items, _ = listing(connector)
        assert items["top.md"].stamp != stamp


def test_a_file_changed_a_moment_ago_is_read_when_the_moment_is_over(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two changes within one tick of the kernel's clock would leave one stamp."""
    waits: list[float] = []
    connector = FolderConnector(root)
    (root / "top.md").write_text("new")
    items, _ = listing(connector)
    changed = (root / "top.md").stat().st_ctime_ns // 1000
    monkeypatch.setattr(time, "sleep", waits.append)
    for later, waited in ((0, 1), (19_999, 2), (20_000, 2), (50_000, 2)):
        clock = FixedClock(changed + later)
        monkeypatch.setattr("affidavit.adapters.folder.connector.SystemClock", lambda clock=clock: clock)
        connector.fetch(items["top.md"])
        assert len(waits) == waited


@pytest.fixture
def listed(root: Path) -> tuple[FolderConnector, dict[str, Item]]:
    connector = FolderConnector(root, max_bytes=100)
    return connector, listing(connector)[0]


def test_a_parent_swapped_for_a_link_leads_nowhere(
    root: Path, tmp_path: Path, listed: tuple[FolderConnector, dict[str, Item]]
) -> None:
    connector, items = listed
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.md").write_text("secret")
    (root / "hr").rename(root / "was_hr")
    (root / "hr").symlink_to(tmp_path / "outside")
    with pytest.raises(SourceError):
        connector.fetch(items["hr/a.md"])


def test_what_a_file_is_swapped_for_is_not_read(
    root: Path, tmp_path: Path, listed: tuple[FolderConnector, dict[str, Item]]
) -> None:
    connector, items = listed
    path = root / "hr" / "a.md"
    (tmp_path / "secret.md").write_text("secret")
    path.unlink()
    path.symlink_to(tmp_path / "secret.md")
    with pytest.raises(SourceError):
        connector.fetch(items["hr/a.md"])
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(SourceError, match="not a regular file"):
        connector.fetch(items["hr/a.md"])
    path.unlink()
    path.mkdir()
    with pytest.raises(SourceError, match="not a regular file"):
        connector.fetch(items["hr/a.md"])
    path.rmdir()
    path.write_bytes(b"x" * 101)
    with pytest.raises(SourceError, match="larger than 100 bytes"):
        connector.fetch(items["hr/a.md"])


@pytest.mark.parametrize(
    "name", ["../secret.md", "/etc/a.md", "hr//a.md", ".git/a.md", "hr/access.toml", "a\n.md", ""]
)
def test_names_that_a_listing_never_gives_are_refused(root: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.md").write_text("secret")
    item = Item(name, "", "", listing(FolderConnector(root))[0]["top.md"].governance)
    with pytest.raises(SourceError, match="is not a document of"):
        FolderConnector(root).fetch(item)


class Interfering:
    """Runs ``change`` after each read of a file's content."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, change: Iterator[None], limit: int) -> None:
        self._read = tree.read
        self._change = change
        self._limit = limit
        monkeypatch.setattr(tree, "read", self)

    def __call__(self, fd: int, limit: int) -> bytes:
        data = self._read(fd, limit)
        if limit == self._limit:  # not a manifest
            next(self._change, None)
        return data


def test_content_and_rule_held_at_one_moment(
    root: Path, listed: tuple[FolderConnector, dict[str, Item]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redacted and then opened up while it is read: the old text must not come with the new rule."""
    connector, items = listed

    def redact() -> Iterator[None]:
        (root / "top.md").write_text("***")
        (root / "access.toml").write_text('allow = ["anyone"]\n')
        yield

    Interfering(monkeypatch, redact(), 100)
    content = connector.fetch(items["top.md"])
    assert (content.data, content.governance.access) == (b"***", AccessRule.of(["anyone"]))
    assert content.stamp != items["top.md"].stamp


def test_a_file_that_is_replaced_while_it_is_read_is_read_again(
    root: Path, listed: tuple[FolderConnector, dict[str, Item]], monkeypatch: pytest.MonkeyPatch
) -> None:
    connector, items = listed

    def replace() -> Iterator[None]:
        (root / "new.md").write_text("new")
        (root / "new.md").replace(root / "top.md")
        yield

    Interfering(monkeypatch, replace(), 100)
    assert connector.fetch(items["top.md"]).data == b"new"


def test_a_file_that_never_settles_is_an_error(
    root: Path, listed: tuple[FolderConnector, dict[str, Item]], monkeypatch: pytest.MonkeyPatch
) -> None:
    connector, items = listed

    def churn() -> Iterator[None]:
        while True:
            with (root / "top.md").open("a") as file:
                file.write("x")
            yield

    Interfering(monkeypatch, churn(), 100)
    with pytest.raises(SourceError, match="keeps changing"):
        connector.fetch(items["top.md"])


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    subprocess.run(["rm", "-rf", tmp_path], check=True)  # pytest's own way of removing it is recursive


def test_a_very_deep_tree(deep: Path) -> None:
    """Deeper than Python's stack, and its paths longer than the system takes in one piece."""
    (deep / "access.toml").write_text(RULE)
    depth = 1050
    fd = os.open(deep, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("dddd", dir_fd=fd)
        below = os.open("dddd", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("deep.md", os.O_WRONLY | os.O_CREAT, dir_fd=fd))
    os.close(fd)
    connector = FolderConnector(deep)
    items, faults = listing(connector)
    assert faults == []
    assert list(items) == ["dddd/" * depth + "deep.md"]
    assert connector.fetch(next(iter(items.values()))).data == b""


def test_ten_thousand_files_list_quickly(tmp_path: Path) -> None:
    (tmp_path / "access.toml").write_text(RULE)
    for folder in range(50):
        (tmp_path / f"f{folder}").mkdir()
        for number in range(200):
            os.close(os.open(f"{tmp_path}/f{folder}/{number}.md", os.O_WRONLY | os.O_CREAT))
    took = []
    for _ in range(2):
        start = time.process_time()
        items, faults = listing(FolderConnector(tmp_path))
        took.append(time.process_time() - start)
        assert (len(items), faults) == (10_000, [])
    assert min(took) < 4  # seconds of work; what is quadratic in the files of a folder takes longer


def test_watch_notices_bursts_and_ends_when_closed(root: Path) -> None:
    bursts = FolderConnector(root).watch()
    assert next(bursts) is None  # armed
    (root / ".hidden").write_text("skipped in silence")
    written = threading.Event()

    def write() -> None:
        written.set()
        (root / "hr" / "pay" / "new.md").write_text("x")

    timer = threading.Timer(0.8, write)
    timer.start()
    assert next(bursts) is None
    assert written.is_set(), "the dot-file alone is no burst"
    timer.join()
    bursts.close()  # type: ignore[attr-defined]  # it would not come back


def test_watch_notices_manifests(root: Path) -> None:
    bursts = FolderConnector(root).watch()
    next(bursts)
    (root / "hr" / "access.toml").write_text("allow = []\n")
    assert next(bursts) is None


def test_watch_follows_a_root_that_is_replaced(root: Path) -> None:
    bursts = FolderConnector(root).watch()
    next(bursts)
    root.rename(root.with_name("old"))
    root.mkdir()
    assert next(bursts) is None
    time.sleep(0.1)
    deadline = threading.Timer(0.5, (root / "new.md").write_text, ["x"])
    deadline.start()
    assert next(bursts) is None
    deadline.join()


def test_watch_of_a_root_that_vanishes_is_an_error(root: Path) -> None:
    bursts = FolderConnector(root).watch()
    next(bursts)
    shutil.rmtree(root)
    with pytest.raises(SourceError):
        for _ in bursts:
            pass
    with pytest.raises(SourceError):
        next(FolderConnector(root).watch())
