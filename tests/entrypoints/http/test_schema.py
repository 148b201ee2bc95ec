"""The schema says what the server does: every operation asked with whatever it allows and forbids, by an administrator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.testclient import TestClient
from tests.app.operations.world import BY, TwoSides, two_sides

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.entrypoints.http.application import make_app
from affidavit.testing.clock import FixedClock, SeededRandomness

EXAMPLES = 6
SCHEMA = "/v1/openapi.json"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoSides]:
    folder = tmp_path_factory.mktemp("schema")
    with affidavit.init(folder / "ws", EmbedderSpec("none"), FixedClock(), SeededRandomness()) as ws:
        yield two_sides(ws, folder)


@pytest.fixture
def app(world: TwoSides) -> Any:
    """A server of its own for each test: when a client goes away, it is shut down."""
    return make_app(world.ws)


@pytest.fixture(scope="module")
def headers(world: TwoSides) -> dict[str, str]:
    admin = world.ours.admin
    _, key = world.ws.credentials.make_key(admin.tenant, admin.principal, "test", 9, BY)
    return {"Authorization": f"Bearer {key}"}


def tried(operation: Any, headers: dict[str, str]) -> None:
    """Every check of Schemathesis on some cases, the same each time. That what fits the schema may still be refused with 400 is
    what 400 is for here: names that nobody has, rules that are none."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def check(case: Any) -> None:
        case.call_and_validate(headers=headers, excluded_checks=[positive_data_acceptance])

    check()


def test_whatever_is_sent_the_schema_says_what_comes_back(app: Any, headers: dict[str, str]) -> None:
    schema: Any = schemathesis.openapi.from_asgi(SCHEMA, app)
    count = 0
    for found in schema.get_all_operations():
        tried(found.ok(), headers)
        count += 1
    assert count > 50


def test_a_lie_in_the_schema_is_found(app: Any, headers: dict[str, str]) -> None:
    said = TestClient(app).get(SCHEMA).json()
    answers = said["paths"]["/v1/mode"]["get"]["responses"]
    answers["200"]["content"]["application/json"]["schema"] = {"type": "object", "required": ["lie"]}
    schema = schemathesis.openapi.from_dict(said)
    schema.app = app
    with pytest.raises(FailureGroup) as caught:
        tried(schema["/v1/mode"]["GET"], headers)
    assert "lie" in str(caught.value.exceptions[0].message)
