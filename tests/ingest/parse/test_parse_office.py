"""Office, OpenDocument, EPUB and RTF files: what is read, in which order, and what is kept apart."""

from __future__ import annotations

import pytest
from tests.office_files import docx, epub, odf, p, pptx, shape, xlsx, zipped

from affidavit.domain.errors import ParseError, UnsupportedError
from affidavit.domain.records import Parsed
from affidavit.ingest.chunk import chunk
from affidavit.ingest.parse.read import parse

ANY = "application/octet-stream"


def blocks(parsed: Parsed) -> list[tuple[str, str]]:
    return [(b.kind, parsed.text[b.start : b.end]) for b in parsed.blocks if not b.flag]


def apart(parsed: Parsed) -> list[tuple[str, str]]:
    return [(b.flag, parsed.text[b.start : b.end]) for b in parsed.blocks if b.flag]


HEADINGS = "".join(f'<w:style w:styleId="h{n}"><w:name w:val="heading {n}"/></w:style>' for n in (1, 2))
NUMBERS = (
    '<w:abstractNum w:abstractNumId="0">'
    '<w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="decimal"/><w:lvlText w:val="%1."/></w:lvl>'
    '<w:lvl w:ilvl="1"><w:start w:val="1"/><w:numFmt w:val="lowerLetter"/><w:lvlText w:val="%1.%2)"/></w:lvl>'
    '</w:abstractNum><w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>'
)


def item(depth: int) -> str:
    return f'<w:numPr><w:ilvl w:val="{depth}"/><w:numId w:val="1"/></w:numPr>'


def test_word_headings_lists_as_numbered_and_footnotes() -> None:
    body = (
        p("Terms", '<w:pStyle w:val="h1"/>')
        + p("Payment", f'<w:pStyle w:val="h2"/>{item(0)}')
        + p("in euros", item(1))
        + p("in time", item(1))
        + p("Notice", f'<w:pStyle w:val="h2"/>{item(0)}')
        + '<w:p><w:r><w:t>By letter</w:t><w:footnoteReference w:id="2"/></w:r></w:p>'
    )
    notes = f'<w:footnote w:id="0" w:type="separator">{p("-")}</w:footnote><w:footnote w:id="2">{p("Registered.")}</w:footnote>'
    parsed = parse(docx(body, styles=HEADINGS, numbering=NUMBERS, footnotes=notes), ANY, "x")
    assert blocks(parsed) == [
        ("heading", "Terms"),
        ("heading", "1. Payment"),
        ("list", "1.a) in euros"),
        ("list", "1.b) in time"),
        ("heading", "2. Notice"),
        ("paragraph", "By letter[2]"),
        ("paragraph", "[2] Registered."),
    ]
    assert parsed.blocks[3].path == ("Terms", "1. Payment")
    assert parsed.title == "Terms"


def test_word_keeps_apart_what_a_reader_does_not_see() -> None:
    body = (
        p("shown")
        + p("vanished", run="<w:vanish/>")
        + p("white", run='<w:color w:val="FFFFFF"/>')
        + p("tiny", run='<w:sz w:val="2"/>')
        + "<w:p><w:r><w:t>kept</w:t></w:r><w:del><w:r><w:delText>struck</w:delText></w:r></w:del>"
        "<w:ins><w:r><w:t> added</w:t></w:r></w:ins></w:p>"
    )
    comments = f'<w:comment w:id="1" w:author="Jane">{p("Really?")}</w:comment>'
    parsed = parse(docx(body, comments=comments), ANY, "x")
    assert blocks(parsed) == [("paragraph", "shown"), ("paragraph", "kept added")]
    assert apart(parsed) == [
        ("hidden", "vanished"),
        ("hidden", "white"),
        ("hidden", "tiny"),
        ("deleted", "struck"),
        ("comment", "Jane: Really?"),
    ]
    assert parsed.metadata["apart"] == {"comment": 1, "deleted": 1, "hidden": 3}
    chunked = "".join(parsed.text[s.start : s.end] for s in chunk(parsed))
    assert "kept added" in chunked
    assert not any(word in chunked for word in ("vanished", "white", "tiny", "struck", "Really"))


