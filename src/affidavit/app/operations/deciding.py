"""Operations: what decides. The rules in force, tried and compared; releases, and going from one to another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import unified_diff
from typing import Any, cast

from pydantic import Field, JsonValue

from affidavit.app.noting import note
from affidavit.app.operations import listing
from affidavit.app.operations.listing import Page
from affidavit.app.operations.operation import Asked, Caller, Given, Method, Nothing, Operation
from affidavit.app.operations.public import names_no_other, others, release_shown
from affidavit.app.operations.tools import visible
from affidavit.app.policies import PolicyFiles, shipped
from affidavit.app.tooldiff import MOST
from affidavit.app.workspace import Workspace
from affidavit.ask.asker import instant
from affidavit.domain.canonical import Json
from affidavit.domain.decisions import Wish
from affidavit.domain.errors import ForbiddenError, ManifestError, UsageError
from affidavit.domain.events import EventKind
from affidavit.domain.labels import ASKER
from affidavit.domain.tools import CALL
from affidavit.gateway.rules import attributes
from affidavit.policy.statements import LARGEST, policy_digest

Open = dict[str, JsonValue]
_DIGEST = r"^[0-9a-f]{4,64}$"
_MOST_RELEASES = 200


class Rules(Asked):
    rules: dict[str, str] = Field(description="Texts of rules by file name, all that are to hold.")
    tests: dict[str, str] = Field(default_factory=dict, description="Texts of tests by file name.")

    def files(self) -> PolicyFiles:
        """As the desk takes them. Raises UsageError."""
        if sum(map(len, (*self.rules.values(), *self.tests.values()))) > 4 * LARGEST:
            raise UsageError("the rules and tests are too long", f"at most {4 * LARGEST} characters")
        try:
            "".join((*self.rules, *self.rules.values(), *self.tests, *self.tests.values())).encode()
        except UnicodeEncodeError as error:
            raise UsageError("the rules and tests are no text", "send them as UTF-8") from error
        for name in (*self.rules, *self.tests):
            if not name or "/" in name or "\\" in name or len(name) > 100:
                raise UsageError(f"{name!r} is no name of a file", "for example house.cedar")
        return PolicyFiles(dict(self.rules), dict(self.tests))


class RulesAndDays(Rules):
    days: int = Field(30, ge=1, le=366, description="How far back.")


class RulesAndReason(Rules):
    reason: str = Field(min_length=1, max_length=2_000, description="Why. It goes on record.")


class Trial(Asked):
    person: str = Field(min_length=1, max_length=200)
    tool: str = Field(min_length=1, max_length=200, description="NAME@VERSION.")
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    approved: list[str] = Field(default_factory=list, max_length=20, description="Roles that said yes.")


class OneRelease(Asked):
    release: str = Field(pattern=_DIGEST, description="The beginning of its digest.")


class TwoReleases(OneRelease):
    other: str = Field(pattern=_DIGEST, description="The beginning of the other's digest.")


class Promotion(OneRelease):
    reason: str = Field(min_length=1, max_length=2_000, description="Why. It goes on record.")


class Release(Given):
    release: str
    serves: bool = Field(description="Whether it answers now.")
    at: str = Field(description="When it was published last.")
    position: int


class ReleaseList(Given):
    items: list[Release]
    next: str | None


class Published(Given):
    release: str
    position: int


# -- the policy


def show_policy(ws: Workspace, caller: Caller, asked: Nothing) -> dict[str, Any]:
    files = ws.policy.in_force()
    try:
        rules, fault = ws.policy.check(files, caller.tenant.id).rules, ""
    except ManifestError as error:
        rules, fault = (), error.message
    mine = [r for r in rules if names_no_other(ws, caller, r.text)]
    alone = not others(ws, caller)
    return {
        "policy": policy_digest(files),
        "fault": fault if alone else "it does not fit the tools" if fault else "",
        "rules": [
            {
                "id": r.id,
                "effect": r.effect,
                "approval": r.approval,
                "file": r.file,
                "line": r.line,
                "text": r.text,
            }
            for r in mine
        ],
        "files": dict(files) if alone else {},
        "tests": dict(ws.policy.files(None).tests) if alone else {},
    }


def try_policy(ws: Workspace, caller: Caller, asked: Trial) -> dict[str, Any]:
    """What would be decided now if ``person`` called ``tool`` so."""
    who = ws.tools.known(caller.tenant, asked.person)
    standing = ws.policy.standing(caller.tenant.id, who)
    contract = next((c for c in visible(ws, caller) if c.key == asked.tool), None)
    if contract is None:
        raise UsageError(f"there is no tool {asked.tool}", "see which there are: /v1/tools")
    wish = Wish(
        tenant=caller.tenant.id,
        principal=who,
        principals=standing.principals,
        roles=standing.roles,
        action=CALL,
        resource=contract.key,
        attributes=attributes(contract),
        context={
            "arguments": cast("Json", asked.arguments),
            "labels": {name: [ASKER.as_json()] for name in asked.arguments},
            "approved": list(asked.approved),
            "approvers": [],
        },
    )
    return {
        "principal": who,
        "tool": contract.key,
        "roles_held": sorted(standing.roles),
        "mode": ws.controls.mode(caller.tenant),
        **ws.policy.decide(wish).as_json(),
    }


def test_policy(ws: Workspace, caller: Caller, asked: Rules) -> dict[str, Any]:
    files = asked.files()
    checked = ws.policy.check(files.rules, caller.tenant.id)
    report = ws.policy.test(files, caller.tenant.id)
    return {"policy": checked.digest, **report.as_json()}


def diff_policy(ws: Workspace, caller: Caller, asked: RulesAndDays) -> dict[str, Any]:
    policy = ws.policy.check(asked.files().rules, caller.tenant.id)
    return ws.replays.tool_diff(caller.tenant, policy, asked.days, caller.principal, MOST)


def publish_policy(ws: Workspace, caller: Caller, asked: RulesAndReason) -> dict[str, Any]:
    _sole(ws)
    return _published(ws, caller, ws.publish(ws.policy.content(asked.files())), asked.reason)


# -- releases


def _sole(ws: Workspace) -> None:
    """A release answers in every tenant: an administrator of one of several decides nothing for the others."""
    if len(ws.parts.people.tenants()) > 1:
        raise ForbiddenError(
            "a release answers in every tenant of this workspace", "at the machine: affidavit release publish"
        )


def _published(ws: Workspace, caller: Caller, release: str, reason: str) -> dict[str, Any]:
    """The release's own event says nothing of who published it: many tenants may read that one."""
    what: dict[str, Json] = {"release": release, "reason": reason}
    position = note(ws.parts, caller.tenant, "release.published", caller.stated, what)
    return {"release": release, "position": position}


