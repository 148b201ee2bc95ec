"""Operation: the evidence of an incident as one file."""

from __future__ import annotations

import base64
import io
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from pydantic import Field

from affidavit.app.operations.feedback import OneIncident
from affidavit.app.operations.operation import Caller, Given, Method, Operation, check
from affidavit.app.workspace import Workspace
from affidavit.domain.canonical import sha256

_NEEDED = ("audit:read", "audit:replay")
_DATE = (1980, 1, 1, 0, 0, 0)
"""What a ZIP file says where it says nothing: the same evidence is the same bytes."""


class PackedFile(Given):
    file: str
    sha256: str


class Pack(Given):
    incident: str
    name: str = Field(description="A name for the file.")
    sha256: str
    files: list[PackedFile]
    data: str = Field(description="A ZIP file, in base64. `SHA256SUMS` in it is for `sha256sum --check`.")


def pack(ws: Workspace, caller: Caller, asked: OneIncident) -> dict[str, Any]:
    """What is packed shows everything that the run saw, so it takes what an auditor may, besides."""
    for action in _NEEDED:
        check(ws, caller, action)
    with tempfile.TemporaryDirectory(prefix="affidavit-") as made:
        folder = Path(made) / "evidence"
        sums = ws.incidents.pack(caller.tenant, asked.incident, folder, caller.principal)
        data = _zipped(folder, asked.incident)
    return {
        "incident": asked.incident,
        "name": f"{asked.incident}.zip",
        "sha256": sha256(data),
        "files": sums,
        "data": base64.b64encode(data).decode(),
    }


def _zipped(folder: Path, name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            archive.writestr(
                zipfile.ZipInfo(f"{name}/{path.name}", _DATE), path.read_bytes(), zipfile.ZIP_DEFLATED
            )
    return out.getvalue()


PACKS = (
    Operation(
        "incidents.pack",
        "incident:manage",
        Method.ASK,
        "/incidents/{incident}/pack",
        "The evidence as a file: proof, replay, explanation, timeline, what it would be today. Needs audit:replay too.",
        OneIncident,
        Pack,
        pack,
        {"incident": "inc-0123456789"},
        changes=True,
        command="incident pack",
    ),
)
