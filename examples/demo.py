"""The demo: the same question, three people, the same documents; who may read what decides the answer.

Runs on the embedded default: no server, no network, no model key. `make demo` runs it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORKSPACE = HERE.parent / ".demo"
AFFIDAVIT = Path(sys.executable).with_name("affidavit")
QUESTION = "What is the discount limit for enterprise customers?"


def run(*arguments: str) -> str:
    """Run one command as a person would, show it and what it prints."""
    shown = " ".join(f'"{a}"' if " " in a else a for a in arguments)
    print(f"\n\033[1m$ affidavit {shown}\033[0m" if sys.stdout.isatty() else f"\n$ affidavit {shown}", flush=True)
    done = subprocess.run([AFFIDAVIT, *arguments], cwd=WORKSPACE, text=True, capture_output=True, check=False)
    print(done.stdout + done.stderr, end="", flush=True)
    if done.returncode:
        sys.exit(f"the demo stopped: exit status {done.returncode}")
    return done.stdout


def main() -> None:
    """Tell the story from an empty folder to a verified log."""
    began = time.monotonic()
    shutil.rmtree(WORKSPACE, ignore_errors=True)
    WORKSPACE.mkdir()
    acme = HERE / "acme"
    run("init", ".")
    for tenant, people in (("acme", "people.jsonl"), ("globex", "people-globex.jsonl")):
        run("people", "import", str(acme / people), "--tenant", tenant)
        run("source", "add", "folder", str(acme / tenant), "--name", f"{tenant}-files", "--tenant", tenant)
        run("sync", "--tenant", tenant)
    run("people", "grant", "dave", "audit:read", "--tenant", "acme")
    print("\n# Two people, one question, two answers, each cited to the character.")
    run("ask", QUESTION, "--as", "alice", "--tenant", "acme")
    answered = run("ask", QUESTION, "--as", "bob", "--tenant", "acme")
    print("\n# A third may read neither document. The refusal says nothing of what exists.")
    refused = run("ask", QUESTION, "--as", "erin", "--tenant", "acme")
    print("\n# Two documents contradict each other: the canonical one wins and says so.")
    run("ask", "How many weeks of parental leave are there?", "--as", "alice", "--tenant", "acme")
    print("\n# What erin sees of her run, and what the auditor sees of it.")
    run("run", "show", _run_id(refused), "--as", "erin", "--tenant", "acme")
    run("run", "show", _run_id(refused), "--as", "dave", "--tenant", "acme")
    print("\n# Bob leaves finance: the very next question knows. No document was touched.")
    run("people", "leave", "bob", "finance", "--tenant", "acme")
    run("ask", QUESTION, "--as", "bob", "--tenant", "acme")
    print("\n# All of it is on a log that verifies, and the catalog agrees with the log.")
    run("audit", "verify")
    print(f"\nDone in {time.monotonic() - began:.0f} s. The workspace is in .demo; bob's first answer was {_run_id(answered)}.")


def _run_id(printed: str) -> str:
    return next(word for word in printed.split() if word.startswith("run-"))


if __name__ == "__main__":
    main()
