"""`affidavit tool test`, and the example tools on trial."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.conftest import EXAMPLES
from tests.entrypoints.test_cli import quick

from affidavit.app.toolfile import read_tools
from affidavit.app.tooltests import try_module
from affidavit.domain.tools import Effect, Idempotency

TOOLS = EXAMPLES / "tools"
COUNTER = '''
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from affidavit import Case, Context, tool

def configure(settings):
    global FILE
    FILE = Path(settings["folder"]) / "count"

@tool(effect="write", idempotency="{kind}")
def count(n: int, context: Context) -> None:
    """Count up."""
    with FILE.open("a") as file:
        file.write(str(n))

@tool(effect="read")
def idle() -> None:
    """Nothing."""

@contextmanager
def sandbox():
    with TemporaryDirectory() as folder:
        configure({{"folder": folder}})
        yield lambda: FILE.read_text() if FILE.exists() else ""

cases = [Case(count, {{"n": 1}})]
'''


def test_a_broken_promise_is_exit_status_1(tmp_path: Path) -> None:
    (tmp_path / "counter.py").write_text(COUNTER.format(kind="by_key"))
    said, _ = quick(tmp_path, "tool", "test", "counter.py", status=1)
    assert "count@1, case 1, twice: the second call with one key changed something" in said
    assert "count@1: 1 case, FAILED" in said
    assert "idle@1: nobody wrote a case for it" in said
    said, _ = quick(tmp_path, "tool", "test", "counter.py", "--json", status=1)
    report = json.loads(said)
    assert not report["passed"]
    assert report["without_cases"] == ["idle@1"]
    assert {c["property"] for c in report["checks"] if c["verdict"] == "finding"} >= {"twice", "killed"}


def test_the_tools_of_a_workspace_are_tried_without_their_settings(tmp_path: Path) -> None:
    quick(tmp_path, "init", "ws", "--embedder", "none")
    folder = tmp_path / "ws"
    (folder / "counter.py").write_text(COUNTER.format(kind="none"))
    (folder / "tools.toml").write_text('[[tools]]\nfile = "counter.py"\n')
    for what in ([], ["count"], ["count@1"]):
        said, _ = quick(folder, "tool", "test", *what)
        assert "count@1: 1 case, passed" in said
    assert not (folder / "count").exists()
    assert "there is no tool" in "".join(quick(folder, "tool", "test", "county", status=2))
    assert "there is no case" in "".join(quick(folder, "tool", "test", "idle", status=2))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1", "there is no case"),
        (COUNTER.format(kind="none") + "cases = 7", "no list of Case"),
        (COUNTER.format(kind="none").replace("def sandbox", "def sandpit"), "no sandbox"),
        ("import nowhere_to_be_found", "No module"),
        ("x = (", "never closed"),
    ],
)
def test_a_module_that_cannot_be_tried_says_why(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "odd.py").write_text(text)
    out, err = quick(tmp_path, "tool", "test", "odd.py", status=2)
    assert says in out + err
    out, err = quick(tmp_path, "tool", "test", "missing.py", status=2)
    assert "cannot be read" in out + err


# -- the examples


def test_the_examples_can_be_used_by_a_workspace_and_show_every_kind(tmp_path: Path) -> None:
    shutil.copytree(TOOLS, tmp_path / "tools")
    contracts = [one.contract for one in read_tools(tmp_path / "tools")]
    assert {c.idempotency for c in contracts} == set(Idempotency)
    assert {c.effect for c in contracts} == set(Effect)
    assert all(c.owner and c.description for c in contracts)
    known = {c.key for c in contracts}
    assert {c.undo for c in contracts if c.undo} <= known


def test_the_refunds_keep_their_promises() -> None:
    report = try_module(str(TOOLS / "refunds.py"), lambda check: None)
    assert report.findings == ()
    assert report.without_cases == ()


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.enable_socket
@pytest.mark.parametrize("name", ["tickets", "changes", "mail", "parcels"])
def test_the_other_examples_keep_their_promises(name: str) -> None:
    report = try_module(str(TOOLS / f"{name}.py"), lambda check: None)
    assert report.findings == ()
    assert report.without_cases == ()
