"""A drill that somebody wrote as a file: its steps one after another, its expectations as promises."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affidavit.app.drills.cast import Probe
from affidavit.app.drills.clock_skew import Skewed
from affidavit.app.drills.comparing import index_files
from affidavit.app.drills.index_corruption import damage_file
from affidavit.app.drills.lab import Lab, Seen, describe
from affidavit.app.drills.promise import Promise
from affidavit.app.drills.steps import Script, Step
from affidavit.app.drills.tree import bring_in, inside
from affidavit.app.wiring import INDEX
from affidavit.domain.access import named
from affidavit.domain.errors import AffidavitError, UsageError

if TYPE_CHECKING:
    from affidavit.app.workspace import Workspace


class CustomDrill:
    """Implements ``Drill``."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.name = script.name
        self.breaks = script.about
        self.promises = tuple(Promise(s.key, s.promise) for s in script.steps if s.expect)

    def run(self, lab: Lab) -> None:
        _Play(lab, self._script).run()


class _Play:
    """One performance of a script."""

    def __init__(self, lab: Lab, script: Script) -> None:
        self._lab = lab
        self._script = script
        self._open = ExitStack()
        self._days = 0.0
        self._folders: dict[tuple[str, str], Path] = {}
        self._seen: dict[str, Seen] = {}
        self._ws: Workspace = self._reopened()
        self._acts: Mapping[str, Callable[[Step], object]] = {
            "ask": self._ask,
            "search": self._search,
            "join": lambda s: self._ws.people.join(self._tenant(s), _who(s), s.values["group"]),
            "leave": lambda s: self._ws.people.leave(self._tenant(s), _who(s), s.values["group"]),
            "remove": lambda s: self._ws.people.remove(self._tenant(s), _who(s)),
            "import": lambda s: self._ws.import_people(self._script.folder / s.values["file"], s.tenant),
            "write-file": self._write,
            "change-file": self._change,
            "delete-file": lambda s: self._file(s).unlink(),
            "vanish": lambda s: self._folder(s).rename(self._away(s)),
            "restore": lambda s: self._away(s).rename(self._folder(s)),
            "sync": self._sync,
            "damage-index": self._damage,
            "clock": self._clock,
            "verify": lambda _: self._ws.verify(),
        }

    def run(self) -> None:
        """Every step; one that fails without that being expected ends it."""
        try:
            for step in self._script.steps:
                self._step(step)
            self._lab.sound(self._ws)
        finally:
            self._open.close()

    def _step(self, step: Step) -> None:
        began = time.perf_counter()
        result = self._lab.attempt(lambda: self._acts[step.do](step))
        took = time.perf_counter() - began
        if isinstance(result, Exception) and "error" not in step.expect:
            raise result
        told = _told(result)
        self._lab.watched(f"step {step.number}, {step.do}: {told}")
        if step.expect:
            wrong = self._wrong(step, result, took)
            self._lab.check(step.key, not wrong, "; ".join(wrong) or told, took)
        if step.id and isinstance(result, Seen):
            self._seen[step.id] = result

    # -- what is done

    def _reopened(self) -> Workspace:
        self._open.close()
        self._ws = self._open.enter_context(self._lab.open(Skewed(self._days) if self._days else None))
        return self._ws

    def _tenant(self, step: Step) -> Any:
        return self._ws.parts.tenant(step.tenant)

    def _ask(self, step: Step) -> Seen:
        return self._lab.ask(self._ws, self._probe(step), as_of=step.values.get("as_of"))

    def _search(self, step: Step) -> Seen:
        return self._lab.search(self._ws, self._probe(step))

    def _probe(self, step: Step) -> Probe:
        return Probe(step.tenant, _principal(step.values["as"]), step.values["question"], said=True)

    def _folder(self, step: Step) -> Path:
        """The laboratory's own copy of the source's folder, made when it is first needed."""
        key = (step.tenant, step.values["source"])
        if key not in self._folders:
            self._folders[key] = bring_in(self._ws, self._lab.room, *key)
        return self._folders[key]

    def _away(self, step: Step) -> Path:
        folder = self._folder(step)
        return folder.with_name(f"{folder.name}-away")

    def _file(self, step: Step) -> Path:
        path = inside(self._folder(step), step.values["file"])
        if step.do != "write-file" and not path.is_file():
            raise UsageError(
                f"step {step.number}: there is no file {step.values['file']}", "write it as citations show it"
            )
        return path

    def _write(self, step: Step) -> None:
        path = self._file(step)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(step.values["text"], encoding="utf-8", newline="")

    def _change(self, step: Step) -> None:
        path = self._file(step)
        text, old = path.read_text(encoding="utf-8"), step.values["old"]
        if old not in text:
            raise UsageError(
                f"step {step.number}: {step.values['file']} does not hold {old!r}", "copy it from the file"
            )
        path.write_text(text.replace(old, step.values["new"]), encoding="utf-8", newline="")

    def _sync(self, step: Step) -> dict[str, int]:
        (report,) = self._ws.sync(step.values["source"], step.tenant)
        return report.counts()

    def _damage(self, step: Step) -> None:
        self._open.close()
        how = step.values.get("how", "remove")
        if how == "remove":
            shutil.rmtree(self._lab.folder / INDEX)
        else:
            for path in index_files(self._lab):
                damage_file(path, how, self._lab.random)
        self._reopened()

    def _clock(self, step: Step) -> None:
        self._days = step.values["days"]
        self._reopened()

    # -- what is expected

    def _wrong(self, step: Step, result: object, took: float) -> list[str]:
        """Every expectation that was not met, in words."""
        expect = dict(step.expect)
        wrong = []
        within = expect.pop("within", None)
        if within is not None and took > within:
            wrong.append(f"it took {took:.2f} s, not {within}")
        code = expect.pop("error", None)
        if code is not None or isinstance(result, Exception):
            got = result.status if isinstance(result, Seen) else getattr(result, "code", "no error")
            return [*wrong, *([] if got == code else [f"the error is {got}, not {code}"])]
        if isinstance(result, Seen):
            return wrong + [m for name, value in expect.items() if (m := self._missed(name, value, result))]
        counts = result if isinstance(result, dict) else {}
        return wrong + [f"{k} is {counts.get(k)}, not {v}" for k, v in expect.items() if counts.get(k) != v]

    def _missed(self, name: str, value: Any, seen: Seen) -> str:
        names = {document for _, document in seen.cited}
        listed = [value] if isinstance(value, str) else value
        checks: dict[str, Callable[[], bool]] = {
            "status": lambda: seen.status == value,
            "cites": lambda: set(listed) <= names,
            "not_cites": lambda: names.isdisjoint(listed),
            "contains": lambda: all(v in seen.text for v in listed),
            "not_contains": lambda: not any(v in seen.text for v in listed),
            "degraded": lambda: bool(seen.degraded) == value,
            "same_as": lambda: seen.given == self._seen[value].given,
        }
        return "" if checks[name]() else f"{name} {value}: it was {seen}"


def _who(step: Step) -> str:
    return _principal(step.values["who"])


def _principal(who: str) -> str:
    return named(who)


def _told(result: object) -> str:
    if isinstance(result, AffidavitError):
        return f"{result.code}: {result.message}"
    if isinstance(result, Exception):
        return describe(result)
    if isinstance(result, dict):
        return (
            ", ".join(f"{k} {v}" for k, v in result.items() if isinstance(v, int) and v) or "nothing changed"
        )
    return str(result) if isinstance(result, Seen) else "done"
