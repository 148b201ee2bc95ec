"""access.toml: what is accepted, how mistakes are told, and inheritance against a plain reference."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit.adapters.folder import FolderConnector
from affidavit.adapters.folder.manifest import MAX_MANIFEST, Rules, parse_manifest
from affidavit.domain.access import NOBODY, AccessRule
from affidavit.domain.errors import ManifestError
from affidavit.domain.records import Governance
from affidavit.ports.connector import Fault
from affidavit.testing.connector_conformance import listing

# --- one manifest --------------------------------------------------------------------------------------------


def test_everything_a_manifest_can_say() -> None:
    manifest = parse_manifest(
        b"""\xef\xbb\xbf
inherit = false
allow = ["group:staff", "anyone"]\r
deny = ["user:erin"]
owner = "group:people"
classification = "confidential"
rank = 1000
fresh_for = "26w"

[files."salary-bands.csv"]
allow = [["group:staff"], ["group:finance", "group:managers"]]
fresh_for = "180d"
""",
        "access.toml",
    )
    assert manifest.folder == Rules(
        inherit=False,
        allow=(frozenset({"group:staff", "anyone"}),),
        deny=frozenset({"user:erin"}),
        owner="group:people",
        classification="confidential",
        rank=1000,
        fresh_days=182,
    )
    assert manifest.files == {
        "salary-bands.csv": Rules(
            allow=(frozenset({"group:staff"}), frozenset({"group:finance", "group:managers"})), fresh_days=180
        )
    }
    assert parse_manifest(b"", "access.toml").folder == Rules()
    assert parse_manifest(b"allow = []", "access.toml").folder.allow == (frozenset(),)


MISTAKES: list[tuple[str, str, str]] = [
    # text, message, part of the hint
    ('x\nallow = ["a"\n', "access.toml:1:2: not TOML: Expected '=' after a key in a key/value pair", "for example"),
    ('\nallow = ["group:a"', "access.toml:2:1: not TOML: Unclosed array", "for example"),
    ('rank = 1\nalow = ["group:a"]', "access.toml:2: unknown key 'alow'", 'did you mean "allow"?'),
    ('Allow = ["group:a"]', "access.toml:1: unknown key 'Allow'", 'did you mean "allow"?'),
    ("zzz = 1", "access.toml:1: unknown key 'zzz'", "known are: inherit, allow"),
    ('[file."a.md"]', "access.toml:1: unknown key 'file'", 'did you mean "files"?'),
    ("deprecated = 1", "access.toml:1: deprecated is true or false, not 1", "without quotes"),
    ('[files."a.md"]\ndeprecated = "no"', "access.toml:2: deprecated is true or false, not 'no'", "without quotes"),
    ('inherit = "false"', "access.toml:1: inherit is true or false, not 'false'", "without quotes"),
    ("\n\nallow = 'group:a'", "access.toml:3: allow must be a list, not 'group:a'", '["group:staff"]'),
    ('allow = ["staff"]', "access.toml:1: allow: 'staff' is not a principal", "group:NAME"),
    ('allow = ["group:a", ["group:b"]]', "access.toml:1: allow: ['group:b'] is not a principal", "in quotes"),
    ("allow = [[1]]", "access.toml:1: allow: 1 is not a principal", "in quotes"),
    ('deny = [["user:a"]]', "access.toml:1: deny: ['user:a'] is not a principal", "in quotes"),
    ('deny = ["user: a"]', "access.toml:1: deny: user name ' a' begins or ends with white space", ""),
    ('deny = ["user:a\\u200b"]', "access.toml:1: deny: user name 'a\\u200b' holds a control or invisible", ""),
    ("owner = 1", "access.toml:1: owner: 1 is not a principal", ""),
    ('classification = "secret"', "access.toml:1: 'secret' is not a classification", "public, internal"),
    ('classification = "Internal"', "access.toml:1: 'Internal' is not", 'did you mean "internal"?'),
    ("rank = 0", "access.toml:1: rank must be a whole number from 1 to 1000, not 0", ""),
    ("rank = true", "access.toml:1: rank must be a whole number from 1 to 1000, not True", ""),
    ("rank = 1.0", "access.toml:1: rank must be a whole number from 1 to 1000, not 1.0", ""),
    ("rank = 1001", "access.toml:1: rank must be", ""),
    ('fresh_for = "1y"', "access.toml:1: fresh_for is a length of time, not '1y'", '"26w"'),
    ('fresh_for = "0d"', "access.toml:1: fresh_for is", ""),
    ('fresh_for = "١d"', "access.toml:1: fresh_for is", ""),
    ("fresh_for = 180", "access.toml:1: fresh_for is a length of time, not 180", ""),
    ("files = 1", "access.toml:1: files must be tables", "[files."),
    ('files."a.md" = 1', "access.toml:1: files.'a.md' must be a table", "[files."),
    ("[files.report.md]\nrank = 1", "access.toml:1: no quotes around 'report.md'", '[files."report.md"]'),
    ('[files."sub/a.md"]', "access.toml:1: files.'sub/a.md' is not a file of this very folder", "access.toml of the"),
    ('[files."a.md"]\nrank = 1\n[files."b.md"]\nrnk = 1', "access.toml:4: unknown key 'rnk'", '"rank"'),
    ('[files."a.md"]\nfiles = 1', "access.toml:2: unknown key 'files'", "known are"),
    ("rank = " + "9" * 5000, "access.toml:1:1: not TOML: Exceeds the limit", ""),
    ("rank = " + "[" * 50_000, "access.toml:1: nested too deeply", ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message", "hint"), MISTAKES)
def test_a_mistake_is_told_with_its_line(text: str, message: str, hint: str) -> None:
    with pytest.raises(ManifestError) as caught:
        parse_manifest(text.encode(), "access.toml")
    assert caught.value.message.startswith(message)
    assert caught.value.message.isprintable()
    assert hint in caught.value.hint


def test_two_rules_that_contradict_are_both_named() -> None:
    text = b"""rank = 1
