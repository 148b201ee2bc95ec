"""The list of runs against the log: a row put in, taken out or changed by hand hides a run, or shows it as somebody else's."""

from __future__ import annotations

from affidavit.app.layout import damaged
from affidavit.domain.events import EventKind
from affidavit.events.verify import Fold, Noted
from affidavit.store.database import Database
from affidavit.store.runs import Runs


class RunListCheck:
    """Looks up each run's row as the log is read; call inside the snapshot in which that is."""

    def __init__(self, database: Database) -> None:
        self._runs = Runs(database)
        self._begun = 0
        self._wrong: int | None = None

    def beside(self, fold: Fold) -> Fold:
        """``fold``, with this told of runs' beginnings."""

        def take(event: Noted) -> None:
            if event.kind is EventKind.RUN_STARTED:
                self._started(event)
            if event.kind.value in fold.kinds:
                fold.take(event)

        return Fold(fold.kinds | {EventKind.RUN_STARTED.value}, take)

    def _started(self, event: Noted) -> None:
        self._begun += 1
        who = event.body.get("principal") if isinstance(event.body, dict) and not event.erased else None
        said = event.tenant, event.facts.get("journey"), who if isinstance(who, str) else ""
        if self._wrong is None and self._runs.at(event.position) != said:
            self._wrong = event.position  # told at the end: the log's own faults come first

    def close(self) -> None:
        """Raises LogDamagedError for a row too many, and for one that is of another run or stands otherwise."""
        if self._runs.count() != self._begun:
            raise damaged("the list of runs holds a run that the log does not")
        wrong = self._runs.unlike_the_log() if self._wrong is None else self._wrong
        if wrong is not None:
            raise damaged(f"the list of runs does not say what the log does of position {wrong}")
