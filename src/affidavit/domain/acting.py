"""How far a release lets a model act: which tools for which feature, how many calls, how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MOST_STEPS = 100


@dataclass(frozen=True)
class Acting:
    """``tools``: for each feature the tools (``name`` or ``name@version``) that a run of it may call, nothing else; ``steps``: at
    most so many calls; ``milliseconds``: for all of it, waiting for people left out; the ``prompt`` by name, ``version`` and
    ``digest``; ``coverage``: as for written answers. Money is bounded by the budgets of tenant and person."""

    tools: Mapping[str, tuple[str, ...]]
    steps: int
    milliseconds: int
    prompt: str
    version: int
    digest: str
    coverage: float


def parse_acting(content: Mapping[str, Any]) -> Acting:
    """What a release says under ``act``. Raises ValueError, KeyError or TypeError for anything that is not exactly that."""
    wanted = {"tools", "steps", "milliseconds", "prompt", "version", "digest", "coverage"}
    if set(content) != wanted:
        raise ValueError(f"act has {sorted(wanted)}")
    tools = {}
    for feature, names in content["tools"].items():
        if isinstance(names, str) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"act: the tools of {feature} are a list of names")
        tools[str(feature)] = tuple(names)
    steps, milliseconds = int(content["steps"]), int(content["milliseconds"])
    coverage = float(content["coverage"])
    if not tools or not 1 <= steps <= MOST_STEPS or milliseconds < 1 or not 0 <= coverage <= 1:
        raise ValueError(f"act: a feature, 1 to {MOST_STEPS} steps, some time, and a coverage from 0 to 1")
    return Acting(
        tools,
        steps,
        milliseconds,
        str(content["prompt"]),
        int(content["version"]),
        str(content["digest"]),
        coverage,
    )
