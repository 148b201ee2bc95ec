"""Pages: the record. A list of runs, one run as its steps, the same run repeated, or with something changed."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from fastapi import Response
from markupsafe import Markup

from affidavit.domain.errors import AffidavitError, UsageError
from affidavit.entrypoints.console import charts
from affidavit.entrypoints.console.cited import cited, given_in, passage, whole
from affidavit.entrypoints.console.filters import count, words
from affidavit.entrypoints.console.frame import Console, Nav, Visit
from affidavit.entrypoints.console.told import Moment, happened, spans
from affidavit.entrypoints.console.wording import compared
from affidavit.models.caller import CHARGED

FILTERS = ("text", "journey", "status", "principal", "since", "until")
JOURNEYS = ("ask", "act", "search", "read", "call", "sync", "embed")
STATUSES = ("answered", "refused", "waiting", "failed", "done", "unfinished")
CHANGES = {
    "as": ("Asked by", "another person or service", "user:bob"),
    "position": ("As things stood", "a time, a position of the log, or now", "2026-11-01T09:00"),
    "before": ("Just before position", "for example before a permission was taken away", "1234"),
    "without": ("Without this document", "as its source names it", "policies/leave.md"),
    "model": ("With another model", "a target of the release, or none for no model", "none"),
    "embedder": ("Search by meaning", "none finds by keyword alone", "none"),
}
"""What a text field changes: its name, what goes into it, an example."""
MEANINGS = {
    "identify": "who asks, and whose groups they are in",
    "guard": "whether the question may be put at all",
    "route": "which model answers, if any",
    "scope": "what they may read at this moment",
    "embed": "the question as a vector",
    "retrieve": "what was found among what they may read",
    "recheck": "each passage held against its rule once more",
    "score": "how well each passage fits",
    "suffice": "whether this is enough for an answer",
    "generate": "the statements, each with its passages",
    "verify": "each statement held against its passages",
    "call": "a tool was called",
    "sync": "a source was read",
}
"""What the steps of a run are there for."""


def add(console: Console) -> None:
    """The list and what can be done with one run."""
    console.page("/runs", listed, Nav("Runs", "Answers", "run:read"))
    console.page("/runs/{run}", one)
    console.form("/runs/{run}/explain", explained)
    console.form("/runs/{run}/replay", replayed)
    console.page("/runs/{run}/what-if", supposing)
    console.form("/runs/{run}/what-if", supposed)
    console.form("/runs/{run}/bundle", bundle)
    console.page("/verify", verifying)


def listed(visit: Visit) -> Response:
    """Newest first, with search and filters."""
    asked = {k: visit.query[k].strip() for k in FILTERS if visit.query.get(k, "").strip()}
    after = {"after": visit.query["after"]} if visit.query.get("after") else {}
    until = (
        {"until": f"{asked['until']}T23:59:59.999999"} if "until" in asked else {}
    )  # the whole of that day
    found = visit.ask("runs.list", limit=50, **{**asked, **after, **until})
    return visit.page(
        "runs.html",
        "Runs",
        runs=found["items"],
        next=found["next"],
        asked=asked,
        journeys=JOURNEYS,
        statuses=STATUSES,
        everybody=visit.may("audit:read"),
    )


def one(visit: Visit) -> Response:
    """One run: what went in, what was found and given; for auditors each step and what was denied."""
    story = visit.ask("runs.show", run=visit.path["run"])
    given = given_in(story)
    timings = story.get("timings", {})
    steps = [step["name"] for step in story.get("steps", ())]
    calls = _calls(visit, story)
    laps = charts.laps(timings, steps) or [lap for call, _ in calls for lap in spans(call)]
    charged = _charges(story.get("steps", ()))
    return visit.page(
        "run.html",
        "Run",
        story=story,
        given=given,
        erased=_erased(story),
        heading=_heading(story),
        meanings=MEANINGS,
        calls=calls,
        charges=charged,
        cost=_cost(story, charged),
        release=_release(visit, story["release"]),
        hits=[{**hit, "href": _hit(hit)} for hit in story.get("retrieved", ())],
        timeline=charts.timeline(laps, "Where the time went") if laps else None,
        took=sum(timings.values()),
        may_replay=visit.may("audit:replay"),
        **(cited(given) if given else {"claims": [], "places": []}),
    )


def _heading(story: Mapping[str, Any]) -> str:
    """What the run was about, in the words of whoever asked if there are any."""
    tools = ", ".join(f"Call of {call['tool']}" for call in story.get("calls") or ())
    return str(
        story["question"] or story.get("document") or story["source"] or tools or words(story["journey"])
    )


def _calls(visit: Visit, story: Mapping[str, Any]) -> list[tuple[dict[str, Any], list[Moment]]]:
    """The calls of a run, each with what happened to it, as far as the reader may know."""
    out: list[tuple[dict[str, Any], list[Moment]]] = []
    for call in story.get("calls") or ():
        try:
            found = visit.ask("calls.show", call=call["call"])
        except AffidavitError:
            out.append((call, []))
        else:
            out.append((found, happened(found)))
    return out


def _cost(story: Mapping[str, Any], charges: Sequence[Mapping[str, Any]]) -> str:
    """What models cost in all; whoever sees no steps is told nothing of it."""
    if "steps" not in story:
        return "–"
    if not charges:
        return "no model was asked"
    if not all(charge["cost"] for charge in charges):
        return "not all of it has a price"
    sums: dict[str, Decimal] = {}
    for charge in charges:
        amount, _, currency = charge["cost"].partition(" ")
        sums[currency] = sums.get(currency, Decimal(0)) + Decimal(amount)
    return ", ".join(f"{amount} {currency}" for currency, amount in sums.items())


def _release(visit: Visit, digest: str) -> str | Markup:
    if not visit.may("policy:read"):
        return digest[:16]
    return Markup('<a href="/releases/{}"><code>{}</code></a>').format(digest, digest[:12])


def _charges(steps: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What each call of a model used and cost, as far as it is on record; ``cost`` is "" where no price is known."""
    said = [(step["name"], step.get("output")) for step in steps if step["name"].startswith(CHARGED)]
    told = [(name, charge) for name, o in said if isinstance(o, Mapping) for charge in o.get("charges") or ()]
    return [
        {
            "step": name,
            "model": f"{charge['provider']}/{charge['model']}",
            "input": charge["input"],
            "output": charge["output"],
            "cost": "" if charge["micro"] is None else f"{charge['micro'] / 1e6:.6f} {charge['currency']}",
        }
        for name, charge in told
    ]


