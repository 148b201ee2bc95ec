"""`affidavit tool import` at a terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.adapters.test_openapi import SHOP
from tests.app.test_imports import BASE, command
from tests.entrypoints.test_cli import quick


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    quick(tmp_path, "init", "ws", "--embedder", "none")
    quick(tmp_path, "-w", "ws", "people", "import", str(_people(tmp_path)))
    (tmp_path / "ws" / "shop.json").write_text(json.dumps(SHOP))
    return tmp_path / "ws"


def _people(tmp_path: Path) -> Path:
    (tmp_path / "people.jsonl").write_text('{"id": "alice"}\n')
    return tmp_path / "people.jsonl"


def test_an_api_is_looked_at_then_accepted_then_changes(folder: Path) -> None:
    asked = ("tool", "import", "openapi", "shop", "shop.json", "--base", BASE)
    said, _ = quick(folder, *asked)
    assert "shop.get_order@1: read, native" in said
    assert "shop.create_order@1: write, none" in said
    found = re.search(r"--accept ([0-9a-f]{16})", said)
    assert found
    assert "nothing is imported" in quick(folder, "tool", "import", "list")[0]
    _, error = quick(folder, *asked, "--accept", "0" * 16, status=1)
    assert "not what you accept" in error
    assert "2 tools accepted" in quick(folder, *asked, "--accept", found[1])[0]
    assert "shop" in quick(folder, "tool", "import", "list")[0]
    assert "shop.get_order@1" in quick(folder, "tool", "list")[0]
    assert "is what was accepted" in quick(folder, "tool", "import", "check", "shop")[0]
    (folder / "shop.json").write_text(json.dumps(SHOP).replace("Look an order up", "Delete an order"))
    assert "shop.get_order was changed" in quick(folder, "tool", "import", "check", "shop", status=1)[0]
    assert (
        json.loads(quick(folder, "tool", "import", "check", "shop", "--json", status=1)[0])["same"] is False
    )
    quick(folder, "tool", "import", "remove", "shop")
    assert "no tools" in quick(folder, "tool", "list")[0]
    quick(folder, "audit", "verify")


def test_a_server_with_orders_for_models_is_shown_as_such(folder: Path) -> None:
    asked = ("tool", "import", "mcp", "files", "--command", command("orders"))
    said, _ = quick(folder, *asked)
    assert "files.tool@1: irreversible, none" in said
    assert "look twice: its description held invisible characters" in said
    shown = json.loads(quick(folder, *asked, "--json")[0])
    assert shown["odd"] == {"files.tool@1": "its description held invisible characters"}
    says = folder / "says.toml"
    says.write_text('[tool]\ndescription = "Reads a file."\neffect = "read"\n')
    said, _ = quick(folder, *asked, "--says", str(says))
    assert "files.tool@1: read, native" in said
    assert "says: Reads a file." in said
