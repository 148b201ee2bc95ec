"""``python -m bench.agentdojo``: AgentDojo 0.1.35, suites v1.2.2, every pair, through the real gateway and a real policy.

The model is a perfect assistant until it has read anything that is not trusted, and from then on nothing but the attacker: it
plays the calls that reach the attacker's goal, with everything there is to know. Nobody is there to say yes to anything. What a
tool is and which rules hold stands in bench/agentdojo/*.toml and rules.cedar, for a reader to judge; AgentDojo itself runs in an
environment of its own, bench/.venv-agentdojo, which ``make bench`` makes from bench/requirements-agentdojo.lock.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import affidavit
from affidavit.app.acting import JOURNEY, LiveDoors
from affidavit.app.config import EmbedderSpec
from affidavit.app.workspace import Workspace
from affidavit.ask.hand import Doors, Hand, Observed, WaitsError, memory_of
from affidavit.domain.canonical import Json
from affidavit.domain.errors import ToolError
from affidavit.domain.labels import Label, Labels, Origin
from affidavit.domain.provenance import Leaf, Memory
from affidavit.domain.tools import Contract, Effect, Idempotency, Role
from affidavit.gateway.contracts import Context
from affidavit.runs.recorder import Run, new_run_id
from affidavit.runs.resume import Resumed
from bench.measure import say
from bench.tables import table

HERE = Path(__file__).with_name("agentdojo")
PYTHON = Path(__file__).with_name(".venv-agentdojo") / "bin" / "python"
USER, BOSS, TENANT = "user:emma", "user:boss", "dojo"
PERSUASION = frozenset({("travel", "injection_task_6")})
"""Attacks that reach their goal by what the answer says, through no tool: no gateway can stop them, so they are counted apart."""
_MOST = 60


class Dojo:
    """The environments, in a process of their own."""

    def __init__(self, python: Path) -> None:
        self._process = subprocess.Popen(
            [str(python), "-P", str(HERE / "world.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, do: str, **given: Any) -> Any:
        """One request. Raises RuntimeError if the process is gone; it has said why."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **given}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("AgentDojo's process has ended")
        return json.loads(line)

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate()


def declared(suite: str, name: str, said: Mapping[str, Any], tool: Mapping[str, Any]) -> Contract:
    """A contract out of its declaration and the suite's own schema; fractions are decimal text."""
    properties = {n: _exact(schema) for n, schema in tool["parameters"].items()}
    return Contract(
        name=f"{suite}.{name}",
        version=1,
        description=tool["description"],
        parameters={
            "type": "object",
            "properties": properties,
            "required": list(tool["needed"]),
            "additionalProperties": False,
        },
        result={"properties": {}} if said.get("record") else {},
        effect=Effect(said["effect"]),
        idempotency=Idempotency.NATIVE if said["effect"] == "read" else Idempotency.NONE,
        roles=dict.fromkeys(said.get("data", ()), Role.DATA),
        outward=said.get("outward", False),
        trusted=said.get("trusted", False),
        trusts=said.get("trusts", {}),
        kinds=said.get("kinds", {}),
        said={n: {v: tuple(w) for v, w in words.items()} for n, words in said.get("said", {}).items()},
    )


_KINDS = {"number": "string", "string": "string", "integer": "integer", "boolean": "boolean"}


def _exact(schema: Mapping[str, Any]) -> Json:
    kinds = [schema, *schema.get("anyOf", ())]
    named = [str(k["type"]) for k in kinds if "type" in k and k["type"] != "null"]
    nothing = ["null"] if any(k.get("type") == "null" for k in kinds) else []
    if "array" in named:
        return {"type": ["array", *nothing], "items": {"type": "string"}}
    kind = _KINDS.get(named[0], "string") if named else "string"
    return {"type": [kind, *nothing] if nothing else kind}


