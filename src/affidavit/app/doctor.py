"""Whether a workspace is as it should be, in findings that say what to do. Looks only; nothing is changed but the memory of what
was verified."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from affidavit.app.settings import concerns, load
from affidavit.app.verified import STATE
from affidavit.app.wiring import KEY, Parts
from affidavit.app.workspace import Workspace
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import AffidavitError

FINE, NOTE, BROKEN = "fine", "note", "broken"
_LITTLE_SPACE, _NO_SPACE = 2**30, 64 * 2**20
_SOON = 14 * 86_400 * MICROSECONDS
_AHEAD = 60 * MICROSECONDS


@dataclass(frozen=True)
class Finding:
    """``state``: ``fine``, ``note`` (worth knowing) or ``broken``; ``hint`` says what to do, "" where there is nothing to do."""

    what: str
    state: str
    message: str
    hint: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def examine(ws: Workspace) -> list[Finding]:
    """Everything that was looked at, in an order in which one would put it right."""
    found = [*_folder(ws.parts), _disk(ws.parts), _clock(ws.parts), _log(ws)]
    status = ws.status()
    found += [_weights(status), _embeddings(status), *_sources(status)]
    found += [*_sinks(status), *_followers(ws), *_stopped(status), *_budgets(status)]
    return [*found, *_keys(ws), *_settings(ws.parts)]


def _folder(parts: Parts) -> Iterator[Finding]:
    path = parts.database.path
    writable = os.access(path, os.W_OK) and os.access(parts.folder, os.W_OK)
    if writable:
        yield Finding("workspace", FINE, f"{parts.folder} can be read and written")
    else:
        hint = "run as its owner, or give it back to them: chown"
        yield Finding("workspace", BROKEN, f"{parts.folder} cannot be written, so nothing is answered", hint)
    for private in (parts.folder, parts.folder / KEY):
        if private.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            hint = f"chmod go-rwx {private}"
            yield Finding("workspace", NOTE, f"{private} is open to others on this machine", hint)


def _disk(parts: Parts) -> Finding:
    free = shutil.disk_usage(parts.folder).free
    said = f"{free // 2**20:,} MiB free where the workspace is"
    if free < _LITTLE_SPACE:
        hint = "free some space: without it no answer can be recorded, and none is given"
        return Finding("disk", BROKEN if free < _NO_SPACE else NOTE, said, hint)
    return Finding("disk", FINE, said)


def _clock(parts: Parts) -> Finding:
    with parts.database.read():
        last = parts.events.at(parts.log.head())
    ahead = last - parts.clock.now()
    if ahead > _AHEAD:
        seconds = timedelta(seconds=ahead // MICROSECONDS)
        hint = (
            "set the machine's clock (chrony, timesyncd); until then new events bear the time of the last one"
        )
        return Finding("clock", BROKEN, f"the clock is {seconds} behind the newest event", hint)
    return Finding("clock", FINE, "the clock is not behind the log")


def _log(ws: Workspace) -> Finding:
    if not (ws.parts.folder / STATE).exists():
        hint = "run `affidavit audit verify` once, then from time to time"
        return Finding("log", NOTE, "the log was never verified here", hint)
    try:
        report = ws.verified.since()
    except AffidavitError as error:
        return Finding("log", BROKEN, error.message, error.hint)
    said = f"{report['new_events']} events since the last check verify; {report['events']} in all"
    return Finding("log", FINE, said)


def _weights(status: dict[str, Any]) -> Finding:
    if status["weights_missing"]:
        hint = "affidavit embedder install"
        return Finding("embedder", BROKEN, "its weights are not on this machine: search is by keyword", hint)
    return Finding("embedder", FINE, f"{status['embedder']}: search is {status['search']}")


def _embeddings(status: dict[str, Any]) -> Finding:
    waiting = status["chunks_without_vector"]
    if waiting:
        hint = "`affidavit sync` embeds them; until then they are found by keyword alone"
        return Finding("embeddings", NOTE, f"{waiting} chunks have no vector yet", hint)
    return Finding("embeddings", FINE, "every chunk has its vector")


def _sources(status: dict[str, Any]) -> Iterator[Finding]:
    for tenant, said in status["tenants"].items():
        for source in said["sources"]:
            if not source["synced_at"]:
                hint = f"affidavit sync {source['name']} --tenant {tenant}"
                yield Finding("source", NOTE, f"{tenant}/{source['name']} was never synced", hint)


def _sinks(status: dict[str, Any]) -> Iterator[Finding]:
    for sink in status["sinks"]:
        if sink["error"]:
            hint = (
                "`affidavit audit send` tries again; until then nothing outside can witness the newest events"
            )
            yield Finding("sink", BROKEN, f"{sink['name']}: {sink['error']}", hint)
        else:
            yield Finding("sink", FINE, f"{sink['name']} is {sink['behind']} events behind")


def _followers(ws: Workspace) -> Iterator[Finding]:
    for follower in ws.followers.list():
        said = f"{follower['name']} is {follower['lag']} events behind"
        if follower["lag"] and not follower["running"]:
            hint = f"start it again: affidavit follow {follower['kind']} …"
            yield Finding("follower", NOTE, f"{said}, and does not run", hint)
        else:
            yield Finding("follower", FINE, said)


def _stopped(status: dict[str, Any]) -> Iterator[Finding]:
    for stopped in status["stopped"]:
        yield Finding("kill switch", NOTE, stopped, "`affidavit revive WHAT` lets it go on")


def _budgets(status: dict[str, Any]) -> Iterator[Finding]:
    if status["budgets"]:
        many = len(status["budgets"])
        yield Finding("budgets", NOTE, f"{many} budgets are spent or nearly so", "affidavit budget list")


def _keys(ws: Workspace) -> Iterator[Finding]:
    now = ws.parts.clock.now()
    for tenant in ws.parts.people.tenants():
        keys = ws.credentials.keys(tenant)
        expired = sum(key["expired"] for key in keys)
        soon = sum(now < key["expires"] <= now + _SOON for key in keys)
        if expired:
            hint = f"affidavit key list --tenant {tenant.name}; end those that nobody misses"
            yield Finding("keys", NOTE, f"{tenant.name}: {expired} keys have expired", hint)
        if soon:
            hint = f"rotate them: affidavit key rotate ID --tenant {tenant.name}"
            yield Finding("keys", NOTE, f"{tenant.name}: {soon} keys expire within 14 days", hint)


def _settings(parts: Parts) -> Iterator[Finding]:
    try:
        found = concerns(load(parts.folder))
    except AffidavitError as error:
        yield Finding("settings", BROKEN, error.message, error.hint)
        return
    for concern in found:
        yield Finding("settings", NOTE, concern)
    if not found:
        yield Finding("settings", FINE, "the settings can be used")
