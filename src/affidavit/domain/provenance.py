"""Where a value that a model wrote came from: what a run has heard and read, and which of it vouches for the value.

A model is never believed. Before a run has read anything untrusted, everything it can know is trusted. From then on a value
is vouched for only if the person who asks said it, or if a trusted lookup that the person's own words steered returned it and
nothing else: whoever picks one of many has chosen, and a choice is the model's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TypeAlias

from affidavit.domain.canonical import Json
from affidavit.domain.labels import Label, Labels, Origin, Text, trusted
from affidavit.domain.tools import Contract, Role

Leaf: TypeAlias = str | int | bool | None

_MONTHS = "january february march april may june july august september october november december".split()
_MONTH = "|".join(f"{m}|{m[:3]}" for m in _MONTHS)
_ISO = re.compile(r"(?<!\d)(\d{4})-(\d{2})-(\d{2})(?!\d)")
_MONTH_DAY = re.compile(rf"\b({_MONTH})\.?\s+(\d{{1,2}})(?:st|nd|rd|th)?\b(?:,?\s+(\d{{4}}))?", re.IGNORECASE)
_DAY_MONTH = re.compile(
    rf"\b(\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?({_MONTH})\b(?:,?\s+(\d{{4}}))?", re.IGNORECASE
)
_CLOCK = re.compile(r"(?<![\d:])(\d{1,2}):(\d{2})(?::\d{2})?\s*([ap]m)?(?![\d:])", re.IGNORECASE)
_HOUR = re.compile(r"(?<![\d:])(\d{1,2})\s*([ap]m)\b", re.IGNORECASE)
_MOMENT = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(?::00)?)?\Z")
_DECIMAL = re.compile(r"(?:0|[1-9]\d*)(?:\.\d+)?\Z", re.ASCII)
_NUMBER = re.compile(
    r"(?<![\w.,])(?:(?<!\w)[-\u2212])?(?:\d{1,3}(?:,\d{2,3})*,\d{3}|\d+)(?:\.\d+)?(?!\w|[.,]\d)", re.ASCII
)
"""A comma groups digits in threes (or as in India) and joins no list; a minus that follows no word is the number's."""


