"""Runs what a page of the documentation shows, in the order it is shown.

A fenced block whose info string names a file (```` ```toml handbook/access.toml ````) writes that file. A ```` ```console ````
block holds commands after ``$`` and what they print; ```` ```python ```` is run, and ```` ```text output ```` after it is what
it printed. In what is printed ``...`` stands for anything. Run ids, digests, times, positions and scores differ from
one run to the next: they must only be of the same form, and a command that repeats one is given the real one.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from affidavit.entrypoints.cli import app

_FENCE = re.compile(r"^```(?P<info>[^`\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_SHELL = set("|&;<>$`*")

# (what it looks like in the page, what may stand there in truth)
_VARIES = tuple(
    re.compile(pattern)
    for pattern in (
        r"run-[a-z2-7]{16}",
        r"inc-[0-9a-f]{10}",
        r"call-[0-9a-f]{16}",
        r"[0-9a-f]{64}",
        r"(?<=--accept )[0-9a-f]{16}",
        r"(?<=release )[0-9a-f]{12}",
        r"affidavit/[0-9a-f]{16}\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+",
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
        r"(?<=position )\d+",
        r"(?<=events )\d+ to \d+",
        r"\d+ events, \d+ bodies, \d+ checkpoints",
        r"-?\d+\.\d{3,9}",
        r"\d+\.\d MB",
    )
)
_TOKEN = re.compile("|".join(f"(?:{p.pattern})" for p in _VARIES))


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the other word of its info string, and its lines."""

    language: str
    name: str
    body: str


@dataclass(frozen=True)
class Shown:
    """A command and what the page says it prints."""

    command: str
    output: str


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page in order."""
    found = []
    for match in _FENCE.finditer(text):
        language, _, name = match["info"].strip().partition(" ")
        found.append(Block(language, name.strip(), match["body"]))
    return found


def commands(body: str) -> list[Shown]:
    """The commands of a console block. A line that ends in a backslash goes on in the next."""
    found: list[Shown] = []
    for part in re.split(r"^\$ ", body.replace("\\\n", ""), flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        found.append(Shown(command.strip(), output))
    return found


def pattern(expected: str) -> tuple[re.Pattern[str], list[str]]:
    """What may be printed where the page shows ``expected``, and the tokens that vary, one a group."""
    text, tokens, regex, last = _tidy(expected), [], "", 0
    for match in _TOKEN.finditer(text):
        kind = next(p for p in _VARIES if p.match(text, match.start()))
        # a lookbehind is met by the literal text before, in both
        regex += _literal(text[last : match.start()]) + f"({kind.pattern})"
        tokens.append(match.group())
        last = match.end()
    return re.compile(regex + _literal(text[last:]), re.DOTALL), tokens


def _literal(text: str) -> str:
    return ".*?".join(re.escape(part) for part in text.split("..."))


def _tidy(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


@dataclass
class Session:
    """One page being followed: where the reader stands, what they exported, and which real ids stand for the page's."""

    folder: Path
    environment: dict[str, str]
    in_process: bool = True
    real: dict[str, str] = field(default_factory=dict)
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "docs"})
    printed: str = ""

    def follow(self, page: str) -> int:
        """Do everything that ``page`` shows; how many blocks that were. Raises AssertionError where it prints something else."""
        done = 0
        for block in blocks(page):
            done += 1
            if block.language == "console":
                for shown in commands(block.body):
                    self.check(shown.command, shown.output, self.run(self._with_real(shown.command)))
            elif block.language == "python":
                self.printed = self._python(block.body)
            elif block.name == "output":
                self.check("the Python above", block.body, self.printed)
            elif block.name:
                path = self.folder / block.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.body, encoding="utf-8")
            else:
                done -= 1
        return done

    def check(self, what: str, expected: str, actual: str) -> None:
        """That ``actual`` is what the page shows; learns the real ids."""
        regex, tokens = pattern(expected)
        match = regex.fullmatch(_tidy(actual))
        assert match, f"{what}\n--- the page shows\n{expected}\n--- printed was\n{actual}"
        for token, found in zip(tokens, match.groups(), strict=True):
            if token.startswith("run-"):
                assert self.real.get(token, found) == found, f"{what}: {token} stands for two runs"
            self.real[token] = found

    def _with_real(self, command: str) -> str:
        return re.sub(
            r"run-[a-z2-7]{16}|inc-[0-9a-f]{10}|(?<=--accept )[0-9a-f]{16}|(?<=--as-of )\d+",
            lambda m: self.real.get(m.group(), m.group()),
            command,
        )

    def run(self, command: str) -> str:
        """What ``command`` prints. It fails exactly when a line begins with ``error:``."""
        if command.startswith("cd "):
            self.folder = (self.folder / command[3:].strip()).resolve(strict=True)
            return ""
        if command.startswith("export "):
            name, _, value = command[7:].partition("=")
            self.environment[name] = value
            return ""
        plain = self.in_process and command.startswith("affidavit ") and not _SHELL & set(command)
        status, output = (self._affidavit if plain else self._shell)(command)
        failed = any(line.startswith("error:") for line in output.splitlines())
        assert bool(status) == failed, f"{command}: exit status {status}\n{output}"
        return output

    def _affidavit(self, command: str) -> tuple[int, str]:
        """In this process: starting one takes longer than most commands."""
        with contextlib.chdir(self.folder):
            result = CliRunner().invoke(app, shlex.split(command)[1:], env=self.environment)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output

    def _shell(self, command: str) -> tuple[int, str]:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder,
            env={**os.environ, **self.environment, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=250,
            check=False,
        )
        return done.returncode, done.stdout

    def _python(self, source: str) -> str:
        printed = io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(printed), _exported(self.environment):
            exec(compile(source, "a page of the documentation", "exec"), self.names)
        return printed.getvalue()


@contextlib.contextmanager
def _exported(environment: Mapping[str, str]) -> Any:
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
