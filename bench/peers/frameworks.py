"""The in-memory stores of the frameworks, with the metadata filter a careful user would write: tenant and allowed rules."""

from __future__ import annotations

from typing import Any

from bench.peers.handed import K1, B, Handed, K, Scope, measure


def langchain(handed: Handed) -> list[dict[str, Any]]:
    """langchain-core's InMemoryVectorStore."""
    from langchain_core.documents import Document  # type: ignore[import-not-found]
    from langchain_core.embeddings import Embeddings  # type: ignore[import-not-found]
    from langchain_core.vectorstores import InMemoryVectorStore  # type: ignore[import-not-found]

    class Given(Embeddings):  # type: ignore[misc]
        """Hands out the vectors in the order of the documents."""

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [list(map(float, v)) for v in handed.vectors[: len(texts)]]

        def embed_query(self, text: str) -> list[float]:
            raise NotImplementedError

    store = InMemoryVectorStore(Given())
    columns = zip(handed.texts, handed.tenant, handed.rule, strict=True)
    store.add_documents(
        [
            Document(id=str(n), page_content=text, metadata={"tenant": tenant, "rule": rule})
            for n, (text, tenant, rule) in enumerate(columns)
        ]
    )

    def ask(question: int, scope: Scope) -> list[int]:
        tenant, rules = scope.tenant, frozenset(scope.rules)
        found = store.similarity_search_with_score_by_vector(
            handed.asked[question].tolist(),
            k=K,
            filter=lambda d: d.metadata["tenant"] == tenant and d.metadata["rule"] in rules,
        )
        return [int(document.id) for document, _ in found]

    return measure("langchain-core", "dense", handed, ask)


def llamaindex(handed: Handed) -> list[dict[str, Any]]:
    """llama-index-core's SimpleVectorStore."""
    from llama_index.core.schema import TextNode  # type: ignore[import-not-found]
    from llama_index.core.vector_stores import (  # type: ignore[import-not-found]
        FilterOperator,
        MetadataFilter,
        MetadataFilters,
        SimpleVectorStore,
        VectorStoreQuery,
    )

    store = SimpleVectorStore()
    columns = zip(handed.texts, handed.vectors, handed.tenant, handed.rule, strict=True)
    store.add(
        [
            TextNode(
                id_=str(n), text=text, embedding=vector.tolist(), metadata={"tenant": tenant, "rule": rule}
            )
            for n, (text, vector, tenant, rule) in enumerate(columns)
        ]
    )

    def ask(question: int, scope: Scope) -> list[int]:
        filters = MetadataFilters(
            filters=[
                MetadataFilter(key="tenant", value=scope.tenant),
                MetadataFilter(key="rule", value=scope.rules, operator=FilterOperator.IN),
            ]
        )
        query = VectorStoreQuery(
            query_embedding=handed.asked[question].tolist(), similarity_top_k=K, filters=filters
        )
        return [int(id) for id in store.query(query).ids]

    return measure("llama-index-core", "dense", handed, ask)


def haystack(handed: Handed) -> list[dict[str, Any]]:
    """haystack-ai's InMemoryDocumentStore: embeddings, and BM25 in the form everybody here uses (BM25+ with delta 0)."""
    from haystack import Document  # type: ignore[import-not-found]
    from haystack.document_stores.in_memory import InMemoryDocumentStore  # type: ignore[import-not-found]

    store = InMemoryDocumentStore(
        bm25_algorithm="BM25Plus",
        bm25_parameters={"k1": K1, "b": B, "delta": 0.0},
        embedding_similarity_function="cosine",
        return_embedding=False,
    )
    columns = zip(handed.texts, handed.vectors, handed.tenant, handed.rule, strict=True)
    store.write_documents(
        [
            Document(
                id=str(n), content=text, embedding=vector.tolist(), meta={"tenant": tenant, "rule": rule}
            )
            for n, (text, vector, tenant, rule) in enumerate(columns)
        ]
    )

    def readable(scope: Scope) -> dict[str, Any]:
        return {
            "operator": "AND",
            "conditions": [
                {"field": "meta.tenant", "operator": "==", "value": scope.tenant},
                {"field": "meta.rule", "operator": "in", "value": scope.rules},
            ],
        }

    def by_vector(question: int, scope: Scope) -> list[int]:
        vector = handed.asked[question].tolist()
        return [int(d.id) for d in store.embedding_retrieval(vector, filters=readable(scope), top_k=K)]

    def by_words(question: int, scope: Scope) -> list[int]:
        text = handed.asked_texts[question]
        return (
            [int(d.id) for d in store.bm25_retrieval(text, filters=readable(scope), top_k=K)] if text else []
        )

    return measure("haystack-ai", "dense", handed, by_vector) + measure(
        "haystack-ai", "keyword", handed, by_words
    )
