"""The model that ``AFFIDAVIT_LIVE_MODEL`` names; without it every test here is skipped, and says how to run it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from affidavit.app.config import environment
from affidavit.app.modelspec import ModelSpec, make_model
from affidavit.ports.model import ChatModel

LIVE = "AFFIDAVIT_LIVE_MODEL"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/live" in item.path.as_posix():
            item.add_marker(pytest.mark.live)
            item.add_marker(pytest.mark.enable_socket)


@pytest.fixture(scope="session")
def spec() -> ModelSpec:
    said = environment(LIVE)
    if not said:
        pytest.skip(f"{LIVE} names no model: see docs/how-to/models.md, then run make test-live")
    return ModelSpec.from_json(json.loads(said))


@pytest.fixture
def model(spec: ModelSpec) -> Iterator[ChatModel]:
    made = make_model(spec)
    yield made
    made.close()