def _erased(story: Mapping[str, Any]) -> bool:
    """Whether parts of it were erased."""
    parts = (story.get("given") or {}, *story.get("steps", ()))
    return any(part.get("erased") for part in parts) or (story.get("principal") is None and "given" in story)


def _hit(hit: Mapping[str, Any]) -> str:
    """Where a hit of the record leads: its chunk names the revision."""
    revision, dot, _ = str(hit["chunk"]).rpartition(".")
    return passage({**hit, "revision": revision}) if dot else whole(hit["source"], hit["document"])


def explained(visit: Visit) -> Response:
    """A postmortem's questions, answered."""
    found = visit.ask("runs.explain", run=visit.path["run"])
    return visit.page("explain.html", "Explained", found=found, run=visit.path["run"])


def replayed(visit: Visit) -> Response:
    """The run once more: identical, or where it first differs."""
    found = visit.ask("runs.replay", run=visit.path["run"])
    return visit.page("replay.html", "Replayed", found=found, run=visit.path["run"])


def supposing(visit: Visit) -> Response:
    """The form: what if …?"""
    story = visit.ask("runs.show", run=visit.path["run"])
    return _supposed(visit, story, {}, found=None)


def _supposed(visit: Visit, story: Mapping[str, Any], asked: Mapping[str, str], **more: Any) -> Response:
    releases = visit.ask("releases.list", limit=50)["items"] if visit.may("policy:read") else []
    filled = [name for name, value in asked.items() if value]
    return visit.page(
        "what_if.html",
        "What if",
        story=story,
        changes=CHANGES,
        asked=asked,
        releases=releases,
        filled=filled,
        **more,
    )


def supposed(visit: Visit) -> Response:
    """The run as it was beside the run as it would be, with everything changed that was filled in."""
    run, form = visit.path["run"], visit.form
    asked = {name: form.get(name, "").strip() for name in (*CHANGES, "release", "policy")}
    changes = [{"what": name, "to": value} for name, value in asked.items() if value]
    story = visit.ask("runs.show", run=run)
    if not changes:
        raise UsageError("nothing was changed", "go back and fill in at least one field")
    found = visit.ask("runs.what_if", run=run, changes=changes)
    return _supposed(
        visit,
        story,
        asked,
        found=found,
        words_of=compared(_answer(found["before"]), _answer(found["after"])),
        sides=[_side(found, "before"), _side(found, "after")],
        turned=_turned(found["difference"]),
    )


def _turned(difference: Mapping[str, Any]) -> list[str]:
    """What is otherwise, in sentences."""
    before, after = difference["answer"]
    old, new = (before or {}).get("status"), (after or {}).get("status")
    told = []
    if old != new:
        told.append(f"It was {old or 'not answered'}, it would be {new or 'not answered'}.")
    elif before != after:
        told.append("The answer would say something else.")
    for key, says in (
        ("gained", "would be found that was not"),
        ("lost", "would no longer be found"),
        ("moved", "would have another rank"),
    ):
        if difference[key]:
            told.append(f"{count(len(difference[key]), 'passage')} {says}.")
    for key, says in (
        ("denied", "would be denied besides"),
        ("no_longer_denied", "would no longer be denied"),
    ):
        if difference[key]:
            told.append(f"{count(len(difference[key]), 'passage')} {says}.")
    if difference["calls"][0] != difference["calls"][1]:
        told.append("Other calls of tools would be made.")
    return told


def _answer(side: Mapping[str, Any]) -> str:
    given = side.get("given") or {}
    refusal = given.get("refusal") or {}
    return str(given.get("answer") or refusal.get("message") or "")


def _side(found: Mapping[str, Any], which: str) -> dict[str, Any]:
    """One side's passages, each marked by what became of it."""
    other = "after" if which == "before" else "before"
    theirs = {h["chunk"]: rank for rank, h in enumerate(found[other]["retrieved"], 1)}
    hits = [
        {**hit, "rank": rank, "href": _hit(hit), "other": theirs.get(hit["chunk"])}
        for rank, hit in enumerate(found[which]["retrieved"], 1)
    ]
    return {**found[which], "which": which, "hits": hits}


def bundle(visit: Visit) -> Response:
    """The run's bundle as a file: whoever has it can check it anywhere, without this server."""
    run = visit.path["run"]
    found = visit.ask("runs.export", run=run)
    name = f'attachment; filename="{quote(found["name"])}"'
    data = base64.b64decode(found["data"])
    return Response(data, media_type="application/json", headers={"Content-Disposition": name})


def verifying(visit: Visit) -> Response:
    """The page that checks a bundle in the browser."""
    run = visit.query.get("run", "")
    if run:
        try:
            visit.ask("runs.show", run=run)
        except AffidavitError:
            run = ""
    return visit.page("verify.html", "Verify", run=run)
