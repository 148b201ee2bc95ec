"""What a reader is given of documents is a function of what they may read: hidden ones change neither a list nor an error."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from affidavit.app.operations.operation import Caller, perform
from affidavit.app.operations.table import TABLE
from affidavit.domain.errors import AffidavitError
from tests.properties.test_noninterference import ACME, CROWD, PEOPLE, Record, documents, readable
from tests.properties.world import make, opened, write_records

_IDS = re.compile(r"run-[a-z2-7]{16}")
NAMES = [f"{letter}{n:02}.md" for letter in "vh" for n in range(61)]


def _world(folder: Path, records: list[Record]) -> Path:
    folder.mkdir()
    write_records(folder / "docs.jsonl", records)
    make(folder / "ws", {ACME: CROWD}, {ACME: ("jsonl", folder / "docs.jsonl")})
    return folder / "ws"


def _given(place: Path, who: str, names: list[str], prefix: str) -> list[str]:
    """All that ``who`` is told: lists by pages, documents by name, and how many events each of it took."""
    out = []
    with opened(place) as ws:
        ws.sync("docs", ACME)
        caller = Caller(ws.parts.tenant(ACME), who, "key")
        start = ws.parts.log.head()

        def ask(operation: str, **said: Any) -> Any:
            row = TABLE[operation]
            try:
                found = perform(ws, caller, row, row.takes.model_validate(said))
            except AffidavitError as error:
                found = error.as_dict()
            told = json.dumps(found, sort_keys=True).replace(str(place.parent), "")
            out.append(
                _IDS.sub("RUN", re.sub(r'"position": \d+', "", told)) + f" {ws.parts.log.head() - start}"
            )
            return found

        after: str | None = ""
        while after is not None:
            page = ask("documents.list", limit=2, after=after, prefix=prefix)
            after = page["next"]
        for name in names:
            ask("documents.get", source="docs", document=name)
            ask("access.why", source="docs", document=name)
    return out


@settings(
    max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
@given(data=st.data())
def test_hidden_documents_change_nothing_that_a_reader_is_given(data: st.DataObject) -> None:
    who = data.draw(st.sampled_from(PEOPLE))
    shown = [r for r in data.draw(documents("v", 5)) if readable(r, who)]
    hidden = [r for r in data.draw(documents("h", 5)) if not readable(r, who)]
    asked = [r["id"] for r in (*shown, *hidden)] + ["v99.md"]
    prefix = data.draw(st.sampled_from(("", "v", "h", "v1")))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        with_hidden = _given(_world(place / "a", [*hidden, *shown]), who, asked, prefix)
        without = _given(_world(place / "b", shown), who, asked, prefix)
    assert with_hidden == without


def test_the_same_is_seen_to_differ_where_it_may() -> None:
    """The comparison can fail: what somebody may read does show."""
    record = {
        "id": "v01.md",
        "title": "",
        "text": "The budget.",
        "metadata": {"acl": [["anyone"]], "deny": []},
    }
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        names = ["v01.md"]
        there = _given(_world(place / "a", [record]), "user:alice", names, "")
        absent = _given(_world(place / "b", []), "user:alice", names, "")
    assert there != absent
