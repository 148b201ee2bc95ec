"""Counting with the model's own tokenizer: from its file, and by llama.cpp's own server."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.model_servers import tiny_server
from tokenizers import Tokenizer, models, pre_tokenizers

from affidavit.adapters.models.counting import AROUND, TokenizerFile
from affidavit.app.modelspec import ModelSpec, make_model
from affidavit.domain.errors import ModelError, UsageError
from affidavit.ports.model import ChatRequest, CountingModel, Message
from affidavit.testing.tiny_model import MODEL, TinyServer

__all__ = ["tiny_server"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = Tokenizer(models.WordLevel({"walrus": 0, "leave": 1, "?": 2}, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.enable_truncation(2)
    made.enable_padding(length=9)
    made.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def test_a_file_counts_without_cutting_or_filling_up(file: Path) -> None:
    counting = TokenizerFile(str(file))
    assert counting.count((Message("user", "walrus leave is granted"),)) == AROUND + 4
    assert counting.count((Message("system", "walrus"), Message("user", "leave \ud800"))) == 2 * AROUND + 3
    assert counting.count(()) == 0


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"model": 1}'])
def test_a_file_that_is_no_tokenizer(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(ModelError) as error:
        TokenizerFile(str(path)).count((Message("user", "x"),))
    assert error.value.kind == "request"
    with pytest.raises(ModelError):
        TokenizerFile(str(tmp_path / "none.json")).count((Message("user", "x"),))


def test_a_spec_names_its_tokenizer(file: Path) -> None:
    model = make_model(ModelSpec("openai", "m", "http://127.0.0.1:9/v1", tokenizer=str(file)))
    assert model.info.counts
    assert isinstance(model, CountingModel)
    assert model.count(ChatRequest((Message("user", "walrus leave"),), 1, 1.0)) == AROUND + 2
    model.close()
    plain = make_model(ModelSpec("openai", "m", "http://127.0.0.1:9/v1"))
    assert not plain.info.counts
    plain.close()
    with pytest.raises(UsageError, match="count"):
        ModelSpec("bedrock", "m", region="eu-central-1", tokenizer="server")


@pytest.mark.network
@pytest.mark.enable_socket
def test_llama_cpp_counts_what_it_is_asked(tiny_server: TinyServer) -> None:
    model = make_model(ModelSpec("openai", MODEL, tiny_server.url, tokenizer="server"))
    assert isinstance(model, CountingModel)
    few, many = (model.count(ChatRequest((Message("user", "walrus leave " * n),), 1, 20.0)) for n in (1, 20))
    assert AROUND < few < few + 19 * 2 <= many
    model.close()
