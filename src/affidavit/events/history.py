"""The roots that the log has had, worked out from its headers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from affidavit.events.merkle import EMPTY_ROOT, Frontier, leaf_hash
from affidavit.store.database import Database


def roots(
    database: Database, sizes: Iterable[int], progress: Callable[[int], None] = lambda done: None
) -> Iterator[tuple[int, bytes]]:
    """(size, root) for each of ``sizes`` that the log has reached, smallest first. Call inside a snapshot.

    Worked out from the headers themselves, since an administrator can write anything into the stored leaves and tree.
    Stops where an event is missing.
    """
    wanted = sorted(set(sizes))
    if wanted[:1] == [0]:
        yield 0, EMPTY_ROOT
        del wanted[0]
    if not wanted:
        return
    frontier, next_wanted = Frontier(), 0
    rows = database.each(
        "SELECT position, header FROM events WHERE position < ? ORDER BY position", (wanted[-1],)
    )
    for position, header in rows:
        if position != frontier.size or not isinstance(header, bytes):
            return
        frontier.append(leaf_hash(header))
        if frontier.size == wanted[next_wanted]:
            yield frontier.size, frontier.root()
            next_wanted += 1
        if frontier.size % 1000 == 0:
            progress(frontier.size)
