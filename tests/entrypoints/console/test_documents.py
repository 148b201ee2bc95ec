"""A document's text on its page: in lines, with the passage marked, and nothing of it lost."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from affidavit.entrypoints.console.cited import cited, given_in, passage, whole
from affidavit.entrypoints.console.pages_documents import pieces

TEXT = "# Leave\n\nIt is 25 days.\nUp to 5 more.\n"


def lines(text: str, marked: tuple[int, int] | None = None) -> list[dict[str, Any]]:
    return pieces(text, [], 0, len(text), marked)


def test_a_heading_is_told_from_its_sign() -> None:
    assert lines(TEXT)[0] == {"kind": "heading", "hash": "# ", "runs": [("Leave", False, False)]}


def test_a_passage_over_two_lines_is_marked_in_both_and_can_be_led_to_once() -> None:
    start = TEXT.index("25")
    found = lines(TEXT, (start, TEXT.index(" more")))
    assert found[1]["runs"] == [("It is ", False, False), ("25 days.", True, True)]
    assert found[2]["runs"] == [("Up to 5", True, False), (" more.", False, False)]


def test_a_mark_within_the_sign_of_a_heading_is_shown() -> None:
    assert lines(TEXT, (0, 7))[0]["runs"] == [("# Leave", True, True)]


@given(st.text("ab #\n", max_size=60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_nothing_is_lost_and_what_is_marked_is_the_passage(
    text: str, start: int, end: int, begin: int
) -> None:
    begin, start, end = (min(n, len(text)) for n in (begin, start, end))
    marked = (start, end) if end > start else None
    found = pieces(text, [], begin, len(text), marked)
    whole_lines = [line for line in text[begin:].split("\n") if line.strip()]
    assert [p["hash"] + "".join(said for said, _, _ in p["runs"]) for p in found] == whole_lines
    shown = "".join(said for p in found for said, on, _ in p["runs"] if on)
    wanted = "".join(line for line in text[max(start, begin) : end].split("\n")) if marked else ""
    assert shown.replace(" ", "") == wanted.replace(" ", "")
    assert sum(first for p in found for _, _, first in p["runs"]) == bool(shown)


def place(document: str, start: int) -> dict[str, Any]:
    return {
        "source": "wiki",
        "document": document,
        "revision": "r1",
        "start": start,
        "end": start + 5,
        "title": "",
    }


def test_one_passage_has_one_number() -> None:
    claims = [
        {"text": "a", "citations": [place("x", 0), place("y", 0)], "overrules": [place("z", 0)]},
        {"text": "b", "citations": [place("y", 0), place("x", 9)]},
    ]
    found = cited({"claims": claims})
    assert [c["numbers"] for c in found["claims"]] == [[1, 2], [2, 4]]
    assert [p["set_aside"] for p in found["places"]] == [False, False, True, False]


def test_names_cannot_break_out_of_an_address() -> None:
    assert passage({"source": "a&b", "document": "x#y?z=1", "start": 1}) == (
        "/document?source=a%26b&document=x%23y%3Fz%3D1&start=1#passage"
    )
    assert whole("a", "../b\u202e") == "/document?source=a&document=..%2Fb%E2%80%AE"


def test_what_was_erased_was_not_given() -> None:
    assert given_in({}) is None
    assert given_in({"given": {"erased": True}}) is None
    assert given_in({"given": {"claims": []}}) == {"claims": []}
