"""What the stored tree says of the log's past: proofs from one of its sizes to another, and the roots it has had."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from affidavit.domain.errors import LogDamagedError
from affidavit.events.consistency import prove_consistency, split
from affidavit.events.log import TILE_LEVELS
from affidavit.events.merkle import EMPTY_ROOT, Frontier, leaf_hash, node_hash
from affidavit.store.database import Database

_TILE = 1 << TILE_LEVELS


def consistency(database: Database, old: int, new: int) -> list[bytes]:
    """The proof that the log of ``new`` events begins with the log of ``old``. Call inside a snapshot.

    Read from the stored leaves and tree: whoever checks it needs to trust neither.
    """
    return prove_consistency(lambda start, stop: _range(database, start, stop), old, new)


def _range(database: Database, start: int, stop: int) -> bytes:
    """The root of the leaves from ``start`` up to and without ``stop``."""
    size = stop - start
    level = size.bit_length() - 1
    perfect = size == 1 << level and start % size == 0
    if size > _TILE and not perfect:
        middle = start + split(size)
        return node_hash(_range(database, start, middle), _range(database, middle, stop))
    tile = level - level % TILE_LEVELS if perfect else 0
    nodes = _nodes(database, tile, start >> tile, stop >> tile)
    if len(nodes) != size >> tile:
        raise LogDamagedError(
            f"events between {start} and {stop} are missing", "run `affidavit audit verify`"
        )
    frontier = Frontier()  # what is above the nodes of one level is a tree of them as leaves
    for node in nodes:
        frontier.append(node)
    return frontier.root()


def _nodes(database: Database, level: int, first: int, end: int) -> list[bytes]:
    """The stored nodes of a level from ``first`` up to and without ``end``, at most 256; level 0 is the leaves."""
    if level:
        sql = "SELECT hash FROM tree WHERE level = ? AND number >= ? AND number < ? ORDER BY number"
        rows = database.all(sql, (level, first, end))
    else:
        sql = "SELECT leaf FROM events WHERE position >= ? AND position < ? ORDER BY position"
        rows = database.all(sql, (first, end))
    return [bytes(node) for (node,) in rows]


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
