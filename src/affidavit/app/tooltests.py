"""``tool test``: which modules are on trial, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from affidavit.app.toolfile import NAME, load_module, read_modules, tools_in
from affidavit.domain.errors import ManifestError, UnknownNameError, UsageError
from affidavit.gateway.trials import Case, Check, examine

_HINT = "see `affidavit tool test --help`: cases = [Case(tool, {…})] and a context manager sandbox()"


@dataclass(frozen=True)
class TrialReport:
    """What was looked at, and the tools that nobody wrote a case for."""

    checks: tuple[Check, ...]
    without_cases: tuple[str, ...]

    @property
    def findings(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.verdict == "finding")

    def as_json(self) -> dict[str, Any]:
        return {
            "passed": not self.findings,
            "checks": [asdict(check) for check in self.checks],
            "without_cases": list(self.without_cases),
        }


def is_module(what: str) -> bool:
    """Whether ``what`` names a Python file or a dotted module rather than a tool of a workspace."""
    return what.endswith(".py") or Path(what).is_file()


def try_module(where: str, told: Callable[[Check], None]) -> TrialReport:
    """Put a module on trial; no workspace is needed. Raises UsageError, ManifestError."""
    return _tested([load_module(where)], "", told)


def try_workspace(folder: Path, tool: str, told: Callable[[Check], None]) -> TrialReport:
    """Put the tools of a workspace's tools.toml on trial, or just ``tool`` (a name, with or without a version).

    Its modules are loaded and never configured with the workspace's own settings. Raises UsageError, UnknownNameError.
    """
    modules = read_modules(folder)
    if not modules:
        raise UsageError(
            f"{folder / NAME} names no tools", "name a Python file: affidavit tool test refunds.py"
        )
    return _tested(modules, tool, told)


def _tested(modules: Sequence[ModuleType], tool: str, told: Callable[[Check], None]) -> TrialReport:
    checks: list[Check] = []
    without: list[str] = []
    known: list[str] = []
    for module in modules:
        tools = {t.contract.key: t for t in tools_in(module).values()}
        wanted = {key for key in tools if tool in ("", key, key.partition("@")[0])}
        known += sorted(tools)
        if not wanted:
            continue
        cases = [case for case in _cases(module) if case.tool.contract.key in wanted]
        without += sorted(wanted - {case.tool.contract.key for case in cases})
        if not cases:
            continue
        for check in examine(cases, _sandbox(module), tuple(tools.values())):
            checks.append(check)
            told(check)
    if tool and tool not in {name for key in known for name in (key, key.partition("@")[0])}:
        raise UnknownNameError(f"there is no tool {tool[:80]!r}", f"known: {', '.join(known)[:500]}")
    if not checks:
        raise UsageError("there is no case to try", _HINT)
    return TrialReport(tuple(checks), tuple(without))


def _cases(module: ModuleType) -> list[Case]:
    cases = getattr(module, "cases", [])
    if not isinstance(cases, list) or not all(isinstance(case, Case) for case in cases):
        raise ManifestError(f"{module.__name__}: `cases` is no list of Case", _HINT)
    return cases


def _sandbox(module: ModuleType) -> Any:
    sandbox = getattr(module, "sandbox", None)
    if not callable(sandbox):
        raise ManifestError(f"{module.__name__} has cases and no sandbox", _HINT)
    return sandbox
