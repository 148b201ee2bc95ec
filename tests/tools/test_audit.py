"""The audit of what is locked: a withdrawn release and a known weakness are found, and silence is no good news."""

from __future__ import annotations

import hashlib
import threading
import zipfile
from collections.abc import Iterator
from datetime import date
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tools import audit

TODAY = date(2026, 11, 21)
SAID = {
    "dependencies": [
        {"name": "good", "version": "1.0", "vulns": []},
        {
            "name": "weak",
            "version": "2.0",
            "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["2.1"], "aliases": [], "description": "…"}],
        },
        {"name": "unheard", "skip_reason": "Dependency not found on PyPI"},
    ]
}


def test_a_weakness_is_told_with_its_remedy_and_what_was_not_looked_up_too() -> None:
    wrong, unknown = audit.weaknesses(SAID, TODAY)
    assert wrong == ["weak 2.0: PYSEC-2026-1, fixed in 2.1"]
    assert unknown == ["unheard"]


def test_a_weakness_is_accepted_until_its_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(audit.ACCEPTED, "PYSEC-2026-1", ("not reached", TODAY))
    assert audit.weaknesses(SAID, TODAY)[0] == []
    assert len(audit.weaknesses(SAID, date(2026, 11, 22))[0]) == 1


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *words: object) -> None:
        """Tests say enough."""


def _wheel(folder: Path, version: str) -> tuple[str, str]:
    """An empty package; its file's name and digest."""
    name = f"tiny-{version}-py3-none-any.whl"
    about = f"tiny-{version}.dist-info"
    with zipfile.ZipFile(folder / name, "w") as file:
        file.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n")
        file.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{about}/RECORD", "")
    return name, hashlib.sha256((folder / name).read_bytes()).hexdigest()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """A package index with two releases of ``tiny``, 1.0 withdrawn; their digests."""
    folder = tmp_path / "simple" / "tiny"
    folder.mkdir(parents=True)
    made = {version: _wheel(folder, version) for version in ("1.0", "1.1")}
    links = (
        f'<a href="{name}#sha256={digest}"{" data-yanked=broken" if version == "1.0" else ""}>{name}</a>'
        for version, (name, digest) in made.items()
    )
    (folder / "index.html").write_text("<!doctype html>" + "".join(links), "utf-8")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple/")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    yield {version: digest for version, (_, digest) in made.items()}
    server.shutdown()
    server.server_close()


@pytest.mark.network
@pytest.mark.enable_socket
def test_a_withdrawn_release_is_found(index: dict[str, str], tmp_path: Path) -> None:
    for version, found in (("1.0", ["tiny 1.0"]), ("1.1", [])):
        lock = tmp_path / f"{version}.txt"
        lock.write_text(f"tiny=={version} --hash=sha256:{index[version]}\n", "utf-8")
        assert audit.withdrawn(lock) == found


@pytest.mark.network
@pytest.mark.enable_socket
def test_a_package_that_is_not_what_was_locked_is_no_good_news(index: dict[str, str], tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(f"tiny==1.1 --hash=sha256:{index['1.0']}\n", "utf-8")
    with pytest.raises(SystemExit, match="cannot be looked up"):
        audit.withdrawn(lock)
