"""Drills as files: what is written is done, what is expected is checked, and what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.app.drills.conftest import verdicts
from tests.app.drills.test_desk import fingerprints

from affidavit.app.drills.custom import CustomDrill
from affidavit.app.drills.desk import DrillDesk, Orders
from affidavit.app.drills.promise import Report
from affidavit.app.drills.steps import STEPS, read_script
from affidavit.app.workspace import open_with
from affidavit.domain.errors import ManifestError

ASK = 'do = "ask"\nas = "bob"\nquestion = "How many days of leave has the penguin keeper?"\n'
WALRUS = 'do = "ask"\nas = "carol"\nquestion = "How many days of leave has the walrus keeper?"\n'
GOOD = f"""
[[step]]
{ASK}id = "before"
expect = {{ status = "answered", cites = "pay/penguin.md", contains = "11 days", within = 20 }}
[[step]]
do = "search"
as = "bob"
question = "penguin register"
expect = {{ cites = ["pay/penguin.md"], degraded = false }}
[[step]]
do = "damage-index"
how = "flip"
[[step]]
{ASK}expect = {{ same_as = "before" }}
[[step]]
do = "leave"
who = "bob"
group = "finance"
[[step]]
{ASK}expect = {{ not_cites = "pay/penguin.md", not_contains = ["11 days"] }}
[[step]]
do = "join"
who = "bob"
group = "finance"
[[step]]
do = "change-file"
source = "docs"
file = "leave/walrus.md"
old = "10 days"
new = "99 days"
[[step]]
do = "sync"
source = "docs"
expect = {{ changed = 1, removed = 0 }}
[[step]]
{WALRUS}expect = {{ contains = "99 days" }}
[[step]]
do = "write-file"
source = "docs"
file = "leave/moose.md"
text = "# The moose\\n\\nThe moose keeper has 40 days of leave."
[[step]]
do = "delete-file"
source = "docs"
file = "leave/walrus.md"
[[step]]
do = "sync"
source = "docs"
expect = {{ added = 1, removed = 1 }}
[[step]]
do = "vanish"
source = "docs"
[[step]]
do = "sync"
source = "docs"
expect = {{ error = "source" }}
[[step]]
do = "restore"
source = "docs"
[[step]]
do = "clock"
days = 400
[[step]]
do = "import"
file = "people.jsonl"
[[step]]
do = "remove"
who = "erin"
[[step]]
do = "ask"
as = "erin"
question = "How many days of leave has the walrus keeper?"
expect = {{ error = "unknown_name" }}
[[step]]
do = "verify"
"""


def play(place: Path, tmp_path: Path, text: str) -> Report:
    file = place / "drill.toml"
    file.write_text(text)
    try:
        drill = CustomDrill(read_script(file))
        (report,) = DrillDesk(place / "ws", open_with).run([drill], Orders(workdir=tmp_path)).reports
    finally:
        file.unlink()
    return report


def test_every_step_does_what_it_says_and_touches_no_source(place: Path, tmp_path: Path) -> None:
    before = fingerprints(place)
    report = play(place, tmp_path, GOOD)
    assert report.ok, report.as_json()
    assert set(verdicts(report).values()) == {"kept"}
    assert fingerprints(place) == before
    assert all(f'do = "{name}"' in GOOD for name in STEPS)


@pytest.mark.parametrize(
    "expect",
    [
        'status = "refused"',
        'cites = "leave/walrus.md"',
        'not_cites = "pay/penguin.md"',
        'contains = "12 days"',
        'not_contains = "11 days"',
        "within = 0.000001",
        'error = "source"',
        "degraded = true",
        'same_as = "other"',
    ],
)
def test_each_expectation_can_fail(expect: str, place: Path, tmp_path: Path) -> None:
    text = f'[[step]]\n{WALRUS}id = "other"\n[[step]]\n{ASK}expect = {{ {expect} }}\n'
    report = play(place, tmp_path, text)
    assert verdicts(report)["step-2"] == "broken", report.as_json()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no steps"),
        ("x = 1", "no key 'x'"),
        ("[[step]]\ndo = 'aks'", "no step 'aks'"),
        ("[[step]]\ndo = 'ask'\nas = 'bob'", "needs 'question'"),
        ("[[step]]\ndo = 'verify'", "could not fail"),
        ("[[step]]\ndo = 'clock'\ndays = 'x'", "days cannot be"),
        ("[[step]]\ndo = 'clock'\ndays = true", "days cannot be"),
        ("[[step]]\ndo = 'verify'\nexpect = { status = 'x' }", "no key 'status'"),
        (f"[[step]]\n{ASK}expect = {{ same_as = 'later' }}", "has id 'later'"),
        ("step = 1", "no steps"),
        ("[[step", "drill.toml"),
    ],
)
def test_a_malformed_drill_is_named_before_anything_is_done(text: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "drill.toml"
    file.write_text(text)
    with pytest.raises(ManifestError) as caught:
        read_script(file)
    assert told in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("name", ["../people.jsonl", "/etc/passwd", "leave/../../../x"])
def test_no_step_reaches_outside_its_copy_of_the_source(name: str, place: Path, tmp_path: Path) -> None:
    steps = f'[[step]]\ndo = "write-file"\nsource = "docs"\nfile = "{name}"\ntext = "x"\n'
    before = fingerprints(place)
    report = play(place, tmp_path, f'{steps}[[step]]\n{ASK}expect = {{ status = "answered" }}\n')
    assert verdicts(report)["ran"] == "broken"
    assert "not inside the source" in report.verdicts[0].saw
    assert fingerprints(place) == before


def test_links_of_a_source_are_not_followed_into_it(place: Path, tmp_path: Path) -> None:
    link = place / "docs" / "leave" / "link.md"
    link.symlink_to(place / "docs" / "leave" / "walrus.md")
    before = fingerprints(place)
    try:
        steps = '[[step]]\ndo = "write-file"\nsource = "docs"\nfile = "leave/link.md"\ntext = "x"\n'
        report = play(place, tmp_path, f'{steps}[[step]]\n{ASK}expect = {{ status = "answered" }}\n')
        assert report.ok
        assert fingerprints(place) == before
    finally:
        link.unlink()
