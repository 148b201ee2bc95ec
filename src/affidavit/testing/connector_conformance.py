"""What every connector must do. Subclass ``ConnectorConformance`` and give it a ``scratch`` fixture.

::

    class TestFolder(ConnectorConformance):
        @pytest.fixture
        def scratch(self, tmp_path: Path) -> Scratch:
            return FolderScratch(tmp_path)
"""

# ruff: noqa: S101 (these are tests)
from __future__ import annotations

from typing import Protocol

import pytest

from affidavit.domain.access import NOBODY, AccessRule
from affidavit.domain.errors import SourceError
from affidavit.ports.connector import Connector, Fault, Item, Page

HOSTILE_NAMES = (
    "with space.md",
    "ünïcödé.md",
    "名前.md",
    "-rf.md",
    "%2e%2e%2f.md",
    "quote'\"`.md",
    "$(id);&|.md",
    "back\\slash.md",
    "[files].md",
    "CAPITALS.MD",
    "a" * 200 + ".md",
)


class Scratch(Protocol):
    """A small source that a test may change, and connectors to it."""

    def connector(self, page_size: int = 256) -> Connector:
        """A new connector to the source as it is now."""
        ...

    def put(self, name: str, text: str) -> None:
        """Create the item ``name``, or give it another text; everyone in ``group:staff`` may read a new one."""
        ...

    def delete(self, name: str) -> None: ...

    def rename(self, old: str, new: str) -> None: ...

    def allow(self, name: str, *principals: str) -> None:
        """From now on any of ``principals``, and nobody else, may read the item; none means nobody."""
        ...

    def damage(self) -> None:
        """Add something that cannot be read as an item."""
        ...

    def vanish(self) -> None:
        """Take the whole source out of reach."""
        ...


def listing(connector: Connector, cursor: str = "") -> tuple[dict[str, Item], list[Fault]]:
    """One whole pass: items by name and faults. Fails if a page is out of order or an item is named twice."""
    pages = list(connector.changes(cursor))
    assert [page.drained for page in pages] == [False] * (len(pages) - 1) + [True], (
        "only the last page is drained"
    )
    items = [item for page in pages for item in page.items]
    names = [item.name for item in items]
    assert len(names) == len(set(names)), "an item is named twice"
    return {item.name: item for item in items}, [fault for page in pages for fault in page.faults]