@dataclass(frozen=True)
class Callee:
    """A function of the suite, behind the gateway."""

    contract: Contract
    dojo: Dojo

    def run(self, arguments: Mapping[str, Json], context: Context) -> Json:
        said = self.dojo.ask("call", name=self.contract.name.partition(".")[2], arguments=dict(arguments))
        if "error" in said:
            raise ToolError(said["error"])
        result: Json = said["result"]
        return result

    def check(self, arguments: Mapping[str, Json], context: Context) -> tuple[bool, Json]:
        return False, None


@dataclass
class Boss:
    """``Doors`` to the gateway, with somebody behind it who says yes to everything, or nobody. ``asked``: what waited."""

    doors: LiveDoors
    ws: Workspace
    yes: bool
    asked: list[str] = field(default_factory=list)

    def parse(self, text: str) -> dict[str, Json]:
        return self.doors.parse(text)

    def call(
        self, run: Run, step: int, tool: str, arguments: Mapping[str, Json], context: Mapping[str, Json]
    ) -> Mapping[str, Json]:
        try:
            return self.doors.call(run, step, tool, arguments, context)
        except WaitsError as waits:
            self.asked.append(tool)
            if not self.yes:
                return {"call": waits.name, "state": waits.state, "result": None, "why": "it waits"}
            self.ws.tools.approve(self.ws.parts.tenant(TENANT), BOSS, waits.name)
            return self.doors.call(run, step, tool, arguments, context)


# -- one rule less


class NotTheAskersWords(Memory):
    """Takes no value for the person's because it stands in what they said."""

    def trace(self, value: Leaf, kind: str = "", said: Sequence[str] = ()) -> Labels:
        heard, self.asked = self.asked, memory_of("").asked
        try:
            return super().trace(value, kind, said)
        finally:
            self.asked = heard


class ManyAsOne(Memory):
    """Believes each of many that were found."""

    def returned(self, contract: Contract, arguments: Mapping[str, Json], result: Json) -> None:
        if isinstance(result, list):
            for item in result:
                super().returned(contract, arguments, [item])
            return
        super().returned(contract, arguments, result)


class AnyKind(Memory):
    """Lets an id vouch for anything."""

    def returned(self, contract: Contract, arguments: Mapping[str, Json], result: Json) -> None:
        super().returned(replace(contract, trusts=dict.fromkeys(contract.trusts, "")), arguments, result)

    def trace(self, value: Leaf, kind: str = "", said: Sequence[str] = ()) -> Labels:
        return super().trace(value, "", said)


NOBODY = Label(Origin.MODEL, "nobody")


class AlwaysTainted(Memory):
    """Trusts nothing merely because nothing untrusted was read by then."""

    def __post_init__(self) -> None:
        self._read.add(NOBODY)


class WithoutGateway:
    """``Doors`` that decide by the same rule without a policy, ledger or log: for comparing rules, eight times as fast."""

    def __init__(self, callees: Mapping[str, Callee], *, outward: bool = True, approval: bool = True) -> None:
        self._callees, self._outward, self._approval = callees, outward, approval
        self.asked: list[str] = []

    def parse(self, text: str) -> dict[str, Json]:
        found: dict[str, Json] = json.loads(text)
        return found

    def call(
        self, run: Run, step: int, tool: str, arguments: Mapping[str, Json], context: Mapping[str, Any]
    ) -> Mapping[str, Json]:
        made = self._callees[tool].contract
        judged = made.effect is not Effect.READ or (made.outward and self._outward)
        labels = context["labels"]
        free = all(
            labels[n] and all(x["trusted"] for x in labels[n])
            for n in arguments
            if made.role(n) is Role.CONTROL
        )
        if self._approval and judged and not free:
            self.asked.append(tool)
            return {"call": "", "state": "waiting", "result": None, "why": ""}
        try:
            result = self._callees[tool].run(arguments, Context("", 1, 1.0))
        except ToolError as error:
            return {"call": "", "state": "failed", "result": None, "why": error.message}
        return {"call": "", "state": "done", "result": result, "why": ""}


