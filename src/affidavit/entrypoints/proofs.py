"""The commands for whoever checks without affidavit: proofs, bundles, the log as files, and the verifier to check them with."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from affidavit.app.proofs import verifier_source
from affidavit.domain.access import named
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import UsageError
from affidavit.entrypoints.common import JsonOption, TenantOption, WorkspaceOption, errors, opened
from affidavit.entrypoints.manage import audit
from affidavit.entrypoints.output import Output

FileOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write to this file instead of printing.")
]
SizeOption = Annotated[
    int | None,
    typer.Option("--size", min=1, help="At this number of events instead of the newest checkpoint's."),
]
ReaderOption = Annotated[
    str, typer.Option("--as", help="Who takes it; without, the operator at this machine.", show_default=False)
]


def _give(out: Output, text: str, value: object, file: Path | None) -> None:
    """Write ``text`` to ``file``, or print it; with ``--json`` print ``value`` as well."""
    if file is not None:
        try:
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{file} cannot be written: {error.strerror}", "choose another file") from error
    if out.as_json:
        out.json(value)
    elif file is None:
        out.say(text.removesuffix("\n"))
    else:
        out.say(f"wrote {file}")


def _principal(who: str) -> str | None:
    return None if not who else named(who)


@audit.command("checkpoint")
def audit_checkpoint(
    size: SizeOption = None,
    file: FileOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the newest signed checkpoint: how many events there are, and the root over all of them.

    Keep it where whoever runs this machine cannot reach it: with it anyone can tell later that nothing before it was
    rewritten (`audit consistency`, `verify_affidavit.py --checkpoint`).

    Example: `affidavit audit checkpoint -o 2026-11-21.checkpoint`
    """
    with opened(workspace, as_json) as (ws, out):
        head = ws.proofs.checkpoint(size)
        value = {
            "size": head.size,
            "root": head.checkpoint.root.hex(),
            "checkpoint": head.note,
            "key": ws.proofs.key(),
        }
        _give(out, head.note, value, file)


@audit.command("key")
def audit_key(
    file: FileOption = None, workspace: WorkspaceOption = None, as_json: JsonOption = False
) -> None:
    """Print the log's public key. Give it to whoever checks by another way than the files they check.

    Example: `affidavit audit key -o log.key.txt`
    """
    with opened(workspace, as_json) as (ws, out):
        _give(out, ws.proofs.key() + "\n", {"key": ws.proofs.key()}, file)


