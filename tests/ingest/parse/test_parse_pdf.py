"""PDF: reading order, headings, lists, tables, running lines, pages without text, what nobody sees."""

from __future__ import annotations

import pytest
from tests.office_files import line, pdf

from affidavit.domain.errors import ParseError
from affidavit.domain.records import Parsed
from affidavit.ingest.parse.read import parse

KIND = "application/pdf"


def read(*pages: str, title: str = "") -> Parsed:
    return parse(pdf(list(pages), title=title), KIND, "x.pdf")


def blocks(parsed: Parsed) -> list[tuple[str, str]]:
    return [(b.kind, parsed.text[b.start : b.end]) for b in parsed.blocks if not b.flag]


def test_headings_by_size_and_weight_paragraphs_and_lists() -> None:
    page = (
        line("Leave policy", 50, 700, 20)
        + line("Every employee has thirty days of", 50, 660)
        + line("leave in a year, as the law says.", 50, 648)
        + line("Sick days", 50, 620, font="B")
        + line("They are not counted against it.", 50, 600)
        + line("- with a note", 60, 580)
        + line("- without one", 60, 568)
    )
    parsed = read(page)
    assert blocks(parsed) == [
        ("heading", "Leave policy"),
        ("paragraph", "Every employee has thirty days of leave in a year, as the law says."),
        ("heading", "Sick days"),
        ("paragraph", "They are not counted against it."),
        ("list", "- with a note"),
        ("list", "- without one"),
    ]
    assert parsed.blocks[3].path == ("Leave policy", "Sick days")
    assert parsed.title == "Leave policy"


def test_columns_of_a_table_are_told_apart() -> None:
    rows = [("Grade", "Days", "Notice"), ("A", "30", "one month"), ("B", "28", "two weeks")]
    page = "".join(
        line(cell, 50 + 150 * n, 700 - 14 * m) for m, row in enumerate(rows) for n, cell in enumerate(row)
    )
    assert blocks(read(page)) == [("table", "Grade | Days | Notice\nA | 30 | one month\nB | 28 | two weeks")]


def test_two_columns_written_across_are_read_one_after_the_other() -> None:
    left = [f"left column line number {n} goes on" for n in range(5)]
    right = [f"right column line number {n} goes on" for n in range(5)]
    page = "".join(
        line(a, 40, 700 - 12 * n) + line(b, 330, 700 - 12 * n)
        for n, (a, b) in enumerate(zip(left, right, strict=True))
    )
    text = read(page).text
    assert text.index("left column line number 4") < text.index("right column line number 0")


def test_running_lines_are_dropped_and_pages_are_counted() -> None:
    pages = [
        line("Confidential - ACME", 50, 780)
        + line(f"What page {n} says is here.", 50, 400)
        + line(f"Page {n}", 280, 20)
        for n in range(1, 4)
    ]
    parsed = read(*pages)
    assert blocks(parsed) == [("paragraph", f"What page {n} says is here.") for n in range(1, 4)]
    assert parsed.metadata["pages"] == 3
    starts = parsed.metadata["page_starts"]
    assert starts == {"starts": [parsed.text.index(f"What page {n}") for n in range(1, 4)]}


def test_a_sentence_goes_on_over_the_page() -> None:
    parsed = read(line("The rule holds for all who", 50, 400), line("work here, without exception.", 50, 700))
    assert blocks(parsed) == [("paragraph", "The rule holds for all who work here, without exception.")]


def test_pages_without_text_are_reported() -> None:
    scan = "q 600 0 0 800 0 0 cm /I Do Q"
    (notice,) = read(line("words", 50, 400), scan, scan, "").notices
    assert notice.code == "no_text"
    assert "2 of 4 pages (2-3)" in notice.message
    assert "OCR" in notice.hint
    alone = read(scan)
    assert (alone.text, alone.blocks) == ("", ())
    assert "the only page" in alone.notices[0].message


def test_what_nobody_sees_stands_apart() -> None:
    page = (
        line("seen", 50, 700)
        + "1 1 1 rg "
        + line("white on paper", 50, 600)
        + "0 0 1 rg 40 490 200 30 re f 1 1 1 rg "
        + line("white on blue", 50, 500)
        + "0 g "
        + line("off the page", 50, 2000)
        + line("invisible", 50, 300, more="3 Tr")
    )
    parsed = read(page)
    assert blocks(parsed) == [("paragraph", "seen"), ("paragraph", "white on blue")]
    (hidden,) = [parsed.text[b.start : b.end] for b in parsed.blocks if b.flag]
    assert hidden == "white on paper off the page invisible"


def test_what_a_program_recognised_in_a_scan_is_text() -> None:
    page = "q 600 0 0 800 0 0 cm /I Do Q " + line("recognised", 50, 300, more="3 Tr")
    parsed = read(page)
    assert (blocks(parsed), parsed.notices) == ([("paragraph", "recognised")], ())


def test_titles_that_say_nothing_are_not_taken() -> None:
    page = line("The Rules", 50, 700, 20) + line("Body text is smaller than that.", 50, 650)
    assert read(page, title="Rules of 2024").title == "Rules of 2024"
    assert read(page, title="Microsoft Word - draft.doc").title == "The Rules"


@pytest.mark.parametrize(
    "data", [b"%PDF-1.4\n", pdf(["x"])[:200], b"%PDF-1.7\n" + b"0" * 5000], ids=["head", "cut", "zeros"]
)
def test_damaged_files_are_refused(data: bytes) -> None:
    with pytest.raises(ParseError, match="damaged"):
        parse(data, KIND, "x.pdf")


def test_pages_that_refer_to_one_another_end() -> None:
    data = pdf([line("once", 50, 400)]).replace(b"/Kids[10 0 R]", b"/Kids[2 0 R ]")
    try:
        assert parse(data, KIND, "x.pdf").text in ("", "once")
    except ParseError as error:
        assert error.hint
