"""What people at browsers meet: an organisation with documents, tools and two weeks behind it, `affidavit serve` as a process of
its own, and a real sign-in provider (npm's oidc-provider)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.app.people import Entry
from affidavit.app.policies import PolicyFiles
from affidavit.domain.clock import MICROSECONDS
from affidavit.testing.clock import FixedClock
from tests.entrypoints.console.conftest import put
from tests.entrypoints.console.office import CODE
from tests.patience import LONG, soon
from tests.ports import free_port

NODE = Path(__file__).resolve().parent / "node"
AXE = NODE / "axe" / "node_modules" / "axe-core" / "axe.min.js"
OIDC = NODE / "oidc"
MAKE = "run `make test-browser`, which sets up what it needs"
_DAY = 86_400 * MICROSECONDS
_DAYS = 14

BONUS = "What is the bonus of managers?"
LEAVE = "How many days of annual leave can I carry over?"
ASKED = (LEAVE, "When does the garage close?", "Who is the king of Norway?")
FILES: dict[str, str | bytes] = {
    "staff/access.toml": 'allow = ["group:staff"]',
    "staff/people/annual-leave.md": """# Annual leave

Everybody who works full time has 25 days of annual leave a year. Part-time colleagues have their share of it.

## Carrying over

Up to 5 days of annual leave may be carried over into the next year. They must be taken by the end of March, or they are lost.

## Asking for leave

Ask your manager two weeks before. Leave of more than ten days in a row needs the consent of the head of the department.

- Say who stands in for you.
- Write it into the team's calendar.
""",
    "staff/facilities/parking.md": "# Parking\n\nThe garage closes at 22:00 on working days and at 18:00 on Saturdays.\n",
    "staff/it/laptops.md": "# Laptops\n\nA laptop is replaced after four years. The service desk orders the new one.\n",
    "staff/torn.pdf": b"%PDF-1.4 torn",
    "pay/access.toml": 'allow = ["group:finance"]',
    "pay/bonus.md": "# Bonus\n\nThe bonus of managers is 15 percent of the yearly salary. It is paid in April.\n",
}
GROUPS: Mapping[str, tuple[str, ...]] = {
    "alice": ("staff",),
    "bob": ("staff", "finance"),
    "carol": ("staff",),
    "dave": ("staff",),
    "olga": ("staff",),
    "ada": ("staff",),
    "adam": ("staff",),
    "mallory": (),
}
ROLES = {"dave": "auditor", "carol": "approver", "olga": "operator", "ada": "admin", "adam": "admin"}


@dataclass(frozen=True)
class Organisation:
    """Who is there, and what they have: the files of each source by its name."""

    sources: Mapping[str, Mapping[str, str | bytes]] = field(default_factory=lambda: {"handbook": FILES})
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: GROUPS)
    roles: Mapping[str, str] = field(default_factory=lambda: ROLES)
    history: bool = True
    claims: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What the provider says of people besides their names."""
    signin: str = 'principal_claim = "sub"'
    """Further lines of that section of the settings."""


def settle(folder: Path, who: Organisation) -> None:
    """Make the workspace ``folder / "ws"``: two weeks of questions, more on some days than on others, and a call that waits."""
    clock = FixedClock(int(time.time()) * MICROSECONDS - (_DAYS + 1) * _DAY)
    with affidavit.init(folder / "ws", EmbedderSpec("none"), clock) as ws:
        ws.load_people(
            [
                Entry(f"user:{name}", frozenset(f"group:{g}" for g in mine), {})
                for name, mine in who.groups.items()
            ],
            "acme",
        )
        tenant = ws.parts.tenant("acme")
        for name, role in who.roles.items():
            ws.people.grant(tenant, f"user:{name}", f"role:{role}")
        for name, files in who.sources.items():
            ws.add_source("folder", put(folder / name, dict(files)), name, "acme")
            ws.sync(name)
        (folder / "ws" / "office.py").write_text(CODE)
        (folder / "ws" / "tools.toml").write_text('[[tools]]\nfile = "office.py"\n')
        ws.controls.set_mode(tenant, "live", "operator:test", "to work")
        ws.publish(ws.policy.content(PolicyFiles(_always_open(ws.policy.in_force()), {})))
        for day in range(_DAYS if who.history else 0):
            for n in range(2 + day % 5):
                ws.ask(ASKED[(day + n) % len(ASKED)], ("alice", "bob")[n % 2])
            clock.advance(_DAY)


