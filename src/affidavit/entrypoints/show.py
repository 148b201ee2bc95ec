"""Answers, hits, syncs and runs in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from affidavit.ask.giving import OnClaim
from affidavit.domain.answer import Answer, GivenClaim
from affidavit.entrypoints.output import Output
from affidavit.ingest.sync import SyncReport
from affidavit.store.controls import LIVE

_FAULTS_SHOWN = 20
_HITS_SHOWN = 8


_INCOMPLETE = {
    "model": "the model broke off here: what is above holds, and there may be more to say",
    "interrupted": "the answer was interrupted here: what is above was given, and nothing else",
    "unfinished": "the record ends here, and so did the process: what is above may have been given, and nothing else",
}


def claim(out: Output, number: int, said: Mapping[str, Any]) -> None:
    """A numbered claim; its citation follows at the end of the answer."""
    # what follows a line break in a quote must not pass for a line of ours
    out.say(f"{_indented(said['text'])} [{number}]")


def answer(out: Output, given: Mapping[str, Any], run: str, position: int, told: int = 0) -> None:
    """An answer with numbered citations, or a refusal with next steps. So many claims were ``told`` already."""
    if given["refusal"]:
        refusal = given["refusal"]
        out.say(refusal["message"], "yellow")
        for step in refusal["next_steps"]:
            out.say(f"  - {step}")
    if given.get("understood"):
        out.say(f"understood as: {given['understood']}", "dim")
    notes: list[str] = []
    for number, said in enumerate(given["claims"], 1):
        if number > told:
            claim(out, number, said)
        notes.append(f"[{number}] {_note(said['citations'][0])}")
        notes += [
            f"    overrules {_where(other)}: “{_indented(other['quote'])}”" for other in said["overrules"]
        ]
    if given.get("incomplete"):
        out.say(_INCOMPLETE.get(given["incomplete"], given["incomplete"]), "yellow")
    if notes:
        out.say()
    for note in notes:
        out.say(note, "dim")
    out.say(f"{run} at position {position}; release {given['release'][:12]}", "dim")


def _indented(quote: str) -> str:
    return "\n    | ".join(quote.splitlines())


def _where(cited: Mapping[str, Any]) -> str:
    return f"{cited['source']}/{cited['document']} characters {cited['start']}–{cited['end']}"


def _note(cited: Mapping[str, Any]) -> str:
    stale = "; older than its freshness limit" if cited["stale"] else ""
    old = "; deprecated" if cited.get("deprecated") else ""
    return (
        f"{_where(cited)}, revision {cited['revision']}, {cited['permitted_by']}, "
        f"rank {cited['rank']}{stale}{old}"
    )


def asked(out: Output, ask: Callable[[OnClaim | None], Answer]) -> None:
    """What ``ask`` prints: at a terminal each claim as it comes."""
    if out.as_json or not out.live:
        result = ask(None)
        out.json(result.as_json()) if out.as_json else answer(
            out, result.given(), result.run, result.position
        )
        return
    told: list[GivenClaim] = []

    def tell(given: GivenClaim) -> None:
        told.append(given)
        claim(out, given.number, given.claim.as_json())

    try:
        result = ask(tell)
    except BaseException:
        if told:
            out.warn(f"the answer ends here; what was given is on record: affidavit run show {told[0].run}")
        raise
    answer(out, result.given(), result.run, result.position, len(told))


def hits(out: Output, result: Mapping[str, Any]) -> None:
    """What ``search`` prints."""
    if result["degraded"]:
        out.warn(f"searched by keyword alone: {result['degraded']}")
    for hit in result["hits"]:
        heading = " > ".join(hit["path"]) or hit["title"]
        old = "  (deprecated)" if hit["deprecated"] else ""
        out.say(
            f"{hit['rank']:>3}. {hit['source']}/{hit['document']}  {hit['score']:.3f}  {heading}{old}", "bold"
        )
        text = " ".join(hit["text"].split())
        out.say(f"     {text[:240]}{'…' if len(text) > 240 else ''}")
    if not result["hits"]:
        out.say("nothing you may read matches", "yellow")
    out.say(f"{result['run']} at position {result['position']}", "dim")


def synced(out: Output, report: SyncReport) -> None:
    """What ``sync`` prints."""
    if out.as_json:
        faults = [
            {"name": f.name, "code": f.code, "message": f.message, "hint": f.hint} for f in report.faults
        ]
        out.json({"source": report.source, "run": report.run, **report.counts(), "faults": faults})
        return
    out.say(
        f"{report.source}: {report.seen} seen, {report.added} added, {report.changed} changed, {report.removed} removed, "
        f"{report.access_changed} with new access, {report.unchanged} unchanged; {report.chunks} chunks, "
        f"{report.embedded} embedded"
    )
    for fault in report.faults[:_FAULTS_SHOWN]:
        named = fault.message if fault.name in fault.message else f"{fault.name}: {fault.message}"
        out.warn(f"  {named}" + (f" ({fault.hint})" if fault.hint else ""))
    if len(report.faults) > _FAULTS_SHOWN:
        out.warn(f"  … and {len(report.faults) - _FAULTS_SHOWN} more (all with --json)")


def status(out: Output, value: Mapping[str, Any]) -> None:
    """What ``status`` prints."""
    out.say(f"workspace {value['folder']} (version {value['version']}), log position {value['position']}")
    embedder = value["embedder_name"] or "no embedder"
    out.say(f"search: {value['search']} ({embedder})")
    if value["weights_missing"]:
        out.say("  the MiniLM weights are not on this machine: affidavit embedder install", "yellow")
    elif value["search"] == "keyword only":
        out.say("  for dense search too: affidavit embedder install && affidavit embedder use minilm", "dim")
    if value["embedder_next"]:
        out.say(
            f"  a change to {value['embedder_next']} is under way; go on with: affidavit embedder use …",
            "yellow",
        )
    if value["chunks_without_vector"]:
        out.say(
            f"  {value['chunks_without_vector']} chunks wait for their vectors; the next sync makes them",
            "yellow",
        )
    index = value["index"]
    out.say(f"index: {index['rows']} chunks in {index['segments']} segments, {index['bytes'] / 1e6:.1f} MB")
    if index["rebuilt"]:
        out.say(f"  it was damaged and was built anew: {index['rebuilt']}", "yellow")
    for name, tenant in value["tenants"].items():
        out.say(
            f"tenant {name}: {tenant['people']} people and groups, {tenant['documents']} documents, "
            f"{tenant['chunks']} chunks, {tenant['rules']} access rules"
        )
        if tenant["mode"] == LIVE:
            out.say("  tools may change things: affidavit mode")
        for source in tenant["sources"]:
            when = "synced" if source["synced_at"] else "never synced: affidavit sync"
            out.say(f"  {source['kind']} {source['name']}: {source['location']} ({when})")
    for stopped in value["stopped"]:
        out.say(stopped, "red")
    for sink in value["sinks"]:
        out.say(
            f"sink {sink['kind']} {sink['name']}: has {sink['size']} events, {sink['behind']} behind",
            "yellow" if sink["error"] else "",
        )
        if sink["error"]:
            out.say(f"  failed at {sink['tried_at']}: {sink['error']}", "yellow")
    _promises(out, value)


def _promises(out: Output, value: Mapping[str, Any]) -> None:
    for budget in value["budgets"]:
        word = "spent" if budget["state"] == "spent" else "nearly spent"
        out.say(f"budget {budget['budget']} (a {budget['per']}) is {word}: affidavit budget show", "yellow")
    for said in value["levels"]:
        level(out, said)


_LEVEL_STYLES = {"breached": "red", "unmeasured": "yellow"}


def level(out: Output, said: Mapping[str, Any]) -> None:
    """A line about a level of service: its objective, its figure, and what is left of its error budget."""
    objective, place = said["objective"], said["source"] or said["tenant"]
    promised = "nothing is promised"
    if objective:
        within = f" within {objective['within_seconds']} s" if objective["within_seconds"] else ""
        promised = f"{objective['percent']} %{within} over {objective['days']} days"
    figure = f"{said['percent']} % of {said['total']}" if said["total"] else "nothing to count"
    late = f"; nothing was read for {said['unread_seconds']} s" if said["overdue"] else ""
    left = (
        ""
        if said["budget_left_percent"] is None
        else f"; {said['budget_left_percent']} % of the error budget left"
    )
    out.say(
        f"{said['level']} of {place}: {said['state']}: {figure} ({promised}){left}{late}",
        _LEVEL_STYLES.get(said["state"], ""),
    )


def runs(out: Output, entries: Sequence[Mapping[str, Any]]) -> None:
    """What ``run list`` prints."""
    rows = [
        (
            e["run"],
            e["at"],
            e["journey"],
            e["status"],
            e["principal"] or "",
            e["question"] or e["source"] or "",
        )
        for e in entries
    ]
    out.table(("run", "at", "journey", "status", "who", "what"), rows)


def run(out: Output, story: Mapping[str, Any]) -> None:
    """The story of a run."""
    out.say(f"{story['run']}: {story['journey']} at {story['at']}, {story['status']}", "bold")
    if story["principal"] and story["question"]:
        out.say(f"{story['principal']} asked: {story['question']}")
    for call in story.get("calls", ()):
        out.say(f"{call['principal']} called {call['tool']}: {call['state']} ({call['call']})")
    out.say(f"as of position {story['position']}, under release {story['release'][:12]}")
    if "sync" in story:
        out.say("  " + ", ".join(f"{n} {v}" for n, v in story["sync"]["counts"].items()))
    retrieved = list(story.get("retrieved", ()))
    for hit in retrieved[:_HITS_SHOWN]:
        out.say(f"  retrieved {hit['source']}/{hit['document']} ({hit['score']}), {hit['permitted_by']}")
    if len(retrieved) > _HITS_SHOWN:
        out.say(f"  … and {len(retrieved) - _HITS_SHOWN} more (all with --json)")
    if "erased" in story.get("given", ()):
        out.say("what was given was erased: affidavit audit erasures says by whom and why", "yellow")
    elif story.get("given"):
        out.say()
        answer(out, story["given"], story["run"], story["position"])
    if "steps" in story:
        _audit(out, story)


def _audit(out: Output, story: Mapping[str, Any]) -> None:
    out.say()
    out.say("for auditors", "bold")
    out.say(f"  events {story['positions'][0]} to {story['positions'][1]}")
    for step in story["steps"]:
        out.say(f"  step {step['step']} {step['name']}")
    if story["cached"]:
        out.say(f"  known from before: {', '.join(story['cached'])}")
    for denied in story["denied_at_recheck"]:
        out.say(
            f"  denied at the recheck: {denied['source']}/{denied['document']}: {denied['reason']}", "red"
        )
    for kept in story.get("withheld", ()):
        out.say(
            f"  withheld: {kept['source']}/{kept['document']} (would have ranked {kept['rank_without_permissions']}): "
            f"{kept['rule']}",
            "red",
        )


def verified(out: Output, report: Mapping[str, Any]) -> None:
    """What ``audit verify`` found to be sound."""
    if out.as_json:
        out.json({"ok": True, **report})
        return
    if "since" in report:
        out.say(
            f"sound since event {report['since']}: {report['new_events']} new events, {report['bodies']} bodies, "
            f"{report['checkpoints']} checkpoints",
            "green",
        )
    else:
        out.say(
            f"sound: {report['events']} events, {report['bodies']} bodies, {report['checkpoints']} checkpoints",
            "green",
        )
        out.say(
            f"  {report['people_rows']} rows about people and {report['documents']} documents agree with the log"
        )
    if report["erased"]:
        out.say(f"  {report['erased']} bodies were erased, each with an event that says why")
    out.say(f"  root {report['root']}")
    out.say(f"  key {report['public_key']}")
    if report["remembered"] is None:
        out.warn("what was verified could not be remembered: the state file cannot be written")
