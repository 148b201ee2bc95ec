"""Prompts that a person may start with: how to ask so that the answer can be checked, and what to do about a refusal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import mcp_types as types
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from affidavit.app.operations.operation import Caller, may, perform
from affidavit.app.operations.questions import LONGEST_QUESTION
from affidavit.app.operations.table import TABLE
from affidavit.app.workspace import Workspace
from affidavit.ask.prompt import MARK, data_line
from affidavit.domain.errors import AffidavitError
from affidavit.entrypoints.mcp.results import NOTICE

_SHOW, _LIST = TABLE["runs.show"], TABLE["runs.list"]
_SUGGESTED = 20


@dataclass(frozen=True)
class _Prompt:
    listed: types.Prompt
    action: str
    """What a caller must be able to do for it to be of use."""
    text: Callable[[Workspace, Caller, Mapping[str, str]], str]


def prompts(ws: Workspace, caller: Caller) -> types.ListPromptsResult:
    """Those that ``caller`` can make use of."""
    return types.ListPromptsResult(
        prompts=[one.listed for one in _PROMPTS.values() if may(ws, caller, one.action)]
    )


def prompt(ws: Workspace, caller: Caller, name: str, given: Mapping[str, str]) -> types.GetPromptResult:
    """One of them, filled in. Raises MCPError for a name or arguments that it does not have; AffidavitError."""
    one = _PROMPTS.get(name)
    if one is None:
        raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {name[:80]}")
    arguments = one.listed.arguments or []
    missing = [a.name for a in arguments if a.required and not given.get(a.name, "").strip()]
    unknown = given.keys() - {a.name for a in arguments}
    if missing or unknown or any(len(value) > LONGEST_QUESTION for value in given.values()):
        takes = ", ".join(a.name for a in arguments)
        raise MCPError(
            types.INVALID_PARAMS, f"{name} takes {takes}, of at most {LONGEST_QUESTION} characters"
        )
    said = types.TextContent(type="text", text=one.text(ws, caller, given))
    return types.GetPromptResult(
        description=one.listed.description, messages=[types.PromptMessage(role="user", content=said)]
    )


def completed(ws: Workspace, caller: Caller, name: str, argument: str, value: str) -> list[str]:
    """Runs of the caller that begin with ``value``, of the kind that the prompt is about, the newest first."""
    if (name, argument) not in (("explain_refusal", "run"), ("check_answer", "run")):
        return []
    if not may(ws, caller, _LIST.action):
        return []
    status = "refused" if name == "explain_refusal" else "answered"
    asked = {"journey": "ask", "status": status, "principal": caller.principal, "limit": _SUGGESTED}
    found = perform(ws, caller, _LIST, _LIST.takes.model_validate(asked))
    return [line["run"] for line in found["items"] if line["run"].startswith(value)]


def _ask(ws: Workspace, caller: Caller, given: Mapping[str, str]) -> str:
    return "\n".join(
        [
            "Answer the question below with the tool `ask`, and with nothing else.",
            "Give each claim with the documents that it cites, by title and link. Say nothing that no claim says.",
            "If it is refused, say so with the reason and the next steps; do not make up an answer.",
            f"{MARK} {data_line({'question': given['question']})}",
        ]
    )


def _refusal(ws: Workspace, caller: Caller, given: Mapping[str, str]) -> str:
    story = _story(ws, caller, given["run"])
    refusal = (story.get("given") or {}).get("refusal")
    if not refusal:
        return f"The run {story['run']} was not refused: it is {story['status']}. Say so."
    shown = {"question": story["question"], "message": refusal["message"]}
    return "\n".join(
        [
            f"A question was refused ({story['run']}): {refusal['reason']}.",
            "Explain in plain words what that means, and what whom you act for can do next.",
            "Do not guess what hidden documents say or whether there are any: nothing here tells that.",
            *(f"- {step}" for step in refusal["next_steps"]),
            NOTICE,
            f"{MARK} {data_line(shown)}",
        ]
    )


def _check(ws: Workspace, caller: Caller, given: Mapping[str, str]) -> str:
    story = _story(ws, caller, given["run"])
    claims = (story.get("given") or {}).get("claims", [])
    shown = [
        {
            "claim": claim["text"],
            "cited": [
                {n: c[n] for n in ("source", "document", "revision", "quote")} for c in claim["citations"]
            ],
        }
        for claim in claims
    ]
    return "\n".join(
        [
            f"Check the answer of {story['run']} against what it cites.",
            "Read each cited revision (`get_document`, with source, document and revision) and find the quote in it. Say for "
            "each claim whether the quote carries it, and what around the quote limits it.",
            NOTICE,
            *(f"{MARK} {data_line(one)}" for one in shown),
        ]
    )


def _story(ws: Workspace, caller: Caller, run: str) -> dict[str, Any]:
    """The caller's own view of a run. Raises MCPError for what is no run's id, and for a run that is not theirs to see."""
    try:
        found: dict[str, Any] = perform(ws, caller, _SHOW, _SHOW.takes.model_validate({"run": run}))
    except (ValidationError, AffidavitError) as error:
        raise MCPError(types.INVALID_PARAMS, f"There is no run {run[:40]!r} that you may see") from error
    return found


def _made(
    name: str, title: str, description: str, action: str, argument: types.PromptArgument, text: Any
) -> tuple[str, _Prompt]:
    listed = types.Prompt(name=name, title=title, description=description, arguments=[argument])
    return name, _Prompt(listed, action, text)


_PROMPTS: Mapping[str, _Prompt] = dict(
    (
        _made(
            "ask_with_citations",
            "Ask with citations",
            "An answer from documents alone, each claim with what it cites.",
            "question:ask",
            types.PromptArgument(name="question", description="In any words.", required=True),
            _ask,
        ),
        _made(
            "explain_refusal",
            "Explain a refusal",
            "Why a question was not answered, and what to do next.",
            "run:read",
            types.PromptArgument(name="run", description="The run that was refused.", required=True),
            _refusal,
        ),
        _made(
            "check_answer",
            "Check an answer",
            "Each claim of an earlier answer held against the passages that it cites.",
            "run:read",
            types.PromptArgument(name="run", description="The run that answered.", required=True),
            _check,
        ),
    )
)
