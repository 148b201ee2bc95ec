"""What is in `deploy/`: it can be read, holds what it promises, and names only what there is."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from affidavit.adapters.prometheus import _COUNTERS
from affidavit.app.settings import LimitSettings, described
from affidavit.entrypoints.http.logs import Metrics
from tools import reference

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "affidavit.service"
_METRIC = re.compile(r"\baffidavit_[a-z_]+")
_COMMAND = re.compile(r"`affidavit ((?:[a-z]+ ?)+)")


def alerts() -> list[dict[str, Any]]:
    said = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())
    return [rule for group in said["groups"] for rule in group["rules"]]


def metrics_of_the_server() -> set[str]:
    metrics = Metrics()
    metrics.gauge("affidavit_http_waiting", "x", lambda: 0)
    return {sample.removesuffix("_created") for m in metrics.registry.collect() for sample in names(m)}


def names(metric: Any) -> set[str]:
    suffix = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(metric.type, [""])
    return {metric.name + end for end in suffix}


def test_every_alert_is_about_a_metric_there_is_and_has_a_runbook() -> None:
    known = metrics_of_the_server() | {f"affidavit_{name}_total" for name in _COUNTERS}
    known |= {"affidavit_checkpoint_timestamp_seconds", "affidavit_follower_lag_events"}
    runbooks = (ROOT / "docs" / "how-to" / "runbooks.md").read_text()
    sections = set(re.findall(r"^## (\w+)$", runbooks, re.M))
    assert sections == {rule["alert"] for rule in alerts()}
    for rule in alerts():
        used = set(_METRIC.findall(rule["expr"]))
        assert used <= known, rule["alert"]
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert (ROOT / page).is_file() and anchor == rule["alert"].lower()
        assert rule["labels"]["severity"] in ("page", "ticket") and rule["annotations"]["summary"]


def test_prometheus_reads_the_rules_and_what_there_is() -> None:
    said = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    assert all((DEPLOY / "prometheus" / name).is_file() for name in said["rule_files"])
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    targets = [t for job in said["scrape_configs"] for c in job["static_configs"] for t in c["targets"]]
    assert {target.partition(":")[0] for target in targets} <= set(services)


def test_containers_can_do_nothing_they_need_not() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    for name, service in services.items():
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service["mem_limit"] and service["pids_limit"], name
        assert not service.get("privileged") and "network_mode" not in service, name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert not any("docker.sock" in volume for volume in service.get("volumes", [])), name
        assert ":" not in service["image"] or not service["image"].endswith(":latest"), name


def dockerfile() -> list[tuple[str, str]]:
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1].strip()) for line in lines]


def test_the_image_is_small_pinned_and_runs_as_nobody() -> None:
    steps = dockerfile()
    last = [i for i, (word, _) in enumerate(steps) if word == "FROM"][-1]
    final = dict(steps[last:])
    assert final["USER"].split(":")[0].isdecimal() and final["USER"] != "0"
    assert {"HEALTHCHECK", "ENTRYPOINT", "EXPOSE", "VOLUME"} <= set(final)
    assert final["ENTRYPOINT"].startswith("[") and final["CMD"].startswith("[")
    for word, said in steps:
        assert word not in ("ADD", "MAINTAINER")
        if word == "FROM":
            assert re.match(r"python:3\.\d+-slim-\w+", said)
        if word == "COPY" and "--from" not in said:
            sources = said.split()[:-1]
            assert all((ROOT / source).exists() for source in sources), said
        assert "sudo" not in said and "curl" not in said and "apt-get upgrade" not in said
        assert "SECRET" not in said.upper() and "PASSWORD" not in said.upper()
    install = next(said for word, said in steps if word == "RUN" and "-r locks" in said)
    assert "--require-hashes" in install


def test_what_is_installed_is_locked_with_hashes() -> None:
    lock = (ROOT / "locks" / "server.txt").read_text()
    pins = re.findall(r"^([a-z0-9._-]+)==", lock, re.M | re.I)
    assert {"fastapi", "uvicorn", "cedarpy", "prometheus-client"} <= set(pins)
    assert lock.count("--hash=sha256:") >= len(pins)
    assert "index-url" not in lock and "://" not in lock


def test_the_service_waits_for_the_drain_and_is_hardened(tmp_path: Path) -> None:
    text = UNIT.read_text()
    said = dict(
        line.split("=", 1)
        for line in text.splitlines()
        if "=" in line and not line.startswith(("#", "System"))
    )
    assert int(said["TimeoutStopSec"]) > LimitSettings().drain_seconds
    assert said["ProtectSystem"] == "strict" and said["NoNewPrivileges"] == "yes"
    assert said["CapabilityBoundingSet"] == "" and said["UMask"] == "0077"
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is absent")
    unit = tmp_path / "affidavit.service"
    unit.write_text(text.replace("/opt/affidavit/bin/affidavit", "/bin/true"))
    checked = subprocess.run([tool, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    level = subprocess.run(
        [tool, "security", "--offline=yes", "--no-pager", "--threshold=25", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert level.returncode == 0, level.stdout[-300:]


def test_the_guides_name_commands_and_settings_there_are() -> None:
    known = {name for name, _ in reference.commands()}
    for page in ("serve.md", "runbooks.md"):
        text = (ROOT / "docs" / "how-to" / page).read_text()
        for found in _COMMAND.findall(text):
            words = found.split()
            assert any(" ".join(words[:n]) in known for n in (1, 2, 3)), (page, found)
        settings = {f"{section}.{name}" for section, name, _, _ in described()}
        for section in ("limits", "server"):
            named = set(re.findall(rf"`({section}\.[a-z_]+)", text)) - {"server.toml", "limits.db"}
            assert named <= settings, page
