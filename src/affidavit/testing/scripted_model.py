"""Model servers whose answers a test decides, speaking a vendor's real wire format over HTTP on loopback.

    with ScriptedModel() as server:                      # OpenAI's format; server.url is the base URL
        server.script(Reply("first"), Reply(status=500))  # then it obeys
        server.answer_with = lambda asked: Reply(asked.last.upper())

Without a script the model obeys the last message (see ``obey``), so that a test can say what it wants in the prompt and the same
test runs against every vendor's format.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from affidavit.testing.loopback import Answer, Asked, Loopback
from affidavit.testing.wire_counts import counted


@dataclass(frozen=True)
class Call:
    """A tool call that the model proposes."""

    name: str
    arguments: str
    id: str = "call_1"


@dataclass(frozen=True)
class Prompt:
    """What was asked, freed of the vendor's format. ``messages`` are (role, text); a tool's answer has the role ``tool``."""

    model: str
    messages: tuple[tuple[str, str], ...]
    max_tokens: int
    stream: bool
    schema: Mapping[str, Any] | None = None
    tools: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    seed: int | None = None
    temperature: float | None = None
    usage: bool = True
    """Whether the counts of tokens were asked for, where a vendor lets one choose."""

    @property
    def last(self) -> str:
        return self.messages[-1][1] if self.messages else ""


NOTHING_SAID = Prompt("", (), 0, stream=False)
"""Of a request that asks for a count: only a scripted reply answers it otherwise than with one."""


@dataclass(frozen=True)
class Reply:
    """What the model answers, or how its server fails. ``finish`` is a word of the model port. ``usage`` is (input, output)
    tokens, None leaves them out, () counts words. ``raw`` is sent instead of a proper body. The rest is as in
    ``loopback.Answer``."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    finish: str = ""
    usage: tuple[int, int] | tuple[()] | None = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    before: float = 0.0
    pause: float = 0.0
    cut: int | None = None
    silent: bool = False
    error: str = "told to fail"
    late_error: bool = False
    """In a stream: the error comes after the first piece, under HTTP status 200."""


class Wire(Protocol):
    """A vendor's format. Errors of form in a request raise ValueError, which the server answers with 400."""

    def read(self, asked: Asked) -> Prompt: ...

    def whole(self, prompt: Prompt, reply: Reply) -> bytes: ...

    def pieces(self, prompt: Prompt, reply: Reply) -> Iterator[bytes]: ...

    def error(self, status: int, message: str) -> bytes: ...

    def stream_type(self) -> str: ...