def test_merged_cells_hold_in_every_row() -> None:
    def cell(text: str, more: str = "") -> str:
        return f"<w:tc><w:tcPr>{more}</w:tcPr>{p(text)}</w:tc>"

    table = (
        "<w:tbl><w:tr>" + cell("Year") + cell("Months", '<w:gridSpan w:val="2"/>') + "</w:tr>"
        "<w:tr>" + cell("2024", '<w:vMerge w:val="restart"/>') + cell("Jan") + cell("7") + "</w:tr>"
        "<w:tr>" + cell("", "<w:vMerge/>") + cell("Feb") + cell("8") + "</w:tr></w:tbl>"
    )
    (table_block,) = blocks(parse(docx(table), ANY, "x"))
    assert table_block == ("table", "Year | Months | Months\n2024 | Jan | 7\n2024 | Feb | 8")


def test_rows_of_a_long_table_carry_its_header() -> None:
    rows = "".join(f"<w:tr><w:tc>{p(f'name {n}')}</w:tc><w:tc>{p(str(n))}</w:tc></w:tr>" for n in range(100))
    parsed = parse(
        docx(f"<w:tbl><w:tr><w:tc>{p('Name')}</w:tc><w:tc>{p('No')}</w:tc></w:tr>{rows}</w:tbl>"), ANY, "x"
    )
    assert [b.path for b in parsed.blocks] == [(), *[("Name | No",)] * 100]
    assert {b.kind for b in parsed.blocks} == {"row"}


def test_slides_are_pages_in_reading_order_and_notes_stand_apart() -> None:
    first = (
        shape("below", y=900_000)
        + shape("Plan", "title", y=0)
        + shape("7", "sldNum", y=0)
        + shape("above", y=500_000)
    )
    parsed = parse(pptx([first, shape("secret", y=0)], {0: "say this"}, hidden=1), ANY, "x")
    assert blocks(parsed) == [("heading", "Plan"), ("paragraph", "above"), ("paragraph", "below")]
    assert apart(parsed) == [("note", "say this"), ("hidden", "secret")]
    assert parsed.metadata["pages"] == 2


def test_sheets_dates_percentages_merges_and_hidden_ones() -> None:
    def c(place: str, value: str, style: int = 0) -> str:
        return f'<c r="{place}" s="{style}"><v>{value}</v></c>'

    def t(place: str, text: str) -> str:
        return f'<c r="{place}" t="inlineStr"><is><t>{text}</t></is></c>'

    data = (
        f'<sheetData><row r="1">{t("A1", "Day")}{t("B1", "Share")}{t("C1", "Sum")}</row>'
        f'<row r="2">{c("A2", "45292", 1)}{c("B2", "0.125", 2)}{c("C2", "0.30000000000000004")}</row>'
        f'<row r="3">{c("C3", "7")}</row><row r="4" hidden="1">{t("A4", "unseen row")}</row>'
        f'<row r="6">{t("B6", "alone")}</row></sheetData><mergeCells><mergeCell ref="A2:A3"/></mergeCells>'
    )
    styles = '<cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="10"/></cellXfs>'
    other = f'<sheetData><row r="1">{t("A1", "salaries")}</row></sheetData>'
    parsed = parse(xlsx({"One": data, "Two": other}, hidden="Two", styles=styles), ANY, "x")
    assert blocks(parsed) == [
        ("heading", "One"),
        ("table", "Day | Share | Sum\n2024-01-01 | 12.50% | 0.3\n2024-01-01 |  | 7"),
        ("paragraph", "alone"),
    ]
    assert apart(parsed) == [("hidden", "One | unseen row"), ("hidden", "Two | salaries")]


def test_open_document_text() -> None:
    body = (
        '<text:h text:outline-level="1">Rules</text:h><text:p>a<text:s text:c="2"/>b<text:line-break/>c'
        "<office:annotation><dc:creator>Jane</dc:creator><text:p>why</text:p></office:annotation></text:p>"
        '<text:list text:style-name="N"><text:list-item><text:p>first</text:p></text:list-item>'
        "<text:list-item><text:p>second</text:p></text:list-item></text:list>"
        '<text:section text:display="none"><text:p>gone</text:p></text:section>'
        "<table:table><table:table-row><table:table-cell><text:p>x</text:p></table:table-cell>"
        "<table:table-cell><text:p>y</text:p></table:table-cell></table:table-row></table:table>"
    )
    styles = (
        '<text:list-style style:name="N"><text:list-level-style-number text:level="1" style:num-format="1"/>'
        "</text:list-style>"
    )
    parsed = parse(odf("text", body, styles), ANY, "x")
    assert blocks(parsed) == [
        ("heading", "Rules"),
        ("paragraph", "a  b\nc"),
        ("list", "1. first"),
        ("list", "2. second"),
        ("table", "x | y"),
    ]
    assert apart(parsed) == [("comment", "Jane: why"), ("hidden", "gone")]


