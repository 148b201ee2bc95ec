"""What models were asked for one run, in tokens, as its record says."""

from __future__ import annotations

from dataclasses import dataclass

from affidavit.app.wiring import Parts
from affidavit.domain.events import EventKind
from affidavit.models.caller import CHARGED


@dataclass(frozen=True)
class Used:
    """Tokens of all the requests that were made for a run; ``cached`` is the part of ``input`` that the provider had already."""

    input: int = 0
    output: int = 0
    cached: int = 0


def used(parts: Parts, tenant: int, run: str) -> Used:
    """The sum over the run's charges; nothing where no model was asked, and of a run that is not the tenant's."""
    sums = [0, 0, 0]
    with parts.database.read():
        for event in parts.events.of_run(run):
            if (
                event.tenant != tenant
                or event.kind is not EventKind.STEP_RECORDED
                or not str(event.facts["name"]).startswith(CHARGED)
            ):
                continue
            output = (parts.events.body(event) or {}).get("output")
            for charge in output.get("charges", ()) if isinstance(output, dict) else ():
                sums = [n + charge[name] for n, name in zip(sums, ("input", "output", "cached"), strict=True)]
    return Used(*sums)
