"""What one would build instead of `affidavit serve`: LlamaIndex or Haystack behind FastAPI and uvicorn.

Run by ``bench/.venv``'s own Python, told by the environment what to be (``bench.serving``). Both rank by keyword and by MiniLM,
join the two by reciprocal rank, and filter by the groups of whoever asks inside both searches; the vectors of chunks and
questions come from the very model that affidavit uses. Whose key it is and which groups they are in is looked up in SQLite for
each request, or kept for ``PEER_GROUPS_SECONDS``. With ``PEER_AUDIT`` each answer is a line of a file that is on disk before it
is given.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from fastapi import FastAPI, Header, HTTPException
from pydantic import BaseModel
from tokenizers import Tokenizer

K = 10


@dataclass(frozen=True)
class Hit:
    """A passage and its place."""

    document: str
    text: str
    score: float


Find = Callable[[str, Sequence[str]], list[Hit]]
"""Question and groups to the best ten passages that one of the groups may read."""


class MiniLM:
    """all-MiniLM-L6-v2 as affidavit runs it: the same graph, int8 weights and threads, so that a vector costs the same."""

    def __init__(self, graph: Path, weights: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(weights / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(256)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        folder = "session.model_external_initializers_file_folder_path"
        options.add_session_config_entry(folder, str(weights.resolve()))
        self._session = onnxruntime.InferenceSession(
            graph.read_bytes(), options, providers=["CPUExecutionProvider"]
        )

    def embed(self, text: str) -> list[float]:
        ids = np.array(self._tokenizer.encode(text).ids, np.int64)
        (vector,) = self._session.run(["vector"], {"ids": ids})
        found: list[float] = vector.tolist()
        return found


class Question(BaseModel):
    """What is asked."""

    question: str


class People:
    """Who a key belongs to, and their groups, from a database that others write."""

    def __init__(self, path: Path, seconds: float) -> None:
        self._path = path
        self._local = threading.local()
        self._seconds = seconds
        self._known: dict[str, tuple[float, str, list[str]]] = {}

    def whose(self, key: str) -> tuple[str, list[str]]:
        """(person, groups). Raises HTTPException."""
        digest = hashlib.sha256(key.encode()).hexdigest()
        known = self._known.get(digest)
        if known and time.monotonic() - known[0] < self._seconds:
            return known[1:]
        if not hasattr(self._local, "db"):
            self._local.db = sqlite3.connect(self._path, isolation_level=None)
        found = self._local.db.execute(
            "SELECT k.person, m.name FROM keys k LEFT JOIN member m ON m.person = k.person WHERE k.digest = ?",
            (digest,),
        ).fetchall()
        if not found:
            raise HTTPException(401)
        groups = [name for _, name in found if name]
        self._known[digest] = (time.monotonic(), found[0][0], groups)
        return found[0][0], groups


class Audit:
    """A file of lines, each on disk before ``line`` returns."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._guard = threading.Lock()

    def line(self, **said: Any) -> None:
        with self._guard:
            os.write(self._file, (json.dumps({"at": time.time(), **said}) + "\n").encode())
            os.fsync(self._file)


def llamaindex(chunks: list[dict[str, str]], vectors: Any, model: MiniLM) -> Find:
    """SimpleVectorStore and BM25Retriever (bm25s), joined by QueryFusionRetriever. bm25s is indexed once, and its mask of what a
    set of groups may read is kept, as building it anew costs more than the search."""
    from llama_index.core import StorageContext, VectorStoreIndex  # type: ignore[import-not-found]
    from llama_index.core.base.embeddings.base import BaseEmbedding  # type: ignore[import-not-found]
    from llama_index.core.llms import MockLLM  # type: ignore[import-not-found]
    from llama_index.core.retrievers import QueryFusionRetriever  # type: ignore[import-not-found]
    from llama_index.core.schema import TextNode  # type: ignore[import-not-found]
    from llama_index.core.vector_stores import (  # type: ignore[import-not-found]
        FilterOperator,
        MetadataFilter,
        MetadataFilters,
        SimpleVectorStore,
    )
    from llama_index.retrievers.bm25 import BM25Retriever  # type: ignore[import-not-found]

    class Given(BaseEmbedding):  # type: ignore[misc]
        def _get_query_embedding(self, query: str) -> list[float]:
            return model.embed(query)

        def _get_text_embedding(self, text: str) -> list[float]:
            return self._get_query_embedding(text)

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return self._get_query_embedding(query)

    out = ["group", "document"]
    nodes = [
        TextNode(
            id_=c["id"],
            text=c["text"],
            embedding=vector.tolist(),
            metadata={"group": c["group"], "document": c["document"]},
            excluded_embed_metadata_keys=out,
        )
        for c, vector in zip(chunks, vectors, strict=True)
    ]
    storage = StorageContext.from_defaults(vector_store=SimpleVectorStore())
    index = VectorStoreIndex(nodes, storage_context=storage, embed_model=Given())
    words = BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=K)
    words.bm25.corpus = None
    masks: dict[frozenset[str], list[int]] = {}

    def by_words(groups: Sequence[str]) -> Any:
        mask = masks.setdefault(frozenset(groups), [int(c["group"] in groups) for c in chunks])
        made = BM25Retriever(existing_bm25=words.bm25, similarity_top_k=K, corpus_weight_mask=mask)
        made.corpus = words.corpus
        return made

    def find(question: str, groups: Sequence[str]) -> list[Hit]:
        if not groups:
            return []
        readable = MetadataFilters(
            filters=[MetadataFilter(key="group", value=list(groups), operator=FilterOperator.IN)]
        )
        both = QueryFusionRetriever(
            [index.as_retriever(similarity_top_k=K, filters=readable), by_words(groups)],
            llm=MockLLM(),
            mode="reciprocal_rerank",
            similarity_top_k=K,
            num_queries=1,
            use_async=False,
        )
        # bm25s fills a short list up with rows that its mask gave nothing: whoever knows drops them
        return [
            Hit(n.node.metadata["document"], n.node.text, n.score or 0.0)
            for n in both.retrieve(question)
            if n.node.metadata["group"] in groups
        ]

    return find


