"""What a decision costs: by the engine alone with 1,000 entities, and by a workspace that looks up mode, person and release.

``python -m bench.policy`` prints a table.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.app.policies import shipped
from affidavit.domain.decisions import Wish
from affidavit.domain.labels import ASKER
from affidavit.domain.roles import ACTIONS
from affidavit.domain.tools import Contract, Effect, Idempotency, Role
from affidavit.policy.cedar import Cedar
from bench.measure import percentile, timed

GROUPS, TOOLS, TIMES = 1_000, 100, 3_000
_FRIDAY = 1_795_168_800_000_000
_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"to": {"type": "string"}, "amount": {"type": "integer"}, "text": {"type": "string"}},
}


def _tools() -> tuple[Contract, ...]:
    return tuple(
        Contract(
            f"bench.tool{n}",
            1,
            "A tool.",
            _PARAMETERS,
            {},
            Effect.WRITE,
            Idempotency.BY_KEY,
            {"text": Role.DATA},
        )
        for n in range(TOOLS)
    )


def _wish(groups: int) -> Wish:
    label = ASKER.as_json()
    arguments: dict[str, Any] = {"to": "bob", "amount": 500, "text": "hello"}
    return Wish(
        1,
        "user:alice",
        frozenset({"user:alice", "anyone", *(f"group:g{n}" for n in range(groups))}),
        frozenset({"operator"}),
        "tool:call",
        "bench.tool7@1",
        {},
        {
            "arguments": arguments,
            "labels": {name: [label] for name in arguments},
            "mode": "live",
            "time": _FRIDAY,
        },
    )


def _spread(microseconds: list[float]) -> dict[str, float]:
    return {
        "p50_us": round(percentile(microseconds, 50), 1),
        "p95_us": round(percentile(microseconds, 95), 1),
    }


def _measure(work: Any) -> dict[str, float]:
    for _ in range(50):
        work()
    return _spread([timed(work) * 1e3 for _ in range(TIMES)])


def policy() -> dict[str, Any]:
    """Microseconds a decision."""
    tools = _tools()
    engine = Cedar(shipped().rules, tools, ACTIONS)
    results: dict[str, Any] = {"rules": len(engine.rules), "tools": TOOLS}
    results["load_ms"] = round(timed(lambda: Cedar(shipped().rules, tools, ACTIONS)), 1)
    for groups in (3, GROUPS):
        wish = _wish(groups)
        if engine.decide(wish, "acme").verdict.value != "permit":
            raise RuntimeError("the call that is measured is not permitted")
        results[f"engine_{groups}_groups"] = _measure(lambda wish=wish: engine.decide(wish, "acme"))
    with (
        tempfile.TemporaryDirectory() as folder,
        affidavit.init(Path(folder) / "ws", EmbedderSpec("none")) as ws,
    ):
        people = Path(folder) / "people.jsonl"
        people.write_text(json.dumps({"id": "alice", "groups": []}) + "\n")
        ws.import_people(people)
        ws.controls.set_mode(ws.parts.tenant(""), "live", "operator:bench", "measuring")
        ws.policy.contracts = lambda tenant: tools
        results["workspace_decide"] = _measure(lambda: ws.policy.decide(_wish(3)))
        results["halted"] = _measure(lambda: ws.policy.halted(1, "bench.tool7@1"))
        for n in range(100):
            ws.controls.kill(ws.parts.tenant(""), f"tool:other{n}", "operator:bench", "measuring")
        results["halted_100_stopped"] = _measure(lambda: ws.policy.halted(1, "bench.tool7@1"))
    return results


def main() -> dict[str, Any]:
    """Print the table."""
    results = policy()
    for name, value in results.items():
        print(f"{name:24} {value}")
    return results


if __name__ == "__main__":
    main()
