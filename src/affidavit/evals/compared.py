"""One evaluation, as it is kept, compared and judged by gates."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affidavit.domain.errors import ManifestError, UsageError
from affidavit.evals.measure import Difference, Interval, compare, interval

FORMAT = "affidavit-evaluation/1"
_GATE = re.compile(r"\s*([\w@()=.]+?)\s*(>=|>)\s*(\d+(?:\.\d+)?)\s*\Z")
NO_WORSE = "no-worse"


@dataclass(frozen=True)
class Evaluation:
    """What was measured. ``values``: measure to question to value; ``questions``: id to text; ``found``: id to what was found,
    best first; ``about``: what it was measured on (level, person, position, release, embedder, digest of the judgements)."""

    about: Mapping[str, Any]
    questions: Mapping[str, str]
    values: Mapping[str, Mapping[str, float]]
    found: Mapping[str, Sequence[str]]

    def means(self) -> dict[str, Interval]:
        """Each measure with its 95 % interval."""
        return {name: interval(list(values.values())) for name, values in self.values.items()}

    def against(self, baseline: Evaluation) -> dict[str, Difference]:
        """How it differs from ``baseline``, measure by measure. Raises UsageError if the two cannot be compared."""
        for what in ("level", "judgements"):
            if self.about[what] != baseline.about.get(what):
                raise UsageError(f"the baseline is of other {what}", "measure both on the same judgements")
        return {
            name: compare(values, baseline.values[name])
            for name, values in self.values.items()
            if name in baseline.values
        }

    def as_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "about": dict(self.about),
            "questions": dict(self.questions),
            "values": {name: dict(values) for name, values in self.values.items()},
            "found": {q: list(names) for q, names in self.found.items()},
        }


def read_evaluation(path: Path) -> Evaluation:
    """An evaluation that was saved. Raises UsageError, ManifestError."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "check the path") from error
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{path} is not JSON: {error}", "save one with --save FILE") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise ManifestError(f"{path} is no evaluation", "save one with --save FILE")
    try:
        values = {str(m): {str(q): float(v) for q, v in by.items()} for m, by in value["values"].items()}
        found = {str(q): tuple(map(str, names)) for q, names in value["found"].items()}
        return Evaluation(dict(value["about"]), dict(value["questions"]), values, found)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ManifestError(f"{path} is malformed: {error!r}", "save it anew with --save FILE") from error


def failed_gates(
    evaluation: Evaluation, gates: Sequence[str], differences: Mapping[str, Difference] | None
) -> list[str]:
    """What each gate that does not hold has to say: ``nDCG@10>=0.8``, or ``no-worse`` (than the baseline, beyond chance).

    Raises UsageError for a gate that cannot be judged.
    """
    failed = []
    for gate in gates:
        if gate == NO_WORSE:
            if differences is None:
                raise UsageError("no-worse than what?", "add --baseline FILE")
            failed += [
                f"{name} is worse than the baseline by {-d.mean:.4f} ({d.low:+.4f} to {d.high:+.4f})"
                for name, d in differences.items()
                if d.worse
            ]
            continue
        match = _GATE.match(gate)
        if match is None or match[1] not in evaluation.values:
            measured = ", ".join(evaluation.values)
            raise UsageError(f"{gate!r} is no gate", f"no-worse, or MEASURE>=NUMBER with one of {measured}")
        mean, least = interval(list(evaluation.values[match[1]].values())).mean, float(match[3])
        if not (mean >= least if match[2] == ">=" else mean > least):
            failed.append(f"{match[1]} is {mean:.4f}, not {match[2]} {match[3]}")
    return failed
