"""Workspaces that are broken in one way each. A drill that stays green on one of them proves nothing."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from affidavit.adapters.embedded import EmbeddedIndex
from affidavit.app.acting import LiveDoors
from affidavit.app.drills.stock import NAME
from affidavit.app.drills.wrong_schema import UNTRUE
from affidavit.app.wiring import INDEX, STABLE, Parts, assemble
from affidavit.app.workspace import Workspace
from affidavit.ask.scopes import Scopes
from affidavit.ask.searcher import Hits
from affidavit.domain.answer import Answer, Refusal
from affidavit.domain.clock import Clock
from affidavit.domain.decisions import Verdict
from affidavit.domain.errors import EmbedderError, LogDamagedError, ModelError, SourceError, WorkspaceError
from affidavit.domain.events import Event, EventKind
from affidavit.domain.records import RunStatus
from affidavit.events.log import Log
from affidavit.ingest.sync import SyncReport
from affidavit.policy.scope import Identity
from affidavit.ports.index import Feed

Opener = Callable[[Path, Clock | None], Workspace]


def opener(kind: type[Workspace], change: Callable[[Parts], None] = lambda _: None) -> Opener:
    """Opens workspaces of ``kind`` whose parts were changed."""

    def made(folder: Path, clock: Clock | None) -> Workspace:
        parts = assemble(folder, clock)
        change(parts)
        parts.__post_init__()  # the retriever is made of the changed parts
        return kind(parts)

    return made


# -- parts


class StaleScopes(Scopes):
    """Remembers who somebody was when they first asked."""

    def identify(self, tenant: int, principal: str, position: int) -> Identity:
        first: dict[tuple[int, str], Identity] = self.__dict__.setdefault("first", {})
        return first.setdefault((tenant, principal), super().identify(tenant, principal, position))


class AllSeeing(Scopes):
    """Takes everybody for a member of every group."""

    def identify(self, tenant: int, principal: str, position: int) -> Identity:
        found = super().identify(tenant, principal, position)
        everything = self._people.principals(tenant, position)
        groups = {g for who in everything for g in self._people.groups_of(tenant, who, position)}
        return dataclasses.replace(found, principals=found.principals | groups)


def stale_scopes(parts: Parts) -> None:
    parts.scopes = StaleScopes(parts.database, parts.people, parts.catalog)


def all_seeing(parts: Parts) -> None:
    parts.scopes = AllSeeing(parts.database, parts.people, parts.catalog)


class NeverWritten(EmbeddedIndex):
    """Never writes itself to disk."""

    def persist(self, feed: Feed) -> None:
        return


class OldFeed:
    """A catalog that seems to have stopped where the index on disk did."""

    def __init__(self, feed: Feed, head: int) -> None:
        self._feed, self._head = feed, head

    def __getattr__(self, name: str) -> Any:
        return getattr(self._feed, name)

    def head(self) -> int:
        return self._head


class Trusting(EmbeddedIndex):
    """Takes the index it finds on disk for the present."""

    def search(self, feed: Feed, scope: Any, query: Any, k: int) -> Any:
        on_disk = self.status().position
        return super().search(feed if on_disk < 0 else OldFeed(feed, on_disk), scope, query, k)


def never_written(parts: Parts) -> None:
    parts.index = NeverWritten(parts.folder / INDEX)


def trusting(parts: Parts) -> None:
    parts.index = Trusting(parts.folder / INDEX)


class TimelessLog(Log):
    """Believes the clock whatever was written before."""

    def _state(self) -> Any:
        frontier, _ = super()._state()
        return frontier, 0


def timeless(parts: Parts) -> None:
    parts.log = TimelessLog(parts.database, parts.bodies, parts.clock, parts.signer)


# -- workspaces


class Remembering(Workspace):
    """Answers what was asked before from a cache that nobody clears."""

    def ask(self, text: str, user: str, *rest: Any, **more: Any) -> Answer:
        kept: dict[tuple[str, str], Answer] = self.__dict__.setdefault("kept", {})
        if (user, text) not in kept:
            kept[user, text] = super().ask(text, user, *rest, **more)
        return kept[user, text]


class Telling(Workspace):
    """Refuses in other words when there was something to refuse."""

    def ask(self, text: str, *rest: Any, **more: Any) -> Answer:
        answer = super().ask(text, *rest, **more)
        if answer.refusal and "lighthouse" not in text:
            return dataclasses.replace(answer, refusal=Refusal("denied", "You may not read that.", ()))
        return answer


class Leaking(Workspace):
    """Lets everybody see how many memberships there are."""

    def ask(self, *rest: Any, **more: Any) -> Answer:
        answer = super().ask(*rest, **more)
        count = self.parts.database.value("SELECT count(*) FROM memberships WHERE until > ?", (2**61,))
        return dataclasses.replace(answer, answer=f"{answer.answer} ({count})")


class Overzealous(Workspace):
    """A sync that takes out one document more than is gone."""

    def sync(self, name: str = "", *rest: Any, **more: Any) -> list[SyncReport]:
        files = sorted(self.folder_of(name).glob("*.txt"))
        if self.__dict__.setdefault("synced", False) and files:
            files[-1].unlink()
        self.__dict__["synced"] = True
        return super().sync(name, *rest, **more)

    def folder_of(self, name: str) -> Path:
        return Path(self.sources.get(self.parts.tenant(""), name).location)


class NeverStale(Workspace):
    """Never marks a citation as old."""

    def ask(self, *rest: Any, **more: Any) -> Answer:
        answer = super().ask(*rest, **more)
        claims = tuple(
            dataclasses.replace(c, citations=tuple(dataclasses.replace(x, stale=False) for x in c.citations))
            for c in answer.claims
        )
        return dataclasses.replace(answer, claims=claims)


class Eager(Workspace):
    """Syncs behind one's back before it answers."""

    def ask(self, *rest: Any, **more: Any) -> Answer:
        sources = self.sources.all(self.parts.tenant(""))
        if any(s.name == NAME for s in sources):
            try:
                self.sync(NAME)
            except SourceError:
                pass
        return super().ask(*rest, **more)


