"""Pages: the rules in force, tried, changed, tested and compared with what was decided; and the releases they are part of."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Response

from affidavit.app.operations.versions import tag
from affidavit.domain.errors import AffidavitError, UsageError
from affidavit.entrypoints.console.frame import Console, Nav, Visit

CHANGE, DIFF = "release:change", "audit:replay"
_FILE, _TEST = "rules:", "tests:"


def add(console: Console) -> None:
    """Policy and releases."""
    console.page("/policy", rules, Nav("Policy", "Control", "policy:read"))
    console.form("/policy/try", try_it)
    console.page("/policy/edit", edit)
    console.form("/policy/check", check)
    console.form("/policy/publish", publish)
    console.page("/releases", releases, Nav("Releases", "Control", "policy:read"))
    console.page("/releases/{release}", release)
    console.form("/releases/{release}/promote", promote)
    console.notices(
        published="It decides from the next step on, as part of a new release.",
        promoted="This release answers from the next question on.",
    )


def rules(visit: Visit) -> Response:
    """The rules in force, and a form to try them."""
    asked = {k: v for k, v in visit.query.items() if k in ("tool", "person")}
    return _rules(visit, asked, None, "")


def _rules(visit: Visit, asked: dict[str, str], tried: dict[str, Any] | None, fault: str) -> Response:
    found = visit.ask("policy.show")
    tools = visit.ask("tools.list", limit=200)["items"] if visit.may("tool:read") else []
    blank = {"person": visit.caller.principal, "tool": "", "arguments": "{}", "approved": ""}
    return visit.page(
        "policy.html",
        "Policy",
        policy={**found, "rules": [{**r, "says": comment(r, found["files"])} for r in found["rules"]]},
        tools=tools,
        asked={**blank, **asked},
        tried=tried,
        fault=fault,
        may=visit.may(CHANGE),
        before=_before(visit) if visit.may(CHANGE) else None,
        waiting=visit.waiting("policy", "releases"),
    )


def _before(visit: Visit) -> dict[str, Any] | None:
    """The release to go back to: the one that was published before the one that answers, and where the two differ."""
    found = visit.ask("releases.list", limit=200)["items"]
    serving = next((n for n, one in enumerate(found) if one["serves"]), None)
    if serving is None or serving + 1 >= len(found):
        return None
    there = found[serving + 1]
    changes = visit.ask("releases.diff", release=found[serving]["release"], other=there["release"])["changes"]
    return {**there, "where": [one["where"] for one in changes]}


def comment(rule: dict[str, Any], files: dict[str, str]) -> str:
    """What is written above a rule: its own comment, or the heading of its part of the file."""
    said: list[str] = []
    for line in reversed(files.get(rule["file"], "").split("\n")[: rule["line"] - 1]):
        text = line.strip()
        if text.startswith("//"):
            said.insert(0, text.lstrip("/- "))
        elif text or said:
            break
    return " ".join(said)


def try_it(visit: Visit) -> Response:
    """What would be decided; nothing is called."""
    asked = {name: visit.form.get(name, "") for name in ("person", "tool", "arguments", "approved")}
    try:
        arguments = json.loads(asked["arguments"] or "{}")
        if not isinstance(arguments, dict):
            raise UsageError("the arguments are no JSON object", 'for example {"to": "bob"}')
        approved = [role.strip() for role in asked["approved"].split(",") if role.strip()]
        tried = visit.ask(
            "policy.try",
            person=asked["person"],
            tool=asked["tool"],
            arguments=arguments,
            approved=approved,
        )
    except (ValueError, RecursionError):
        return _rules(visit, asked, None, "The arguments are not JSON.")
    except AffidavitError as error:
        return _rules(visit, asked, None, error.message)
    return _rules(visit, asked, tried, "")


def edit(visit: Visit) -> Response:
    """The rules in force, to be changed."""
    found = visit.ask("policy.show")
    version = tag(visit.console.table["policy.show"], found)
    return _edit(visit, found["files"], found["tests"], None, None, "", found["files"], version)


def _edit(
    visit: Visit,
    files: dict[str, str],
    tests: dict[str, str],
    report: dict[str, Any] | None,
    diff: dict[str, Any] | None,
    fault: str,
    in_force: dict[str, str],
    version: str,
) -> Response:
    return visit.page(
        "policy_edit.html",
        "Change the policy",
        files=files,
        tests=tests,
        report=report,
        diff=diff,
        fault=fault,
        same=files == in_force,
        version=version,
        may=visit.may(CHANGE),
        may_diff=visit.may(DIFF),
    )


def _sent(visit: Visit) -> tuple[dict[str, str], dict[str, str]]:
    form = visit.form
    return tuple(  # type: ignore[return-value]  # two of them
        {k.removeprefix(prefix): v for k, v in form.items() if k.startswith(prefix) and v.strip()}
        for prefix in (_FILE, _TEST)
    )


def check(visit: Visit) -> Response:
    """Check, test, and compare with what was decided in the last month. Nothing is changed."""
    files, tests = _sent(visit)
    in_force = visit.ask("policy.show")["files"]
    report = diff = None
    fault = ""
    try:
        report = visit.ask("policy.test", rules=files, tests=tests)
        if visit.may(DIFF):
            diff = visit.ask("policy.diff", rules=files, days=30)
    except AffidavitError as error:
        fault = f"{error.message} {error.hint}"
    return _edit(visit, files, tests, report, diff, fault, in_force, visit.form.get("version", ""))


def publish(visit: Visit) -> Response:
    """Decide by them."""
    if visit.form.get("sure") != "yes":
        raise UsageError("you did not confirm it", "go back and tick the box beside the button")
    files, tests = _sent(visit)
    made = visit.ask_if(
        visit.form.get("version", ""),
        "policy.publish",
        rules=files,
        tests=tests,
        reason=visit.form.get("reason", ""),
    )
    return visit.go(f"/releases/{made['release']}", "published")


def releases(visit: Visit) -> Response:
    """All of them."""
    found = visit.ask("releases.list", limit=50, after=visit.query.get("after", ""))
    return visit.page(
        "releases.html",
        "Releases",
        items=found["items"],
        next=found["next"],
        may=visit.may(CHANGE),
        before=_before(visit) if visit.may(CHANGE) else None,
        waiting=visit.waiting("releases", "policy"),
    )


def release(visit: Visit) -> Response:
    """One, and in what it differs from the one that answers."""
    found = visit.ask("releases.show", release=visit.path["release"])
    serving = next((r["release"] for r in visit.ask("releases.list")["items"] if r["serves"]), "")
    other = visit.query.get("with", "") or serving
    changes = None
    if other and other != found["release"]:
        changes = visit.ask("releases.diff", release=other, other=found["release"])
    return visit.page(
        "release.html", "Release", release=found, changes=changes, other=other, may=visit.may(CHANGE)
    )


def promote(visit: Visit) -> Response:
    """Answer under it."""
    if visit.form.get("sure") != "yes":
        raise UsageError("you did not confirm it", "go back and tick the box beside the button")
    made = visit.ask("releases.promote", release=visit.path["release"], reason=visit.form.get("reason", ""))
    return visit.go(f"/releases/{made['release']}", "promoted")
