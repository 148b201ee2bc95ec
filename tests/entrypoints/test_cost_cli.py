"""``affidavit cost`` and ``affidavit budget``."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.entrypoints.cli import app
from affidavit.models.prices import Target
from affidavit.ports.model import Usage
from affidavit.runs.recorder import Run, new_run_id

BIG = Target("acme", "big")
PRICES = """
hour = "0.40"
[[price]]
provider = "acme"
model = "big"
input = "1"
output = "2"
from = 2026-01-01
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "p.jsonl").write_text('{"id": "alice"}\n')
    (tmp_path / "prices.toml").write_text(PRICES)
    with affidavit.init(tmp_path / "ws", EmbedderSpec("none")) as ws:
        ws.import_people(tmp_path / "p.jsonl")
    return tmp_path


def run(place: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["-w", str(place / "ws"), *arguments], catch_exceptions=False)


def said(place: Path, *arguments: str) -> Any:
    result = run(place, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def spend(place: Path, target: Target = BIG) -> None:
    with affidavit.open(place / "ws") as ws:
        with ws.money.budgets.call(1, "user:alice", "answer", target, Usage(100, 50, 0)) as held:
            charge = held.settle(Usage(100, 50, 0))
        run = Run(new_run_id(ws.parts.randomness), 1, "ask", "ab" * 32)
        run.start({"principal": "user:alice"})
        run.step("model.answer", {}, {"charges": [charge.as_json()]})
        run.finish("answered", {"timings": {}})
        ws.parts.log.write(run.flush)


def test_prices_budgets_and_costs(place: Path) -> None:
    digest = said(place, "cost", "prices", "set", str(place / "prices.toml"))["prices"]
    shown = said(place, "cost", "prices", "show")
    assert shown["digest"] == digest
    assert shown["declared"]["price"][0]["from"] == "2026-01-01"
    assert said(place, "cost", "prices", "of", "acme", "big")["output"] == "2.00"
    budget = said(place, "budget", "set", "person", "0.0005", "--per", "month", "--person", "alice")
    assert budget["amount"] == "0.0005"
    spend(place)
    spend(place)
    assert said(place, "cost", "show", "--by", "person")["rows"][0]["cost"] == "0.0004"
    assert said(place, "budget", "show")[0]["state"] == "warned"
    assert "0.0004 of 0.0005 USD this month (nearly spent)" in run(place, "budget", "show").stdout
    assert "budget 1 (a month) is nearly spent" in run(place, "status").stdout
    assert [b["state"] for b in said(place, "cost", "show")["budgets"]] == ["warned"]
    assert "0.0004 of 0.0005 USD this month (nearly spent)" in run(place, "cost", "show").stdout
    assert said(place, "budget", "recount") == {"raised": 0}
    assert said(place, "budget", "remove", "1") == {"removed": 1}
    assert "set one" in run(place, "budget", "show").stdout
    assert run(place, "audit", "verify").exit_code == 0


def test_a_table_for_people(place: Path) -> None:
    spend(place, Target("acme", "unknown"))
    result = run(place, "cost", "show", "--by", "model")
    assert "acme/unknown" in result.stdout
    assert "1 without a price" in result.stdout
    assert "together" in result.stdout
    assert "cost prices set" in result.stderr


def test_sums_changed_by_hand_are_not_believed_anew(place: Path) -> None:
    said(place, "cost", "prices", "set", str(place / "prices.toml"))
    spend(place)
    assert said(place, "cost", "show")["total"]["of_models"] == "0.0002"
    with sqlite3.connect(place / "ws" / "money.db") as by_hand:
        by_hand.execute("UPDATE costs SET micro = 7")
    assert said(place, "cost", "show", "--anew")["total"]["of_models"] == "0.0002"


def test_names_cannot_move_the_cursor(place: Path) -> None:
    spend(place, Target("acme", "evil\x1b[2Jmodel"))
    assert "\x1b" not in run(place, "cost", "show", "--by", "model").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("cost", "show", "--by", "colour"),
        ("cost", "show", "--since", "yesterday"),
        ("cost", "prices", "of", "acme", "none"),
        ("cost", "prices", "set", "missing.toml"),
        ("budget", "set", "galaxy", "1", "--per", "day"),
        ("budget", "set", "tenant", "1,5", "--per", "day"),
        ("budget", "set", "tenant", "1", "--per", "year"),
        ("budget", "remove", "7"),
    ],
)
def test_a_wrong_request_says_what_to_do(place: Path, arguments: tuple[str, ...]) -> None:
    result = run(place, *arguments, "--json")
    assert result.exit_code == 2
    error = json.loads(result.stdout)["error"]
    assert error["message"]
    assert error["hint"]


def test_whoever_may_not_change_budgets_is_told_what_they_lack(place: Path) -> None:
    result = run(place, "budget", "set", "tenant", "1", "--per", "day", "--by", "alice", "--json")
    assert result.exit_code == 1
    assert "budget:change" in json.loads(result.stdout)["error"]["hint"]


def test_the_price_list_is_not_loaded_at_the_start() -> None:
    code = "import sys, affidavit.entrypoints.cli; sys.exit('genai_prices' in sys.modules or 'pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