@dataclass
class Memory:
    """What one run has heard from the person and read from anywhere else, in the order in which it did.

    ``asked`` is what the person said. Not safe to share between threads: a run is one.
    """

    asked: Text
    _read: set[Label] = field(default_factory=set)
    _vouched: dict[tuple[str, type, Leaf], Labels] = field(default_factory=dict)  # by type too: True equals 1
    _whole: dict[tuple[str, frozenset[tuple[type, Leaf]]], Labels] = field(default_factory=dict)
    _seen: list[Text] = field(default_factory=list)

    @property
    def tainted(self) -> bool:
        """Whether anything that is not trusted has been read."""
        return bool(self._read) and not trusted(self._read)

    @property
    def labels(self) -> Labels:
        """Of all that was heard and read: those of whatever a model writes from here on."""
        return frozenset((*self.asked.labels, *self._read))

    def read(self, text: Text) -> None:
        """A passage, or anything else that is content and vouches for nothing."""
        self._read |= text.labels
        self._seen.append(text)

    def returned(self, contract: Contract, arguments: Mapping[str, Json], result: Json) -> None:
        """What a tool returned, as its contract says how far it is to be believed.

        An item is believed if the control arguments that found it are vouched for, and it came alone or is the only one that
        the person named. Of many items none is; a list within a believed item is, taken whole: leaving out or adding is choosing.
        """
        label = Label(Origin.TOOL, contract.key, contract.owner, contract.trusted)
        labels = self.labels_of(contract, arguments)
        steered = all(trusted(labels[n]) for n in labels if contract.role(n) is Role.CONTROL)
        asked, known = self.asked.plain(), fields(contract.result)
        items = [(item, _believed(item, contract, asked, known)) for item in _items(result, contract.result)]
        if len(items) > 1:
            items = [(item, told) for item, told in items if any(says(asked, leaf) for _, leaf in told)]
        if steered and len(items) == 1:
            name = frozenset((replace(label, trusted=True),))
            self._vouched.update({(kind, type(leaf), leaf): name for kind, leaf in items[0][1]})
            self._whole.update(dict.fromkeys(_lists(items[0][0], contract), name))
        told = tuple(leaves(result, known))
        if any(not isinstance(leaf, bool) and leaf is not None for leaf in told):
            self._read.add(label)  # a mere yes or nothing at all tells a model nothing
        self._seen.extend(Text(str(leaf), (label,)) for leaf in told)

    def trace(self, value: Leaf, kind: str = "", said: Sequence[str] = ()) -> Labels:
        """The labels of ``value``, a leaf of a model's arguments: of what vouches for it, else of everything it may come from.

        ``kind`` is that of the argument, ``said`` other words by which a person says this value.
        """
        if not self.tainted:
            return self.labels
        asked = self.asked.plain()
        named = not isinstance(value, bool) and says(asked, value)
        if value is None or named or any(says(asked, word) for word in said):
            return self.asked.labels
        vouched = self._vouched.get((kind, type(value), value))
        if vouched is not None:
            return vouched
        where = frozenset(label for text in self._seen if says(text.plain(), value) for label in text.labels)
        return where if where and not trusted(where) else self.labels

    def labels_of(self, contract: Contract, arguments: Mapping[str, Json]) -> dict[str, Labels]:
        """The labels of each argument: of all its leaves, and of the names in it that its schema does not know. One that holds
        nothing says nothing that anybody must vouch for."""
        found, known = {}, fields(contract.parameters)
        for name, value in arguments.items():
            kind, words = contract.kinds.get(name, ""), contract.said.get(name, {})
            whole = self._whole.get((kind, _set(value) or frozenset()))
            if whole is not None and self.tainted:
                found[name] = whole
                continue
            traced = [self.trace(leaf, kind, words.get(_word(leaf), ())) for leaf in leaves(value, known)]
            found[name] = frozenset(label for labels in traced for label in labels) or self.asked.labels
        return found


def leaves(value: Json, known: Set[str]) -> Iterator[Leaf]:
    """The values in ``value`` that are neither lists nor objects, and the names of fields that are not ``known``: those are not
    the schema's words but somebody's."""
    if isinstance(value, Mapping):
        yield from sorted(value.keys() - known)
        for inner in value.values():
            yield from leaves(inner, known)
    elif value is None or isinstance(value, str | int):
        yield value
    else:
        for inner in value:
            yield from leaves(inner, known)


def fields(schema: Json) -> frozenset[str]:
    """The names that ``schema`` gives to fields, however deep."""
    if isinstance(schema, Mapping):
        own = schema.get("properties")
        names = frozenset(own) if isinstance(own, Mapping) else frozenset()
        return names.union(*(fields(inner) for inner in schema.values()))
    if isinstance(schema, Sequence) and not isinstance(schema, str):
        return frozenset().union(*(fields(inner) for inner in schema))
    return frozenset()


def says(text: str, value: Leaf) -> bool:
    """Whether ``value`` stands in ``text`` as a whole: not as a part of a longer word, address, path or number; dates and times
    in any common way of writing them, numbers however they are grouped."""
    said = str(value).strip()
    if not said:
        return True
    if _DECIMAL.match(said):
        return Decimal(said) in _numbers(_undated(text))
    moment = _MOMENT.match(said)
    if moment and _dated(moment[1], text) and (moment[2] is None or moment[2] in _times(text)):
        return True
    words = r"\s+".join(map(re.escape, said.split()))
    whole = rf"(?<![\w@.+-])(?<!(?<!:/)/)(?ai:{words})(?![\w@+-]|[./]\w)"
    return any(c.isalnum() for c in said) and re.search(whole, text) is not None


