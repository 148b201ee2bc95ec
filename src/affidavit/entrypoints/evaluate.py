"""How good answers and retrieval are, measured on judged questions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from affidavit.app.calibrating import CalibrationDesk
from affidavit.app.evaluation import DOCUMENT, LEVELS, Orders
from affidavit.domain.errors import UsageError
from affidavit.entrypoints.batch import written
from affidavit.entrypoints.common import FAILED, AsOption, JsonOption, TenantOption, WorkspaceOption, opened
from affidavit.entrypoints.output import Output
from affidavit.evals.compared import Evaluation, failed_gates, read_evaluation
from affidavit.evals.judged import Judged, read_files, read_folder
from affidavit.evals.measure import DEFAULT_MEASURES, Difference
from affidavit.evals.report import page

evaluate = typer.Typer(
    no_args_is_help=True,
    help="How good retrieval is: judged questions in, measures, comparisons and a gate out.",
)


@evaluate.command("retrieval")
def retrieval(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="A folder with queries.jsonl and qrels.tsv (or qrels/test.tsv), and spans.jsonl for passages.",
            show_default=False,
        ),
    ] = None,
    user: AsOption = "",
    queries: Annotated[
        Path | None,
        typer.Option("--queries", help="Instead of a folder: questions, JSON lines or id<TAB>text."),
    ] = None,
    qrels: Annotated[Path | None, typer.Option("--qrels", help="Judgements, TREC or BEIR layout.")] = None,
    spans: Annotated[
        Path | None, typer.Option("--spans", help="The passages that answer, JSON lines.")
    ] = None,
    level: Annotated[str, typer.Option("--level", help=f"What is judged: {' or '.join(LEVELS)}.")] = DOCUMENT,
    measure: Annotated[
        list[str] | None,
        typer.Option("--measure", help=f"As ir-measures names them. Default: {', '.join(DEFAULT_MEASURES)}."),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many are retrieved for each question.")] = 100,
    save: Annotated[
        Path | None, typer.Option("--save", help="Keep the evaluation, as a baseline for later.")
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", help="Compare with one that was saved.")
    ] = None,
    gate: Annotated[
        list[str] | None,
        typer.Option(
            "--gate", help="Exit status 1 unless it holds: nDCG@10>=0.8, or no-worse than the baseline."
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write the report with plots to this file.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--table", help="Write every question's measures as TSV.")
    ] = None,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Measure retrieval on judged questions, asked through the same search as everybody's and on the record like any other.

    Intervals are by bootstrap over the questions; a comparison is paired, question by question.

    Example: `affidavit eval retrieval judged/ --as alice --baseline before.json --gate no-worse --html report.html`
    """
    with opened(workspace, as_json) as (ws, out):
        judged = _read(folder, queries, qrels, spans)
        orders = Orders(user, level, tuple(measure or DEFAULT_MEASURES), k, tenant)
        before = None if baseline is None else read_evaluation(baseline)
        with out.progress("asking", len(judged.only_judged().questions)) as bar:
            found = ws.evaluation.retrieval(judged, orders, lambda: bar.advance(bar.tasks[0].id))
        differences = None if before is None else found.against(before)
        failed = failed_gates(found, gate or (), differences)
        _write(save, json.dumps(found.as_json(), ensure_ascii=False) + "\n")
        _write(html, page(found, differences, before))
        _write(table, _table(found))
        _tell(out, found, differences, failed)
    if failed:
        raise typer.Exit(FAILED)