def releases(ws: Workspace, caller: Caller, asked: Page) -> dict[str, Any]:
    serving = ws.parts.release().digest
    with ws.parts.database.read():
        seen: dict[str, dict[str, Any]] = {}
        for event in ws.parts.events.of_kind(EventKind.RELEASE_PUBLISHED, newest_first=True):
            digest = event.facts["release"]
            if digest not in seen:
                if len(seen) == _MOST_RELEASES:
                    break
                seen[digest] = {
                    "release": digest,
                    "serves": digest == serving,
                    "at": instant(event.at),
                    "position": event.position,
                }
    before = listing.before(asked)
    return listing.newest([one for one in seen.values() if one["position"] < before], asked.limit)


def _content(ws: Workspace, beginning: str) -> tuple[str, Mapping[str, Any]]:
    found = ws.parts.release_named(ws.parts.release_like(beginning))
    return found.digest, found.content


def show_release(ws: Workspace, caller: Caller, asked: OneRelease) -> dict[str, Any]:
    digest, content = _content(ws, asked.release)
    return {
        "release": digest,
        "serves": digest == ws.parts.release().digest,
        "content": release_shown(ws, caller, content),
    }


def diff_releases(ws: Workspace, caller: Caller, asked: TwoReleases) -> dict[str, Any]:
    (before, old), (after, new) = _content(ws, asked.release), _content(ws, asked.other)
    shown = (release_shown(ws, caller, _with_rules(content)) for content in (old, new))
    return {"before": before, "after": after, "changes": list(_changes("", *shown))}