class Pruning(Overzealous):
    """Takes a vanished folder for an empty one."""

    def sync(self, name: str = "", *rest: Any, **more: Any) -> list[SyncReport]:
        folder = self.folder_of(name)
        if folder.is_dir():
            return Workspace.sync(self, name, *rest, **more)
        folder.mkdir()
        Workspace.sync(self, name, *rest, **more)
        folder.rmdir()
        raise SourceError("it is gone, and so is everything that was in it")


class Lenient(Overzealous):
    """Goes on with the old rules when the new ones are not understood."""

    def sync(self, name: str = "", *rest: Any, **more: Any) -> list[SyncReport]:
        path = self.folder_of(name) / "access.toml"
        rules = path.read_bytes() if path.is_file() else b""
        if b"alow" not in rules:
            return Workspace.sync(self, name, *rest, **more)
        path.write_bytes(rules.partition(b"\nalow")[0])
        return Workspace.sync(self, name, *rest, **more)


class EmptyHanded(Workspace):
    """Finds nothing, and does not say why, when its index was damaged."""

    def search(self, *rest: Any, **more: Any) -> Hits:
        found = super().search(*rest, **more)
        damaged = self.status()["index"]["rebuilt"] or not (self.parts.folder / INDEX).is_dir()
        return dataclasses.replace(found, hits=()) if damaged else found


class Unrecorded(Workspace):
    """Answers although it cannot be recorded."""

    def ask(self, *rest: Any, **more: Any) -> Answer:
        try:
            return super().ask(*rest, **more)
        except WorkspaceError:
            return Answer("run-?", 0, RunStatus.ANSWERED, "certainly", (), None, "")


class Silent(Workspace):
    """Does not say that it searched by keyword alone."""

    def search(self, *rest: Any, **more: Any) -> Hits:
        return dataclasses.replace(super().search(*rest, **more), degraded="")


class Helpless(Workspace):
    """Gives up without vectors."""

    def search(self, *rest: Any, **more: Any) -> Hits:
        found = super().search(*rest, **more)
        if found.degraded:
            raise ValueError("no vectors")
        return found


