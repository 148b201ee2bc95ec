"""Pages: the mode, the kill switch, and drills."""

from __future__ import annotations

from typing import Any

from fastapi import Response

from affidavit.domain.errors import UsageError
from affidavit.entrypoints.console.frame import Console, Nav, Visit

MODES = {
    "read-only": "Tools may look things up. Nothing is written anywhere.",
    "live": "Tools may change things, as far as the policy permits it.",
}


def add(console: Console) -> None:
    """Modes, kills and drills."""
    console.page("/controls", controls, Nav("Mode and kill switch", "Control", "status:read"))
    console.form("/controls/mode", set_mode)
    console.form("/controls/kill", kill)
    console.form("/controls/revive", revive)
    console.page("/drills", drills, Nav("Drills", "Control", "drill:run"))
    console.form("/drills", run_drill)
    console.notices(
        mode="The mode is changed, from the next step on. It is on record.",
        killed="It is stopped, from the next step on. It is on record.",
        revived="It goes on again. It is on record.",
        drilling="The drill runs on a copy, in the background. Reload this page to see its report.",
    )


def controls(visit: Visit) -> Response:
    """How things stand, and how they may be changed."""
    mode = visit.ask("modes.show")["mode"]
    stopped = visit.ask("kills.list", limit=200)["items"]
    history = visit.ask("controls.history", limit=20)["items"]
    sources = visit.ask("sources.list", limit=200)["items"] if visit.may("source:read") else []
    tools = visit.ask("tools.list", limit=200)["items"] if visit.may("tool:read") else []
    targets = [
        ("tenant", f"everything of {visit.me['tenant']}: questions, syncs and tools"),
        *((f"source:{s['name']}", f"the source {s['name']}") for s in sources),
        *((f"tool:{t['tool']}", f"the tool {t['tool']}") for t in tools),
    ]
    return visit.page(
        "controls.html",
        "Mode and kill switch",
        mode=mode,
        modes=MODES,
        stopped=stopped,
        targets=targets,
        chosen=visit.query.get("what", ""),
        history=history,
        undo=_undo(history, mode),
        waiting=visit.waiting("modes", "kills"),
        may_mode=visit.may("mode:change"),
        may_kill=visit.may("kill:change"),
    )


def _undo(history: list[dict[str, Any]], mode: str) -> dict[str, Any] | None:
    """The change that brought the mode about, as far back as the history reaches."""
    return next((one for one in history if one["what"] == f"mode {mode}"), None)


def _sure(visit: Visit) -> None:
    if visit.form.get("sure") != "yes":
        raise UsageError("you did not confirm it", "go back and tick the box beside the button")


def set_mode(visit: Visit) -> Response:
    """From the next step on."""
    _sure(visit)
    return visit.do(
        "modes.set", "/controls", "mode", mode=visit.form.get("mode", ""), reason=visit.form.get("reason", "")
    )


def kill(visit: Visit) -> Response:
    """Stop something."""
    _sure(visit)
    return _switch(visit, "kills.kill", "killed")


def revive(visit: Visit) -> Response:
    """Let it go on."""
    return _switch(visit, "kills.revive", "revived")


def _switch(visit: Visit, operation: str, notice: str) -> Response:
    what, reason = visit.form.get("what", ""), visit.form.get("reason", "")
    return visit.do(operation, "/controls", notice, what=what, reason=reason)


def drills(visit: Visit) -> Response:
    """Which there are, and how they went."""
    found = visit.ask("drills.list", limit=30)
    running = any(one["state"] == "running" for one in found["items"])
    return visit.page("drills.html", "Drills", drills=found["drills"], items=found["items"], running=running)


def run_drill(visit: Visit) -> Response:
    """Begin one."""
    visit.ask("drills.run", name=visit.form.get("drill", ""))
    return visit.go("/drills", "drilling")
