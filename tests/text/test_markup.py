"""Text of others in a page: it is text, whatever it holds."""

from __future__ import annotations

import pytest

from affidavit.text.markup import plain


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ('<b>"it\'s" & so</b>', "&lt;b&gt;&quot;it&#x27;s&quot; &amp; so&lt;/b&gt;"),
        ("a\u202egnp.exe\x00\n", "a\ufffdgnp.exe\ufffd\ufffd"),
        ("Übersicht 日本", "Übersicht 日本"),
        (12, "12"),
    ],
)
def test_nothing_of_it_is_markup_or_turns_the_direction(given: object, told: str) -> None:
    assert plain(given) == told
