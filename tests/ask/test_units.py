"""What can be quoted of a passage."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from affidavit.ask.retrieve import Passage
from affidavit.ask.units import LONG_ROW, units

LONG = "The quarterly budget is eleven thousand euros, " + "as agreed by everybody in the room, " * 9
BEFORE = 40


def quotes(text: str, kind: str) -> list[str]:
    view = SimpleNamespace(start=BEFORE, stop=BEFORE + len(text), kind=kind)
    found = units(0, cast(Passage, SimpleNamespace(view=view, text=text)))
    assert all(text[u.start - BEFORE : u.end - BEFORE] == u.quote for u in found)
    return [u.quote for u in found]


def test_a_short_row_is_quoted_whole() -> None:
    assert (
        quotes("| Sales team | 400 euros a day |\n| x | y |", "table")[0]
        == "| Sales team | 400 euros a day |"
    )


def test_of_a_long_row_each_cell_is_quoted() -> None:
    assert len(LONG) > LONG_ROW
    row = f"| Sales | Who decides is Carol. | {LONG} |"
    assert quotes(row, "row") == ["Who decides is Carol.", LONG.strip()]
    fields = f'Sales,Who decides is Carol.,"{LONG}",7'
    assert quotes(fields, "row") == ["Who decides is Carol.", LONG.strip()]


def test_prose_is_quoted_by_the_sentence() -> None:
    assert quotes("# Pay\n\nAll is well here. Nobody is paid twice.", "paragraph") == [
        "All is well here.",
        "Nobody is paid twice.",
    ]
