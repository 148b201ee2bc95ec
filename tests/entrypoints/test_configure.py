"""`affidavit config`, as typed."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from affidavit.entrypoints.cli import app

cli = CliRunner()


def test_check_says_what_is_risky_and_show_what_holds(tmp_path: Path) -> None:
    assert cli.invoke(app, ["config", "check", "-w", str(tmp_path)]).exit_code == 0
    file = tmp_path / "server.toml"
    file.write_text('[server]\nhost = "0.0.0.0"\n')
    risky = cli.invoke(app, ["config", "check", str(file), "--json"])
    assert risky.exit_code == 1
    assert any("plain http" in concern for concern in json.loads(risky.stdout)["concerns"])
    shown = cli.invoke(app, ["config", "show", "-w", str(tmp_path)])
    assert 'host = "0.0.0.0"' in shown.stdout
    assert (
        json.loads(cli.invoke(app, ["config", "show", str(file), "--json"]).stdout)["server"]["port"] == 8080
    )


def test_an_unknown_setting_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "server.toml").write_text("[server]\nprot = 1\n")
    found = cli.invoke(app, ["config", "check", "-w", str(tmp_path)])
    assert found.exit_code == 2
    assert "server.port" in found.stderr
