"""A change to a git repository: a branch with one commit, never the branch that people work from. Needs git on the path."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, TypedDict

from affidavit import Case, Context, Limits, ToolError, tool

_BASE = "main"
_NOTHING = "0" * 40
_WHO = {f"GIT_{who}_{what}": f"affidavit{'@localhost' * (what == 'EMAIL')}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
_place: dict[str, Path] = {}


class Proposed(TypedDict):
    branch: str
    patch: str


def configure(settings: dict[str, str]) -> None:
    """``repository`` is a repository beside tools.toml, bare or not. Its files are not touched, only its branches."""
    _place["repository"] = Path(settings["folder"]) / settings.get("repository", "handbook.git")


def _git(*arguments: str, given: str = "", **variables: str) -> str:
    """What git prints. No shell, no prompt, none of the user's own settings."""
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, **_WHO, **variables}
    done = subprocess.run(
        ["git", "-C", str(_place["repository"]), *arguments], input=given.encode("utf-8"), env=environment, capture_output=True, check=False
    )
    if done.returncode:
        raise ToolError(f"git {arguments[0]}: {done.stderr.decode('utf-8', 'replace').strip()[:300]}")
    return done.stdout.decode("utf-8", "replace").strip()


@tool(effect="write", idempotency="by_key", owner="documentation", data=["text", "message"], attempts=3, undo="drop_change@1")
def propose_change(
    path: Annotated[str, Limits(least=1, most=200, pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$")],
    text: Annotated[str, Limits(most=100_000)],
    message: Annotated[str, Limits(least=1, most=500)],
    context: Context,
) -> Proposed:
    """Propose a new text for one file of the handbook: makes a branch with one commit that somebody can review and merge."""
    branch = f"change-{context.key[:16]}"
    if not _git("for-each-ref", f"refs/heads/{branch}"):
        with TemporaryDirectory() as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            _git("read-tree", _BASE, **index)
            blob = _git("hash-object", "-w", "--stdin", given=text)
            _git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", **index)
            tree = _git("write-tree", **index)
        commit = _git("commit-tree", tree, "-p", _BASE, given=message)
        try:
            # one step, and only if nobody made it meanwhile: the branch's name is the key
            _git("update-ref", f"refs/heads/{branch}", commit, _NOTHING)
        except ToolError:
            if not _git("for-each-ref", f"refs/heads/{branch}"):
                raise
    return {"branch": branch, "patch": _git("diff", "--no-ext-diff", f"{_BASE}...{branch}")[:50_000]}


@tool(effect="write", idempotency="native", owner="documentation", attempts=3)
def drop_change(branch: Annotated[str, Limits(most=40, pattern=r"^change-[0-9a-z-]{1,16}$")]) -> None:
    """Delete a branch that propose_change made. One that is gone already stays gone."""
    if _git("for-each-ref", f"refs/heads/{branch}"):
        _git("update-ref", "-d", f"refs/heads/{branch}")


# -- on trial: affidavit tool test changes.py


@contextmanager
def sandbox() -> Iterator[object]:
    with TemporaryDirectory() as folder:
        configure({"folder": folder})
        _place["repository"].mkdir()
        _git("init", "-q", "--bare", "-b", _BASE)
        tree = _git("mktree", given=f"100644 blob {_git('hash-object', '-w', '--stdin', given='Be kind.')}\trules.md")
        commit = _git("commit-tree", tree, given="begin")
        _git("update-ref", f"refs/heads/{_BASE}", commit)
        _git("update-ref", "refs/heads/change-old", commit)
        yield lambda: _git("for-each-ref", "--format=%(refname) %(tree)", "refs/heads")


cases = [
    Case(propose_change, {"path": "rules.md", "text": "Be kind and brief.", "message": "Shorter is kinder"}),
    Case(propose_change, {"path": "../.ssh/authorized_keys", "text": "", "message": "x"}, refused=True),
    Case(propose_change, {"path": ".git/config", "text": "", "message": "x"}, refused=True),
    Case(drop_change, {"branch": "change-old"}),
    Case(drop_change, {"branch": "main"}, refused=True),
]
