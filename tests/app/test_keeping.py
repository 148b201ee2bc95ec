"""Retention and pruning by age; redaction before storage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import affidavit
from affidavit.app.redaction import read_rules
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import AccessDeniedError, ManifestError, UsageError
from affidavit.events.merkle import Frontier
from affidavit.testing.clock import FixedClock

BY = "operator:dpo"
DAY = 86_400 * MICROSECONDS
CARD, MAIL = "4111 1111 1111 1111", "erin.walrus@example.org"


@pytest.fixture
def ws(
    workspace: affidavit.Workspace, write_folder: Callable[[dict[str, str | bytes]], Path], tmp_path: Path
) -> affidavit.Workspace:
    root = write_folder(
        {
            "access.toml": 'allow = ["anyone"]',
            "leave.md": f"# Leave\n\nWalrus leave is 20 days a year, says {MAIL}.\n",
        }
    )
    people = tmp_path / "people.jsonl"
    people.write_text('{"id": "alice"}\n{"id": "bob"}\n')
    workspace.import_people(people)
    workspace.add_source("folder", root, "docs")
    workspace.sync()
    return workspace


def ask(ws: affidavit.Workspace, who: str = "alice", more: str = "") -> str:
    return ws.ask(f"How many days is walrus leave?{more}", who).run


def left(ws: affidavit.Workspace, run: str) -> set[str]:
    """Kinds of the run's events whose bodies are there."""
    events = ws.parts.events.of_run(run)
    return {
        e.kind.value for e in events if e.body_id is not None and not ws.parts.bodies.is_erased(e.body_id)
    }


def test_nothing_is_pruned_by_default(ws: affidavit.Workspace, clock: FixedClock) -> None:
    run = ask(ws)
    before = left(ws, run)
    clock.advance(100_000 * DAY)
    report = ws.keeping.prune(ws.parts.tenant(""), BY)
    assert (report["pruned"], report["position"]) == ({}, None)
    assert left(ws, run) == before


def test_what_is_older_than_allowed_goes(ws: affidavit.Workspace, clock: FixedClock) -> None:
    tenant = ws.parts.tenant("")
    old = ask(ws)
    clock.advance(10 * DAY)
    young = ask(ws)
    whole = left(ws, young)
    ws.keeping.set_retention(tenant, "answers", 10, BY)
    ws.keeping.set_retention(tenant, "steps", 5, BY)
    assert ws.keeping.retention(tenant) == {"questions": None, "answers": 10, "steps": 5, "syncs": None}
    clock.advance(1)
    dry = ws.keeping.prune(tenant, BY, dry_run=True)
    assert left(ws, old) == whole
    done = ws.keeping.prune(tenant, BY)
    assert done["pruned"] == dry["pruned"] == {"answers": 1, "steps": len(ws.parts.events.of_run(old)) - 2}
    assert left(ws, old) == {"run.started"}
    assert left(ws, young) == whole
    assert ws.verify()["erased"] == sum(done["pruned"].values())
    assert ws.keeping.prune(tenant, BY)["position"] is None  # not twice
    ws.keeping.set_retention(tenant, "answers", 0, BY)
    assert ws.keeping.retention(tenant)["answers"] is None
    ws.verify()


def test_syncs_and_questions_have_limits_of_their_own(ws: affidavit.Workspace, clock: FixedClock) -> None:
    tenant = ws.parts.tenant("")
    run = ask(ws)
    (sync,) = [r["run"] for r in ws.runs.newest(tenant, None, 9) if r["journey"] == "sync"]
    clock.advance(2 * DAY)
    ws.keeping.set_retention(tenant, "syncs", 1, BY)
    ws.keeping.prune(tenant, BY)
    assert left(ws, sync) == {"document.indexed"}  # the catalog is folded from it
    assert "run.started" in left(ws, run)
    ws.keeping.set_retention(tenant, "questions", 1, BY)
    ws.keeping.prune(tenant, BY)
    assert "run.started" not in left(ws, run)
    ws.verify()


