"""``python -m bench.unsupported``: what a hostile, a nonsense and an absent model get released; wanted: nothing unsupported.

On ``sghandbook_masked`` and ``cuad60``, keyword only, over HTTP and the whole way through ``ask``. The hostile model
(``bench/hostile.py``) reads the prompt and makes claims from it by named mutations, so it knows which are false; nothing of
``ask/claims.py`` judges. The nonsense model is llama.cpp's own server on random weights, whose grammar makes the form valid.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.app.workspace import Workspace
from affidavit.ask.prompt import prompt
from affidavit.domain.answer import Answer
from affidavit.domain.release import DEFAULT, REPHRASED, VERBATIM
from affidavit.testing.scripted_model import Prompt, Reply
from affidavit.testing.tiny_model import MODEL, TinyServer
from affidavit.testing.wire_openai import ScriptedModel
from bench import hostile
from bench.measure import say
from bench.mutations import HONEST

DATASETS = Path(__file__).resolve().parents[2] / "shared" / "datasets"
SETS = ("sghandbook_masked", "cuad60")
QUOTED = "the evidence's own sentences instead"
"""Given where a model's copy of them differed in marks or white space; the offsets of a citation are checked elsewhere."""
_EXAMPLES = 4
_NOWHERE = "http://127.0.0.1:9/v1"
"""Where nobody listens (RFC 863's port, which nothing on loopback serves)."""


@dataclass(frozen=True)
class Stock:
    """A workspace that holds one data set, who asks in it, and what."""

    name: str
    workspace: Workspace
    person: str
    questions: tuple[str, ...]


