"""Operations: texts as vectors, by the workspace's own embedder."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from affidavit.app.operations.operation import Asked, Caller, Given, Method, Operation
from affidavit.app.workspace import Workspace
from affidavit.domain.canonical import Json
from affidavit.domain.errors import UsageError
from affidavit.domain.version import VERSION
from affidavit.models.caller import CHARGED, EMBED
from affidavit.ports.embedder import charges
from affidavit.runs.recorder import Run, new_run_id

JOURNEY = "embed"
MOST_TEXTS = 128
LONGEST_TEXT = 20_000
_MOST_CHARACTERS = 200_000

Text = Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)]


class EmbedInput(Asked):
    texts: list[Text] = Field(min_length=1, max_length=MOST_TEXTS)


class Vectors(Given):
    run: str = Field(description="What is on record: who asked, how many texts, at what cost; not the texts.")
    embedder: str
    dimensions: int
    tokens: int
    vectors: list[list[float]] = Field(description="Unit vectors, in the order of the texts.")


def embed(ws: Workspace, caller: Caller, asked: EmbedInput) -> dict[str, Any]:
    """Reads no document. Durable before it returns: who asked, how much, and what an endpoint charged for it."""
    parts = ws.parts
    embedder = parts.embedder
    if embedder is None:
        raise UsageError(
            "this workspace has no embedder: it searches by keyword", "affidavit embedder use minilm"
        )
    characters = sum(map(len, asked.texts))
    if characters > _MOST_CHARACTERS:
        raise UsageError(
            f"these texts have {characters} characters, at most {_MOST_CHARACTERS} go into one request",
            "send them in several requests",
        )
    made = embedder.embed(asked.texts)
    tokens = sum(map(embedder.count, asked.texts))
    info = embedder.info
    run = Run(caller.run or new_run_id(parts.randomness), caller.tenant.id, JOURNEY, parts.release().digest)
    run.start({"principal": caller.principal, "software": VERSION})
    run.step(
        JOURNEY,
        {"texts": len(asked.texts), "characters": characters},
        {"embedder": info.fingerprint, "tokens": tokens},
    )
    owed: list[Json] = charges(embedder)
    if owed:
        run.step(f"{CHARGED}{EMBED}", {}, {"charges": owed})
    run.finish("done", {})
    parts.log.write(run.flush)
    return {
        "run": run.id,
        "embedder": info.name,
        "dimensions": info.dimensions,
        "tokens": tokens,
        "vectors": made.tolist(),
    }


TEXTS = (
    Operation(
        "texts.embed",
        "question:ask",
        Method.ASK,
        "/embed",
        "Texts as unit vectors of the workspace's embedder. Reads no document.",
        EmbedInput,
        Vectors,
        embed,
        {"texts": ["annual leave"]},
        changes=True,
        makes_run=True,
    ),
)
