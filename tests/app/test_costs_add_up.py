"""However it is looked at, what was spent is what the log says: each view has the sum worked out here from the log alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.app.money import BY
from affidavit.domain.events import EventKind
from affidavit.domain.records import RunStatus
from affidavit.models.prices import Money, Target
from affidavit.models.usage import Charge, Counted
from affidavit.runs.recorder import Run, new_run_id

FIELDS = ("calls", "input", "cached", "output", "micro")
PEOPLE = {1: ("user:alice", "user:bob", ""), 2: ("user:gina",)}

charges = st.builds(
    lambda task, name, tokens, cost, flag: Charge(
        task,
        Target("acme", name),
        Counted(tokens[0], tokens[1], tokens[2], flag),
        None if cost is None else Money(cost, "USD"),
        None,
    ),
    st.sampled_from(["answer", "verify", "rewrite", "embed", "rerank"]),
    st.sampled_from(["big", "small"]),
    st.tuples(*[st.integers(0, 10**6)] * 3),
    st.none() | st.integers(0, 10**9),
    st.sampled_from(["", "missing", "implausible"]),
)
runs = st.fixed_dictionaries(
    {
        "tenant": st.sampled_from([1, 2]),
        "who": st.integers(0, 2),
        "release": st.sampled_from(["ab" * 32, "cd" * 32]),
        "journey": st.sampled_from(["ask", "search", "sync"]),
        "charges": st.lists(charges, max_size=5),
        "sources": st.lists(st.sampled_from(["docs", "wiki", "hr"]), max_size=4),
    }
)


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("costs")
    with affidavit.init(folder / "ws", EmbedderSpec("none")) as made:
        for name, people in (("acme", "alice bob"), ("globex", "gina")):
            file = folder / f"{name}.jsonl"
            file.write_text("".join(f'{{"id": "{p}"}}\n' for p in people.split()))
            made.import_people(file, name)
        yield made


def record(ws: affidavit.Workspace, said: dict[str, Any]) -> None:
    run = Run(new_run_id(ws.parts.randomness), said["tenant"], said["journey"], said["release"])
    people = PEOPLE[said["tenant"]]
    source = {"source": said["sources"][0]} if said["journey"] == "sync" and said["sources"] else {}
    run.start({"principal": people[said["who"] % len(people)], **source})
    for one in said["charges"]:
        run.step(f"model.{one.task}", {}, {"charges": [one.as_json()]})
    if said["journey"] == "ask":
        cited = [{"citations": [{"source": s}]} for s in said["sources"]]
        run.release_answer(RunStatus.ANSWERED, {"claims": cited})
    run.finish("answered", {"timings": {}})
    ws.parts.log.write(run.flush)


def logged(ws: affidavit.Workspace) -> Counter[str]:
    """Sums over the log."""
    sums: Counter[str] = Counter()
    events = ws.parts.events
    for event in events.of_kind(EventKind.STEP_RECORDED):
        if event.facts["name"].startswith("model."):
            for said in events.body(event)["output"]["charges"]:
                sums["calls"] += 1
                sums["micro"] += said["micro"] or 0
                sums["unpriced_calls"] += said["micro"] is None
                sums["estimated_calls"] += bool(said["flag"])
                for name in ("input", "cached", "output"):
                    sums[name] += said[name]
    return sums


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(runs, min_size=1, max_size=4), st.booleans())
def test_every_view_adds_up_to_the_log(
    ws: affidavit.Workspace, said: list[dict[str, Any]], anew: bool
) -> None:
    for one in said:
        record(ws, one)
    wanted = logged(ws)
    for by in BY:
        found = ws.money.costs(by, anew=anew)
        for name in (*FIELDS, "unpriced_calls", "estimated_calls"):
            assert found["total"][name] == wanted[name], (by, name)
            assert sum(row[name] for row in found["rows"]) == wanted[name], (by, name)
    tenants = [ws.parts.tenant(name) for name in ("acme", "globex")]
    parts = [ws.money.costs("stage", tenant=t)["total"]["micro"] for t in tenants]
    assert sum(parts) == wanted["micro"]
