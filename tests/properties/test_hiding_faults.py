"""A fault that hides an item takes it out wherever in the pass it stands, and leaves a workspace that verifies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest.mock import patch

import pytest

from affidavit.domain.access import AccessRule
from affidavit.domain.errors import UsageError
from affidavit.domain.records import Governance
from affidavit.ports.connector import ConnectorCapabilities, Content, Fault, Item, Page
from tests.properties.world import COMMON, TENANT, Crowd, listed, make, opened

ALICE, BOB = "user:alice", "user:bob"


class Scripted:
    """A source whose pages were written beforehand; an item's stamp is its text."""

    capabilities = ConnectorCapabilities("scripted", listing=True)

    def __init__(self, pages: Sequence[Page]) -> None:
        self._pages = pages

    def changes(self, cursor: str) -> Iterator[Page]:
        yield from self._pages

    def fetch(self, item: Item) -> Content:
        return Content(f"{COMMON} {item.stamp}".encode(), "text/plain", item.stamp, item.governance)

    def watch(self) -> Iterator[None]:
        raise UsageError("not offered")


def item(name: str, mark: str, who: str = ALICE) -> Item:
    return Item(name, mark, f"scripted:{name}", Governance(AccessRule.of([who])))


BROKEN = Fault("x", "bad", "it cannot be read")
BEFORE = [Page((item("x", "mark1"), item("y", "mark2")), drained=True)]
SECOND_PASSES = {
    "new text, one page": [Page((item("x", "mark3"), item("y", "mark2")), faults=(BROKEN,), drained=True)],
    "new text, two pages": [
        Page((item("x", "mark3"), item("y", "mark2"))),
        Page(faults=(BROKEN,), drained=True),
    ],
    "another rule": [
        Page((item("x", "mark1", BOB), item("y", "mark2"))),
        Page(faults=(BROKEN,), drained=True),
    ],
    "nothing new": [Page((item("x", "mark1"), item("y", "mark2"))), Page(faults=(BROKEN,), drained=True)],
    "the fault first": [
        Page(faults=(BROKEN,)),
        Page((item("x", "mark3"), item("y", "mark2")), drained=True),
    ],
    "gone as well": [Page((item("x", "mark3"), item("y", "mark2")), gone=("x",), drained=True)],
}


CASES = [(second, True) for second in SECOND_PASSES]
CASES += [("new text, one page", False), ("new text, two pages", False), ("another rule", False)]


@pytest.mark.parametrize(("second", "known"), CASES)
def test_what_is_hidden_is_gone(second: str, known: bool, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    make(tmp_path / "ws", {TENANT: Crowd({ALICE, BOB})}, {TENANT: ("folder", tmp_path / "docs")})
    with opened(tmp_path / "ws") as workspace:
        for pages in ([BEFORE] if known else []) + [SECOND_PASSES[second]]:
            with patch("affidavit.app.sources.connector", lambda _, pages=pages: Scripted(pages)):
                workspace.sync(tenant=TENANT)
        assert listed(workspace, ALICE) == {("y", "mark2")}
        assert listed(workspace, BOB) == set()
        workspace.verify()