class ConnectorConformance:
    """The suite. Names end in ``.md`` so that connectors that go by suffix take them."""

    def test_an_empty_source_drains(self, scratch: Scratch) -> None:
        items, _ = listing(scratch.connector())
        assert items == {}

    def test_a_pass_names_everything_once(self, scratch: Scratch) -> None:
        names = {f"n{number}.md" for number in range(7)}
        for name in sorted(names):
            scratch.put(name, f"text of {name}")
        for page_size in (1, 2, 7, 256):
            connector = scratch.connector(page_size)
            items, faults = listing(connector)
            assert set(items) == names
            assert faults == []
            assert all(len(page.items) <= page_size for page in connector.changes(""))

    def test_two_passes_agree(self, scratch: Scratch) -> None:
        for name in ("b.md", "a.md", "c.md"):
            scratch.put(name, name)
        connector = scratch.connector()
        first = list(connector.changes(""))
        assert list(connector.changes("")) == first
        assert list(scratch.connector().changes("")) == first, "a connector keeps no state of its own"

    def test_any_cursor_it_gave_can_be_resumed_from(self, scratch: Scratch) -> None:
        for number in range(5):
            scratch.put(f"n{number}.md", "text")
        connector = scratch.connector(2)
        for page in connector.changes(""):
            rest: list[Page] = list(connector.changes(page.cursor))
            assert rest[-1].drained

    def test_an_edit_changes_the_stamp_of_that_item_only(self, scratch: Scratch) -> None:
        scratch.put("edited.md", "one")
        scratch.put("left.md", "one")
        before, _ = listing(scratch.connector())
        scratch.put("edited.md", "two")  # of the same length
        after, _ = listing(scratch.connector())
        assert after["edited.md"].stamp != before["edited.md"].stamp
        assert after["left.md"].stamp == before["left.md"].stamp
        assert scratch.connector().fetch(after["edited.md"]).data == b"two"

    def test_fetch_gives_the_bytes_and_what_the_listing_said(self, scratch: Scratch) -> None:
        texts = {"a.md": "# A\n\nwörter\n", "b.md": "second\r\nline", "c.md": "三 \U0001f600"}
        for name, text in texts.items():
            scratch.put(name, text)
        connector = scratch.connector()
        items, _ = listing(connector)
        for name in reversed(list(items)):
            content = connector.fetch(items[name])
            assert content.data.decode() == texts[name]
            assert (content.stamp, content.governance) == (items[name].stamp, items[name].governance)
            assert content.media_type == "text/markdown"

    def test_items_can_be_fetched_while_a_pass_is_under_way(self, scratch: Scratch) -> None:
        for number in range(5):
            scratch.put(f"n{number}.md", f"text {number}")
        connector = scratch.connector(2)
        seen = [connector.fetch(item).data.decode() for page in connector.changes("") for item in page.items]
        assert sorted(seen) == [f"text {number}" for number in range(5)]

    def test_another_connector_can_fetch(self, scratch: Scratch) -> None:
        scratch.put("a.md", "text")
        items, _ = listing(scratch.connector())
        assert scratch.connector().fetch(items["a.md"]).data == b"text"

    def test_access_arrives_and_changes(self, scratch: Scratch) -> None:
        scratch.put("a.md", "text")
        scratch.put("b.md", "text")
        before, _ = listing(scratch.connector())
        assert before["a.md"].governance.access == AccessRule.of(["group:staff"])
        scratch.allow("a.md", "group:finance", "user:bob")
        after, _ = listing(scratch.connector())
        assert after["a.md"].governance.access == AccessRule.of(["group:finance", "user:bob"])
        assert after["b.md"] == before["b.md"]
        scratch.allow("a.md")
        nobody, _ = listing(scratch.connector())
        assert not nobody["a.md"].governance.access.permits(
            {"group:staff", "group:finance", "user:bob", "anyone"}
        )
        assert nobody["a.md"].governance.access == NOBODY

    def test_fetch_reports_the_access_of_now(self, scratch: Scratch) -> None:
        scratch.put("a.md", "text")
        connector = scratch.connector()
        items, _ = listing(connector)
        scratch.allow("a.md", "group:finance")
        try:
            content = connector.fetch(items["a.md"])
        except SourceError:
            return  # it noticed a change, which is as good
        assert content.governance.access == AccessRule.of(["group:finance"])

    def test_fetch_after_an_edit_does_not_pass_for_what_was_listed(self, scratch: Scratch) -> None:
        scratch.put("a.md", "old")
        connector = scratch.connector()
        items, _ = listing(connector)
        scratch.put("a.md", "new")
        try:
            content = connector.fetch(items["a.md"])
        except SourceError:
            return  # it noticed a change, which is as good
        assert content.data == b"new"
        assert content.stamp != items["a.md"].stamp

    def test_a_deleted_item_is_not_named_and_cannot_be_fetched(self, scratch: Scratch) -> None:
        for name in ("a.md", "b.md", "c.md"):
            scratch.put(name, name)
        connector = scratch.connector()
        before, _ = listing(connector)
        for name in ("c.md", "a.md"):
            scratch.delete(name)
            with pytest.raises(SourceError):
                connector.fetch(before[name])
        after, _ = listing(connector)
        assert set(after) == {"b.md"}

    def test_a_renamed_item_is_another_one(self, scratch: Scratch) -> None:
        scratch.put("old.md", "text")
        connector = scratch.connector()
        before, _ = listing(connector)
        scratch.rename("old.md", "new.md")
        after, _ = listing(connector)
        assert set(after) == {"new.md"}
        assert connector.fetch(after["new.md"]).data == b"text"
        with pytest.raises(SourceError):
            connector.fetch(before["old.md"])

    def test_a_fault_does_not_stop_the_pass(self, scratch: Scratch) -> None:
        scratch.put("a.md", "text")
        scratch.damage()
        scratch.put("z.md", "text")
        items, faults = listing(scratch.connector(1))
        assert {"a.md", "z.md"} <= set(items)
        assert faults
        for fault in faults:
            assert fault.name
            assert fault.code
            assert fault.message
            assert fault.message.isprintable()

    def test_hostile_names_are_only_names(self, scratch: Scratch) -> None:
        for name in HOSTILE_NAMES:
            scratch.put(name, f"text of {name}")
        connector = scratch.connector(3)
        items, faults = listing(connector)
        assert faults == []
        assert set(items) == set(HOSTILE_NAMES)
        for name in HOSTILE_NAMES:
            assert connector.fetch(items[name]).data.decode() == f"text of {name}"

    def test_a_vanished_source_is_an_error_and_not_an_empty_one(self, scratch: Scratch) -> None:
        scratch.put("a.md", "text")
        connector = scratch.connector()
        items, _ = listing(connector)
        scratch.vanish()
        with pytest.raises(SourceError) as caught:
            list(connector.changes(""))
        assert caught.value.hint
        with pytest.raises(SourceError):
            connector.fetch(items["a.md"])

    def test_only_a_connector_that_says_so_can_be_watched(self, scratch: Scratch) -> None:
        scratch.put("a.md", "text")
        connector = scratch.connector()
        assert connector.capabilities.kind
        if connector.capabilities.watch:
            assert next(connector.watch()) is None
