"""The commands about parties outside: sinks, sending, comparing, timestamps, and the witness that a second person runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from affidavit.app.compare import Comparer, Finding
from affidavit.app.outside import Sent
from affidavit.app.sinks import KINDS, SECURITY, settings_of
from affidavit.app.times import iso
from affidavit.app.witness import Witness, create
from affidavit.domain.clock import SystemClock, SystemRandomness
from affidavit.domain.errors import UsageError, WorkspaceError
from affidavit.entrypoints.common import FAILED, JsonOption, WorkspaceOption, errors, opened
from affidavit.entrypoints.manage import audit
from affidavit.entrypoints.output import Output
from affidavit.entrypoints.witness_server import WitnessServer

sink = typer.Typer(no_args_is_help=True, help="Places outside that checkpoints are sent to.")
witness = typer.Typer(
    no_args_is_help=True, help="Run a witness: sign, on another machine, that a log has only ever grown."
)
audit.add_typer(sink, name="sink")

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The witness's directory.")]


# -- sinks


@sink.command("add")
def sink_add(
    kind: Annotated[str, typer.Argument(help=f"One of: {', '.join(KINDS)}.")],
    place: Annotated[
        str,
        typer.Argument(
            metavar="WHERE",
            help="The file, the git folder, the webhook's or witness's address, or the mail address.",
        ),
    ],
    name: Annotated[str, typer.Option("--name", "-n", help="What to call it.")],
    key: Annotated[
        str,
        typer.Option(
            "--key", metavar="VKEY", help="witness: its public key, as `affidavit witness init` prints it."
        ),
    ] = "",
    secret_env: Annotated[
        str,
        typer.Option(
            "--secret-env", metavar="NAME", help="webhook, email: the variable that holds the secret."
        ),
    ] = "",
    secret_file: Annotated[
        Path | None, typer.Option("--secret-file", help="webhook, email: the file that holds the secret.")
    ] = None,
    smtp: Annotated[str, typer.Option("--smtp", metavar="HOST:PORT", help="email: the server.")] = "",
    tls: Annotated[str, typer.Option("--tls", help=f"email: {', '.join(SECURITY)}.")] = SECURITY[0],
    user: Annotated[str, typer.Option("--user", help="email: the user name at the server.")] = "",
    sender: Annotated[
        str, typer.Option("--from", help="email: the sender; default: the address itself.")
    ] = "",
    push: Annotated[bool, typer.Option("--push", help="git: push after each commit.")] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have checkpoints sent to a place outside. Nothing is sent before `affidavit audit send`.

    A checkpoint is the log's signed statement of what it held. One that lies where the administrator cannot change it makes
    a rewritten history visible (`affidavit audit compare`). Secrets are named by variable or file and never kept.

    Example: `affidavit audit sink add file /mnt/worm/acme.checkpoints --name worm`

    Example: `affidavit audit sink add git ~/checkpoints --name repo --push`

    Example: `affidavit audit sink add webhook https://hooks.example/affidavit --name hook --secret-env HOOK_SECRET`

    Example: `affidavit audit sink add email auditor@example.org --smtp mail.example.org:587 --name mail`

    Example: `affidavit audit sink add witness https://witness.example --key NAME+ID+KEY --name bob`
    """
    with opened(workspace, as_json) as (ws, out):
        settings = settings_of(
            kind,
            place,
            key=key,
            secret_env=secret_env,
            secret_file=secret_file,
            smtp=smtp,
            security=tls,
            user=user,
            sender=sender,
            push=push,
        )
        ws.outside.add(name, kind, settings)
        if as_json:
            out.json({"added": name, "kind": kind, "settings": dict(settings)})
            return
        out.say(f"added {kind} {name}; send to it with: affidavit audit send")
        if kind == "witness":
            out.say("the witness must know this log's key; whoever runs it types:")
            out.say(f"  affidavit witness add-log DIR {ws.parts.signer.verifier()}")


