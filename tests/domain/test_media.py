"""Media types by name, and pages in locations."""

from __future__ import annotations

import json

import pytest

from affidavit.domain.media import at_page, may_be_document, media_type_for

PDF = "application/pdf"


@pytest.mark.parametrize(("start", "page"), [(0, 1), (9, 1), (10, 2), (19, 2), (20, 4), (99, 4)])
def test_a_pdf_is_located_at_the_page(start: int, page: int) -> None:
    metadata = json.dumps({"media_type": PDF, "page_starts": {"starts": [0, 10, 20, 20]}})
    assert at_page("/a/b.pdf", start, metadata) == f"/a/b.pdf#page={page}"


@pytest.mark.parametrize(
    "metadata",
    [
        {"media_type": "text/markdown", "page_starts": {"starts": [0]}},
        {"media_type": PDF},
        {"media_type": PDF, "page_starts": "x"},
        {"media_type": PDF, "page_starts": {}},
        {"media_type": PDF, "page_starts": {"starts": "x"}},
        {"media_type": PDF, "page_starts": {"starts": ["x"]}},
        {"media_type": PDF, "page_starts": {"starts": []}},
    ],
)
def test_metadata_of_another_shape_changes_no_location(metadata: dict[str, object]) -> None:
    assert at_page("/a/b", 3, json.dumps(metadata)) == "/a/b"


def test_a_location_with_a_fragment_is_kept() -> None:
    metadata = json.dumps({"media_type": PDF, "page_starts": {"starts": [0]}})
    assert at_page("https://a/b#c", 0, metadata) == "https://a/b#c"


def test_names_hint_and_pictures_are_not_opened() -> None:
    assert media_type_for("A.PDF") == PDF
    assert media_type_for("README") is None
    assert may_be_document("README")
    assert not may_be_document("photo.JPG")
