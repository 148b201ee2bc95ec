"""Counterfactuals: a run put again with one thing changed, and what comes out otherwise.

Nothing is written but the fact that somebody looked. The model is asked only about what the record does not hold.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from affidavit.app.plainfile import read_release
from affidavit.app.recorded import QUESTIONS, RecordedRun
from affidavit.app.replay import Replayer
from affidavit.app.supposed import SupposedPolicy, parse_policy, read_policy
from affidavit.app.wiring import Parts
from affidavit.ask.asker import Question
from affidavit.ask.hand import CALL
from affidavit.ask.scopes import Past
from affidavit.domain.access import named, principal
from affidavit.domain.errors import UsageError
from affidavit.domain.release import Release, load
from affidavit.policy.scope import decide_read
from affidavit.runs.replay import Fact

CHANGES = ("position", "as", "without", "release", "model", "embedder", "policy", "policy_text", "before")
"""``policy`` names a file, ``policy_text`` is what would stand in it; a release may be a file or a digest."""


@dataclass(frozen=True)
class Situation:
    """What a question is put with: everything a counterfactual may change."""

    question: Question
    release: Release
    past: Past


class WhatIf:
    """Puts recorded questions again under changed circumstances."""

    def __init__(self, parts: Parts, replayer: Replayer, position: Callable[[str], int]) -> None:
        self._parts = parts
        self._replayer = replayer
        self._position = position

    def run(self, recorded: RecordedRun, changes: Sequence[tuple[str, str]]) -> dict[str, Any]:
        """The run as it was, as it would be with ``changes`` (key, value), and the difference.

        Raises UsageError for a run that asked nothing and for a change that makes no sense.
        """
        if recorded.journey not in QUESTIONS:
            raise UsageError(
                f"{recorded.id} asked nothing: it is a {recorded.journey}", "choose a run of ask or search"
            )
        situation = Situation(
            recorded.question(), self._parts.release_named(recorded.release), recorded.past()
        )
        for key, value in _ordered(changes):
            situation = self._change(recorded, situation, key, value)
        rerun = self._replayer.rerun(recorded, situation.release, live=True)
        self._replayer.put(rerun, recorded, situation.question, situation.release, situation.past)
        before, after = _view(recorded.facts), _view(rerun.facts())
        return {
            "run": recorded.id,
            "question": recorded.given["question"],
            "changes": [{"what": k, "to": v} for k, v in changes],
            "before": before,
            "after": after,
            "difference": difference(before, after),
        }

    def _change(self, recorded: RecordedRun, at: Situation, key: str, value: str) -> Situation:
        match key:
            case "position":
                return self._now(at) if value == "now" else self._at(at, self._position(value))
            case "before":
                if not value.isdecimal() or int(value) < 1:
                    raise UsageError(f"before={value}: not a position of the log", "for example before=1234")
                return self._at(at, int(value) - 1)
            case "as":
                who = principal(named(value))
                return replace(at, question=replace(at.question, principal=who))
            case "without":
                documents = self._documents(recorded.tenant, value)
                return _instead(at, [(d, False) for d in documents])
            case "release":
                return replace(at, release=self._release(value))
            case "embedder":
                if value != "none":
                    raise UsageError(f"embedder={value}", "embedder=none asks by keyword alone")
                return replace(at, past=replace(at.past, embedder=""))
            case "model":
                return replace(at, release=_with_model(at.release, value))
            case "policy":
                return self._supposed(at, read_policy(Path(value)))
            case "policy_text":
                return self._supposed(at, parse_policy(value, "the policy"))
        raise UsageError(f"{key}={value}: {key} cannot be changed", f"one of: {', '.join(CHANGES)}")

    # -- moments

    def _now(self, at: Situation) -> Situation:
        with self._parts.database.read():
            head = self._parts.log.head()
            _, embedder = self._parts.retriever.serving()
        past = Past(head, self._last_rule(at), self._parts.clock.now(), embedder, (head,), at.past.instead)
        return replace(at, question=replace(at.question, as_of=None), past=past)

    def _at(self, at: Situation, position: int) -> Situation:
        with self._parts.database.read():
            head = self._parts.log.head()
            if not 0 <= position <= head:
                raise UsageError(f"position {position} is not between 0 and {head}", "see `affidavit status`")
            clock = self._parts.events.at(position)
        past = replace(at.past, head=position, rules=self._last_rule(at), clock=clock, checks=(position,))
        return replace(at, question=replace(at.question, as_of=None), past=past)

    def _last_rule(self, at: Situation) -> int:
        return self._parts.catalog.last_rule(at.question.tenant)

    # -- documents, releases, policies

    def _documents(self, tenant: int, name: str) -> list[int]:
        with self._parts.database.read():
            found = [
                id
                for id, source, document in self._parts.catalog.documents(tenant)
                if name in (document, f"{source}/{document}")
            ]
        if not found:
            raise UsageError(f"there never was a document {name}", "name it as `affidavit run show` does")
        return found

    def _release(self, value: str) -> Release:
        if Path(value).is_file():
            return load(read_release(Path(value)))
        return self._parts.release_named(self._parts.release_like(value))

    def _supposed(self, at: Situation, policy: SupposedPolicy) -> Situation:
        """Which documents the file would decide otherwise for who asks."""
        parts, past, tenant = self._parts, at.past, at.question.tenant
        with parts.database.read():
            who = parts.scopes.identify(tenant, at.question.principal, past.head)
            governed = parts.catalog.rules_at(tenant, past.head)
            known = parts.catalog.rules(tenant)
            instead = []
            for id, source, document in parts.catalog.documents(tenant):
                rule = policy.rule_for(source, document)
                if rule is None:
                    continue
                was = decide_read(who, known.get(governed.get(id, 0))).permit
                would = decide_read(who, rule).permit
                if was != would:
                    instead.append((id, would))
        return _instead(at, instead)


def _with_model(release: Release, value: str) -> Release:
    """``release`` with answers by the target ``value`` alone; ``none``: by no model, in whole sentences."""
    content: dict[str, Any] = json.loads(json.dumps(release.content))
    if value == "none":
        content.pop("write", None)
        return load(content)
    targets = content.get("models", {}).get("targets", {})
    if value not in targets or "answer" not in content["models"]["tasks"]:
        raise UsageError(
            f"model={value}: the release has no such target",
            f"none, or one of: {', '.join(sorted(targets)) or '-'}",
        )
    options = content["models"]["tasks"]["answer"]["options"]
    asked = [o for o in options if "target" in o]
    mine = [o for o in asked if o["target"] == value] or [{**asked[0], "target": value}]
    content["models"]["tasks"]["answer"]["options"] = mine
    return load(content)


def _instead(at: Situation, decided: Sequence[tuple[int, bool]]) -> Situation:
    merged = dict(at.past.instead) | dict(decided)
    return replace(at, past=replace(at.past, instead=tuple(sorted(merged.items()))))


def _ordered(changes: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """First who and when, since what a policy decides depends on them."""
    unknown = [k for k, _ in changes if k not in CHANGES]
    if unknown:
        raise UsageError(f"{unknown[0]} cannot be changed", f"one of: {', '.join(CHANGES)}")
    return sorted(changes, key=lambda c: c[0] in ("policy", "policy_text", "without"))


def _view(facts: Sequence[Fact]) -> dict[str, Any]:
    """What a reader of the difference wants to see of a run."""
    run = RecordedRun("", 0, "", "", 0, 0, 0, tuple(facts))
    suffice = run.steps.get("suffice")
    return {
        "principal": run.given["principal"],
        "position": run.given["position"],
        "head": run.given["head"],
        "retrieved": run.hits,
        "denied": [{k: d[k] for k in ("source", "document", "reason")} for d in run.denials],
        "sufficient": None if suffice is None else suffice["output"],
        "given": run.answer,
        "calls": [_call(f.body) for f in facts if f.title == CALL],
    }


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What is otherwise: passages gained, lost and moved; denials; whether the evidence is enough; the answer."""
    old = {h["chunk"]: (rank, h) for rank, h in enumerate(before["retrieved"], 1)}
    new = {h["chunk"]: (rank, h) for rank, h in enumerate(after["retrieved"], 1)}
    answers = [_said(before["given"]), _said(after["given"])]
    return {
        "gained": [{"rank": r, **_named(h)} for c, (r, h) in new.items() if c not in old],
        "lost": [{"rank": r, **_named(h)} for c, (r, h) in old.items() if c not in new],
        "moved": [
            {"from": old[c][0], "to": r, **_named(h)}
            for c, (r, h) in new.items()
            if c in old and old[c][0] != r
        ],
        "denied": [d for d in after["denied"] if d not in before["denied"]],
        "no_longer_denied": [d for d in before["denied"] if d not in after["denied"]],
        "sufficient": [before["sufficient"], after["sufficient"]],
        "answer": answers,
        "calls": [before["calls"], after["calls"]],
        "same": before["retrieved"] == after["retrieved"]
        and answers[0] == answers[1]
        and _sources(before["given"]) == _sources(after["given"])
        and before["calls"] == after["calls"],
    }


def _call(step: Mapping[str, Any]) -> dict[str, Any]:
    """A call of a tool, as far as it can be compared."""
    asked, told = step["input"], step["output"]
    return {"tool": asked["tool"], "arguments": asked["arguments"], "state": told["state"]}


def _named(hit: Mapping[str, Any]) -> dict[str, Any]:
    return {k: hit[k] for k in ("source", "document", "chunk", "permitted_by")}


def _said(given: Mapping[str, Any]) -> dict[str, Any] | None:
    if not given:
        return None
    refusal = given["refusal"]
    return {"status": given["status"], "answer": given["answer"], "reason": refusal and refusal["reason"]}


def _sources(given: Mapping[str, Any]) -> list[str]:
    return [c["chunk"] for claim in given.get("claims", ()) for c in claim["citations"]]
