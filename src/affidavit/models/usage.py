"""How many tokens a call has: guessed before it, and judged after it, since a provider may say nothing, or nonsense."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from affidavit.domain.canonical import Json
from affidavit.models.prices import MOST_TOKENS, Money, Target
from affidavit.ports.model import ChatRequest, Usage
from affidavit.ports.prices import Rates

_OF_A_MESSAGE, _OF_A_CALL = 8, 32
"""Tokens of role marks around a message, and around a call."""
_MORE, _FEWER, _SPARE = 4, 16, 1_000
"""A count this many times above or below what was expected, and further from it than ``_SPARE``, is not believed."""


def bytes_of(text: str) -> int:
    """Bytes of UTF-8: no tokenizer that works on bytes makes more tokens of a text."""
    return len(text.encode("utf-8", "surrogatepass"))


def expected(request: ChatRequest, count: Callable[[str], int] = bytes_of) -> Usage:
    """The most that ``request`` may use: its prompt as ``count`` counts it, with tools and schema, and ``max_tokens``.

    ``count`` is the model's own tokenizer, WordPiece, or bytes for want of either.
    """
    tokens = _OF_A_CALL
    for message in request.messages:
        tokens += _OF_A_MESSAGE + count(message.content)
        tokens += sum(count(call.name) + count(call.arguments) for call in message.calls)
    for tool in request.tools:
        tokens += _OF_A_MESSAGE + count(tool.name) + count(tool.description) + count(_json(tool.parameters))
    if request.schema is not None:
        tokens += count(_json(request.schema))
    return Usage(min(tokens, MOST_TOKENS), min(max(request.max_tokens, 0), MOST_TOKENS), 0)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Counted:
    """Tokens that are charged. ``flag``: ``""`` as the provider says, ``missing`` it says nothing, ``implausible`` it says what
    cannot be, ``unanswered`` there was no answer: then they are estimates."""

    input: int
    output: int
    cached: int
    flag: str = ""


def counted(usage: Usage | None, guess: Usage, produced: int = -1) -> Counted:
    """``usage`` where it can be believed, else ``guess``.

    ``produced``: tokens of the text that came back, -1 unknown; without it a missing count of output is the most there could be.
    """
    answer = produced if produced >= 0 else guess.output
    if usage is None:
        return Counted(guess.input, 0, 0, "unanswered")
    prompt, output, cached = _count(usage.input), _count(usage.output), _count(usage.cached)
    lies = None in (prompt, output, cached) or _lies(prompt or 0, output or 0, guess, produced)
    if lies or (usage.input >= 0 and (cached or 0) > usage.input):
        return Counted(guess.input, answer, 0, "implausible")
    if prompt == -1 or output == -1:
        found = guess.input if prompt == -1 else int(prompt or 0)
        return Counted(found, answer if output == -1 else int(output or 0), 0, "missing")
    return Counted(int(prompt or 0), int(output or 0), max(int(cached or 0), 0))


def _count(value: object) -> int | None:
    """A count, -1 not said, None impossible. Adapters hand over what a server wrote."""
    return value if type(value) is int and -1 <= value <= MOST_TOKENS else None


def _lies(prompt: int, output: int, guess: Usage, produced: int) -> bool:
    high = prompt > _MORE * guess.input + _SPARE or output > _MORE * guess.output + _SPARE
    low = prompt >= 0 and prompt * _FEWER + _SPARE < guess.input
    return high or low or (output >= 0 and output * _FEWER + _SPARE < produced)


@dataclass(frozen=True)
class Charge:
    """What one call used and cost, as it goes on record in the output of its step under the name ``charge``.

    ``cost`` is None where no price is known: never 0. The rates stand beside it, so that anyone can multiply again.
    """

    task: str
    target: Target
    used: Counted
    cost: Money | None
    rates: Rates | None

    def as_json(self) -> dict[str, Json]:
        return {
            "task": self.task,
            "provider": self.target.provider,
            "model": self.target.model,
            "local": self.target.local,
            "input": self.used.input,
            "output": self.used.output,
            "cached": self.used.cached,
            "flag": self.used.flag,
            "micro": None if self.cost is None else self.cost.micro,
            "currency": None if self.cost is None else self.cost.currency,
            "rates": None if self.rates is None else self.rates.as_json(self.used.input),
        }


def charge(task: str, target: Target, used: Counted, rates: Rates | None, currency: str) -> Charge:
    """The charge of a call. A local model costs no money for its tokens; its time is counted with the run's."""
    if rates is not None:
        return Charge(
            task, target, used, Money(rates.cost(used.input, used.output, used.cached), rates.currency), rates
        )
    return Charge(task, target, used, Money(0, currency) if target.local else None, None)
