"""Explain: a postmortem's questions about one run, in the order in which they are asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from affidavit.app.callstory import story
from affidavit.app.recorded import QUESTIONS, RecordedRun
from affidavit.app.runs import RunDesk
from affidavit.app.whatif import WhatIf
from affidavit.app.wiring import Parts
from affidavit.ask.asker import instant
from affidavit.ask.hand import PROPOSE
from affidavit.domain.access import AccessRule
from affidavit.domain.errors import UsageError
from affidavit.domain.events import EventKind
from affidavit.domain.guards import Stage, Verdict
from affidavit.policy.scope import Identity, decide_read
from affidavit.store.calls import Calls
from affidavit.store.people import Tenant
from affidavit.store.shapes import DocumentState


class Explainer:
    """Explains runs that asked something, for auditors and the operator."""

    def __init__(self, parts: Parts, runs: RunDesk, what_if: WhatIf) -> None:
        self._parts = parts
        self._runs = runs
        self._what_if = what_if

    def explain(self, tenant: Tenant, recorded: RecordedRun) -> dict[str, Any]:
        """What it saw, what it did not see and why, which rule decided, what it did, who approved, what has changed since,
        and whether it would answer the same today. Raises UsageError for a run that asked nothing."""
        if recorded.journey == "call":
            return self._call(recorded)
        if recorded.journey not in QUESTIONS:
            raise UsageError(
                f"{recorded.id} asked nothing: it is a {recorded.journey}",
                "`affidavit run show` tells its story",
            )
        shown = self._runs.show(tenant, recorded.id, None, audit=True)
        today = self._what_if.run(recorded, [("position", "now")])
        with self._parts.database.read():
            changed = self._changed(recorded)
            rules = self._rules(recorded)
            calls = self._calls(recorded)
        return {
            "run": recorded.id,
            "question": recorded.given["question"],
            "principal": recorded.given["principal"],
            "at": instant(recorded.at),
            "position": recorded.given["position"],
            "saw": [_hit(h) for h in recorded.hits],
            "not_seen": {
                "denied_at_recheck": today["before"]["denied"],
                "withheld": shown["withheld"],
                "left_out": _left_out(recorded),
            },
            "decided": {
                "release": recorded.release,
                "rules": rules,
                "sufficient": today["before"]["sufficient"],
                "guards": _guards(recorded),
            },
            "did": {"given": recorded.answer, "actions": calls, "interrupted": recorded.interrupted},
            "approved": [a for c in calls for a in c["approvals"]],
            "changed_since": changed,
            "today": {"same": today["difference"]["same"], "difference": today["difference"]},
            **({"proposed": _proposed(recorded)} if recorded.journey == "act" else {}),
        }

    def _calls(self, recorded: RecordedRun) -> list[dict[str, Any]]:
        """What it did: its calls with their decisions and approvals."""
        calls = Calls(self._parts.database)
        return [story(self._parts, calls, row) for row in calls.of_run(recorded.id)]

    def _call(self, recorded: RecordedRun) -> dict[str, Any]:
        """A call on its own: what was asked for, what decided, who approved, what became of it."""
        with self._parts.database.read():
            calls = self._calls(recorded)
        return {
            "run": recorded.id,
            "principal": recorded.given["principal"],
            "at": instant(recorded.at),
            "did": {"given": {}, "actions": calls},
            "approved": [a for c in calls for a in c["approvals"]],
        }

    def _rules(self, recorded: RecordedRun) -> list[dict[str, Any]]:
        """The access rule of each document that was retrieved, as it stood then."""
        out = []
        for state in self._states(recorded, recorded.given["head"]).values():
            rule = self._rule(state)
            out.append(
                {
                    "source": state.source,
                    "document": state.name,
                    "rule": None if rule is None else rule.as_json(),
                    "owner": state.owner,
                    "classification": state.classification,
                    "rank": state.rank,
                }
            )
        return out

    def _rule(self, state: DocumentState) -> AccessRule | None:
        return None if state.rule is None else self._parts.catalog.rules_by_id([state.rule])[state.rule]

    def _states(self, recorded: RecordedRun, position: int) -> dict[tuple[str, str], DocumentState]:
        named = list(dict.fromkeys((h["source"], h["document"]) for h in recorded.hits))
        return {n: s for n in named for s in self._parts.catalog.states(recorded.tenant, *n, position)}

    def _changed(self, recorded: RecordedRun) -> dict[str, Any]:
        head, then = self._parts.log.head(), recorded.given["head"]
        who, was = (
            self._parts.scopes.identify(recorded.tenant, recorded.given["principal"], p) for p in (head, then)
        )
        before, after = self._states(recorded, then), self._states(recorded, head)
        channel = self._parts.catalog.channel("stable")
        _, serving = self._parts.retriever.serving()
        return {
            "documents": [
                {"source": n[0], "document": n[1], "changes": changes}
                for n, old in before.items()
                if (changes := self._document(old, after.get(n), who))
            ],
            "groups": {
                "joined": sorted(who.principals - was.principals),
                "left": sorted(was.principals - who.principals),
            },
            "release": channel is not None and channel[0] != recorded.release,
            "embedder": serving != recorded.given["embedder"],
        }

    def _document(self, old: DocumentState, new: DocumentState | None, who: Identity) -> list[str]:
        if new is None or new.revision is None:
            return ["it was removed"]
        changes = []
        if new.revision != old.revision:
            changes.append(f"it was edited: revision {new.revision} since position {new.revised}")
        if new.rule != old.rule:
            changes.append("who may read it was changed")
        if (new.owner, new.classification, new.rank) != (old.owner, old.classification, old.rank):
            changes.append("its owner, classification or rank was changed")
        verdict = decide_read(who, self._rule(new))
        if not verdict.permit:
            changes.append(f"the asker may no longer read it: {verdict.reason}")
        return changes


def _proposed(recorded: RecordedRun) -> list[dict[str, Any]]:
    """What a model proposed, with where each argument came from; also what never became a call."""
    said = [f.body for f in recorded.facts if f.title == PROPOSE]
    return [{**s["input"], **s["output"]} for s in said]


def _hit(hit: Mapping[str, Any]) -> dict[str, Any]:
    return {k: hit[k] for k in ("source", "document", "chunk", "score", "permitted_by")}


def _guards(recorded: RecordedRun) -> list[dict[str, Any]]:
    """What guards of the release decided, but for what they let through: stage, verdict, reasons, and of which passage."""
    stages = {f"guard.{stage.value}": stage.value for stage in Stage}
    found = []
    for fact in recorded.facts:
        if fact.kind is EventKind.STEP_RECORDED and fact.title in stages:
            output = fact.body["output"]
            for said in output.get("passages", [output]):
                if said["verdict"] != Verdict.ALLOW.value:
                    reasons = [o["reason"] for o in said["outcomes"] if o["reason"]]
                    of = {"chunk": said["chunk"]} if "chunk" in said else {}
                    verdict = said["verdict"]
                    found.append({"stage": stages[fact.title], "verdict": verdict, "reasons": reasons, **of})
    return found


def _left_out(recorded: RecordedRun) -> list[str]:
    """Signals for which sentences were not quoted."""
    found: Sequence[str] = recorded.steps.get("generate", {"output": {"withheld": []}})["output"]["withheld"]
    return list(found)
