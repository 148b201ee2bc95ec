"""The guards of a workspace: those it was given by name, and the models of a release that judge instead of answer."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

from affidavit.adapters.guards.chat import ChatGuard
from affidavit.domain.errors import GuardError, ModelError
from affidavit.domain.guard_core import NAME
from affidavit.domain.guards import Finding, Stage
from affidavit.domain.release import Release
from affidavit.domain.routes import Target
from affidavit.models.guards import Guards
from affidavit.ports.guard import Guard, GuardInfo
from affidavit.ports.model import ChatModel

_NONE = Guards()
_KEPT = 16
"""Releases whose guards are remembered."""


class TargetGuard:
    """A target of a release as a guard of the Llama Guard kind (``adapters/guards/chat.py``). Its model is made when it is first
    asked; one that cannot be had is a guard that fails."""

    def __init__(self, name: str, target: Target, at: Callable[[Target], ChatModel]) -> None:
        self._name = name
        self._target = target
        self._at = at

    @property
    def info(self) -> GuardInfo:
        """Local if the release says so and the model as well."""
        version = f"{self._target.kind}/{self._target.model}"
        return GuardInfo(self._name, version, self._target.local and self._is_local(), places=False)

    def check(self, text: str, stage: Stage, timeout: float) -> Sequence[Finding]:
        """One finding for each category that the model names. Raises GuardError."""
        try:
            model = self._at(self._target)
        except ModelError as error:
            raise GuardError(f"guard {self._name}: {error.message}", error.hint) from error
        return ChatGuard(self._name, model).check(text, stage, timeout)

    def close(self) -> None:
        """Nothing: whoever made the model closes it."""

    def _is_local(self) -> bool:
        try:
            return self._at(self._target).info.local
        except ModelError:
            return False


class GuardShop:
    """Guards by name. Safe for threads. ``at`` gives the model at a target."""

    def __init__(self, at: Callable[[Target], ChatModel]) -> None:
        self._at = at
        self._given: dict[str, Guard] = {}
        self._replaced: list[Guard] = []
        self._made: OrderedDict[str, Guards] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, name: str, guard: Guard) -> None:
        """From now on ``guard`` is what releases call ``name``; it is closed with the workspace. A target of that name is not
        asked any more."""
        with self._lock:
            if name in self._given:
                self._replaced.append(self._given[name])
            self._given[name] = guard
            self._made.clear()

    def of(self, release: Release) -> Guards:
        """The guards that ``release`` names. One that is neither given nor a target of it is missing, and fails when asked."""
        if not release.guarding.policy.stages:
            return _NONE
        with self._lock:
            made = self._made.get(release.digest)
            if made is None:
                made = self._made[release.digest] = Guards(self._named(release))
            while len(self._made) > _KEPT:
                self._made.popitem(last=False)
            return made

    def _named(self, release: Release) -> dict[str, Guard]:
        targets = {} if release.models is None else release.models.targets
        found: dict[str, Guard] = {}
        for stage in Stage:
            for name in {s.guard for s in release.guarding.policy.steps(stage)} - {NAME}:
                if name in self._given:
                    found[name] = self._given[name]
                elif name in targets:
                    found[name] = TargetGuard(name, targets[name], self._at)
        return found

    def close(self) -> None:
        """Close the guards that were given."""
        with self._lock:
            for guard in (*self._given.values(), *self._replaced):
                guard.close()
            self._given.clear()
            self._replaced.clear()
            self._made.clear()
