"""Prompts as versioned files with typed slots, rendered deterministically.

A slot is ``{{name:kind}}``. ``text`` is a word of our own; ``data`` is foreign: each item becomes one line that begins with
the mark and goes on as JSON in which every character that could end the line, close a bracket or begin a chat template's
token is escaped. So nothing that a document says can leave its line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from affidavit.domain.canonical import Json, sha256
from affidavit.domain.errors import UsageError
from affidavit.ports.model import Message

MARK = "DATA"
_SLOT = re.compile(r"\{\{([a-z]+):(text|data)\}\}")
_ROLE = re.compile(r"^\[(system|user|assistant)\]\n", re.MULTILINE)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_SUSPECT = re.compile(r"[<>`\[\]{}|]|[^\x20-\x7e]")
"""Within the text of data: brackets, pipes and backticks, of which chat templates and fences are made, and all beyond ASCII."""


@dataclass(frozen=True)
class Prompt:
    """One version of one prompt. ``digest`` is of the file's bytes: it stands in the record of every use."""

    name: str
    version: int
    source: str

    @property
    def digest(self) -> str:
        return sha256(self.source.encode())

    def render(self, **slots: str | Sequence[Json]) -> tuple[Message, ...]:
        """The messages. Raises ValueError for a slot that is missing, unknown or of the wrong kind."""
        wanted = dict(_SLOT.findall(self.source))
        if set(wanted) - {"mark"} != set(slots):
            raise ValueError(f"prompt {self.name} has the slots {sorted(wanted)}, given were {sorted(slots)}")
        parts = _ROLE.split(self.source)[1:]
        return tuple(
            Message(role, _SLOT.sub(lambda m: _filled(m[1], m[2], slots), text).strip())
            for role, text in zip(parts[::2], parts[1::2], strict=True)
        )


def _filled(name: str, kind: str, slots: Mapping[str, str | Sequence[Json]]) -> str:
    if name == "mark":
        return MARK
    value = slots[name]
    if kind == "text":
        if not isinstance(value, str) or not value.isascii() or "\n" in value:
            raise ValueError(f"slot {name} takes a word of our own")
        return value
    if isinstance(value, str):
        raise ValueError(f"slot {name} takes data, item by item")  # noqa: TRY004  # one error for every wrong slot
    return "\n".join(f"{MARK} {data_line(item)}" for item in value)


def data_line(item: Json) -> str:
    """``item`` as one line of JSON from which nothing can break out; ``json.loads`` gives it back."""
    return _STRING.sub(
        lambda m: _SUSPECT.sub(_escaped, m.group()), json.dumps(item, ensure_ascii=False, sort_keys=True)
    )


def _escaped(match: re.Match[str]) -> str:
    character = match.group()
    if character > "\x7e" and character.isprintable():
        return character
    raw = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{raw[n : n + 2].hex()}" for n in range(0, len(raw), 2))


def named_prompt(name: str, version: int, digest: str) -> Prompt:
    """The prompt that a release names. Raises UsageError if this version of affidavit has another text under that name."""
    try:
        found = prompt(name, version)
    except FileNotFoundError as error:
        raise UsageError(
            f"there is no prompt {name} version {version}",
            "publish a release for this version",
        ) from error
    if found.digest != digest:
        raise UsageError(
            f"prompt {name} version {version} is not the one that the release names",
            f"its digest is {found.digest}; publish a release that says so",
        )
    return found


@cache
def prompt(name: str, version: int) -> Prompt:
    """A prompt of this package by name and version. Raises FileNotFoundError."""
    file = resources.files("affidavit.ask").joinpath("prompts", f"{name}.{version}.txt")
    return Prompt(name, version, file.read_text(encoding="utf-8"))
