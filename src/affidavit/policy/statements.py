"""Policy files as statements: each with its file and line, its name and what it asks for. Pure.

Cedar names rules by their place in the text and errors by nothing at all; people need the file, the line and a name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cedarpy import PolicySet, policies_to_json_str

from affidavit.domain.canonical import digest
from affidavit.domain.errors import ManifestError
from affidavit.domain.roles import ROLES

LARGEST = 500_000
"""Characters of all files together."""
DEEPEST = 50
"""Brackets within brackets, in one rule."""
LONGEST = 500
"""Operators of one rule."""
_OPERATOR = re.compile(r"&&|\|\||[-+*.!<>[]|[=!]=|\b(?:if|has|like|in|is|when|unless)\b")
_ID = re.compile(r"[a-z][a-z0-9-]{0,63}\Z")
_TOKEN = re.compile(r'//[^\r\n]*|"(?:\\.|[^"\\])*"|;|\n|[^\S\n]+|[^;"/\s]+|.', re.DOTALL)
_TEACH = (
    'for example: @id("writes-need-live") forbid (principal, action in Action::"tool:write", resource) …;'
)


@dataclass(frozen=True)
class Statement:
    """One rule. ``approval``: the role whose yes lifts it, "" if nothing does (it is a forbid rule then, or a permit rule)."""

    id: str
    file: str
    line: int
    effect: str
    approval: str
    text: str

    @property
    def where(self) -> str:
        """``file:line``, for people."""
        return f"{self.file}:{self.line}"


def policy_digest(files: Mapping[str, str]) -> str:
    """The set's name by content: every byte of every file, and nothing else."""
    return digest(dict(files))


def statements(files: Mapping[str, str]) -> tuple[Statement, ...]:
    """Every rule of ``files`` in order of file and line. Raises ManifestError with file and line."""
    if sum(map(len, files.values())) > LARGEST:
        raise ManifestError(f"the policies have more than {LARGEST} characters", "split them by tenant")
    found: dict[str, Statement] = {}
    for file in sorted(files):
        for line, text in _split(file, files[file]):
            statement = _statement(file, line, text)
            if statement.id in found:
                raise ManifestError(
                    f"{statement.where}: @id({statement.id!r}) stands at {found[statement.id].where} too",
                    "decisions cite rules by id: give each its own",
                )
            found[statement.id] = statement
    return tuple(found.values())


def _split(file: str, text: str) -> Iterator[tuple[int, str]]:
    """(line, text) of each statement, without the comments before it."""
    parts: list[str] = []
    line = start = 1
    for token in _TOKEN.findall(text):
        blank = token.isspace() or token.startswith("//")
        if not parts and not blank:
            start = line
        if parts or not blank:
            parts.append(token)
        line += token.count("\n")
        if token == ";":  # noqa: S105  # a piece of text
            yield start, "".join(parts)
            parts = []
    if parts:
        raise ManifestError(f"{file}:{start}: the rule has no end", "a rule ends with `;`")


def _statement(file: str, line: int, text: str) -> Statement:
    where = f"{file}:{line}"
    _bounded(where, text)
    try:
        parsed = PolicySet.from_str(text).to_pst()
    except ValueError as error:
        raise ManifestError(f"{where}: {error}", _TEACH) from error
    if parsed.templates or len(parsed.static_policies) != 1:
        raise ManifestError(f"{where}: it is a template, or no rule", "name the principal and resource")
    (rule,) = parsed.static_policies.values()
    notes = dict(rule.annotations)
    id, approval = str(notes.pop("id", "") or ""), notes.pop("approval", None)
    if not _ID.match(id):
        raise ManifestError(f"{where}: a rule needs an @id of small letters, digits and -", _TEACH)
    if notes:
        raise ManifestError(f"{where}: {id} has an unknown note @{min(notes)}", "there are @id and @approval")
    if approval is not None and (rule.effect != "forbid" or approval not in ROLES):
        raise ManifestError(
            f"{where}: {id}: @approval names who may lift a forbid rule", f"a role: {', '.join(ROLES)}"
        )
    for wrong in _misnamed(json.loads(policies_to_json_str(text))):
        raise ManifestError(f"{where}: {id}: {wrong}", "the rule would never apply to anybody")
    return Statement(id, file, line, rule.effect, approval or "", text)


def _bounded(where: str, text: str) -> None:
    """Raises ManifestError for a rule so deep that Cedar's parser would run out of stack, and with it the whole process."""
    code = "".join(
        " " if token[0] == '"' or token.startswith("//") else token for token in _TOKEN.findall(text)
    )
    depth = deepest = 0
    for letter in code:
        depth += (letter in "([{") - (letter in ")]}")
        deepest = max(deepest, depth)
    if deepest > DEEPEST or len(_OPERATOR.findall(code)) > LONGEST:
        raise ManifestError(
            f"{where}: the rule has more than {DEEPEST} brackets within brackets, or {LONGEST} operators",
            "split it into several rules",
        )


def _misnamed(node: Any) -> Iterator[str]:
    """What is wrong with the ids in a rule: Cedar does not look at them, and a forbid rule about nobody forbids nothing."""
    if isinstance(node, dict):
        kind, id = node.get("type"), node.get("id")
        if kind == "Role" and isinstance(id, str) and id not in ROLES:
            yield f"there is no role {id}, there are {', '.join(ROLES)}"
        if kind in ("User", "Service", "Group") and isinstance(id, str) and "/" not in id:
            yield f"{kind}::{json.dumps(id)} names nobody: TENANT/NAME is how people and groups are called"
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _misnamed(inner)
