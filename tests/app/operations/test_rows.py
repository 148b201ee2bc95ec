"""Every row of the table, asked over HTTP by somebody who may: it gives what it says it gives."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.acting_world import Outside, tools_of
from tests.app.operations.world import BY, TwoSides, furnish, two_sides

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.app.operations.operation import Method, Operation
from affidavit.app.operations.table import TABLE
from affidavit.domain.errors import UsageError
from affidavit.domain.events import EventKind
from affidavit.entrypoints.http.application import make_app
from affidavit.testing.clock import FixedClock, SeededRandomness

Ask = Callable[..., Any]


class Asker:
    """Asks for operations by name over HTTP."""

    def __init__(self, client: TestClient, world: TwoSides) -> None:
        self._client = client
        self._world = world
        self._keys: dict[str, str] = {}

    def __call__(self, name: str, who: str = "", status: int = 200, /, **said: Any) -> Any:
        row: Operation[Any] = TABLE[name]
        path = "/v1" + row.path.format(**{k: said.pop(k) for k in list(said) if f"{{{k}}}" in row.path})
        method = row.method.value
        sent: dict[str, Any] = {"params": said} if row.method is Method.READ else {"json": said}
        headers = {"Authorization": f"Bearer {self._key(who)}", **({"If-Match": "*"} if row.guarded else {})}
        answer = self._client.request(method, path, headers=headers, **(sent if said else {}))
        assert answer.status_code == status, answer.text
        return answer.json()

    def _key(self, who: str) -> str:
        side = self._world.ours
        who = who or side.admin.principal
        if who not in self._keys:
            self._keys[who] = self._world.ws.credentials.make_key(side.tenant, who, "test", 9, BY)[1]
        return self._keys[who]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoSides]:
    folder: Path = tmp_path_factory.mktemp("rows")
    with affidavit.init(folder / "ws", EmbedderSpec("none"), FixedClock(), SeededRandomness()) as ws:
        yield two_sides(ws, folder)


@pytest.fixture(scope="module")
def ask(world: TwoSides) -> Iterator[Asker]:
    with TestClient(make_app(world.ws)) as client:
        yield Asker(client, world)


def test_questions_and_documents(world: TwoSides, ask: Asker) -> None:
    known = world.ours.known
    answer = ask("questions.ask", question="How many hours a day does the gerbil sleep?")
    (cited, *_) = answer["claims"][0]["citations"]
    assert cited["location"] == f"{known['source']}/{known['document']}"
    assert ask("questions.search", question="ledger", k=3)["hits"]
    ask("texts.embed", "", 400, texts=["a text"])  # this workspace has no embedder
    found = ask("documents.get", source=cited["source"], document=cited["document"])
    assert found["text"][cited["start"] : cited["end"]] == cited["quote"]
    assert found["revision"] == cited["revision"]
    assert found["latest"]
    assert next(b["start"] for b in found["blocks"]) == 0
    old = ask("documents.get", source=cited["source"], document=cited["document"], revision=cited["revision"])
    assert old["text"] == found["text"]
    names = [d["document"] for d in ask("documents.list")["items"]]
    assert names == [known["document"]]
    assert ask("documents.list", prefix="zz")["items"] == []
    passages = ask("documents.chunks", source=cited["source"], document=cited["document"])
    assert passages["items"][0]["searched"].startswith("The gerbil")
    why = ask("access.why", source=cited["source"], document=cited["document"], person=known["person"])
    assert why["permit"]
    assert why["through"] == [[known["person"], f"group:{known['group']}"]]
    assert ask("me.show")["principal"] == world.ours.admin.principal
    shut = ask("access.why", source=cited["source"], document="gerbil-shut.md", person=known["person"])
    assert not shut["permit"]


def test_what_may_not_be_read_is_not_there(world: TwoSides, ask: Asker) -> None:
    known = world.ours.known
    said = {"source": known["source"], "document": known["document"]}
    nobody = "user:gerbil-nobody"
    denied = ask("documents.get", nobody, 404, **said)
    absent = ask("documents.get", nobody, 404, **{**said, "document": "quokka.md"})
    assert denied["detail"].replace(known["document"], "X") == absent["detail"].replace("quokka.md", "X")
    assert {k: v for k, v in denied.items() if k not in ("detail", "message", "instance")} == {
        k: v for k, v in absent.items() if k not in ("detail", "message", "instance")
    }
    mine = ask("runs.list", nobody, journey="read")["items"]
    assert [(r["status"], r["document"]) for r in mine] == [
        ("refused", "quokka.md"),
        ("refused", known["document"]),
    ]
    first, second = (ask("runs.show", nobody, run=r["run"]) for r in mine)
    assert first.keys() == second.keys()
    ask("access.why", nobody, 404, **said)
    ask("access.why", nobody, 403, person=known["person"], **said)
    audited = ask("runs.show", run=mine[1]["run"])
    assert [d["reason"] for d in audited["denied_at_recheck"]] == [f"not in any of: group:{known['group']}"]


def test_the_record(world: TwoSides, ask: Asker) -> None:
    run = world.ours.known["run"]
    assert ask("runs.show", run=run)["given"]
    assert ask("runs.explain", run=run)["saw"]
    assert ask("runs.replay", run=run)["identical"]
    assert ask("runs.events", run=run)["ended"]
    changes = [{"what": "as", "to": "user:gerbil-nobody"}]
    assert not ask("runs.what_if", run=run, changes=changes)["difference"]["same"]
    rules = '[[rule]]\nmatch = "**"\nallow = []'
    supposed = ask("runs.what_if", run=run, changes=[{"what": "policy", "to": rules}])
    assert supposed["difference"]["lost"]
    ask("runs.what_if", "", 400, run=run, changes=[{"what": "policy", "to": str(world.ws.parts.folder)}])
    release = world.ws.parts.release().digest
    assert ask("runs.what_if", run=run, changes=[{"what": "release", "to": release[:12]}])["difference"][
        "same"
    ]
    bundle = ask("runs.export", run=run, since=[2])
    assert json.loads(base64.b64decode(bundle["data"]))["run"] == run
    head = ask("log.checkpoint")
    assert head["note"].startswith("affidavit/")
    assert ask("log.consistency", old=2)["new"] == head["size"]
    assert ask("log.prove", position=0)["position"] == 0
    assert ask("log.verify")["events"] >= head["size"]
    assert ask("figures.show")
    assert ask("status.show")["readable"] == 1
    assert ask("limits.show")["items"] == []


def test_an_event_of_another_organisation_is_not_proved(world: TwoSides, ask: Asker) -> None:
    with world.ws.parts.database.read():
        theirs = world.ws.parts.events.of_run(world.theirs.known["run"])[0].position
    assert f"{theirs}" in ask("log.prove", "", 404, position=theirs)["detail"]
    beyond = ask("log.prove", "", 404, position=10**9)
    assert beyond["code"] == "not_found"


def test_runs_are_listed_page_by_page(world: TwoSides, ask: Asker) -> None:
    everything = [r["run"] for r in ask("runs.list", limit=200)["items"]]
    after: str | None = ""
    pages: list[str] = []
    while after is not None:
        page = ask("runs.list", limit=3, **({"after": after} if after else {}))
        pages += [r["run"] for r in page["items"]]
        after = page["next"]
    assert pages == everything
    person = world.ours.known["person"]
    assert {r["principal"] for r in ask("runs.list", principal=person)["items"]} == {person}
    assert [r["run"] for r in ask("runs.list", text="THE GERBIL", journey="ask")["items"]]
    assert ask("runs.list", until="2001-01-01T00:00:00")["items"] == []
    assert ask("runs.list", since="2999-01-01T00:00:00")["items"] == []
    assert {r["status"] for r in ask("runs.list", status="unfinished")["items"]} <= {"unfinished"}
    ask("runs.list", "", 400, after="nonsense")
    # only one's own, whatever one asks for
    assert {r["principal"] for r in ask("runs.list", person)["items"]} == {person}
    assert ask("runs.list", person, principal=world.ours.admin.principal)["items"] == []


def test_what_people_say_and_incidents(world: TwoSides, ask: Asker) -> None:
    run = world.ours.known["run"]
    ask("feedback.give", run=run, verdict="right", reason="as the page says")
    ask("feedback.review", run=run, verdict="confirmed", reason="checked")
    said = ask("feedback.list", run=run)["items"]
    assert [s["verdict"] for s in said] == ["confirmed", "right", "wrong"]
    opened = ask("incidents.open", run=run, reason="to try it")
    id = opened["incident"]
    assert opened["opened_by"] == world.ours.admin.principal
    ask("incidents.note", incident=id, text="looked at it")
    assert ask("incidents.close", incident=id, text="it was nothing")["status"] == "closed"
    assert ask("incidents.show", incident=id)["timeline"]
    assert id in [i["incident"] for i in ask("incidents.list", status="closed")["items"]]
    packed = ask("incidents.pack", incident=id)
    data = base64.b64decode(packed["data"])
    assert hashlib.sha256(data).hexdigest() == packed["sha256"]
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        held = {n.partition("/")[2]: hashlib.sha256(archive.read(n)).hexdigest() for n in archive.namelist()}
    assert {f["file"]: f["sha256"] for f in packed["files"]}.items() <= held.items()
    assert {"proof.json", "timeline.json", "replay.json", "SHA256SUMS"} <= held.keys()
    first = ask("incidents.list", limit=1)
    second = ask("incidents.list", limit=1, after=first["next"])
    assert first["items"] != second["items"]


def test_who_looks_after_incidents_is_not_thereby_given_what_the_run_saw(world: TwoSides, ask: Asker) -> None:
    side, person = world.ours, world.ours.known["person"]
    id = ask("incidents.open", run=side.known["run"], reason="to pack it")["incident"]
    world.ws.people.grant(side.tenant, person, "incident:manage")
    ask("incidents.show", person, incident=id)
    ask("incidents.pack", person, 403, incident=id)
    world.ws.people.grant(side.tenant, person, "incident:manage", revoke=True)


def test_what_is_promised_and_what_may_be_spent(world: TwoSides, ask: Asker) -> None:
    admin, person = world.ours.admin.principal, world.ours.known["person"]
    made = ask("levels.set", level="freshness", percent="99.5", within_seconds=3600)
    assert (made["percent"], made["days"]) == ("99.5", 30)
    levels = [one for one in ask("levels.list")["items"] if one["level"] == "freshness"]
    assert {one["objective"]["percent"] for one in levels} == {"99.50"}
    ask("levels.set", person, 403, level="citations", percent="100")
    ask("levels.set", "", 400, level="citations", percent="100", within_seconds=5)
    assert ask("levels.remove", level="freshness") == {"level": "freshness", "source": ""}
    assert not any(one["objective"] for one in ask("levels.list")["items"] if one["level"] == "freshness")
    (tenants,) = (b for b in ask("money.budgets")["items"] if b["scope"] == "tenant")
    each = ask("money.budget", amount="none", requests=1000, per="day", each=True)
    assert (each["scope"], each["person"], each["requests"]) == ("person", "each", 1000)
    ask("money.unlimited", person, 403, budget=each["budget"])
    assert ask("money.unlimited", budget=each["budget"]) == {"budget": each["budget"]}
    theirs = world.ws.budgets.set("tenant", "5", "day", "operator:test", world.theirs.tenant)["budget"]
    ask("money.unlimited", "", 404, budget=theirs)  # as if there were none
    whole = world.ws.budgets.set("workspace", "500", "day", "operator:test")["budget"]
    ask("money.unlimited", "", 404, budget=whole)
    assert [b["budget"] for b in ask("money.budgets")["items"]] == [tenants["budget"]]
    told = {b["budget"]: b["scope"] for b in world.ws.budgets.show()}
    assert (told[theirs], told[whole]) == ("tenant", "workspace")
    world.ws.budgets.remove(theirs, "operator:test")
    world.ws.budgets.remove(whole, "operator:test")
    set_by = [
        world.ws.parts.events.body(event)["by"]
        for kind in (EventKind.LEVEL_CHANGED, EventKind.BUDGET_CHANGED)
        for event in world.ws.parts.events.of_kind(kind)
    ]
    assert admin in set_by


def test_tools_calls_and_approvals(world: TwoSides, ask: Asker) -> None:
    person, admin = world.ours.known["person"], world.ours.admin.principal
    assert "refund@1" in [t["tool"] for t in ask("tools.list")["items"]]
    assert ask("tools.show", name="refund")["digest"]
    said = {"order": 9, "account": "A-9", "note": "late"}
    done = ask("tools.call", person, name="refund", arguments=said)
    assert done["state"] == "done"
    ask("calls.undo", person, 400, call=done["call"])  # it has no undo tool
    waiting = ask("tools.call", person, name="close_account", arguments={"account": "A-9"})
    assert waiting["state"] == "waiting"
    assert [w["call"] for w in ask("approvals.list", person)["items"]] == [waiting["call"]]
    world.ws.people.grant(world.ours.tenant, admin, "role:approver")
    assert waiting["call"] in [w["call"] for w in ask("approvals.list")["items"]]
    assert ask("approvals.count") == {"count": 1, "more": False}
    assert ask("approvals.count", person) == {"count": 0, "more": False}
    assert ask("approvals.show", call=waiting["call"])["does"]
    assert ask("approvals.deny", call=waiting["call"], reason="not now")["state"] == "denied"
    another = ask("tools.call", person, name="close_account", arguments={"account": "A-9"})
    assert ask("approvals.approve", call=another["call"], reason="yes")["state"] == "done"
    words = [(w["call"], w["verdict"]) for w in ask("approvals.history", person)["items"]]
    assert words[:2] == [(another["call"], "approved"), (waiting["call"], "denied")]
    assert ask("approvals.history", "user:gerbil-nobody")["items"] == []
    third = ask("tools.call", person, name="close_account", arguments={"account": "A-1"})
    assert ask("calls.cancel", person, call=third["call"], reason="a mistake")["state"] == "denied"
    assert ask("calls.show", person, call=third["call"])["principal"] == person
    assert third["call"] in [c["call"] for c in ask("calls.list", person, limit=1)["items"]]
    nobody = "user:gerbil-nobody"
    assert ask("calls.list", nobody)["items"] == []
    not_yours = ask("calls.cancel", nobody, 404, call=third["call"])
    absent = ask("calls.cancel", nobody, 404, call="call-quokka")
    assert not_yours["code"] == absent["code"]
    ask("calls.resolve", "", 400, call=done["call"], happened=True, reason="it is not unknown")
    for one in (another, third):
        assert ask("calls.status", person, call=one["call"])["call"] == one["call"]
    assert ask("agents.use", person, tool="order.look", arguments={"order": 4})["state"] in ("done", "denied")
    assert waiting["call"] in [w["call"] for w in ask("approvals.history")["items"]]
    assert another["call"] in [past["call"] for past in ask("approvals.history")["items"]]


def test_sources(world: TwoSides, ask: Asker) -> None:
    name = world.ours.known["source"]
    assert [s["name"] for s in ask("sources.list")["items"]] == [name]
    shown = ask("sources.show", name=name)
    assert "unsupported" in [f["code"] for f in shown["faults"]]
    assert str(world.ws.parts.folder.parent) not in json.dumps(shown)
    figures = ask("sources.quality", name=name)
    assert figures["documents"] == shown["documents"] > 0
    assert not [one for one in figures["owners"] if not isinstance(figures["owners"][one], int)]
    assert ask("sources.check", name=name)["reachable"]
    assert ask("sources.sync", name=name)["drained"]
    world.ws.add_source("folder", world.ws.parts.folder.parent / "gerbil-docs", "spare", "acme")
    assert ask("sources.remove", name="spare", reason="it was a spare one")["documents"] == 0


def test_a_source_that_is_gone_does_not_say_where_it_was(world: TwoSides, ask: Asker, tmp_path: Path) -> None:
    place = tmp_path / "gone"
    place.mkdir()
    world.ws.add_source("folder", place, "gone", "acme")
    place.rmdir()
    for answer in (ask("sources.check", name="gone"), ask("sources.sync", "", 502, name="gone")):
        assert str(place) not in json.dumps(answer)
        assert "gone" in json.dumps(answer)


def test_people_and_keys(world: TwoSides, ask: Asker) -> None:
    nobody = "user:gerbil-nobody"
    assert nobody in ask("people.list", prefix="user:")["items"]
    assert ask("people.join", name=nobody, group="club")["groups"] == ["group:club"]
    assert ask("people.leave", name=nobody, group="club")["groups"] == []
    assert "audit:read" in ask("people.grant", name=nobody, action="audit:read")["may"]
    assert ask("people.revoke", name=nobody, action="audit:read")["may"] == []
    assert ask("people.show", name=nobody)["facts"] == {}
    changes = [
        e
        for e in world.ws.parts.events.of_kind(affidavit.domain.events.EventKind.GRANT_CHANGED)
        if world.ws.parts.events.body(e).get("by")
    ]
    assert {world.ws.parts.events.body(e)["by"] for e in changes} == {world.ours.admin.principal}
    made = ask("keys.make", principal=nobody, name="his", days=3)
    id = made["key"]["id"]
    assert id in [k["id"] for k in ask("keys.list", limit=200)["items"]]
    assert made["secret"] not in json.dumps(ask("keys.list", limit=200))
    rotated = ask("keys.rotate", id=id, days=3, overlap=0)
    assert ask("keys.end", id=rotated["key"]["id"])["id"] == rotated["key"]["id"]


def test_letting_somebody_sign_in_with_another_account(world: TwoSides, ask: Asker) -> None:
    nobody, clerk, boss = "user:gerbil-nobody", "user:gerbil-clerk", "user:gerbil-boss"
    world.ws.load_people([affidavit.app.people.Entry(who, frozenset(), {}) for who in (clerk, boss)], "acme")
    world.ws.people.grant(world.ours.tenant, clerk, "credential:change")
    world.ws.people.grant(world.ours.tenant, boss, "role:admin")
    for who in (nobody, boss):
        world.ws.bindings.bind(world.ours.tenant, who, "https://login.example", who)
    assert ask("people.unbind", name=nobody) == {"principal": nobody, "ended": 1}
    assert ask("people.unbind", clerk, name=nobody)["ended"] == 0
    ask("people.unbind", clerk, 403, name=boss)  # they could then sign in as the boss
    ask("people.unbind", "", 404, name="user:quokka")


def test_nobody_gives_what_they_do_not_have(world: TwoSides, ask: Asker) -> None:
    clerk = "user:gerbil-clerk"
    world.ws.load_people([affidavit.app.people.Entry(clerk, frozenset(), {})], "acme")
    for grant in ("people:change", "credential:change"):
        world.ws.people.grant(world.ours.tenant, clerk, grant)
    world.ws.people.grant(world.ours.tenant, "group:bosses", "role:admin")
    ask("people.grant", clerk, 403, name=clerk, action="role:admin")
    ask("people.grant", clerk, 403, name=clerk, action="audit:read")
    ask("people.grant", clerk, 403, name=clerk, action="role:reader")
    ask("people.join", clerk, 403, name=clerk, group="bosses")
    ask("people.join", clerk, name=clerk, group="harmless")
    ask("keys.make", clerk, 403, principal=world.ours.admin.principal, name="x")
    own = ask("keys.make", clerk, principal=clerk, name="x", scopes=["credential:change"])
    narrow = TestClient(make_app(world.ws), headers={"Authorization": f"Bearer {own['secret']}"})
    wider = narrow.post("/v1/keys", json={"principal": clerk, "name": "y"})
    assert wider.status_code == 403
    ask("people.show", clerk, 403, name=clerk)


def test_controls_money_and_what_decides(world: TwoSides, ask: Asker) -> None:
    assert ask("modes.show")["mode"] == "live"
    assert ask("modes.set", mode="read-only", reason="to try it")["mode"] == "read-only"
    killed = ask("kills.kill", what="tool:refund", reason="to try it")
    assert killed["by"] == world.ours.admin.principal
    assert "tool:refund" in [k["what"] for k in ask("kills.list")["items"]]
    ask("kills.revive", what="tool:refund", reason="it was a trial")
    said = [(one["what"], one["by"]) for one in ask("controls.history")["items"]]
    admin = world.ours.admin.principal
    assert said[:2] == [("tool:refund goes on", admin), ("tool:refund stopped", admin)]
    assert {one["level"] for one in ask("levels.list")["items"]} >= {"freshness", "citations"}
    ask("kills.kill", "", 404, what="all", reason="that is every tenant's")
    assert ask("money.costs", by="day")["total"]["calls"] >= 0
    (budget,) = ask("money.budgets")["items"]
    assert budget["scope"] == "tenant"
    shown = ask("policy.show")
    assert shown["rules"]
    assert shown["files"] == {}  # of two organisations neither sees all of them
    rules = {"a.cedar": '@id("nothing") forbid (principal, action, resource);'}
    assert ask("policy.test", rules=rules)["rules"] == 1
    assert ask("policy.diff", rules=rules, days=30)["decisions"] > 0
    tried = ask("policy.try", person=world.ours.known["person"], tool="refund@1", arguments={"order": 1})
    assert tried["verdict"]
    (release,) = ask("releases.list")["items"]
    assert ask("releases.show", release=release["release"])["content"]
    assert ask("releases.diff", release=release["release"], other=release["release"])["changes"] == []
    ask("policy.publish", "", 403, rules=rules, reason="every tenant's")
    ask("releases.promote", "", 403, release=release["release"], reason="every tenant's")


def test_drills_and_looks(world: TwoSides, ask: Asker) -> None:
    began = ask("drills.run", name="revoke")
    for thread in world.ws.drill_book.threads:
        thread.join()
    (ran, *_) = ask("drills.list")["items"]
    assert (ran["position"], ran["state"]) == (began["position"], "kept")
    assert str(world.ws.parts.folder.parent) not in json.dumps(ran)
    assert "okapi" not in json.dumps(ran)
    ask("looks.begin", person=world.ours.known["person"], reason="to try it")
    assert ask("looks.list")["items"]


def test_every_row_is_asked_for_here_but_those_with_tests_of_their_own() -> None:
    """By the text of the tests: which of them have run already is up to whoever shares them out."""
    here = set(re.findall(r'ask\(\s*"([a-z_.]+)"', Path(__file__).read_text()))
    assert {row.name for row in TABLE if row.group != "proposals"} - here == set()


def test_one_organisation_decides_for_itself(workspace: affidavit.Workspace) -> None:
    workspace.tools.add(*tools_of(Outside()))
    side = furnish(workspace, workspace.parts.folder.parent, "acme")
    world = TwoSides(workspace, side, side, None)  # type: ignore[arg-type]
    with TestClient(make_app(workspace)) as client:
        ask = Asker(client, world)
        rules = dict(workspace.policy.in_force())
        before = ask("releases.list")["items"][0]["release"]
        rules["a.cedar"] = '@id("nothing-more") forbid (principal, action, resource);'
        published = ask("policy.publish", rules=rules, reason="to try it")["release"]
        assert published != before
        assert ask("policy.show")["files"] == rules
        ask("releases.promote", release=before, reason="it was a trial")
        assert workspace.parts.release().digest == before
    workspace.verify()


def test_every_list_goes_on_where_it_ended(world: TwoSides, ask: Asker) -> None:
    """Page after page of one gives what one large page does, in every row that gives ``items`` and ``next``."""
    lists = [
        row
        for row in TABLE
        if {"limit", "after"} <= row.takes.model_fields.keys() and row.method is Method.READ
    ]
    assert len(lists) > 15
    several = 0
    for row in lists:
        whole = ask(row.name, limit=200)
        assert whole["next"] is None, row.name
        after: str | None = ""
        found: list[Any] = []
        while after is not None:
            page = ask(row.name, limit=1, **({"after": after} if after else {}))
            found += page["items"]
            after = page["next"]
        assert found == whole["items"], row.name
        several += len(found) > 1
    assert several >= 4  # more where other tests here went before
    named_items = {row.name for row in TABLE if "items" in json.dumps(_fields(row)) and row not in lists}
    # parts of one thing; a count; a line for each source; one for each limit
    assert named_items == {"documents.chunks", "runs.events", "sources.check", "levels.list", "limits.show"}


def _fields(row: Operation[Any]) -> list[str]:
    return list(getattr(row.gives, "model_fields", {}))


def test_a_service_that_speaks_for_somebody_is_on_record(world: TwoSides, ask: Asker) -> None:
    side, bot = world.ours, "service:gerbil-bot"
    world.ws.load_people([affidavit.app.people.Entry(bot, frozenset(), {})], "acme")
    group = f"group:{side.known['group']}"
    _, key = world.ws.credentials.make_key(side.tenant, bot, "test", 9, BY, acts_for=[group])
    person = side.known["person"]
    headers = {"Authorization": f"Bearer {key}", "Affidavit-For": person}
    with TestClient(make_app(world.ws), headers=headers) as client:
        answers = [
            client.post("/v1/ask", json={"question": "How long does it sleep?"}),
            client.post("/v1/search", json={"question": "ledger"}),
            client.get("/v1/document", params={k: side.known[k] for k in ("source", "document")}),
            client.post("/v1/tools/order.look/call", json={"arguments": {"order": 7}}),
        ]
        for answer in answers:
            told = client.get(f"/v1/runs/{answer.json()['run']}").json()
            assert (told["principal"], told["by"]) == (person, bot)
            assert ask("runs.replay", run=told["run"])["identical"]
    assert {r.get("by") for r in ask("runs.list", principal=person, limit=4)["items"]} == {bot}


@pytest.mark.parametrize("key", [["handbook", "\ud800"], "\ud800", ["\ud800", ""], {"a": 1}, True])
def test_a_cursor_of_somebodys_own_making_is_refused(ask: Asker, key: Any) -> None:
    forged = base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")
    for name in ("documents.list", "people.list", "runs.list", "sources.list"):
        ask(name, "", 400, after=forged)


def test_rules_that_are_no_text_are_refused() -> None:
    sent = ({"rules": {"a.cedar": "\ud800"}}, {"rules": {"a.cedar": ""}, "tests": {"\ud800": ""}})
    for said in sent:
        asked: Any = TABLE["policy.test"].takes.model_validate(said)
        with pytest.raises(UsageError, match="no text"):
            asked.files()
