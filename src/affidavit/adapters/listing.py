"""What every listing connector needs: legal names and pages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from affidavit.domain.errors import SourceError
from affidavit.ports.connector import Fault, Item, Page

# Control characters, line separators, lone surrogates, and the invisible marks that reorder the text around them: a name
# that holds one can forge a line of output or look like another name.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def is_text_name(name: str) -> bool:
    """Whether ``name`` can be shown as it is and stored as UTF-8."""
    return not _UNPRINTABLE.search(name)


def escaped(name: str) -> str:
    """``name`` with everything unprintable written as an escape, safe to print."""
    return _UNPRINTABLE.sub(lambda m: m.group().encode("unicode_escape", "surrogatepass").decode(), name)


def pages(found: Iterable[Item | Fault], size: int) -> Iterator[Page]:
    """``found`` in pages of up to ``size`` things, the last of which, empty or not, is drained."""
    items: list[Item] = []
    faults: list[Fault] = []
    for one in found:
        if len(items) + len(faults) >= size:
            yield Page(tuple(items), faults=tuple(faults))
            items, faults = [], []
        if isinstance(one, Item):
            items.append(one)
        else:
            faults.append(one)
    yield Page(tuple(items), faults=tuple(faults), drained=True)


def gone(name: str, where: object) -> SourceError:
    """The error for an item that was listed and is there no longer."""
    return SourceError(f"{escaped(name)} is no longer in {where}", "sync again: the next pass takes it out")
