"""Replays, differences and explanations in words, and as a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from affidavit.app.replay import ReplayReport
from affidavit.entrypoints.output import Output, clean, in_a_line

_SHOWN = 8


def replayed(out: Output, report: ReplayReport) -> None:
    """One replay."""
    if report.impossible:
        out.say(report.impossible, "yellow")
        return
    if report.divergence is None:
        out.say(
            f"{report.run}: identical ({report.journey} at position {report.position}, {report.compared} events compared)",
            "green",
        )
        return
    where = report.divergence
    step = f"step {where.step} {where.name}".strip() if where.step else where.name or "the run"
    out.say(f"{report.run}: differs: {step} {where.what}", "red")
    if where.recorded is not None or where.replayed is not None:
        out.say(f"  recorded: {_short(where.recorded)}")
        out.say(f"  replayed: {_short(where.replayed)}")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else text[:199] + "…"


def _lines(found: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """The difference as (line, style)."""
    told = found["difference"]
    lost, gained = _best(told["lost"]), _best(told["gained"])
    both = sorted(lost.keys() & gained.keys())
    yield from _few("- no longer retrieved", _ranked(lost, both), "red")
    yield from _few("+ newly retrieved", _ranked(gained, both), "green")
    yield from _few("~ other passages of", both, "")
    if told["moved"]:
        yield f"~ {len(told['moved'])} passages moved in rank", ""
    for denied in told["denied"]:
        yield f"- denied at the recheck: {_name(denied)}: {denied['reason']}", "red"
    for denied in told["no_longer_denied"]:
        yield f"+ no longer denied: {_name(denied)}", "green"
    before, after = told["answer"]
    if before != after:
        yield f"- {_answer(before)}", "red"
        yield f"+ {_answer(after)}", "green"
    elif told["same"]:
        yield "nothing differs: the same passages, the same answer", "green"
    else:
        yield "the answer is the same", ""


def _best(hits: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The best passage of each document."""
    best: dict[str, Mapping[str, Any]] = {}
    for hit in hits:
        best.setdefault(_name(hit), hit)
    return best


def _ranked(best: Mapping[str, Mapping[str, Any]], without: Sequence[str] = ()) -> list[str]:
    return [f"{n} (rank {h['rank']}), {h['permitted_by']}" for n, h in best.items() if n not in without]


def _few(what: str, names: Sequence[str], style: str) -> Iterable[tuple[str, str]]:
    for name in names[:_SHOWN]:
        yield f"{what}: {name}", style
    if len(names) > _SHOWN:
        yield f"{what}: {len(names) - _SHOWN} more documents (all with --json)", style


def _name(hit: Mapping[str, Any]) -> str:
    return f"{hit['source']}/{hit['document']}"


def _answer(said: Mapping[str, Any] | None) -> str:
    if said is None:
        return "no answer"
    if said["status"] == "refused":
        return f"refused: {said['reason']}"
    return f"{said['status']}: " + " / ".join(said["answer"].splitlines())


def _heading(found: Mapping[str, Any]) -> str:
    return ", ".join(f"{c['what']}={c['to']}" for c in found["changes"])


def difference(out: Output, found: Mapping[str, Any]) -> None:
    """A counterfactual."""
    out.say(f"{found['run']} with {_heading(found)}", "bold")
    out.say(f"{found['before']['principal']} asked: {found['question']}")
    for line, style in _lines(found):
        out.say(f"  {line}", style)


def difference_page(found: Mapping[str, Any]) -> str:
    """A counterfactual as one HTML page without scripts: before and after side by side."""

    def column(title: str, view: Mapping[str, Any]) -> str:
        hits = "".join(f"<li>{_html(_name(h))}</li>" for h in view["retrieved"])
        given = view["given"]
        answer = _html(given["answer"] or given["refusal"]["message"]) if given else "no answer"
        who = f"{_html(view['principal'])} at position {view['head']}"
        return (
            f"<section><h2>{title}</h2><p>{who}</p><blockquote>{answer}</blockquote><ol>{hits}</ol></section>"
        )

    lines = "".join(f'<li class="{style}">{_html(line)}</li>' for line, style in _lines(found))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>What if</title><style>'
        "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}"
        "main{display:grid;grid-template-columns:1fr 1fr;gap:2rem}.red{color:#a40000}.green{color:#006d2c}"
        "blockquote{white-space:pre-wrap;border-left:3px solid #888;margin:0;padding-left:1rem}"
        "@media(max-width:50rem){main{display:block}}</style>"
        f"<h1>{_html(found['question'])}</h1><p>{_html(found['run'])} with {_html(_heading(found))}</p>"
        f"<ul>{lines}</ul><main>{column('As it was', found['before'])}{column('As it would be', found['after'])}</main></html>\n"
    )


def _html(text: object) -> str:
    return escape(clean(text))


