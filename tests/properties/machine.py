"""The state machine: random sequences of everything that may change who reads what, on a real workspace with a folder source.

*Safety*, after every step: nobody is shown a text that, with their memberships as they are now, the source allowed them at no
moment since the last completed sync. *Liveness*, after a completed sync: everybody is shown exactly what the reference says.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from affidavit import Workspace
from affidavit.adapters.folder import FolderConnector
from affidavit.app.people import Entry
from affidavit.domain.errors import UnknownNameError
from affidavit.events.log import Transaction
from affidavit.ports.connector import Content, Item
from affidavit.store.shapes import Source
from affidavit.testing.embedder import HashEmbedder
from tests.properties.world import (
    COMMON,
    TENANT,
    Crowd,
    Name,
    Needs,
    Rules,
    Shown,
    Table,
    Tree,
    listed,
    make,
    opened,
    shown_in_answer,
)

USERS = ("user:alice", "user:bob", "user:carol")
GROUPS = ("group:eng", "group:finance", "group:staff")
PRINCIPALS = (*USERS, *GROUPS, "anyone")
FILES = ("f1.md", "f2.md", "f3.md")
FOLDERS = ("d1", "d2")
NUMBER = st.integers(0, 11)

T = TypeVar("T")


class Leak(AssertionError):  # noqa: N818  # a finding, not an error
    """Somebody was shown what they may not see."""


class Loss(AssertionError):  # noqa: N818  # a finding, not an error
    """Somebody was not shown what they may see, though the sync was complete."""


class Waste(AssertionError):  # noqa: N818  # a finding, not an error
    """A text was embedded again."""


class Crash(BaseException):  # past every handler, as a kill is
    """The process dies here."""


LAYERS = (
    *(frozenset({group}) for group in GROUPS),
    *(frozenset({user}) for user in USERS),
    frozenset({"anyone"}),
    frozenset({"group:eng", "user:alice"}),
    frozenset({"group:finance", "group:staff"}),
)
DENIED = (*(frozenset[str]() for _ in range(2)), *(frozenset({p}) for p in PRINCIPALS[:-1]))


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """A table; nobody stands in both its allow and its deny, which a manifest may not say."""
    layers = st.lists(st.sampled_from(LAYERS), min_size=1, max_size=2).map(tuple)
    allow = draw(st.none() | layers | layers | st.just((frozenset[str](),)))
    deny = draw(st.sampled_from(DENIED))
    return Table(draw(st.booleans()), allow, deny - frozenset().union(*(allow or ())))


class CrashingFolder(FolderConnector):
    """Two things a page, so that a sync is many transactions; dies at the fetch number ``die_at`` (from 0)."""

    def __init__(self, root: Path, die_at: int | None) -> None:
        super().__init__(root, page_size=2)
        self._left = die_at

    def fetch(self, item: Item) -> Content:
        if self._left is not None:
            if self._left == 0:
                raise Crash
            self._left -= 1
        return super().fetch(item)


def dying_write(workspace: Workspace, after: int, how: str) -> Callable[[Callable[[Transaction], T]], T]:
    """``log.write`` of a process that dies at the transaction number ``after``: ``before`` it, ``within`` it or once it is
    ``done``."""
    write: Callable[[Callable[[Transaction], T]], T] = workspace.parts.log.write
    left = [after]

    def dying(change: Callable[[Transaction], T]) -> T:
        left[0] -= 1
        if left[0] >= 0:
            return write(change)
        if how == "before":
            raise Crash
        if how == "within":

            def half(tx: Transaction) -> T:
                change(tx)
                raise Crash

            return write(half)
        write(change)
        raise Crash

    return dying


class Sharing(RuleBasedStateMachine):
    """``base`` is a directory that the machine may empty; with ``complete`` false only safety is checked, with ``sound`` false
    neither the log nor the rebuilt index in the end."""

    base: Path
    complete = True
    sound = True

    def __init__(self) -> None:
        super().__init__()
        self._empty()
        self.tree = Tree(self.base / "docs")
        self.crowd = Crowd(set(USERS), {group: set() for group in GROUPS})
        self.embedder = HashEmbedder(8)
        self.workspace = self._open()
        self.window: set[tuple[str, str, Needs]] = set()
        self.past: list[tuple[int, frozenset[tuple[str, str, Needs]], Crowd]] = []
        self.synced = self.new_text = self.wrong = False
        self.marks = 0

    def _empty(self) -> None:
        template = self.base / "template"
        if not template.exists():
            (self.base / "docs").mkdir()
            crowd = Crowd(set(USERS))
            make(template, {TENANT: crowd}, {TENANT: ("folder", self.base / "docs")})
        for name in ("docs", "ws"):
            shutil.rmtree(self.base / name, ignore_errors=True)
        shutil.copytree(template, self.base / "ws")
        (self.base / "docs").mkdir()

    def _open(self) -> Workspace:
        return opened(self.base / "ws", self.embedder)

    # -- the source

    def _document(self, n: int) -> Name | None:
        there = sorted(self.tree.marks)
        return there[n % len(there)] if there else None

    def _folder(self, n: int) -> Name:
        there = sorted(self.tree.rules)
        return there[n % len(there)]

    def _put(self, name: Name) -> None:
        self.marks += 1
        self.tree.put(name, f"mark{self.marks}")
        self.new_text = True
        self._changed(sync=False)

    def _changed(self, *, sync: bool) -> None:
        """The source has another state now; ``sync``: and that is noticed at once."""
        self.synced = False
        self.window |= self.tree.snapshot()
        if sync:
            self.sync()

    @initialize(
        top=tables() | st.just(Table(allow=(frozenset({"anyone"}),))),
        below=tables(),
        members=st.sets(st.tuples(st.sampled_from(GROUPS), st.sampled_from((*USERS, *GROUPS))), max_size=4),
    )
    def begin(self, top: Table, below: Table, members: set[tuple[str, str]]) -> None:
        """Three levels of folders, and for each group a document of its own."""
        own = {f: Table(inherit=False, allow=(frozenset({g}),)) for f, g in zip(FILES, GROUPS, strict=True)}
        self.tree.make_folder(("d1",))
        self.tree.make_folder(("d1", "d2"))
        self.tree.govern((), Rules(top, own))
        self.tree.govern(("d1",), Rules(below))
        for name in (*((file,) for file in FILES), ("d1", "f1.md"), ("d1", "d2", "f1.md")):
            self._put(name)
        for group, member in sorted(members | set(zip(GROUPS, USERS, strict=True))):
            self.join(member, group)
        self.sync()

    @rule(n=NUMBER, file=st.sampled_from(FILES), sync=st.booleans())
    def write(self, n: int, file: str, sync: bool) -> None:
        """A new document, or another text for one that is there."""
        self._put((*self._folder(n), file))
        if sync:
            self.sync()

    @rule(n=NUMBER, folder=st.sampled_from(FOLDERS))
    def make_folder(self, n: int, folder: str) -> None:
        name = (*self._folder(n), folder)
        if name not in self.tree.rules and len(name) < 4:
            self.tree.make_folder(name)

    @rule(n=NUMBER, folder=st.booleans(), sync=st.booleans())
    def delete(self, n: int, folder: bool, sync: bool) -> None:
        name = self._folder(n) if folder else self._document(n)
        if name:
            self.tree.delete(name)
            self._changed(sync=sync)

    @rule(n=NUMBER, to=NUMBER, file=st.sampled_from(FILES), sync=st.booleans())
    def move_document(self, n: int, to: int, file: str, sync: bool) -> None:
        old, new = self._document(n), (*self._folder(to), file)
        if old and new not in self.tree.marks:
            self.tree.move(old, new)
            self._changed(sync=sync)

    @rule(n=NUMBER, to=NUMBER, name=st.sampled_from(FOLDERS), sync=st.booleans())
    def move_folder(self, n: int, to: int, name: str, sync: bool) -> None:
        old, into = self._folder(n), self._folder(to)
        new = (*into, name)
        if old and into[: len(old)] != old and new not in self.tree.rules and len(new) < 4:
            self.tree.move(old, new)
            self._changed(sync=sync)

    @rule(n=NUMBER, table=tables(), sync=st.booleans())
    def share_folder(self, n: int, table: Table, sync: bool) -> None:
        folder = self._folder(n)
        self.tree.govern(folder, Rules(table, self.tree.rules[folder].files))
        self._changed(sync=sync)

    @rule(n=NUMBER, table=tables(), sync=st.booleans())
    def share_document(self, n: int, table: Table, sync: bool) -> None:
        name = self._document(n)
        if name:
            rules = self.tree.rules[name[:-1]]
            self.tree.govern(name[:-1], Rules(rules.folder, {**rules.files, name[-1]: table}, rules.broken))
            self._changed(sync=sync)

    @rule(n=NUMBER, sync=st.booleans())
    def break_or_mend_manifest(self, n: int, sync: bool) -> None:
        folder = self._folder(n)
        rules = self.tree.rules[folder]
        self.tree.govern(folder, Rules(rules.folder, rules.files, not rules.broken))
        self._changed(sync=sync)

    # -- people

    @rule(group=st.sampled_from(GROUPS), inner=st.sampled_from(GROUPS))
    def nest(self, group: str, inner: str) -> None:
        self.join(inner, group)

    @rule(who=st.sampled_from(USERS), group=st.sampled_from(GROUPS))
    def join(self, who: str, group: str) -> None:
        if who in self.crowd.known or who in GROUPS:
            tenant = self.workspace.parts.tenant(TENANT)
            self.workspace.people.join(tenant, who, group.removeprefix("group:"))
            self.crowd.members[group].add(who)

    @rule(n=NUMBER)
    def leave(self, n: int) -> None:
        there = sorted((g, m) for g, members in self.crowd.members.items() for m in members)
        if there:
            group, who = there[n % len(there)]
            tenant = self.workspace.parts.tenant(TENANT)
            self.workspace.people.leave(tenant, who, group.removeprefix("group:"))
            self.crowd.members[group].discard(who)

    @rule(who=st.sampled_from(USERS))
    def leave_for_good_or_come_back(self, who: str) -> None:
        if who in self.crowd.known:
            self.workspace.people.remove(self.workspace.parts.tenant(TENANT), who)
            self.crowd.known.discard(who)
            for members in self.crowd.members.values():
                members.discard(who)
        else:
            self.workspace.load_people([Entry(who, frozenset())], TENANT)
            self.crowd.known.add(who)

    # -- syncs

    def _sync(self, die_at: int | None = None) -> None:
        def connector(source: Source) -> FolderConnector:
            return CrashingFolder(Path(source.location), die_at)

        # The tree gives every write another time stamp, so there is no tick of the kernel's clock to wait for.
        with (
            mock.patch("affidavit.app.sources.connector", connector),
            mock.patch("affidavit.adapters.folder.connector._let_the_tick_pass", lambda found: None),
        ):
            (report,) = self.workspace.sync("docs", TENANT)
        assert report.drained
        if not self.new_text and report.embedded:
            self._stop(Waste(f"{report.embedded} texts were embedded, though none was new"))

    @rule()
    def sync(self) -> None:
        self._sync()
        self.synced, self.new_text = True, False
        now = self.tree.snapshot()
        self.window = set(now)
        self.past.append((self.workspace.parts.log.head(), now, self.crowd.copy()))

    @rule(at=st.integers(0, 6), where=st.sampled_from(("fetch", "before", "within", "done", "index")))
    def crash_in_sync(self, at: int, where: str) -> None:
        """Die in the middle of a sync (or after it, if it is shorter), and come back as another process."""
        parts = self.workspace.parts
        try:
            if where == "fetch":
                self._sync(at)
            elif where == "index":
                with mock.patch.object(parts.index, "persist", side_effect=Crash):
                    self._sync()
            else:
                with mock.patch.object(parts.log, "write", dying_write(self.workspace, at, where)):
                    self._sync()
        except Crash:
            pass
        self.workspace.close()
        self.workspace = self._open()

    # -- questions

    @rule(who=st.sampled_from(USERS), n=st.integers(0, 30))
    def ask(self, who: str, n: int) -> None:
        question = f"What does the {COMMON} entry mark{n} say about gold coins?"
        shown = self._shown(who, lambda: shown_in_answer(self.workspace.ask(question, who, TENANT), question))
        self._must_be_allowed(who, shown, self.window, self.crowd)

    @precondition(lambda self: self.past)
    @rule(n=st.integers(0, 5))
    def look_back(self, n: int) -> None:
        """As of an earlier position: only what was visible then *and* is visible now."""
        position, then, crowd = self.past[-1 - n % len(self.past)]
        for who in USERS:
            shown = self._shown(who, lambda who=who: listed(self.workspace, who, TENANT, position))  # type: ignore[misc]
            self._must_be_allowed(who, shown, then, crowd)
            mine = self.crowd.is_all_of(who)
            names = {name for name, _, needs in self.window if needs.met_by(mine)}
            over = {name for name, _ in shown} - names
            if over:
                self._stop(Leak(f"as of {position} {who} was shown {sorted(over)}, not readable now"))

    @invariant()
    def shown_is_allowed(self) -> None:
        for who in USERS:
            shown = self._shown(who, lambda who=who: listed(self.workspace, who, TENANT))  # type: ignore[misc]
            self._must_be_allowed(who, shown, self.window, self.crowd)
            mine = self.crowd.is_all_of(who)
            lost = {(n, mark) for n, mark, needs in self.window if needs.met_by(mine)} - shown
            if self.complete and self.synced and lost:
                self._stop(Loss(f"{who} was not shown {sorted(lost)}"))

    def _shown(self, who: str, look: Callable[[], Shown]) -> Shown:
        try:
            return look()
        except UnknownNameError:
            if who in self.crowd.known:
                raise
            return set()

    def _must_be_allowed(
        self, who: str, shown: Shown, allowed: set[Any] | frozenset[Any], crowd: Crowd
    ) -> None:
        mine = crowd.is_all_of(who)
        leaked = shown - {(name, mark) for name, mark, needs in allowed if needs.met_by(mine)}
        if leaked:
            self._stop(Leak(f"{who} was shown {sorted(leaked)}"))

    def _stop(self, error: AssertionError) -> None:
        self.wrong = True
        raise error

    def teardown(self) -> None:
        """In the end the log verifies, and without its files the index gives the same."""
        try:
            if self.complete and self.sound and not self.wrong:
                self.workspace.verify()
                self.workspace.close()
                shutil.rmtree(self.base / "ws" / "index")
                self.workspace = self._open()
                self.shown_is_allowed()
        finally:
            self.workspace.close()


def run(
    base: Path,
    examples: int,
    steps: int,
    *,
    complete: bool = True,
    sound: bool = True,
    shrink: bool = False,
    chance: int | None = None,
) -> None:
    """Run the machine in the directory ``base``. The same sequences every time, and others for each ``chance``."""
    machine = type("SharingHere", (Sharing,), {"base": base, "complete": complete, "sound": sound})
    if chance is not None:
        seed(chance)(machine)
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            phases=phases,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )
