"""OpenAPI documents become tools; what is hostile in them is left out with a reason; calls go where the plan says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.adapters.openapi import auth_in, found_in, is_header, parse
from affidavit.adapters.openapi_call import call
from affidavit.domain.errors import ToolError, UsageError
from affidavit.domain.foreign import Found
from affidavit.domain.tools import Effect

SHOP: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "Shop", "version": "1"},
    "servers": [{"url": "http://169.254.169.254/"}],
    "components": {
        "schemas": {
            "Order": {
                "type": "object",
                "required": ["item"],
                "properties": {
                    "item": {"type": "string"},
                    "count": {"type": "integer", "minimum": 1},
                    "weight": {"type": "number"},
                },
            }
        },
        "parameters": {"Trace": {"name": "X-Trace", "in": "header", "schema": {"type": "string"}}},
        "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"}},
    },
    "paths": {
        "/orders/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
            "get": {
                "operationId": "getOrder",
                "summary": "Look an order up.",
                "parameters": [
                    {
                        "name": "fields[]",
                        "in": "query",
                        "schema": {"type": "array", "items": {"type": "string"}},
                    },
                    {
                        "name": "in",
                        "in": "query",
                        "explode": False,
                        "schema": {"type": "array", "items": {"type": "integer"}},
                    },
                    {"name": "open", "in": "query", "schema": {"type": "boolean"}},
                    {"$ref": "#/components/parameters/Trace"},
                ],
                "responses": {
                    "200": {
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}}
                    }
                },
            },
        },
        "/orders": {
            "post": {
                "operationId": "createOrder",
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}},
                },
                "responses": {"201": {"description": "made"}},
            },
        },
    },
}


def tools(document: dict[str, Any]) -> dict[str, Found]:
    return {one.word: one for one in found_in(parse(json.dumps(document).encode()))[0]}


def refused(path: str, operation: Any, method: str = "get") -> str:
    """Why this operation is left out, beside a good one that is not."""
    document = {**SHOP, "paths": {path: {method: operation}, "/fine": {"get": {"operationId": "fine"}}}}
    found, left_out = found_in(parse(json.dumps(document).encode()))
    assert [one.word for one in found] == ["fine"]
    return left_out[0][1]


def test_operations_become_tools() -> None:
    found = tools(SHOP)
    look, make = found["get_order"], found["create_order"]
    assert (look.effect, make.effect) == (Effect.READ, Effect.WRITE)
    assert look.description == "Look an order up."
    assert look.parameters["required"] == ["id"]
    properties: Any = look.parameters["properties"]
    assert list(properties) == ["id", "fields", "in", "open", "X_Trace"]
    assert make.parameters["required"] == ["item"]
    fields: Any = make.parameters["properties"]
    assert list(fields) == ["item", "count", "weight"]
    result: Any = look.result
    assert result["properties"]["weight"] == {"type": ["integer", "string"]}
    assert make.result == {}
    assert auth_in(SHOP) == "X-Api-Key"
    assert auth_in({}) == "bearer"


def test_yaml_is_read_without_aliases_and_dates() -> None:
    text = "openapi: 3.1.0\npaths:\n  /a:\n    get: {operationId: a, x-since: 2026-11-21}\n"
    document = parse(text.encode())
    assert document["paths"]["/a"]["get"]["x-since"] == "2026-11-21"
    assert [one.word for one in found_in(document)[0]] == ["a"]
    for wrong in (
        "openapi: 3.0.0\npaths: {}\na: &a [x]\nb: [*a, *a]\n",
        "openapi: 3.0.0\npaths: {}\na: !!python/object/apply:os.system [id]\n",
        "openapi: [3",
        "swagger: '2.0'\npaths: {}\n",
        "openapi: 3.0.0\n",
        "openapi: 4.0.0\npaths: {}\n",
        "just text",
        "{" + '"a":{' * 50_000,
    ):
        with pytest.raises(UsageError):
            parse(wrong.encode())
    with pytest.raises(UsageError):
        parse(b"\xff\xfe{}")


PARAMETER = {"name": "a", "in": "query", "schema": {"type": "string"}}


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/../admin", {}),
        ("/a/%2e%2e/./b", {}),
        ("/a?b=1", {}),
        ("//evil\\x", {}),
        ("no-slash", {}),
        ("/{a}", {}),
        ("/x", {"parameters": [{**PARAMETER, "in": "path"}]}),
        ("/x", {"parameters": [{**PARAMETER, "in": "cookie"}]}),
        ("/x", {"parameters": [{**PARAMETER, "in": "header", "name": "Host"}]}),
        ("/x", {"parameters": [{**PARAMETER, "in": "header", "name": "authorization"}]}),
        ("/x", {"parameters": [{**PARAMETER, "in": "header", "name": "a\r\nb"}]}),
        ("/x", {"parameters": [{**PARAMETER, "schema": {"type": "object"}}]}),
        ("/x", {"parameters": [{**PARAMETER, "schema": {"$ref": "http://127.0.0.1/s.json"}}]}),
        ("/x", {"parameters": [{"$ref": "http://127.0.0.1/p.json"}]}),
        ("/x", {"parameters": [{"$ref": "#/components/parameters/None"}]}),
        ("/x", {"parameters": ["nonsense"]}),
        ("/x", {"requestBody": {"content": {"text/csv": {}}}}),
        ("/x", {"requestBody": {"$ref": "other.yaml"}}),
        ("/x", {"operationId": "!!"}),
    ],
)
def test_what_cannot_be_a_tool_is_left_out_with_a_reason(path: str, operation: Any) -> None:
    assert refused(path, {"operationId": "x", **operation})


def test_cyclic_schemas_end_and_too_many_operations_are_refused() -> None:
    document = json.loads(json.dumps(SHOP))
    document["components"]["schemas"]["Order"]["properties"]["parts"] = {
        "items": {"$ref": "#/components/schemas/Order"}
    }
    assert "create_order" in tools(document)
    many = {**SHOP, "paths": {f"/a{n}": {"get": {"operationId": f"a{n}"}} for n in range(201)}}
    with pytest.raises(UsageError, match="more than 200"):
        found_in(many)


def test_a_pin_changes_with_anything_that_was_said() -> None:
    pin = tools(SHOP)["get_order"].pin
    changed = json.loads(json.dumps(SHOP))
    changed["components"]["schemas"]["Order"]["properties"]["item"]["description"] = "and more"
    assert tools(changed)["get_order"].pin != pin
    assert tools(json.loads(json.dumps(SHOP)))["get_order"].pin == pin


JSONS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=6)
    | st.sampled_from(["get", "#/components/schemas/A", "query"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "get post parameters requestBody content application/json schema $ref name in responses 200 operationId".split()
            )
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=25,
)


@given(st.dictionaries(st.sampled_from(["/a", "/{a}", "", "/b/{c}/d"]), JSONS), JSONS)
def test_any_document_is_read_or_refused(paths: Any, components: Any) -> None:
    document = {"openapi": "3.1.0", "paths": paths, "components": components}
    try:
        found_in(parse(json.dumps(document).encode()))
        assert auth_in(document)
    except UsageError:
        pass


# -- calling


class Api(BaseHTTPRequestHandler):
    """Says back what it was asked; a path ``/status/N`` answers with N."""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        status = int(self.path.rpartition("/")[2]) if self.path.startswith("/v1/status/") else 200
        said: dict[str, Any] = {"method": self.command, "path": self.path, "body": body, "half": 0.5}
        said["headers"] = {k.lower(): v for k, v in self.headers.items()}
        data = (
            b""
            if self.path.endswith("/nothing")
            else b"plain \x1b[31mtext"
            if self.path.endswith("/text")
            else json.dumps(said).encode()
        )
        if status == 0:
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def base() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def ask(base: str, one: Found, arguments: Any, auth: str = "", **more: Any) -> Any:
    place = {"base": base, "private": True, "secret": "shop" if auth else "", "auth": auth, **more}
    plan = {**one.plan, "key_header": "Idempotency-Key"}
    return call(place, plan, one.parameters, arguments, "key-1", 30, {"shop": "s3cret-value"})


@pytest.mark.network
@pytest.mark.enable_socket
def test_arguments_go_where_the_plan_says_and_nowhere_else(base: str) -> None:
    found = tools(SHOP)
    arguments = {
        "id": "a/../b?c#d{in}",
        "fields": ["x&y", "z"],
        "in": [1, 2],
        "open": True,
        "X_Trace": "t",
    }
    said = ask(base, found["get_order"], arguments, "X-Api-Key")
    assert (
        said["path"]
        == "/v1/orders/a%2F..%2Fb%3Fc%23d%7Bin%7D?fields%5B%5D=x%26y&fields%5B%5D=z&in=1%2C2&open=true"
    )
    assert (said["headers"]["x-trace"], said["headers"]["x-api-key"]) == ("t", "s3cret-value")
    assert said["headers"]["idempotency-key"] == "key-1"
    assert said["half"] == "0.5"
    said = ask(base, found["create_order"], {"item": "tea", "weight": "1.25"}, "bearer")
    assert (said["method"], json.loads(said["body"])) == ("POST", {"item": "tea", "weight": 1.25})
    assert said["headers"]["authorization"] == "Bearer s3cret-value"
    assert (
        ask(base, found["create_order"], {"item": "tea"}, "basic")["headers"]["authorization"]
        == "Basic czNjcmV0LXZhbHVl"
    )
    assert "authorization" not in ask(base, found["create_order"], {"item": "tea"})["headers"]


@pytest.mark.network
@pytest.mark.enable_socket
def test_answers_and_failures_say_whether_something_happened(base: str) -> None:
    get = tools(SHOP)["get_order"]

    def at(path: str) -> Found:
        return replace(get, plan={**get.plan, "path": path, "parameters": []})

    assert ask(base, at("/nothing"), {}) is None
    assert ask(base, at("/text"), {}) == "plain [31mtext"
    for status, happened, again in (
        (400, False, False),
        (401, False, False),
        (404, False, False),
        (429, False, True),
        (408, None, True),
        (500, None, True),
        (503, None, True),
        (302, None, False),
        (0, None, True),
    ):
        with pytest.raises(ToolError) as error:
            ask(base, at(f"/status/{status}"), {}, "bearer")
        assert (error.value.happened, error.value.retryable) == (happened, again), status
        assert "\n" not in error.value.message
    with pytest.raises(ToolError) as error:
        ask(base, at("/nothing"), {}, private=False)
    assert error.value.happened is False
    assert "not public" in error.value.message


@pytest.mark.parametrize(
    "arguments",
    [
        {"id": ".."},
        {"id": "."},
        {"id": ""},
        {"id": {}},
        {"id": None},
        {},
        {"id": "a", "X_Trace": "t\r\nHost: x"},
        {"id": "a", "in": [[1]]},
    ],
)
def test_arguments_that_leave_their_place_are_refused_before_anything_is_sent(arguments: Any) -> None:
    with pytest.raises(ToolError) as error:
        ask("http://127.0.0.1:1", tools(SHOP)["get_order"], arguments)
    assert error.value.happened is False
    assert "reached" not in error.value.message


def test_headers_that_are_ours_are_not_for_documents() -> None:
    assert is_header("X-Api-Key")
    assert not any(map(is_header, ("Host", "cookie", "Content-Length", "a b", "", "é", "X:")))


def test_parameters_of_one_name_in_two_places_are_told_apart() -> None:
    parameters = [PARAMETER, {**PARAMETER, "in": "header"}, {**PARAMETER, "name": "a[]"}]
    document = {**SHOP, "paths": {"/x": {"get": {"operationId": "x", "parameters": parameters[:2]}}}}
    assert list(tools(document)["x"].parameters["properties"]) == ["a", "a_header"]  # type: ignore[arg-type]
    assert "two of its parameters" in refused(
        "/x", {"parameters": [*parameters, {**PARAMETER, "name": "a!"}]}
    )


@pytest.mark.parametrize(
    ("schema", "required", "arguments", "needed"),
    [
        ({"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a"]}, True, ["a", "b"], ["a"]),
        ({"type": "object", "properties": {"a": {}}, "required": ["a"]}, False, ["a"], []),
        ({"type": "array", "items": {}}, True, ["body"], ["body"]),
        ({"type": "object"}, False, ["body"], []),
        ({"type": "object", "properties": {"a-b": {}}}, True, ["body"], ["body"]),
        ({"anyOf": [{"type": "string"}], "properties": {"a": {}}}, True, ["body"], ["body"]),
    ],
)
def test_the_fields_of_a_plain_body_are_arguments_of_their_own(
    schema: Any, required: bool, arguments: list[str], needed: list[str]
) -> None:
    body = {"required": required, "content": {"application/vnd.shop+json; v=1": {"schema": schema}}}
    document = {**SHOP, "paths": {"/x": {"post": {"operationId": "x", "requestBody": body}}}}
    made = tools(document)["x"]
    properties: Any = made.parameters["properties"]
    assert (list(properties), made.parameters["required"]) == (arguments, needed)


@pytest.mark.network
@pytest.mark.enable_socket
def test_a_body_is_sent_where_there_is_one(base: str) -> None:
    def made(required: bool, schema: Any) -> Found:
        body = {"required": required, "content": {"application/json": {"schema": schema}}}
        return tools({**SHOP, "paths": {"/x": {"post": {"operationId": "x", "requestBody": body}}}})["x"]

    fields = {"type": "object", "properties": {"a": {"type": "integer"}}}
    assert ask(base, made(False, fields), {})["body"] == ""
    assert ask(base, made(True, fields), {})["body"] == "{}"
    assert ask(base, made(False, fields), {"a": 1})["body"] == '{"a": 1}'
    numbers = {"type": "array", "items": {"type": "number"}}
    assert ask(base, made(True, numbers), {"body": [1, "2.5"]})["body"] == "[1, 2.5]"
    assert ask(base, made(False, numbers), {})["body"] == ""
