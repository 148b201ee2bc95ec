"""``affidavit follow``: hand the log over to the tools an organisation has already."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from affidavit.adapters.cloudevents import WebhookFollower
from affidavit.adapters.guarded import transport
from affidavit.adapters.ocsf import OcsfFollower
from affidavit.adapters.otlp import OtlpFollower
from affidavit.adapters.post import address
from affidavit.adapters.prometheus import MetricsFollower
from affidavit.app.config import environment
from affidavit.app.follow import Following, Notices, Progress
from affidavit.app.reach import reach
from affidavit.app.workspace import Workspace
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import FollowerError, UsageError
from affidavit.entrypoints.common import JsonOption, WorkspaceOption, opened
from affidavit.entrypoints.output import Output
from affidavit.ports.follower import Follower

_LOOK_EVERY = 60 * MICROSECONDS

follow = typer.Typer(
    no_args_is_help=True,
    help="Hand the log over: traces, metrics, webhook, SIEM.\n\nEach follower keeps its own position: stopped or killed, it goes "
    "on where it was. What leaves are event headers and our own words; questions, answers and names only with `--content`.\n\n"
    "Example: `affidavit follow ocsf /var/log/affidavit.ocsf.jsonl`",
)

NameOption = Annotated[
    str, typer.Option("--name", help="The follower's name, which owns the position; default: its kind.")
]
OnceOption = Annotated[
    bool, typer.Option("--once", help="Catch up, then stop; without it, go on until Ctrl-C.")
]
FromOption = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="POSITION|start|now",
        help="Begin here, also if the follower has been elsewhere. Default: where it was, the first time the start.",
    ),
]
ContentOption = Annotated[
    bool, typer.Option("--content", help="Let bodies leave too: questions, answers, names, document names.")
]
# without the environment variable of other commands: it would leave out the other tenants, and nobody would see
TenantOption = Annotated[
    str,
    typer.Option("--tenant", "-t", help="Only this tenant's events; default: all.", show_default=False),
]
HeaderOption = Annotated[
    list[str] | None,
    typer.Option(
        "--header-env",
        metavar="HEADER=VARIABLE",
        help="Send a header whose value is in an environment variable, for example Authorization=OTEL_TOKEN.",
    ),
]
_HEADER = re.compile(r"([A-Za-z0-9-]{1,64})=([A-Za-z_][A-Za-z0-9_]*)", re.ASCII)
_LISTEN = re.compile(r"\[?([0-9A-Za-z_.:-]+?)\]?:(\d{1,5})", re.ASCII)


def _secret(variable: str) -> str:
    value = environment(variable)
    if not value:
        raise UsageError(
            f"${variable} is not set", f"put the secret into the environment variable {variable}"
        )
    return value


def _headers(given: Sequence[str] | None) -> dict[str, str]:
    out = {}
    for entry in given or ():
        found = _HEADER.fullmatch(entry)
        if not found:
            # never shown: it may be the secret itself
            raise UsageError(
                "--header-env takes HEADER=VARIABLE", "for example --header-env Authorization=OTEL_TOKEN"
            )
        out[found[1]] = _secret(found[2])
    return out


def _warn_plain(out: Output, url: str, *, secret: bool) -> None:
    where = address(url)
    if not where.private and secret:
        out.warn(f"{where.place} is not encrypted: who listens on the way reads what is sent")


def _run(ws: Workspace, out: Output, follower: Follower, wanted: Following) -> None:
    kind = follower.capabilities.kind

    def handed(progress: Progress) -> None:
        if out.as_json and not wanted.once:
            out.json({"name": wanted.name, "position": progress.position, "handed": progress.handed})

    def waiting(error: FollowerError, wait: float) -> None:
        out.warn(f"{error.message}; trying again in {wait:.1f} s")

    if not wanted.once and not out.as_json:
        out.say(
            f"following as {wanted.name} to {wanted.target}; Ctrl-C stops, and it goes on there the next time"
        )
    ws.levels.look()  # a promise that was broken while nobody looked is handed over too
    progress = ws.followers.follow(follower, wanted, Notices(handed, waiting), _looking(ws))
    if out.as_json:
        out.json(
            {"name": wanted.name, "kind": kind, "position": progress.position, "handed": progress.handed}
        )
    else:
        out.say(f"{wanted.name}: {progress.handed} events handed over, up to position {progress.position}")


def _looking(ws: Workspace) -> Callable[[float], None]:
    """Waits, and once a minute looks whether what is promised is kept."""
    next_look = ws.parts.clock.now() + _LOOK_EVERY

    def wait(seconds: float) -> None:
        nonlocal next_look
        if ws.parts.clock.now() >= next_look:
            next_look = ws.parts.clock.now() + _LOOK_EVERY
            ws.levels.look()
        time.sleep(seconds)

    return wait


def _following(
    ws: Workspace, name: str, target: str, since: str, tenant: str, *, once: bool, content: bool
) -> Following:
    limited = ws.parts.tenant(tenant) if tenant else None
    return Following(name, target, since, limited, content, once)


@follow.command("otel")
def follow_otel(
    endpoint: Annotated[
        str, typer.Option("--endpoint", help="OTLP/HTTP: http://HOST:4318, or the whole address.")
    ],
    header_env: HeaderOption = None,
    unfinished_after: Annotated[
        int,
        typer.Option(
            "--unfinished-after", metavar="MINUTES", min=1, help="Tell a run that has not ended by then."
        ),
    ] = 60,
    name: NameOption = "otel",
    once: OnceOption = False,
    since: FromOption = "",
    content: ContentOption = False,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Send a span for each run and each of its steps to an OpenTelemetry collector.

    A run is sent when it ends; one that does not end is sent as unfinished. Trace and span ids are made from run and position:
    what is sent twice after a crash has the same ids. Needs the extra `affidavit[otel]`.

    Example: `affidavit follow otel --endpoint http://localhost:4318`
    """
    with opened(workspace, as_json) as (ws, out):
        _warn_plain(out, endpoint, secret=content or bool(header_env))
        follower = OtlpFollower(
            endpoint,
            _headers(header_env),
            unfinished_after=unfinished_after * 60 * MICROSECONDS,
            transport=transport(reach(ws.parts)),
        )
        place = address(endpoint).place
        _run(ws, out, follower, _following(ws, name, place, since, tenant, once=once, content=content))


