"""The JSON Lines connector: the conformance suite, bad lines, access fields, compressed and replaced files."""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.adapters.jsonl import JsonlConnector
from affidavit.adapters.jsonl_records import BadRecordError, RecordReader, parse
from affidavit.domain.access import NOBODY, AccessRule
from affidavit.domain.canonical import canonical
from affidavit.domain.errors import SourceError, UsageError
from affidavit.ports.connector import Connector, Fault, Item
from affidavit.testing.connector_conformance import ConnectorConformance, Scratch, listing

HANDBOOK = Path(__file__).parents[3] / "shared" / "datasets" / "sghandbook" / "corpus.jsonl"


class JsonlScratch:
    """A file that is written anew at each change."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: dict[str, dict[str, Any]] = {}
        self._damaged = False
        self._write()

    def connector(self, page_size: int = 256) -> Connector:
        return JsonlConnector(self.path, page_size=page_size)

    def put(self, name: str, text: str) -> None:
        record = self._lines.setdefault(name, {"id": name, "metadata": {"acl": ["staff"]}})
        record["text"] = text
        self._write()

    def delete(self, name: str) -> None:
        del self._lines[name]
        self._write()

    def rename(self, old: str, new: str) -> None:
        self._lines[new] = self._lines.pop(old) | {"id": new}
        self._write()

    def allow(self, name: str, *principals: str) -> None:
        self._lines[name]["metadata"] = {"acl": list(principals)}
        self._write()

    def damage(self) -> None:
        self._damaged = True
        self._write()

    def vanish(self) -> None:
        self.path.unlink()

    def _write(self) -> None:
        lines = [json.dumps(record, ensure_ascii=False) for record in self._lines.values()]
        data = "\n".join([*(["{"] if self._damaged else []), *lines]).encode()
        self.path.write_bytes(gzip.compress(data) if self.path.suffix == ".gz" else data)


class TestConformance(ConnectorConformance):
    @pytest.fixture(params=["set.jsonl", "set.jsonl.gz"])
    def scratch(self, tmp_path: Path, request: pytest.FixtureRequest) -> Scratch:
        return JsonlScratch(tmp_path / request.param)


def write(path: Path, *records: object) -> Path:
    lines = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in records]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def record(name: object = "a", **more: object) -> dict[str, object]:
    return {"id": name, "text": "some text", "acl": ["staff"]} | more


def one(tmp_path: Path, value: object, **options: Any) -> Item:
    items, faults = listing(JsonlConnector(write(tmp_path / "one.jsonl", value), **options))
    assert faults == []
    (item,) = items.values()
    return item


def faults_of(tmp_path: Path, *records: object, **options: Any) -> list[Fault]:
    """The faults of a file in which good records come before and after ``records``."""
    path = write(tmp_path / "set.jsonl", record("first"), *records, record("last"))
    items, faults = listing(JsonlConnector(path, **options))
    assert {"first", "last"} <= set(items)
    assert all(fault.message.isprintable() and fault.hint.isprintable() for fault in faults)
    return faults


# --- fields --------------------------------------------------------------------------------------------------


def test_everything_a_record_can_say(tmp_path: Path) -> None:
    value = {
        "id": "x/a.html",
        "title": "T",
        "text": "<p>wörter",
        "metadata": {
            "acl": ["everyone", "user:alice", "group:a b", "anyone"],
            "deny": ["user:erin"],
            "owner": "people team",
            "modified": "2024-01-17T09:14:05.000001-07:00",
            "location": "https://wiki.example/a",
            "n": 3,
            "flag": True,
            "tags": ["x", 1],
            "score": 0.5,
            "huge": 2**60,
            "nested": {"a": 1},
            "mixed": ["a", 0.5],
            "nothing": None,
        },
    }
    item = one(tmp_path, value)
    rule = AccessRule.of(["group:everyone", "user:alice", "group:a b", "anyone"], deny=["user:erin"])
    assert item.governance.access == rule
    assert item.governance.owner == "people team"
    assert (item.name, item.title, item.location) == ("x/a.html", "T", "https://wiki.example/a")
    assert item.modified == 1_705_508_045_000_001
    assert item.metadata == {
        "owner": "people team",
        "modified": "2024-01-17T09:14:05.000001-07:00",
        "location": "https://wiki.example/a",
        "n": 3,
        "flag": True,
        "tags": ["x", 1],
    }
    canonical(item.metadata)
    content = JsonlConnector(tmp_path / "one.jsonl").fetch(item)
    assert (content.data.decode(), content.media_type) == ("<p>wörter", "text/html")


def test_a_mapping_moves_fields(tmp_path: Path) -> None:
    value = {
        "key": "k",
        "body": {"plain": "text"},
        "perms": {"read": [["hr", "exec"], ["user:bob"]]},
        "acl": ["everyone"],
        "when": "2024-01-01T00:00:00Z",
        "url": "file:///a",
        "type": "text/csv",
    }
    mapping = {
        "id": "key",
        "text": "body.plain",
        "acl": "perms.read",
        "modified": "when",
        "location": "url",
        "media_type": "type",
        "owner": "=group:it",
    }
    item = one(tmp_path, value, mapping=mapping)
    assert item.governance.access == AccessRule.of(["group:hr", "group:exec"], ["user:bob"])
    assert (item.name, item.governance.owner, item.location, item.modified) == (
        "k",
        "group:it",
        "file:///a",
        1_704_067_200_000_000,
    )
    connector = JsonlConnector(tmp_path / "one.jsonl", mapping=mapping | {"media_type": "=text/markdown"})
    assert connector.fetch(item).media_type == "text/markdown"


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"txt": "body"}, "there is no field 'txt'"),
        ({"text": ""}, "every record needs its text"),
        ({"acl": "=everyone"}, "acl cannot be a constant"),
        ({"media_type": "=markdown"}, "'markdown' is not a media type"),
    ],
)
def test_a_mapping_that_makes_no_sense(tmp_path: Path, mapping: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        JsonlConnector(tmp_path / "a.jsonl", mapping=mapping)
    assert caught.value.hint


@pytest.mark.parametrize("allow", ["anyone", ["staff"], ["group:"]])
def test_an_allow_that_makes_no_sense(tmp_path: Path, allow: Sequence[str]) -> None:
    with pytest.raises(UsageError):
        JsonlConnector(tmp_path / "a.jsonl", allow=allow)


def test_null_means_absent_only_where_it_can_do_no_harm(tmp_path: Path) -> None:
    item = one(tmp_path, record(title=None, modified=None, owner=None, location=None, metadata=None))
    assert (item.title, item.modified, item.governance.owner) == ("", None, "")
    for field in ("acl", "deny", "text"):
        assert [f.code for f in faults_of(tmp_path, record(**{field: None}))] == ["bad_record"]


# --- access --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("acl", [[], [[]], [["a"], []]])
def test_an_empty_access_list_is_nobody(tmp_path: Path, acl: object) -> None:
    assert one(tmp_path, record(acl=acl)).governance.access == NOBODY
    assert one(tmp_path, record(acl=acl), allow=["anyone"]).governance.access == NOBODY


def test_records_without_an_access_field(tmp_path: Path) -> None:
    bare = {"id": "bare", "text": "t", "deny": ["user:erin"]}
    path = write(tmp_path / "set.jsonl", bare, record("ruled"))
    items, faults = listing(JsonlConnector(path))
    assert items["bare"].governance.access == NOBODY
    assert [(f.name, f.code, f.hides) for f in faults] == [("bare", "no_rule", False)]
    connector = JsonlConnector(path, allow=["group:a", "user:b"])
    items, faults = listing(connector)
    assert faults == []
    assert items["bare"].governance.access == AccessRule.of(["group:a", "user:b"], deny=["user:erin"])
    assert items["ruled"].governance.access == AccessRule.of(["group:staff"])
    assert connector.fetch(items["bare"]).governance == items["bare"].governance


def test_a_set_without_any_access_field_needs_allow(tmp_path: Path) -> None:
    path = write(tmp_path / "set.jsonl", b"{", {"id": "a", "text": "t"}, {"id": "b", "text": "t"})
    with pytest.raises(SourceError, match="no record has an access field") as caught:
        list(JsonlConnector(path).changes(""))
    assert "--allow anyone" in caught.value.hint
    items, _ = listing(JsonlConnector(path, allow=["anyone"]))
    assert {item.governance.access for item in items.values()} == {AccessRule.of(["anyone"])}


@pytest.mark.parametrize(
    "acl",
    [
        "everyone",
        {"a": 1},
        7,
        True,
        None,
        [1],
        ["a", ["b"]],
        ["team:x"],
        ["user:"],
        [" a"],
        [["a", None]],
        [""],
    ],
)
def test_an_access_field_that_is_not_understood_hides_the_record(tmp_path: Path, acl: object) -> None:
    (fault,) = faults_of(tmp_path, record("x", acl=acl))
    assert (fault.name, fault.code, fault.hides) == ("x", "bad_record", True)
    assert fault.message.startswith("set.jsonl:2: ")
    (fault,) = faults_of(tmp_path, record("x", acl=acl), allow=["anyone"])
    assert fault.hides


def test_two_access_fields_are_one_too_many(tmp_path: Path) -> None:
    (fault,) = faults_of(tmp_path, record("x", metadata={"acl": ["everyone"]}))
    assert fault.message == "set.jsonl:2: has both metadata.acl and acl"
    (fault,) = faults_of(tmp_path, b'{"id": "x", "text": "t", "acl": ["hr"], "acl": ["everyone"]}')
    assert "the key 'acl' comes twice" in fault.message


def test_access_lists_are_not_metadata(tmp_path: Path) -> None:
    item = one(tmp_path, {"id": "a", "text": "t", "metadata": {"acl": ["x"], "deny": ["user:y"], "n": 1}})
    assert item.metadata == {"n": 1}


# --- bad lines -----------------------------------------------------------------------------------------------

BAD_LINES: list[tuple[bytes, str, str]] = [
    # line, name of the fault ("" for the line itself), part of the message
    (b"{", "", "not JSON: Expecting property name"),
    (b"[1]", "", "a list, not an object"),
    (b'"text"', "", "text, not an object"),
    (b'{"text": "t", "acl": []}', "", "no id"),
    (b'{"id": 7, "text": "t", "acl": []}', "", "the id must be text, not a number"),
    (b'{"id": "", "text": "t", "acl": []}', "", "the id has 0 characters"),
    (b'{"id": "a\\nb", "text": "t", "acl": []}', "", "the id a\\nb holds control characters"),
    (b'{"id": "\\ud800", "text": "t", "acl": []}', "", "the id \\ud800 holds control characters"),
    (b'{"id": "x", "acl": []}', "x", "no text"),
    (b'{"id": "x", "text": 1, "acl": []}', "x", "text must be text, not a number"),
    (b'{"id": "x", "text": ["t"], "acl": []}', "x", "text must be text, not a list"),
    (b'{"id": "x", "text": "t", "title": {}, "acl": []}', "x", "title must be text, not an object"),
    (b'{"id": "x", "text": "t", "modified": 17, "acl": []}', "x", "metadata.modified or modified must be text"),
    (b'{"id": "x", "text": "t", "modified": "2024-01-17T09:14:05", "acl": []}', "x", "not a time with its offset"),
    (b'{"id": "x", "text": "t", "modified": "yesterday", "acl": []}', "x", "not a time with its offset"),
    (b'{"id": "x", "text": "t", "media_type": "markdown", "acl": []}', "x", "'markdown' is not a media type"),
    (b'{"id": "x", "text": "t", "metadata": [], "acl": []}', "x", "metadata must be an object, not a list"),
    (b'{"id": "x", "text": "a\\u0000b", "acl": []}', "x", "holds a NUL"),
    (b'{"id": "x", "text": "a\\uDC00", "acl": []}', "x", "half a surrogate pair"),
    (b'{"id": "x", "text": "t", "metadata": {"k": ["\\ud83d"]}, "acl": []}', "x", "half a surrogate pair"),
    (b'{"id": "x", "text": "a\0b", "acl": []}', "", "not JSON: Invalid control character"),
    (b'{"id": "x", "text": "\xff", "acl": []}', "", "is not UTF-8"),
    (b'{"id": "x", "text": "t", "n": NaN, "acl": []}', "", "not JSON: NaN is not a number"),
    (b'{"id": "x", "text": "t", "n": ' + b"9" * 5000 + b', "acl": []}', "", "not JSON: Exceeds the limit"),
    (b'{"id": "x", "n": ' + b"[" * 100_000, "", "nested too deeply"),
    (b'{"id": "x", "text": "' + b"t" * 150_000 + b'", "acl": []}', "", "longer than 120000 bytes"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "name", "message"), BAD_LINES, ids=[message for _, _, message in BAD_LINES])
def test_a_bad_line_is_a_fault_and_the_rest_goes_on(
    tmp_path: Path, line: bytes, name: str, message: str
) -> None:
    (fault,) = faults_of(tmp_path, b"", line, max_line_bytes=120_000)
    assert fault.name == (name or "set.jsonl:3")
    assert fault.hides == bool(name)
    assert fault.message.startswith("set.jsonl:3: ")
    assert message in fault.message


def test_of_two_with_one_id_the_first_stays(tmp_path: Path) -> None:
    path = write(
        tmp_path / "set.jsonl", record("x", text="one"), record("x", text="two"), record("x", text=3)
    )
    connector = JsonlConnector(path)
    items, faults = listing(connector)
    assert connector.fetch(items["x"]).data == b"one"
    assert JsonlConnector(path).fetch(items["x"]).data == b"one"
    assert [(f.name, f.code, f.hides) for f in faults] == [("x", "duplicate", False)] * 2
    assert "line 1" in faults[0].hint


def test_after_a_bad_one_a_second_of_the_same_id_does_not_slip_in(tmp_path: Path) -> None:
    faults = faults_of(tmp_path, record("x", acl="hr"), record("x", acl=["everyone"]))
    assert [(f.name, f.code, f.hides) for f in faults] == [
        ("x", "bad_record", True),
        ("x", "duplicate", False),
    ]
    items, _ = listing(JsonlConnector(tmp_path / "set.jsonl"))
    assert "x" not in items


def test_line_ends_byte_order_mark_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    lines = [json.dumps(record(name)) for name in ("a", "b", "c")]
    path.write_bytes(b"\xef\xbb\xbf" + f"{lines[0]}\r\n\r\n  \n{lines[1]}\n{lines[2]}".encode())
    connector = JsonlConnector(path)
    items, faults = listing(connector)
    assert faults == []
    assert list(items) == ["a", "b", "c"]
    for item in items.values():
        assert connector.fetch(item).stamp == item.stamp


def test_a_line_may_be_as_long_as_the_limit(tmp_path: Path) -> None:
    line = json.dumps(record("x")).encode()
    for end in (b"\n", b"\r\n", b""):
        (tmp_path / "set.jsonl").write_bytes(line + end)
        assert set(listing(JsonlConnector(tmp_path / "set.jsonl", max_line_bytes=len(line)))[0]) == {"x"}
        items, faults = listing(JsonlConnector(tmp_path / "set.jsonl", max_line_bytes=len(line) - 1))
        assert (items, [f.code for f in faults]) == ({}, ["too_large"])


@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,idtexacl0\\u', max_size=60).map(str.encode))
def test_any_bytes_are_a_record_or_a_bad_one(data: bytes) -> None:
    reader = RecordReader("f", {}, ())
    try:
        value = parse(data)
        reader.record(value, reader.name(value), data)
    except BadRecordError as bad:
        assert bad.message.isprintable()


# --- stamps, files ----------------------------------------------------------------------------------------------


def test_a_stamp_is_of_the_content_and_not_of_the_access(tmp_path: Path) -> None:
    stamp = one(tmp_path, record(metadata={"n": 1, "m": 2})).stamp
    assert one(tmp_path, {"metadata": {"m": 2, "n": 1}} | record()).stamp == stamp
    assert one(tmp_path, record(metadata={"n": 1, "m": 2}, acl=["hr"], deny=["user:x"])).stamp == stamp
    for more in (
        {"title": "t"},
        {"text": "other"},
        {"media_type": "text/csv"},
        {"modified": "2024-01-01T00:00:00Z"},
    ):
        assert one(tmp_path, record(metadata={"n": 1, "m": 2}, **more)).stamp != stamp
    assert one(tmp_path, record(metadata={"n": 2, "m": 2})).stamp != stamp


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_replaced_file_is_noticed(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"set.jsonl{suffix}"

    def put(*records: object) -> None:
        data = write(tmp_path / "plain", *records).read_bytes()
        path.write_bytes(gzip.compress(data) if suffix else data)

    put(record("a"), record("b"))
    connector = JsonlConnector(path)
    items, _ = listing(connector)
    connector.fetch(items["b"])
    put(record("a"), record("c"))
    with pytest.raises(SourceError, match="changed or replaced") as caught:
        connector.fetch(items["b"])
    assert caught.value.retryable
    # At the same place an object with the right id, but inside another one: it is not the record.
    offset = len(json.dumps(record("a"))) + 1
    put(('{"id": "a", "inner":'.ljust(offset) + json.dumps(record("b")) + " }").encode())
    with pytest.raises(SourceError, match="changed or replaced"):
        connector.fetch(items["b"])
    path.write_bytes(b"")
    with pytest.raises(SourceError):
        connector.fetch(items["b"])


@pytest.mark.parametrize("damage", ["cut", "noise"])
def test_a_damaged_compressed_file_is_an_error_and_not_a_short_one(tmp_path: Path, damage: str) -> None:
    data = gzip.compress(
        b"".join(json.dumps(record(str(n), pad=os.urandom(20).hex())).encode() + b"\n" for n in range(500))
    )
    path = tmp_path / "set.jsonl.gz"
    path.write_bytes(data)
    connector = JsonlConnector(path)
    items, _ = listing(connector)
    path.write_bytes(data[: len(data) // 2] if damage == "cut" else data[:5000] + b"noise" * 9 + data[5045:])
    with pytest.raises(SourceError, match="cannot be read"):
        list(connector.changes(""))
    with pytest.raises(SourceError):
        connector.fetch(items["499"])
    path.write_bytes(b"not gzip at all")
    with pytest.raises(SourceError):
        list(connector.changes(""))


def test_what_is_no_file_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    for path in (tmp_path, tmp_path / "pipe.jsonl", tmp_path / "none.jsonl"):
        with pytest.raises(SourceError) as caught:
            list(JsonlConnector(path).changes(""))
        assert "nothing was taken for deleted" in caught.value.hint


def test_an_empty_file_is_pointed_out(tmp_path: Path) -> None:
    items, faults = listing(JsonlConnector(write(tmp_path / "set.jsonl")))
    assert (items, [(f.code, f.hides) for f in faults]) == ({}, [("empty", False)])


def test_it_cannot_be_watched(tmp_path: Path) -> None:
    assert not JsonlConnector(tmp_path / "a.jsonl").capabilities.watch
    with pytest.raises(UsageError):
        JsonlConnector(tmp_path / "a.jsonl").watch()


def test_records_fetched_from_a_compressed_file_in_order_are_unpacked_once(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl.gz"
    path.write_bytes(
        gzip.compress(b"".join(json.dumps(record(str(n))).encode() + b"\n" for n in range(20_000)), 1)
    )
    connector = JsonlConnector(path)
    items, _ = listing(connector)
    start = time.process_time()
    for item in items.values():
        connector.fetch(item)
    assert time.process_time() - start < 25  # unpacking anew for each would take minutes


def test_many_small_records_list_quickly(tmp_path: Path) -> None:
    path = write(tmp_path / "set.jsonl", *(record(str(n), metadata={"n": n}) for n in range(20_000)))
    start = time.process_time()
    items, _ = listing(JsonlConnector(path))
    assert len(items) == 20_000
    assert time.process_time() - start < 20


@pytest.mark.data
def test_the_handbook_loads_as_it_is() -> None:
    if not HANDBOOK.exists():
        pytest.skip(f"{HANDBOOK} is absent")
    start = time.process_time()
    connector = JsonlConnector(HANDBOOK)
    items, faults = listing(connector)
    assert time.process_time() - start < 10
    assert (len(items), faults) == (880, [])
    item = items["content/benefits-pay-perks/benefits-perks/benefits.md"]
    assert item.governance.access == AccessRule.of(["group:everyone"])
    assert item.title == "Health benefits at Sourcegraph"
    assert item.modified == 1_705_508_045_000_000
    assert item.metadata["versions"] == 31
    assert "acl" not in item.metadata
    content = connector.fetch(item)
    assert content.media_type == "text/markdown"
    assert content.data.startswith(b"# Health benefits")
