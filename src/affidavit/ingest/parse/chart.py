"""Charts of Office documents: their titles and the numbers they were drawn from."""

from __future__ import annotations

from affidavit.ingest.parse.xml import Element


def chart_title(root: Element) -> str:
    """What is written above the chart, "" if nothing is."""
    title = root.find("c.chart/c.title")
    return "" if title is None else " ".join(t.text or "" for t in title.iter("a.t"))


def chart_rows(root: Element) -> list[list[str]]:
    """A row of names, then one for each category; empty if the chart keeps no numbers."""
    series = list(root.iter("c.ser"))
    names = [_points(one.find("c.tx")) for one in series]
    values = [_points(one.find("c.val")) or _points(one.find("c.yVal")) for one in series]
    categories = next(
        (found for one in series if (found := _points(one.find("c.cat")) or _points(one.find("c.xVal")))), {}
    )
    indexes = sorted({index for column in (categories, *values) for index in column})
    rows = [["", *(next(iter(name.values()), "") for name in names)]]
    rows += [[categories.get(i, ""), *(column.get(i, "") for column in values)] for i in indexes]
    return rows if indexes else []


def _points(node: Element | None) -> dict[int, str]:
    """Cached values by index."""
    found: dict[int, str] = {}
    for point in node.iter("c.pt") if node is not None else ():
        index = point.get("idx", "")
        if index.isdecimal() and len(index) < 7:
            found[int(index)] = point.findtext("c.v") or ""
    return found
