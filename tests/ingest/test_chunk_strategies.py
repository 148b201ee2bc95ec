"""Each kind of text is cut at its own joints, and its chunks know what they are of."""

from __future__ import annotations

from itertools import cycle, islice

import pytest

from affidavit.domain.records import Block, Parsed, Span
from affidavit.domain.release import STRATEGIES, Chunking
from affidavit.ingest.chunk import chunk, chunk_input
from affidavit.ingest.chunk_clause import clauses
from affidavit.ingest.parse.read import parse

SMALL = Chunking(limit=60, tiny=0, small=0, own=0)


def filler(n: int) -> str:
    """English enough to be measured as such: 1.1 tokens a word."""
    return " ".join(islice(cycle(["the", "party", "shall", "pay"]), n))


def values(span: Span, name: str) -> list[str]:
    return [value for key, value in span.fields if key == name]


def texts(parsed: Parsed, settings: Chunking, name: str = "") -> list[tuple[str, Span]]:
    return [(parsed.text[s.start : s.end], s) for s in chunk(parsed, settings, name)]


CONTRACT = f"""SUPPLY AGREEMENT

This Agreement is made between Acme Ltd ("Acme") and Globex Inc (the "Buyer") on 3 May 2026.

1. Definitions. 1.1 "Goods" means the goods of Schedule A. {filler(20)}. 1.2 "Fee" means what Section 4.2(b) says.

2. Delivery. The parties shall deliver 30 days after 1.5 months, as Section 1.1 and Article 7 provide. {filler(20)}.

3. Term. {filler(10)}: (a) {filler(40)}; (b) {filler(40)}; (c) {filler(40)}.

4. Payment.   4.1 {filler(10).capitalize()}.   4.2 Late payment. {filler(12)}.
"""


def test_a_clause_is_a_chunk_with_its_number_terms_and_references() -> None:
    parsed = parse(CONTRACT.encode(), "text/plain", "supply.txt")
    found = texts(parsed, SMALL)
    numbers = [values(span, "clause") for _, span in found]
    assert numbers == [[], ["1", "1.1"], ["1.2"], ["2"], ["3"], ["3"], ["3"], ["3"], ["4", "4.1", "4.2"]]
    by_number = {values(span, "clause")[-1]: (text, span) for text, span in found if values(span, "clause")}
    assert by_number["1.1"][0].startswith('1. Definitions. 1.1 "Goods"')
    assert values(by_number["1.1"][1], "defines") == ["Goods"]
    assert values(by_number["1.1"][1], "refers") == ["Schedule A"]
    assert values(by_number["1.2"][1], "refers") == ["Section 4.2(b)"]
    assert values(by_number["2"][1], "refers") == ["Section 1.1", "Article 7"]
    opening = next(span for text, span in found if "made between" in text)
    assert values(opening, "clause") == []


def test_a_long_clause_is_cut_between_its_items_and_keeps_its_number() -> None:
    parsed = parse(CONTRACT.encode(), "text/plain", "supply.txt")
    pieces = [text for text, span in texts(parsed, SMALL) if "3" in values(span, "clause")]
    assert len(pieces) > 1
    assert all(piece.startswith(("3. Term", "(a)", "(b)", "(c)")) for piece in pieces)
    last = next(span for text, span in texts(parsed, SMALL) if text.startswith("(c)"))
    assert "\n3\n" in chunk_input("Supply", last, parsed.text)


def test_numbers_in_sentences_and_plain_prose_are_no_clauses() -> None:
    prose = "\n\n".join(f"{n}. Stir the soup for {n}.5 minutes and add 2. Then wait." for n in range(1, 12))
    assert clauses(prose, [Block("paragraph", 0, len(prose))]) == []
    parsed = parse(CONTRACT.encode(), "text/plain", "supply.txt")
    assert [number for _, number in clauses(parsed.text, parsed.blocks)] == [
        "1",
        "1.1",
        "1.2",
        "2",
        "3",
        "4",
        "4.1",
        "4.2",
    ]


def test_rows_of_a_table_know_their_columns_and_no_offset_covers_them_twice() -> None:
    rows = "\n".join(f"| team {n} | {n * 100} euros and nothing else |" for n in range(40))
    parsed = parse(f"# Pay\n\n| Team | Budget |\n|---|---|\n{rows}\n".encode(), "text/markdown", "pay.md")
    found = texts(parsed, SMALL)
    assert len(found) > 5
    first, *later = found
    assert "| Team | Budget |" in first[0]
    for text, span in later:
        assert values(span, "columns") == ["Team | Budget"]
        assert "Team" not in text
        assert text.startswith("| team")
        assert text.endswith("|")
        assert "Team | Budget" in chunk_input(parsed.title, span, parsed.text)
    assert "Team | Budget\n" not in chunk_input(parsed.title, first[1], parsed.text)


