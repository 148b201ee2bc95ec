"""The bounded loop in which a model proposes calls of tools and at last says what was done.

Every turn is one question to a model and one prompt in which everything foreign (passages, results, the request) is data in a
marked slot. The model's part ends with a proposal: ``ask/hand.py`` does the rest. How many calls, how long and for how much
money is not the model's to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from affidavit.ask.acted import (
    BOUNDS,
    MODEL,
    OF_ITSELF,
    RESULT,
    REVOKED,
    TOOL,
    Acted,
    Cite,
    Concluded,
    Stands,
    conclude,
)
from affidavit.ask.claims import ANSWER_SCHEMA, Judge, check_answer, parse_answer
from affidavit.ask.drafts import Drafted
from affidavit.ask.hand import Doors, Hand, Observed, memory_of
from affidavit.ask.prompt import Prompt, named_prompt
from affidavit.ask.rank import Ranked
from affidavit.ask.retrieve import Passage
from affidavit.ask.showing import passage_line
from affidavit.ask.writer import VERIFY, judging
from affidavit.domain.acting import Acting
from affidavit.domain.canonical import Json
from affidavit.domain.errors import ModelError, UsageError
from affidavit.domain.release import Release
from affidavit.domain.tools import Contract, contract
from affidavit.models.caller import Caller
from affidavit.models.deadline import Deadline
from affidavit.models.outcome import GOOD, Judged, Outcome
from affidavit.models.stretches import level_of, stretches
from affidavit.ports.model import ChatRequest, ChatResult, ToolSpec
from affidavit.runs.recorder import Run
from affidavit.store.shapes import ChunkView

CHOOSE = "choose-tool"
TOOLS, READABLE = "act.tools", "act.readable"
ANSWER = "answer"
"""The tool of ours by which a model ends."""
_INTERNAL = "internal"
_MOST_TOKENS = 1024


class Openings(Doors, Protocol):
    """``Doors`` and what else the application hands in."""

    def contracts(self, names: Sequence[str]) -> Sequence[Contract]:
        """The tools of these names. Raises UnknownNameError, RefusedError."""
        ...

    def readable(self, places: Sequence[tuple[str, str]]) -> bool:
        """Whether who asks may read all of these documents (source, name) at this moment."""
        ...


class Agent:
    """Acts for one person in one run."""

    def __init__(self, caller: Caller, release: Release, feature: str, doors: Openings) -> None:
        if release.acting is None or release.models is None or CHOOSE not in release.models.tasks:
            raise UsageError("the release lets no model act", "see docs/how-to/acting.md")
        self._acting: Acting = release.acting
        if feature not in self._acting.tools:
            raise UsageError(
                f"there is no feature {feature[:80]!r}", f"one of: {', '.join(sorted(self._acting.tools))}"
            )
        self._feature = feature
        self._caller = caller
        self._task = release.models.tasks[CHOOSE]
        self._judges = VERIFY in release.models.tasks
        self._doors = doors
        self._prompt: Prompt = named_prompt(self._acting.prompt, self._acting.version, self._acting.digest)
        self._longest = max(
            (o.settings.max_tokens for o in self._task.options if o.settings), default=_MOST_TOKENS
        )

    def answer(
        self,
        run: Run,
        question: str,
        passages: Sequence[Passage],
        support: Judge | None,
        cite: Cite,
        stands: Stands,
    ) -> Concluded:
        """``act``, and what of it a person is given. Raises WaitsError."""
        return conclude(run, self.act(run, question, passages, support), cite, stands)

    def act(
        self, run: Run, question: str, passages: Sequence[Passage], support: Judge | None = None
    ) -> Acted:
        """Propose and observe until the model is done or a bound is reached. Raises WaitsError where it can go no further now."""
        names = self._acting.tools[self._feature]
        said = run.effect(
            TOOLS,
            {"feature": self._feature, "names": list(names)},
            lambda: [c.as_json() for c in self._doors.contracts(names)],
        )
        contracts = [contract(c) for c in said]
        hand = Hand(run, memory_of(question), contracts, self._doors, self._acting.steps)
        talk = _Talk(self._caller, self._prompt, contracts, self._longest, question)
        may = [n for n, p in enumerate(passages) if self._may_see(p, passages)]
        shown = {f"P{n + 1}": passages[n] for n in may}
        for passage in shown.values():
            view = passage.view
            hand.read(
                "\n".join((view.title, *view.path, passage.text)), f"{view.source}/{view.name}", view.owner
            )
        deadline = Deadline.after(self._acting.milliseconds / 1000)
        drafted, model, end = self._loop(run, talk, hand, shown, deadline)
        named = {**shown, **{o.id: _as_passage(o) for o in hand.observed if o.done}}
        judge = (
            judging(self._caller, run, talk.sensitivity(shown), deadline)
            if self._judges and drafted
            else None
        )
        checked = check_answer(drafted, named, self._acting.coverage, judge, support, list(named))
        return Acted(hand.observed, named, checked, model, end)

    def _may_see(self, passage: Passage, passages: Sequence[Passage]) -> bool:
        """Whether the first of the task's options that are asked may see it."""
        first = stretches(self._task, {level_of(p.view.classification) for p in passages})
        return bool(first) and level_of(passage.view.classification) <= first[0].level

    def _loop(
        self, run: Run, talk: _Talk, hand: Hand, shown: Mapping[str, Passage], deadline: Deadline
    ) -> tuple[Sequence[Drafted], str | None, str]:
        model: str | None = None
        for turn in range(1, self._acting.steps + 2):
            if shown and not self._still_readable(run, turn, shown):
                return (), model, REVOKED
            outcome = talk.ask(run, shown, hand, deadline)
            if outcome.result is None:
                return (), model, MODEL
            model = outcome.result.model
            calls = [c for c in outcome.result.calls if c.name != ANSWER]
            if not calls:
                return _final(outcome.result), model, OF_ITSELF
            if hand.left <= 0:
                return (), model, BOUNDS
            for call in calls:
                hand.propose(talk.keys.get(call.name, call.name), call.arguments)
        return (), model, BOUNDS

    def _still_readable(self, run: Run, turn: int, shown: Mapping[str, Passage]) -> bool:
        """A run may have waited for days: what it was shown then is shown again only if it still may be."""
        places = sorted({(p.view.source, p.view.name) for p in shown.values()})
        given: dict[str, Json] = {"turn": turn, "documents": [list(p) for p in places]}
        return bool(run.effect(READABLE, given, lambda: self._doors.readable(places)))