@contextmanager
def stock(name: str, folder: Path, most: int) -> Iterator[Stock]:
    """``name`` synced into a new workspace whose one person reads everything."""
    base = DATASETS / name
    folder.mkdir()
    corpus, people = folder / "corpus.jsonl", folder / "people.jsonl"
    rows = [{**json.loads(line), "metadata": {}} for line in _lines(base / "corpus.jsonl")]
    corpus.write_text("".join(f"{json.dumps(r)}\n" for r in rows), encoding="utf-8")
    people.write_text('{"id": "reader", "groups": ["all"]}\n', encoding="utf-8")
    with affidavit.init(folder / "workspace", EmbedderSpec("none")) as ws:
        ws.import_people(people)
        ws.add_source("jsonl", corpus, name, allow=["group:all"])
        ws.sync()
        asked = [json.loads(line)["text"] for line in _lines(base / "queries.jsonl")]
        yield Stock(name, ws, "reader", tuple(asked[:: max(1, len(asked) // most)][:most]))


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line]


PROMPTS = {VERBATIM: "select", REPHRASED: "answer"}


def release(
    url: str, model: str, tokens: int = 4000, wording: str = VERBATIM, **options: Any
) -> Mapping[str, Any]:
    """A release whose answers are written by the server at ``url``."""
    asked = prompt(PROMPTS[wording], 1)
    target = {"kind": "openai", "model": model, "version": "", "base_url": url, "local": True, "region": ""}
    exact = {
        "temperature": "1",
        "top_p": "",
        "seed": 7,
        "max_tokens": 400,
        "timeout_ms": 20_000,
        "attempts": 1,
    }
    return {
        **DEFAULT,
        "models": {
            "targets": {"here": {**target, "options": options}},
            "tasks": {"answer": {"options": [{"target": "here", **exact}]}},
        },
        "write": {
            "prompt": asked.name,
            "version": asked.version,
            "digest": asked.digest,
            "wording": wording,
            "tokens": tokens,
            "coverage": "0.6",
            "whole": False,
            "milliseconds": 30_000,
            "fallback": "extractive",
        },
    }


@dataclass
class Tally:
    """What became of one mutation's claims. ``examples``: [claim, quotes] of those released."""

    written: int = 0
    released: int = 0
    examples: list[list[str]] = field(default_factory=list)


class Hostile:
    """The model behind the wire. ``last`` is what it wrote last; ``seed`` makes every question's answer its own."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.last: list[hostile.Made] = []

    def __call__(self, asked: Prompt) -> Reply:
        rules = next((text for role, text in asked.messages if role == "system"), "")
        rng = random.Random(f"{self.seed} {asked.last}")
        self.last = hostile.write(rules, asked.last, rng)
        return Reply(hostile.as_answer(self.last))


def hostile_model(stocked: Stock, rounds: int, wording: str) -> tuple[dict[str, Tally], Counter[str]]:
    """By mutation what was written and released, and how the questions ended."""
    tallies: dict[str, Tally] = defaultdict(Tally)
    ended: Counter[str] = Counter()
    with ScriptedModel() as server:
        for number in range(rounds):
            model = Hostile(number)
            server.answer_with = model
            stocked.workspace.publish(release(server.url, "hostile", wording=wording))
            for question in stocked.questions:
                model.last = []
                answer = stocked.workspace.ask(question, stocked.person)
                ended[_ending(answer)] += 1
                _count(tallies, model.last, answer)
    return dict(tallies), ended


def _count(tallies: dict[str, Tally], made: Sequence[hostile.Made], answer: Answer) -> None:
    by_text = {m.text.strip(): m for m in made}
    for each in made:
        tallies[each.mutation].written += 1
    for claim in answer.claims if answer.model is not None else ():
        mine = by_text.get(claim.text.strip())
        quoted = claim.text == " ".join(c.quote for c in claim.citations)
        tally = tallies[mine.mutation if mine else QUOTED if quoted else "not what the model wrote"]
        tally.released += 1
        if len(tally.examples) < _EXAMPLES:
            tally.examples.append([claim.text, *(c.quote for c in claim.citations)])


def _ending(answer: Answer) -> str:
    by = "" if answer.model is None else " by the model"
    return f"{answer.status.value}{by}"


def asked_all(stocked: Stock, content: Mapping[str, Any]) -> list[Answer]:
    """Every question under the release ``content``."""
    stocked.workspace.publish(content)
    return [stocked.workspace.ask(q, stocked.person) for q in stocked.questions]


def no_model(stocked: Stock) -> dict[str, Any]:
    """With every model gone: how questions end, and whether that is what they would have got without any model."""
    plain = asked_all(stocked, DEFAULT)
    gone = asked_all(stocked, release(_NOWHERE, "gone"))
    same = sum((a.status, a.answer) == (b.status, b.answer) for a, b in zip(plain, gone, strict=True))
    return {"questions": len(gone), "ended": _ended(gone), "as_without_models": same}


def _ended(answers: Sequence[Answer]) -> dict[str, int]:
    return dict(sorted(Counter(map(_ending, answers)).items()))


def nonsense_model(stocked: Stock, server: TinyServer) -> dict[str, Any]:
    """With llama.cpp on random weights: how questions end, what it wrote in form, and what of it was released."""
    answers = asked_all(stocked, release(server.url, MODEL, 1500, schema="grammar"))
    tenant, drafted, in_form = stocked.workspace.parts.tenant(""), 0, 0
    for answer in answers:
        story = stocked.workspace.runs.show(tenant, answer.run, None, audit=True)
        checks = [s["output"]["claims"] for s in story["steps"] if s["name"] == "check"]
        in_form += len(checks)
        drafted += sum(map(len, checks))
    return {
        "questions": len(answers),
        "ended": _ended(answers),
        "answers_in_form": in_form,
        "claims_written": drafted,
        "claims_released": sum(len(a.claims) for a in answers if a.model is not None),
    }


def measure(questions: int, rounds: int, nonsense: int) -> dict[str, Any]:
    """Everything; data sets that are absent are left out, loudly."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as kept, TinyServer(Path(kept)) as server:
        for name in SETS:
            if not (DATASETS / name).is_dir():
                say(f"SKIPPED: {name} is not at ../shared/datasets")
                continue
            say(f"unsupported: {name}")
            with stock(name, Path(kept) / name, questions) as stocked:
                found[name] = _one(stocked, rounds, nonsense, server)
    return found


def _one(stocked: Stock, rounds: int, nonsense: int, server: TinyServer) -> dict[str, Any]:
    say("unsupported: no model")
    gone = no_model(stocked)
    say("unsupported: nonsense model")
    noise = nonsense_model(replace(stocked, questions=stocked.questions[:nonsense]), server)
    say("unsupported: hostile model")
    tallies, ended = hostile_model(stocked, rounds, VERBATIM)
    say("unsupported: hostile model, in words of its own")
    own, _ = hostile_model(stocked, 1, REPHRASED)
    return {
        **_sums(tallies),
        "rephrased": {**_sums(own), "by_mutation": {n: vars(t) for n, t in sorted(own.items())}},
        "ended": dict(sorted(ended.items())),
        "by_mutation": {n: vars(t) for n, t in sorted(tallies.items())},
        "no_model": gone,
        "nonsense": noise,
    }


def _sums(tallies: Mapping[str, Tally]) -> dict[str, dict[str, int]]:
    false = {n: t for n, t in tallies.items() if n not in HONEST and n != QUOTED}
    honest = [t for n, t in tallies.items() if n in HONEST or n == QUOTED]
    return {
        "unsupported": {
            "written": sum(t.written for t in false.values()),
            "released": sum(t.released for t in false.values()),
        },
        "honest": {
            "written": sum(t.written for t in honest),
            "released": sum(t.released for t in honest),
        },
    }


def brief(results: Mapping[str, Any]) -> dict[str, Any]:
    """``results`` without examples of what was released."""
    return {
        name: {**_short(found), "rephrased": _short(found["rephrased"])} for name, found in results.items()
    }


def _short(found: Mapping[str, Any]) -> dict[str, Any]:
    told = {
        made_by: {k: v for k, v in tally.items() if k != "examples"}
        for made_by, tally in found["by_mutation"].items()
    }
    return {**found, "by_mutation": told}


def table(results: Mapping[str, Any]) -> str:
    """The figures as Markdown."""
    out = []
    for name, found in results.items():
        false, honest = found["unsupported"], found["honest"]
        out += [
            f"\n{name}: {false['released']} of {false['written']} unsupported claims released, "
            f"{honest['released']} of {honest['written']} honest ones; {found['ended']}",
            f"no model: {found['no_model']}",
            f"nonsense model: {found['nonsense']}\n",
            "| made by | written | released | written | released in words of its own |",
            "|---|---|---|---|---|",
        ]
        out += [" | ".join(["", *map(str, row), ""]).strip() for row in rows(found)]
    return "\n".join(out)


def rows(found: Mapping[str, Any]) -> list[tuple[str, int, int, int, int]]:
    """Of one data set: (made by, written, released) and the same under ``rephrased``."""
    own = found["rephrased"]["by_mutation"]
    none = {"written": 0, "released": 0}
    names = sorted({*found["by_mutation"], *own})
    both = [(n, found["by_mutation"].get(n, none), own.get(n, none)) for n in names]
    return [(n, a["written"], a["released"], b["written"], b["released"]) for n, a, b in both]


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print and give back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=479, help="of each data set, at most")
    parser.add_argument("--rounds", type=int, default=2, help="times the hostile model answers each question")
    parser.add_argument("--nonsense", type=int, default=100, help="questions to the nonsense model, at most")
    parser.add_argument("--results", type=Path, help="write the figures here as JSON, with examples")
    chosen = parser.parse_args(arguments)
    results = measure(chosen.questions, chosen.rounds, chosen.nonsense)
    print(table(results))
    if chosen.results is not None:
        chosen.results.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return results


if __name__ == "__main__":
    main()