@audit.command("prove")
def audit_prove(
    position: Annotated[int, typer.Argument(min=0, help="The event's position.")],
    size: SizeOption = None,
    file: FileOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prove that one event is in the log (a `tlog-proof` of C2SP; its extra line is the event's header).

    Example: `affidavit audit prove 12 -o 12.tlog-proof && python verify_affidavit.py 12.tlog-proof --key log.key.txt`
    """
    with opened(workspace, as_json) as (ws, out):
        proof = ws.proofs.prove(position, size)
        _give(out, proof.text(), proof.as_json(), file)


@audit.command("consistency")
def audit_consistency(
    old: Annotated[int, typer.Argument(metavar="A", min=0, help="The smaller number of events.")],
    new: Annotated[
        int | None,
        typer.Argument(metavar="B", min=1, help="The larger; the newest checkpoint's if left out."),
    ] = None,
    file: FileOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prove that the log of B events begins with the log of A events: nothing before A was rewritten.

    Example: `affidavit audit consistency 120 -o growth.txt`, where 120 is the size of a checkpoint you kept.
    """
    with opened(workspace, as_json) as (ws, out):
        proof = ws.proofs.consistency(old, new)
        _give(out, proof.text(), proof.as_json(), file)


@audit.command("tiles")
def audit_tiles(
    directory: Annotated[Path, typer.Argument(help="A new directory, or one that this command wrote.")],
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the log as static files (C2SP `tlog-tiles`) that standard tools read. Run again, only what is new is written.

    The files hold event headers, no texts. A directory that holds another history than this log is left as it is.

    Example: `affidavit audit tiles /srv/www/log`
    """
    with opened(workspace, as_json) as (ws, out):
        with out.progress("writing tiles", ws.parts.log.head() + 1) as bar:
            head, files = ws.proofs.tiles(directory, lambda done: bar.update(bar.tasks[0].id, completed=done))
        value = {"size": head.size, "root": head.checkpoint.root.hex(), "files": files}
        out.json(value) if as_json else out.say(f"{head.size} events in {directory}, {files} files written")


@audit.command("export")
def audit_export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")],
    file: Annotated[Path, typer.Option("--output", "-o", help="The bundle to write.")],
    user: ReaderOption = "",
    everything: Annotated[
        bool, typer.Option("--audit", help="As the operator, with every step and what was denied.")
    ] = False,
    page: Annotated[Path | None, typer.Option("--page", help="Write the page for people here too.")] = None,
    since: Annotated[
        list[int] | None,
        typer.Option(
            "--since", metavar="SIZE", help="Prove growth since a checkpoint of this size that you kept."
        ),
    ] = None,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Write one run as a bundle that anyone can check offline: events, texts, proofs, checkpoint, key, release and a page.

    An asker's bundle holds their question and what they were given. An auditor's, or the operator's with `--audit`, holds
    every step. The export itself is put on the log.

    Example: `affidavit audit export run-2m4… -o run.json --page run.html`
    """
    with opened(workspace, as_json) as (ws, out):
        owner = ws.parts.tenant(tenant)
        done = ws.exports.export(
            owner, run, file, _principal(user), audit=everything, since=since or (), page=page
        )
        value = {"file": str(file), "events": done.events, "digest": done.digest}
        out.json(value) if as_json else out.say(
            f"wrote {file}, {done.events} events; check it with: python verify_affidavit.py {file}"
        )


@audit.command("population")
def audit_population(
    start: Annotated[str, typer.Option("--from", metavar="DATE", help="The first day (UTC), or a time.")],
    end: Annotated[
        str, typer.Option("--to", metavar="DATE", help="The last day (UTC), or the time it ends.")
    ],
    file: Annotated[Path, typer.Option("--output", "-o", help="The JSON Lines file to write.")],
    user: ReaderOption = "",
    workspace: WorkspaceOption = None,
    tenant: Annotated[
        str, typer.Option("--tenant", "-t", help="One tenant's; without, the operator gets the whole log.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Write every run of an interval, one a line, with counts per day and the proof that none is missing: to sample from.

    The proof is every event's header in that time, the two events around it, and the hashes that join them to the
    checkpoint. Of other tenants only hashes are given. The export itself is put on the log.

    Example: `affidavit audit population --from 2026-11-01 --to 2026-11-30 -o november.jsonl`
    """
    with opened(workspace, as_json) as (ws, out):
        owner = ws.parts.tenant(tenant) if tenant or user else None
        first, last = _instant(start, last=False), _instant(end, last=True)
        with out.progress("exporting") as bar:
            done = ws.exports.population(
                file,
                first,
                last,
                owner,
                _principal(user),
                lambda at, total: bar.update(bar.tasks[0].id, completed=at, total=total),
            )
        value = {"file": str(file), "runs": done.runs, "events": done.events, "digest": done.digest}
        out.json(value) if as_json else out.say(
            f"wrote {file}, {done.runs} runs from {done.events} events; check it with: python verify_affidavit.py {file}"
        )


def _instant(text: str, *, last: bool) -> int:
    """Microseconds since 1970 UTC of a day's beginning, of the end of the ``last`` day, or of a time."""
    try:
        if len(text) == len("2026-11-21"):
            day = date.fromisoformat(text) + timedelta(days=1 if last else 0)
            moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
        else:
            moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{text!r} is no date", "write 2026-11-21 or 2026-11-21T10:00") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0, int(moment.timestamp() * MICROSECONDS))


@audit.command("verifier")
def audit_verifier(
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print `verify_affidavit.py`: one file, plain Python, that checks bundles and proofs offline and without affidavit.

    Example: `affidavit audit verifier -o verify_affidavit.py`
    """
    out = Output(as_json)
    with errors(out):
        source = verifier_source()
        if file is None and not as_json:
            typer.echo(source, nl=False)
        else:
            _give(out, source, {"source": source}, file)
