"""``tools.toml``: which Python tools a workspace has. Only the operator writes it; code is loaded only when tools are used.

[[tools]]
file = "refunds.py"          # beside tools.toml; or module = "acme.refunds"
use = ["refund"]             # left out: every tool in it
settings = { ledger = "refunds.db" }   # handed to the module's function `configure`, if it has one
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import stat
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from affidavit.app.plainfile import open_plain
from affidavit.domain.errors import ManifestError
from affidavit.gateway.contracts import Tool

NAME = "tools.toml"
_LARGEST = 100_000
_HINT = '[[tools]] with file = "tools.py" or module = "package.module"; use = ["name"], settings = {}'


def read_tools(folder: Path) -> list[Tool]:
    """The tools that ``folder``'s tools.toml names; none without the file. Raises ManifestError."""
    path = folder / NAME
    return [one for entry in _entries(path) for one in _of_entry(path, entry)]


def read_modules(folder: Path) -> list[ModuleType]:
    """The modules that ``folder``'s tools.toml names, loaded and not configured: none of their tools can reach what they are
    for. Raises ManifestError."""
    path = folder / NAME
    return [_loaded(path, entry) for entry in _entries(path)]


def load_module(where: str) -> ModuleType:
    """The Python file or importable module ``where``. Raises ManifestError."""
    path = Path(where)
    if where.endswith(".py"):
        return _loaded(path, {"file": path.name})
    return _loaded(path, {"module": where})


def tools_in(module: ModuleType) -> dict[str, Tool]:
    """The tools of a module by the names of its functions."""
    return {name: value for name, value in vars(module).items() if isinstance(value, Tool)}


def _entries(path: Path) -> list[Mapping[str, Any]]:
    if not path.exists():
        return []
    _only_ours(path)
    try:
        with open_plain(path) as file:
            said = tomllib.loads(file.read(_LARGEST).decode("utf-8"))
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}", "check the file") from error
    except ValueError as error:
        raise ManifestError(f"{path}: not TOML: {error}", _HINT) from error
    entries = said.pop("tools", [])
    if said or not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise ManifestError(f"{path} holds more than a list of tools", _HINT)
    for entry in entries:
        if set(entry) - {"file", "module", "use", "settings"} or ("file" in entry) == ("module" in entry):
            raise ManifestError(f"{path}: an entry names a file or a module", _HINT)
    return entries


def _only_ours(path: Path) -> None:
    """What is loaded runs with all our rights: nobody else may be able to write it. Raises ManifestError."""
    try:
        state = path.stat()
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}", "check the path") from error
    if state.st_mode & stat.S_IWOTH or state.st_uid not in (0, os.geteuid()):
        raise ManifestError(
            f"{path} can be written by others, and what it names is run",
            f"chmod o-w {path}, and let it belong to whoever runs affidavit",
        )


def _of_entry(path: Path, entry: Mapping[str, Any]) -> Iterator[Tool]:
    module = _loaded(path, entry)
    configure = getattr(module, "configure", None)
    if configure is not None:
        configure(dict(entry.get("settings", {}), folder=str(path.parent)))
    elif entry.get("settings"):
        raise ManifestError(
            f"{path}: {module.__name__} takes no settings", "give it a function configure(settings)"
        )
    there = tools_in(module)
    for name in entry.get("use", sorted(there)):
        if name not in there:
            raise ManifestError(
                f"{path}: {module.__name__} has no tool {name!r}", f"it has {', '.join(there)}"
            )
        yield there[name]


def _loaded(path: Path, entry: Mapping[str, Any]) -> ModuleType:
    """The module, freshly loaded. Whatever its code raises is the operator's to see."""
    try:
        if "module" in entry:
            return importlib.import_module(str(entry["module"]))
        file = (path.parent / str(entry["file"])).resolve()
        _only_ours(file)
        spec = importlib.util.spec_from_file_location(f"affidavit_tools_{file.stem}", file)
        if spec is None or spec.loader is None:
            raise ManifestError(f"{path}: {file.name} is no Python file", _HINT)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # annotations are looked up there
        spec.loader.exec_module(module)
    except (ImportError, OSError, SyntaxError) as error:
        raise ManifestError(f"{path}: {entry.get('file') or entry.get('module')}: {error}", _HINT) from error
    return module
