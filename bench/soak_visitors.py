"""Those who do not only ask: browsers, agents, auditors and a directory, each checking what they are told."""

from __future__ import annotations

import base64
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

import affidavit.offline.verify_affidavit as offline
from bench.soak_clients import DOCUMENTS, PATIENCE, RIGHT, Seen, World, check, leaks, topic

_PAGES = ("/", "/runs", "/documents", "/approvals", "/tools")
_PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


class Visitor:
    """One who comes again and again until it is over. ``once`` is one visit."""

    def __init__(self, world: World, seen: Seen, url: str, number: int) -> None:
        self.world, self.seen, self.random = world, seen, random.Random(1000 + number)
        self._http = httpx.Client(base_url=url, trust_env=False, timeout=PATIENCE)

    def run(self, over: threading.Event) -> None:
        while not over.is_set():
            try:
                self.once()
            except httpx.TransportError as error:
                self.seen.cut_off(error)
        self._http.close()

    def once(self) -> None:
        raise NotImplementedError

    def send(self, method: str, path: str, who: str, **more: Any) -> httpx.Response:
        """The answer, counted; a status that is not right is a fault."""
        began = time.monotonic()
        if who in self.world.keys:
            more["headers"] = {"Authorization": f"Bearer {self.world.keys[who]}", **more.get("headers", {})}
        answer = self._http.request(method, path, **more)
        self.seen.note(
            f"{type(self).__name__.lower()} {answer.status_code}", (time.monotonic() - began) * 1000
        )
        if answer.status_code not in RIGHT:
            self.seen.fault(f"{method} {path} as {who}: HTTP {answer.status_code} {answer.text[:200]}")
        return answer

    def asked(self, who: str, n: int) -> httpx.Response:
        """The answer to ``who`` about document ``n``."""
        answer = self.send("POST", "/v1/ask", who, json={"question": question(n)})
        if answer.status_code == 200:
            self.seen.note("200", 0, answer.headers["X-Request-Id"])
        return answer


def question(n: int) -> str:
    """A question that document ``n`` answers."""
    return f"What is the code of the {topic(n)} project?"


class Browser(Visitor):
    """Looks at pages of the console as bob."""

    def __init__(self, world: World, seen: Seen, url: str, number: int) -> None:
        super().__init__(world, seen, url, number)
        tenant = world.ws.parts.tenant("acme")
        _, token = world.ws.credentials.begin_session(tenant, "user:bob", "link", 8)
        self._cookie = {"Cookie": f"affidavit={token}"}

    def once(self) -> None:
        began = time.monotonic()
        page = self.send("GET", self.random.choice(_PAGES), "bob's browser", headers=self._cookie)
        leaks(self.world, self.seen, "bob", began, page.text)


class Agent(Visitor):
    """Searches over MCP, for alice and for mallory."""

    def once(self) -> None:
        who, n, began = (
            self.random.choice(("alice", "mallory")),
            self.random.randrange(DOCUMENTS),
            time.monotonic(),
        )
        called = {"name": "search", "arguments": {"question": question(n)}}
        answer = self.send(
            "POST",
            "/mcp",
            who,
            headers={"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18"},
            json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": called},
        )
        if answer.status_code == 200:
            check(self.world, self.seen, who, n, began, answer.text)


class Auditor(Visitor):
    """Asks as alice, follows the run to its end, takes the proof home and checks it there."""

    def __init__(self, world: World, seen: Seen, url: str, number: int) -> None:
        super().__init__(world, seen, url, number)
        self._key = world.ws.parts.signer.verifier()

    def once(self) -> None:
        answer = self.asked("alice", self.random.randrange(DOCUMENTS))
        if answer.status_code != 200:
            return
        run = answer.json()["run"]
        followed = self.send(
            "GET", f"/v1/runs/{run}/events", "alice", headers={"Accept": "text/event-stream"}
        )
        if followed.status_code == 200 and "run.finished" not in followed.text:
            self.seen.fault(f"{run} was followed and did not end")
        export = self.send("POST", f"/v1/runs/{run}/export", "alice", json={})
        if export.status_code == 200:
            self._holds(run, base64.b64decode(export.json()["data"]))

    def _holds(self, run: str, proof: bytes) -> None:
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            Path(file.name).write_bytes(proof)
            command = [sys.executable, str(offline.__file__), file.name, "--key", self._key, "--json"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            self.seen.fault(f"the proof of {run} does not hold: {json.loads(done.stdout).get('error')}")


class Directory(Visitor):
    """Puts carol into a group and takes her out, over SCIM; what she is told changes with the next question."""

    def __init__(self, world: World, seen: Seen, url: str, number: int) -> None:
        super().__init__(world, seen, url, number)
        tenant = world.ws.parts.tenant("acme")
        made = world.ws.credentials.make_key(
            tenant, "service:directory", "scim", 2, "operator:soak", ["people:change"]
        )
        world.keys["directory"] = made[1]

    def once(self) -> None:
        n = 4 * self.random.randrange(DOCUMENTS // 4)
        for op, member in (("add", True), ("remove", False)):
            if not self._change(op):
                return
            answer = self.asked("carol", n)
            told = str(n) in leaks(self.world, self.seen, "carol", time.monotonic(), answer.text)
            if answer.status_code == 200 and told and not member:
                self.seen.fault(f"carol was told {n} after the directory had taken her out")
            if answer.status_code == 200 and not told and member and "syncing" not in self.seen.moments:
                self.seen.fault(f"carol was not told {n} after the directory had put her in")

    def _change(self, op: str) -> bool:
        people, groups = (
            self._id("Users", 'userName eq "carol"'),
            self._id("Groups", 'displayName eq "inner"'),
        )
        if not people or not groups:
            return False
        changed = {"op": op, "path": "members", "value": [{"value": people}]}
        if op == "remove":
            changed = {"op": op, "path": f'members[value eq "{people}"]'}
        body = {"schemas": [_PATCH], "Operations": [changed]}
        return self.send("PATCH", f"/scim/v2/Groups/{groups}", "directory", json=body).status_code == 200

    def _id(self, kind: str, filter: str) -> str:
        found = self.send("GET", f"/scim/v2/{kind}", "directory", params={"filter": filter})
        return str(found.json()["Resources"][0]["id"]) if found.status_code == 200 else ""


def visitors(world: World, seen: Seen, url: str) -> Sequence[Visitor]:
    """One of each."""
    kinds = (Browser, Agent, Auditor, Directory)
    return [kind(world, seen, url, number) for number, kind in enumerate(kinds)]