class Slow(Workspace):
    """Waits, once, for an embedder that is gone."""

    def search(self, *rest: Any, **more: Any) -> Hits:
        found = super().search(*rest, **more)
        if found.degraded and not self.__dict__.get("waited"):
            self.__dict__["waited"] = True
            time.sleep(3.6)
        return found


class Resigned(Workspace):
    """Once without vectors, always without."""

    def search(self, *rest: Any, **more: Any) -> Hits:
        found = super().search(*rest, **more)
        if found.degraded:
            self.__dict__["resigned"] = True
        return dataclasses.replace(found, hits=()) if self.__dict__.get("resigned") else found


class AllOrNothing(Workspace):
    """A sync that fails as a whole without vectors."""

    def sync(self, *rest: Any, **more: Any) -> list[SyncReport]:
        reports = super().sync(*rest, **more)
        if any(f.code == "embedder" for r in reports for f in r.faults):
            raise EmbedderError("no vectors")
        return reports


class Unpunctual(Workspace):
    """Refuses to work when its clock is behind the log."""

    def ask(self, *rest: Any, **more: Any) -> Answer:
        last = self.parts.database.value("SELECT max(at) FROM events")
        if self.parts.clock.now() < last:
            raise WorkspaceError("the clock is wrong")
        return super().ask(*rest, **more)


class Approximate(Workspace):
    """As-of means some time or other before."""

    def ask(
        self,
        text: str,
        user: str,
        tenant: str = "",
        as_of: int | None = None,
        where: Any = None,
        follows: str = "",
        on_claim: Any = None,
        run: str = "",
        by: str = "",
    ) -> Answer:
        return super().ask(
            text, user, tenant, None if as_of is None else 3, where, follows, on_claim, run, by
        )


class Damaged(Workspace):
    """Does not verify."""

    def verify(self, progress: Any = None) -> dict[str, Any]:
        raise LogDamagedError("position 7 is not what it was")


class Marked(Workspace):
    """Does not start while a killed process's mark is there."""

    def ask(self, *rest: Any, **more: Any) -> Answer:
        if (self.parts.folder / "dirty").exists():
            raise WorkspaceError("repair it by hand")
        return super().ask(*rest, **more)


# -- with language models


class Dependent(Workspace):
    """Fails when no model wrote anything."""

    def ask(self, *rest: Any, **more: Any) -> Answer:
        answer = super().ask(*rest, **more)
        if self.parts.release().models is not None and answer.model is None:
            raise ModelError("server", "no model")
        return answer


class Attributing(Workspace):
    """Says that a model wrote what none wrote."""

    def ask(self, *rest: Any, **more: Any) -> Answer:
        answer = super().ask(*rest, **more)
        return dataclasses.replace(answer, model=answer.model or "large")


class Unattributed(Workspace):
    """Never says that a model wrote it."""

    def ask(self, *rest: Any, **more: Any) -> Answer:
        return dataclasses.replace(super().ask(*rest, **more), model=None)


class Reticent(Workspace):
    """Keeps why no model answered to itself."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        show = self.runs.show
        self.runs.show = lambda *rest, **more: _without_decisions(show(*rest, **more))  # type: ignore[method-assign]


def _without_decisions(story: dict[str, Any]) -> dict[str, Any]:
    for step in story["steps"]:
        if step["name"] == "model":
            step["output"]["decisions"] = []
    return story


class Forgetful(Workspace):
    """Replays another question than was asked."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        replay = self.replays.replay

        def other(*rest: Any, **more: Any) -> Iterator[Any]:
            for report in replay(*rest, **more):
                yield dataclasses.replace(report, impossible="it was another question")

        self.replays.replay = other  # type: ignore[method-assign]


class Despairing(Workspace):
    """Once without a model, always without."""

    def ask(self, *rest: Any, **more: Any) -> Answer:
        mark = self.parts.folder / "keys" / "despaired"
        answer = super().ask(*rest, **more)
        if answer.model is None and answer.claims:
            mark.touch()
        return dataclasses.replace(answer, model=None) if mark.exists() else answer


class Patient(Workspace):
    """Gives its models three seconds, whatever the release says."""

    def publish(self, content: Any, channel: str = STABLE) -> str:
        said = json.loads(json.dumps(content))
        said["write"]["milliseconds"] = 3_000
        return super().publish(said, channel)