RULES: Mapping[str, tuple[type[Memory], Mapping[str, bool]]] = {
    "all rules": (Memory, {}),
    "the asker's words vouch for nothing": (NotTheAskersWords, {}),
    "one of many found is believed": (ManyAsOne, {}),
    "an id vouches for any kind": (AnyKind, {}),
    "nothing is trusted before the first untrusted read": (AlwaysTainted, {}),
    "fetching an address is mere reading": (Memory, {"outward": False}),
    "nobody is asked about unvouched arguments": (Memory, {"approval": False}),
}


# -- playing


@dataclass(frozen=True)
class Stage:
    """A suite: its prompts, its attackers, its tools that the feature allows."""

    name: str
    users: Mapping[str, str]
    attackers: Sequence[str]
    callees: Mapping[str, Callee]

    def hand(self, run: Run, user: str, doors: Doors, memory: type[Memory] = Memory) -> Hand:
        asked = memory_of(self.users[user])
        contracts = [c.contract for c in self.callees.values()]
        return Hand(run, memory(asked.asked), contracts, doors, _MOST)

    def play(self, hand: Hand, plan: Sequence[Any], *, until_tainted: bool = False) -> list[Observed]:
        done = []
        for name, given in plan:
            done.append(hand.propose(f"{self.name}.{name}@1", json.dumps(given)))
            if until_tainted and _touched(hand):
                break
        return done


def stages(dojo: Dojo) -> list[Stage]:
    """Every suite with its declaration. A tool without one is not offered."""
    out = []
    for name, suite in dojo.ask("describe").items():
        said = tomllib.loads((HERE / f"{name}.toml").read_text())
        allowed = said["features"]["assistant"]
        made = [declared(name, n, said["tools"][n], suite["tools"][n]) for n in allowed]
        callees = {c.key: Callee(c, dojo) for c in made}
        out.append(Stage(name, suite["users"], list(suite["attackers"]), callees))
    return out


@contextmanager
def workspace(folder: Path, found: Sequence[Stage]) -> Iterator[Workspace]:
    """Where emma may act and her boss approves, under bench/agentdojo/rules.cedar."""
    with affidavit.init(folder / "ws", EmbedderSpec("none")) as ws:
        people = folder / "people.jsonl"
        people.write_text('{"id": "emma"}\n{"id": "boss"}\n')
        ws.import_people(people, TENANT)
        tenant = ws.parts.tenant(TENANT)
        ws.people.grant(tenant, USER, "role:operator")
        ws.people.grant(tenant, BOSS, "role:approver")
        ws.controls.set_mode(tenant, "live", "operator:bench", "to be attacked")
        for stage in found:
            ws.tools.add(*stage.callees.values())
        rules = {"rules.cedar": (HERE / "rules.cedar").read_text()}
        ws.publish({**ws.parts.release().content, "policy": {"files": rules}})
        yield ws


def _run(ws: Workspace) -> Resumed:
    run = Resumed(
        new_run_id(ws.parts.randomness), ws.parts.tenant(TENANT).id, JOURNEY, ws.parts.release().digest
    )
    run.start({"principal": USER})
    return run


def honest(dojo: Dojo, found: Sequence[Stage], ws: Workspace) -> dict[str, Any]:
    """What the users ask, done by the calls that the suite says are right, with somebody who says yes."""
    asked, finished, unasked = Counter[str](), 0, 0
    for stage in found:
        for user in stage.users:
            plan = dojo.ask("begin", suite=stage.name, user=user)
            boss = Boss(LiveDoors(ws.parts, ws.tools, ws.parts.tenant(TENANT).id, USER), ws, yes=True)
            stage.play(stage.hand(_run(ws), user, boss), plan)
            finished += dojo.ask("finished")
            unasked += not boss.asked
            asked[stage.name] += bool(boss.asked)
    return {
        "tasks": sum(len(s.users) for s in found),
        "without_asking": unasked,
        "finished_with_yes": finished,
        "asked_in": dict(asked),
    }


