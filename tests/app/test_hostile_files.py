"""Files that others hand over (policies, releases, backups) end in an error with a name: soon, and without harm."""

from __future__ import annotations

import copy
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import affidavit
from affidavit.app.backup import MANIFEST, backup, restore
from affidavit.app.supposed import read_policy
from affidavit.app.wiring import DATABASE, KEY
from affidavit.domain.errors import AffidavitError, UsageError
from affidavit.domain.release import DEFAULT

QUESTION = "How many days is walrus leave?"


@pytest.fixture
def ws(
    workspace: affidavit.Workspace, write_folder: Callable[[dict[str, str | bytes]], Path], tmp_path: Path
) -> affidavit.Workspace:
    root = write_folder(
        {"access.toml": 'allow = ["anyone"]', "leave.md": "# Leave\n\nWalrus leave is 20 days."}
    )
    people = tmp_path / "people.jsonl"
    people.write_text('{"id": "alice"}\n')
    workspace.import_people(people)
    workspace.add_source("folder", root, "docs")
    workspace.sync()
    return workspace


def _with(change: Callable[[Any], object]) -> str:
    content = copy.deepcopy(json.loads(json.dumps(DEFAULT)))
    change(content)
    return json.dumps(content)


RELEASES = {
    "nested too deep": "[" * 100_000,
    "a list": "[]",
    "weights that are a list": _with(lambda c: c["suffice"]["dense"].update(weights=[])),
    "an endless number": _with(lambda c: c["retrieve"].update(pool=float("inf"))),
    "a fraction": _with(lambda c: c["retrieve"].update(keyword=0.5)),
    "no number": _with(lambda c: c["retrieve"].update(keyword="nan")),
    "more than there is memory": _with(lambda c: c["retrieve"].update(pool=10**15)),
    "fewer than none": _with(lambda c: c["retrieve"].update(k=-5)),
    "not text": "\ud800",
}


@pytest.mark.parametrize("name", list(RELEASES))
def test_a_hostile_release_is_named(ws: affidavit.Workspace, tmp_path: Path, name: str) -> None:
    run = ws.ask(QUESTION, "alice").run
    file = tmp_path / "release.json"
    file.write_bytes(RELEASES[name].encode("utf-8", "surrogatepass"))
    with pytest.raises(UsageError):
        ws.replays.what_if(ws.parts.tenant(""), run, [("release", str(file))])


@pytest.mark.parametrize("what", ["device", "pipe", "large", "stars", "deep"])
def test_a_hostile_policy_is_read_soon_or_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / "p.toml"
    match what:
        case "device":
            path.symlink_to("/dev/zero")
        case "pipe":
            os.mkfifo(path)
        case "large":
            path.write_text("#" * 2_000_000)
        case "deep":
            path.write_text("x = " + "[" * 100_000)
        case _:
            path.write_text(f'[[rule]]\nmatch = "docs/{"**a" * 30}b"\nallow = ["anyone"]\n')
            began = time.monotonic()
            assert read_policy(path).rule_for("docs", "a" * 400) is None
            # a backtracking search would take longer than the world is old
            assert time.monotonic() - began < 60
            return
    with pytest.raises(UsageError):
        read_policy(path)


@pytest.mark.parametrize(
    ("match", "name", "found"),
    [
        ("docs/*.md", "a.md", True),
        ("docs/*.md", "sub/a.md", False),
        ("docs/**", "sub/a.md", True),
        ("docs/**.md", "sub/a.md", True),
        ("docs/?.md", "ab.md", False),
        ("docs/?.md", "/.md", False),
        ("docs/?.md", "a.md", True),
        ("docs/***", "a/b", True),
        ("docs/a*b*c", "aXbXc", True),
        ("docs/a*b*c", "aXb/c", False),
        ("docs/[a].md", "a.md", False),
        ("docs/a\nb", "a\nb", True),
        ("docs/*", "a\nb", True),
        ("docs", "a.md", False),
        ("**", "anything/at/all", True),
    ],
)
def test_what_a_policy_s_pattern_matches(tmp_path: Path, match: str, name: str, found: bool) -> None:
    path = tmp_path / "p.toml"
    path.write_text(f'[[rule]]\nmatch = {json.dumps(match)}\nallow = ["anyone"]\n')
    assert (read_policy(path).rule_for("docs", name) is not None) is found


def _replaced(path: Path, what: str) -> None:
    path.unlink()
    match what:
        case "device":
            path.symlink_to("/dev/zero")
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to("/etc/passwd")


@pytest.mark.parametrize("what", ["device", "pipe", "folder", "link"])
@pytest.mark.parametrize("name", [DATABASE, MANIFEST, KEY])
def test_a_backup_is_made_of_plain_files(
    ws: affidavit.Workspace, tmp_path: Path, name: str | Path, what: str
) -> None:
    backup(ws.parts, tmp_path / "copy", with_key=True)
    _replaced(tmp_path / "copy" / name, what)
    with pytest.raises(AffidavitError):
        restore(tmp_path / "copy", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob("new.part*"))


@pytest.mark.parametrize("text", ["[" * 90_000, "{}", '{"format": 1}', "\ud800"])
def test_a_hostile_manifest_is_named(ws: affidavit.Workspace, tmp_path: Path, text: str) -> None:
    backup(ws.parts, tmp_path / "copy", with_key=True)
    (tmp_path / "copy" / MANIFEST).write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(UsageError):
        restore(tmp_path / "copy", tmp_path / "new")


def test_a_key_of_another_size_is_not_copied(ws: affidavit.Workspace, tmp_path: Path) -> None:
    backup(ws.parts, tmp_path / "copy", with_key=True)
    with (tmp_path / "copy" / KEY).open("wb") as file:
        file.truncate(2**26)
    with pytest.raises(UsageError, match="is not a log's key"):
        restore(tmp_path / "copy", tmp_path / "new")
