"""Operations: proof that the log is what it was."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from affidavit.app.operations.operation import Asked, Caller, Given, Method, Nothing, Operation
from affidavit.app.operations.public import others
from affidavit.app.workspace import Workspace
from affidavit.domain.errors import AccessDeniedError, LogDamagedError

_LARGEST = 2**53


class Checkpoint(Given):
    size: int = Field(description="How many events there are.")
    root: str
    note: str = Field(description="The signed checkpoint (c2sp.org/tlog-checkpoint): keep it outside.")
    key: str = Field(description="The log's public key, in signed-note form.")


class PositionInput(Asked):
    position: int = Field(ge=0, le=_LARGEST)


class EventProof(Given):
    position: int
    header: str
    proof: list[str]
    checkpoint: str
    text: str = Field(description="The same as c2sp.org/tlog-proof.")


class GrowthInput(Asked):
    old: int = Field(ge=1, le=_LARGEST, description="The size of a checkpoint that you kept.")
    new: int | None = Field(None, ge=1, le=_LARGEST, description="None: the newest.")


class GrowthProof(Given):
    old: int
    old_root: str
    new: int
    new_root: str
    proof: list[str]
    checkpoint: str


class Verified(Given):
    events: int
    bodies: int
    erased: int
    checkpoints: int
    root: str
    public_key: str


def checkpoint(ws: Workspace, caller: Caller, asked: Nothing) -> dict[str, Any]:
    head = ws.proofs.checkpoint()
    return {
        "size": head.size,
        "root": head.checkpoint.root.hex(),
        "note": head.note,
        "key": ws.proofs.key(),
    }


def prove(ws: Workspace, caller: Caller, asked: PositionInput) -> dict[str, Any]:
    with ws.parts.database.read():
        there = asked.position <= ws.parts.log.head()
        of = ws.parts.events.event(asked.position).tenant if there else None
    if of not in (0, caller.tenant.id):
        raise AccessDeniedError(f"there is no event {asked.position} that you may see", "see /v1/log")
    proof = ws.proofs.prove(asked.position)
    return {**proof.as_json(), "text": proof.text()}


def consistency(ws: Workspace, caller: Caller, asked: GrowthInput) -> dict[str, Any]:
    return ws.proofs.consistency(asked.old, asked.new).as_json()


def verify(ws: Workspace, caller: Caller, asked: Nothing) -> dict[str, Any]:
    try:
        return ws.verify()
    except LogDamagedError as error:
        if others(ws, caller):  # what was changed may be theirs, and is named with its people
            raise LogDamagedError(
                "the log and what stands in the database do not agree",
                "at the machine: affidavit audit verify",
            ) from error
        raise


LOG = (
    Operation(
        "log.checkpoint",
        "run:read",
        Method.READ,
        "/log",
        "The newest signed checkpoint. Keep some: they prove later that nothing was taken back.",
        Nothing,
        Checkpoint,
        checkpoint,
        {},
        command="audit checkpoint",
    ),
    Operation(
        "log.consistency",
        "run:read",
        Method.READ,
        "/log/consistency",
        "The proof that the log begins with what a checkpoint signed that you kept.",
        GrowthInput,
        GrowthProof,
        consistency,
        {"old": 1},
        command="audit consistency",
    ),
    Operation(
        "log.prove",
        "audit:read",
        Method.READ,
        "/log/proof",
        "The proof that one event of your organisation is in the log.",
        PositionInput,
        EventProof,
        prove,
        {"position": 0},
        command="audit prove",
    ),
    Operation(
        "log.verify",
        "audit:read",
        Method.ASK,
        "/log/verify",
        "Check the whole log, and the catalog against it.",
        Nothing,
        Verified,
        verify,
        {},
        command="audit verify",
    ),
)
