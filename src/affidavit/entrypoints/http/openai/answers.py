"""Answers in OpenAI's form: chat completions and responses, at once or in pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from affidavit.app.usage import Used
from affidavit.entrypoints.http.openai.content import Content, refusal, waiting

Event = dict[str, Any]


@dataclass
class Said:
    """One answer as it grows, whatever the form. ``created`` in seconds, ``settled`` what was sent and changes nothing here."""

    model: str
    created: int
    settled: Sequence[str]
    content: Content
    metadata: Mapping[str, str] = field(default_factory=dict)
    run: str = ""
    refusal: str = ""

    def claim(self, run: str, claim: Mapping[str, Any]) -> tuple[str, list[Event]]:
        """One more claim: the piece of text, and its annotations."""
        self.run = run
        return self.content.add(claim)

    def end(self, answer: Mapping[str, Any], given: int) -> Iterator[tuple[str, list[Event]]]:
        """What is still to be said once ``answer`` is there and ``given`` of its claims were said already."""
        self.run = answer["run"]
        for claim in answer["claims"][given:]:
            yield self.content.add(claim)
        if answer["refusal"]:
            self.refusal = refusal(answer["refusal"])
        elif answer["status"] == "waiting" or not self.content.text:
            yield self.content.say(waiting(answer.get("actions", ()), self.run)), []

    def ours(self, answer: Mapping[str, Any]) -> Event:
        """What the form of OpenAI has no place for."""
        return {
            "run": self.run,
            "position": answer["position"],
            "status": answer["status"],
            "release": answer["release"],
            "claims": len(answer["claims"]),
            "refusal": answer["refusal"],
            "actions": answer.get("actions", []),
            "incomplete": answer.get("incomplete", ""),
            "understood": answer.get("understood", ""),
            "model": answer["model"],
            "not_used": list(self.settled),
        }


# -- chat completions


def completion(said: Said, answer: Mapping[str, Any], used: Used) -> Event:
    """A whole chat completion. A refusal stands in ``refusal`` and, for clients that show nothing else, in ``content``."""
    message = {
        "role": "assistant",
        "content": said.content.text or said.refusal,
        "refusal": said.refusal or None,
        "annotations": [chat_annotation(a) for a in said.content.annotations],
    }
    return {
        "id": f"chatcmpl-{said.run}",
        "object": "chat.completion",
        "created": said.created,
        "model": said.model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": chat_usage(used),
        "system_fingerprint": answer["release"][:12],
        "affidavit": said.ours(answer),
    }


def chunk(said: Said, delta: Event, finish: str | None = None) -> Event:
    """A piece of one."""
    return {
        "id": f"chatcmpl-{said.run}",
        "object": "chat.completion.chunk",
        "created": said.created,
        "model": said.model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}],
    }


def piece(text: str, annotations: Sequence[Event]) -> Event:
    """The ``delta`` of a claim."""
    marks = {"annotations": [chat_annotation(a) for a in annotations]} if annotations else {}
    return {"content": text, **marks}


def chat_annotation(one: Event) -> Event:
    return {"type": "url_citation", "url_citation": one}


def chat_usage(used: Used) -> Event:
    return {
        "prompt_tokens": used.input,
        "completion_tokens": used.output,
        "total_tokens": used.input + used.output,
        "prompt_tokens_details": {"cached_tokens": used.cached},
    }


# -- responses


def message_id(said: Said) -> str:
    return f"msg_{said.run}"


def response_annotation(one: Event) -> Event:
    return {"type": "url_citation", **one}


def text_part(said: Said) -> Event:
    return {
        "type": "output_text",
        "text": said.content.text,
        "annotations": [response_annotation(a) for a in said.content.annotations],
        "logprobs": [],
    }


def message(said: Said, parts: Sequence[Event], status: str) -> Event:
    return {
        "id": message_id(said),
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": list(parts),
    }


def whole(said: Said) -> Event:
    """The message once nothing more comes: its text, or the refusal."""
    parts = [text_part(said)] if said.content.text else []
    if said.refusal:
        parts.append({"type": "refusal", "refusal": said.refusal})
    return message(said, parts, "completed")


def response(
    said: Said, status: str, answer: Mapping[str, Any] | None = None, used: Used | None = None
) -> Event:
    """A response as it stands: in progress, or with ``answer`` completed. Nothing of it is kept but the run's record."""
    return {
        "id": f"resp_{said.run}",
        "object": "response",
        "created_at": said.created,
        "status": status,
        "model": said.model,
        "output": [whole(said)] if answer is not None else [],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": dict(said.metadata),
        "parallel_tool_calls": False,
        "temperature": None,
        "top_p": None,
        "tool_choice": "none",
        "tools": [],
        "store": False,
        "usage": None if used is None else response_usage(used),
        **({} if answer is None else {"affidavit": said.ours(answer)}),
    }


def response_usage(used: Used) -> Event:
    return {
        "input_tokens": used.input,
        "input_tokens_details": {"cached_tokens": used.cached, "cache_write_tokens": 0},
        "output_tokens": used.output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": used.input + used.output,
    }
