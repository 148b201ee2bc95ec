"""Without the extra ``server`` everything else works, and what needs it says so."""

from __future__ import annotations

import json
import subprocess
import sys

_WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in ("fastapi", "starlette", "uvicorn", "joserfc", "jinja2", "mcp"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from affidavit.entrypoints.cli import main
main()
"""


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _WITHOUT, *words], capture_output=True, text=True, check=False
    )


def test_help_lists_every_command() -> None:
    done = _run("--help")
    assert done.returncode == 0, done.stderr
    for name in ("serve", "document", "people", "audit"):
        assert name in done.stdout
    assert "affidavit[server]" in done.stdout


def test_a_command_that_needs_it_says_so() -> None:
    done = _run("serve", "--port", "0", "--json")
    assert done.returncode == 2, done.stderr
    assert "affidavit[server]" in json.loads(done.stdout)["error"]["hint"]


def test_the_others_do_without() -> None:
    for words in (("document", "--help"), ("key", "--help"), ("replay", "--help")):
        done = _run(*words)
        assert done.returncode == 0, done.stderr
        assert "not installed" not in done.stdout.lower()