def test_open_document_cells_that_repeat_a_million_times_cost_nothing() -> None:
    row = (
        '<table:table-row table:number-rows-repeated="{}"><table:table-cell table:number-columns-repeated="{}">'
        "{}</table:table-cell></table:table-row>"
    )
    body = row.format(1_048_576, 16_384, "") + row.format(3, 2, "<text:p>z</text:p>")
    parsed = parse(odf("spreadsheet", f'<table:table table:name="S">{body}</table:table>'), ANY, "x")
    assert blocks(parsed) == [("heading", "S"), ("table", "z | z\nz | z\nz | z")]
    everything = row.format(9_999_999, 9_999_999, "<text:p>z</text:p>") * 3
    with pytest.raises(ParseError, match="2,000,000 cells"):
        parse(odf("spreadsheet", f'<table:table table:name="S">{everything}</table:table>'), ANY, "x")


def test_books_are_their_chapters() -> None:
    parsed = parse(epub(["<h1>One</h1><p>a</p>", "<h1>Two</h1><p>b</p>"]), ANY, "x")
    assert blocks(parsed) == [("heading", "One"), ("paragraph", "a"), ("heading", "Two"), ("paragraph", "b")]
    assert (parsed.title, parsed.media_type) == ("The Book", "application/epub+zip")


def test_rich_text() -> None:
    data = (
        rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}{\f1\fcharset204 Times;}}{\info{\title Paper}}"
        rb"{\header page head\par}\pard\outlinelevel0 Chapter\par\pard caf\'e9 \u8364?5{\v unseen}{\footnote note}\par"
        rb"\pard {\f1\'cf}\par\trowd\pard\intbl a\cell b\cell\row\pard {\*\unknown skipped}end\par}"
    )
    parsed = parse(data, "text/plain", "x.txt")
    assert blocks(parsed) == [
        ("heading", "Chapter"),
        ("paragraph", "café €5[1]"),
        ("paragraph", "П"),
        ("table", "a | b"),
        ("paragraph", "end"),
        ("paragraph", "[1] note"),
    ]
    assert apart(parsed) == [("hidden", "unseen")]
    assert parsed.media_type == "application/rtf"


def test_kinds_go_by_content() -> None:
    page = b"<!doctype html><title>t</title><p>x"
    assert parse(page, "text/plain", "x.txt").media_type == "text/html"
    assert parse(page, "application/pdf", "x.pdf").media_type == "text/html"
    assert parse(docx(p("a")), "application/pdf", "x.pdf").media_type.endswith("wordprocessingml.document")
    assert parse(b"#!/usr/bin/env python3\nx = 1\n", ANY, "tool").media_type == "text/x-python"
    assert parse(b"just words", ANY, "README").media_type == "text/plain"
    for words in (b"MZ is a mark", b"# On %PDF-1.4 files", b"RIFF raff", b"BZhang wrote this", b"ID3 tags"):
        assert parse(words, "text/plain", "x.txt").text == words.decode()
    with pytest.raises(UnsupportedError, match="PNG picture"):
        parse(b"\x89PNG\r\n\x1a\n", "text/plain", "x.txt")
    with pytest.raises(UnsupportedError, match="zip archive"):
        parse(zipped({"a": "b"}), ANY, "x.docx")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (
            zipped(
                {"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": b" " * 200_000_000}
            ),
            "inflates",
        ),
        (odf("text", '<text:p>"&a;"</text:p>').replace(b"PK", b"PK", 1), "well-formed"),
        (odf("text", "<text:p>" * 300 + "</text:p>" * 300), "nested too deeply"),
        (docx("<w:p><w:r>"), "well-formed"),
        (b"{\\rtf1" + b"{" * 2000, "nested too deeply"),
    ],
    ids=["bomb", "entity", "deep", "broken", "rtf"],
)
def test_hostile_files_are_refused(data: bytes, why: str) -> None:
    with pytest.raises(ParseError, match=why) as caught:
        parse(data, ANY, "x")
    assert caught.value.hint


def test_declared_entities_are_refused() -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">]><x>&a;</x>'
    data = zipped({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": bomb})
    with pytest.raises(ParseError, match="declares entities"):
        parse(data, ANY, "x")