@sink.command("list")
def sink_list(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List the places that checkpoints are sent to, and how far each has come."""
    with opened(workspace, as_json) as (ws, out):
        entries = ws.outside.status()
        if as_json:
            out.json(entries)
            return
        rows = [
            (e["name"], e["kind"], e["size"], e["behind"], "failed" if e["error"] else "", e["place"])
            for e in entries
        ]
        out.table(("name", "kind", "has", "behind", "", "place"), rows)


@sink.command("remove")
def sink_remove(
    name: Annotated[str, typer.Argument(help="The sink.")],
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send nothing there any more. What is there stays, and can still be compared with."""
    with opened(workspace, as_json) as (ws, out):
        ws.outside.remove(name)
        out.json({"removed": name}) if as_json else out.say(f"removed {name}")


@audit.command("send")
def audit_send(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Send the newest checkpoint to every sink that has not got it.

    Run it from a timer, every few minutes: what an administrator can change unseen is what happened since the last sending.
    A sink that fails keeps no other from its checkpoint; it is tried again next time, and `affidavit status` tells of it.
    The exit status is 1 if one failed.

    Example: `affidavit audit send --json`
    """
    with opened(workspace, as_json) as (ws, out):
        sinks = ws.outside.sinks()
        if not sinks:
            raise UsageError(
                "there is nowhere to send to", "add a place: affidavit audit sink add file PATH --name NAME"
            )
        with out.progress("sending", len(sinks)) as bar:
            done = ws.outside.send(lambda: bar.advance(bar.tasks[0].id))
        if as_json:
            out.json([sent.as_json() for sent in done])
        else:
            _show_sent(out, done)
        if any(sent.error for sent in done):
            raise typer.Exit(FAILED)


def _show_sent(out: Output, done: list[Sent]) -> None:
    for sent in done:
        if sent.error is None:
            words = "sent" if sent.outcome == "sent" else "has it already"
            out.say(f"{sent.kind} {sent.name}: {words}, {sent.size} events")
        else:
            out.warn(f"{sent.kind} {sent.name}: failed")
            out.error(sent.error)


@audit.command("witnesses")
def audit_witnesses(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Show which witness has cosigned how much of the log, and when."""
    with opened(workspace, as_json) as (ws, out):
        found = ws.outside.witnesses()
        if as_json:
            out.json(found)
            return
        if not found:
            out.say("no witness; add one: affidavit audit sink add witness URL --key VKEY --name NAME")
        for entry in found:
            seen = f"{entry['size']} events" if entry["size"] is not None else "nothing yet"
            when = f" on {entry['cosigned_at']}" if entry["cosigned_at"] else ""
            out.say(f"{entry['name']}: cosigned {seen}{when}, {entry['behind']} behind", "bold")
            out.say(f"  {entry['url']}")
            out.say(f"  key {entry['key']}")
            if entry["error"]:
                out.say(f"  failed: {entry['error']}", "yellow")


@audit.command("compare")
def audit_compare(
    places: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PLACE]...",
            help="Files, git folders, addresses (a witness, or a checkpoint), or sinks by name; all sinks if left out.",
        ),
    ] = None,
    key: Annotated[
        str, typer.Option("--key", metavar="VKEY", help="The log's public key as you noted it down.")
    ] = "",
    witness_key: Annotated[
        str,
        typer.Option("--witness", metavar="VKEY", help="Each checkpoint must be cosigned with this key too."),
    ] = "",
    authority: Annotated[
        Path | None,
        typer.Option("--ca", help="PEM file of roots that kept timestamps are checked against."),
    ] = None,
    other_logs: Annotated[
        bool, typer.Option("--other-logs", help="The places may hold checkpoints of other logs too.")
    ] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare checkpoints that were kept outside with the log as it is now.

    Each must be a beginning of the present log, signed with the same key. This is what catches an administrator who holds
    both the database and the key: `audit verify` cannot. Run it as somebody else, with your own copy of the checkpoints
    and of the key. The exit status is 1 if a place does not agree.

    Example: `affidavit audit compare /mnt/worm/acme.checkpoints ~/clone-of-checkpoints https://witness.example`
    """
    with opened(workspace, as_json) as (ws, out):
        comparer = Comparer(ws.parts, key, other_logs=other_logs, authorities=authority)
        if places:
            looked = [comparer.place(where, ws.outside, witness_key) for where in places]
        else:
            looked = comparer.everything(ws.outside)
        with out.progress("comparing", ws.parts.log.head() + 1) as bar:
            findings = comparer.compare(looked, lambda done: bar.update(bar.tasks[0].id, completed=done))
        _show_findings(out, findings)


def _show_findings(out: Output, findings: list[Finding]) -> None:
    bad = [f for f in findings if f.problem]
    if out.as_json:
        value: dict[str, Any] = {"ok": not bad, "places": [f.as_json() for f in findings]}
        out.json({**value, "error": bad[0].error().as_dict()} if bad else value)
    for finding in () if out.as_json else findings:
        if finding.problem:
            out.error(finding.error())
        else:
            out.say(
                f"agrees: {finding.place}: {finding.checkpoints} checkpoints, of {finding.smallest} to {finding.largest} events",
                "green",
            )
    if bad:
        raise typer.Exit(FAILED)


@audit.command("timestamp")
def audit_timestamp(
    url: Annotated[str, typer.Argument(help="The RFC 3161 authority's address.")],
    authority: Annotated[Path, typer.Option("--ca", help="PEM file of the authority's root certificate.")],
    output: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Also write FILE (the checkpoint) and FILE.tsr (the token)."),
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have a timestamping authority date the newest checkpoint (RFC 3161). Needs the extra `affidavit[timestamps]`.

    The token is checked and kept, and `affidavit audit compare --ca FILE` checks it again. Keep a copy elsewhere: `--out`.

    Example: `affidavit audit timestamp https://tsa.example/tsr --ca tsa-root.pem -o monday.checkpoint`
    """
    with opened(workspace, as_json) as (ws, out):
        kept = ws.outside.timestamp(url, authority)
        if output is not None:
            token_file = output.with_name(output.name + ".tsr")
            try:
                output.write_text(kept.note, encoding="utf-8")
                token_file.write_bytes(kept.token or b"")
            except OSError as error:
                raise WorkspaceError(
                    f"{output} cannot be written: {error.strerror}", "choose another place for --out"
                ) from error
        if as_json:
            out.json({"authority": url, "size": kept.size, "at": iso(kept.at)})
        else:
            out.say(f"{url} dated {kept.size} events: they existed at {iso(kept.at)}")