def _with_rules(content: Mapping[str, Any]) -> dict[str, Any]:
    """``content`` with the rules that hold where it names none."""
    return {**content, "policy": content.get("policy") or {"files": dict(shipped().rules)}}


def _changes(where: str, old: Any, new: Any) -> Iterator[dict[str, Any]]:
    """Every part in which two JSON values differ, by its path."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from _changes(f"{where}.{key}" if where else key, old.get(key), new.get(key))
    elif old != new:
        texts = [value for value in (old, new) if isinstance(value, str) and "\n" in value]
        lines = list(differing(old or "", new or "")) if texts else []
        yield {"where": where, "before": old, "after": new, "lines": lines}


def differing(old: str, new: str) -> Iterator[str]:
    """The lines in which two texts differ, each with ``+``, ``-`` or a space before it; ``@@`` where some are left out."""
    found = unified_diff(old.splitlines(), new.splitlines(), n=2, lineterm="")
    return (line for n, line in enumerate(found) if n > 1)


def promote(ws: Workspace, caller: Caller, asked: Promotion) -> dict[str, Any]:
    _sole(ws)
    return _published(ws, caller, ws.publish(dict(_content(ws, asked.release)[1])), asked.reason)


_EXAMPLE_RULES = {"rules": {"house.cedar": '@id("nothing") forbid (principal, action, resource);'}}

DECIDING = (
    Operation(
        "policy.show",
        "policy:read",
        Method.READ,
        "/policy",
        "The rules in force.",
        Nothing,
        Open,
        show_policy,
        {},
        command="policy show",
    ),
    Operation(
        "policy.try",
        "policy:read",
        Method.ASK,
        "/policy/try",
        "What would be decided if somebody called a tool now. Nothing is called.",
        Trial,
        Open,
        try_policy,
        {"person": "user:alice", "tool": "mail.send@1", "arguments": {"to": "bob"}},
    ),
    Operation(
        "policy.test",
        "policy:read",
        Method.ASK,
        "/policy/test",
        "Check rules against the tools there are, and run their tests. Nothing is published.",
        Rules,
        Open,
        test_policy,
        _EXAMPLE_RULES,
        command="policy test",
    ),
    Operation(
        "policy.diff",
        "audit:replay",
        Method.ASK,
        "/policy/diff",
        "Which recorded decisions would have come out otherwise under these rules.",
        RulesAndDays,
        Open,
        diff_policy,
        {**_EXAMPLE_RULES, "days": 30},
        command="policy diff",
    ),
    Operation(
        "policy.publish",
        "release:change",
        Method.CHANGE,
        "/policy",
        "Decide by these rules from the next step on: they become part of a new release.",
        RulesAndReason,
        Published,
        publish_policy,
        {**_EXAMPLE_RULES, "reason": "Nothing may be called during the audit"},
        changes=True,
        command="policy publish",
        guards="policy.show",
        guarded=True,
    ),
    Operation(
        "releases.list",
        "policy:read",
        Method.READ,
        "/releases",
        "The releases that were published, the newest first.",
        Page,
        ReleaseList,
        releases,
        {"limit": 20},
        command="release list",
    ),
    Operation(
        "releases.show",
        "policy:read",
        Method.READ,
        "/releases/{release}",
        "Everything that one release decides by.",
        OneRelease,
        Open,
        show_release,
        {"release": "0123abcd"},
        command="release show",
    ),
    Operation(
        "releases.diff",
        "policy:read",
        Method.READ,
        "/releases/{release}/diff/{other}",
        "In what two releases differ.",
        TwoReleases,
        Open,
        diff_releases,
        {"release": "0123abcd", "other": "4567cdef"},
    ),
    Operation(
        "releases.promote",
        "release:change",
        Method.ASK,
        "/releases/{release}/promote",
        "Answer under a release that was published before.",
        Promotion,
        Published,
        promote,
        {"release": "0123abcd", "reason": "The new prompts refuse too much"},
        changes=True,
        command="release rollback",
        guards="releases.show",
    ),
)
