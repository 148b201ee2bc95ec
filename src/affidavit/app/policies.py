"""The policy in force: read from the release, decided by, checked, tested, published, compared with what was decided."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from affidavit.app.plainfile import open_plain
from affidavit.app.policytests import SUFFIX, TestReport, read_tests, run_tests
from affidavit.app.wiring import STABLE, Parts
from affidavit.domain.canonical import Json
from affidavit.domain.decisions import Decision, Verdict, Wish
from affidavit.domain.errors import ManifestError, StoppedError, UsageError
from affidavit.domain.roles import ACTIONS
from affidavit.domain.tools import Contract
from affidavit.policy.cedar import Cedar
from affidavit.policy.statements import LARGEST, policy_digest

FOLDER = "policies"
"""Where a workspace's policy files are looked for, to be checked, tested and published. What decides is in the release."""
CEDAR = ".cedar"
_KEPT = 16


@dataclass(frozen=True)
class Standing:
    """Who somebody is at this moment: themself with every group, and the roles they hold. A stranger is nothing."""

    principals: frozenset[str]
    roles: frozenset[str]


@dataclass(frozen=True)
class PolicyFiles:
    """Rules and their tests, by file name."""

    rules: Mapping[str, str]
    tests: Mapping[str, str]


@cache
def shipped() -> PolicyFiles:
    """The rules that hold where the release has none, and their tests."""
    there = resources.files("affidavit.policy") / "shipped"
    found = {p.name: p.read_text(encoding="utf-8") for p in there.iterdir()}
    return PolicyFiles(_ending(found, CEDAR), _ending(found, SUFFIX))


def _ending(files: Mapping[str, str], suffix: str) -> dict[str, str]:
    return {name: text for name, text in sorted(files.items()) if name.endswith(suffix)}


def read_folder(folder: Path) -> PolicyFiles:
    """The ``*.cedar`` and ``*.test.toml`` files of ``folder``. Raises UsageError."""
    found = {}
    try:
        for path in sorted(folder.iterdir()):
            if path.name.endswith((CEDAR, SUFFIX)):
                with open_plain(path) as file:
                    found[path.name] = file.read(4 * LARGEST).decode("utf-8")
    except OSError as error:
        raise UsageError(f"{folder} cannot be read: {error.strerror}", "name a folder of *.cedar") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path} is not UTF-8", "save it as UTF-8") from error
    files = PolicyFiles(_ending(found, CEDAR), _ending(found, SUFFIX))
    if not files.rules:
        raise UsageError(f"{folder} holds no *.cedar", "begin with: affidavit policy write policies")
    return files