def test_what_is_held_is_not_pruned(ws: affidavit.Workspace, clock: FixedClock) -> None:
    tenant = ws.parts.tenant("")
    hers, his = ask(ws), ask(ws, "bob")
    number = ws.keeping.hold(tenant, "person", "user:alice", BY, "case 4711")["id"]
    ws.keeping.set_retention(tenant, "answers", 1, BY)
    clock.advance(2 * DAY)
    report = ws.keeping.prune(tenant, BY)
    assert (report["held"], report["holds"]) == (1, [number])
    assert "answer.released" in left(ws, hers)
    assert "answer.released" not in left(ws, his)
    ws.verify()


def test_one_tenant_s_retention_is_not_another_s(ws: affidavit.Workspace, clock: FixedClock) -> None:
    ws.people.ensure_tenant("globex")
    run = ask_in(ws)
    ws.keeping.set_retention(ws.parts.tenant("globex"), "answers", 1, BY)
    clock.advance(2 * DAY)
    for name in ("globex", "main"):
        ws.keeping.prune(ws.parts.tenant(name), BY)
    assert "answer.released" in left(ws, run)
    ws.verify()


def ask_in(ws: affidavit.Workspace) -> str:
    return ws.ask("How many days is walrus leave?", "alice", "main").run


def test_an_inclusion_proof_made_before_holds_after_pruning(
    ws: affidavit.Workspace, clock: FixedClock
) -> None:
    """The leaves and so every path through the tree are those of before."""
    tenant = ws.parts.tenant("")
    ask(ws)
    before = [row[0] for row in ws.parts.database.all("SELECT leaf FROM events ORDER BY position")]
    ws.keeping.set_retention(tenant, "answers", 1, BY)
    clock.advance(2 * DAY)
    ws.keeping.prune(tenant, BY)
    after = [row[0] for row in ws.parts.database.all("SELECT leaf FROM events ORDER BY position")]
    assert after[: len(before)] == before
    frontier = Frontier()
    for leaf in after:
        frontier.append(leaf)
    assert frontier.root().hex() == ws.verify()["root"]


@pytest.mark.parametrize(("kind", "days"), [("everything", 1), ("answers", -1), ("answers", 10**6)])
def test_nonsense_is_refused(ws: affidavit.Workspace, kind: str, days: int) -> None:
    with pytest.raises(UsageError):
        ws.keeping.set_retention(ws.parts.tenant(""), kind, days, BY)


def test_only_who_may_sets_what_is_kept(ws: affidavit.Workspace) -> None:
    tenant = ws.parts.tenant("")
    for change in (
        lambda: ws.keeping.set_retention(tenant, "answers", 1, "alice"),
        lambda: ws.keeping.hold(tenant, "run", "run-x", "alice", "x"),
        lambda: ws.keeping.set_redaction(tenant, [], "alice"),
        lambda: ws.keeping.prune(tenant, "alice"),
        lambda: ws.keeping.release(tenant, 1, "alice", "x"),
        lambda: ws.keeping.readmit(tenant, "docs", "x", "alice", "x"),
    ):
        with pytest.raises(AccessDeniedError):
            change()


# -- redaction


def everything(ws: affidavit.Workspace, run: str) -> tuple[str, list[dict[str, Any]]]:
    bodies = [ws.parts.events.body(e) for e in ws.parts.events.of_run(run)]
    return repr(bodies), bodies


def test_a_question_is_redacted_before_it_is_stored(ws: affidavit.Workspace) -> None:
    ws.keeping.set_redaction(
        ws.parts.tenant(""), [{"name": "payment-card"}, {"name": "emp", "pattern": "EMP-[0-9]{6}"}], BY
    )
    run = ask(ws, more=f" My card is {CARD} and {CARD}, I am EMP-123456.")
    text, bodies = everything(ws, run)
    assert "4111" not in text
    assert "123456" not in text
    assert bodies[0]["question"].endswith(
        "My card is [redacted payment-card] and [redacted payment-card], I am [redacted emp]."
    )
    assert bodies[0]["redacted"] == {"emp": 1, "payment-card": 2}
    assert any(
        "terms" in body.get("redacted", {}) for body in bodies[1:]
    )  # nor in pieces, among the search terms
    ws.verify()


