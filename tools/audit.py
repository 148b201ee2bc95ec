"""``python -m tools.audit PIP_AUDIT``: are the locked dependencies still fit to be used?

None of them may have been withdrawn by its makers (PEP 592, as the package index says), and none may have a known weakness (what
pip-audit's service says). A service that cannot be asked is said loudly, with how many packages were not looked up: an audit of
nothing has not passed. The reason why a weakness does not concern us goes to ``ACCEPTED``, with the day by which to look again.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("locks/base.txt", "locks/server.txt")
_WITHDRAWN = re.compile(r"yanked version: '([^']+)' candidate \(version (\S+) at")
"""What pip says of one. Its report says so too, but not that of the pip that comes with Python 3.11."""
ACCEPTED: dict[str, tuple[str, date]] = {}
"""Weaknesses by id: why they do not concern us, and until when that is believed."""


def withdrawn(lock: Path) -> list[str]:
    """``name version`` of what ``lock`` pins and its makers have withdrawn. Raises SystemExit where pip cannot tell."""
    asked = ["install", "--dry-run", "--ignore-installed", "--no-deps", "--require-hashes", "--quiet"]
    told = _run(sys.executable, "-m", "pip", *asked, "-r", str(lock))
    if told.returncode:
        raise SystemExit(f"{lock} cannot be looked up: {told.stderr.strip()[-500:]}")
    return [f"{name} {version}" for name, version in _WITHDRAWN.findall(told.stderr)]


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603  # words of our own


def weaknesses(said: dict[str, Any], today: date) -> tuple[list[str], list[str]]:
    """Of pip-audit's JSON: what is wrong, and what could not be looked up."""
    wrong, unknown = [], []
    for one in said["dependencies"]:
        if "skip_reason" in one:
            unknown.append(one["name"])
        for weakness in one.get("vulns", ()):
            _, until = ACCEPTED.get(weakness["id"], ("", date.min))
            if until < today:
                fixed = ", ".join(weakness["fix_versions"]) or "no version yet"
                wrong.append(f"{one['name']} {one['version']}: {weakness['id']}, fixed in {fixed}")
    return wrong, unknown


def main(pip_audit: str) -> int:
    """0 where nothing is known against what is locked."""
    gone = sorted({name for lock in LOCKS for name in withdrawn(ROOT / lock)})
    listed = [word for lock in LOCKS for word in ("-r", str(ROOT / lock))]
    asked = ("--disable-pip", "--require-hashes", *listed, "-f", "json", "--progress-spinner", "off")
    answer = _run(pip_audit, *asked)
    try:
        wrong, unknown = weaknesses(json.loads(answer.stdout), datetime.now(UTC).date())
    except ValueError:
        wrong, unknown = [], ["all of them"]
        print(answer.stderr.strip()[-500:], file=sys.stderr)
    for name in gone:
        print(f"withdrawn by its makers: {name}")
    for line in wrong:
        print(f"known weakness: {line}")
    print(f"{len(gone)} withdrawn, {len(wrong)} known weaknesses in {' and '.join(LOCKS)}")
    if unknown:
        few = ", ".join(unknown[:3])
        print(f"SKIPPED: the list of weaknesses could not be asked about {len(unknown)} of them ({few} …)")
    return 1 if gone or wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
