"""What answers, as names of models: whatever is in force, or one release by the beginning of its digest."""

from __future__ import annotations

from typing import Any

from affidavit.app.operations.operation import Caller, check
from affidavit.app.workspace import Workspace
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.release import Release
from affidavit.entrypoints.http.openai.parameters import RequestError

ANSWERER = "affidavit"
_SHOWN = 12


def pinned(digest: str) -> str:
    """The name of the release ``digest`` alone."""
    return f"{ANSWERER}-{digest[:_SHOWN]}"


def resolved(release: Release, model: str) -> str:
    """The release's own name, if ``model`` means it. Raises RequestError for any other, also for a release that no
    longer answers."""
    name = pinned(release.digest)
    if model not in (ANSWERER, name):
        raise RequestError(
            f"The model '{model[:80]}' does not exist or does not answer now: there are {ANSWERER} and {name}.",
            "model",
            "model_not_found",
            404,
        )
    return name


def models(ws: Workspace, caller: Caller) -> list[dict[str, Any]]:
    """What ``caller`` can name as a model. Raises ForbiddenError."""
    check(ws, caller, "question:ask")
    release = ws.parts.release()
    created = ws.parts.clock.now() // MICROSECONDS
    names = [ANSWERER, pinned(release.digest)]
    embedder = ws.parts.embedder
    if embedder is not None:
        names.append(embedder.info.name)
    return [
        {
            "id": name,
            "object": "model",
            "created": created,
            "owned_by": caller.tenant.name,
            "affidavit": {"release": release.digest} if name.startswith(ANSWERER) else {"embedder": name},
        }
        for name in names
    ]
