"""What decides, as far as one tenant's people may see it: a release is every tenant's, and may name the others' people and the
server's own files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from affidavit.app.operations.operation import Caller
from affidavit.app.workspace import Workspace
from affidavit.policy.statements import policy_digest

_OWN = ("key_env", "key_file", "ca_file", "tokenizer", "credentials")
"""What a target says of the server: where its key and certificates are."""


def others(ws: Workspace, caller: Caller) -> list[str]:
    """The names of the other tenants."""
    return [t.name for t in ws.parts.people.tenants() if t.id != caller.tenant.id]


def names_no_other(ws: Workspace, caller: Caller, text: str) -> bool:
    """Whether ``text`` speaks of no other tenant, as rules do (``TENANT/NAME``, ``Tenant::"TENANT"``) or in passing."""
    return not any(name in text for name in others(ws, caller))


def release_shown(ws: Workspace, caller: Caller, content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a release without where the server keeps things; of rules that may be others' the digest alone."""
    shown = dict(content)
    models = content.get("models")
    if isinstance(models, Mapping) and isinstance(models.get("targets"), Mapping):
        targets = {
            name: {k: v for k, v in said.items() if k not in _OWN} if isinstance(said, Mapping) else said
            for name, said in models["targets"].items()
        }
        shown["models"] = {**models, "targets": targets}
    policy = content.get("policy")
    if isinstance(policy, Mapping) and others(ws, caller):
        shown["policy"] = {"digest": policy_digest(policy.get("files", {}))}
    return shown
