"""The language models of a workspace: made once a target, asked through the plane, as the release says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from affidavit.ask.drafts import ANSWER
from affidavit.domain.errors import ModelError
from affidavit.domain.release import Release
from affidavit.domain.routes import CONFIDENTIAL, Target
from affidavit.models.caller import Caller, CountingMeter
from affidavit.models.exchange import Exchange
from affidavit.models.plane import Plane
from affidavit.ports.model import ChatModel, ChatRequest, CountingModel

if TYPE_CHECKING:
    from affidavit.ask.writer import Writer

_CHARACTERS_A_TOKEN = 2
"""Without a tokenizer: fewer than any language has, so that a prompt is rather too short than cut off by the server."""


class ModelShop:
    """Makes models and writers. Safe for threads. ``make`` gives the model at a target; ``count`` estimates tokens;
    ``meter`` counts what a person's question costs, None for nothing;
    ``stopped`` says why a model may not be asked, "" if it may."""

    def __init__(
        self, make: Callable[[Target], ChatModel], count: Callable[[str], int] | None = None
    ) -> None:
        self.make = make
        self.count = count or (lambda text: len(text) // _CHARACTERS_A_TOKEN + 1)
        self.meter: Callable[[int, str], CountingMeter | None] = lambda tenant, principal: None
        self.stopped: Callable[[Target], str] = lambda target: ""
        self._exchange = Exchange()
        self._made: dict[str, ChatModel] = {}
        self._lock = threading.Lock()

    def at(self, target: Target) -> ChatModel:
        """The model at ``target``, kept for the next question. Raises ModelError if it cannot be had, or is stopped."""
        stopped = self.stopped(target)
        if stopped:
            raise ModelError("request", f"{target.name} is stopped: {stopped}", "affidavit revive")
        with self._lock:
            if target.key not in self._made:
                self._made[target.key] = self.make(target)
            return self._made[target.key]

    def caller(self, release: Release, tenant: int, principal: str) -> Caller | None:
        """Who asks the models of ``release`` for one question; None where it has none."""
        if release.models is None:
            return None
        return Caller(Plane(release.models, self.at, self._exchange), self.meter(tenant, principal))

    def writer(self, release: Release, caller: Caller | None) -> Writer | None:
        """Who writes an answer under ``release``; None where answers are extracted."""
        if caller is None or release.models is None or release.writing is None:
            return None
        if ANSWER not in release.models.tasks:
            return None
        # what checks a model's words takes long to import, and most workspaces have no model
        writer: type[Writer] = import_module("affidavit.ask.writer").Writer
        return writer(caller, release, self.count, self.own)

    def own(self, target: Target, request: ChatRequest, level: int) -> int | None:
        """The tokens of ``request`` by the own tokenizer of the model at ``target``; None where it has none at hand, may not see
        text of ``level``, failed lately, or does not say in time."""
        if not self._exchange.breaker(target).ready(self._exchange.stage.now()):
            return None
        try:
            model = self.at(target)
            sees = level < CONFIDENTIAL or model.info.local
            return (
                model.count(request)
                if sees and isinstance(model, CountingModel) and model.info.counts
                else None
            )
        except ModelError:
            return None

    def close(self) -> None:
        """Let go of connections."""
        with self._lock:
            for model in self._made.values():
                model.close()
            self._made.clear()