[files."a.md"]
allow = [
  ["group:x"],
  ["user:erin", "group:y"]
]
# deny = 1
deny = ["user:erin"]
"""
    with pytest.raises(
        ManifestError, match=r"^hr/access\.toml:8: user:erin is in both allow \(line 3\) and deny \(line 8\)$"
    ):
        parse_manifest(text, "hr/access.toml")


def test_not_utf8_is_told_with_its_line() -> None:
    with pytest.raises(ManifestError, match=r"^access\.toml:2: not UTF-8"):
        parse_manifest(b"rank = 1\nowner = 'group:caf\xe9'\n", "access.toml")


def test_a_hostile_manifest_costs_little_time() -> None:
    start = time.process_time()
    for line in ("a." * 60_000 + "b = 1", "[" + "a." * 60_000 + "b]", "x = {" + "a." * 60_000 + "b = 1}"):
        with pytest.raises(ManifestError, match="more than 512 dots"):
            parse_manifest(line.encode(), "access.toml")
    assert time.process_time() - start < 20


@given(st.text(alphabet="[]{}\"'=.,#\n abfilesow1", max_size=60))
def test_any_text_is_a_manifest_or_a_manifest_error(text: str) -> None:
    try:
        parse_manifest(text.encode(), "access.toml")
    except ManifestError as error:
        assert error.message.startswith("access.toml:")


# --- in a tree -----------------------------------------------------------------------------------------------


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def governance(root: Path) -> tuple[dict[str, Governance], list[Fault]]:
    """By name, after making sure that fetching says the same."""
    connector = FolderConnector(root)
    items, faults = listing(connector)
    found = {name: item.governance for name, item in items.items()}
    assert {name: connector.fetch(item).governance for name, item in items.items()} == found
    assert all(fault.message.isprintable() and fault.hint.isprintable() for fault in faults)
    return found, faults


def test_inheritance_and_override(tmp_path: Path) -> None:
    found, faults = governance(
        tree(
            tmp_path,
            {
                "access.toml": 'allow = ["group:staff"]\ndeny = ["user:erin"]\nowner = "group:it"\nfresh_for = "30d"\n',
                "a.md": "",
                "hr/access.toml": """
                    allow = [["group:hr"]]
                    deny = ["user:bob"]
                    rank = 5
                    [files."open.md"]
                    inherit = false
                    allow = ["anyone"]
                    [files."pay.md"]
                    allow = ["group:managers"]
                    classification = "restricted"
                    """,
                "hr/b.md": "",
                "hr/open.md": "",
                "hr/pay.md": "",
                "hr/own/access.toml": 'inherit = false\nallow = ["group:board"]\n',
                "hr/own/c.md": "",
            },
        )
    )
    assert faults == []
    both = frozenset({"user:erin", "user:bob"})
    assert found == {
        "a.md": Governance(AccessRule.of(["group:staff"], deny=["user:erin"]), "group:it", fresh_days=30),
        "hr/b.md": Governance(
            AccessRule.of(["group:staff"], ["group:hr"], deny=both), "group:it", rank=5, fresh_days=30
        ),
        "hr/open.md": Governance(AccessRule.of(["anyone"])),
        "hr/pay.md": Governance(
            AccessRule.of(["group:staff"], ["group:hr"], ["group:managers"], deny=both),
            "group:it",
            "restricted",
            5,
            30,
        ),
        "hr/own/c.md": Governance(AccessRule.of(["group:board"])),
    }


def test_nobody_explicitly_is_no_fault_and_cannot_be_undone_below(tmp_path: Path) -> None:
    found, faults = governance(
        tree(
            tmp_path,
            {
                "access.toml": "allow = []",
                "a.md": "",
                "sub/access.toml": 'allow = ["anyone"]',
                "sub/b.md": "",
            },
        )
    )
    assert faults == []
    assert {g.access for g in found.values()} == {NOBODY}


def test_no_rule_is_told_once_for_the_topmost_folder(tmp_path: Path) -> None:
    found, faults = governance(
        tree(
            tmp_path,
            {
                "ruled/access.toml": 'allow = ["group:a"]',
                "ruled/a.md": "",
                "ruled/cut/access.toml": "inherit = false",
                "ruled/cut/b.md": "",
                "ruled/cut/deep/c.md": "",
                "x/b.md": "",
                "x/y/c.md": "",
            },
        )
    )
    assert {name for name, g in found.items() if g.access == NOBODY} == set(found) - {"ruled/a.md"}
    assert [(f.name, f.code, f.hides) for f in faults] == [
        ("ruled/cut", "no_rule", True),
        (".", "no_rule", True),
    ]
    assert 'write ruled/cut/access.toml with, for example: allow = ["group:staff"]' in faults[0].hint
    assert 'write access.toml with, for example: allow = ["group:staff"]' in faults[1].hint


def test_no_rule_where_there_is_nothing_to_read_is_no_fault(tmp_path: Path) -> None:
    _, faults = governance(tree(tmp_path, {"ruled/access.toml": 'allow = ["group:a"]', "ruled/a.md": ""}))
    assert faults == []


def test_a_file_whose_table_takes_its_rule_away(tmp_path: Path) -> None:
    text = 'allow = ["group:a"]\n[files."a.md"]\ninherit = false\n'
    found, faults = governance(tree(tmp_path, {"access.toml": text, "a.md": "", "b.md": ""}))
    assert found["a.md"].access == NOBODY
    assert found["b.md"].access == AccessRule.of(["group:a"])
    assert [(f.name, f.code) for f in faults] == [("a.md", "no_rule")]


def test_a_broken_manifest_closes_everything_below_until_it_is_mended(tmp_path: Path) -> None:
    files = {
        "access.toml": 'allow = ["group:a"]',
        "a.md": "",
        "hr/access.toml": "alow = []",
        "hr/b.md": "",
        "hr/sub/access.toml": 'inherit = false\nallow = ["anyone"]\n[files."d.md"]\ninherit = false\nallow = ["anyone"]',
        "hr/sub/c.md": "",
        "hr/sub/d.md": "",
    }
    found, faults = governance(tree(tmp_path, files))
    assert {name for name, g in found.items() if g.access == NOBODY} == {
        "hr/b.md",
        "hr/sub/c.md",
        "hr/sub/d.md",
    }
    assert [(f.name, f.code, f.hides) for f in faults] == [("hr/access.toml", "manifest", True)]
    assert faults[0].message == "hr/access.toml:1: unknown key 'alow'"
    assert "until then nobody can read anything in this folder and below" in faults[0].hint
    (tmp_path / "hr" / "access.toml").write_text("")
    found, faults = governance(tmp_path)
    assert faults == []
    assert found["hr/sub/c.md"].access == AccessRule.of(["anyone"])


@pytest.mark.parametrize("kind", ["folder", "link", "dangling", "large", "binary"])
def test_a_manifest_that_is_no_readable_file_closes_the_folder(tmp_path: Path, kind: str) -> None:
    root = tree(tmp_path / "root", {"access.toml": 'allow = ["anyone"]', "hr/a.md": ""})
    manifest = root / "hr" / "access.toml"
    good = tree(tmp_path, {"good.toml": 'allow = ["anyone"]'}) / "good.toml"
    match kind:
        case "folder":
            manifest.mkdir()
        case "link":
            manifest.symlink_to(good)
        case "dangling":
            manifest.symlink_to("nowhere")
        case "large":
            manifest.write_bytes(b"#" * (MAX_MANIFEST + 1))
        case _:
            manifest.write_bytes(b"\xff\xfe")
    found, faults = governance(root)
    assert found["hr/a.md"].access == NOBODY
    assert [(f.name, f.code, f.hides) for f in faults] == [("hr/access.toml", "manifest", True)]


def test_a_table_for_a_missing_file_is_a_warning(tmp_path: Path) -> None:
    text = 'allow = ["anyone"]\n[files."salry.csv"]\nrank = 1\n[files."sub"]\n'
    found, faults = governance(tree(tmp_path, {"access.toml": text, "salary.csv": "", "sub/a.md": ""}))
    assert set(found) == {"salary.csv", "sub/a.md"}
    assert [(f.name, f.code, f.hides) for f in faults] == [("access.toml", "manifest", False)] * 2
    assert faults[0].message == "access.toml:2: there is no file 'salry.csv' in this folder"
    assert faults[0].hint == "did you mean 'salary.csv'?"
    assert faults[1].message.startswith("access.toml:4: ")


# --- inheritance against a reference -------------------------------------------------------------------------

FOLDERS = ("", "a", "a/b", "a/b/c", "d")
FILES = ("x.md", "y.md")
PEOPLE = ("group:p", "group:q", "group:r")

_layer = st.lists(st.sampled_from(PEOPLE), max_size=2, unique=True)
_table = st.fixed_dictionaries(
    {},
    optional={
        "inherit": st.booleans(),
        "allow": st.one_of(_layer, st.lists(_layer, min_size=1, max_size=2)),
        "deny": st.lists(st.sampled_from(("user:m", "user:n")), max_size=2, unique=True),
        "owner": st.sampled_from(("group:o1", "group:o2")),
        "classification": st.sampled_from(("public", "confidential", "restricted")),
        "rank": st.integers(1, 1000),
        "fresh_for": st.integers(1, 300).map(lambda days: f"{days}d"),
    },
)
_manifest = st.one_of(
    st.none(),
    st.just("broken"),
    st.tuples(_table, st.dictionaries(st.sampled_from(FILES), _table)),
)
_trees = st.fixed_dictionaries(dict.fromkeys(FOLDERS, _manifest))


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _text(manifest: Any) -> str:
    if manifest == "broken":
        return "allow = ["
    folder, files = manifest
    lines = [f"{key} = {_toml(value)}" for key, value in folder.items()]
    for name, table in files.items():
        lines += [f'[files."{name}"]', *(f"{key} = {_toml(value)}" for key, value in table.items())]
    return "\n".join(lines)


def _tables_upwards(manifests: dict[str, Any], folder: str, file: str) -> list[dict[str, Any]] | None:
    """The tables that speak about a file, nearest first; None when one on the way to the top is broken."""
    chain = [folder]
    while chain[-1]:
        chain.append(chain[-1].rpartition("/")[0])
    if any(manifests[one] == "broken" for one in chain):
        return None
    tables = [manifests[folder][1][file]] if manifests[folder] and file in manifests[folder][1] else []
    tables += [manifests[one][0] for one in chain if manifests[one]]
    for number, table in enumerate(tables):
        if table.get("inherit") is False:
            return tables[: number + 1]
    return tables


def _may_read(tables: list[dict[str, Any]] | None, person: set[str]) -> bool:
    if tables is None or not any("allow" in table for table in tables):
        return False
    for table in tables:
        if set(table.get("deny", ())) & person:
            return False
        allow = table.get("allow")
        if allow is None:
            continue
        nested = bool(allow) and isinstance(allow[0], list)
        if any(not set(layer) & person for layer in (allow if nested else [allow])):
            return False
    return True


@settings(max_examples=150, deadline=None)
@given(_trees, st.lists(st.sets(st.sampled_from((*PEOPLE, "user:m", "user:n"))), min_size=3, max_size=3))
def test_inheritance_is_what_walking_up_from_the_file_says(
    manifests: dict[str, Any], people: list[set[str]]
) -> None:
    root = Path(tempfile.mkdtemp())
    try:
        for folder in FOLDERS:
            tree(root / folder, dict.fromkeys(FILES, ""))
            if manifests[folder] is not None:
                (root / folder / "access.toml").write_text(_text(manifests[folder]))
        found, _ = governance_fast(root)
    finally:
        shutil.rmtree(root)
    for folder in FOLDERS:
        for file in FILES:
            said = found[f"{folder}/{file}".lstrip("/")]
            tables = _tables_upwards(manifests, folder, file)
            for person in [*people, set(PEOPLE)]:
                assert said.access.permits(person) == _may_read(tables, person)
            if tables is not None:
                assert said.owner == next((t["owner"] for t in tables if "owner" in t), "")
                assert said.rank == next((t["rank"] for t in tables if "rank" in t), 100)
                assert said.fresh_days == next(
                    (int(t["fresh_for"][:-1]) for t in tables if "fresh_for" in t), 0
                )
                assert said.classification == next(
                    (t["classification"] for t in tables if "classification" in t), "internal"
                )


def governance_fast(root: Path) -> tuple[dict[str, Governance], list[Fault]]:
    """As ``governance``, but fetches one file only: each fetch of a file this new waits for the clock to tick."""
    connector = FolderConnector(root)
    items, faults = listing(connector)
    deep = items["a/b/c/x.md"]
    assert connector.fetch(deep).governance == deep.governance
    return {name: item.governance for name, item in items.items()}, faults
