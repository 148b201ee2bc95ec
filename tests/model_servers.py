"""Fixtures with real model servers on loopback. Import what you need:

    from tests.model_servers import scripted_model, tiny_server  # noqa: F401 - fixtures

Tests that use one are marked ``network`` and ``enable_socket``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest

from affidavit.testing.fault_proxy import FaultProxy
from affidavit.testing.tiny_model import TinyServer
from affidavit.testing.wire_openai import ScriptedModel


@pytest.fixture(scope="session")
def tiny_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyServer]:
    """llama.cpp's own server on a model with random weights."""
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not for this platform")
    with TinyServer(tmp_path_factory.mktemp("tiny")) as server:
        yield server


@pytest.fixture
def scripted_model() -> Iterator[ScriptedModel]:
    """An OpenAI-compatible server that says what the test wants."""
    with ScriptedModel() as server:
        yield server


@pytest.fixture
def fault_proxy(scripted_model: ScriptedModel) -> Iterator[FaultProxy]:
    """A proxy in front of ``scripted_model`` that fails on command."""
    with FaultProxy(scripted_model.url) as proxy:
        yield proxy
