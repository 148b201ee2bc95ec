"""Replay: runs repeat identically from their record, whatever happened since, and a change is found and named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import affidavit
from affidavit.app.replay import ReplayReport
from affidavit.app.supposed import read_policy
from affidavit.domain.errors import AccessDeniedError, EmbedderError, UsageError
from affidavit.domain.events import EventKind
from affidavit.domain.release import DEFAULT, load
from affidavit.runs.replay import Divergence, first_difference
from affidavit.testing.embedder import HashEmbedder

Write = Callable[[dict[str, str | bytes]], Path]
QUESTION = "How many days is walrus leave?"
FILES: dict[str, str | bytes] = {
    "access.toml": 'allow = ["group:staff"]\nfresh_for = "3d"',
    "leave.md": "# Walrus leave\n\nWalrus leave is 20 days a year. Ask early.",
    "page.html": "<html><title>Squid</title><p>Squid leave is 3 days.</p></html>",
    "open/access.toml": 'inherit = false\nallow = ["anyone"]',
    "open/about.md": "# About\n\nWe sell sea food to walruses.",
}


class Silent(HashEmbedder):
    """An embedder that must not be asked again."""

    asked = False

    def embed(self, texts):  # type: ignore[no-untyped-def]
        if self.asked:
            raise AssertionError("the model was asked during a replay")
        return super().embed(texts)

    def tokens(self, texts):  # type: ignore[no-untyped-def]
        if self.asked:
            raise AssertionError("the model was asked during a replay")
        return super().tokens(texts)


@pytest.fixture
def embedder() -> Silent:
    return Silent()


@pytest.fixture
def ws(
    workspace: affidavit.Workspace, tmp_path: Path, write_folder: Write, embedder: Silent
) -> affidavit.Workspace:
    people = tmp_path / "p.jsonl"
    people.write_text(
        '{"id": "alice", "groups": ["staff"]}\n{"id": "erin", "groups": []}\n{"id": "dave", "groups": ["auditors"]}\n'
    )
    workspace.parts.embedder = workspace.parts.retriever.embedder = embedder
    workspace.import_people(people)
    workspace.add_source("folder", write_folder(FILES), "docs")
    workspace.sync()
    return workspace


def replay(ws: affidavit.Workspace, run: str) -> ReplayReport:
    (report,) = ws.replays.replay(ws.parts.tenant(""), [run])
    return report


def everything(ws: affidavit.Workspace) -> list[ReplayReport]:
    tenant = ws.parts.tenant("")
    return list(ws.replays.replay(tenant, ws.replays.runs(tenant)))


def asked(ws: affidavit.Workspace) -> list[str]:
    """One run of every kind and outcome."""
    position = ws.parts.log.head()
    return [
        ws.ask(QUESTION, "alice").run,
        ws.ask(QUESTION, "erin").run,
        ws.ask("?!", "alice").run,
        ws.ask("What is the launch code of ERR-4032?", "alice").run,
        ws.ask(QUESTION, "alice", as_of=position).run,
        ws.search("leave", "alice", 2).run,
        ws.search("leave", "alice", 2, chunks=False).run,
        ws.search("walrus", "erin", 50, where={"equals": ["source", "docs"]}).run,
    ]


def change_everything(ws: affidavit.Workspace, write: Write) -> None:
    """Edit, remove, re-share, leave: what was must not matter to what is."""
    tenant = ws.parts.tenant("")
    root = write(
        {
            **FILES,
            "access.toml": 'allow = ["group:board"]',
            "leave.md": "# Walrus leave\n\nWalrus leave is 99 days.",
        }
    )
    (root / "page.html").unlink()
    ws.sync()
    ws.people.leave(tenant, "user:alice", "staff")


def test_every_kind_of_run_is_identical_without_asking_the_model(
    ws: affidavit.Workspace, embedder: Silent, write_folder: Write
) -> None:
    runs = asked(ws)
    embedder.asked = True
    assert [r.divergence for r in everything(ws)] == [None] * (len(runs) + 1)
    embedder.asked = False
    change_everything(ws, write_folder)
    embedder.asked = True
    reports = everything(ws)
    assert [r.divergence for r in reports] == [None] * (len(runs) + 2)
    assert {r.journey for r in reports} == {"ask", "search", "sync"}
    assert all(r.compared > 1 for r in reports)
    ws.verify()


def test_the_embedder_that_served_then_need_not_serve_now(ws: affidavit.Workspace, embedder: Silent) -> None:
    asked(ws)
    embedder.asked = True
    ws.parts.embedder = ws.parts.retriever.embedder = None
    assert [r.divergence for r in everything(ws)] == [None] * 9


def test_a_replay_writes_nothing(ws: affidavit.Workspace) -> None:
    asked(ws)
    before = ws.parts.log.head()
    everything(ws)
    assert ws.parts.log.head() == before


def test_a_failing_model_is_replayed_as_it_failed(
    ws: affidavit.Workspace, embedder: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(texts: object) -> None:
        raise EmbedderError("out of order", "wait")

    monkeypatch.setattr(embedder, "tokens", fails)
    late = ws.ask(QUESTION, "alice").run
    monkeypatch.setattr(embedder, "embed", fails)
    at_once = ws.ask(QUESTION, "alice").run
    monkeypatch.undo()
    assert replay(ws, late).identical
    assert replay(ws, at_once).identical


# -- what differs is named


def test_another_release_diverges_where_it_counts(
    ws: affidavit.Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ws.ask(QUESTION, "alice").run
    other = load({**DEFAULT, "retrieve": {**DEFAULT["retrieve"], "k": 1}})
    monkeypatch.setattr(ws.parts, "release_named", lambda digest: other)
    divergence = replay(ws, run).divergence
    assert divergence is not None
    assert divergence.name == "recheck"


def test_a_change_in_the_code_is_found(ws: affidavit.Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ws.ask(QUESTION, "alice").run
    monkeypatch.setattr("affidavit.ask.retrieve.decimal", lambda value: "0.5")
    divergence = replay(ws, run).divergence
    assert divergence is not None
    assert divergence.name == "retrieve"
    assert divergence.what.startswith("differs at output.hits[0].")
    assert divergence.replayed == "0.5"


def test_a_model_asked_something_else_is_named(
    ws: affidavit.Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ws.ask(QUESTION, "alice").run
    monkeypatch.setattr("affidavit.ask.evidence.UNITS_SCORED", 1)
    divergence = replay(ws, run).divergence
    assert divergence is not None
    assert (divergence.name, divergence.what) == ("score", "asks something else")


def test_a_parser_that_reads_otherwise_is_found(
    ws: affidavit.Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = ws.parts.tenant("")
    (sync,) = ws.replays.runs(tenant, "sync")
    assert replay(ws, sync).identical
    monkeypatch.setattr("affidavit.app.resync.chunk", lambda parsed, chunking, name: [])
    divergence = replay(ws, sync).divergence
    assert divergence is not None
    assert divergence.what == "gives other chunks"


def test_a_catalog_changed_by_hand_diverges(ws: affidavit.Workspace) -> None:
    run = ws.ask(QUESTION, "alice").run
    db = ws.parts.database
    with db.write():
        db.run("UPDATE memberships SET until = 3 WHERE member = 'user:alice'")
    divergence = replay(ws, run).divergence
    assert divergence is not None
    assert divergence.name in ("identify", "")


# -- who may


def test_who_may_replay(ws: affidavit.Workspace) -> None:
    tenant = ws.parts.tenant("")
    run = ws.ask(QUESTION, "alice").run
    for call in (
        lambda who: list(ws.replays.replay(tenant, [run], who)),
        lambda who: ws.replays.what_if(tenant, run, [("position", "now")], who),
        lambda who: ws.replays.explain(tenant, run, who),
    ):
        with pytest.raises(AccessDeniedError):
            call("user:alice")
        with pytest.raises(AccessDeniedError):
            call("user:dave")
    ws.people.grant(tenant, "group:auditors", "audit:replay")
    assert next(iter(ws.replays.replay(tenant, [run], "user:dave"))).identical
    other = ws.ensure_tenant("globex")
    with pytest.raises(AccessDeniedError):
        list(ws.replays.replay(other, [run]))


def test_looking_is_on_the_log(ws: affidavit.Workspace) -> None:
    tenant = ws.parts.tenant("")
    run = ws.ask(QUESTION, "alice").run
    ws.replays.what_if(tenant, run, [("as", "erin")])
    kind = EventKind.AUDIT_PERFORMED
    (event,) = ws.parts.events.of_kind(kind)
    assert ws.parts.events.body(event) == {"by": "operator", "run": run, "with": [["as", "erin"]]}
    ws.verify()


# -- what if


def what_if(ws: affidavit.Workspace, run: str, *changes: tuple[str, str]) -> dict[str, object]:
    difference: dict[str, object] = ws.replays.what_if(ws.parts.tenant(""), run, changes)["difference"]
    return difference


def test_nothing_changed_makes_no_difference(ws: affidavit.Workspace) -> None:
    answer = ws.ask(QUESTION, "alice")
    found = what_if(ws, answer.run, ("position", str(answer.position)))
    assert found["same"]
    assert found["gained"] == found["lost"] == found["moved"] == []


def test_as_somebody_else_gives_what_they_would_get(ws: affidavit.Workspace) -> None:
    run = ws.ask(QUESTION, "alice").run
    supposed = ws.replays.what_if(ws.parts.tenant(""), run, [("as", "erin")])["after"]
    real = ws.ask(QUESTION, "erin")
    assert json.loads(json.dumps(supposed["given"])) == json.loads(json.dumps(real.given()))


def test_without_a_document_is_as_if_it_had_never_been_there(
    ws: affidavit.Workspace, write_folder: Write
) -> None:
    run = ws.ask(QUESTION, "alice").run
    supposed = ws.replays.what_if(ws.parts.tenant(""), run, [("without", "leave.md")])["after"]
    root = write_folder(FILES)
    (root / "leave.md").unlink()
    ws.sync()
    real = ws.runs.show(ws.parts.tenant(""), ws.ask(QUESTION, "alice").run, None, audit=True)
    assert supposed["retrieved"] == real["retrieved"]
    assert supposed["given"] == real["given"]


def test_a_supposed_policy_is_as_if_it_held(
    ws: affidavit.Workspace, write_folder: Write, tmp_path: Path
) -> None:
    run = ws.ask(QUESTION, "erin").run
    policy = tmp_path / "p.toml"
    policy.write_text('[[rule]]\nmatch = "docs/*.md"\nallow = ["user:erin"]\n')
    supposed = ws.replays.what_if(ws.parts.tenant(""), run, [("policy", str(policy))])["after"]
    write_folder({**FILES, "access.toml": '[files."leave.md"]\nallow = ["user:erin"]'})
    ws.sync()
    real = ws.ask(QUESTION, "erin")
    assert real.status.value == "answered"
    assert supposed["given"]["answer"] == real.answer
    assert [c["chunk"] for c in supposed["given"]["claims"][0]["citations"]] == [
        c.chunk for c in real.claims[0].citations
    ]


def test_before_an_event_and_now(ws: affidavit.Workspace, write_folder: Write) -> None:
    tenant = ws.parts.tenant("")
    before = ws.ask(QUESTION, "alice")
    ws.people.leave(tenant, "user:alice", "staff")
    left = ws.parts.log.head()
    after = ws.ask(QUESTION, "alice")
    assert before.status.value == "answered"
    assert after.status.value == "refused"
    assert not what_if(ws, before.run, ("position", "now"))["same"]
    back = ws.replays.what_if(tenant, after.run, [("before", str(left))])["after"]
    assert back["given"]["answer"] == before.answer


def test_a_release_and_no_embedder(ws: affidavit.Workspace, tmp_path: Path) -> None:
    run = ws.ask(QUESTION, "alice").run
    file = tmp_path / "release.json"
    suffice = {k: {**v, "threshold": "0.999999999"} for k, v in DEFAULT["suffice"].items()}
    file.write_text(json.dumps({**DEFAULT, "suffice": suffice}))
    stricter = ws.replays.what_if(ws.parts.tenant(""), run, [("release", str(file))])
    assert stricter["after"]["given"]["status"] == "refused"
    same = what_if(ws, run, ("release", ws.parts.release().digest[:8]))
    assert same["same"]
    keyword = ws.replays.what_if(ws.parts.tenant(""), run, [("embedder", "none")])["after"]
    assert all(h["dense"] is None for h in keyword["retrieved"])


@pytest.mark.parametrize(
    "change",
    [
        ("position", "99999"),
        ("position", "yesterday"),
        ("before", "0"),
        ("as", "group:staff:"),
        ("as", "nobody"),
        ("without", "nothing.md"),
        ("release", "ffff"),
        ("embedder", "minilm"),
        ("model", "gpt"),
        ("policy", "/does/not/exist.toml"),
    ],
)
def test_impossible_changes_say_so(ws: affidavit.Workspace, change: tuple[str, str]) -> None:
    run = ws.ask(QUESTION, "alice").run
    before = ws.parts.log.head()
    with pytest.raises(UsageError) as error:
        what_if(ws, run, change)
    assert error.value.hint
    assert ws.parts.log.head() == before


def test_a_sync_cannot_be_asked_otherwise(ws: affidavit.Workspace) -> None:
    (sync,) = ws.replays.runs(ws.parts.tenant(""), "sync")
    with pytest.raises(UsageError):
        what_if(ws, sync, ("position", "now"))


# -- explain, policy diff


def test_explain_answers_in_order(ws: affidavit.Workspace, write_folder: Write) -> None:
    tenant = ws.parts.tenant("")
    run = ws.ask(QUESTION, "erin").run
    told = ws.replays.explain(tenant, run)
    assert list(told)[5:] == ["saw", "not_seen", "decided", "did", "approved", "changed_since", "today"]
    assert [h["document"] for h in told["saw"]] == ["open/about.md"]
    assert {w["document"] for w in told["not_seen"]["withheld"]} >= {"leave.md"}
    assert told["did"]["given"]["status"] == "refused"
    assert told["today"]["same"]
    assert told["changed_since"] == {
        "documents": [],
        "groups": {"joined": [], "left": []},
        "release": False,
        "embedder": False,
    }


def test_explain_says_what_has_changed(ws: affidavit.Workspace, write_folder: Write) -> None:
    tenant = ws.parts.tenant("")
    run = ws.ask(QUESTION, "alice").run
    change_everything(ws, write_folder)
    told = ws.replays.explain(tenant, run)
    changes = {d["document"]: " ".join(d["changes"]) for d in told["changed_since"]["documents"]}
    assert "edited" in changes["leave.md"]
    assert "who may read it was changed" in changes["leave.md"]
    assert "may no longer read" in changes["leave.md"]
    assert changes["page.html"] == "it was removed"
    assert told["changed_since"]["groups"]["left"] == ["group:staff"]
    assert not told["today"]["same"]
    assert told["decided"]["rules"][0]["rule"] == {"allow": [["group:staff"]], "deny": []}


def test_policy_diff_lists_what_would_change(ws: affidavit.Workspace, tmp_path: Path) -> None:
    tenant = ws.parts.tenant("")
    ws.ask(QUESTION, "alice")
    ws.search("walrus", "erin")
    policy = tmp_path / "p.toml"
    policy.write_text(
        '[[rule]]\nmatch = "docs/**"\nallow = ["anyone"]\n[[rule]]\nmatch = "docs/leave.md"\nallow = [["group:board"]]\n'
    )
    found = ws.replays.policy_diff(tenant, read_policy(policy), 30)
    assert found["runs"] == 2
    (change,) = found["changes"]
    assert (change["principal"], change["document"], change["was"], change["would_be"]) == (
        "user:alice",
        "leave.md",
        "permit",
        "forbid",
    )
    policy.write_text('[[rule]]\nmatch = "elsewhere/**"\nallow = []\n')
    assert ws.replays.policy_diff(tenant, read_policy(policy), 30)["changes"] == []


@pytest.mark.parametrize(
    "text",
    ["", "rule = 3", "[[rule]]\nmatch = 3\nallow = []", "[[rule]]\nmatch = 'a'", "x = 1", "[[rule]]\nmatch='a'\nallow='b'",
     "[[rule]]\nmatch='a'\nallow=['nobody']", "[[rule]]\nmatch='a'\nallow=[]\nowner='x'", "\x00"],
)  # fmt: skip
def test_a_malformed_policy_is_named(ws: affidavit.Workspace, tmp_path: Path, text: str) -> None:
    policy = tmp_path / "p.toml"
    policy.write_text(text)
    with pytest.raises(UsageError):
        ws.replays.policy_diff(ws.parts.tenant(""), read_policy(policy), 30)


def test_the_first_difference_is_found() -> None:
    assert first_difference({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}) == ("a[1].b", 2, 3)
    assert first_difference({"a": [1]}, {"a": [1, 2]}) == ("a (length)", 1, 2)
    assert first_difference({"a": 1}, {"b": 1}) == ("a", 1, None)
    assert Divergence(1, "x", "y", None, None).as_json()["step"] == 1