def explained(out: Output, found: Mapping[str, Any]) -> None:
    """An explanation, question by question."""
    if "saw" not in found:
        out.say(f"{found['run']}: {found['principal']} called a tool at {found['at']}", "bold")
        _acted(out, found)
        return
    out.say(f"{found['run']}: {found['principal']} asked at {found['at']}: {found['question']}", "bold")
    out.say(f"\nWhat did it see? ({len(found['saw'])} passages, at position {found['position']})", "bold")
    saw = [{"rank": n, **hit} for n, hit in enumerate(found["saw"], 1)]
    for line, _ in _few("", _ranked(_best(saw)), ""):
        out.say(f"  {line.removeprefix(': ')}")
    _not_seen(out, found["not_seen"])
    decided = found["decided"]
    out.say("\nWhich rule decided?", "bold")
    for line, _ in _few("", [_rule(r) for r in decided["rules"]], ""):
        out.say(f"  {line.removeprefix(': ')}")
    if decided["sufficient"]:
        verdict = "enough" if decided["sufficient"]["sufficient"] else "not enough"
        out.say(
            f"  release {decided['release'][:12]}: the evidence was {verdict} ({decided['sufficient']['probability']})"
        )
    for guard in decided["guards"]:
        of = f" {guard['chunk']}" if "chunk" in guard else ""
        out.say(f"  guards of the {guard['stage']}{of}: {guard['verdict']} ({'; '.join(guard['reasons'])})")
    out.say("\nWhat did it do?", "bold")
    given = found["did"]["given"]
    out.say(
        f"  {_answer({**given, 'reason': (given['refusal'] or {}).get('reason')})}"
        if given
        else "  it listed what it found"
    )
    if given and given.get("incomplete"):
        out.say(f"  it gave {len(given['claims'])} claims and was not whole: {given['incomplete']}", "yellow")
    _acted(out, found)
    _changed(out, found["changed_since"])
    out.say("\nWould it answer the same today?", "bold")
    for line, style in _lines(found["today"]):
        out.say(f"  {line}", style)


def _acted(out: Output, found: Mapping[str, Any]) -> None:
    """Which tools were proposed and called, by which rules, and who approved."""
    for one in found.get("proposed", ()):
        if one["fault"] or one["unvouched"]:
            said = one["fault"] or f"nobody vouches for {', '.join(one['unvouched'])}"
            out.say(f"  proposed {one['tool']} {one['arguments']}: {said}")
    for call in found["did"]["actions"]:
        why = in_a_line(call["why"])
        out.say(f"  {call['call']}: {call['tool']} {call['arguments']}: {call['state']} {why}")
        for decision in call["decisions"]:
            rules = ", ".join(decision["rules"] or ()) or "no rule"
            out.say(f"    to {decision['when']}: {decision['verdict']} by {rules}")
    out.say("\nWho approved?", "bold")
    for one in found["approved"]:
        why = in_a_line(one["why"] or "")
        out.say(f"  {one['verdict']} by {one['by'] or 'nobody'} as {', '.join(one['roles'] or ())} {why}")
    if not found["approved"]:
        out.say("  nobody had to" if found["did"]["actions"] else "  nobody had to: it only read")


def _rule(rule: Mapping[str, Any]) -> str:
    said = rule["rule"] or {"allow": [], "deny": []}
    allow = " and ".join("(" + " or ".join(layer) + ")" for layer in said["allow"])
    deny = f"; never {', '.join(said['deny'])}" if said["deny"] else ""
    return f"{_name(rule)}: {allow or 'nobody'}{deny}; rank {rule['rank']}"


def _not_seen(out: Output, unseen: Mapping[str, Any]) -> None:
    out.say("\nWhat did it not see, and why?", "bold")
    for denied in unseen["denied_at_recheck"]:
        out.say(f"  denied at the recheck: {_name(denied)}: {denied['reason']}")
    for kept in unseen["withheld"]:
        out.say(
            f"  withheld: {_name(kept)} (would have ranked {kept['rank_without_permissions']}): {kept['rule']}"
        )
    for signal in unseen["left_out"]:
        out.say(f"  sentences were not quoted because of: {signal}")
    if not any(unseen.values()):
        out.say("  nothing that matches was kept from the asker")


def _changed(out: Output, changed: Mapping[str, Any]) -> None:
    out.say("\nWhat has changed since?", "bold")
    told = [f"the asker joined {g}" for g in changed["groups"]["joined"]]
    told += [f"the asker left {g}" for g in changed["groups"]["left"]]
    told += ["another release answers"] if changed["release"] else []
    told += ["another embedder serves"] if changed["embedder"] else []
    told += [f"{_name(d)}: {change}" for d in changed["documents"] for change in d["changes"]]
    if len(told) > _SHOWN:
        told = [*told[:_SHOWN], f"… and {len(told) - _SHOWN} more (all with --json)"]
    for line in told or ["nothing that it read, nor who asks, nor how it is answered"]:
        out.say(f"  {line}")


def policy_difference(out: Output, found: Mapping[str, Any]) -> None:
    """Decisions that would have come out otherwise."""
    out.say(
        f"{found['decisions']} decisions in {found['runs']} runs; {found['changed']} would have come out otherwise",
        "yellow" if found["changed"] else "green",
    )
    for c in found["changes"]:
        out.say(
            f"  {c['principal']} {c['source']}/{c['document']}: {c['was']} → {c['would_be']} ({c['reason']}), {c['runs']} runs",
            "red" if c["would_be"] == "forbid" else "green",
        )


def tool_difference(out: Output, found: Mapping[str, Any]) -> None:
    """Decisions about tools that would have come out otherwise."""
    out.say(
        f"{found['decisions']} proposed calls; {found['changed']} would have come out otherwise",
        "yellow" if found["changed"] else "green",
    )
    for c in found["changes"]:
        rules = ", ".join(c["rules"]) or "no rule"
        out.say(
            f"  {c['principal']} {c['tool']}: {c['was']} → {c['would_be']} ({rules}), {c['calls']} calls",
            "red" if c["would_be"] == "forbid" else "green",
        )