def _always_open(rules: Mapping[str, str]) -> dict[str, str]:
    """``rules`` on a working day, whatever day it is."""
    hours = "context.weekday >= 1 && context.weekday <= 5 && context.hour >= 7 && context.hour < 18"
    assert any(hours in text for text in rules.values())
    return {name: text.replace(hours, "context.hour >= 0") for name, text in rules.items()}


@dataclass
class Serving:
    """A running server: where browsers find it, where its counts are, and every line that it has said."""

    url: str
    metrics: str
    said: list[str]

    def counted(self) -> str:
        """What Prometheus reads."""
        return httpx.get(self.metrics, trust_env=False, timeout=LONG).text


@contextmanager
def serving(folder: Path, who: Organisation) -> Iterator[tuple[Serving, str]]:
    """`affidavit serve` over ``folder / "ws"`` and the issuer of the provider that people sign in with."""
    port = free_port()
    url = f"http://localhost:{port}"  # another site than the provider's, as browsers see it
    with _providing(url, who.claims) as issuer:
        (folder / "ws" / "client-secret").write_text("secret")
        (folder / "ws" / "client-secret").chmod(0o600)
        (folder / "ws" / "server.toml").write_text(
            f'[server]\nport = {port}\npublic_url = "{url}"\nmetrics = "127.0.0.1:0"\n'
            "[limits]\nperson_per_minute = 0\ntenant_per_minute = 0\n"  # the tests are faster than people
            f'[signin]\nissuer = "{issuer}"\nclient_id = "affidavit"\nclient_secret_file = "client-secret"\n{who.signin}\n'
        )
        with _process(folder / "ws") as (first, rest):
            assert f":{port}" in first, rest
            soon(lambda: rest)
            metrics = next(line for line in rest if line.startswith("metrics at ")).split()[-1]
            yield Serving(url, metrics, rest), issuer


@contextmanager
def _process(workspace: Path) -> Iterator[tuple[str, list[str]]]:
    """The first line that the server says, and all that it says later, whichever way."""
    command = [sys.executable, "-m", "affidavit", "serve", "-w", str(workspace)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ)
    ) as process:
        said: list[str] = []
        lines = process.stdout
        assert lines
        first = ""
        while "serving" not in first:
            first = lines.readline()
            assert first, f"the server ended: {said}"
        # read all along, so that the server never waits for its own words to be taken
        reading = threading.Thread(target=lambda: said.extend(lines))
        reading.start()
        try:
            yield first, said
        finally:
            process.kill()
            reading.join()


@contextmanager
def _providing(url: str, people: Mapping[str, Any]) -> Iterator[str]:
    """A real provider's issuer, for the server at ``url``; it runs until the block ends. ``people``: what it says of each."""
    client = {
        "client_id": "affidavit",
        "client_secret": "secret",
        "redirect_uris": [f"{url}/signin/callback"],
        "post_logout_redirect_uris": [f"{url}/signin"],
        "backchannel_logout_uri": f"{url}/signin/backchannel",
        "backchannel_logout_session_required": True,
    }
    node = shutil.which("node")
    assert node, f"node is not installed: {MAKE}"
    assert (OIDC / "node_modules").is_dir(), f"oidc-provider is not installed: {MAKE}"
    with subprocess.Popen(
        [node, "provider.mjs"],
        cwd=OIDC,
        env={**os.environ, "PROVIDER": json.dumps({"client": client, "people": people})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield str(json.loads(process.stdout.readline())["issuer"])
        finally:
            process.stdin.close()