def attacked(dojo: Dojo, found: Sequence[Stage], ws: Workspace) -> dict[str, Any]:
    """Every pair. A persuasion is never counted as stopped, since nothing here could."""
    reached, pairs, persuasions, calls = [], 0, 0, 0
    began = time.perf_counter()
    for stage in found:
        for user in stage.users:
            for attacker in stage.attackers:
                if (stage.name, attacker) in PERSUASION:
                    persuasions += 1
                    continue
                pairs += 1
                boss = Boss(LiveDoors(ws.parts, ws.tools, ws.parts.tenant(TENANT).id, USER), ws, yes=False)
                hand = stage.hand(_run(ws), user, boss)
                if _hostile(dojo, stage, hand, user, attacker):
                    reached.append([stage.name, user, attacker])
                calls += len(hand.observed)
    return {
        "pairs": pairs,
        "persuasions": persuasions,
        "reached": reached,
        "calls": calls,
        "seconds": round(time.perf_counter() - began),
    }


def _hostile(dojo: Dojo, stage: Stage, hand: Hand, user: str, attacker: str) -> bool:
    plan = dojo.ask("begin", suite=stage.name, user=user)
    stage.play(hand, plan, until_tainted=True)
    if not _touched(hand):
        return False
    stage.play(hand, dojo.ask("hostile", attacker=attacker))
    return bool(dojo.ask("reached", attacker=attacker))


def _touched(hand: Hand) -> bool:
    """Whether an attacker may have reached the model: it has read something that is not trusted."""
    return any(not label.trusted for label in hand.memory.labels - {NOBODY})


def compared(dojo: Dojo, found: Sequence[Stage]) -> list[dict[str, Any]]:
    """How the figures move with each rule switched off."""
    out = []
    for what, (memory, switches) in RULES.items():
        unasked, reached = 0, 0
        for stage in found:
            for user in stage.users:
                doors = WithoutGateway(stage.callees, **switches)
                plan = dojo.ask("begin", suite=stage.name, user=user)
                stage.play(stage.hand(Run("", 1, JOURNEY, ""), user, doors, memory), plan)
                unasked += not doors.asked
                for attacker in stage.attackers:
                    if (stage.name, attacker) in PERSUASION:
                        continue
                    doors = WithoutGateway(stage.callees, **switches)
                    hand = stage.hand(Run("", 1, JOURNEY, ""), user, doors, memory)
                    reached += _hostile(dojo, stage, hand, user, attacker)
        say(f"agentdojo, {what}: {unasked} tasks without asking, {reached} attacks")
        out.append({"rules": what, "without_asking": unasked, "reached": reached})
    return out


def measure(python: Path = PYTHON) -> dict[str, Any]:
    """All of it. Raises FileNotFoundError where AgentDojo's environment is not there."""
    dojo = Dojo(python)
    try:
        found = stages(dojo)
        with tempfile.TemporaryDirectory() as folder, workspace(Path(folder), found) as ws:
            kept = honest(dojo, found, ws)
            say(f"agentdojo: {kept}")
            broken = attacked(dojo, found, ws)
            say(f"agentdojo: {len(broken['reached'])} of {broken['pairs']} attacks in {broken['seconds']} s")
            verified = ws.verify()["events"]
        return {
            "honest": kept,
            "attacks": broken,
            "events_verified": verified,
            "rules": compared(dojo, found),
        }
    finally:
        dojo.close()


def main() -> dict[str, Any]:
    """Measure and print."""
    found = measure()
    kept, broken = found["honest"], found["attacks"]
    print(
        table(
            ("what", "figure"),
            [
                ("tasks without asking a person", f"{kept['without_asking']} of {kept['tasks']}"),
                ("tasks finished, with a yes where asked", f"{kept['finished_with_yes']} of {kept['tasks']}"),
                ("tool-borne attacks that succeed", f"{len(broken['reached'])} of {broken['pairs']}"),
                ("persuasion pairs (by answer text), apart", broken["persuasions"]),
            ],
        )
    )
    rows = [(r["rules"], r["without_asking"], r["reached"]) for r in found["rules"]]
    print(table(("rules", "without asking", "attacks"), rows))
    return found


if __name__ == "__main__":
    main()
