"""The API's pages: every operation is there, and its example is a request that the server takes."""

from __future__ import annotations

import html
import json
import re
import shlex
from urllib.parse import parse_qsl, urlsplit

import pytest
from tests.entrypoints.console.conftest import Browse

from affidavit.app.operations.table import TABLE


def _command(page: str) -> list[str]:
    found = re.search(r"<pre><code>(.*?)</code></pre>", page, re.S)
    assert found
    return shlex.split(html.unescape(found[1]))


def test_every_operation_is_listed_with_what_it_needs(browse: Browse) -> None:
    page = browse("alice").get("/api").text
    for row in TABLE:
        assert f'href="/api/{row.name}"' in page
    assert page.count("not yours") == sum(
        1 for row in TABLE if row.action not in browse("alice").get("/v1/me").json()["may"]
    )


@pytest.mark.parametrize("name", [row.name for row in TABLE])
def test_the_example_is_a_request_that_is_taken(browse: Browse, name: str) -> None:
    client = browse("alice")
    page = client.get(f"/api/{name}")
    assert page.status_code == 200, page.text
    words = _command(page.text)
    assert words[:4] == ["curl", "-sS", "-H", "Authorization: Bearer $AFFIDAVIT_KEY"]
    method = words[words.index("-X") + 1] if "-X" in words else "POST" if "--json" in words else "GET"
    assert method == TABLE[name].method.value
    content = words[words.index("--json") + 1] if "--json" in words else None
    asked = dict(parse_qsl(urlsplit(words[-1]).query)) | json.loads(content or "{}")
    inside = {k: v for k, v in TABLE[name].example.items() if f"{{{k}}}" in TABLE[name].path}
    TABLE[name].takes.model_validate(asked | inside)
    # as a stranger, so that nothing is done: an address that is not there is told of before who asks is looked at
    answer = client.request(
        method, words[-1], content=content, headers={"Cookie": "", "Content-Type": "application/json"}
    )
    assert answer.status_code == 401, (name, answer.status_code, answer.text)


def test_finding_narrows_and_says_so_when_nothing_fits(browse: Browse) -> None:
    client = browse("alice")
    assert "/api/runs.show" not in client.get("/api?q=approvals.deny").text
    assert "Nothing fits" in client.get("/api?q=<b>zzz</b>").text
    assert "<b>zzz" not in client.get("/api?q=<b>zzz</b>").text
    assert client.get("/api/no.such").status_code == 404
