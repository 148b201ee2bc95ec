"""Answers that a model wrote: the page says so, and an auditor sees what it cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.app.test_models import QUESTION, SENTENCE
from tests.entrypoints.console.conftest import Browse, browsing, put
from tests.entrypoints.console.test_pages import ask
from tests.journeys.test_written_answers import CLAIM, citing, under
from tests.model_servers import scripted_model

import affidavit
from affidavit.app.people import Entry
from affidavit.testing.wire_openai import ScriptedModel

__all__ = ["scripted_model"]
pytestmark = [pytest.mark.network, pytest.mark.enable_socket]


@pytest.fixture
def written(
    workspace: affidavit.Workspace, tmp_path: Path, scripted_model: ScriptedModel
) -> Iterator[Browse]:
    workspace.load_people([Entry(f"user:{n}", frozenset({"group:staff"}), {}) for n in ("alice", "dave")])
    files: dict[str, str | bytes] = {
        "access.toml": 'allow = ["group:staff"]',
        "leave.md": f"# Leave\n\n{SENTENCE}",
    }
    workspace.add_source("folder", put(tmp_path / "docs", files), "docs")
    workspace.sync()
    workspace.people.grant(workspace.parts.tenant(""), "user:dave", "role:auditor")
    scripted_model.answer_with = citing
    workspace.publish(under(scripted_model.url, "any"))
    with browsing(workspace) as browse:
        yield browse


def test_the_answer_says_who_wrote_it_and_the_record_what_it_cost(written: Browse) -> None:
    run = ask(written("alice"), QUESTION)
    page = written("alice").get(f"/answers/{run}").text
    assert CLAIM in page
    assert "Written by" in page
    assert "What models cost" not in written("alice").get(f"/runs/{run}").text
    record = written("dave").get(f"/runs/{run}").text
    assert "What models cost" in record
    assert "0.000000" in record