@follow.command("webhook")
def follow_webhook(
    url: Annotated[
        str, typer.Argument(help="Where to post; only scheme, host and port of it are kept or shown.")
    ],
    secret_env: Annotated[
        str,
        typer.Option(
            "--secret-env", metavar="VARIABLE", help="Sign with the secret in this environment variable."
        ),
    ] = "",
    header_env: HeaderOption = None,
    structured: Annotated[
        bool, typer.Option("--structured", help="One event a request instead of a batch of them.")
    ] = False,
    name: NameOption = "webhook",
    once: OnceOption = False,
    since: FromOption = "",
    content: ContentOption = False,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Post each event as a CloudEvent (1.0, JSON) to a webhook, in order.

    The receiver takes an event by answering 2xx. After a crash the last batch may come again: drop what has an `id` you know. The
    signature is that of Standard Webhooks (`webhook-signature: v1,…`, HMAC-SHA256).

    Example: `HOOK=$(cat secret) affidavit follow webhook https://siem.example/hook --secret-env HOOK`
    """
    with opened(workspace, as_json) as (ws, out):
        secret = _secret(secret_env) if secret_env else ""
        if not secret:
            out.warn("unsigned: the receiver cannot tell who sends; use --secret-env")
        _warn_plain(out, url, secret=content or bool(header_env))
        follower = WebhookFollower(
            url,
            ws.parts.clock.now,
            secret,
            _headers(header_env),
            structured=structured,
            transport=transport(reach(ws.parts)),
        )
        place = address(url).place
        _run(ws, out, follower, _following(ws, name, place, since, tenant, once=once, content=content))


@follow.command("metrics")
def follow_metrics(
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Serve /metrics here, without a sign-in.")
    ] = "",
    textfile: Annotated[
        Path | None,
        typer.Option("--textfile", help="Write this file instead, for node_exporter; ends in .prom."),
    ] = None,
    name: NameOption = "metrics",
    once: OnceOption = False,
    since: FromOption = "",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Count what is on the log and show it to Prometheus.

    The counts are kept with the position: a restart goes on counting and counts nothing twice. No names, no questions, and
    a bounded number of labels. Needs the extra `affidavit[metrics]`.

    Example: `affidavit follow metrics --listen 127.0.0.1:9464`
    """
    with opened(workspace, as_json) as (ws, out):
        place = _listen(listen) if listen else None
        if once and place is not None:
            raise UsageError("--once and --listen: nobody could read it", "use --textfile FILE with --once")
        follower = MetricsFollower(place, textfile)
        target = listen or str(Path(textfile or "").absolute())
        _run(ws, out, follower, _following(ws, name, target, since, tenant, once=once, content=False))


def _listen(text: str) -> tuple[str, int]:
    found = _LISTEN.fullmatch(text)
    if not found or not int(found[2]) < 2**16:
        raise UsageError(f"--listen {text!r} is not HOST:PORT", "for example --listen 127.0.0.1:9464")
    return found[1], int(found[2])


@follow.command("ocsf")
def follow_ocsf(
    file: Annotated[Path, typer.Argument(help="The file to append to; it may be rotated by renaming it.")],
    name: NameOption = "ocsf",
    once: OnceOption = False,
    since: FromOption = "",
    content: ContentOption = False,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Append each event as an OCSF 1.8.0 record, a JSON line, to a file that a SIEM reads.

    One line an event, exactly once, also over kill -9: what was written but not yet saved as handed over is cut off and
    written again.

    Example: `affidavit follow ocsf /var/log/affidavit.ocsf.jsonl`
    """
    with opened(workspace, as_json) as (ws, out):
        path = file.absolute()
        wanted = _following(ws, name, str(path), since, tenant, once=once, content=content)
        _run(ws, out, OcsfFollower(path), wanted)


@follow.command("list")
def follow_list(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Show every follower: where it hands over to, its position, and how many events it is behind.

    Example: `affidavit follow list`
    """
    with opened(workspace, as_json) as (ws, out):
        entries = ws.followers.list()
        if as_json:
            out.json(entries)
            return
        if not entries:
            out.say("nobody follows the log; begin with: affidavit follow --help")
            return
        titles = ("name", "kind", "position", "lag", "running", "tenant", "content", "target")
        said = {True: "yes", False: "no", "": "all"}
        out.table(
            titles, [[said.get(e[t], e[t]) if t in titles[4:7] else e[t] for t in titles] for e in entries]
        )
