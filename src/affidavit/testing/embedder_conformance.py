"""What every embedder must do. Subclass in a test module and say how to make one:

    class TestMine(EmbedderConformance):
        def make(self) -> Embedder:
            return Mine()

A method that does not apply to what ``info`` promises passes without doing anything.
"""
# ruff: noqa: S101 - a test suite asserts

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from affidavit.ports.embedder import Embedder, reads

ORDINARY = (
    "The refund window is 30 days from delivery.",
    "Refunds are paid within a month after the goods arrive.",
    "def parse(line: str) -> list[str]:\n    return line.split(',')",
    "ERR-4032 in billing.invoice",
    "今日は良い天気です。",
    "Привет, как дела?",
)
STRANGE = (
    "",
    " \n\t ",
    "\x00nul\x00",
    "🦉 👩‍👩‍👧 é e\u0301",
    "a lone \ud800 surrogate",
    "\ufffd\u200b\u2028",
    "[CLS] [SEP] [PAD] <s>",
    "x" * 5_000,
    "long " * 20_000,
)


class EmbedderConformance:
    """The contract of ``ports.embedder`` as tests."""

    def make(self) -> Embedder:
        """A fresh embedder; two of them must be of the same kind."""
        raise NotImplementedError

    def test_info_is_stable_and_complete(self) -> None:
        info = self.make().info
        assert info == self.make().info
        assert info.name
        assert info.fingerprint
        assert info.dimensions > 0
        assert info.max_tokens > 0

    def test_vectors_are_unit_float32_of_the_promised_shape(self) -> None:
        embedder = self.make()
        texts = ORDINARY + STRANGE
        vectors = embedder.embed(texts)
        assert vectors.dtype == np.float32
        assert vectors.shape == (len(texts), embedder.info.dimensions)
        assert np.isfinite(vectors).all()
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)

    def test_no_texts_give_no_rows(self) -> None:
        embedder = self.make()
        vectors = embedder.embed([])
        assert vectors.shape == (0, embedder.info.dimensions)
        assert vectors.dtype == np.float32

    def test_order_is_kept(self) -> None:
        embedder = self.make()
        forth, back = embedder.embed(ORDINARY), embedder.embed(ORDINARY[::-1])[::-1]
        np.testing.assert_allclose(np.sum(forth * back, axis=1), 1.0, atol=1e-2)
        assert len(np.unique(forth.round(3), axis=0)) == len(ORDINARY)

    def test_a_vector_does_not_depend_on_what_is_beside_it(self) -> None:
        embedder = self.make()
        if not embedder.info.deterministic:
            return
        texts = ORDINARY + STRANGE
        together = embedder.embed(texts)
        for text, vector in zip(texts, together, strict=True):
            assert embedder.embed([text])[0].tobytes() == vector.tobytes()
        assert self.make().embed(texts[::-1])[::-1].tobytes() == together.tobytes()

    def test_threads_may_share_one(self) -> None:
        embedder = self.make()
        expected = embedder.embed(ORDINARY)
        with ThreadPoolExecutor(4) as pool:
            for found in pool.map(embedder.embed, [ORDINARY] * 8):
                if embedder.info.deterministic:
                    assert found.tobytes() == expected.tobytes()
                np.testing.assert_allclose(np.sum(found * expected, axis=1), 1.0, atol=1e-2)

    def test_token_vectors_are_unit(self) -> None:
        embedder = self.make()
        if not embedder.info.token_vectors:
            return
        for text, rows in zip(ORDINARY, embedder.tokens(ORDINARY), strict=True):
            assert rows.dtype == np.float32
            assert rows.shape[1] == embedder.info.dimensions
            assert 0 < len(rows) <= embedder.count(text)
            np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)
        assert embedder.tokens([]) == []

    def test_a_reading_is_the_vector_and_all_its_tokens(self) -> None:
        embedder = self.make()
        reader = reads(embedder)
        if reader is None:
            return
        texts = tuple(text for text in (*ORDINARY, *STRANGE) if len(text) < 10_000)
        together = reader.read(texts)
        assert len(together) == len(texts)
        for text, reading in zip(texts, together, strict=True):
            if embedder.info.deterministic:
                (alone,) = reader.read([text])
                assert (
                    embedder.embed([text])[0].tobytes() == reading.vector.tobytes() == alone.vector.tobytes()
                )
                assert alone.tokens.tobytes() == reading.tokens.tobytes()
            assert reading.tokens.dtype == np.float32
            assert reading.tokens.shape == (len(reading.spans), embedder.info.dimensions)
            np.testing.assert_allclose(np.linalg.norm(reading.tokens, axis=1), 1.0, atol=1e-5)
            assert all(0 <= start <= end <= len(text) for start, end in reading.spans)
            assert list(reading.spans) == sorted(reading.spans)
        assert reader.read([]) == []

    def test_a_reading_does_not_end_where_a_vector_does(self) -> None:
        embedder = self.make()
        reader = reads(embedder)
        if reader is None or embedder.info.max_tokens > 10_000:
            return
        text = "Ordinary words go on. " * embedder.info.max_tokens + "A walrus."
        (reading,) = reader.read([text])
        assert len(reading.tokens) > 3 * embedder.info.max_tokens
        assert text[slice(*reading.spans[-1])] == "."
        walrus = next(n for n, (start, _) in enumerate(reading.spans) if start >= text.index("walrus"))
        near, far = embedder.tokens(["A walrus.", "Ordinary words"])
        rows = reading.tokens[walrus]
        assert (near @ rows).max() > (far @ rows).max()

    def test_count_grows_with_the_text(self) -> None:
        embedder = self.make()
        for text in ORDINARY:
            assert 0 < embedder.count(text) < embedder.count(f"{text} {text} {text}")
        for text in STRANGE:
            assert embedder.count(text) >= 0
        assert embedder.count("long " * 20_000) > 19_000