class OnlyFirst(Workspace):
    """Asks no second model."""

    def publish(self, content: Any, channel: str = STABLE) -> str:
        said = json.loads(json.dumps(content))
        del said["models"]["tasks"]["answer"]["options"][1:]
        return super().publish(said, channel)


class Insistent(Workspace):
    """Asks until it is content."""

    def ask(self, *rest: Any, **more: Any) -> Answer:
        answers = [super(Insistent, self).ask(*rest, **more) for _ in range(3)]
        return answers[-1]


class Gullible(Workspace):
    """Gives what the model said."""

    def ask(self, *rest: Any, **more: Any) -> Answer:
        answer = super().ask(*rest, **more)
        return dataclasses.replace(answer, answer=f"{answer.answer} {UNTRUE}")


class Unmetered(Workspace):
    """Counts nothing."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        parts.models.meter = lambda tenant, principal: None


class Untold(Workspace):
    """Tells nobody that a budget is spent."""

    def _warn(self) -> None:
        return


class Nagging(Workspace):
    """Tells it after every question."""

    def _warn(self) -> None:
        super()._warn()
        for event in list(self.parts.events.of_kind(EventKind.BUDGET_CHANGED)):
            if event.facts["change"] == "spent":
                body = self.parts.events.body(event)
                again = Event(EventKind.BUDGET_CHANGED, event.tenant, facts=event.facts, body=body)
                self.parts.log.write(lambda tx, again=again: tx.append(again))  # type: ignore[misc]


class Miscounting(Workspace):
    """Counts half of it."""

    def ask(self, *rest: Any, **more: Any) -> Answer:
        answer = super().ask(*rest, **more)
        ledger = self.money.ledger.db
        with ledger.write():
            ledger.run("UPDATE counters SET micro = micro / 2")
        return answer


class Mute(Workspace):
    """Does not say what became of calls."""

    def act(self, *rest: Any, **more: Any) -> Answer:
        return dataclasses.replace(super().act(*rest, **more), actions=())


class Doubling(Workspace):
    """Calls every tool twice."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        add = self.tools.add
        self.tools.add = lambda *tools: add(*(Twice(t) for t in tools))  # type: ignore[method-assign]


class Twice:
    """A tool that is called once more where it failed."""

    def __init__(self, callee: Any) -> None:
        self.callee, self.contract, self.check = callee, callee.contract, callee.check

    def run(self, arguments: Any, context: Any) -> Any:
        try:
            return self.callee.run(arguments, context)
        except Exception:  # noqa: BLE001  # that is what is wrong with it
            return self.callee.run(arguments, context)


class Permissive(Workspace):
    """Permits everything, whoever vouches for it."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        decide = self.policy.decide

        def yes(wish: Any) -> Any:
            found = decide(wish)
            return found if found.errors else dataclasses.replace(found, verdict=Verdict.PERMIT)

        self.policy.decide = yes  # type: ignore[method-assign]


class Forbidding(Workspace):
    """Permits nothing."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        decide = self.policy.decide
        self.policy.decide = lambda wish: dataclasses.replace(decide(wish), verdict=Verdict.FORBID)  # type: ignore[method-assign]


class Waiting(Workspace):
    """Waits for approvals for ever."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self.tools.gateway._ledger._patience *= 1000


class Idle(Workspace):
    """Never goes on with a run by itself."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self.acting.work = lambda failed=(): iter(())  # type: ignore[method-assign, assignment]


class Loyal(Workspace):
    """Remembers what somebody could do when they first did anything."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        person, first = self.tools.person, dict[Any, Any]()
        self.tools.person = lambda *who: first.setdefault(who, person(*who))  # type: ignore[method-assign]


class Showing(Workspace):
    """Shows again whatever was shown once."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)

        class Doors(LiveDoors):
            def readable(self, places: Any) -> bool:
                return True

        self.acting.doors = Doors


def kinds() -> Iterator[type[Workspace]]:
    """Every broken workspace of this module."""
    return (
        v
        for v in globals().values()
        if isinstance(v, type) and issubclass(v, Workspace) and v is not Workspace
    )