class _Talk:
    """The questions to a model. ``keys``: the tool behind each name that a model knows."""

    def __init__(
        self, caller: Caller, prompt: Prompt, contracts: Sequence[Contract], longest: int, question: str
    ) -> None:
        self._caller, self._prompt, self._longest, self._question = caller, prompt, longest, question
        self.keys = {spoken(c): c.key for c in contracts}
        self._offered = tuple(ToolSpec(spoken(c), c.description, c.parameters) for c in contracts)

    def sensitivity(self, shown: Mapping[str, Passage]) -> set[str]:
        """The classifications of what is shown. What tools return has none of its own and counts as ``internal``."""
        return {_INTERNAL, *(p.view.classification or _INTERNAL for p in shown.values())}

    def ask(self, run: Run, shown: Mapping[str, Passage], hand: Hand, deadline: Deadline) -> Outcome:
        messages = self._prompt.render(
            evidence=[passage_line(n, p) for n, p in shown.items()],
            calls=[o.line() for o in hand.observed],
            question=[self._question],
            answer=ANSWER,
        )
        end = ToolSpec(ANSWER, "End, and say what was done and found.", ANSWER_SCHEMA)
        tools = (*self._offered, end) if hand.left > 0 else (end,)
        request = ChatRequest(messages, self._longest, deadline.left, tools=tools)
        return self._caller.call(
            run, CHOOSE, request, sensitivity=self.sensitivity(shown), deadline=deadline, check=_of_the_form
        )


def spoken(contract: Contract) -> str:
    """A tool's name as every vendor allows names to be; one to one."""
    return f"{contract.name.replace('.', '-')}_v{contract.version}"


def _of_the_form(result: ChatResult) -> Judged:
    if any(c.name != ANSWER for c in result.calls):
        return GOOD
    try:
        _final(result)
    except ModelError as error:
        return Judged(False, "schema", error.message)
    return GOOD


def _final(result: ChatResult) -> Sequence[Drafted]:
    """The claims by which a model ends. Raises ModelError."""
    ends = [c.arguments for c in result.calls if c.name == ANSWER]
    return parse_answer(ends[0] if ends else result.text)


def _as_passage(observed: Observed) -> Passage:
    """A result as something that can be quoted."""
    view = ChunkView(
        chunk=0,
        document=0,
        tenant=0,
        name=observed.tool,
        source=TOOL,
        revision=observed.call,
        ordinal=0,
        start=0,
        stop=len(observed.text),
        path=(),
        kind=RESULT,
        title=observed.tool.replace("_", " ").replace(".", " "),
        location=observed.call,
        modified=None,
        indexed_at=0,
        text_body=0,
        rule=None,
        owner="",
        classification=_INTERNAL,
        rank=0,
        fresh_days=0,
        deprecated=False,
        valid=True,
    )
    return Passage(view, Ranked(0, 0, 0, 0.0, 0.0, None), "a call of this run", lambda _: observed.text)