class ScriptedServer(Loopback):
    """Any vendor's server. ``seen`` holds the requests in order, ``asked`` the HTTP requests they came in. With a ``key`` a
    request that does not carry it in one of its headers is refused with 401."""

    def __init__(self, wire: Wire, key: str = "") -> None:
        super().__init__()
        self.wire = wire
        self.key = key
        self.seen: list[Prompt] = []
        self.asked: list[Asked] = []
        self.answer_with: Callable[[Prompt], Reply] = obey
        self._script: deque[Reply] = deque()
        self._order = threading.Lock()
        self.running = 0
        self.most = 0

    def reset(self) -> None:
        """As newly entered, with the same key."""
        with self._order:
            self._script.clear()
            self.seen.clear()
            self.asked.clear()
            self.answer_with = obey
            self.hung_up = 0

    def script(self, *replies: Reply) -> None:
        """Answer the next requests with these, in order."""
        with self._order:
            self._script.extend(replies)

    def answer(self, asked: Asked) -> Answer:
        if self.key and not any(self.key in value for value in asked.headers.values()):
            return self._refuse(401, f"no such key: {asked.headers.get('Authorization', '')}")
        try:
            tokens = counted(asked)
            if tokens is not None and not self._script:
                return Answer(200, {"Content-Type": "application/json"}, (tokens,))
            prompt = NOTHING_SAID if tokens is not None else self.wire.read(asked)
        except (KeyError, TypeError, ValueError) as error:
            return self._refuse(400, f"{type(error).__name__}: {error}")
        with self._order:
            self.seen.append(prompt)
            self.asked.append(asked)
            reply = self._script.popleft() if self._script else None
        return self._answer(prompt, reply or self.answer_with(prompt))

    def _answer(self, prompt: Prompt, reply: Reply) -> Answer:
        headers = {"Content-Type": "application/json", **reply.headers}
        pieces: Iterator[bytes] | tuple[bytes, ...]
        if reply.raw is not None:
            pieces = (reply.raw,)
        elif reply.status >= 400:
            pieces = (self.wire.error(reply.status, reply.error),)
        elif prompt.stream:
            headers = {"Content-Type": self.wire.stream_type(), **reply.headers}
            pieces = self._counted(self.wire.pieces(prompt, reply))
        else:
            pieces = (self.wire.whole(prompt, reply),)
        return Answer(
            reply.status,
            headers,
            pieces,
            whole=isinstance(pieces, tuple),
            before=reply.before,
            pause=reply.pause,
            cut=reply.cut,
            silent=reply.silent,
        )

    def _counted(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """``pieces``, with ``most`` keeping how many streams were under way at once."""
        with self._order:
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            yield from pieces
        finally:
            with self._order:
                self.running -= 1

    def _refuse(self, status: int, message: str) -> Answer:
        return Answer(status, {"Content-Type": "application/json"}, (self.wire.error(status, message),))


def obey(prompt: Prompt) -> Reply:
    """The answer that the last message orders:

    ``say TEXT``, ``json TEXT`` (the text as it is), ``schema`` (an instance of the schema that came along), ``empty``,
    ``words N``, ``call NAME {ARGUMENTS}``, ``fail STATUS [RETRY-AFTER]``, ``hang``, ``drip``, ``slow SECONDS``, ``cut N``,
    ``refuse``, ``seed`` (a word that depends on the seed), ``late`` (an error in mid-stream). A tool's answer is repeated.
    Anything else is repeated too. Stop words and the limit of tokens (here: words) are kept.
    """
    role, text = prompt.messages[-1] if prompt.messages else ("user", "")
    word, _, rest = text.partition(" ")
    if role == "tool":
        return Reply(f"the tool said {text}")
    if word in _FAULTS:
        return _FAULTS[word](rest)
    if word == "call":
        name, _, arguments = rest.partition(" ")
        return Reply("", (Call(name, arguments or "{}"),), "tools")
    said = {
        "say": rest,
        "json": rest,
        "schema": json.dumps(instance(prompt.schema or {}), ensure_ascii=False),
        "empty": "",
        "seed": f"seeded {prompt.seed if prompt.seed is not None else time.monotonic_ns()}",
    }
    if word == "words":
        said[word] = " ".join(f"w{n}" for n in range(int(rest)))
    return limited(said.get(word, text), prompt)


def limited(text: str, prompt: Prompt) -> Reply:
    """``text`` up to the first stop word and the limit of tokens."""
    places = [at for stop in prompt.stop if (at := text.find(stop)) >= 0]
    if places:
        return Reply(text[: min(places)], finish="stop")
    pieces = split(text)
    if len(pieces) > prompt.max_tokens:
        return Reply("".join(pieces[: prompt.max_tokens]), finish="length")
    return Reply(text)


def split(text: str) -> list[str]:
    """The "tokens": words with the white space before them."""
    return re.findall(r"\s*\S+|\s+$", text)


def usage_of(prompt: Prompt, reply: Reply) -> tuple[int, int] | None:
    """Tokens in and out, None where the server is to say nothing."""
    if reply.usage is None:
        return None
    if reply.usage:
        return reply.usage
    asked = sum(len(split(text)) for _, text in prompt.messages)
    return asked, len(split(reply.text)) + sum(len(split(call.arguments)) for call in reply.calls)


def instance(schema: Mapping[str, Any]) -> Any:
    """The plainest value that ``schema`` allows; knows the part of JSON Schema that structured output uses."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return instance(schema["anyOf"][0])
    kind = schema.get("type", "object")
    kind = str(kind[0] if isinstance(kind, list) else kind).lower()
    if kind == "object":
        return {name: instance(each) for name, each in schema.get("properties", {}).items()}
    if kind == "array":
        return [instance(schema.get("items", {"type": "string"}))] * max(1, schema.get("minItems", 0))
    plain = {"string": "text", "integer": schema.get("minimum", 1), "number": 1.5, "boolean": True}
    return plain.get(kind)


def _fail(rest: str) -> Reply:
    status, _, wait = rest.partition(" ")
    return Reply(status=int(status), headers={"Retry-After": wait} if wait else {})


_FAULTS: dict[str, Callable[[str], Reply]] = {
    "fail": _fail,
    "hang": lambda _: Reply("never", before=60),
    "drip": lambda _: Reply("drop by drop " * 50, pause=0.05),
    "slow": lambda rest: Reply("late", before=float(rest)),
    "cut": lambda rest: Reply("cut off " * 40, cut=int(rest)),
    "refuse": lambda _: Reply("", finish="filtered"),
    "late": lambda _: Reply("begun and not ended", late_error=True),
}
