"""Changing the embedder while the workspace is in use."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from affidavit.app.config import EmbedderSpec, close_embedder, make_embedder, metered
from affidavit.app.wiring import NEXT, SERVING, Parts
from affidavit.domain.canonical import Json
from affidavit.domain.events import Event, EventKind
from affidavit.domain.version import VERSION
from affidavit.events.log import Transaction
from affidavit.models.caller import CHARGED, EMBED
from affidavit.ports.embedder import charges
from affidavit.runs.recorder import Run, new_run_id


def migrate(parts: Parts, spec: EmbedderSpec, progress: Callable[[int], None] | None) -> None:
    """Embed everything anew while the old one serves, then let ``spec`` take over. Interrupted, it goes on where it stopped."""
    parts.log.write(lambda tx: parts.catalog.set_setting(NEXT, json.dumps(spec.as_json())))
    embedder = metered(make_embedder(spec), spec, parts.tariff)
    if embedder is not None:
        spec = replace(spec, width=embedder.info.dimensions)
    vectors = parts.vectors(embedder)
    if vectors is not None:
        while vectors.fill(reindex=False, progress=progress):
            pass  # a sync may have brought more meanwhile
        vectors.settle()

    def switch(tx: Transaction) -> None:
        facts: dict[str, int | str] = {"subject": 0 if vectors is None else vectors.id}
        tx.append(Event(EventKind.EMBEDDER_CHANGED, facts=facts, body=spec.as_json()))
        parts.catalog.set_setting(SERVING, json.dumps(spec.as_json()))
        parts.catalog.set_setting(NEXT, "")

    owed = charges(embedder)
    if owed:
        parts.log.write(_embedding_run(parts, owed).flush)
    parts.log.write(switch)
    close_embedder(embedder)
    parts.serve(spec)
    with parts.database.read():
        parts.index.persist(parts.feed())


def _embedding_run(parts: Parts, owed: list[Json]) -> Run:
    """What it cost to embed everything anew, for nobody in particular."""
    run = Run(new_run_id(parts.randomness), 0, "embed", parts.release().digest)
    run.start({"software": VERSION})
    run.step(f"{CHARGED}{EMBED}", {}, {"charges": owed})
    run.finish("done", {})
    return run
