"""A run that goes on from its own record: what it has done is answered from there, the rest is done."""

from __future__ import annotations

from collections.abc import Sequence

from affidavit.domain.errors import BusyError, UsageError
from affidavit.domain.events import Event
from affidavit.events.log import Transaction
from affidavit.runs.replay import Fact, Rerun, compare


class Resumed(Rerun):
    """A run that may stop at any moment, and be gone on with by any process: it knows how much of it is on the log.

    ``recorded`` is what the log has of it, nothing for one that begins. Two that go on with the same run cannot both: whoever
    comes second finds more on the log than it knows of, and is refused (BusyError).
    """

    def __init__(
        self, id: str, tenant: int, journey: str, release: str, recorded: Sequence[Fact] = ()
    ) -> None:
        super().__init__(id, tenant, journey, release, recorded, live=True)
        self._begun = True
        self._recorded = recorded
        self._there = len(recorded)

    def check(self) -> None:
        """Raise UsageError if what was repeated is not what the log has: the record must not be gone on with otherwise."""
        mine = self.facts()[: len(self._recorded)]
        where = compare(self._recorded, mine)
        if where is not None:
            raise UsageError(
                f"{self.id} cannot go on: step {where.step} {where.name} {where.what}",
                "ask again; what it did stands in the record",
            )

    def _append(self, transaction: Transaction, events: Sequence[Event]) -> int:
        there = transaction.written(self.id)
        if there != self._there:
            raise BusyError(
                f"{self.id} is gone on with by somebody else", "affidavit run show tells how it stands"
            )
        self.check()
        position = super()._append(transaction, events)
        self._there = max(there, len(events))
        return position
