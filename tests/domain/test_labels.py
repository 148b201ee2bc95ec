"""Labels go with their text through everything one can do with text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.domain.labels import ASKER, CODE, Label, Origin, Text, trusted

PAGE = Label(Origin.DOCUMENT, "wiki/page", "user:bob")
MAIL = Label(Origin.TOOL, "mail.read@1")
LABELS = st.sampled_from([ASKER, PAGE, MAIL])
TEXTS = st.builds(lambda text, label: Text(text, (label,)), st.text(max_size=12), LABELS)


def carried(text: Text) -> dict[str, frozenset[Label]]:
    """Every character of ours by the labels of where it stands: characters are told apart by the caller."""
    return {c: text[i : i + 1].labels for i, c in enumerate(text.plain())}


@given(st.lists(TEXTS, max_size=5))
def test_joining_keeps_every_label(parts: list[Text]) -> None:
    joined = Text.join(", ", parts)
    assert joined.plain() == ", ".join(p.plain() for p in parts)
    assert {label for p in parts for label in p.labels} <= joined.labels


@given(TEXTS, TEXTS)
def test_formatting_keeps_every_label_and_expands_nothing_twice(a: Text, b: Text) -> None:
    said = Text.format("to {a}: {b}{a}", a=a, b=b)
    assert said.plain() == f"to {a.plain()}: {b.plain()}{a.plain()}"
    assert a.labels | b.labels <= said.labels


@given(TEXTS, TEXTS, st.integers(-15, 15), st.integers(-15, 15))
def test_cutting_keeps_the_labels_of_what_is_left(a: Text, b: Text, start: int, stop: int) -> None:
    whole = a + b
    cut = whole[start:stop]
    assert cut.plain() == whole.plain()[start:stop]
    where = range(len(whole))[start:stop]
    wanted = {label for i in where for label in (a.labels if i < len(a) else b.labels)}
    assert cut.labels == wanted


@given(TEXTS, TEXTS, TEXTS, st.text(alphabet="ab", min_size=1, max_size=2))
def test_replacing_and_splitting(a: Text, b: Text, new: Text, old: str) -> None:
    whole = a + "ab" + b
    replaced = whole.replace(old, new)
    assert replaced.plain() == whole.plain().replace(old, new.plain())
    assert replaced.labels <= whole.labels | new.labels
    parts = whole.split(old)
    assert [p.plain() for p in parts] == whole.plain().split(old)
    assert Text.join("", parts).labels <= whole.labels


def test_each_character_keeps_its_own() -> None:
    whole = Text.format("x{a}y", a=Text("A", (PAGE,)) + Text("B", (MAIL,))).map(str.lower)
    assert carried(whole) == {
        "x": frozenset((CODE,)),
        "a": frozenset((PAGE,)),
        "b": frozenset((MAIL,)),
        "y": frozenset((CODE,)),
    }
    assert ("> " + whole).strip().labels == {CODE, PAGE, MAIL}
    assert (Text("  A ", (PAGE,)).strip()) == Text("A", (PAGE,))


def test_no_way_around_it() -> None:
    text = Text("secret", (PAGE,))
    for attempt in (
        lambda: str(text),
        lambda: f"{text}",
        lambda: f"{text:>9}",
        lambda: "%s" % text,  # noqa: UP031
        lambda: "{}".format(text),  # noqa: UP032
        lambda: "".join([text]),  # type: ignore[list-item]
        lambda: "".join(text),  # type: ignore[arg-type]
        lambda: text.join("", ["plain"]),  # type: ignore[list-item]
        lambda: text[::2],
        lambda: bytes(text),  # type: ignore[call-overload]
    ):
        with pytest.raises((TypeError, AttributeError, ValueError)):
            attempt()
    assert "secret" not in repr(text)
    with pytest.raises(KeyError):
        Text.format("{who}", what=text)


def test_nobody_vouches_for_nothing() -> None:
    assert not trusted(())
    assert trusted((ASKER, CODE))
    assert not trusted((ASKER, PAGE))
