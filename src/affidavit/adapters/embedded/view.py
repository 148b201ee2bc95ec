"""What a scope sees of a state: the visible rows of each part, found once and kept for the next question."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from affidavit.adapters.embedded.access import AccessTable
from affidavit.adapters.embedded.arrays import F32, F64, I8, I64, Bools, Directory
from affidavit.adapters.embedded.segment import Part, Segment
from affidavit.domain.filter import Filter
from affidavit.domain.records import Scope

_MOST_BYTES = 64 * 2**20
_MOST_VIEWS = 256

# Measured: nanoseconds to gather and multiply one int8 row of 384, to multiply it in place, and to begin another run.
_GATHER, _STREAM, _RUN = 75, 15, 5000
_BRIDGE = _RUN // _STREAM


class PartView:
    """The visible rows of one part: ``rows`` ascending, within ``low:high``, the tenant's rows.

    ``lengths``: the sum of their lengths in terms, exactly.
    """

    def __init__(self, segment: Segment, low: int, high: int, rows: I64) -> None:
        self.segment, self.low, self.high, self.rows = segment, low, high, rows
        self.lengths = int(segment.length[rows].sum(dtype=np.int64))
        self._norms: tuple[float, float, F64] | None = None
        self._dense: DenseRows | None = None

    @property
    def bytes(self) -> int:
        """What keeping it costs, with everything that is derived later."""
        return 32 * len(self.rows) + 8 * (self.high - self.low)

    def norms(self, k1: float, b: float, average: float) -> F64:
        """For each of the tenant's rows BM25's length norm; infinite where not visible, so that it scores nothing."""
        kept = self._norms
        if kept is not None and kept[:2] == (k1, b):
            return kept[2]
        norms = np.full(self.high - self.low, np.inf)
        norms[self.rows - self.low] = length_norm(self.segment, self.rows, k1, b, average)
        self._norms = (k1, b, norms)
        return norms

    def dense(self) -> DenseRows:
        """The visible rows that have vectors, and how best to read their codes."""
        if self._dense is None:
            rows = self.rows
            if not self.segment.complete:
                rows = rows[self.segment.has[rows]]
            self._dense = DenseRows.of(self.segment, rows)
        return self._dense


def length_norm(segment: Segment, rows: I64, k1: float, b: float, average: float) -> F64:
    """k1 (1 - b + b length / average) per row: one fixed sequence of operations, wherever it is needed."""
    norm: F64 = k1 * ((1.0 - b) + b * (segment.length[rows].astype(np.float64) / average))
    return norm


@dataclass(frozen=True, eq=False)
class DenseRows:
    """Rows to be scanned: in place, as the ``runs`` (begin, end) that cover them, of which ``pick`` are meant; or gathered
    (``runs`` empty). ``scale`` and ``error`` are theirs."""

    rows: I64
    runs: tuple[tuple[int, int], ...]
    pick: I64 | None
    scale: F32
    error: F32

    @classmethod
    def of(cls, segment: Segment, rows: I64) -> DenseRows:
        """Plan the scan of ``rows`` by estimated cost; runs whose gap costs less than a new run are bridged."""
        scale, error = segment.scale[rows], segment.error[rows]
        if not len(rows):
            return cls(rows, (), None, scale, error)
        breaks = np.flatnonzero(np.diff(rows) > _BRIDGE)
        begins = rows[np.append(0, breaks + 1)]
        ends = rows[np.append(breaks, len(rows) - 1)] + 1
        covered = int((ends - begins).sum())
        if covered * _STREAM + len(begins) * _RUN > len(rows) * _GATHER + _RUN:
            return cls(rows, (), None, scale, error)
        runs = tuple(zip(begins.tolist(), ends.tolist(), strict=True))
        if covered == len(rows):
            return cls(rows, runs, None, scale, error)
        before = np.cumsum(ends - begins) - (ends - begins)
        run = np.searchsorted(begins, rows, side="right") - 1
        return cls(rows, runs, rows - begins[run] + before[run], scale, error)


@dataclass(frozen=True, eq=False)
class View:
    """What a scope sees: ``visible`` rows in all, ``average`` terms in each."""

    parts: tuple[PartView, ...]
    visible: int
    average: float

    @property
    def bytes(self) -> int:
        return sum(p.bytes for p in self.parts)


def look(
    parts: tuple[Part, ...], access: AccessTable, rules: Directory, documents: Directory, scope: Scope
) -> View:
    """Evaluate ``scope``: the one place where it is decided which rows take part in a search."""
    views = tuple(_look_at_parts(parts, access, rules, _instead(documents, scope), scope))
    visible = sum(len(v.rows) for v in views)
    lengths = sum(v.lengths for v in views)
    return View(views, visible, lengths / visible if lengths else 1.0)


def _instead(documents: Directory, scope: Scope) -> I8 | None:
    """By ordinal: 1 in scope, 0 not, -1 as its rules say; None where the rules decide everything."""
    if not scope.instead:
        return None
    out = np.full(len(documents) + 1, -1, np.int8)
    ids, verdicts = zip(*scope.instead, strict=True)
    out[documents.find(np.array(ids, np.int64))] = verdicts
    out[-1] = -1  # where a document that is not indexed was filed
    return out


def _look_at_parts(
    parts: tuple[Part, ...], access: AccessTable, rules: Directory, instead: I8 | None, scope: Scope
) -> Iterator[PartView]:
    now, at_head = rules.members(scope.now), access.rules_at(scope.head)
    then, at_position = now, at_head
    if scope.position != scope.head or scope.then != scope.now:
        then, at_position = rules.members(scope.then), access.rules_at(scope.position)
    same = then is now
    for part in parts:
        low, high = part.segment.tenant_range(scope.tenant)
        if low == high:
            continue
        documents = part.ordinal[low:high]
        mask = now[at_head[documents]]
        if not same:
            mask &= then[at_position[documents]]
        if instead is not None:
            said = instead[documents]
            mask = np.where(said >= 0, said > 0, mask)
        _keep_valid(mask, part, low, high, scope.position)
        if scope.filter is not None:
            _keep_matching(mask, part.segment, low, high, scope.filter)
        rows = np.flatnonzero(mask) + low
        if len(rows):
            yield PartView(part.segment, low, high, rows)


def _keep_valid(mask: Bools, part: Part, low: int, high: int, position: int) -> None:
    if part.segment.newest > position:
        mask &= part.segment.since[low:high] <= position
    if len(part.ended):
        a, b = np.searchsorted(part.ended, (low, high))
        over = part.ended[a:b][part.until[a:b] <= position]
        mask[over - low] = False


def _keep_matching(mask: Bools, segment: Segment, low: int, high: int, filter: Filter) -> None:
    mask &= segment.metadata.passing(filter)[segment.meta[low:high]]


class ViewCache:
    """The views last asked for, for one state. Bounded by count and bytes; safe for threads."""

    def __init__(self) -> None:
        self._views: OrderedDict[tuple[object, ...], View] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    @staticmethod
    def _key(scope: Scope) -> tuple[object, ...]:
        # The filter by its text: Equals("n", 1) and Equals("n", True) compare equal and mean different things.
        return (
            scope.tenant,
            scope.head,
            scope.position,
            scope.now,
            scope.then,
            repr(scope.filter),
            scope.instead,
        )

    def get(self, scope: Scope) -> View | None:
        """The view, if kept."""
        key = self._key(scope)
        with self._lock:
            view = self._views.get(key)
            if view is not None:
                self._views.move_to_end(key)
            return view

    def put(self, scope: Scope, view: View) -> None:
        """Keep ``view``, letting go of those not asked for longest."""
        key = self._key(scope)
        with self._lock:
            if key in self._views:
                return
            self._views[key] = view
            self._bytes += view.bytes
            while self._views and (self._bytes > _MOST_BYTES or len(self._views) > _MOST_VIEWS):
                _, old = self._views.popitem(last=False)
                self._bytes -= old.bytes
