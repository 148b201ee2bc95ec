"""Language models of the drill's own, in this process: no key, no network, no package, and out of order when told to be.

They stand in for whatever models a release names, so that a drill asks nobody's model and costs nobody's money.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from affidavit.ask.prompt import MARK
from affidavit.domain.errors import ModelError
from affidavit.domain.routes import Target
from affidavit.ports.model import Cancel, ChatRequest, ChatResult, Delta, ModelInfo, ToolCall, Usage
from affidavit.text.sentences import sentences

if TYPE_CHECKING:
    from affidavit.app.workspace import Workspace

Act = Callable[[ChatRequest, Cancel | None], str]
"""What a stand-in says. Raises ModelError."""
_WORD = re.compile(r"\w+")
_SHORTEST, _LONGEST = 20, 400


def write(request: ChatRequest, cancel: Cancel | None = None) -> str:
    """A good answer of the form that is asked for: the sentence of the evidence that is most like the question."""
    shown = data(request)
    if request.schema_name == "answer" and shown:
        *passages, question = shown
        return json.dumps({"claims": [_claim(*_best(passages, str(question)))] if passages else []})
    if request.schema_name == "verdict":
        return json.dumps({"supported": [True] * len(shown)})
    if request.schema_name == "question" and shown:
        return json.dumps({"question": shown[-1], "unclear": ""})
    raise ModelError("request", f"the drill's model has no answer to {request.schema_name}")


def data(request: ChatRequest) -> list[Any]:
    """The evidence and the question in ``request``, in order."""
    lines = request.messages[-1].content.splitlines()
    return [json.loads(line.removeprefix(f"{MARK} ")) for line in lines if line.startswith(f"{MARK} ")]


def _best(passages: list[dict[str, Any]], question: str) -> tuple[str, str]:
    """(passage, sentence)."""
    wanted = set(_WORD.findall(question.lower()))
    found = [
        (len(wanted & set(_WORD.findall(sentence.lower()))), -n, p["id"], sentence)
        for n, p in enumerate(passages)
        for sentence in (p["text"][a:b].strip() for a, b in sentences(p["text"]))
        if _SHORTEST <= len(sentence) <= _LONGEST
    ]
    return max(found)[2:] if found else (passages[0]["id"], passages[0]["text"][:_LONGEST])


def _claim(passage: str, sentence: str) -> dict[str, Any]:
    return {"text": sentence, "citations": [{"passage": passage, "quote": sentence}]}


class StandIns:
    """Makes a stand-in for every target. ``act`` is what all of them do, ``acts`` what single ones do, by the target's name;
    ``asked`` holds (target, request) of every call."""

    def __init__(self, act: Act = write, **acts: Act) -> None:
        self.act = act
        self.acts = dict(acts)
        self.asked: list[tuple[str, ChatRequest]] = []

    def make(self, target: Target) -> StandIn:
        return StandIn(self, target)

    def into(self, ws: Workspace) -> None:
        """From now on the workspace asks these. Do it before its first question: what was made is kept."""
        ws.parts.models.make = self.make

    def counted(self) -> dict[str, int]:
        """How often each target was asked."""
        names = [name for name, _ in list(self.asked)]
        return {name: names.count(name) for name in names}


class StandIn:
    """Implements ``ports.model.ChatModel``."""

    def __init__(self, all: StandIns, target: Target) -> None:
        self._all, self._name = all, target.name
        self.info = ModelInfo(target.kind, target.model, "strict", True, True, True, target.local)

    def complete(self, request: ChatRequest, cancel: Cancel | None = None) -> ChatResult:
        self._all.asked.append((self._name, request))
        text = self._all.acts.get(self._name, self._all.act)(request, cancel)
        used = Usage(sum(len(m.content) for m in request.messages) // 2, len(text) // 2 + 1, 0)
        calls = _calls(text) if request.tools else ()
        said = "" if calls else text
        return ChatResult(said, calls, "tools" if calls else "stop", used, f"stand-in for {self.info.name}")

    def stream(self, request: ChatRequest, cancel: Cancel | None = None) -> Iterator[Delta]:
        whole = self.complete(request, cancel)
        yield Delta(whole.text)
        yield Delta("", whole)

    def close(self) -> None:
        """There is nothing to let go of."""


def _calls(text: str) -> tuple[ToolCall, ...]:
    """The calls that a stand-in proposes, where tools are offered: ``{"calls": [{"name": …, "arguments": …}]}``."""
    said = json.loads(text)["calls"]
    return tuple(ToolCall(f"c{n}", c["name"], json.dumps(c["arguments"])) for n, c in enumerate(said, 1))


def failing(kind: str) -> Act:
    """Fails as ``kind`` of ModelError."""

    def act(request: ChatRequest, cancel: Cancel | None) -> str:
        raise ModelError(kind, f"out of order for the drill ({kind})")

    return act


class Silence:
    """A model that says nothing until ``seconds`` are over or ``end`` is called, whatever is asked of it, and then answers."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._over = threading.Event()

    def act(self, request: ChatRequest, cancel: Cancel | None) -> str:
        self._over.wait(self._seconds)
        return write(request)

    def end(self) -> None:
        """Let everybody go who is waiting."""
        self._over.set()
