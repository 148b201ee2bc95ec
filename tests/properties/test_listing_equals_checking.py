"""Listing equals checking: a scope holds a document exactly when a check of that document permits, and both are what the
reference says, for rules with denials, groups in groups, and groups that contain themselves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from affidavit import Workspace
from affidavit.domain.access import AccessRule
from affidavit.policy.scope import VisibleRules, decide_read, identity, visible_rules
from affidavit.testing.embedder import HashEmbedder
from tests.properties.world import (
    COMMON,
    TENANT,
    Crowd,
    Needs,
    Rules,
    Table,
    Tree,
    listed,
    make,
    opened,
    write_records,
)

USERS = tuple(f"user:u{n}" for n in range(4))
GROUPS = tuple(f"group:g{n}" for n in range(5))
OTHER = "globex"
SETTINGS = settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck), max_examples=25
)

layers = st.frozensets(st.sampled_from((*USERS, *GROUPS, "anyone")), min_size=0, max_size=3)
rules = st.tuples(
    st.lists(layers, max_size=3).map(tuple),
    st.frozensets(st.sampled_from((*USERS, *GROUPS, "anyone")), max_size=1) | st.just(frozenset[str]()),
)
crowds = st.builds(
    lambda known, edges: Crowd(known, {g: {m for h, m in edges if h == g} for g in GROUPS}),
    st.sets(st.sampled_from(USERS), min_size=1),
    st.sets(st.tuples(st.sampled_from(GROUPS), st.sampled_from((*USERS, *GROUPS))), max_size=12),
)


def settled(crowd: Crowd) -> Crowd:
    """Without memberships of people who are not there, which nobody can import."""
    there = {
        g: {m for m in members if m in crowd.known or m in GROUPS} for g, members in crowd.members.items()
    }
    return Crowd(crowd.known, there)


@given(crowds.map(settled), st.lists(rules, max_size=12), st.integers(0, 12))
@settings(SETTINGS, max_examples=200)
def test_visible_rules_are_those_that_a_check_permits(
    crowd: Crowd, written: list[tuple[tuple[frozenset[str], ...], frozenset[str]]], cut: int
) -> None:
    known = {n: AccessRule.of(*allow, deny=deny) for n, (allow, deny) in enumerate(written, 1)}
    memory = VisibleRules()
    for some in ({n: r for n, r in known.items() if n <= cut}, {n: r for n, r in known.items() if n > cut}):
        memory.extend(some)
        for who in USERS:
            memory.of(identity(who, crowd.is_all_of(who) - {"anyone"}, who in crowd.known))
    for who in USERS:
        me = identity(who, crowd.is_all_of(who) - {"anyone"}, who in crowd.known)
        expected = {
            n
            for n, (allow, deny) in enumerate(written, 1)
            if Needs(frozenset(allow), deny).met_by(crowd.is_all_of(who))
        }
        assert visible_rules(me, known.items()) == expected
        assert memory.of(me) == expected
        assert {n for n, rule in known.items() if decide_read(me, rule).permit} == expected


def test_no_rule_is_a_denial() -> None:
    assert not decide_read(identity("user:u0", {"user:u0"}, True), None).permit


def test_a_stranger_is_not_anyone() -> None:
    me = identity("user:u0", {"user:u0", "group:g0"}, False)
    assert not me.principals
    assert not decide_read(me, AccessRule.of(["anyone", "user:u0"])).permit
    assert VisibleRules().of(me) == frozenset()


@pytest.fixture(scope="module")
def many_tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace to make a tenant in for each example."""
    folder = tmp_path_factory.mktemp("tenants") / "ws"
    make(folder, {}, {})
    with opened(folder) as workspace:
        yield workspace


@given(first=crowds.map(settled), then=crowds.map(settled))
@SETTINGS
def test_who_is_what_is_as_the_reference_says(many_tenants: Workspace, first: Crowd, then: Crowd) -> None:
    """Through an import and another one that takes things back, cycles included; the past stays as it was."""
    workspace, parts = many_tenants, many_tenants.parts
    tenant = workspace.ensure_tenant(f"t{parts.log.head()}")
    workspace.people.load(tenant, first.entries(), remove_missing=True)
    before = parts.log.head()
    workspace.people.load(tenant, then.entries(), remove_missing=True)
    with parts.database.read():
        for position, crowd in ((before, first), (parts.log.head(), then)):
            for who in USERS:
                found = parts.scopes.identify(tenant.id, who, position)
                assert found.principals == crowd.is_all_of(who)


tables = st.builds(
    lambda inherit, rule: Table(inherit, rule[0] or None, rule[1] - frozenset().union(*rule[0])),
    st.booleans(),
    rules,
)


class World:
    """One place for a workspace with a folder of documents, and another tenant beside it."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self.docs = base / "docs"
        self.docs.mkdir()
        other = base / "other.jsonl"
        write_records(other, [{"id": "theirs", "text": f"{COMMON} mark0", "metadata": {"acl": ["anyone"]}}])
        sources = {TENANT: ("folder", self.docs), OTHER: ("jsonl", other)}
        make(base / "template", {TENANT: Crowd(), OTHER: Crowd(set(USERS))}, sources)

    def new(self, *, dense: bool) -> Workspace:
        for name in ("docs", "ws"):
            shutil.rmtree(self._base / name, ignore_errors=True)
        self.docs.mkdir()
        shutil.copytree(self._base / "template", self._base / "ws")
        return opened(self._base / "ws", HashEmbedder() if dense else None)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


FOLDERS = ((), ("a",), ("a", "b"), ("c",))


@given(
    crowds.map(settled), st.lists(tables, min_size=4, max_size=4), st.lists(tables, min_size=8), st.booleans()
)
@SETTINGS
def test_all_that_can_be_found_is_all_that_may_be_read(
    world: World, crowd: Crowd, folders: list[Table], files: list[Table], dense: bool
) -> None:
    with world.new(dense=dense) as workspace:
        tree = Tree(world.docs)
        for folder, table in zip(FOLDERS, folders, strict=True):
            if folder:
                tree.make_folder(folder)
            names = [f"{n}.md" for n in range(3)]
            tree.govern(folder, Rules(table, dict(zip(names, files, strict=False))))
            files = files[2:]
            for name in names:
                tree.put((*folder, name), f"mark{len(tree.marks) + 1}")
        workspace.load_people(crowd.entries(), TENANT)
        workspace.sync(tenant=TENANT)
        workspace.sync(tenant=OTHER)
        for who in sorted(crowd.known):
            mine = crowd.is_all_of(who)
            expected = {(name, mark) for name, mark, needs in tree.snapshot() if needs.met_by(mine)}
            assert listed(workspace, who) == expected
            assert _checked(workspace, who) == {name for name, _ in expected}
        for who in USERS:
            assert listed(workspace, who, OTHER) == {("theirs", "mark0")}


def _checked(workspace: Workspace, who: str) -> set[str]:
    """Every document of the tenant for which a check by itself permits."""
    parts = workspace.parts
    tenant = parts.tenant(TENANT).id
    with parts.database.read():
        me = parts.scopes.identify(tenant, who, parts.log.head())
        rows = parts.database.all(
            "SELECT d.name, a.rule FROM documents d JOIN governance g ON g.document = d.id "
            "JOIN access_rules a ON a.id = g.rule WHERE d.tenant = ? AND g.until = ?",
            (tenant, 2**62),
        )
    return {name for name, rule in rows if decide_read(me, AccessRule.from_json(json.loads(rule))).permit}
