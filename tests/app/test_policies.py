"""The policy in force: out of the release, decided by at once, tested before it is published."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import affidavit
from affidavit.app.policies import PolicyFiles, read_folder, shipped
from affidavit.app.policytests import read_tests
from affidavit.domain.decisions import Verdict, Wish
from affidavit.domain.errors import ManifestError, UsageError
from affidavit.domain.labels import ASKER
from affidavit.domain.release import load
from affidavit.domain.tools import Contract, Effect, Idempotency
from affidavit.entrypoints.cli import app
from affidavit.policy.statements import policy_digest, statements
from affidavit.testing.clock import FixedClock

BY = "operator:dave"
SEND = Contract(
    "mail.send",
    1,
    "Send.",
    {"type": "object", "properties": {"to": {"type": "string"}}},
    {},
    Effect.WRITE,
    Idempotency.NONE,
)
ALL = '@id("all") permit (principal, action, resource);\n'
NONE = '@id("none") forbid (principal, action, resource);\n'


@pytest.fixture
def ws(workspace: affidavit.Workspace, tmp_path: Path) -> affidavit.Workspace:
    people = tmp_path / "p.jsonl"
    people.write_text('{"id": "alice", "groups": ["staff"], "department": "finance"}\n')
    workspace.import_people(people, "acme")
    workspace.people.grant(workspace.parts.tenant(""), "group:staff", "role:operator")
    workspace.policy.contracts = lambda tenant: (SEND,)
    return workspace


def wish(ws: affidavit.Workspace, **context: Any) -> Wish:
    standing = ws.policy.standing(1, "user:alice")
    given = {"arguments": {"to": "bob"}, "labels": {"to": [ASKER.as_json()]}, **context}
    return Wish(1, "user:alice", standing.principals, standing.roles, "tool:call", SEND.key, {}, given)


def publish(ws: affidavit.Workspace, **rules: str) -> str:
    files = PolicyFiles({f"{name}.cedar": text for name, text in rules.items()}, {})
    return ws.publish(ws.policy.content(files))


def test_the_shipped_rules_hold_by_default_and_every_one_is_tested_both_ways(ws: affidavit.Workspace) -> None:
    report = ws.policy.test(shipped())
    assert (report.failed, report.uncovered) == ([], [])
    assert len(report.coverage) == 13
    assert len(report.outcomes) >= len(report.coverage)
    assert ws.policy.decide(wish(ws)).policy == policy_digest(shipped().rules)


@pytest.mark.parametrize("rule", [s.id for s in statements(shipped().rules)])
def test_without_any_one_of_the_shipped_rules_a_test_fails(ws: affidavit.Workspace, rule: str) -> None:
    text = "\n".join(s.text for s in statements(shipped().rules) if s.id != rule)
    assert ws.policy.test(PolicyFiles({"rules.cedar": text}, shipped().tests)).failed


def test_mode_and_time_are_looked_up_whatever_the_wish_says(
    ws: affidavit.Workspace, clock: FixedClock
) -> None:
    said = wish(ws, mode="live", time=0, person={"department": "boss"})
    assert ws.policy.decide(said).rules == ("live-only",)
    ws.controls.set_mode(ws.parts.tenant(""), "live", BY, "pilot")
    assert ws.policy.decide(said).verdict is Verdict.PERMIT
    tag = 'principal.hasTag("department") && principal.getTag("department") == "finance"'
    publish(ws, a=f'@id("f") permit (principal, action, resource) when {{ {tag} && context.time > 5 }};')
    assert ws.policy.decide(said).rules == ("f",)


def test_publishing_and_rolling_back_hold_for_the_next_decision_in_every_process(
    ws: affidavit.Workspace,
) -> None:
    first = ws.parts.release().digest
    with affidavit.open(ws.parts.folder) as other:
        other.policy.contracts = ws.policy.contracts
        second = publish(ws, a=ALL)
        decided = other.policy.decide(wish(ws))
        assert (decided.verdict, decided.rules) == (Verdict.PERMIT, ("all",))
        assert decided.policy == policy_digest({"a.cedar": ALL})
        publish(ws, a=ALL, b=NONE)
        assert other.policy.decide(wish(ws)).rules == ("none",)
        for back in (second, first):
            ws.publish(dict(ws.parts.release_named(back).content))
        assert other.policy.decide(wish(ws)).rules == ("live-only",)
    ws.verify()


def test_the_release_s_digest_changes_with_the_policy(ws: affidavit.Workspace) -> None:
    content = ws.policy.content(PolicyFiles({"a.cedar": ALL}, {}))
    changed = ws.policy.content(PolicyFiles({"a.cedar": ALL + "\n"}, {}))
    assert len({load(c).digest for c in (content, changed, ws.parts.release().content)}) == 3


@pytest.mark.parametrize("policy", [{}, {"files": 5}, {"files": {"a": 5}}, {"files": {}, "x": 1}, []])
def test_a_release_with_a_malformed_policy_is_refused(ws: affidavit.Workspace, policy: Any) -> None:
    with pytest.raises(UsageError):
        ws.publish({**ws.parts.release().content, "policy": policy})


def test_rules_that_do_not_validate_are_not_published_by_any_way(ws: affidavit.Workspace) -> None:
    bad = {"a.cedar": '@id("a") permit (principal, action, resource) when { context.modus == "live" };'}
    before = ws.parts.release().digest
    with pytest.raises(ManifestError, match=r"a\.cedar:1"):
        ws.policy.content(PolicyFiles(bad, {}))
    with pytest.raises(ManifestError, match=r"a\.cedar:1"):
        ws.publish({**ws.parts.release().content, "policy": {"files": bad}})
    assert ws.parts.release().digest == before


def test_a_policy_that_no_longer_fits_the_tools_denies(ws: affidavit.Workspace) -> None:
    publish(ws, a='@id("a") permit (principal, action == Action::"mail.send@1", resource);')
    assert ws.policy.decide(wish(ws)).verdict is Verdict.PERMIT
    ws.policy.contracts = lambda tenant: (replace(SEND, version=2),)
    decided = ws.policy.decide(replace(wish(ws), resource="mail.send@2"))
    assert decided.verdict is Verdict.FORBID
    assert "does not fit the tools" in decided.errors[0]


def test_a_tool_changed_under_its_name_is_decided_anew(ws: affidavit.Workspace) -> None:
    publish(ws, a='@id("a") permit (principal, action in Action::"tool:read", resource);')
    assert ws.policy.decide(wish(ws)).verdict is Verdict.FORBID
    ws.policy.contracts = lambda tenant: (replace(SEND, effect=Effect.READ),)
    assert ws.policy.decide(wish(ws)).verdict is Verdict.PERMIT


TEST = """
[[tool]]
name = "mail.send"
version = 9
effect = "write"
arguments = { to = "string" }
[[test]]
name = "sends"
tool = "mail.send@9"
arguments = { to = "bob" }
expect = "EXPECT"
by = ["all"]
"""


def test_rules_whose_tests_fail_are_not_published(ws: affidavit.Workspace) -> None:
    files = PolicyFiles({"a.cedar": ALL}, {"a.test.toml": TEST.replace("EXPECT", "forbid")})
    with pytest.raises(UsageError, match=r"a\.test\.toml, test 1 \(sends\)"):
        ws.policy.content(files)
    report = ws.policy.test(replace(files, tests={"a.test.toml": TEST.replace("EXPECT", "permit")}))
    assert (report.failed, report.uncovered) == ([], ["all"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("[[test]]", "[[tset]]"), "tset"),
        (('expect = "EXPECT"', 'expect = "perhaps"'), "test 1"),
        (('expect = "EXPECT"', ""), "expect"),
        (('by = ["all"]', 'from = { to = "nobody" }'), "nobody"),
        (('by = ["all"]', 'roles = ["boss"]'), "boss"),
        (('by = ["all"]', 'mode = "on"'), "mode"),
        (('by = ["all"]', "time = 2026-11-20T10:00:00"), "zone"),
        (('by = ["all"]', "because = 5"), "because"),
        (('effect = "write"', 'effect = "wrote"'), "tool 1"),
        (('name = "mail.send"', 'name = "Mail"'), "tool 1"),
        (("[[test]]", "[[test"), "not TOML"),
    ],
)
def test_a_malformed_test_is_named(change: tuple[str, str], said: str) -> None:
    text = TEST.replace(*change).replace("EXPECT", "permit")
    with pytest.raises(ManifestError) as caught:
        read_tests({"a.test.toml": text})
    assert "a.test.toml" in caught.value.message
    assert said in caught.value.message


def _run(*arguments: str, status: int = 0) -> str:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == status, done.output
    return done.output


def test_the_commands(tmp_path: Path) -> None:
    where = ("-w", str(tmp_path / "ws"))
    _run("init", str(tmp_path / "ws"), "--embedder", "none")
    folder = tmp_path / "ws" / "policies"
    _run(*where, "policy", "write", str(folder))
    assert read_folder(folder) == shipped()
    assert "13 of 13 rules covered" in _run(*where, "policy", "test")
    rules = folder / "rules.cedar"
    text = rules.read_text()
    rules.write_text(text.replace('context.mode == "live"', 'context.mood == "live"'))
    assert "rules.cedar:22: live-only" in _run(*where, "policy", "check", status=2)
    rules.write_text(text.replace('context.mode == "live"', 'context.mode == "on"'))
    assert "failed" in _run(*where, "policy", "test", status=1)
    assert "tests fail" in _run(*where, "policy", "publish", status=2)
    rules.write_text(text.replace("100000 ", "200000 "))
    (folder / "rules.test.toml").write_text(
        (folder / "rules.test.toml").read_text().replace("-100001", "-200001")
    )
    published = json.loads(_run(*where, "policy", "publish", "--json"))
    assert json.loads(_run(*where, "policy", "show", "--json"))["policy"] == published["policy"]


def test_more_rules_times_tests_than_anybody_waits_for_are_not_begun(workspace: affidavit.Workspace) -> None:
    """Whoever may read the policy may have it tested: the time that takes is everybody's."""
    rules = "\n".join(f'@id("r{n}") forbid (principal, action, resource);' for n in range(100))
    world = '[[test]]\nname = "{}"\naction = "audit:read"\nexpect = "forbid"\n'
    tests = "".join(map(world.format, range(2_001)))
    with pytest.raises(UsageError, match="too many at once"):
        workspace.policy.test(PolicyFiles({"a.cedar": rules}, {"a.test.toml": tests}))