class PolicyDesk:
    """Decides, and looks after what decides. Safe to share between threads.

    ``contracts`` gives the tools of a tenant: the schema that policies are validated with is made from them.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.contracts: Callable[[int], Iterable[Contract]] = lambda tenant: ()
        self._made: dict[tuple[str, tuple[int, ...]], _Made] = {}
        self._serving: _InForce | None = None
        self._names: dict[int, str] = {}
        self._lock = threading.Lock()

    # -- deciding

    def decide(self, wish: Wish) -> Decision:
        """What the policy in force says, in the tenant's mode, at this moment; both are looked up, whatever ``wish`` says."""
        serving = self._in_force()
        try:
            policy = self._compiled(serving, tuple(self.contracts(wish.tenant)))
        except ManifestError as error:
            said = f"the policy does not fit the tools: {error.message}"
            return Decision(Verdict.FORBID, (), serving.digest, errors=(said,))
        return policy.decide(
            replace(wish, context={**wish.context, **self._circumstances(wish)}), self._name(wish.tenant)
        )

    def possible(self, wish: Wish, mode: str = "") -> bool:
        """Whether ``wish`` could be permitted with some arguments or after some yes, as things stand at this moment; or as they
        would if the tenant were in ``mode``."""
        try:
            policy = self._compiled(self._in_force(), tuple(self.contracts(wish.tenant)))
        except ManifestError:
            return False
        now = {**self._circumstances(wish), **({"mode": mode} if mode else {})}
        return policy.possible(replace(wish, context={**wish.context, **now}), self._name(wish.tenant))

    def _circumstances(self, wish: Wish) -> dict[str, Json]:
        parts = self._parts
        with parts.database.read():
            person = parts.people.facts(wish.tenant, wish.principal, parts.scopes.head())
            mode = parts.controls.mode(wish.tenant)
        return {"mode": mode, "time": parts.clock.now(), "person": person}

    def halted(self, tenant: int, tool: str) -> str:
        """Why ``tool`` (``name@version``) is stopped for ``tenant``, "" if it is not. Read from the database each time."""
        return self._parts.controls.tool(tenant, tool)

    def standing(self, tenant: int, principal: str) -> Standing:
        """Who ``principal`` is now."""
        parts = self._parts
        with parts.database.read():
            head = parts.scopes.head()
            principals = parts.scopes.identify(tenant, principal, head).principals
            return Standing(principals, parts.people.roles_of(tenant, principals, head))

    def _name(self, tenant: int) -> str:
        if tenant not in self._names:
            self._names.update({t.id: t.name for t in self._parts.people.tenants()})
        if tenant not in self._names:
            raise StoppedError(f"there is no tenant {tenant}")
        return self._names[tenant]

    # -- the set in force

    def in_force(self) -> Mapping[str, str]:
        """The files of the release that answers; those that affidavit comes with where it has none."""
        return self._in_force().files

    def _in_force(self) -> _InForce:
        found = self._parts.catalog.channel(STABLE)
        release = "" if found is None else found[0]
        known = self._serving
        if known is None or known.release != release:
            published = self._parts.release()
            files = shipped().rules if published.policy is None else published.policy
            known = self._serving = _InForce(published.digest, policy_digest(files), files)
        return known

    def _compiled(self, policy: _InForce, contracts: Sequence[Contract]) -> Cedar:
        """Parsed once for each policy and set of tools, which the entry keeps alive: their identity is the key."""
        key = policy.digest, tuple(map(id, contracts))
        made = self._made.get(key)
        if made is None:
            made = _made(policy.files, contracts)
            with self._lock:
                if len(self._made) >= _KEPT:
                    self._made.clear()
                self._made[key] = made
        if isinstance(made.policy, ManifestError):
            raise made.policy
        return made.policy

    # -- looking after it

    def files(self, folder: Path | None) -> PolicyFiles:
        """Those in ``folder``; without one the workspace's own folder, or what is in force if there is none."""
        own = self._parts.folder / FOLDER
        if folder is not None or own.is_dir():
            return read_folder(folder or own)
        rules = self.in_force()
        return PolicyFiles(rules, shipped().tests if rules == shipped().rules else {})

    def write(self, folder: Path) -> list[str]:
        """Write what is in force into ``folder``, which is new or empty, to be changed. The names of the files."""
        rules = self.in_force()
        tests = shipped().tests if rules == shipped().rules else {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise UsageError(f"{folder} is not empty", "name a new folder")
            for name, text in {**rules, **tests}.items():
                (folder / Path(name).name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(
                f"{folder} cannot be written: {error.strerror}", "name another folder"
            ) from error
        return sorted({**rules, **tests})

    def check(self, rules: Mapping[str, str], tenant: int | None = None) -> Cedar:
        """The set, parsed and validated with the tools of ``tenant``, or of each. Raises ManifestError with file and line."""
        tenants = [tenant] if tenant is not None else self._tenants() or [0]
        checked = [Cedar(rules, tuple(self.contracts(each)), ACTIONS) for each in tenants]
        return checked[0]

    def _tenants(self) -> list[int]:
        return [tenant.id for tenant in self._parts.people.tenants()]

    def test(self, files: PolicyFiles, tenant: int | None = None) -> TestReport:
        """Run the tests, with stand-ins beside the workspace's own tools. Raises ManifestError."""
        stand_ins, tests = read_tests(files.tests)
        tools = {} if tenant is None else {c.key: c for c in self.contracts(tenant)}
        for contract in stand_ins:
            if contract.key in tools:
                raise ManifestError(f"there is a tool {contract.key} already", "call the stand-in otherwise")
            tools[contract.key] = contract
        return run_tests(Cedar(files.rules, tuple(tools.values()), ACTIONS), tests)

    def content(self, files: PolicyFiles) -> dict[str, Any]:
        """The release in force with these rules in it, to be published. Raises ManifestError, and UsageError if a test fails."""
        self.check(files.rules)
        report = self.test(files) if files.tests else None
        if report is not None and report.failed:
            raise UsageError(
                f"{len(report.failed)} of {len(report.outcomes)} tests fail, first {report.failed[0].test.where}",
                "see them with: affidavit policy test",
            )
        return {**self._parts.release().content, "policy": {"files": dict(files.rules)}}


@dataclass(frozen=True)
class _InForce:
    release: str
    digest: str
    files: Mapping[str, str]


@dataclass(frozen=True)
class _Made:
    policy: Cedar | ManifestError
    contracts: Sequence[Contract]


def _made(files: Mapping[str, str], contracts: Sequence[Contract]) -> _Made:
    try:
        return _Made(Cedar(files, contracts, ACTIONS), contracts)
    except ManifestError as error:
        return _Made(error, contracts)
