"""``python -m tools.record``: record the runs that every later version must replay, in ``tests/recorded``.

Run it when what a run records changes on purpose; the changelog then says that older runs no longer replay. Needs the
MiniLM weights here; replaying does not.
"""

from __future__ import annotations

import json
import lzma
import shutil
import sqlite3
import sys
import tempfile
from pathlib import Path

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.app.wiring import DATABASE
from affidavit.domain.version import VERSION

ROOT = Path(__file__).resolve().parents[1]
ACME = ROOT / "examples" / "acme"
RECORDED = ROOT / "tests" / "recorded"
STRANGER = "mallory"


def record(folder: Path, acme: Path) -> None:
    """Syncs, questions and searches of everybody in the example company, with changes in between."""
    with affidavit.init(folder, EmbedderSpec("minilm")) as ws:
        for tenant, people in (("acme", "people.jsonl"), ("globex", "people-globex.jsonl")):
            ws.import_people(acme / people, tenant)
            ws.add_source("folder", acme / tenant, f"{tenant}-files", tenant)
            ws.sync(tenant=tenant)
        staff = ws.parts.tenant("acme")
        questions = [json.loads(line) for line in (acme / "questions.jsonl").read_text("utf-8").splitlines()]
        questions = [q for q in questions if q["as"] != STRANGER]
        for number, q in enumerate(questions):
            ws.ask(q["text"], q["as"], q["tenant"])
            ws.search(q["text"], q["as"], 5, q["tenant"], chunks=number % 2 == 0)
        ws.people.leave(staff, "user:bob", "finance")
        position = ws.parts.log.head() - 1
        ws.ask(questions[0]["text"], "bob", "acme", where={"equals": ["source", "acme-files"]})
        ws.ask(questions[0]["text"], "bob", "acme", as_of=position)
        ws.ask("?", "bob", "acme")


def main() -> None:
    """Write the recording of this version."""
    target = RECORDED / f"acme-{VERSION}.db.xz"
    with tempfile.TemporaryDirectory() as scratch:
        acme = shutil.copytree(
            ACME, Path(scratch) / "acme"
        )  # the log keeps where a source is: not this machine's checkout
        record(Path(scratch) / "ws", acme)
        copy = Path(scratch) / "copy.db"
        with sqlite3.connect(Path(scratch) / "ws" / DATABASE) as database:
            database.execute("VACUUM INTO ?", (str(copy),))
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(lzma.compress(copy.read_bytes(), preset=9))
    sys.stdout.write(f"{target.relative_to(ROOT)}: {target.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