# -- the witness, on the other machine


@witness.command("init")
def witness_init(
    folder: Folder,
    name: Annotated[
        str, typer.Option("--name", "-n", help="The witness's name: by custom an address without scheme.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Make a witness: a key of its own. Do this on a machine that the log's administrators cannot reach.

    Hand the printed key to whoever runs the log, over a channel you both trust.

    Example: `affidavit witness init ~/witness --name witness.example/bob`
    """
    out = Output(as_json)
    with errors(out):
        vkey = create(folder, name, SystemRandomness()).vkey()
        if as_json:
            out.json({"name": name, "vkey": vkey})
            return
        out.say(f"witness {name}; its public key:")
        out.say(f"  {vkey}")
        out.say(f"next: affidavit witness add-log {folder} VKEY, with the key that `audit verify` prints")


@witness.command("add-log")
def witness_add_log(
    folder: Folder,
    vkey: Annotated[
        str,
        typer.Argument(metavar="VKEY", help="The log's public key, as `affidavit audit verify` prints it."),
    ],
    as_json: JsonOption = False,
) -> None:
    """Watch a log. Works while the witness serves.

    Example: `affidavit witness add-log ~/witness affidavit/0123456789abcdef+01234567+AQ...`
    """
    out = Output(as_json)
    with errors(out):
        origin = Witness(folder, SystemClock()).add_log(vkey)
        out.json({"origin": origin}) if as_json else out.say(f"watching {origin}")


@witness.command("serve")
def witness_serve(
    folder: Folder,
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where to listen.")
    ] = "127.0.0.1:8450",
) -> None:
    """Answer logs that ask for a cosignature, until Ctrl-C (C2SP tlog-witness over HTTP).

    What was cosigned is on disk before it is answered. A fork, a log that shrank and a wrong key are refused, and what the
    log's key signed and was refused is kept as evidence. For the open internet put a proxy with TLS before it.

    Example: `affidavit witness serve ~/witness --listen 0.0.0.0:8450`
    """
    out = Output(as_json=False)
    with errors(out):
        host, _, port = listen.rpartition(":")
        if not host or not re.fullmatch(r"\d{1,5}", port, re.ASCII) or int(port) > 65_535:
            raise UsageError(f"{listen!r} is not HOST:PORT", "for example --listen 127.0.0.1:8450")
        party = Witness(folder, SystemClock())
        try:
            server = WitnessServer((host.strip("[]"), int(port)), party, out.say)
        except (OSError, UnicodeError) as error:
            raise WorkspaceError(f"cannot listen on {listen}: {error}", "choose another --listen") from error
        with server:
            bound = server.server_address
            out.say(f"witness {party.cosigner.name} listens on {bound[0]!s}:{bound[1]}")
            server.serve()


@witness.command("show")
def witness_show(folder: Folder, as_json: JsonOption = False) -> None:
    """Show the witness's key, and for each log what was cosigned last and what was refused.

    Example: `affidavit witness show ~/witness`
    """
    out = Output(as_json)
    with errors(out):
        value = Witness(folder, SystemClock()).show()
        if as_json:
            out.json(value)
            return
        out.say(f"witness {value['name']}", "bold")
        out.say(f"  key {value['vkey']}")
        for log in value["logs"]:
            out.say(f"log {log['origin']}", "bold")
            if log["size"] is None:
                out.say("  nothing cosigned yet")
            else:
                out.say(f"  cosigned {log['size']} events at {log['cosigned_at']}")
                out.say(f"  root {log['root']}")
            for name in log["refused"]:
                out.say(f"  refused and kept as evidence: {name}", "yellow")