SOURCE = '''"""Bills."""

import os


class Bill:
    """One bill."""

    @property
    # rounded
    def total(self, *, cents: bool = False) -> int:
        """What is owed."""
''' + "\n\n".join(f"        step_{n} = os.getpid() + {n}" for n in range(30))


def test_a_symbol_keeps_its_signature_and_file_over_its_pieces() -> None:
    parsed = parse(SOURCE.encode(), "text/x-python", "pkg/billing.py")
    found = [
        (t, s) for t, s in texts(parsed, SMALL, "pkg/billing.py") if values(s, "symbol") == ["Bill.total"]
    ]
    assert len(found) > 2
    for text, span in found:
        assert values(span, "file") == ["pkg/billing.py"]
        assert values(span, "signature") == ["def total(self, *, cents: bool = False) -> int"]
        given = chunk_input("billing", span, parsed.text)
        assert "def total(self" in given
        assert "pkg/billing.py" in given
        assert text.startswith(("@property", "step_"))


def test_a_long_item_of_a_list_is_cut_before_the_items_inside_it() -> None:
    inner = "\n".join(f"  - {filler(6)}. {filler(12).capitalize()}." for _ in range(9))
    parsed = parse(f"- {filler(5)}\n{inner}\n".encode(), "text/markdown", "a.md")
    pieces = [text for text, _ in texts(parsed, SMALL)]
    assert len(pieces) > 2
    assert all(piece.startswith("- ") for piece in pieces)


def test_what_fits_is_not_cut_for_the_heading_above_it() -> None:
    item = "- " + ". ".join([filler(9)] * 5)
    parsed = parse(f"# {filler(10)}\n\n{item}\n".encode(), "text/markdown", "a.md")
    assert item in [text for text, _ in texts(parsed, SMALL)]


CHAT = "\n\n".join(
    f"[2026-05-03 10:{n:02}] {'Alice Jones' if n % 2 else 'bob'.title()}: {filler(12)}." for n in range(20)
)


def test_messages_are_packed_whole_with_their_authors() -> None:
    parsed = parse(CHAT.encode(), "text/plain", "chat.txt")
    found = texts(parsed, SMALL)
    assert len(found) > 5
    for text, span in found:
        assert text.startswith("[2026-05-03")
        assert set(values(span, "author")) <= {"Alice Jones", "Bob"}
        assert all(author in text for author in values(span, "author"))


def test_who_wrote_a_mail_goes_with_all_of_it_but_what_it_quotes() -> None:
    body = "\r\n\r\n".join(f"Paragraph {n}. {filler(30)}." for n in range(6))
    mail = f"From: Carol <carol@acme.example>\r\nSubject: Offer\r\n\r\n{body}\r\n\r\n> {filler(40)}\r\n"
    parsed = parse(mail.encode(), "message/rfc822", "a.eml")
    found = texts(parsed, SMALL)
    assert {tuple(values(s, "author")) for _, s in found if s.kind != "quote"} == {("Carol",)}
    assert [values(s, "author") for _, s in found if s.kind == "quote"] == [[]]
    assert "Carol" in chunk_input("Offer", found[-2][1], parsed.text)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_strategy_that_is_not_chosen_leaves_no_trace(strategy: str) -> None:
    rest = tuple(s for s in STRATEGIES if s != strategy)
    names = {
        "clause": {"clause", "defines"},
        "code": {"symbol", "file"},
        "table": {"columns"},
        "thread": {"author"},
    }
    table = "| a | b |\n|---|---|\n" + "\n".join(f"| word {n} | {filler(9)} |" for n in range(20))
    given = [
        (CONTRACT, "text/plain", "a.txt"),
        (SOURCE, "text/x-python", "a.py"),
        (CHAT, "text/plain", "b.txt"),
        (table, "text/markdown", "t.md"),
    ]
    for strategies, there in ((STRATEGIES, True), (rest, False)):
        settings = Chunking(limit=60, strategies=strategies)
        seen = {
            key
            for text, kind, name in given
            for span in chunk(parse(text.encode(), kind, name), settings, name)
            for key, _ in span.fields
        }
        assert bool(names[strategy] & seen) is there
