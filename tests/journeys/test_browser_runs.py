"""The record in a browser: find a run, read it, repeat it, suppose something else, explain it, take it away, check it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from tests.browsed import BONUS, LEAVE
from tests.browsing import Site, ask
from tests.browsing import chromium as chromium
from tests.browsing import served as served
from tests.browsing import site as site

from affidavit.offline import verify_affidavit

pytestmark = [pytest.mark.browser, pytest.mark.enable_socket]


def test_an_auditor_finds_a_run_and_reads_it(site: Site) -> None:
    run = ask(site.visitor("alice"), "What is the bonus of managers this year?")
    page = site.visitor("dave", "dark")
    page.goto("/runs")
    rows = page.locator("table.runs tbody tr")
    page.get_by_label("Words of the question").fill("managers this year")
    page.get_by_role("button", name="Show").click()
    expect(rows).to_have_count(1)
    page.get_by_label("Outcome").select_option("answered")  # takes effect at once
    expect(page.get_by_role("heading", name="No such run")).to_be_visible()
    page.get_by_label("Outcome").select_option("refused")
    expect(rows).to_have_count(1)
    page.get_by_label("Who").fill("user:alice")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile("principal=user%3Aalice"))
    rows.get_by_role("link").click()
    expect(page).to_have_url(re.compile(run))
    expect(page.locator("figure, svg.plot").first).to_be_visible()
    expect(page.get_by_role("heading", name="What was denied, and why")).to_be_visible()
    expect(page.locator("[aria-labelledby=denied]")).to_contain_text("pay/bonus.md")
    site.picture(page, "run-dark")
    page.get_by_role("heading", name="Every step").scroll_into_view_if_needed()
    step = page.locator("ol.steps summary").first
    step.click()
    expect(page.locator("ol.steps details[open] pre").first).to_be_visible()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_it_is_repeated_supposed_otherwise_and_explained(site: Site, scripts: bool) -> None:
    run = ask(site.visitor("alice"), BONUS)
    page = site.visitor("dave", scripts=scripts)
    page.goto(f"/runs/{run}")
    page.get_by_role("button", name="Replay").click()
    expect(page.get_by_role("heading", name="Identical")).to_be_visible()
    page.get_by_role("link", name="Back to the run").click()
    page.get_by_role("link", name="What if…").click()
    page.get_by_label("Asked by").fill("user:bob")
    page.get_by_role("button", name="Show the difference").click()
    before, after = (page.get_by_label(name, exact=True) for name in ("As it was", "As it would be"))
    expect(before.locator("del").first).to_contain_text("nothing")
    expect(after.locator("ins").first).to_contain_text("15 percent")
    expect(after.get_by_role("link", name="pay/bonus.md")).to_be_visible()
    if scripts:
        site.picture(page, "what-if")
    page.goto(f"/runs/{run}")
    page.get_by_role("button", name="Explain").click()
    expect(page.get_by_role("heading", name="What did it not see, and why?")).to_be_visible()
    expect(page.locator("main")).to_contain_text("pay/bonus.md")
    expect(page.locator("main")).to_contain_text("Would it answer the same today?")


def exported(page: Page, run: str, to: Path) -> Path:
    """The bundle, as the browser keeps it."""
    page.goto(f"/runs/{run}")
    with page.expect_download() as told:
        page.get_by_role("button", name="Export").click()
    assert run in told.value.suggested_filename
    told.value.save_as(to)
    return to


def verified(page: Page, file: Path) -> None:
    page.goto("/verify")
    page.get_by_label("The file").set_input_files(file)
    page.get_by_role("button", name="Verify this file").click()


def test_a_bundle_is_taken_away_and_verified_here_and_offline(site: Site, tmp_path: Path) -> None:
    page = site.visitor("alice")
    run = ask(page, LEAVE)
    file = exported(page, run, tmp_path / "run.json")
    verified(page, file)
    expect(page.locator(".proved .good").first).to_contain_text("are in the signed log")
    expect(page.locator(".proved .good").last).to_contain_text("Ed25519")
    expect(page.locator(".proved .bad")).to_have_count(0)
    page.goto(f"/verify?run={run}")
    page.get_by_role("button", name="Verify this run").click()
    expect(page.locator(".proved .good").first).to_contain_text("are in the signed log")
    site.picture(page, "verify")
    offline = [sys.executable, verify_affidavit.__file__, str(file)]
    assert subprocess.run(offline, check=False, capture_output=True).returncode == 0
    file.write_text(file.read_text().replace("carry over", "carry off", 1))
    assert subprocess.run(offline, check=False, capture_output=True).returncode != 0


def test_a_bundle_that_was_altered_is_not_proved(site: Site, tmp_path: Path) -> None:
    page = site.visitor("alice")
    bundle = json.loads(exported(page, ask(page, LEAVE), tmp_path / "run.json").read_text())
    changes: dict[str, Callable[[Any], None]] = {
        "the text": lambda b: b["events"][0]["body"].update(
            data=b["events"][0]["body"]["data"].replace("leave", "pay")
        ),
        "the event": lambda b: b["events"][0].update(header=b["events"][0]["header"].replace("ask", "act")),
        "the checkpoint": lambda b: b.update(checkpoint=re.sub(r"\n\d+\n", "\n4\n", b["checkpoint"])),
        "the signature": lambda b: b.update(checkpoint=b["checkpoint"][:-9] + "AAAAAAA=\n"),
    }
    for what, change in changes.items():
        altered = json.loads(json.dumps(bundle))
        change(altered)
        assert altered != bundle, what
        file = tmp_path / "altered.json"
        file.write_text(json.dumps(altered))
        verified(page, file)
        expect(page.locator(".proved .bad"), what).to_contain_text("Not proved")
        expect(page.locator(".proved .good"), what).to_have_count(0)
    page.get_by_label("The log's public key, if you have it from elsewhere").fill("another+00000000+AAAA")
    (tmp_path / "altered.json").write_text(json.dumps(bundle))
    page.get_by_label("The file").set_input_files(tmp_path / "altered.json")
    page.get_by_role("button", name="Verify this file").click()
    expect(page.locator(".proved .bad")).to_contain_text("another key than the one you know")
