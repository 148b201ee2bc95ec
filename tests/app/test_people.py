"""People, groups and grants: every change is an event, takes effect on the next question, and touches no document."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import affidavit
from affidavit.app.people import Entry
from affidavit.domain.errors import ManifestError, UnknownNameError, UsageError

Write = Callable[[dict[str, str | bytes]], Path]


def load(ws: affidavit.Workspace, folder: Path, text: str | bytes, **options: bool) -> dict[str, object]:
    path = folder / "people.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return ws.import_people(path, "acme", **options).as_json()


def test_import_applies_the_difference(workspace: affidavit.Workspace, tmp_path: Path) -> None:
    first = '{"id": "a", "groups": ["x", "y"], "name": "A"}\n{"group": "x", "groups": ["z"]}\n'
    assert load(workspace, tmp_path, first)["joined"] == 3
    head = workspace.parts.log.head()
    again = load(workspace, tmp_path, first)
    assert (again["joined"], again["left"], again["unchanged"]) == (0, 0, 2)
    assert workspace.parts.log.head() == head
    changed = load(workspace, tmp_path, '{"id": "a", "groups": ["y"], "name": "A"}\n')
    assert (changed["joined"], changed["left"]) == (0, 1)
    tenant = workspace.parts.tenant("acme")
    assert workspace.people.show(tenant, "user:a")["all_groups"] == ["group:y"]
    gone = load(workspace, tmp_path, '{"id": "b"}\n', remove_missing=True)
    assert gone["removed"] == 2
    assert workspace.people.names(tenant) == ["user:b"]
    with pytest.raises(UnknownNameError):
        workspace.people.show(tenant, "user:a")
    workspace.verify()


def test_groups_in_groups_and_cycles(workspace: affidavit.Workspace, tmp_path: Path) -> None:
    load(
        workspace,
        tmp_path,
        '{"id": "a", "groups": ["x"]}\n{"group": "x", "groups": ["y"]}\n{"group": "y", "groups": ["z", "x"]}\n',
    )
    shown = workspace.people.show(workspace.parts.tenant("acme"), "user:a")
    assert shown["all_groups"] == ["group:x", "group:y", "group:z"]


def test_removing_a_group_cuts_its_members_off(workspace: affidavit.Workspace, tmp_path: Path) -> None:
    load(workspace, tmp_path, '{"id": "a", "groups": ["x"]}\n{"group": "x", "groups": ["y"]}\n')
    tenant = workspace.parts.tenant("acme")
    workspace.people.remove(tenant, "group:x")
    assert workspace.people.show(tenant, "user:a")["all_groups"] == []
    workspace.verify()


def test_a_membership_change_is_effective_at_once_and_touches_no_document(
    workspace: affidavit.Workspace, tmp_path: Path, write_folder: Write
) -> None:
    load(workspace, tmp_path, '{"id": "a", "groups": []}\n')
    workspace.add_source(
        "folder", write_folder({"access.toml": 'allow = ["group:x"]', "d.md": "walrus"}), "docs", "acme"
    )
    workspace.sync(tenant="acme")
    tenant = workspace.parts.tenant("acme")
    head = workspace.parts.catalog.head()
    assert workspace.search("walrus", "a", tenant="acme").hits == ()
    workspace.people.join(tenant, "user:a", "x")
    joined = workspace.parts.log.head()
    assert len(workspace.search("walrus", "a", tenant="acme").hits) == 1
    workspace.people.leave(tenant, "user:a", "x")
    assert workspace.search("walrus", "a", tenant="acme").hits == ()
    assert workspace.search("walrus", "a", tenant="acme", as_of=joined).hits == ()  # then, but not now
    assert workspace.parts.catalog.head() == head


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "people.jsonl:1: not JSON"),
        ('{"id": "a"}\n[]', "people.jsonl:2: neither"),
        ('{"id": "a", "group": "b"}', "neither a person nor a group"),
        ('{"name": "a"}', "neither"),
        ('{"id": 7}', "a name is text"),
        ('{"id": "a", "groups": "x"}', "groups is a list"),
        ('{"id": "a", "groups": [1]}', "groups is a list"),
        ('{"id": " a"}', "white space"),
        ('{"id": "a\\u200b"}', "invisible"),
        ('{"id": "a", "groups": [""]}', "1 to 256"),
        ('{"id": "a", "size": 1.5}', "cannot be kept exactly"),
        ('{"id": "a"}\n{"id": "a"}', "twice"),
        (b'{"id": "\xff"}', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"id": "a", "x": "' + "y" * 1_100_000 + '"}', "longer than"),
    ],
)
def test_a_malformed_file_names_file_and_line_and_changes_nothing(
    workspace: affidavit.Workspace, tmp_path: Path, text: str | bytes, told: str
) -> None:
    workspace.ensure_tenant("acme")
    head = workspace.parts.log.head()
    with pytest.raises(ManifestError) as caught:
        load(workspace, tmp_path, text)
    assert told in caught.value.message
    assert caught.value.hint
    assert workspace.parts.log.head() == head


def test_missing_file_and_unknown_names(workspace: affidavit.Workspace, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        workspace.import_people(tmp_path / "none.jsonl")
    tenant = workspace.ensure_tenant("acme")
    for call in (
        lambda: workspace.people.join(tenant, "user:nobody", "x"),
        lambda: workspace.people.remove(tenant, "user:nobody"),
        lambda: workspace.people.show(tenant, "user:nobody"),
        lambda: workspace.people.grant(tenant, "user:a", "fly"),
        lambda: workspace.people.join(tenant, "nobody", "x"),
        lambda: workspace.ensure_tenant("a\nb"),
    ):
        with pytest.raises(UsageError):
            call()


def test_tenants_do_not_share_groups(
    workspace: affidavit.Workspace, tmp_path: Path, write_folder: Write
) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"id": "sam", "groups": ["staff"]}\n')
    workspace.import_people(path, "acme")
    workspace.import_people(path, "globex")
    root = write_folder({"access.toml": 'allow = ["group:staff"]', "d.md": "walrus of acme"})
    workspace.add_source("folder", root, "docs", "acme")
    workspace.sync(tenant="acme")
    assert len(workspace.search("walrus", "sam", tenant="acme").hits) == 1
    assert workspace.search("walrus", "sam", tenant="globex").hits == ()
    with pytest.raises(UnknownNameError, match="which tenant"):
        workspace.search("walrus", "sam")


def test_the_handbooks_people_load_as_they_are(workspace: affidavit.Workspace, datasets: Path) -> None:
    report = workspace.import_people(datasets / "sghandbook" / "users.jsonl")
    assert report.people == 163
    assert workspace.import_people(datasets / "sghandbook" / "users.jsonl").unchanged == 163


def test_leaving_a_group_that_there_is_not_is_an_error(workspace: affidavit.Workspace) -> None:
    workspace.load_people([Entry("user:alice", frozenset({"group:staff"}), {})], "acme")
    tenant = workspace.parts.tenant("acme")
    head = workspace.parts.log.head()
    with pytest.raises(UnknownNameError, match="group:stuff"):
        workspace.people.leave(tenant, "user:alice", "stuff")
    assert workspace.parts.log.head() == head
    workspace.people.leave(tenant, "user:alice", "staff")
    workspace.people.grant(tenant, "group:auditors", "audit:read")
    workspace.people.leave(tenant, "user:alice", "auditors")  # there is one, and she was not in it
