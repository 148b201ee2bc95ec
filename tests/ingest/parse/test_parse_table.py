"""CSV and TSV: exact offsets, Python's csv module as the reference meaning."""

from __future__ import annotations

import csv
import io
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit.domain.errors import ParseError
from affidavit.ingest.parse import table
from affidavit.ingest.parse.table import parse_csv, parse_tsv, records, sniff


@given(st.text(st.sampled_from('ab",\n '), max_size=40), st.sampled_from([",", ";", "\t", "|"]))
@settings(max_examples=400)
def test_cells_are_those_of_the_csv_module(text: str, delimiter: str) -> None:
    text = text.replace(",", delimiter)
    expected = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    found = [() if r.start == r.end else r.cells for r in records(text, delimiter)]
    assert found == [tuple(row) for row in expected]


@given(st.lists(st.lists(st.text(max_size=6), min_size=2, max_size=4), min_size=1, max_size=5))
def test_what_the_csv_module_writes_is_read_back(rows: list[list[str]]) -> None:
    rows = [[cell.replace("\0", "") for cell in row] for row in rows]
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows(rows)
    text = out.getvalue()
    found = list(records(text, ","))
    assert [list(r.cells) for r in found] == rows
    assert "\r\n".join(text[r.start : r.end] for r in found) + "\r\n" == text


def test_rows_carry_the_column_names() -> None:
    text = 'name,"what\nfor"\r\nbob,"a ""b""\nc"\r\n\r\neve\r\nx,y,z\r\n'
    parsed = parse_csv(text, "a.csv")
    assert [(b.kind, text[b.start : b.end], b.path) for b in parsed.blocks] == [
        ("row", 'name,"what\nfor"', ()),
        ("row", 'bob,"a ""b""\nc"', ("name | what for",)),
        ("row", "eve", ("name | what for",)),
        ("row", "x,y,z", ("name | what for",)),
    ]
    assert parsed.metadata == {"rows": 3, "columns": 2, "ragged_rows": 2}


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1,5;2,5\n3,5;4,5\n", ";"),
        ("a\tb\n1, 2\t3\n", "\t"),
        ("a|b|c\n1|2|3\n", "|"),
        ('"a;b",c\n"d;e",f\n', ","),
        ("single\ncolumn\n", ","),
        ("", ","),
    ],
)
def test_sniffing(text: str, delimiter: str) -> None:
    assert sniff(text) == delimiter


def test_tabs_come_first_in_tsv() -> None:
    assert parse_tsv("a,b\tc,d\n1,2\t3,4\n", "").metadata["columns"] == 2


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "LONGEST_FIELD", 20)
    with pytest.raises(ParseError, match="line 2 is never closed"):
        parse_csv('a,b\n"' + "x\n" * 30, "")
    with pytest.raises(ParseError, match="longer than 20"):
        parse_csv("a,b\n" + "x" * 30, "")
    monkeypatch.setattr(table, "MOST_COLUMNS", 3)
    with pytest.raises(ParseError, match="more than 3 columns"):
        parse_csv("a,b,c,d\n", "")
    monkeypatch.setattr(table, "MOST_ROWS", 3)
    with pytest.raises(ParseError, match="more than 3 rows"):
        parse_csv("a,b\n" * 4, "")


@pytest.mark.parametrize(
    "text", ['"' * 200_000, '""",' * 60_000, 'a"' * 100_000, '"a\n' * 60_000, "\r" * 100_000, ",\n" * 60_000]
)
def test_hostile_tables_take_bounded_time(text: str) -> None:
    before = time.process_time()
    try:
        parse_csv(text, "")
    except ParseError:
        pass
    assert time.process_time() - before < 15