@pytest.mark.parametrize(("rule", "said"), [("[0-9]{4}", "4711"), ("[0-9]{3} [0-9]{3}", "id815 007x")])
def test_a_refusal_on_the_record_names_nothing_that_was_taken_from_the_question(
    ws: affidavit.Workspace, rule: str, said: str
) -> None:
    """Its words are the question's: also one that a secret only begins or ends in is withheld."""
    ws.keeping.set_redaction(ws.parts.tenant(""), [{"name": "pin", "pattern": rule}], BY)
    answer = ws.ask(f"Which walrus-free zeppelin has {said}?", "alice")
    assert answer.refusal is not None
    assert answer.refusal.missing == ("zeppelin", *said.split())  # the person gets their own words back
    text, bodies = everything(ws, answer.run)
    (stored,) = [body["refusal"] for body in bodies if "refusal" in body]
    assert stored["missing"] == ["zeppelin"]
    assert "“zeppelin”, [redacted terms]" in stored["message"]
    assert not any(word in text for word in said.split())
    ws.verify()


def test_the_person_gets_their_answer_whole(ws: affidavit.Workspace) -> None:
    ws.keeping.set_redaction(ws.parts.tenant(""), [{"name": "email"}], BY)
    answer = ws.ask("How many days is walrus leave?", "alice")
    assert MAIL in answer.answer
    text, _ = everything(ws, answer.run)
    assert MAIL not in text
    stored = ws.runs.show(ws.parts.tenant(""), answer.run, "user:alice")["given"]
    assert "[redacted email]" in stored["answer"]
    assert stored["redacted"] == {"email": 3}
    assert MAIL in ws.search("walrus leave", "alice").hits[0].text  # documents are what they are


def test_who_asked_is_never_redacted(ws: affidavit.Workspace, tmp_path: Path) -> None:
    """A principal that is an address must still find its own runs, and be found when it is to be erased."""
    people = tmp_path / "more.jsonl"
    people.write_text(f'{{"id": "{MAIL}"}}\n')
    ws.import_people(people)
    ws.keeping.set_redaction(ws.parts.tenant(""), [{"name": "email"}], BY)
    run = ask(ws, MAIL)
    assert ws.runs.show(ws.parts.tenant(""), run, f"user:{MAIL}")["principal"] == f"user:{MAIL}"


def test_without_rules_and_once_they_are_taken_back_nothing_is_redacted(ws: affidavit.Workspace) -> None:
    tenant = ws.parts.tenant("")
    assert CARD in everything(ws, ask(ws, more=CARD))[0]
    ws.keeping.set_redaction(tenant, [{"name": "payment-card"}], BY)
    assert CARD not in everything(ws, ask(ws, more=CARD))[0]
    ws.keeping.set_redaction(tenant, [], BY)
    assert CARD in everything(ws, ask(ws, more=CARD))[0]
    ws.verify()


def test_rules_can_be_tried(ws: affidavit.Workspace) -> None:
    assert ws.keeping.try_redaction(MAIL) == {"text": MAIL, "redacted": {}}
    assert ws.keeping.try_redaction(MAIL, [{"name": "email"}]) == {
        "text": "[redacted email]",
        "redacted": {"email": 1},
    }


def test_a_rules_file(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text('use = ["iban", "email"]\n[[pattern]]\nname = "emp"\npattern = "EMP-[0-9]{6}"\n')
    assert read_rules(file) == [
        {"name": "iban"},
        {"name": "email"},
        {"name": "emp", "pattern": "EMP-[0-9]{6}"},
    ]


@pytest.mark.parametrize(
    "text",
    [
        'use = ["names"]',
        "use = 3",
        "use = [3]",
        "[[pattern]]\nname = 'x'",
        "[[pattern]]\nname = 'x'\npattern = '(a+)+'",
        "[[pattern]]\nname = 'Herr X'\npattern = 'abc'",
        "[[pattern]]\nname = 'email'\npattern = 'abc'",
        'use = ["iban", "iban"]',
        "other = 1",
        "not toml",
        "\xff",
    ],
)
def test_a_wrong_rules_file_names_itself(tmp_path: Path, text: str) -> None:
    file = tmp_path / "rules.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(ManifestError, match=r"rules\.toml"):
        read_rules(file)
