"""Writes the reference pages below ``docs/reference`` from the code, so that they cannot say anything else.

    python -m tools.reference            # write them
    python -m tools.reference --check    # exit status 1, naming each page that is out of date

The pages depend on the code alone: no paths of the machine, no dates, nothing that differs from one run to the next.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import Field, fields, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import typer

import affidavit
from affidavit.app import workspace
from affidavit.app.config import EmbedderSpec
from affidavit.app.operations import operation
from affidavit.app.operations.operation import Operation
from affidavit.app.operations.table import TABLE
from affidavit.app.people import Entry, ImportReport, PeopleDesk
from affidavit.app.runs import RunDesk
from affidavit.app.settings import SECTIONS as SERVER_SETTINGS
from affidavit.app.settings import described
from affidavit.app.sources import SourceDesk
from affidavit.ask.searcher import Hits
from affidavit.domain import errors, events, release
from affidavit.domain.answer import Answer, Citation, Claim, Refusal
from affidavit.domain.records import RunStatus
from affidavit.domain.roles import EVERYBODY, INCLUDED, ROLES
from affidavit.entrypoints.cli import app
from affidavit.entrypoints.common import FAILED, INTERRUPTED, USAGE
from affidavit.ingest.sync import SyncReport
from affidavit.ports import connector, embedder, index

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"
_NOTE = "<!-- Written by `make docs` from the code. Change the code, not this page. -->"
_WIDE = 100
_EVERYWHERE = ("workspace", "tenant", "as_json")


# -- words


def prose(text: str | None) -> str:
    """A docstring as Markdown: ``double`` back quotes become single ones."""
    return inspect.cleandoc(text or "").replace("``", "`")


def cell(text: object) -> str:
    """``text`` inside a table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def table(titles: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table."""
    lines = [list(titles)]
    lines += [["---"] * len(lines[0]), *([cell(c) for c in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def page(*parts: str) -> str:
    """A page out of paragraphs; empty ones are left out."""
    return "\n\n".join([_NOTE, *(part.strip("\n") for part in parts if part)]) + "\n"


def signature(function: Callable[..., Any], name: str) -> str:
    """``name(…)`` with types and defaults, on several lines if it is long. A default that is a function shows as ``…``."""
    found = inspect.signature(function)
    parts, bar = [], False
    for parameter in found.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not bar:
            parts.append("*")
            bar = True
        parts.append(_parameter(parameter))
    back = "" if found.return_annotation is found.empty else f" -> {_type(found.return_annotation)}"
    line = f"{name}({', '.join(parts)}){back}"
    return line if len(line) <= _WIDE else f"{name}(\n    " + ",\n    ".join(parts) + f",\n){back}"


def _parameter(parameter: inspect.Parameter) -> str:
    text = parameter.name
    if parameter.annotation is not parameter.empty:
        text += f": {_type(parameter.annotation)}"
    if parameter.default is not parameter.empty:
        text += " = " + ("…" if callable(parameter.default) else repr(parameter.default))
    return text


def _type(annotation: object) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


def code(text: str) -> str:
    """A block of Python that is not meant to be run."""
    return f"```text\n{text}\n```"


# -- cli.md


def _commands(group: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below ``group`` with its words, groups before what is in them."""
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        yield (*path, name), command
        if hasattr(command, "commands"):
            yield from _commands(command, (*path, name))


def commands() -> list[tuple[str, Any]]:
    """Each command as it is typed (``source add``) with typer's own object; groups are left out."""
    found = _commands(typer.main.get_command(app), ())
    return [(" ".join(path), command) for path, command in found if not hasattr(command, "commands")]


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _argument(parameter: Any) -> str:
    name = parameter.metavar or parameter.name.upper()
    return name if parameter.required else f"[{name}]"


def _option(parameter: Any) -> str:
    spelled = ", ".join(sorted(parameter.opts, key=len))
    if parameter.secondary_opts:
        spelled += " / " + ", ".join(parameter.secondary_opts)
    if not parameter.is_flag:
        spelled += " " + (parameter.metavar or parameter.name.upper())
    return f"`{spelled}`"


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if parameter.envvar:
        return f"`${parameter.envvar}`"
    shown = parameter.default not in (None, "", False) and parameter.show_default
    return f"`{parameter.default}`" if shown else ""


def _parameters(parameters: Iterable[Any]) -> str:
    rows = [
        (f"`{_argument(p)}`" if _is_argument(p) else _option(p), p.help or "", _default(p))
        for p in parameters
    ]
    return table(("", "meaning", "default"), rows) if rows else ""


def _command(name: str, command: Any) -> Iterator[str]:
    yield f"### affidavit {name}"
    arguments = [_argument(p) for p in command.params if _is_argument(p)]
    own = [p for p in command.params if p.name not in _EVERYWHERE]
    options = ["[OPTIONS]"] if any(not _is_argument(p) for p in command.params) else []
    yield f"    affidavit {' '.join([name, *options, *arguments])}"
    yield prose(command.help)
    yield _parameters(own)
    shared = [f"`{max(p.opts, key=len)}`" for p in command.params if p.name in _EVERYWHERE]
    yield f"Also {', '.join(shared)}." if shared else ""


def cli() -> str:
    """Every command with its arguments, options, defaults and help."""
    root: Any = typer.main.get_command(app)
    named = {p.name: p for _, c in commands() for p in c.params}
    parts = ["# The command line", prose(root.help)]
    parts += [
        "Three options are the same on every command that has them; `affidavit -w DIR COMMAND` works too.",
        _parameters(named[name] for name in _EVERYWHERE),
        'With `--json` a command prints one JSON value a line, and an error is `{"error": {…}}` on standard output. '
        f"The exit status is 0; {FAILED} if it failed, {USAGE} if what was asked for cannot be asked, {INTERRUPTED} if it was "
        "interrupted ([errors](errors.md)).",
        "## Commands",
    ]
    group = None
    for name, command in commands():
        words = name.split()
        if len(words) > 1 and words[0] != group:
            parts.append(f"## {words[0]}: {prose(root.get_command(None, words[0]).help).rstrip('.')}")
            group = words[0]
        parts += _command(name, command)
    return page(*parts)


# -- errors.md


def _classes(root: type[Any]) -> Iterator[type[Any]]:
    yield root
    for below in root.__subclasses__():
        if below.__module__ == root.__module__:
            yield from _classes(below)


def error_tree() -> str:
    """Every error with its code, whether to try again, and the exit status of the command it ends."""
    first, _, rest = prose(errors.__doc__).partition("\n\n")
    drawn, _, last = rest.partition("\n\n")
    rows = [
        (
            f"`{c.__name__}`",
            f"`{c.code}`",
            "yes" if c.retryable else "no",
            USAGE if issubclass(c, errors.UsageError) else FAILED,
        )
        for c in _classes(errors.AffidavitError)
    ]
    return page(
        "# Errors",
        first,
        code(drawn),
        last,
        "`message` says what is wrong, `hint` what to do about it. `retryable` says that the same request may succeed later "
        "without a change.",
        table(("error", "code", "retryable", "exit status"), rows),
    )


# -- events.md


def event_kinds() -> str:
    """Every kind of event with the facts that its header holds."""
    rows = [
        (f"`{kind.value}`", ", ".join(f"`{name}`: {t.__name__}" for name, t in events.FACTS[kind].items()))
        for kind in events.EventKind
    ]
    title, _, rest = prose(events.__doc__).partition("\n\n")
    return page(
        "# Events",
        title,
        rest,
        f"There are {len(rows)} kinds. `subject`, `source` and `tenant` are the catalog's own numbers; `step` counts from 1 "
        "within a run. [The log](../explanation/log.md) says how they are kept and checked.",
        table(("kind", "facts"), rows),
        "## Functions",
        *(
            f"{code(signature(f, f.__name__))}\n\n{prose(f.__doc__)}"
            for f in (events.header_bytes, events.commit_body)
        ),
    )


# -- release.md

_SETTINGS: Mapping[str, type[Any]] = {
    "retrieve": release.Retrieval,
    "suffice": release.Calibration,
    "answer": release.Answering,
    "guard": release.Guarding,
}


def default_release() -> str:
    """The default release with its digest and what each setting means."""
    parts = [
        "# The default release",
        prose(release.__doc__),
        f"`affidavit init` publishes the release below as `stable`. Its digest, which every run cites, is\n\n"
        f"    {release.load(release.DEFAULT).digest}",
        "## Settings",
    ]
    for section, settings in _SETTINGS.items():
        parts += [f"### {section}", prose(settings.__doc__)]
    names = ", ".join(f"`{name}`" for name in release.FEATURES)
    parts += [
        f"Features a calibration may weigh: {names}. `dense` holds the calibration with vectors, `keyword_only` the one without.",
        "## Content",
        "```json\n" + json.dumps(release.DEFAULT, indent=2, ensure_ascii=False) + "\n```",
    ]
    return page(*parts)


# -- ports.md and python.md


def _own(thing: type[Any]) -> Iterator[tuple[str, Any]]:
    """Public methods and properties in the order they are written."""
    for name, member in vars(thing).items():
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
            yield name, member


def _members(thing: type[Any], prefix: str) -> Iterator[str]:
    for name, member in _own(thing):
        if isinstance(member, property):
            back = _type(inspect.signature(member.fget).return_annotation) if member.fget else ""
            yield code(f"{prefix}{name}: {back}")
            yield prose(member.fget.__doc__)
        else:
            yield code(signature(member, f"{prefix}{name}"))
            yield prose(member.__doc__)


def _record(thing: type[Any]) -> Iterator[str]:
    """A dataclass: its meaning and its fields."""
    yield f"### {thing.__name__}"
    yield prose(thing.__doc__)
    if is_dataclass(thing):
        yield code("\n".join(_field(f) for f in fields(thing) if not f.name.startswith("_")))


def _field(field: Field[Any]) -> str:
    plain = field.default is None or isinstance(field.default, (str, int))
    return f"{field.name}: {_type(field.type)}" + (f" = {field.default!r}" if plain else "")


def _port(module: ModuleType) -> Iterator[str]:
    title, _, rest = prose(module.__doc__).partition("\n\n")
    yield f"## {title.rstrip('.')}"
    yield rest
    for thing in vars(module).values():
        if not inspect.isclass(thing) or thing.__module__ != module.__name__:
            continue
        if is_dataclass(thing):
            yield from _record(thing)
        else:
            yield f"### {thing.__name__}"
            yield prose(thing.__doc__)
            yield from _members(thing, "")


def ports() -> str:
    """The contracts that back-ends meet."""
    parts = [
        "# Ports",
        "A port is a contract; an adapter meets it. Each has a suite of tests in `affidavit.testing` "
        "(`connector_conformance`, `embedder_conformance`, `index_conformance`) that an adapter inherits.",
    ]
    for module in (connector, embedder, index):
        parts += _port(module)
    return page(*parts)


def python() -> str:
    """The public Python interface."""
    parts = ["# Python", prose(workspace.__doc__)]
    for function in (affidavit.open, affidavit.init):
        parts += [code(signature(function, f"affidavit.{function.__name__}")), prose(function.__doc__)]
    parts += ["## Workspace", prose(affidavit.Workspace.__doc__), *_members(affidavit.Workspace, "ws.")]
    for attribute, desk in (("people", PeopleDesk), ("sources", SourceDesk), ("runs", RunDesk)):
        parts += [f"## Workspace.{attribute}", prose(desk.__doc__), *_members(desk, f"ws.{attribute}.")]
    parts.append("## What they take and give")
    for record in (EmbedderSpec, Entry, Answer, Claim, Citation, Refusal, Hits, SyncReport, ImportReport):
        parts += _record(record)
    parts += [
        f"### {RunStatus.__name__}",
        prose(RunStatus.__doc__),
        ", ".join(f"`{s.value}`" for s in RunStatus),
    ]
    return page(*parts)


# -- operations.md


def _held_by(action: str) -> str:
    if action in EVERYBODY:
        return "everybody"
    return ", ".join(f"`{role}`" for role in ROLES if action in INCLUDED[role])


def _takes(row: Operation[Any]) -> str:
    rows = []
    for name, field in row.takes.model_fields.items():
        needed = "required" if field.is_required() else ""
        rows.append((f"`{name}`", field.description or "", needed))
    return table(("takes", "meaning", ""), rows) if rows else ""


def _operation(row: Operation[Any]) -> Iterator[str]:
    yield f"### {row.name}"
    yield f"    {row.method.value} /v1{row.path}"
    yield row.summary
    same = f" On the command line: `affidavit {row.command}`." if row.command else ""
    yield f"Needs `{row.action}` ({_held_by(row.action)}).{same}"
    yield _takes(row)
    if row.example:
        yield "```json\n" + json.dumps(row.example, ensure_ascii=False) + "\n```"


def operations() -> str:
    """Every operation that can be asked for over the network."""
    title, _, rest = prose(operation.__doc__).partition("\n\n")
    parts = [
        "# Operations",
        title,
        rest,
        "Fields in braces travel in the path; the others in the query of a `GET`, else as JSON in the body. Lists give "
        "`items` and `next`: send `next` as `after` for the following page; `null` ends the list. Errors have one shape "
        "([errors](errors.md)). `/v1/openapi.json` holds the same for machines.",
    ]
    group = ""
    for row in TABLE:
        if row.group != group:
            group = row.group
            parts.append(f"## {group}")
        parts += _operation(row)
    return page(*parts)


# -- settings.md


def server_settings() -> str:
    """Every setting of the server with its default and meaning."""
    parts = [
        "# Settings of the server",
        "They are in `server.toml` in the workspace's folder, or in the file that `affidavit serve --settings` names. What is "
        "not said there has its default. A name that is not below is refused, with the nearest one that is. "
        "`affidavit config check` looks a file over before the server does, `affidavit config show` shows what is in force.",
        "A setting that ends in `_file` names a file that holds a secret and nothing else, readable by the server alone; names "
        "of files are relative to the settings' folder. No secret is a setting itself.",
        '```toml\n[server]\nhost = "0.0.0.0"\npublic_url = "https://ask.example.com"\ntls_certificate = "tls/chain.pem"\n'
        'tls_key_file = "tls/key.pem"\nworkers = 2\n```',
    ]
    for section, kind in SERVER_SETTINGS.items():
        rows = [(f"`{n}`", said, f"`{json.dumps(d)}`") for s, n, d, said in described() if s == section]
        parts += [f"## {section}", prose(kind.__doc__), table(("setting", "meaning", "default"), rows)]
    return page(*parts)


# -- all of them

PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": cli,
    "errors.md": error_tree,
    "events.md": event_kinds,
    "operations.md": operations,
    "ports.md": ports,
    "python.md": python,
    "release.md": default_release,
    "settings.md": server_settings,
}


def outdated(folder: Path) -> list[str]:
    """The names of the pages in ``folder`` that do not say what the code says."""
    return [
        name
        for name, render in PAGES.items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != render()
    ]


def write(folder: Path) -> None:
    """Write every page into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, render in PAGES.items():
        (folder / name).write_text(render(), encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(description="Write docs/reference from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page is out of date")
    if not parser.parse_args(arguments).check:
        write(FOLDER)
        return 0
    stale = outdated(FOLDER)
    for name in stale:
        print(f"docs/reference/{name} is out of date: run `make docs`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