@evaluate.command("calibrate")
def calibrate(
    folder: Annotated[
        Path, typer.Argument(help="A folder with queries.jsonl and qrels.tsv (or qrels/test.tsv).")
    ],
    user: AsOption = "",
    save: Annotated[
        Path | None, typer.Option("--save", help="Write the release with the new calibration to this file.")
    ] = None,
    refuse: Annotated[
        float | None,
        typer.Option(
            "--refuse",
            min=1,
            max=99.9,
            metavar="PERCENT",
            help="Refuse so much of what cannot be answered; default: both kinds of mistakes count the same.",
        ),
    ] = None,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Refit when the evidence is enough to answer, on judged questions of this workspace.

    Each question is weighed as it is, and as if the documents that answer it were not there. Half of the questions are fitted
    on, the other half judges. Nothing changes until you publish the release.

    Examples: `affidavit eval calibrate judged/ --as alice --save release.json`, then `affidavit release publish release.json`;
    `affidavit eval calibrate judged/ --as alice --refuse 95`
    """
    with opened(workspace, as_json) as (ws, out):
        judged = read_folder(folder)
        with out.progress("weighing", len(judged.only_judged().questions)) as bar:
            found = CalibrationDesk(ws).calibrate(
                judged,
                user,
                tenant,
                lambda: bar.advance(bar.tasks[0].id),
                None if refuse is None else refuse / 100,
            )
        _write(save, json.dumps(found.release, ensure_ascii=False, indent=1) + "\n")
        fitted = found.fitted
        if out.as_json:
            figures = {"auroc": fitted.auroc, "answered": fitted.answered, "refused": fitted.refused}
            out.json(
                {"kind": found.kind, "examples": found.examples, **figures, "calibration": fitted.content()}
            )
            return
        out.say(f"{found.examples} examples, calibration {found.kind}; on the half it was not fitted on:")
        out.say(f"tells them apart (AUROC) {fitted.auroc:.3f}")
        out.say(
            f"answers {fitted.answered:.0%} of what can be answered, refuses {fitted.refused:.0%} of what cannot"
        )
        out.say(f"publish it with: affidavit release publish {save}" if save else "keep it with --save FILE")


def _read(folder: Path | None, queries: Path | None, qrels: Path | None, spans: Path | None) -> Judged:
    if folder is not None and (queries or qrels or spans):
        raise UsageError("a folder, or files by name, not both", "affidavit eval retrieval --help")
    if folder is not None:
        return read_folder(folder)
    if queries is None or qrels is None:
        raise UsageError("what is to be asked?", "name a folder, or --queries FILE and --qrels FILE")
    return read_files(queries, qrels, spans)


def _write(target: Path | None, text: str) -> None:
    if target is not None:
        with written(target) as file:
            file.write(text)


def _table(found: Evaluation) -> str:
    names = list(found.values)
    lines = ["\t".join(["question", *names])]
    lines += ["\t".join([q, *(f"{found.values[n][q]:.6f}" for n in names)]) for q in found.values[names[0]]]
    return "\n".join(lines) + "\n"


def _tell(
    out: Output, found: Evaluation, differences: Mapping[str, Difference] | None, failed: list[str]
) -> None:
    means = found.means()
    if out.as_json:
        out.json(
            {
                "about": dict(found.about),
                "questions": len(found.questions),
                "measures": {n: {"mean": m.mean, "low": m.low, "high": m.high} for n, m in means.items()},
                "differences": None
                if differences is None
                else {
                    n: {"mean": d.mean, "low": d.low, "high": d.high, "p": d.p}
                    for n, d in differences.items()
                },
                "failed": failed,
            }
        )
        return
    titles = ["measure", "mean", "95 %"]
    rows = [[name, f"{m.mean:.4f}", f"{m.low:.3f} to {m.high:.3f}"] for name, m in means.items()]
    if differences is not None:
        titles += ["against the baseline", "p"]
        rows = [[*row, *_compared(differences.get(row[0]))] for row in rows]
    out.say(f"{len(found.questions)} questions, judged by {found.about['level']}")
    out.table(titles, rows)
    for line in failed:
        out.say(f"gate: {line}", "red")


def _compared(found: Difference | None) -> list[str]:
    if found is None:
        return ["", ""]
    return [f"{found.mean:+.4f} ({found.low:+.3f} to {found.high:+.3f})", f"{found.p:.3f}"]
