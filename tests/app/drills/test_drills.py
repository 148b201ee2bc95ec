"""Every drill is green on a sound workspace, and red on one that breaks the promise: for each promise of each drill."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.app.drills import broken
from tests.app.drills.broken import opener
from tests.app.drills.conftest import LIAR, Run, make, verdicts

from affidavit.adapters.minilm.weights import installed
from affidavit.app.config import model_location
from affidavit.app.drills.desk import DrillDesk, Orders
from affidavit.app.drills.promise import Report
from affidavit.app.drills.registry import DRILLS
from affidavit.app.drills.seams import WORKER, Seams
from affidavit.app.drills.standin import StandIn, StandIns
from affidavit.app.drills.writing import Terms, publish
from affidavit.app.workspace import Workspace, open_with
from affidavit.domain.clock import Clock
from affidavit.domain.routes import Target

NETWORK = [pytest.mark.network, pytest.mark.enable_socket]
SLOW = ("kill", "disk-full", "embedder-outage")

# (drill, promise) → how it is broken: an opener, or the name of a lie for the worker
BROKEN: dict[tuple[str, str], broken.Opener | str] = {
    ("revoke", "next-question"): opener(Workspace, broken.stale_scopes),
    ("revoke", "open-process"): opener(Workspace, broken.stale_scopes),
    ("revoke", "as-of"): opener(Workspace, broken.stale_scopes),
    ("revoke", "like-absence"): opener(broken.Telling),
    ("revoke", "others"): opener(broken.Leaking),
    ("revoke", "removed"): opener(Workspace, broken.stale_scopes),
    ("revoke", "permitted"): opener(Workspace, broken.all_seeing),
    ("delete", "before-the-end"): opener(broken.Remembering),
    ("delete", "gone"): opener(broken.Remembering),
    ("delete", "as-of"): opener(broken.Remembering),
    ("delete", "open-process"): opener(broken.Remembering),
    ("delete", "only-it"): opener(broken.Overzealous),
    ("stale-source", "marked"): opener(broken.NeverStale),
    ("stale-source", "one-revision"): opener(broken.Eager),
    ("stale-source", "new-text"): opener(broken.Remembering),
    ("stale-source", "vanished"): opener(broken.Pruning),
    ("stale-source", "comes-back"): opener(broken.Pruning),
    ("stale-source", "broken-rule"): opener(broken.Lenient),
    ("retrieval-outage", "same-or-refused"): opener(broken.EmptyHanded),
    ("retrieval-outage", "permitted"): opener(Workspace, broken.all_seeing),
    ("retrieval-outage", "recovered"): opener(Workspace, broken.never_written),
    ("retrieval-outage", "open-process"): opener(broken.EmptyHanded),
    ("retrieval-outage", "other-day"): opener(Workspace, broken.trusting),
    ("retrieval-outage", "no-record"): opener(broken.Unrecorded),
    ("index-corruption", "same-or-refused"): opener(broken.EmptyHanded),
    ("index-corruption", "permitted"): opener(Workspace, broken.all_seeing),
    ("index-corruption", "recovered"): opener(Workspace, broken.never_written),
    ("embedder-outage", "goes-on"): opener(broken.Helpless),
    ("embedder-outage", "said"): opener(broken.Silent),
    ("embedder-outage", "in-time"): opener(broken.Slow),
    ("embedder-outage", "permitted"): opener(Workspace, broken.all_seeing),
    ("embedder-outage", "sync"): opener(broken.AllOrNothing),
    ("embedder-outage", "comes-back"): opener(broken.Resigned),
    ("embedder-outage", "weights"): "quiet",
    ("model-outage", "goes-on"): opener(broken.Dependent),
    ("model-outage", "verbatim"): opener(broken.Attributing),
    ("model-outage", "permitted"): opener(Workspace, broken.all_seeing),
    ("model-outage", "recorded"): opener(broken.Reticent),
    ("model-outage", "replays"): opener(broken.Forgetful),
    ("model-outage", "comes-back"): opener(broken.Despairing),
    ("model-outage", "live"): opener(broken.Unattributed),
    ("slow-model", "next"): opener(broken.OnlyFirst),
    ("slow-model", "in-time"): opener(broken.Patient),
    ("slow-model", "goes-on"): opener(broken.Dependent),
    ("slow-model", "late"): opener(broken.Attributing),
    ("slow-model", "permitted"): opener(Workspace, broken.all_seeing),
    ("wrong-schema", "repaired"): opener(broken.Unattributed),
    ("wrong-schema", "once"): opener(broken.Insistent),
    ("wrong-schema", "goes-on"): opener(broken.Dependent),
    ("wrong-schema", "unverified"): opener(broken.Gullible),
    ("wrong-schema", "permitted"): opener(Workspace, broken.all_seeing),
    ("spent-budget", "cheaper"): opener(broken.Unmetered),
    ("spent-budget", "not-asked"): opener(broken.Unmetered),
    ("spent-budget", "goes-on"): opener(broken.Dependent),
    ("spent-budget", "told-once"): opener(broken.Untold),
    ("spent-budget", "counted"): opener(broken.Miscounting),
    ("spent-budget", "next-day"): opener(broken.Despairing),
    ("spent-budget", "permitted"): opener(Workspace, broken.all_seeing),
    ("tool-failure", "told"): opener(broken.Mute),
    ("tool-failure", "once"): opener(broken.Doubling),
    ("tool-failure", "replays"): opener(broken.Forgetful),
    ("poisoned-document", "no-effect"): opener(broken.Permissive),
    ("poisoned-document", "asked"): opener(broken.Permissive),
    ("poisoned-document", "still-works"): opener(broken.Forbidding),
    ("approval-expired", "not-done"): opener(broken.Waiting),
    ("approval-expired", "ends"): opener(broken.Idle),
    ("approval-expired", "replays"): opener(broken.Forgetful),
    ("revoked-while-waiting", "not-done"): opener(broken.Loyal),
    ("revoked-while-waiting", "nothing-given"): opener(broken.Showing),
    ("revoked-while-waiting", "replays"): opener(broken.Forgetful),
    ("clock-skew", "never-backwards"): opener(Workspace, broken.timeless),
    ("clock-skew", "goes-on"): opener(broken.Unpunctual),
    ("clock-skew", "as-of"): opener(broken.Approximate),
    ("clock-skew", "fresh"): opener(broken.NeverStale),
    ("disk-full", "refused"): "ask",
    ("disk-full", "nothing-lost"): "ask",
    ("disk-full", "no-half"): "half",
    ("disk-full", "recovers"): "sulk",
    ("kill", "answers"): "ask",
    ("kill", "syncs"): "sync",
    ("kill", "imports"): "nobody",
    ("kill", "served"): "dirty",
}
ELSEWHERE = (("embedder-outage", "weights"), ("model-outage", "live"))
"""What the small workspace cannot try: tests of their own do."""
# without patience for one that has too much of it
SEAMS = {("slow-model", "in-time"): {"slack": 0.1, "silence": 1.0}}


def _marked(drill: str, promise: str = "") -> object:
    marks: list[pytest.MarkDecorator] = list(NETWORK) if drill == "embedder-outage" else []
    if drill in SLOW:
        marks.append(pytest.mark.slow)
    values = (drill, promise) if promise else (drill,)
    return pytest.param(*values, marks=marks, id="-".join(filter(None, (drill, promise))))


def test_every_promise_of_every_drill_is_broken_by_a_test() -> None:
    assert set(BROKEN) == {(d.name, p.id) for d in DRILLS.values() for p in d.promises}


@pytest.mark.parametrize("drill", [_marked(name) for name in DRILLS])
def test_a_sound_workspace_keeps_every_promise(drill: str, drilled: Run) -> None:
    report = drilled(drill)
    assert report.ok, report.as_json()
    tried = {id for id, verdict in verdicts(report).items() if verdict != "not tried"}
    assert tried == {p.id for p in DRILLS[drill].promises} - {p for _, p in ELSEWHERE} | {"sound"}


@pytest.mark.parametrize(("drill", "promise"), [_marked(*key) for key in BROKEN if key not in ELSEWHERE])
def test_a_broken_promise_is_seen(drill: str, promise: str, drilled: Run) -> None:
    how = BROKEN[drill, promise]
    if promise == "served":
        report = drilled(drill, opener(broken.Marked), lie="dirty")
    elif isinstance(how, str):
        report = drilled(drill, lie=how)
    else:
        report = drilled(drill, how, **SEAMS.get((drill, promise), {}))
    assert verdicts(report)[promise] == "broken", report.as_json()
    assert not report.ok


@pytest.mark.parametrize("drill", [_marked(name) for name in DRILLS])
def test_a_log_that_does_not_verify_is_seen(drill: str, drilled: Run) -> None:
    report = drilled(drill, opener(broken.Damaged))
    assert verdicts(report)["sound"] == "broken"


def test_a_drill_that_cannot_go_on_is_red(drilled: Run) -> None:
    report = drilled("kill", lie="crash")
    assert verdicts(report)["ran"] == "broken"
    assert "ZeroDivisionError" in report.verdicts[0].saw
    assert not report.ok


@pytest.mark.model
@pytest.mark.network
@pytest.mark.enable_socket
@pytest.mark.skipif(not installed(model_location()), reason="no MiniLM weights: make setup")
@pytest.mark.parametrize(("lie", "verdict"), [("", "kept"), ("quiet", "broken")])
def test_missing_weights_are_said(lie: str, verdict: str, tmp_path: Path) -> None:
    folder = make(tmp_path / "place", "minilm")
    seams = Seams(open_with, (sys.executable, "-P", str(LIAR), lie) if lie else WORKER, patience=0.1)
    (report,) = DrillDesk(folder / "ws", open_with, seams).run([DRILLS["embedder-outage"]]).reports
    assert verdicts(report)["weights"] == verdict


WRITERS = "model-outage", "live"


@pytest.mark.parametrize(
    ("how", "verdict"), [(open_with, "kept"), (BROKEN[WRITERS], "broken")], ids=["sound", "broken"]
)
def test_the_models_of_the_release_are_asked_when_that_is_wanted(
    how: Any, verdict: str, tmp_path: Path
) -> None:
    folder = written(tmp_path)
    report = live(folder, opening(how, StandIns().make), live=True)
    assert verdicts(report)["live"] == verdict


def test_a_model_that_cannot_be_had_is_a_broken_promise_and_only_then(tmp_path: Path) -> None:
    folder = written(tmp_path)
    assert verdicts(live(folder, open_with, live=True))["live"] == "broken"


def test_nobodys_model_is_asked_unless_that_is_wanted(tmp_path: Path) -> None:
    """Neither made nor asked, in this process or in a worker."""
    folder = written(tmp_path)

    def never(target: Target) -> StandIn:
        raise AssertionError(f"{target.name} was asked")

    drills = [DRILLS[name] for name in ("model-outage", "revoke", "kill")]
    outcomes = DrillDesk(folder / "ws", opening(open_with, never), Seams(opening(open_with, never))).run(
        drills, Orders(workdir=tmp_path, kills=1)
    )
    assert outcomes.ok, outcomes.as_json()


def written(folder: Path) -> Path:
    """A workspace whose release has answers written by models that nobody has, or else refused."""
    make(folder / "place")
    with open_with(folder / "place" / "ws", None) as ws:
        publish(ws, Terms(fallback="refuse"))
    return folder / "place"


def opening(how: broken.Opener, make: Callable[[Target], StandIn]) -> broken.Opener:
    """Opens with ``make`` in the place of what makes real models."""

    def made(folder: Path, clock: Clock | None) -> Workspace:
        ws = how(folder, clock)
        ws.parts.models.make = make
        return ws

    return made


def live(folder: Path, how: broken.Opener, live: bool) -> Report:
    orders = Orders(workdir=folder.parent, live=live, questions=[("Who feeds the walrus?", "carol", "")])
    (report,) = DrillDesk(folder / "ws", how, Seams(how)).run([DRILLS["model-outage"]], orders).reports
    return report


def test_that_it_is_spent_is_told_once_and_not_again_and_again(drilled: Run) -> None:
    assert verdicts(drilled("spent-budget", opener(broken.Nagging)))["told-once"] == "broken"


def test_no_broken_workspace_is_left_unused() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [k.__name__ for k in broken.kinds() if f"broken.{k.__name__}" not in text] == []
