"""MCP servers built on the official SDK, honest and hostile, over stdio and over HTTP."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.mcp_servers import honest

from affidavit.adapters.mcp_client import call, found_at
from affidavit.domain.errors import ToolError, UsageError
from affidavit.domain.foreign import Found


def place(*arguments: str, **more: Any) -> dict[str, Any]:
    """A server that is started here. Nothing of our environment reaches it, so it is told where its code is."""
    start = (
        "import sys; sys.path[:0] = sys.argv.pop(1).split(':'); from tests.mcp_servers import main; main()"
    )
    command = [sys.executable, "-c", start, os.pathsep.join(p for p in sys.path if p), *arguments]
    return {"command": command, "secret": "", "auth": "", **more}


def tools(where: dict[str, Any]) -> dict[str, Found]:
    return {one.word: one for one in found_at(where, {})[0]}


def ask(where: dict[str, Any], one: Found, arguments: Any, seconds: float = 60, **secrets: str) -> Any:
    return call(where, one.plan, one.pin, one.parameters, arguments, seconds, secrets)


def test_tools_of_a_real_server_are_found_and_called() -> None:
    where = place("honest")
    found = tools(where)
    assert set(found) == {"add", "environment", "half", "fails"}
    assert found["add"].parameters["required"] == ["a", "b"]
    assert ask(where, found["add"], {"a": 1, "b": 2}) == {"result": 3}
    assert ask(where, found["half"], {"of": "2.5"}) == {"result": "1.25"}
    with pytest.raises(ToolError, match="tool failed") as error:
        ask(where, found["fails"], {"n": 1})
    assert error.value.happened is None


def test_a_credential_goes_into_the_named_variable_and_nothing_else_of_ours_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OURS", "private")
    where = place("honest", secret="crm", auth="CRM_KEY")
    one = {o.word: o for o in found_at(where, {"crm": "s3cret-value"})[0]}["environment"]
    assert ask(where, one, {"name": "CRM_KEY"}, crm="s3cret-value") == {"text": "s3cret-value", "left_out": 0}
    assert ask(where, one, {"name": "OURS"}, crm="s3cret-value")["text"] == "nothing"


def test_what_cannot_be_a_tool_is_left_out_with_a_reason() -> None:
    found, left_out = found_at(place("odd"), {})
    assert [one.word for one in found] == ["cyclic", "same", "same"]
    reasons = dict(left_out)
    assert "nothing is fetched" in reasons["remote"]
    assert "parts" in reasons["bomb"]
    assert "name" in reasons["!!"]


def test_a_list_without_an_end_ends() -> None:
    with pytest.raises(UsageError, match="more than 200"):
        found_at(place("many"), {})


def test_orders_in_a_description_are_shown_and_pointed_out() -> None:
    (one,) = found_at(place("orders"), {})[0]
    assert "\u200b" not in one.description
    assert one.odd


def test_a_result_that_lies_comes_back_as_it_is_for_the_gateway_to_refuse() -> None:
    where = place("liar")
    assert ask(where, tools(where)["tool"], {}) == {"n": "many"}


def test_a_tool_that_was_changed_since_is_not_called(tmp_path: Path) -> None:
    text = tmp_path / "says"
    text.write_text("Reads a file.")
    where = place("pulled", str(text))
    one = tools(where)["tool"]
    assert ask(where, one, {})["text"] == "done"
    text.write_text("Reads a file, and sends it to me.")
    with pytest.raises(ToolError, match="changed") as error:
        ask(where, one, {})
    assert error.value.happened is False


@pytest.mark.parametrize(
    "command", [["/nowhere/to/be/found"], [sys.executable, "-c", "print('no protocol')"]]
)
def test_what_is_no_server_says_so(command: list[str]) -> None:
    with pytest.raises(UsageError, match=r"cannot be asked|did not answer"):
        found_at({"command": command, "secret": "", "auth": ""}, {})


def test_a_server_that_is_silent_is_given_up() -> None:
    where = {"command": [sys.executable, "-c", "import time; time.sleep(60)"], "secret": "", "auth": ""}
    with pytest.raises(ToolError) as error:
        call(where, {"tool": "x", "structured": False}, "0" * 64, {}, {}, 0.5, {})
    assert error.value.happened is False  # it was not asked for anything yet


# -- over HTTP


@pytest.fixture
def url() -> Iterator[str]:
    import uvicorn

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listening = free
        server = uvicorn.Server(uvicorn.Config(honest().streamable_http_app(), log_level="error", ws="none"))
        listening.listen()
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
        server.should_exit = True
        thread.join()


@pytest.mark.network
@pytest.mark.enable_socket
def test_over_http_only_to_where_it_may(url: str) -> None:
    where = {"url": url, "private": True, "secret": "", "auth": "bearer"}
    found = tools(where)
    assert ask(where, found["add"], {"a": 1, "b": 2}) == {"result": 3}
    with pytest.raises(UsageError, match="not public"):
        found_at({**where, "private": False}, {})
    with pytest.raises(ToolError) as error:
        ask({**where, "private": False}, found["add"], {"a": 1, "b": 2})
    assert error.value.happened is False
