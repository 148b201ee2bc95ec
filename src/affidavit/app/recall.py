"""Replay of a call on its own: the run once more from what the gateway wrote, with nothing carried out."""

from __future__ import annotations

from typing import Any

from affidavit.app.recorded import RecordedRun
from affidavit.app.wiring import Parts
from affidavit.domain.canonical import Json
from affidavit.domain.errors import NotRepeatableError
from affidavit.domain.events import EventKind
from affidavit.domain.tools import ENDED, CallState
from affidavit.events.read import ErasedBody
from affidavit.gateway.callbook import asked_for
from affidavit.gateway.rules import Proposal
from affidavit.runs.replay import Divergence, Rerun, compare

_KINDS = (EventKind.CALL_PROPOSED, EventKind.CALL_CHANGED)


def replay_call(parts: Parts, recorded: RecordedRun) -> Divergence | None:
    """Work the run's step out again from the proposal and from the change that ended it, and compare.

    No tool is loaded. Raises NotRepeatableError where one of the two was erased.
    """
    rerun = Rerun(
        recorded.id, recorded.tenant, recorded.journey, recorded.release, recorded.facts, live=False
    )
    said: dict[str, Any] = {}
    with parts.database.read():
        for event in parts.events.of_run(recorded.id):
            if event.kind not in _KINDS:
                continue
            body = parts.events.body(event)
            if isinstance(body, ErasedBody):
                raise NotRepeatableError(
                    f"{recorded.id} cannot be repeated: position {event.position} was erased",
                    "`affidavit audit erasures` says by whom and why",
                )
            said = said or body
            state = CallState(event.facts["state"])
            if state in ENDED:
                _again(rerun, recorded, said, state, body)
                break
    return compare(recorded.facts, rerun.facts())


def _again(rerun: Rerun, recorded: RecordedRun, said: Any, state: CallState, end: Any) -> None:
    wanted = Proposal(recorded.tenant, said["principal"], said["tool"], said["arguments"], recorded.id)
    told: dict[str, Json] = {"call": said["call"], "state": state.value}
    proposed_only = end is said  # forbidden at once: of its body the step holds the reason alone
    told |= {"why": end["why"]} if proposed_only else {k: v for k, v in end.items() if k != "call"}
    rerun.step("call", asked_for(wanted), told)
    rerun.finish(state.value, {})