def _word(value: Leaf) -> str:
    """``value`` as a contract's ``said`` spells it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _items(result: Json, schema: Mapping[str, Json]) -> Sequence[Json]:
    """The things that were found: the elements of a list, the entries of a mapping (an object whose schema names no fields), or
    one record."""
    if isinstance(result, Mapping) and "properties" not in schema:
        return [{name: inner} for name, inner in result.items()]
    if isinstance(result, Sequence) and not isinstance(result, str):
        return result
    return [] if result is None else [result]


def _believed(item: Json, contract: Contract, asked: str, known: Set[str]) -> list[tuple[str, Leaf]]:
    """The values in ``item`` that may be believed, each with its kind."""
    if not isinstance(item, Mapping):
        return [("", leaf) for leaf in _alone(item, asked, known)] if contract.trusted else []
    return [
        (contract.trusts.get(name, ""), leaf)
        for name, inner in item.items()
        if contract.trusted or name in contract.trusts
        for leaf in _alone(inner, asked, known)
    ]


def _lists(item: Json, contract: Contract) -> Iterator[tuple[str, frozenset[tuple[type, Leaf]]]]:
    """The lists of values in ``item`` that may be believed, each as a set with its kind."""
    if isinstance(item, Mapping):
        for name, inner in item.items():
            values = _set(inner)
            if values and (contract.trusted or name in contract.trusts):
                yield contract.trusts.get(name, ""), values


def _set(value: Json) -> frozenset[tuple[type, Leaf]] | None:
    """What a list of plain values holds; None for anything else."""
    if isinstance(value, str | Mapping) or not isinstance(value, Sequence):
        return None
    plain = [one for one in value if one is None or isinstance(one, str | int)]
    return frozenset((type(one), one) for one in plain) if len(plain) == len(value) else None


def _alone(value: Json, asked: str, known: Set[str]) -> Iterator[Leaf]:
    """The values within one thing. Many in it, a list or names that its schema does not know, are many things: of these only
    the one that the person named."""
    if value is None or isinstance(value, str | int):
        yield value
        return
    named = isinstance(value, Mapping) and not value.keys() - known
    inner = list(value.values() if isinstance(value, Mapping) else value)
    if not named and len(inner) > 1:
        inner = [one for one in inner if any(says(asked, leaf) for leaf in leaves(one, known))]
        if len(inner) > 1:
            return
    for one in inner:
        yield from _alone(one, asked, known)


def _undated(text: str) -> str:
    """``text`` without its dates and times: the 13 of a 13 June is the number of nothing else."""
    for pattern in (_ISO, _MONTH_DAY, _DAY_MONTH, _CLOCK, _HOUR):
        text = pattern.sub(" ", text)
    return text


def _numbers(text: str) -> set[Decimal]:
    return {Decimal(m.group().replace(",", "").replace("\u2212", "-")) for m in _NUMBER.finditer(text)}


def _dated(day: str, text: str) -> bool:
    """Whether ``text`` names the ``day`` (``YYYY-MM-DD``). One without a year is meant in any year that the text names, in any
    year at all if it names none."""
    if day in {m.group() for m in _ISO.finditer(text)}:
        return True
    named = [(m[1], m[2], m[3]) for m in _MONTH_DAY.finditer(text)]
    named += [(m[2], m[1], m[3]) for m in _DAY_MONTH.finditer(text)]
    years = re.findall(r"(?<!\d)(?:19|20)\d{2}(?!\d)", text)
    year, month, date = day.split("-")
    return any(
        _MONTHS[int(month) - 1].startswith(name.lower())
        and int(number) == int(date)
        and (year == said if said else not years or year in years)
        for name, number, said in named
        if 1 <= int(month) <= 12
    )


def _times(text: str) -> set[str]:
    """The times of day that ``text`` names, as ``HH:MM``."""
    found = {_clock(m[1], m[2], m[3]) for m in _CLOCK.finditer(text)}
    return found | {_clock(m[1], "00", m[2]) for m in _HOUR.finditer(text)}


def _clock(hour: str, minute: str, half: str | None) -> str:
    number = int(hour)
    if half:
        number = number % 12 + (12 if half.lower() == "pm" else 0)
    return f"{number:02d}:{minute}"