def haystack(chunks: list[dict[str, str]], vectors: Any, model: MiniLM) -> Find:
    """InMemoryDocumentStore with its two retrievers and DocumentJoiner in a Pipeline."""
    from haystack import Document, Pipeline, component  # type: ignore[import-not-found]
    from haystack.components.joiners import DocumentJoiner  # type: ignore[import-not-found]
    from haystack.components.retrievers.in_memory import (  # type: ignore[import-not-found]
        InMemoryBM25Retriever,
        InMemoryEmbeddingRetriever,
    )
    from haystack.document_stores.in_memory import InMemoryDocumentStore  # type: ignore[import-not-found]

    @component
    class Embedder:
        @component.output_types(embedding=list[float])  # type: ignore[untyped-decorator]
        def run(self, text: str) -> dict[str, Any]:
            return {"embedding": model.embed(text)}

    # the vectors have unit length, so that the inner product is the cosine and costs less
    store = InMemoryDocumentStore(embedding_similarity_function="dot_product", return_embedding=False)
    store.write_documents(
        [
            Document(
                id=c["id"],
                content=c["text"],
                embedding=vector.tolist(),
                meta={"group": c["group"], "document": c["document"]},
            )
            for c, vector in zip(chunks, vectors, strict=True)
        ]
    )
    pipeline = Pipeline()
    pipeline.add_component("embedder", Embedder())
    pipeline.add_component("dense", InMemoryEmbeddingRetriever(store, top_k=K))
    pipeline.add_component("words", InMemoryBM25Retriever(store, top_k=K))
    pipeline.add_component("joiner", DocumentJoiner(join_mode="reciprocal_rank_fusion", top_k=K))
    pipeline.connect("embedder.embedding", "dense.query_embedding")
    pipeline.connect("dense", "joiner")
    pipeline.connect("words", "joiner")

    def find(question: str, groups: Sequence[str]) -> list[Hit]:
        readable = {"field": "meta.group", "operator": "in", "value": list(groups)}
        found = pipeline.run(
            {
                "embedder": {"text": question},
                "dense": {"filters": readable},
                "words": {"query": question, "filters": readable},
            }
        )
        return [Hit(d.meta["document"], d.content, d.score or 0.0) for d in found["joiner"]["documents"]]

    return find


PEERS = {"llama-index": llamaindex, "haystack": haystack}


def application() -> FastAPI:
    """The server that the environment asks for."""
    folder = Path(os.environ["PEER_FOLDER"])
    model = MiniLM(Path(os.environ["PEER_GRAPH"]), Path(os.environ["PEER_MODEL"]))
    with (folder / "chunks.jsonl").open(encoding="utf-8") as lines:
        chunks = [json.loads(line) for line in lines]
    find = PEERS[os.environ["PEER"]](chunks, np.load(folder / "vectors.npy"), model)
    people = People(folder / "people.db", float(os.environ.get("PEER_GROUPS_SECONDS", "0")))
    audit = Audit(folder / "audit.jsonl") if os.environ.get("PEER_AUDIT") else None
    app = FastAPI()

    def found(what: str, authorization: str, asked: Question) -> list[Hit]:
        person, groups = people.whose(authorization.removeprefix("Bearer "))
        hits = find(asked.question, groups)
        if audit:
            audit.line(
                what=what,
                person=person,
                groups=groups,
                question=asked.question,
                documents=[h.document for h in hits],
            )
        return hits

    @app.get("/healthz")
    def alive() -> dict[str, str]:
        return {"status": "alive"}

    @app.post("/v1/search")
    def search(asked: Question, authorization: str = Header()) -> dict[str, Any]:
        hits = found("search", authorization, asked)
        return {"hits": [{"document": h.document, "text": h.text, "score": h.score} for h in hits]}

    @app.post("/v1/ask")
    def ask(asked: Question, authorization: str = Header()) -> dict[str, Any]:
        """The best passage, whole."""
        best = found("ask", authorization, asked)[:1]
        return {"answer": best[0].text if best else None, "documents": [h.document for h in best]}

    return app
